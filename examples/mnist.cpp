// A small convnet learns to read handwritten digits: one epoch, and at least 98 % on images it has never seen.
//
//   mnist --save digits.safetensors                 train, and keep what was learned
//   mnist --load digits.safetensors --predict 7     draw a test image and say what it is
//   mnist --epochs 9 --checkpoint run.safetensors   save the training every 100 steps; go on with the same and --resume
//   make mnist RANKS=mpi NP=4                       four processes, each with a quarter of every batch
#include <algorithm>
#include <cstdio>

#include "examples/common.h"
#include "teeny/teeny.h"
#include "tinyops/base/decimal.h"

using namespace teeny;

struct Convnet {
  nn::Conv2d c1{1, 16, 5}, c2{16, 32, 5};
  nn::Linear head{512, 10};

  Tensor operator()(Tensor x) const {  // (N, 1, 28, 28), black 0 to white 1
    x = (x - 0.1307) / 0.3081;         // mean 0 and deviation 1, over all training images
    x = c1(x).relu().max_pool2d();     // (N, 16, 12, 12)
    x = c2(x).relu().max_pool2d();     // (N, 32, 4, 4)
    return head(x.flatten(1));         // (N, 10): a logit for each class
  }
  TEENY_STATE(c1, c2, head)
};

/// `epochs` passes over the training images. In each the rate falls in a straight line: large steps to get there, small
/// ones to settle.
static void train(const Convnet& model, data::DataLoader& loader, double lr, int64_t epochs,
                  examples::Checkpoint& checkpoint) {
  const Training mode;
  optim::Adam adam(nn::parameters(model));
  const io::Metadata run = {{"lr", text(lr)},  // where the schedule starts
                            {"seed", text(Tensor::random_state().first)}};
  const auto save = [&] { io::save_checkpoint(checkpoint.file, model, adam, loader, run); };
  if (checkpoint.begin()) dist::load_checkpoint(checkpoint.file, model, adam, loader, run);
  Jit step([&](const Tensor& x, const Tensor& y) {  // recorded once, then only run
    adam.zero_grad();
    const Tensor logits = model(x), loss = logits.cross_entropy(y).backward();
    dist::average_gradients(adam.parameters());  // where many processes train together
    adam.step();
    return std::pair(examples::average(loss), examples::average((logits.argmax(1) == y).mean()));
  });
  while (loader.position().epoch < epochs) {
    int64_t done = loader.batches_done();
    examples::Progress progress("epoch " + std::to_string(loader.position().epoch + 1), loader.size(), done);
    for (const auto& [x, y] : loader) {
      adam.set_lr(lr * (1 - double(done++) / double(loader.size())));
      const auto [loss, right] = step(x, y);
      progress.step(loss.item(), right.item());
      checkpoint.step(save);
    }
  }
  checkpoint.end(save);
}

/// The share of the images that the model gets right. Of several ranks each looks at other thousands.
static double accuracy(const Convnet& model, const data::Dataset& data) {
  const NoGrad guard;
  double right = 0;
  for (int64_t i = 1000 * dist::rank(); i < data.size(); i += 1000 * dist::world()) {
    const auto part = slice(i, i + 1000);
    right += (model(data.images[{part}] / 255).argmax(1) == data.labels[{part}]).sum().item();
  }
  return dist::all_reduce(Tensor(right)).item() / double(data.size());
}

/// Draws one image, and for each class how sure the model is that this is one.
static void predict(const Convnet& model, const data::Dataset& data, int64_t index, const char* const* classes) {
  const NoGrad guard;
  const Tensor image = data.images[{slice(index, index + 1)}] / 255, chances = model(image).softmax();
  std::printf("%s", examples::picture(image.to_vector(), 28).c_str());
  const auto chance = chances.to_vector();
  for (int i = 0; i < 10; ++i)
    std::printf("%11s %s %5s %%\n", classes[i],
                examples::bar(chance[i], std::clamp(examples::columns() - 22, 0, 20)).c_str(),
                tinyops::decimal(100 * chance[i], 1).c_str());
  const auto best = chances.argmax().item<int64_t>(), label = data.labels[index].item<int64_t>();
  std::printf("prediction %s, label %s\n", classes[best], classes[label]);
}

int main(int argc, char** argv) {
  constexpr const char* digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  constexpr const char* clothes[] = {"T-shirt", "trousers", "pullover", "dress", "coat",
                                     "sandal",  "shirt",    "sneaker",  "bag",   "ankle boot"};
  int64_t batch = 128;
  double lr = 4e-3;
  bool fashion = false;
  std::string save, load;
  std::optional<int64_t> epochs, seed, index;
  examples::Checkpoint checkpoint;

  const auto body = [&] {
    examples::print_on_one_rank();
    if (!save.empty() && dist::rank() == 0) io::check_can_save(save);
    if (seed) Tensor::manual_seed(*seed);
    const auto [images, test] = fashion ? data::fashion_mnist() : data::mnist();
    if (batch > images.size())
      throw examples::WrongOption(text("--batch ", batch, ": there are ", images.size(), " training images"));
    if (index && *index >= test.size())
      throw examples::WrongOption(text("--predict ", *index, ": the test images are 0 to ", test.size() - 1));
    Convnet model;
    if (!load.empty() && dist::rank() == 0) nn::load_state_dict(model, io::load_safetensors(load));
    dist::broadcast(nn::state_dict(model));
    data::DataLoader loader(images, {.batch_size = batch,
                                     .shuffle = true,
                                     .seed = uint64_t(seed.value_or(0)),
                                     .rank = dist::rank(),
                                     .ranks = dist::world()});
    train(model, loader, lr, epochs.value_or(load.empty() ? 1 : 0), checkpoint);
    if (!save.empty() && dist::rank() == 0) io::save_safetensors(save, nn::state_dict(model));
    if (index) predict(model, test, *index, fashion ? clothes : digits);
    std::printf("test accuracy %.2f %%\n", 100 * accuracy(model, test));
  };
  return examples::run(argc, argv, "Trains a small convnet on MNIST.",
                       {{"--epochs", &epochs, "passes over the training images (1; none after --load)"},
                        {"--batch", &batch, "images a step, of all ranks together", 1},
                        {"--lr", &lr, "learning rate of Adam at the start of an epoch"},
                        {"--seed", &seed, "of the random stream"},
                        {"--save", &save, "write the trained model to this file"},
                        {"--load", &load, "start with the model of this file"},
                        {"--checkpoint", &checkpoint.file, "save the training in this file, also after Ctrl-C"},
                        {"--every", &checkpoint.every, "steps from one checkpoint to the next", 1},
                        {"--resume", &checkpoint.resume, "go on from the checkpoint, if it is there"},
                        {"--predict", &index, "draw this test image and say what it is"},
                        {"--fashion", &fashion, "clothes instead of digits"}},
                       body);
}
