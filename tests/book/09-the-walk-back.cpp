// The figure of notes/09-the-walk-back.md: a ladder of diamonds, the ways down through it, and how often its rules run.
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

/// How many ways lead from y down to x.
int64_t ways(const LazyBuffer& y, const LazyBuffer& x) {
  if (y.node() == x.node()) return 1;
  int64_t sum = 0;
  for (const LazyBuffer& source : y.node()->sources) sum += ways(source, x);
  return sum;
}

/// Hands values and gradients on, and counts the latter.
struct Counted : Function {
  int* runs;
  explicit Counted(int* runs) : runs(runs) {}
  LazyBuffer forward(const LazyBuffer& x) { return x; }
  Grads backward(const Tensor& grad, const Tensor&) override { return ++*runs, Grads{grad}; }
};

int main() {
  constexpr int kSteps = 4;
  int runs[kSteps + 1] = {};
  const Tensor x = Tensor::of({1.}).requires_grad_(true);
  std::vector<Tensor> y{apply(Counted(&runs[0]), x)};
  for (int i = 0; i < kSteps; ++i) y.push_back(apply(Counted(&runs[i + 1]), y[i] / 2 + y[i] / 2));
  (void)gradient(y.back().sum(), {x});
  std::cout << "== figure ladder\n";
  for (int i = 0; i <= kSteps; ++i) std::cout << ways(y.back().lazy(), y[i].lazy()) << "\t" << runs[i] << "\n";
  Tensor z = x;
  for (int i = 0; i < 20; ++i) z = z / 2 + z / 2;
  const std::string paths = text(ways(z.lazy(), x.lazy()));
  std::cout << "== paths\n" << paths[0] << "," << paths.substr(1, 3) << "," << paths.substr(4) << "\n";
}
