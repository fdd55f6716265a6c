// The decisions of row_plan.h.
#include "tinyops/cuda/row/row_plan.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>
#include <optional>

#include "tinyops/common/split_reduction.h"

namespace tinyops::cuda {
namespace {

constexpr int64_t kThreads = kRowThreads;
/// Above this, fewer than four blocks may fit a multiprocessor, and nothing hides one's waiting.
constexpr size_t kGoodShared = 24 * 1024;
/// Of a reduction in two stages: no block's work, and no part, is less.
#ifdef TINYOPS_ON_HOST  // so that small tests are split, too
constexpr int64_t kLeastWork = 512, kLeastPart = 40;
#else
constexpr int64_t kLeastWork = 1 << 14, kLeastPart = 1 << 11;
#endif

bool is_row(const RowKernel& k, const Output& out) { return k.program[size_t(out.value)].per_row; }

bool reduces(const RowKernel& k) {
  return std::ranges::any_of(k.program, [](const Instruction& i) { return std::holds_alternative<Reduce>(i.op); });
}

bool needs_wide_words(const RowKernel& k) {
  return std::ranges::any_of(k.program, [](const Instruction& i) { return itemsize(i.dtype) == 8; });
}

/// The forms of all operands, inputs before outputs, each operand's address before its guards.
std::vector<const Affine*> forms_of(const RowKernel& k) {
  std::vector<const Affine*> forms;
  for (const Input& in : k.inputs) add_forms(in.operand.view, forms);
  for (const Output& out : k.outputs) add_forms(out.operand.view, forms);
  return forms;
}

class Planner {
 public:
  LargeRows all;
  Grid grid;

  void plan_axes(const RowKernel& kernel);
  void plan_access(const RowKernel& kernel, int64_t group);
  void plan_work(const RowKernel& kernel, int64_t word);
};

/// Which axes are lanes, which steps, which fixed, and the forms over them.
void Planner::plan_axes(const RowKernel& k) {
  int outer = k.shape.size() - k.inner;
  const bool rows_are_written = std::ranges::any_of(k.outputs, [&](const Output& out) { return is_row(k, out); });
  if (!reduces(k) && !(k.inner > 0 && rows_are_written)) outer = k.shape.size();  // every element is a row of its own
  const std::vector<const Affine*> forms = forms_of(k);
  if (int(forms.size()) > all.kMostForms) fail("cuda: a row kernel of more than ", all.kMostForms, " affine forms");
  const MergedAxes merged = merge_axes(k.shape, forms, outer);
  const int rank = merged.shape.size(), border = merged.border;
  const auto count = [&](int from, int to) {
    return numel(Shape(merged.shape.begin() + from, merged.shape.begin() + to));
  };

  // The lanes are where memory is contiguous.
  int for_rows = 0, for_columns = 0;
  size_t form = 0;
  for (const Input& in : k.inputs) {
    const Dims& coef = merged.coefs[form];
    form += 1 + in.operand.view.guards.size();
    if (in.kind != Input::Kind::Memory || border == rank) continue;
    const bool by_inner = std::abs(coef[rank - 1]) == 1, by_outer = border > 0 && std::abs(coef[border - 1]) == 1;
    for_rows += by_inner, for_columns += by_outer && !by_inner;
  }
  const int64_t width = count(border, rank);
  all.columns = border == rank || (width < 8 && width > 0 && border > 0) || for_columns > for_rows;

  std::vector<int> order(size_t(rank), 0);  // of the merged axes: fixed, steps, lanes
  std::iota(order.begin(), order.end(), 0);
  if (all.columns) {
    // Lanes; then further axes may be fixed, whose place is found once for eight elements.
    constexpr int64_t kEnough = 1024;
    int first = border;
    while (first > 0 && count(first, border) < kEnough) --first;
    std::rotate(order.begin() + first, order.begin() + border, order.end());
    all.first_step = int16_t(first), all.first_lane = int16_t(first + rank - border);
    all.fixed = count(0, first), all.steps = width, all.lanes = count(first, border);
  } else {
    all.first_step = all.first_lane = int16_t(border);
    all.fixed = count(0, border), all.lanes = width;
  }
  all.axes = int16_t(rank);
  for (int a = 0; a < rank; ++a)
    if (const int64_t size = merged.shape[order[size_t(a)]]; size > 0)
      all.sizes[a] = Divider(size, std::max<int64_t>(numel(k.shape), 1));

  form = 0;
  const auto add = [&](const Affine& affine, int64_t size) {
    all.forms[form].offset = affine.offset, all.forms[form].size = size;
    for (int a = 0; a < rank; ++a) all.forms[form].coef[a] = merged.coefs[form][order[size_t(a)]];
    ++form;
  };
  const auto add_operand = [&](const Operand& operand, DeviceOperand& to) {
    to.form = int16_t(form), to.guards = int16_t(operand.view.guards.size()), to.dtype = operand.dtype;
    add(operand.view.address, 0);
    for (const Guard& guard : operand.view.guards) add(guard.position, guard.size);
  };
  for (size_t i = 0; i < k.inputs.size(); ++i) {
    add_operand(k.inputs[i].operand, all.inputs[i]);
    all.inputs[i].kind = k.inputs[i].kind;
  }
  for (size_t o = 0; o < k.outputs.size(); ++o) add_operand(k.outputs[o].operand, all.outputs[o]);
}

/// How the lanes of a thread lie, and how each operand is reached.
void Planner::plan_access(const RowKernel& k, int64_t group) {
  const int last = all.axes - 1, lane_axes = all.axes - all.first_lane;
  const auto moves = [&](const DeviceOperand& r) {  // from lane to lane
    for (int f = r.form; f <= r.form + r.guards; ++f)
      for (int a = all.first_lane; a < all.axes; ++a)
        if (all.forms[f].coef[a] != 0) return true;
    return false;
  };
  const auto step = [&](const DeviceOperand& r) { return lane_axes > 0 ? all.forms[r.form].coef[last] : 0; };
  const bool whole = lane_axes == 1 || (lane_axes > 0 && all.sizes[last].divisor() % group == 0);
  const auto fits_groups = [&](const DeviceOperand& r) {
    if (!whole || step(r) != 1 || r.guards > 0 || all.forms[r.form].offset % group != 0) return false;
    for (int a = 0; a < last; ++a)
      if (all.forms[r.form].coef[a] % group != 0) return false;
    return true;
  };
  const auto in_lanes = [&](size_t o) { return all.columns || !is_row(k, k.outputs[o]); };
  int fit = 0, misfit = 0;
  const auto look = [&](const DeviceOperand& r) {
    if (fits_groups(r)) ++fit;
    else if (step(r) != 0) ++misfit;  // apart, a warp's lanes are nearer to each other than four elements
  };
  for (size_t i = 0; i < k.inputs.size(); ++i)
    if (k.inputs[i].kind == Input::Kind::Memory) look(all.inputs[i]);
  for (size_t o = 0; o < k.outputs.size(); ++o)
    if (in_lanes(o)) look(all.outputs[o]);
  all.in_groups = whole && fit > 0 && misfit == 0;
  const auto choose = [&](DeviceOperand& r, bool same) {
    r.access = same || !moves(r) ? Access::Same : all.in_groups && fits_groups(r) ? Access::Groups : Access::Each;
  };
  for (size_t i = 0; i < k.inputs.size(); ++i) choose(all.inputs[i], false);
  for (size_t o = 0; o < k.outputs.size(); ++o) {
    choose(all.outputs[o], !in_lanes(o));
    if (in_lanes(o) && all.outputs[o].access == Access::Same) all.outputs[o].access = Access::Each;  // each lane stores
  }
}

/// The sections, their places, and how many threads share what. `word`: bytes of a value.
void Planner::plan_work(const RowKernel& k, int64_t word) {
  const int64_t group = 16 / word, each = 2 * group;
  const int64_t across = std::bit_ceil(uint64_t(blocks_for(std::max<int64_t>(all.lanes, 1), each)));
  std::optional<Sections> sections;
  int64_t threads = kThreads;
  const auto place = [&](bool keeps, int64_t most_in_group) {
    sections.emplace(k, all.columns, keeps);
    all.group = int16_t(all.columns ? 1 : std::min(across, most_in_group));
    const int64_t stretches = all.columns ? 1 : blocks_for(all.lanes, all.group * each);
    all.stretches = int16_t(stretches);  // of a row too long for this nothing is kept
    for (threads = kThreads;; threads /= 2) {
      const int64_t slots = sections->lane_slots + sections->kept * stretches;
      grid.shared = size_t(32 * slots + word * sections->scalars) * size_t(threads);
      if (grid.shared <= kGoodShared || threads == std::max<int64_t>(32, all.group)) break;
    }
  };
  const auto fits = [&] { return grid.shared + 1024 <= chip().shared && sections->kept <= kScalars - kKept; };
  place(true, kThreads);
  if (!fits()) place(false, kThreads);
  if (!fits()) place(false, 32);

  all.lane_slots = int16_t(sections->lane_slots), all.kept = int16_t(sections->kept),
  all.scalars = int16_t(sections->scalars);
  all.sections = int16_t(sections->codes.size());
  size_t count = 0;
  for (size_t s = 0; s < sections->codes.size(); ++s) {
    for (const BytecodeOp& code : sections->codes[s]) {
      if (count == size_t(all.kMostCodes)) fail("cuda: a row kernel of more than ", all.kMostCodes, " codes");
      all.codes[count++] = code;
    }
    all.begin[s + 1] = uint16_t(count);
  }
  std::ranges::copy(sections->constants, all.constants);
  for (size_t i = 0; i < k.inputs.size(); ++i) all.inputs[i].constant = sections->input_constants[i];

  int64_t x = threads, y = 1;
  if (all.columns) {
    x = std::min(threads, across);
    // Many steps are shared by the rows of a block's threads, few are taken by each thread for itself.
    if (all.steps >= 32) {
      x = std::min<int64_t>(x, 32);
      y = std::min<int64_t>(threads / x, int64_t(std::bit_floor(uint64_t(all.steps / 8))));
    }
    grid.shared = grid.shared / size_t(threads) * size_t(x * y);
    all.blocks = all.fixed * blocks_for(all.lanes, x * each);
  } else all.blocks = blocks_for(all.fixed, threads / all.group);
  grid.threads = dim3(unsigned(x), unsigned(y));
  grid.blocks = dim3(unsigned(std::clamp<int64_t>(all.blocks, 1, 1 << 30)));
}

/// The same arguments in less room.
template <class A>
A cut(const LargeRows& from) {
  A to;
  static_cast<RowCounts&>(to) = from;
  std::copy_n(from.begin, to.sections + 1, to.begin);
  std::copy_n(from.sizes, to.axes, to.sizes);
  for (int f = 0; f < A::kMostForms; ++f) {
    to.forms[f].offset = from.forms[f].offset, to.forms[f].size = from.forms[f].size;
    std::copy_n(from.forms[f].coef, to.axes, to.forms[f].coef);
  }
  std::ranges::copy(from.inputs, to.inputs);
  std::ranges::copy(from.outputs, to.outputs);
  std::ranges::copy(from.constants, to.constants);
  std::copy_n(from.codes, from.begin[from.sections], to.codes);
  return to;
}

}  // namespace

RowPlan::RowPlan(const RowKernel& kernel) {
  const auto planner = std::make_unique<Planner>();  // too large for a stack
  LargeRows& all = planner->all;
  const auto plan = [&](int64_t word) {
    planner->plan_access(kernel, 16 / word);
    planner->plan_work(kernel, word);
  };
  planner->plan_axes(kernel);
  const bool fits = !needs_wide_words(kernel) && numel(kernel.shape) < 1 << 30 && all.axes <= SmallRows::kAxes &&
                    int(forms_of(kernel).size()) <= SmallRows::kMostForms;
  if (fits) plan(4);
  if (fits && all.begin[all.sections] <= SmallRows::kMostCodes && all.sections <= SmallRows::kMostSections) {
    arguments = cut<SmallRows>(all);
    const auto plain = [](const DeviceOperand& r) { return r.kind == Input::Kind::Memory && r.guards == 0; };
    inlined = std::ranges::all_of(all.inputs, plain) &&
           std::all_of(all.codes, all.codes + all.begin[all.sections], can_inline);
  } else {
    plan(8);
    arguments = all;
  }
  grid = planner->grid;
  instead = split_reduction(kernel, all.blocks, {4 * chip().processors, kLeastWork, kLeastPart});
}

}  // namespace tinyops::cuda
