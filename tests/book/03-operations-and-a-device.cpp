// What notes/03-operations-and-a-device.md says of operations, and its figure: a kernel, and all values of its program.
#include <iostream>

#include "teeny/debug/trace.h"
#include "tinyops/base/op.h"
#include "tinyops/device.h"

using namespace tinyops;

void traits_of(auto op) {
  const auto yes = [](bool is) { return is ? " | yes" : " | no"; };
  std::cout << "| " << op << " | " << cost(op) << yes(keeps_zero(op)) << yes(gives_bool(op)) << yes(rounds(op)) << " |\n";
}

int main() {
  std::cout << "== counts\n"
            << kCount<UnaryOp> << " unary\n"
            << kCount<BinaryOp> << " binary\n"
            << kCount<ReduceOp> << " reductions\n";
  std::cout << "== traits\n";
  traits_of(BinaryOp::Add), traits_of(UnaryOp::Exp), traits_of(UnaryOp::Tanh);
  traits_of(BinaryOp::Max), traits_of(BinaryOp::Lt);

  std::cout << "== figure kernel\n";
  const float x[] = {1, 2, 5, 3, 3, 4};
  const View view = View::contiguous({2, 3});
  const auto in = std::make_shared<Buffer>(sizeof x), out = std::make_shared<Buffer>(sizeof x);
  write(in->data(), x, sizeof x);
  RowKernel k;
  k.shape = {2, 3}, k.inner = 1;
  k.inputs = {{.operand = {in, DType::Float32, view}}};
  k.program = {{Load{0}, DType::Float32},
               {Reduce{ReduceOp::Sum}, DType::Float32, {0, -1, -1}, true},
               {BinaryOp::Div, DType::Float32, {0, 1, -1}}};
  for (int value = 0; value < 3; ++value) {  // what each of them is: it is stored
    k.outputs = {{{out, DType::Float32, view}, value}};
    if (k.program[size_t(value)].per_row) k.outputs[0].operand.view = View::contiguous({2, 1}).expand({2, 3});
    run(Kernel(k));
    float values[6];
    read(values, out->data(), sizeof values);
    std::cout << teeny::debug::op_name(k.program[size_t(value)]);
    for (const int arg : k.program[size_t(value)].args)
      if (arg >= 0) std::cout << " %" << arg;
    std::cout << "\t";
    for (int i = 0; i < (k.program[size_t(value)].per_row ? 2 : 6); ++i) std::cout << values[i] << " ";
    std::cout << "\n";
  }
}
