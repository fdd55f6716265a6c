// Planning a row kernel: which axes are lanes, and how tiles are cut from them. See the drawings in row_plan.h.
#include "tinyops/cpu/row/row_plan.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "tinyops/base/merge_axes.h"
#include "tinyops/common/stages.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kShortRow = 32;         // rows shorter than this are better taken side by side
constexpr int64_t kPackedTile = 4 * kTile;   // rows up to kPackedLength share the set-up of a tile, a few at least
constexpr int64_t kPackedRows = 4, kPackedLength = 1024;
constexpr int64_t kNarrow = 64;           // rows side by side, at least; where there are many, kWide at least: each of
constexpr int64_t kWide = 128;            // their runs in memory may be in another page
constexpr int64_t kLongAxis = 128;        // tiles do not cross the end of a last lane axis this long: no run is cut
// A box is read in runs of a cache line, along the axis that is contiguous in the operand, and written in longer ones.
constexpr int64_t kBoxRows = 16, kBoxColumns = 128;
constexpr int64_t kKeptBytes = 256 << 10;  // what a block keeps between stages should fit the second-level cache
constexpr size_t kMostCached = 48 << 20;  // a last-level cache larger than this is shared with many other cores
constexpr int64_t kEnoughBlocks = 16;
constexpr int64_t kChunkElements = 1 << 14;

/// The last-level cache, or a usual size where the system does not tell.
size_t cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  static const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes > 0) return size_t(bytes);
#endif
  return size_t(32) << 20;
}

PlannedOperand plan_operand(const Operand& operand, int first_form, bool is_input) {
  PlannedOperand planned;
  planned.operand = &operand, planned.first_form = first_form;
  planned.itemsize = itemsize(operand.dtype);
  planned.convert = conversion(operand.dtype, is_input);
  planned.access.count = 1 + int(operand.view.guards.size());
  if (planned.access.count > kMaxForms) fail("cpu: a view with ", planned.access.count - 1, " guards is too much");
  if (operand.buffer) planned.access.elements = int64_t(operand.buffer->bytes()) / planned.itemsize;
  return planned;
}

}  // namespace

RowPlan::RowPlan(const RowKernel& k) : kernel(k) {
  const bool elementwise = is_elementwise();
  plan_values(elementwise);
  plan_axes(elementwise);
  plan_stages();
  plan_tiles(elementwise);
  if (!box.empty() && !deep) return;  // the lanes differ from tile to tile
  Shape lanes = lane_shape;
  if (deep) lanes[0] = lanes[1] = Block::kMost + 1;  // so that no block has all of them
  for (std::vector<PlannedOperand>* all : {&inputs, &outputs})
    for (PlannedOperand& planned : *all)
      planned.block = Block(&forms[size_t(planned.first_form)], planned.access.count, lanes);
}

void RowPlan::find_memory() {
  for (std::vector<PlannedOperand>* all : {&inputs, &outputs})
    for (PlannedOperand& planned : *all)
      if (Buffer* buffer = planned.operand->buffer.get()) planned.access.memory = static_cast<char*>(buffer->data());
}

/// Without a Reduce, and with nothing written once a row, inner axes are no different from outer ones.
bool RowPlan::is_elementwise() const {
  if (std::ranges::any_of(kernel.program, is_reduce)) return false;
  return kernel.inner == 0 ||
         std::ranges::none_of(kernel.outputs, [&](const Output& o) { return kernel.program[size_t(o.value)].per_row; });
}

void RowPlan::plan_values(bool elementwise) {
  values.resize(kernel.program.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const Instruction& step = kernel.program[i];
    values[i].dtype = compute_dtype(step.dtype);
    values[i].is_row = is_reduce(step) || (step.per_row && !elementwise);
    values[i].is_fixed = std::holds_alternative<Constant>(step.op);
    if (const auto* load = std::get_if<Load>(&step.op)) {
      const View& view = kernel.inputs[size_t(load->input)].operand.view;
      values[i].is_fixed = view.guards.empty() && !view.shape.contains(0);  // of no elements none may be there
      for (int a = 0; a < view.rank(); ++a) values[i].is_fixed &= view.shape[a] == 1 || view.address.coef[a] == 0;
    }
    value_bytes = std::max(value_bytes, itemsize(values[i].dtype));
  }
}

// ---- Axes -----------------------------------------------------------------------------------------------------------

/// 0 <= o < n is 0 <= o * K + k < n * K where k is from 0 to K: a guard on an axis that others of K elements lie within
/// looks at all of them, which can then be one axis. Padding before the last axis of an image leaves long runs.
static void count_along_all_axes(AffineForm& guard, const Shape& sizes, int outer) {
  int last = sizes.size() - 1;
  while (last >= 0 && (guard.fixed[last] == 0 || sizes[last] == 1)) --last;
  const int end = last < outer ? outer : sizes.size();
  if (last < 0 || guard.fixed[last] != 1) return;
  int64_t inside = 1;
  for (int a = end - 1; a > last; --a) guard.fixed[a] = inside, inside *= std::max<int64_t>(sizes[a], 1);
  for (int a = 0; a <= last; ++a) guard.fixed[a] *= inside;
  guard.offset *= inside, guard.size *= inside;
}

/// Axes of size 1 go. The others are ordered so that the first output is written as it lies in memory (the inner ones:
/// the first input read), and neighbours that every operand walks through without a gap become one.
void RowPlan::plan_axes(bool elementwise) {
  const int rank = kernel.shape.size(), inner = elementwise ? 0 : kernel.inner;
  auto add = [&](const View& view) {
    forms.push_back({{}, view.address.coef, view.address.offset});
    for (const Guard& g : view.guards) forms.push_back({{}, g.position.coef, g.position.offset, g.size});
  };
  for (const Input& input : kernel.inputs) {
    inputs.push_back(plan_operand(input.operand, int(forms.size()), true));
    inputs.back().kind = input.kind;
    if (input.kind != Input::Kind::Memory) inputs.back().convert = nullptr;
    add(input.operand.view);
    prefetch |= inputs.back().access.elements * inputs.back().itemsize > kKeptBytes;
  }
  size_t bytes = 0;
  for (const Output& output : kernel.outputs) {
    outputs.push_back(plan_operand(output.operand, int(forms.size()), false));
    bytes += size_t(output.operand.view.numel() * outputs.back().itemsize);
    add(output.operand.view);
  }
  stream = bytes > std::min(cache_bytes() / 2, kMostCached);

  Dims axes = range(0, rank);
  int outer = rank - inner;
  auto by_stride = [&](const Dims& stride) {
    return [&](int64_t a, int64_t b) { return std::abs(stride[int(a)]) > std::abs(stride[int(b)]); };
  };
  if (!outputs.empty())
    std::stable_sort(axes.begin(), axes.begin() + outer, by_stride(forms[size_t(outputs[0].first_form)].fixed));
  for (const PlannedOperand& input : inputs) {
    const Dims& stride = forms[size_t(input.first_form)].fixed;
    if (input.kind != Input::Kind::Memory) continue;
    auto stays = [&](int64_t a) { return kernel.shape[int(a)] == 1 || stride[int(a)] == 0; };
    if (std::all_of(axes.begin() + outer, axes.end(), stays)) continue;
    std::stable_sort(axes.begin() + outer, axes.end(), by_stride(stride));
    break;
  }

  auto ordered = [&](const Dims& dims) {
    Dims result;
    for (int64_t a : axes) result.push_back(dims[int(a)]);
    return result;
  };
  Shape sizes = ordered(kernel.shape);
  std::vector<Dims*> strides;
  for (AffineForm& f : forms) f.fixed = ordered(f.fixed), strides.push_back(&f.fixed);
  for (AffineForm& f : forms)
    if (f.size > 0) count_along_all_axes(f, sizes, outer);
  outer = merge_axes(sizes, strides, outer);
  choose_lanes(sizes, outer, elementwise);
}

/// Cuts the axes, outer ones first, into lanes and fixed ones.
void RowPlan::choose_lanes(const Shape& sizes, int outer, bool elementwise) {
  const int rank = sizes.size();
  int64_t outer_size = 1, inner_size = 1;
  for (int a = 0; a < rank; ++a) (a < outer ? outer_size : inner_size) *= sizes[a];
  if (inner_size > 1) {
    int64_t votes = 0;  // of the operands whose memory is contiguous one way or the other: a vote for each element
    auto vote = [&](const PlannedOperand& operand) {
      const Dims& coef = forms[size_t(operand.first_form)].fixed;
      if (operand.kind != Input::Kind::Memory) return;
      int64_t elements = 1;
      for (int a = 0; a < rank; ++a)
        if (coef[a] != 0) elements *= sizes[a];
      if (std::abs(coef[rank - 1]) == 1) votes += elements;
      if (outer > 0 && std::abs(coef[outer - 1]) == 1) votes -= elements;
    };
    for (const PlannedOperand& input : inputs) vote(input);
    for (const PlannedOperand& output : outputs) vote(output);
    const bool inner_contiguous = votes > 0 || (votes == 0 && inner_size >= 2 * kShortRow);
    lanes_are_inner = outer_size < kStep || (inner_contiguous && inner_size >= kShortRow) ||
                      (sizes[outer - 1] < kStep && inner_size >= 2 * kShortRow);
  }
  // An elementwise kernel that reads along one axis and writes along another works on boxes of the two.
  int turned = -1;
  const int last = outer - 1;
  if (elementwise && outer >= 2 && sizes[last] >= kStep)
    for (const PlannedOperand& input : inputs) {
      const Dims& coef = forms[size_t(input.first_form)].fixed;
      if (turned >= 0 || input.kind != Input::Kind::Memory || coef[last] == 0 || std::abs(coef[last]) == 1) continue;
      for (int a = 0; a < last; ++a)
        if (std::abs(coef[a]) == 1 && sizes[a] >= kStep / 2) turned = a;
    }
  if (turned >= 0) {
    auto turn = [&](Dims& dims) { std::rotate(dims.begin() + turned, dims.begin() + turned + 1, dims.begin() + last); };
    fixed_shape = sizes;
    turn(fixed_shape);
    lane_shape = {fixed_shape[last - 1], fixed_shape[last]};
    for (AffineForm& f : forms) {
      turn(f.fixed);
      f.lane = {f.fixed[last - 1], f.fixed[last]};
    }
    const int64_t columns = std::min(kBoxColumns, lane_shape[1]);
    box = {std::min(kBoxRows * kBoxColumns / columns, lane_shape[0]), columns};
    box_axes = {last - 1, last};
    return;
  }
  // Short rows are packed: the last outer axis becomes a lane, too.
  packed = lanes_are_inner && outer > 0 && inner_size > 0 && inner_size <= kPackedLength;
  const int first_lane = packed ? outer - 1 : outer;
  auto split = [&](const Dims& dims, Dims& fixed, Dims& lanes) {
    for (int a = 0; a < rank; ++a) ((a < first_lane) == lanes_are_inner ? fixed : lanes).push_back(dims[a]);
  };
  split(sizes, fixed_shape, lane_shape);
  for (AffineForm& f : forms) split(std::exchange(f.fixed, {}), f.fixed, f.lane);
  if (packed)
    row_length = inner_size, block_rows = std::min(std::max(kPackedTile / inner_size, kPackedRows), sizes[outer - 1]);
  row_forms = forms;
  for (AffineForm& f : row_forms) f.lane = {packed ? f.lane[0] : 0};
  if (lane_shape.empty()) {
    lane_shape.push_back(1);
    for (AffineForm& f : forms) f.lane.push_back(0);
  }
}

// ---- Tiles ----------------------------------------------------------------------------------------------------------

/// The axes that boxes are cut from count them.
void RowPlan::count_boxes() {
  for (int i : {0, 1}) {
    int64_t& size = fixed_shape[int(box_axes[i])];
    size = (size + box[i] - 1) / box[i];
  }
}

bool RowPlan::is_one_pass() const {
  return std::ranges::count_if(stages, [](const Stage& s) { return !s.tiles.empty(); }) <= 1;
}

void RowPlan::plan_tiles(bool elementwise) {
  const int64_t lanes = numel(lane_shape), fixed = numel(fixed_shape);
  work = (box.empty() ? lanes * fixed : fixed) * int64_t(values.size() + 1);
  if (!box.empty()) {
    tile = whole_steps(box[0] * box[1]);
    count_boxes();
    blocks = numel(fixed_shape);
    return;
  }
  if (packed) {  // a block is one tile
    tile = whole_steps(block_rows * row_length);
    blocks = fixed * ((lane_shape[0] + block_rows - 1) / block_rows);
    return;
  }
  const int64_t last = lane_shape[lane_shape.size() - 1];
  period = last >= kLongAxis ? last : lanes;
  int64_t most = kTile;
  if (!lanes_are_inner && !elementwise) {
    if (kept > 0) most = std::min(most, kKeptBytes / (kept * value_bytes * std::max<int64_t>(fixed, 1)));
    if (!is_one_pass()) most = std::min(most, lanes / kEnoughBlocks);
    most = std::max(most, std::clamp(2 * lanes / kEnoughBlocks, kNarrow, kWide));
    if (fixed > 1 && 2 * std::min(most, lanes) <= kTile) return plan_deep_tiles(most);
  }
  per_period = std::max<int64_t>(1, (period + most - 1) / most);
  tile = std::max(kStep, whole_steps((period + per_period - 1) / per_period));
  per_period = (period + tile - 1) / tile;
  const int64_t stretches = period ? lanes / period * per_period : 0;
  blocks = lanes_are_inner ? fixed : stretches;
  if (!lanes_are_inner) block_rows = tile;
  tiles = lanes_are_inner ? stretches : fixed;
  plan_chunks(lanes * fixed);
}

/// Where few rows go side by side, be it that there are no more or that what is kept of more would not fit the cache, a
/// tile takes several inner elements of each. Its lanes are a stretch of the last inner axis, a stretch of one outer
/// axis and the outer axes within that.
///
///   rows     a b c d        one tile     a0 b0 a1 b1 a2 b2      and the next ones    c0 d0 c1 d1 c2 d2
///   inner 0  . . | .                                                                 a3 b3 ...
///         1  . . | .
///         2  . . | .
///         3  ----+--
void RowPlan::plan_deep_tiles(int64_t most) {
  deep = true;
  const int last = fixed_shape.size() - 1;
  int cut = lane_shape.size() - 1;
  int64_t within = 1;
  while (cut > 0 && 2 * within * lane_shape[cut] <= most) within *= lane_shape[cut--];
  auto part = [](int64_t size, int64_t most) {
    const int64_t parts = (size + most - 1) / most;
    return (size + parts - 1) / parts;
  };
  int64_t across = part(lane_shape[cut], std::max<int64_t>(1, most / within));
  if (within == 1) across = std::min(whole_steps(across), lane_shape[cut]);
  block_rows = across * within;
  box = {part(fixed_shape[last], std::max<int64_t>(1, kTile / block_rows)), across};
  tile = whole_steps(box[0] * block_rows);

  auto head = [](const Dims& dims, int n) { return Dims(dims.begin(), dims.begin() + n); };
  auto rearrange = [&](Dims& fixed, Dims& lane) {
    Dims outer = head(lane, cut + 1), tile_axes{fixed[last]};
    for (int64_t d : fixed) outer.push_back(d);
    for (int a = cut; a < lane.size(); ++a) tile_axes.push_back(lane[a]);
    fixed = outer, lane = tile_axes;
  };
  const int64_t elements = numel(lane_shape) * numel(fixed_shape);
  rearrange(fixed_shape, lane_shape);
  for (AffineForm& f : forms) rearrange(f.fixed, f.lane);
  box_axes = {fixed_shape.size() - 1, cut};
  count_boxes();
  blocks = numel(head(fixed_shape, cut + 1)), tiles = numel(fixed_shape) / std::max<int64_t>(blocks, 1);
  for (PlannedValue& value : values)
    if (value.is_row && !value.is_fixed && value.in_lanes) value.wide_slot = slots++;
  plan_chunks(elements);
}

/// A block that is walked through once may be cut into chunks, where there are too few for many threads.
void RowPlan::plan_chunks(int64_t elements) {
  if (!is_one_pass() || totals.empty() || blocks >= kEnoughBlocks) return;
  const int64_t blocks_or_one = std::max<int64_t>(blocks, 1), by_size = elements / (blocks_or_one * kChunkElements);
  chunks = std::max<int64_t>(1, std::min({tiles, by_size, 2 * kEnoughBlocks / blocks_or_one}));
}

void RowPlan::place(int64_t b, int64_t t, TileRegion& region, int64_t* at) const {
  const int fixed_rank = fixed_shape.size(), lane_rank = lane_shape.size();
  int64_t fixed[kMaxRank] = {}, rest = !box.empty() ? b * tiles + t : lanes_are_inner ? b : t;
  if (packed) {
    const int64_t groups = (lane_shape[0] + block_rows - 1) / block_rows;
    region.start[0] = b % groups * block_rows;
    region.n = std::min(block_rows, lane_shape[0] - region.start[0]) * row_length;
    rest = b / groups;
  }
  for (int a = fixed_rank - 1; a > 0; --a) {
    const int64_t size = std::max<int64_t>(fixed_shape[a], 1);
    fixed[a] = rest % size, rest /= size;
  }
  fixed[0] = rest;
  if (!box.empty()) {
    region.n = 1;
    for (int a = 2; a < lane_rank; ++a) region.n *= lane_shape[a];
    for (int i : {0, 1}) {
      int64_t& first = fixed[box_axes[i]];
      first *= box[i];
      region.lanes[i] = std::min(box[i], lane_shape[i] - first);
      region.n *= region.lanes[i];
    }
  } else if (!packed) {
    const int64_t stretch = lanes_are_inner ? t : b, inside = stretch % per_period * tile;
    region.n = std::min(tile, period - inside);
    int64_t left = stretch / per_period * period + inside;
    for (int a = lane_rank - 1; a > 0; --a) region.start[a] = left % lane_shape[a], left /= lane_shape[a];
    region.start[0] = left;
  }
  for (size_t f = 0; f < forms.size(); ++f) {
    int64_t value = forms[f].offset;
    for (int a = 0; a < fixed_rank; ++a) value += forms[f].fixed[a] * fixed[a];
    for (int a = 0; a < lane_rank; ++a) value += forms[f].lane[a] * region.start[a];
    at[f] = value;
  }
}

}  // namespace tinyops::cpu
