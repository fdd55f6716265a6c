// The program of notes/15-recording-a-step.md: a step that is recorded gives the losses of one that is not, and a Jit says why it did
// not replay.
#include <cstdlib>
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

struct Model {
  nn::Linear in{4, 8}, out{8, 3};
  nn::Dropout drop{0.5};
  Tensor operator()(const Tensor& x) const { return out(drop(in(x).relu())); }
  TEENY_STATE(in, out, drop)
};

double train(bool recorded) {
  Tensor::manual_seed(1);
  const Training mode;
  Model model;
  optim::Adam adam(nn::parameters(model), {.lr = 1e-2});
  data::DataLoader loader(Tensor::randn({80, 4}), Tensor::randint(0, 3, {80}), {.batch_size = 8});
  double total = 0;
  if (recorded) {
#include "step"
    if (step.replays() != 8) std::exit(1);
  } else {
    for (auto [x, y] : loader) {
      adam.zero_grad();
      const Tensor loss = model(x).cross_entropy(y).backward();
      adam.step();
      total += loss.item();
    }
  }
  return total;
}

/// The message of the Error that `call` throws.
template <class Call>
std::string error_of(Call&& call) {
  try {
    for (int i = 0; i < 3; ++i) call();
    return "no error\n";
  } catch (const Error& error) {
    return std::string(error.what()) + "\n";
  }
}

int main() {
  setenv("DEBUG", "1", 1);
  if (train(true) != train(false)) return 1;

  Tensor w = Tensor::ones({2, 2}).contiguous().realize(), kept;
  w.requires_grad_();
  const Tensor x = Tensor::ones({2, 2}).contiguous().realize();
  Jit reads([](const Tensor& in) { return in * in.sum().item(); });
  Jit keeps([&](const Tensor& in) { return kept = in + 1, in * 2; });
  Jit adds([&](const Tensor& in) { return (in * w).sum().backward(); });
  const std::string errors = error_of([&] { reads(x); }) + error_of([&] { keeps(x); }) + error_of([&] { adds(x); });

  std::cout << "== reasons" << std::endl;
  Jit step([&](const Tensor& in) { return (in * w).sum(); });
  for (int call = 1; call <= 7; ++call) {
    if (call == 7) w.requires_grad_(false);
    step(x);
  }
  std::cout << "== errors\n" << errors << "== " << std::endl;
}
