#include "tinyops/common/split_reduction.h"

#include <algorithm>

#include "tinyops/base/merge_axes.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/common/stages.h"
#include "tinyops/device.h"

namespace tinyops {
namespace {

const Reduce* reduction(const Instruction& i) { return std::get_if<Reduce>(&i.op); }

/// Calls `f` for the address and for the position of each guard.
template <class F>
void for_forms(View& view, F&& f) {
  f(view.address);
  for (Guard& guard : view.guards) f(guard.position);
}

std::vector<View*> views_of(RowKernel& k) {
  std::vector<View*> views;
  for (Input& in : k.inputs) views.push_back(&in.operand.view);
  for (Output& out : k.outputs) views.push_back(&out.operand.view);
  return views;
}

/// Whether all Reduces stand at the end: nothing that belongs to an element waits for one, or is stored.
bool is_plain_reduction(const RowKernel& k) {
  std::vector<bool> after;  // a Reduce
  bool some = false;
  for (const Instruction& i : k.program) {
    const bool waits = std::ranges::any_of(i.args, [&](int arg) { return arg >= 0 && after[size_t(arg)]; });
    if (waits && (!i.per_row || reduction(i))) return false;
    some |= reduction(i) != nullptr;
    after.push_back(waits || reduction(i));
  }
  return some && std::ranges::all_of(k.outputs, [&](const Output& o) { return k.program[size_t(o.value)].per_row; });
}

/// The kernel with as few axes as its operands allow.
RowKernel merged(RowKernel k) {
  std::vector<Dims*> strides;
  for (View* view : views_of(k)) for_forms(*view, [&](Affine& form) { strides.push_back(&form.coef); });
  const int border = merge_axes(k.shape, strides, k.shape.size() - k.inner);
  k.inner = k.shape.size() - border;
  for (View* view : views_of(k)) view->shape = k.shape;
  return k;
}

/// Elements [start + part * length, start + (part + 1) * length) of axis `axis`, for `parts` parts, which become the
/// first axis.
void cut(RowKernel& k, int axis, int64_t start, int64_t length, int64_t parts) {
  k.shape[axis] = length, k.shape.insert(0, parts);
  for (View* view : views_of(k)) {
    for_forms(*view, [&](Affine& form) {
      form.offset += start * form.coef[axis];
      form.coef.insert(0, length * form.coef[axis]);
    });
    view->shape = k.shape;
  }
}

}  // namespace

Operand totals_of_parts(const Shape& shape, int64_t parts, DType dtype, const BufferRef& buffer) {
  Operand totals{buffer, dtype, View::contiguous(shape)};
  totals.view.shape.push_back(parts), totals.view.address.coef.push_back(numel(shape));
  return totals;
}

RowKernel reduce_parts(const RowKernel& rows, int64_t parts, const std::vector<PartialReduction>& partial) {
  RowKernel result{rows.shape, 1, rows.inputs, {}, rows.outputs};
  result.shape.push_back(parts);
  for (View* view : views_of(result)) {
    for_forms(*view, [](Affine& form) { form.coef.push_back(0); });
    view->shape.push_back(parts);
  }
  std::vector<Instruction>& program = result.program;
  std::vector<int> new_index(rows.program.size(), -1);
  for (const PartialReduction& p : partial) {
    if (p.input == int(result.inputs.size())) result.inputs.emplace_back();
    result.inputs[size_t(p.input)] = {Input::Kind::Memory, p.totals};
    const DType dtype = rows.program[size_t(p.value)].dtype;
    const int load = int(program.size());
    program.push_back({Load{p.input}, p.dtype});
    program.push_back({Reduce{p.op}, p.dtype, {load, -1, -1}, true});
    if (dtype != p.dtype) program.push_back({UnaryOp::Cast, dtype, {load + 1, -1, -1}, true});
    new_index[size_t(p.value)] = int(program.size()) - 1;
  }
  std::vector<bool> needed(rows.program.size(), false);
  for (const Output& out : rows.outputs) needed[size_t(out.value)] = true;
  add_arguments(rows.program, new_index, needed);
  const size_t first = program.size();
  append(rows.program, needed, new_index, program);
  for (size_t v = first; v < program.size(); ++v) program[v].per_row = true;
  for (Output& out : result.outputs) out.value = new_index[size_t(out.value)];
  return result;
}

std::vector<RowKernel> split_reduction(const RowKernel& given, int64_t blocks, const SplitLimits& limits) {
  blocks = std::max<int64_t>(blocks, 1);
  const int64_t all = numel(given.shape);
  if (blocks >= limits.blocks / 2 || all / blocks < limits.block_work || !is_plain_reduction(given)) return {};
  const RowKernel k = merged(given);
  const int rank = k.shape.size(), outer = rank - k.inner;
  const auto reduces = std::ranges::count_if(k.program, reduction);
  if (k.inner == 0 || rank == kMaxRank || reduces > kMaxOutputs) return {};
  if (int64_t(k.inputs.size()) + reduces > kMaxInputs) return {};

  // The longest inner axis is cut, into equal parts if there is such a number of them.
  const Shape row_shape(k.shape.begin(), k.shape.begin() + outer);
  const int axis = int(std::max_element(k.shape.begin() + outer, k.shape.end()) - k.shape.begin());
  const int64_t size = k.shape[axis], rows = numel(row_shape);
  const int64_t width = all / std::max<int64_t>(rows, 1), most = std::min(size, width / limits.part_length);
  int64_t parts = std::min(most, (limits.blocks + blocks - 1) / blocks);
  if (parts < 2) return {};
  for (int64_t more = parts; more <= std::min(most, 2 * parts); ++more)
    if (size % more == 0) {
      parts = more;
      break;
    }
  const int64_t length = size / parts, rest = size % parts, last = rest ? size - (parts - 1) * length : 0;

  // First: what the Reduces need, and they. Second: the Reduces of their totals, and what follows them.
  RowKernel first = k, second = k;
  std::vector<int> new_index(k.program.size(), -1);
  std::vector<bool> needed;
  for (const Instruction& i : k.program) needed.push_back(reduction(i));
  add_arguments(k.program, new_index, needed);
  first.program.clear(), first.outputs.clear();
  append(k.program, needed, new_index, first.program);
  RowKernel remainder = first;
  cut(first, axis, 0, length, rest ? parts - 1 : parts);
  cut(remainder, axis, (parts - 1) * length, last, 1);
  second.shape = row_shape;
  for (View* view : views_of(second)) {
    for_forms(*view, [&](Affine& form) { form.coef = Dims(form.coef.begin(), form.coef.begin() + outer); });
    view->shape = row_shape;
  }

  std::vector<PartialReduction> partial;
  for (size_t v = 0; v < k.program.size(); ++v) {
    const Reduce* const reduce = reduction(k.program[v]);
    if (!reduce) continue;
    // A total of 16 bits is not rounded on the way.
    const DType dtype = k.program[v].dtype, stored = compute_dtype(dtype);
    const auto buffer = std::make_shared<Buffer>(size_t(rows * parts * itemsize(stored)));
    const int input = int(k.inputs.size() + partial.size());
    partial.push_back({int(v), reduce->op, dtype, input, totals_of_parts(row_shape, parts, stored, buffer)});
    const auto write = [&](RowKernel& kernel, int64_t part) {
      Operand to{buffer, stored, View::contiguous(row_shape)};
      to.view.address.offset = part * rows;
      to.view.address.coef.insert(0, rows);
      while (to.view.address.coef.size() < kernel.shape.size()) to.view.address.coef.push_back(0);
      to.view.shape = kernel.shape;
      kernel.outputs.push_back({to, new_index[v]});
    };
    write(first, 0);
    write(remainder, parts - 1);
  }
  second = reduce_parts(second, parts, partial);
  if (second.program.size() > kMaxInstructions) return {};
  if (rest) return {first, remainder, second};
  return {first, second};
}

}  // namespace tinyops
