// A reduction in two stages: few long rows become many short ones, whose totals are reduced once more. Every part has its
// place in memory, so the result is the same bits every time; atomics would add in the order in which blocks happen to end.
//
// The parts are the first axis, so that what lies side by side in memory, rows or elements, still does.
//
//   sum of 2^26 floats      x x x x x x | x x x x x x | .. | x x x x x x      row kernel, (parts | length / parts)
//                                │             │                  │
//                                t             t      ..          t           in memory
//                                └─────────────┴───────┬──────────┘
//                                                    result                   row kernel, ( | parts), and what follows the sum
//
// Both are row kernels made as data: nothing here runs on the device. Where no number of parts divides the length the last,
// shorter part is a kernel of its own.
#include "tinyops/cuda/row/split.h"

#include <algorithm>
#include <map>

#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/cuda/runtime/views.h"

namespace tinyops::cuda {
namespace {

#ifdef TINYOPS_ON_HOST  // so that small tests are split, too
constexpr int64_t kLeastWork = 512, kLeastPart = 40;
#else
constexpr int64_t kLeastWork = 1 << 14, kLeastPart = 1 << 11;
#endif

const Reduce* reduction(const Instruction& i) { return std::get_if<Reduce>(&i.op); }

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
RowKernel merged(const RowKernel& k) {
  std::vector<const Affine*> forms;
  for (const Input& in : k.inputs) add_forms(in.operand.view, forms);
  for (const Output& out : k.outputs) add_forms(out.operand.view, forms);
  const MergedAxes axes = merge_axes(k.shape, forms, k.shape.size() - k.inner);
  RowKernel result = k;
  size_t form = 0;
  const auto rewrite = [&](Operand& operand) {
    operand.view.shape = axes.shape;
    operand.view.address.coef = axes.coefs[form++];
    for (Guard& guard : operand.view.guards) guard.position.coef = axes.coefs[form++];
  };
  for (Input& in : result.inputs) rewrite(in.operand);
  for (Output& out : result.outputs) rewrite(out.operand);
  result.shape = axes.shape;
  result.inner = axes.shape.size() - axes.border;
  return result;
}

/// Elements [start + part * length, start + (part + 1) * length) of axis `axis`, for `parts` parts, which become the first axis.
View cut(View view, int axis, int64_t start, int64_t length, int64_t parts) {
  const auto rewrite = [&](Affine& form) {
    const int64_t coef = form.coef[axis];
    form.offset += start * coef;
    form.coef.insert(0, length * coef);
  };
  rewrite(view.address);
  for (Guard& guard : view.guards) rewrite(guard.position);
  view.shape[axis] = length;
  view.shape.insert(0, parts);
  return view;
}

/// A row's place in an operand: its inner axes become one of `parts`, along which it stays where it is.
View of_row(View view, int outer, int64_t parts) {
  const auto rewrite = [&](Affine& form) {
    form.coef = Dims(form.coef.begin(), form.coef.begin() + outer);
    form.coef.push_back(0);
  };
  rewrite(view.address);
  for (Guard& guard : view.guards) rewrite(guard.position);
  view.shape = Shape(view.shape.begin(), view.shape.begin() + outer);
  view.shape.push_back(parts);
  return view;
}

/// The parts of a program that `keeps` names, with the numbers of the values in between changed.
std::vector<Instruction> shortened(const std::vector<Instruction>& program, const std::vector<bool>& keeps,
                                   std::map<int, int>& number) {
  std::vector<Instruction> result;
  for (size_t v = 0; v < program.size(); ++v) {
    if (!keeps[v]) continue;
    Instruction i = program[v];
    for (int& arg : i.args)
      if (arg >= 0) arg = number.at(arg);
    number[int(v)] = int(result.size());
    result.push_back(i);
  }
  return result;
}

}  // namespace

std::vector<RowKernel> split_reduction(const RowKernel& given, int64_t blocks) {
  const int64_t all = numel(given.shape), wanted = 4 * chip().processors;
  if (blocks >= wanted / 2 || all / std::max<int64_t>(blocks, 1) < kLeastWork || !is_plain_reduction(given)) return {};
  const RowKernel k = merged(given);
  const int rank = k.shape.size(), outer = rank - k.inner;
  const auto reduces = std::ranges::count_if(k.program, reduction);
  if (k.inner == 0 || rank == kMaxRank || reduces > kMaxOutputs) return {};
  if (int64_t(k.inputs.size()) + reduces > kMaxInputs) return {};

  // The longest inner axis is cut, into equal parts if there is such a number of them.
  const int axis = int(std::max_element(k.shape.begin() + outer, k.shape.end()) - k.shape.begin());
  const int64_t size = k.shape[axis], rows = numel(Shape(k.shape.begin(), k.shape.begin() + outer));
  const int64_t width = all / std::max<int64_t>(rows, 1), most = std::min(size, width / kLeastPart);
  int64_t parts = std::min(most, blocks_for(wanted, blocks));
  if (parts < 2) return {};
  for (int64_t more = parts; more <= std::min(most, 2 * parts); ++more)
    if (size % more == 0) {
      parts = more;
      break;
    }
  const int64_t length = size / parts, rest = size % parts, last = rest ? size - (parts - 1) * length : 0;

  // First: what the Reduces need. Second: the Reduces of the totals, and what follows them.
  const size_t count = k.program.size();
  std::vector<bool> before(count, false), after(count, false);
  for (size_t v = count; v-- > 0;)
    if (reduction(k.program[v]) || before[v]) {
      before[v] = true;
      for (int arg : k.program[v].args)
        if (arg >= 0) before[size_t(arg)] = true;
    }
  for (const Output& out : k.outputs) after[size_t(out.value)] = true;
  for (size_t v = count; v-- > 0;)
    if (after[v] && !reduction(k.program[v]))
      for (int arg : k.program[v].args)
        if (arg >= 0) after[size_t(arg)] = true;

  RowKernel first = k, second = k;
  std::map<int, int> number;
  first.program = shortened(k.program, before, number);
  first.shape[axis] = length;
  first.shape.insert(0, rest ? parts - 1 : parts);
  first.outputs.clear();
  RowKernel remainder = first;
  remainder.shape[axis + 1] = last, remainder.shape[0] = 1;
  for (size_t i = 0; i < k.inputs.size(); ++i) {
    const View& view = k.inputs[i].operand.view;
    first.inputs[i].operand.view = cut(view, axis, 0, length, first.shape[0]);
    remainder.inputs[i].operand.view = cut(view, axis, (parts - 1) * length, last, 1);
    second.inputs[i].operand.view = of_row(view, outer, parts);
  }
  second.shape = Shape(k.shape.begin(), k.shape.begin() + outer);
  second.shape.push_back(parts);
  second.inner = 1;
  second.program.clear(), second.outputs.clear();

  std::map<int, int> tail;
  for (size_t v = 0; v < count; ++v) {
    const Instruction& i = k.program[v];
    const auto* reduce = reduction(i);
    if (!reduce || !after[v]) continue;
    // A total of 16-bit numbers is not rounded on the way.
    const DType dtype = i.dtype == DType::Float16 || i.dtype == DType::BFloat16 ? DType::Float32 : i.dtype;
    Operand totals{std::make_shared<Buffer>(size_t(rows * parts * itemsize(dtype))), dtype,
                   View::contiguous(Shape(k.shape.begin(), k.shape.begin() + outer))};  // (parts, rows)
    const auto write = [&](RowKernel& kernel, int64_t part) {
      Operand to = totals;
      to.view.address.offset = part * rows;
      to.view.address.coef.insert(0, rows);
      while (to.view.address.coef.size() < kernel.shape.size()) to.view.address.coef.push_back(0);
      to.view.shape = kernel.shape;
      kernel.outputs.push_back({to, number.at(int(v))});
    };
    write(first, 0);
    write(remainder, parts - 1);
    totals.view.shape.push_back(parts), totals.view.address.coef.push_back(rows);
    const int input = int(second.inputs.size());
    second.inputs.push_back({Input::Kind::Memory, totals});
    second.program.push_back({Load{input}, i.dtype});
    second.program.push_back({*reduce, i.dtype, {int(second.program.size()) - 1, -1, -1}, true});
    tail[int(v)] = int(second.program.size()) - 1;

    after[v] = false;
  }
  if (int(second.program.size()) + int(std::ranges::count(after, true)) > kMaxInstructions) return {};
  for (size_t v = 0; v < count; ++v) {
    if (!after[v]) continue;
    Instruction i = k.program[v];
    for (int& arg : i.args)
      if (arg >= 0) arg = tail.at(arg);
    tail[int(v)] = int(second.program.size());
    second.program.push_back(i);
  }
  for (const Output& out : k.outputs)
    second.outputs.push_back({{out.operand.buffer, out.operand.dtype, of_row(out.operand.view, outer, parts)},
                              tail.at(out.value)});

  if (rest) return {first, remainder, second};
  return {first, second};
}

}  // namespace tinyops::cuda
