// The figures of notes/02-views.md: each view with, for every index, the address, or -1 where there is no element.
#include <iostream>

#include "tinyops/base/shape.h"

using namespace tinyops;

void print(const View& view) {
  std::cout << view << "\t";
  const Dims& shape = view.shape;
  for (int64_t i = 0; i < view.numel(); ++i) {
    Dims index = shape;
    int64_t rest = i;
    for (int a = shape.size() - 1; a >= 0; rest /= shape[a--]) index[a] = rest % shape[a];
    std::cout << (view.valid(index) ? view.address.at(index) : -1) << " ";
  }
  std::cout << "\n";
}

int main() {
  const View x = View::contiguous({2, 3}), row = View::contiguous({3}), four = View::contiguous({4});
  std::cout << "== figure strides\n";
  print(x);
  print(x.permute({1, 0}));
  std::cout << "== figure guard\n";
  print(row.pad({1}, {2}));
  std::cout << "== figure windows\n";
  print(four.pad({1}, {1}));
  print(four.pad({1}, {1}).unfold(0, 3, 1));
}
