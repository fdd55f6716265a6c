// The figure of notes/11-layers-and-steps.md: three optimisers in a valley, x^2 / 2 + 25 y^2 / 2, from one place.
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

template <class Optimiser, class Options>
void descend(const char* name, const Options& options) {
  Tensor place = Tensor::of({-4, 1.2}).requires_grad_();
  Optimiser optimiser({place}, options);
  std::cout << name << " " << options.lr << "\n";
  for (int step = 0; step <= 60; ++step) {
    optimiser.zero_grad();
    const Tensor loss = ((Tensor::of({1, 25}) * place.square()).sum() / 2).backward();
    std::cout << place[0].item() << " " << place[1].item() << " " << loss.item() << ";";
    optimiser.step();
  }
  std::cout << "\n";
}

int main() {
  std::cout << "== figure descent\n";
  descend<optim::SGD>("SGD", optim::SGDOptions{.lr = 0.07});
  descend<optim::SGD>("momentum", optim::SGDOptions{.lr = 0.03, .momentum = 0.8});
  descend<optim::Adam>("Adam", optim::AdamOptions{.lr = 0.3});
}
