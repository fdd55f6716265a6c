// The program of README.md's Jit: its losses are as many as there are batches, and all but the first two come from a
// replay. And that of its training on many ranks, on one.
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

void train_on_ranks(const nn::Linear& model, optim::Adam& adam, const data::Dataset& train) {
#include "ranks"
}

int main() {
  const Training mode;
  nn::Linear model(4, 3);
  optim::Adam adam(nn::parameters(model));
  const data::Dataset train{Tensor::randn({80, 4}), Tensor::randint(0, 3, {80})};
  train_on_ranks(model, adam, train);
  data::DataLoader loader(train, {.batch_size = 8});
#include "step"
  return step.replays() == 8 ? 0 : 1;
}
