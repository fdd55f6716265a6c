// tinygrad's beautiful_mnist.py: four convolutions, two batch norms, and how far seventy steps of 512 random images go.
#include <cstdio>

#include "examples/common.h"
#include "teeny/teeny.h"

using namespace teeny;

struct Model {
  nn::Conv2d c1{1, 32, 5}, c2{32, 32, 5}, c3{32, 64, 3}, c4{64, 64, 3};
  nn::BatchNorm2d b1{32}, b2{64};
  nn::Linear head{576, 10};

  Tensor operator()(Tensor x) {
    x = x.cast(DType::Float32) / 255;
    x = b1(c2(c1(x).relu()).relu()).max_pool2d();
    x = b2(c4(c3(x).relu()).relu()).max_pool2d();
    return head(x.flatten(1));
  }
  TEENY_STATE(c1, c2, c3, c4, b1, b2, head)
};

/// The share of the first `count` images that the model gets right.
static double accuracy(Model& model, const data::Dataset& data, int64_t count) {
  const NoGrad guard;
  double right = 0;
  for (int64_t i = 0; i < count; i += 500) {
    const auto part = slice(i, std::min(i + 500, count));
    right += (model(data.images[{part}]).argmax(1) == data.labels[{part}]).sum().item();
  }
  return right / double(count);
}

int main(int argc, char** argv) {
  int64_t steps = 70, batch = 512, test_images = 10000;
  double lr = 1e-3;
  std::optional<int64_t> seed;
  examples::Checkpoint checkpoint;

  const auto body = [&] {
    if (seed) Tensor::manual_seed(*seed);
    const auto [train, test] = data::mnist();
    if (test_images > test.size())
      throw examples::WrongOption(text("--test ", test_images, ": there are ", test.size(), " test images"));
    examples::check_memory(text("--batch ", batch), double(batch) * (32 * 24 * 24 + 32 * 20 * 20) * sizeof(float));
    Model model;
    optim::Adam adam(nn::parameters(model), {.lr = lr});
    const io::Metadata run = {{"batch", text(batch)},
                              {"images", text(train.size())},
                              {"lr", text(lr)},
                              {"seed", text(Tensor::random_state().first)}};
    int64_t done = checkpoint.begin() ? dist::load_checkpoint(checkpoint.file, model, adam, run).index : 0;
    const auto save = [&] { io::save_checkpoint(checkpoint.file, model, adam, {.index = done}, run); };
    Jit step([&] {
      const Training mode;  // batch norm goes by the batch
      const Tensor samples = Tensor::randint(0, train.size(), {batch});
      const Tensor x = train.images.index_select(0, samples), y = train.labels.index_select(0, samples);
      adam.zero_grad();
      const Tensor logits = model(x), loss = logits.cross_entropy(y).backward();
      adam.step();
      return std::pair(loss, (logits.argmax(1) == y).mean());
    });
    {
      examples::Progress progress("training", steps, done);
      while (done < steps) {
        const auto [loss, right] = step();
        progress.step(loss.item(), right.item());
        ++done;
        checkpoint.step(save);
      }
    }
    checkpoint.end(save);
    std::printf("test accuracy %.2f %%\n", 100 * accuracy(model, test, test_images));
  };
  return examples::run(argc, argv, "Trains tinygrad's beautiful network on MNIST.",
                       {{"--steps", &steps, "training steps"},
                        {"--batch", &batch, "random images a step", 1},
                        {"--lr", &lr, "learning rate of Adam"},
                        {"--test", &test_images, "how many test images to judge by", 1},
                        {"--checkpoint", &checkpoint.file, "save the training in this file, also after Ctrl-C"},
                        {"--every", &checkpoint.every, "steps from one checkpoint to the next", 1},
                        {"--resume", &checkpoint.resume, "go on from the checkpoint, if it is there"},
                        {"--seed", &seed, "of the random stream"}},
                       body);
}
