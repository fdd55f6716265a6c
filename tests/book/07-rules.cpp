// The figure of notes/07-rules.md: the numbers that go through a product, forward and back.
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

void print(const char* name, const Tensor& x) {
  std::cout << name << "\t";
  for (float value : x.to_vector<float>()) std::cout << value << " ";
  std::cout << "\n";
}

int main() {
  const Tensor x = Tensor::of({2.f, 3}).requires_grad_(true), y = Tensor::of({5.f, 7}).requires_grad_(true), z = x * y;
  const std::vector<Tensor> grads = gradient((z * Tensor::of({1.f, 10})).sum(), {x, y, z});
  std::cout << "== figure product\n";
  print("x", x), print("y", y), print("z", z);
  print("dx", grads[0]), print("dy", grads[1]), print("grad", grads[2]);
}
