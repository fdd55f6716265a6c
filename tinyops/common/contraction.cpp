#include "tinyops/common/contraction.h"

#include <algorithm>

namespace tinyops {

bool moves(const View& view, int axis) {
  auto moves_along = [&](const Affine& form) { return form.coef[axis] != 0; };
  return moves_along(view.address) || std::ranges::any_of(view.guards, moves_along, &Guard::position);
}

ContractAxes contract_axes(const Shape& shape, int reduced, const View& a, const View& b) {
  ContractAxes axes;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const bool in_a = moves(a, i), in_b = moves(b, i);
    (i >= shape.size() - reduced ? axes.reduced : in_a == in_b ? axes.batch : in_a ? axes.a : axes.b).push_back(i);
  }
  return axes;
}

Dims pick(const Dims& from, const std::vector<int>& axes) {
  Dims result;
  for (int a : axes) result.push_back(from[a]);
  return result;
}

bool is_sum(const RowKernel& epilogue, const Output& output) {
  const auto* load = std::get_if<Load>(&epilogue.program[size_t(output.value)].op);
  return load && epilogue.inputs[size_t(load->input)].kind == Input::Kind::Sum;
}

int output_for_sums(const RowKernel& epilogue, DType dtype) {
  auto lies_over_input = [&](const Output& output) {
    return std::ranges::any_of(epilogue.inputs,
                               [&](const Input& i) { return i.operand.buffer == output.operand.buffer; });
  };
  int found = -1;
  for (int o = 0; o < int(epilogue.outputs.size()); ++o) {
    const Output& output = epilogue.outputs[size_t(o)];
    if (output.operand.dtype != dtype) continue;
    if (is_sum(epilogue, output)) return o;
    if (found < 0 && !lies_over_input(output)) found = o;
  }
  return found;
}

}  // namespace tinyops
