// A small transformer that is trained on a text, by default teeny's own sources, and then generates more of it. The
// network is GPT-2's (Radford et al., 2019); its tokens are the 256 bytes.
//
//   gpt --save teeny.safetensors                              train, write a little, and keep what was learned
//   gpt --load teeny.safetensors --steps 0 --letters 2000     only write
//   gpt --steps 9000 --checkpoint run.safetensors             save the training every 100 steps; --resume goes on
//   make gpt RANKS=mpi NP=4                                   four processes, each with a quarter of every batch
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "examples/common.h"
#include "teeny/files/file.h"
#include "teeny/teeny.h"
#include "tinyops/base/decimal.h"
#include "tinyops/base/hash.h"

using namespace teeny;

struct Config {
  int64_t layers = 4, width = 128, heads = 4, context = 64;
};

/// Attention from every position to itself and the positions before it, then a two-layer network on each position. The
/// result of both is added to x.
struct Block {
  int64_t heads;
  nn::LayerNorm norm1, norm2;
  nn::Linear qkv, out, up, down;

  Block(int64_t width, int64_t heads)
      : heads(heads),
        norm1(width),
        norm2(width),
        qkv(width, 3 * width),
        out(width, width),
        up(width, 4 * width),
        down(4 * width, width) {}

  Tensor operator()(const Tensor& x) const {  // (batch, time, width)
    // Queries, keys and values, each (batch, heads, time, width / heads).
    const Tensor parts = qkv(norm1(x)).reshape({x.size(0), x.size(1), 3, heads, -1}).permute({2, 0, 3, 1, 4});
    const Tensor seen = parts[0].scaled_dot_product_attention(parts[1], parts[2], {.causal = true});
    const Tensor y = x + out(seen.transpose(1, 2).reshape(x.shape()));
    return y + down(up(norm2(y)).gelu());
  }
  TEENY_STATE(norm1, norm2, qkv, out, up, down)
};

struct Gpt {
  nn::Embedding tokens, positions;
  std::vector<Block> blocks;
  nn::LayerNorm norm;
  nn::Linear head;

  explicit Gpt(const Config& s)
      : tokens(256, s.width), positions(s.context, s.width), norm(s.width), head(s.width, 256, {.bias = false}) {
    for (int64_t i = 0; i < s.layers; ++i) blocks.emplace_back(s.width, s.heads);
  }
  Tensor operator()(const Tensor& bytes) const {  // (batch, time) -> logits (batch, time, 256)
    Tensor x = tokens(bytes) + positions.weight[{slice(0, bytes.size(1))}];
    for (const Block& block : blocks) x = block(x);
    return head(norm(x));
  }
  TEENY_STATE(tokens, positions, blocks, norm, head)
};

/// Throws where there is not enough memory. To train, there are a gradient and two moments beside each parameter, and
/// each layer keeps the weights of its attention and eight vectors a letter for the way back. Doubles: options may ask
/// for anything.
static void check_size(const Config& s, int64_t batch, bool trains) {
  const double width = double(s.width), letters = double(batch) * double(s.context);
  const double parameters =
      (512 + double(s.context)) * width + double(s.layers) * (12 * width + 13) * width + 2 * width;
  const double kept = letters * (256 + double(s.layers) * (double(s.heads) * double(s.context) + 8 * width));
  examples::check_memory(text("--layers ", s.layers, " --width ", s.width, " --context ", s.context, " --batch ", batch,
                              ", ", parameters, " parameters"),
                         sizeof(float) * (trains ? 4 * parameters + kept : parameters));
}

/// The file, or without a name all of teeny's sources, one after the other.
static std::string read_text(const std::string& file) {
  namespace fs = std::filesystem;
  std::vector<fs::path> paths{file};
  if (file.empty()) {
    paths.clear();
    if (!fs::is_directory("teeny")) fail("no folder teeny here: run from its root, or name a file with --text");
    for (const auto& entry : fs::recursive_directory_iterator("teeny"))
      if (entry.path().extension() == ".h" || entry.path().extension() == ".cpp") paths.push_back(entry);
    std::ranges::sort(paths);
  }
  std::string text;
  for (const auto& path : paths) {
    data::File file = data::open_to_read(path.string());
    const size_t before = text.size(), size = file.size();
    text.resize(before + size);
    file.read_all(text.data() + before, size);
  }
  return text;
}

/// Where `batch` random pieces of the text begin: (batch, 1).
static Tensor random_starts(const Tensor& text, int64_t batch, int64_t context) {
  return Tensor::randint(0, text.size(0) - context, {batch, 1});
}
/// The mean loss over the pieces: the cross entropy of the next letter at every position.
static Tensor loss_of(const Gpt& model, const Tensor& text, const Tensor& starts, int64_t context) {
  const Tensor pieces = text.gather(0, (starts + Tensor::arange(context + 1)).flatten()).reshape({-1, context + 1});
  const Tensor logits = model(pieces[{ellipsis, slice(0, -1)}]);
  return logits.flatten(0, 1).cross_entropy(pieces[{ellipsis, slice(1)}].flatten());
}

/// Samples and prints letter after letter. The lower the temperature, the more often the likeliest letter is drawn.
static void write(const Gpt& model, std::string text, int64_t letters, int64_t context, double temperature) {
  const NoGrad guard;
  std::printf("%s", text.c_str());
  for (int64_t i = 0; i < letters; ++i) {
    const std::string last = text.substr(text.size() - std::min<size_t>(text.size(), context));
    const Tensor seen = Tensor::from(std::vector<uint8_t>(last.begin(), last.end())).cast(DType::Int64);
    const Tensor logits = model(seen.unsqueeze(0))[{0, -1}];
    // Gumbel's trick: the largest of logits + noise is a draw from softmax(logits).
    const Tensor noise = -(-Tensor::rand({256}).log()).log();
    text += char((logits + temperature * noise).argmax().item<int64_t>());
    // Control characters would change the state of the terminal.
    std::putchar(text.back() >= 0 && text.back() < ' ' && text.back() != '\n' && text.back() != '\t' ? '?'
                                                                                                     : text.back());
    std::fflush(stdout);
  }
  std::printf("\n");
}

int main(int argc, char** argv) {
  Config config;
  int64_t steps = 500, batch = 32, letters = 500;
  double lr = 1e-3, temperature = 0.8;
  std::string file, prompt = "\n", save, load;
  std::optional<int64_t> seed;
  examples::Checkpoint checkpoint;

  const auto body = [&] {
    examples::print_on_one_rank();
    if (config.width % config.heads != 0)
      throw examples::WrongOption(teeny::text("--width ", config.width, " --heads ", config.heads,
                                              ": heads share the width, which must be a multiple of their number"));
    if (batch % dist::world() != 0)
      throw examples::WrongOption(teeny::text("--batch ", batch, ": there are ", dist::world(),
                                              " ranks, and each takes an equal part"));
    if (!save.empty() && dist::rank() == 0) io::check_can_save(save);
    if (seed) Tensor::manual_seed(*seed);
    const std::string text = read_text(file);
    const Tensor bytes = Tensor::from(std::vector<uint8_t>(text.begin(), text.end())).cast(DType::Int64).realize();
    const int64_t known = bytes.numel() * 9 / 10;  // the last tenth is for validation
    const Tensor train = bytes[{slice(0, known)}], test = bytes[{slice(known)}];
    if (test.size(0) <= config.context)
      throw examples::WrongOption(teeny::text("--context ", config.context,
                                              ": more letters than the text's last tenth, ", test.size(0),
                                              ", which is for validation"));

    check_size(config, batch, steps > 0);
    Gpt model(config);
    if (!load.empty() && dist::rank() == 0) nn::load_state_dict(model, io::load_safetensors(load));
    dist::broadcast(nn::state_dict(model));
    optim::AdamW adam(nn::parameters(model), {.lr = lr});
    const io::Metadata run = {{"batch", teeny::text(batch)},
                              {"heads", teeny::text(config.heads)},
                              {"letters", teeny::text(known)},
                              {"lr", teeny::text(lr)},
                              {"seed", teeny::text(Tensor::random_state().first)},
                              {"text_checksum", teeny::text(tinyops::xxh64(std::as_bytes(std::span(text))))}};
    int64_t done = checkpoint.begin() ? dist::load_checkpoint(checkpoint.file, model, adam, run).index : 0;
    const auto save_run = [&] { io::save_checkpoint(checkpoint.file, model, adam, {.index = done}, run); };
    Jit step([&] {
      adam.zero_grad();
      const Tensor starts = dist::shard(random_starts(train, batch, config.context));  // all ranks draw the same
      const Tensor loss = loss_of(model, train, starts, config.context).backward();
      dist::average_gradients(adam.parameters());
      adam.step();
      return examples::average(loss);
    });
    if (done < steps) {
      examples::Progress progress("training", steps, done);
      while (done < steps) {
        progress.step(step().item());
        ++done;
        checkpoint.step(save_run);
      }
    }
    checkpoint.end(save_run);
    if (!save.empty() && dist::rank() == 0) io::save_safetensors(save, nn::state_dict(model));
    if (letters > 0) write(model, prompt, letters, config.context, temperature);
    const NoGrad guard;
    const Tensor loss = loss_of(model, test, random_starts(test, 128, config.context), config.context);
    std::printf("validation loss %s\n", tinyops::decimal(loss.item(), 4).c_str());
  };
  return examples::run(argc, argv, "Trains a character-level transformer and lets it write.",
                       {{"--text", &file, "the file to train on (teeny's own sources)"},
                        {"--steps", &steps, "training steps"},
                        {"--batch", &batch, "pieces of the text a step, of all ranks together", 1},
                        {"--lr", &lr, "learning rate of AdamW"},
                        {"--layers", &config.layers, "blocks of the network"},
                        {"--width", &config.width, "elements of each letter's vector", 1},
                        {"--heads", &config.heads, "heads of each attention; they share the width", 1},
                        {"--context", &config.context, "letters that the network sees at once", 1},
                        {"--letters", &letters, "how many letters to write"},
                        {"--prompt", &prompt, "what the writing starts with"},
                        {"--temperature",
                         &temperature, "of the sampling: 0 takes the likeliest letter, 1 samples the softmax"},
                        {"--seed", &seed, "of the random stream"},
                        {"--checkpoint", &checkpoint.file, "save the training in this file, also after Ctrl-C"},
                        {"--every", &checkpoint.every, "steps from one checkpoint to the next", 1},
                        {"--resume", &checkpoint.resume, "go on from the checkpoint, if it is there"},
                        {"--save", &save, "write the trained model to this file"},
                        {"--load", &load, "start with the model of this file"}},
                       body);
}
