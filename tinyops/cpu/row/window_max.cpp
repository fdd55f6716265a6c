// The maximum of windows that overlap, a pooling, has the program
//
//   %0 = load 0    x, as windows        %1 = load 1    1 where x is no padding        %2 = -inf
//   %3 = where %1 %0 %2                 %4 = reduce Max %3                            store %4
//
// (or without %1 to %3), and then perhaps more for each %4. All up to there is a stencil, the rest its epilogue.
#include "tinyops/cpu/row/window_max.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "tinyops/common/stages.h"

namespace tinyops::cpu {
namespace {

/// A view of a row's values, over the outer axes alone.
View outer_view(const View& view, int outer) {
  const auto cut = [&](const Dims& dims) { return Dims(dims.begin(), dims.begin() + outer); };
  View result{cut(view.shape), {cut(view.address.coef), view.address.offset}, {}};
  for (const Guard& guard : view.guards)
    result.guards.push_back({{cut(guard.position.coef), guard.position.offset}, guard.size});
  return result;
}

/// What follows on value `reduced`, which is in output `stored` by then.
RowKernel epilogue_of(const RowKernel& kernel, int reduced, size_t stored) {
  const int outer = kernel.shape.size() - kernel.inner;
  RowKernel result{Shape(kernel.shape.begin(), kernel.shape.begin() + outer), 0, kernel.inputs, kernel.program,
                   kernel.outputs};
  result.program[size_t(reduced)] = {Load{int(kernel.inputs.size())}, kernel.program[size_t(reduced)].dtype};
  result.inputs.push_back({Input::Kind::Sum, kernel.outputs[stored].operand});
  result.outputs.erase(result.outputs.begin() + int64_t(stored));
  for (Input& input : result.inputs) input.operand.view = outer_view(input.operand.view, outer);
  for (Output& output : result.outputs) output.operand.view = outer_view(output.operand.view, outer);
  remove_unneeded(result);
  for (Instruction& instruction : result.program) instruction.per_row = false;
  return result;
}

/// The input that is reduced by value `reduced`, perhaps with -infinity for its padding; or null. Marks what is `used`.
const Input* find_pixels(const RowKernel& kernel, int reduced, std::vector<bool>& used) {
  const auto take = [&](int v) -> const Instruction& { return used[size_t(v)] = true, kernel.program[size_t(v)]; };
  const auto input_of = [&](const Instruction& i) {
    const auto* load = std::get_if<Load>(&i.op);
    return load ? &kernel.inputs[size_t(load->input)] : nullptr;
  };
  const Instruction& max = take(reduced);
  const Instruction* pixels = &take(max.args[0]);
  const Input* inside = nullptr;
  if (std::holds_alternative<TernaryOp>(pixels->op)) {
    inside = input_of(take(pixels->args[0]));
    const auto* padding = std::get_if<Constant>(&take(pixels->args[2]).op);
    pixels = &take(pixels->args[1]);
    if (!inside || inside->kind != Input::Kind::Constant || !inside->constant.as<bool>()) return nullptr;
    if (!padding || padding->value.as<double>() != -std::numeric_limits<double>::infinity()) return nullptr;
  }
  const Input* const image = input_of(*pixels);
  if (!image || image->kind != Input::Kind::Memory || image->operand.dtype != max.dtype) return nullptr;
  const auto& guards = image->operand.view.guards;
  return (inside ? inside->operand.view.guards == guards : guards.empty()) ? image : nullptr;
}

/// Whether all other values belong to rows, and none reads or stores what is used.
bool is_only_use(const RowKernel& kernel, int reduced, const std::vector<bool>& used) {
  const auto is_used_up = [&](int v) { return v >= 0 && v != reduced && used[size_t(v)]; };
  for (size_t v = 0; v < kernel.program.size(); ++v) {
    const Instruction& instruction = kernel.program[v];
    if (used[v]) continue;
    if (!instruction.per_row && !std::holds_alternative<Constant>(instruction.op)) return false;
    if (std::ranges::any_of(instruction.args, is_used_up)) return false;
  }
  return std::ranges::none_of(kernel.outputs, is_used_up, &Output::value);
}

}  // namespace

std::unique_ptr<StencilRows> find_window_max(const RowKernel& kernel) {
  const std::vector<Instruction>& program = kernel.program;
  const auto at = std::ranges::find_if(program, is_reduce);
  if (at == program.end() || std::get<Reduce>(at->op).op != ReduceOp::Max) return nullptr;
  if (std::find_if(at + 1, program.end(), is_reduce) != program.end()) return nullptr;
  if (at->dtype != DType::Float32 && at->dtype != DType::Float64) return nullptr;
  const int reduced = int(at - program.begin()), outer = kernel.shape.size() - kernel.inner;
  std::vector<bool> used(program.size(), false);
  const Input* const image = find_pixels(kernel, reduced, used);
  if (!image || !is_only_use(kernel, reduced, used)) return nullptr;
  const auto is_maximum = [&](const Output& o) { return o.value == reduced && o.operand.dtype == at->dtype; };
  const auto stored = std::ranges::find_if(kernel.outputs, is_maximum);
  if (stored == kernel.outputs.end()) return nullptr;

  StencilAxes axes;
  for (int a = 0; a < kernel.shape.size(); ++a)
    if (kernel.shape[a] > 1) (a < outer ? axes.columns : axes.reduced).push_back(a);
  Operand out = stored->operand;
  const bool wide = out.dtype == DType::Float64;
  const auto stencil = find_stencil(axes, nullptr, image->operand.view, out.view, wide);
  if (!stencil) return nullptr;
  out.view = outer_view(out.view, outer);
  return std::make_unique<StencilRows>(*stencil, std::nullopt, image->operand, out,
                                       epilogue_of(kernel, reduced, size_t(stored - kernel.outputs.begin())));
}

}  // namespace tinyops::cpu
