// teenygrad's mnist.py, line by line: a tiny convnet, a hundred steps of Adam on random batches, and then better than
// 93 % on digits it has never seen. As there, pixels stay 0 to 255 and weights start uniform in ±1/sqrt(numel).
#include <cstdio>

#include "examples/common.h"
#include "teeny/teeny.h"

using namespace teeny;

struct TinyConvNet {
  Tensor c1 = Tensor::scaled_uniform({8, 1, 3, 3}).requires_grad_();
  Tensor c2 = Tensor::scaled_uniform({16, 8, 3, 3}).requires_grad_();
  Tensor l1 = Tensor::scaled_uniform({400, 10}).requires_grad_();

  Tensor operator()(Tensor x) const {      // (N, 1, 28, 28)
    x = x.conv2d(c1).relu().max_pool2d();  // (N, 8, 13, 13)
    x = x.conv2d(c2).relu().max_pool2d();  // (N, 16, 5, 5)
    return x.flatten(1).dot(l1);           // (N, 10)
  }
  TEENY_STATE(c1, c2, l1)
};

int main(int argc, char** argv) {
  int64_t steps = 100, batch = 128;
  double lr = 1e-3;
  std::optional<int64_t> seed;

  const auto body = [&] {
    if (seed) Tensor::manual_seed(*seed);
    const auto [train, test] = data::mnist();
    examples::check_memory(text("--batch ", batch), double(batch) * (28 * 28 + 8 * 26 * 26) * sizeof(float));
    TinyConvNet model;
    optim::Adam adam(nn::parameters(model), {.lr = lr});
    {
      examples::Progress progress("training", steps);
      for (int64_t step = 0; step < steps; ++step) {
        const Tensor samples = Tensor::randint(0, train.size(), {batch});
        const Tensor x = train.images.index_select(0, samples).cast(DType::Float32);
        const Tensor y = train.labels.index_select(0, samples);
        adam.zero_grad();
        const Tensor logits = model(x), loss = logits.cross_entropy(y).backward();
        adam.step();
        progress.step(loss.item(), (logits.argmax(1) == y).mean().item());
      }
    }

    const NoGrad guard;
    double right = 0;
    for (int64_t i = 0; i < test.size(); i += 1000) {
      const Tensor x = test.images[{slice(i, i + 1000)}].cast(DType::Float32), y = test.labels[{slice(i, i + 1000)}];
      right += (model(x).argmax(1) == y).sum().item();
    }
    std::printf("test accuracy %.2f %%\n", 100 * right / double(test.size()));
  };
  return examples::run(argc, argv, "Trains teenygrad's convnet on MNIST.",
                       {{"--steps", &steps, "training steps"},
                        {"--batch", &batch, "random images a step", 1},
                        {"--lr", &lr, "learning rate of Adam"},
                        {"--seed", &seed, "of the random stream"}},
                       body);
}
