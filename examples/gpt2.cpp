// GPT-2 goes on with a text. Its weights are not a part of teeny; the files that were published, or others like them,
// are given by name.
//
//   gpt2 --model gpt2/model.safetensors 'Once upon a time'           vocab.json and merges.txt lie beside the weights
//   gpt2 --model gpt2.pt --vocab vocab.json --merges merges.txt --tokens 200 --temperature 0.8 --top-k 40 < prompt.txt
#include "examples/gpt2.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <numeric>

#include "examples/bpe.h"
#include "examples/common.h"
#include "examples/unicode.h"
#include "tinyops/base/decimal.h"

using namespace teeny;

/// Draws one of the `top` likeliest tokens. The lower the temperature, the more often it is the likeliest one.
static int64_t draw(const std::vector<float>& logits, int64_t top, double temperature) {
  if (!std::ranges::all_of(logits, [](float x) { return std::isfinite(x); }))
    fail("the network computes what are no finite numbers: its weights are not whole, or not GPT-2's");
  const auto likelier = [&](int64_t a, int64_t b) { return logits[size_t(a)] > logits[size_t(b)]; };
  std::vector<int64_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  if (temperature == 0) return *std::ranges::min_element(tokens, likelier);
  if (top < int64_t(tokens.size())) {
    std::ranges::nth_element(tokens, tokens.begin() + top, likelier);
    tokens.resize(size_t(top));
  }
  const double most = logits[size_t(*std::ranges::min_element(tokens, likelier))];
  std::vector<double> until;  // running totals of the softmax, but for a common factor
  double total = 0;
  for (const int64_t token : tokens) until.push_back(total += std::exp((logits[size_t(token)] - most) / temperature));
  const double drawn = Tensor::rand({}, DType::Float64).item() * total;
  return tokens[std::min(size_t(std::ranges::upper_bound(until, drawn) - until.begin()), tokens.size() - 1)];
}

static void show(std::string& waiting, bool last) {
  const std::string text = examples::take_characters(waiting, last);
  std::fputs((examples::on_terminal() ? examples::printable(text) : text).c_str(), stdout);
  std::fflush(stdout);
}

/// All of stdin, without the end of its last line.
static std::string read_prompt() {
  std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

int main(int argc, char** argv) {
  std::string file, vocabulary, merges, prompt;
  int64_t count = 100, top = 50;
  double temperature = 1;
  std::optional<int64_t> heads, seed;

  const auto body = [&] {
    if (file.empty()) throw examples::WrongOption("--model is missing: a file with GPT-2's weights");
    if (seed) Tensor::manual_seed(uint64_t(*seed));
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    const examples::Bpe bpe(vocabulary.empty() ? (folder / "vocab.json").string() : vocabulary,
                            merges.empty() ? (folder / "merges.txt").string() : merges);
    const examples::Gpt2 model = examples::load_gpt2(file, heads);
    if (bpe.size() > model.config.vocabulary)
      fail(file, " has ", model.config.vocabulary, " tokens, and the vocabulary ", bpe.size());
    const std::optional<int64_t> end = bpe.find("<|endoftext|>");
    if (prompt.empty() && !isatty(STDIN_FILENO)) prompt = read_prompt();
    std::vector<int64_t> tokens = bpe.encode(prompt);
    if (tokens.empty()) tokens = {end.value_or(0)};  // a text begins after the end of another

    using Clock = std::chrono::steady_clock;
    const auto rate = [](int64_t tokens, Clock::time_point since) {
      const double seconds = std::chrono::duration<double>(Clock::now() - since).count();
      return text(tokens, tokens == 1 ? " token" : " tokens", " in ", tinyops::decimal(seconds, 2), " s, ",
                  tinyops::decimal(double(tokens) / seconds, 1), " a second");
    };
    std::string waiting = prompt;
    show(waiting, false);
    examples::Gpt2Reader reader(model);
    auto start = Clock::now();
    const auto read = [&](std::span<const int64_t> tokens) {  // a number that no token has is not drawn
      return reader.read(tokens)[slice(0, bpe.size())].to_vector();
    };
    if (const int64_t positions = model.config.positions, given = int64_t(tokens.size()); given > positions)
      std::fprintf(stderr, "the prompt has %lld tokens, and the network %lld positions: only the last %lld are read\n",
                   static_cast<long long>(given), static_cast<long long>(positions),
                   static_cast<long long>(std::max<int64_t>(1, positions / 2)));
    std::vector<float> logits = read(tokens);
    const std::string reading = rate(int64_t(tokens.size()), start);
    start = Clock::now();
    int64_t done = 0;
    while (done < count) {
      const int64_t token = draw(logits, top, temperature);
      if (token == end) break;
      waiting += bpe.decode(token);
      show(waiting, false);
      if (++done < count) logits = read({&token, 1});
    }
    show(waiting, true);
    std::printf("\n");
    std::fflush(stdout);
    std::fprintf(stderr, "prompt: %s\ntext:   %s\n", reading.c_str(), rate(done, start).c_str());
  };
  return examples::run(argc, argv, "Writes on, with the weights of GPT-2.",
                       {{"--model", &file, "the weights: .safetensors, or PyTorch's .pt, .pth or .bin"},
                        {"--vocab", &vocabulary, "the tokens (vocab.json beside the weights)"},
                        {"--merges", &merges, "which of them are merged (merges.txt beside the weights)"},
                        {"--heads", &heads, "of each attention (one for 64 elements of the width)", 1},
                        {"prompt", &prompt, "what to go on with (stdin)"},
                        {"--tokens", &count, "how many to write"},
                        {"--temperature", &temperature, "of the sampling: 0 takes the likeliest token"},
                        {"--top-k", &top, "sample from as many of the likeliest tokens", 1},
                        {"--seed", &seed, "of the random stream"}},
                       body);
}
