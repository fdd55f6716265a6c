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
  int64_t last = 0;
  for (int steps : {10, 20}) {
    Tensor z = x;
    for (int i = 0; i < steps; ++i) z = z / 2 + z / 2;
    last = ways(z.lazy(), x.lazy());
  }
  std::cout << "== paths\n" << text(last / 1000000, ',', (last / 1000) % 1000 < 100 ? "0" : "", (last / 1000) % 1000, ',', last % 1000) << "\n";
}
