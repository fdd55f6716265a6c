// The figure of notes/04-the-reference.md: a kernel over windows, with what each index loads, and the sum of each row.
#include <iostream>

#include "tinyops/device.h"

using namespace tinyops;

int main() {
  const float x[] = {1, 2, 3, 4};
  const auto in = std::make_shared<Buffer>(sizeof x), out = std::make_shared<Buffer>(12 * sizeof(float));
  write(in->data(), x, sizeof x);
  const View windows = View::contiguous({4}).pad({1}, {1}).unfold(0, 3, 1);
  RowKernel k;
  k.shape = {4, 3}, k.inner = 1;
  k.inputs = {{.operand = {in, DType::Float32, windows}}};
  k.program = {{Load{0}, DType::Float32}, {Reduce{ReduceOp::Sum}, DType::Float32, {0, -1, -1}, true}};
  std::cout << "== figure rows\n";
  for (const int value : {0, 1}) {
    const View stored = value ? View::contiguous({4, 1}).expand({4, 3}) : View::contiguous({4, 3});
    k.outputs = {{{out, DType::Float32, stored}, value}};
    reference::run(k);
    float values[12];
    read(values, out->data(), sizeof values);
    for (int i = 0; i < (value ? 4 : 12); ++i)
      if (value || windows.valid({i / 3, i % 3})) std::cout << values[i] << " ";
      else std::cout << "none ";
    std::cout << "\n";
  }
}
