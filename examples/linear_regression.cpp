// The smallest training there is: a line through noisy points, by hand. No layer, no optimiser: two tensors that
// require a gradient, a loss, and steps against the gradient.
#include <cstdio>

#include "examples/common.h"
#include "teeny/teeny.h"

using namespace teeny;

int main(int argc, char** argv) {
  int64_t points = 200, steps = 100;
  double lr = 0.1, noise = 0.3;
  std::optional<int64_t> seed;

  const auto body = [&] {
    examples::check_memory(text("--points ", points), 16.0 * double(points));  // x, y, and a step's values
    if (seed) Tensor::manual_seed(*seed);
    // The truth, which the training never sees: y = 3 x - 2.
    const Tensor x = Tensor::uniform({points}, -2, 2).realize();
    const Tensor y = (3 * x - 2 + Tensor::normal({points}, 0, noise)).realize();

    double first = 0, last = 0;
    Tensor slope = Tensor::zeros({}).requires_grad_(), shift = Tensor::zeros({}).requires_grad_();
    for (int64_t step = 0; step < steps; ++step) {
      slope.zero_grad(), shift.zero_grad();
      const Tensor loss = (slope * x + shift).mse_loss(y).backward();
      const NoGrad guard;  // the step itself is not to be differentiated
      slope.assign(slope - lr * slope.grad());
      shift.assign(shift - lr * shift.grad());
      last = loss.item();
      examples::check_loss(last, step, step == 0);
      if (step == 0) first = last;
      if (step % 10 == 0) std::printf("step %3lld  loss %.4f\n", (long long)step, last);
    }
    if (steps > 0) examples::check_loss((slope * x + shift).mse_loss(y).item(), steps);
    if (last > first) fail("the loss has grown from ", first, " to ", last, ": --lr ", lr, " is too large");
    std::printf("final y = %.3f x %+.3f\n", slope.item(), shift.item());
  };
  return examples::run(argc, argv, "Finds the line y = 3 x - 2 behind noisy points.",
                       {{"--points", &points, "how many points", 1},
                        {"--steps", &steps, "steps of gradient descent"},
                        {"--lr", &lr, "how far a step goes along the gradient"},
                        {"--noise", &noise, "standard deviation of the points around the line", 0, 1000},
                        {"--seed", &seed, "of the random stream"}},
                       body);
}
