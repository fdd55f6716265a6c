// From a contraction to a product of matrices: sorts its axes, and chooses how the product is cut into tiles.
#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

#include "tinyops/common/contraction.h"
#include "tinyops/cuda/contract/contract.h"

namespace tinyops::cuda {
namespace {

/// On the host everything is small: small tests shall meet every path.
#ifdef TINYOPS_ON_HOST
constexpr int64_t kSmaller = 8;
#else
constexpr int64_t kSmaller = 1;
#endif
/// No part of a sum is shorter: starting a tile, and adding up the parts, takes its time.
constexpr int64_t kShortestPart = 128 / kSmaller;

/// A sum by itself takes so many times as long as one in a tile, where its factors are in registers already.
constexpr double kByItself = 10;

// ---- The axes -------------------------------------------------------------------------------------------------------

/// One of the product's indices: its axes, and what moves along them. `coefs`: a's address, a's guards, b's address,
/// b's guards, what is beside the output, and the output.
using Group = MergedAxes;

/// All axes of a contraction, and what moves along them.
Group all_axes(const Contraction& c) {
  Group all{c.shape, {}, 0};
  for (const Operand* operand : {&c.a, &c.b}) {
    all.coefs.push_back(operand->view.address.coef);
    for (const Guard& guard : operand->view.guards) all.coefs.push_back(guard.position.coef);
  }
  const auto add_sums = [&](const View& view) {
    Dims& coef = all.coefs.emplace_back(view.address.coef);
    for (int i = 0; i < c.reduced; ++i) coef.push_back(0);
  };
  for (const View& view : c.beside) add_sums(view);
  add_sums(c.out);
  return all;
}

Group group_of(const Group& all, const std::vector<int>& axes) {
  Group group{pick(all.shape, axes), {}, 0};
  for (const Dims& coef : all.coefs) group.coefs.push_back(pick(coef, axes));
  group.merge();
  return group;
}

// ---- By tiles -------------------------------------------------------------------------------------------------------

constexpr int64_t kFits = int64_t(1) << 31;

/// How far apart the first and the last element are.
int64_t reach(const Shape& shape, const Dims& coef) {
  double result = 0;
  for (int a = 0; a < shape.size(); ++a) result += std::abs(double(coef[a])) * double(shape[a] - 1);
  return result < double(kFits) ? int64_t(result) : kFits;
}

struct TileGroups {
  Group batch, m, n, k;
};

/// Whether four neighbours along the last axis of `along` are one vector, for all elements of the other groups.
bool has_runs(size_t form, const Group& along, std::initializer_list<const Group*> others, int64_t offset) {
  if (along.shape.empty() || along.coefs[form].back() != 1 || along.shape.back() % 4 || offset % 4) return false;
  for (int a = 0; a + 1 < along.shape.size(); ++a)
    if (along.coefs[form][a] % 4) return false;
  for (const Group* other : others)
    for (const int64_t coef : other->coefs[form])
      if (coef % 4) return false;
  return true;
}

/// One by one: neighbouring threads read along the axis on which neighbours are nearest, or, of two such, the longer.
Read nearest(size_t form, const Group& free, const Group& k) {
  const auto stride = [&](const Group& g) {
    return g.shape.empty() ? INT64_MAX : std::max<int64_t>(1, std::abs(g.coefs[form].back()));
  };
  if (stride(free) != stride(k)) return stride(free) < stride(k) ? Read::AlongX : Read::AlongK;
  return k.shape.empty() || free.shape.back() >= std::min<int64_t>(k.shape.back(), kTileDepth) ? Read::AlongX
                                                                                               : Read::AlongK;
}

Index index_of(const Group& group) {
  Index index;
  index.axes = group.shape.size();
  index.count = int(numel(group.shape));
  for (int a = 0; a < index.axes; ++a) index.sizes[a] = Divider(group.shape[a], index.count);
  return index;
}

/// An operand whose first form is `form`; nothing where its addresses are too large for a tile's tables.
std::optional<TileOperand> tile_operand(const Operand& from, size_t form, const Group& free, const TileGroups& all) {
  const View& view = from.view;
  if (reach(free.shape, free.coefs[form]) + reach(all.k.shape, all.k.coefs[form]) >= kFits) return {};
  TileOperand to;
  to.guards = int(view.guards.size());
  to.offset = view.address.offset;
  std::ranges::copy(all.batch.coefs[form], to.batch);
  for (int line = 0; line <= to.guards; ++line) {
    std::ranges::copy(free.coefs[form + size_t(line)], to.free[line]);
    std::ranges::copy(all.k.coefs[form + size_t(line)], to.reduced[line]);
  }
  for (int line = 1; line <= to.guards; ++line) {
    const Guard& guard = view.guards[size_t(line) - 1];
    if (reach(view.shape, guard.position.coef) + std::abs(guard.position.offset) >= kFits || guard.size >= kFits)
      return {};
    std::ranges::copy(all.batch.coefs[form + size_t(line)], to.guard_batch[line]);
    to.guard_offset[line] = int(guard.position.offset), to.guard_size[line] = int(guard.size);
  }
  const bool can = to.guards == 0 && itemsize(from.dtype) <= 4;
  if (can && has_runs(form, all.k, {&free, &all.batch}, to.offset)) to.read = Read::RunsOfK;
  else if (can && has_runs(form, free, {&all.k, &all.batch}, to.offset)) to.read = Read::RunsOfX;
  else to.read = nearest(form, free, all.k);
  return to;
}

TileView tile_view(size_t form, int64_t offset, const TileGroups& all) {
  TileView view;
  view.offset = offset;
  std::ranges::copy(all.batch.coefs[form], view.batch);
  std::ranges::copy(all.m.coefs[form], view.m);
  std::ranges::copy(all.n.coefs[form], view.n);
  view.runs_of_n = has_runs(form, all.n, {&all.m, &all.batch}, offset);
  return view;
}

/// Into how many parts k is cut, and what tile is used.
struct Choice {
  int shape = kSmallTile;
  int64_t parts = 1;
};

/// The choice that is estimated to take the least time, in cycles of a processor:
///
///   a tile's turn      rows * columns * k / 128 multiply-adds at once (more on tensor cores), or what it takes to read the
///                      operands, over the part of the peak it reaches
///   a processor        has blocks / processors of them; a single one cannot hide what it waits for, and takes longer
///   parts              are written and read again
Choice choose(int64_t m, int64_t n, int64_t k, int64_t batches, DType dtype, bool may_cut) {
  constexpr double reached[] = {0.9, 0.75, 0.75}, alone[] = {0.6, 0.35, 0.35};
  constexpr double start = 1500, more_parts = 6000, bytes_a_cycle = 1500, bytes_read = 50;
  const bool tensor = on_tensor_cores(dtype), has_all = tensor || dtype == DType::Float32;
  const double at_once = !tensor ? 128 : dtype == DType::Float32 ? 512 : 1024;
  const double processors = chip().processors;
  Choice best;
  double least = 0;
  for (int shape = has_all ? 0 : kSmallTile; shape <= kSmallTile; ++shape) {
    const TileShape tile = kTileShapes[shape];
    const double blocks = double(blocks_for(m, tile.rows) * blocks_for(n, tile.columns)) * double(batches);
    const auto most = int64_t(std::min(double(k) / double(kShortestPart), 4 * processors / blocks));
    for (int64_t parts = 1; parts == 1 || (may_cut && parts <= most); ++parts) {
      const double long_part = double(k) / double(parts);
      const double read = double((tile.rows + tile.columns) * itemsize(dtype)) * long_part / bytes_read;
      const double work = std::max(double(tile.rows * tile.columns) * long_part / at_once, read) + start;
      const double each = std::ceil(blocks * double(parts) / processors) * work / reached[shape];
      double time = std::max(each, work / alone[shape]);
      const double all_parts = 8 * double(parts * batches) * double(m) * double(n);  // bytes, of which four are written
      if (parts > 1) time += more_parts / double(kSmaller) + all_parts / bytes_a_cycle;
      if (least == 0 || time < least) least = time, best = {shape, parts};
    }
  }
  return best;
}

std::optional<Tiling> tiling_of(const Contraction& c, const Group& whole, bool may_cut) {
  ContractAxes axes = contract_axes(c.shape, c.reduced, c.a.view, c.b.view);
  const size_t out = whole.coefs.size() - 1;
  for (std::vector<int>* sums : {&axes.a, &axes.b})  // rows and columns: in the order in which they lie in the output
    std::ranges::stable_sort(*sums, std::greater(), [&](int i) { return std::abs(whole.coefs[out][i]); });
  TileGroups all{group_of(whole, axes.batch), group_of(whole, axes.a), group_of(whole, axes.b),
                 group_of(whole, axes.reduced)};
  for (const Group* g : {&all.batch, &all.m, &all.n, &all.k})
    if (g->shape.size() > kTileAxes || numel(g->shape) >= kFits / 2) return {};
  const double rows = double(numel(all.m.shape)), columns = double(numel(all.n.shape));
  if (numel(all.k.shape) == 0 || double(numel(all.batch.shape)) * rows * columns >= 256 * double(kFits)) return {};
  double in_tiles = HUGE_VAL;  // sums that are made, needed or not
  for (const TileShape& t : kTileShapes) {
    const auto [shorter, longer] = std::minmax(rows, columns);
    in_tiles = std::min(in_tiles, std::ceil(shorter / t.rows) * t.rows * std::ceil(longer / t.columns) * t.columns);
  }
  if (kByItself * rows * columns <= in_tiles) return {};

  // The columns are the longer side, or of two long ones that along which the output has neighbours.
  const auto unit = [&](const Group& g) { return !g.shape.empty() && g.coefs[out].back() == 1; };
  const double narrow = 64;
  const bool swapped = std::min(rows, columns) <= narrow ? rows > columns : unit(all.m) && !unit(all.n);
  if (swapped) std::swap(all.m, all.n);
  const size_t second = 1 + c.a.view.guards.size();
  const auto a = tile_operand(swapped ? c.b : c.a, swapped ? second : 0, all.m, all);
  const auto b = tile_operand(swapped ? c.a : c.b, swapped ? 0 : second, all.n, all);
  if (!a || !b) return {};

  Tiling t{{}, kSmallTile, swapped, {}, {}};
  TileProduct& p = t.product;
  p.batch = index_of(all.batch), p.m = index_of(all.m), p.n = index_of(all.n), p.k = index_of(all.k);
  p.a = *a, p.b = *b;
  p.out = tile_view(out, c.out.address.offset, all);
  for (size_t i = 0; i < c.beside.size(); ++i)
    t.beside.push_back(tile_view(out - c.beside.size() + i, c.beside[i].address.offset, all));
  const Choice choice = choose(p.m.count, p.n.count, p.k.count, p.batch.count, c.dtype, may_cut);
  t.shape = choice.shape;
  p.k_per_part = int(blocks_for(blocks_for(p.k.count, choice.parts), kTileDepth) * kTileDepth);
  p.parts = int(blocks_for(p.k.count, p.k_per_part));
  return t;
}

// ---- Without tiles --------------------------------------------------------------------------------------------------

DirectOperand direct_operand(const Group& merged, size_t form, const View& view) {
  DirectOperand to;
  to.address = merged.strides(form, view.address.offset);
  to.guards = int(view.guards.size());
  for (int g = 0; g < to.guards; ++g) {
    const Guard& guard = view.guards[size_t(g)];
    to.guard[g].offset = guard.position.offset, to.guard[g].size = guard.size;
    std::ranges::copy(merged.coefs[form + 1 + size_t(g)], to.guard[g].coef);
  }
  return to;
}

DirectProduct direct_of(const Contraction& c, Group merged, bool may_cut) {
  merged.merge(c.kept());
  DirectProduct p;
  p.kept = merged.border;
  p.axes = merged.axes();
  p.sums = numel(Shape(c.shape.begin(), c.shape.begin() + c.kept()));
  p.k = numel(Shape(c.shape.begin() + c.kept(), c.shape.end()));
  const size_t second = 1 + c.a.view.guards.size();
  p.a = direct_operand(merged, 0, c.a.view);
  p.b = direct_operand(merged, second, c.b.view);
  p.out = {merged.coefs.back(), c.out.address.offset};
  // Threads share a sum where neighbours along k lie nearer to each other than those along the last axis of the sums.
  const int64_t threads = int64_t(2048) * chip().processors / kSmaller;
  const auto cost = [&](int axis) {
    const auto sectors = [&](size_t form) { return std::min<int64_t>(std::abs(merged.coefs[form][axis]), 8); };
    return axis < 0 ? 16 : sectors(0) + sectors(second);
  };
  if (p.kept < p.axes.rank && cost(p.axes.rank - 1) < cost(p.kept - 1))
    while (p.lanes < 32 && p.lanes * 2 <= p.k) p.lanes *= 2;
  p.k_per_part = std::max<int64_t>(p.k, 1);
  if (may_cut && p.sums * p.lanes < threads) {
    const int64_t longest = std::max<int64_t>(kShortestPart * p.lanes / 4, 1);
    const int64_t parts = std::clamp<int64_t>(std::min(threads / (p.sums * p.lanes), p.k / longest), 1, 1024);
    p.k_per_part = std::max<int64_t>(blocks_for(p.k, parts), 1);
    p.parts = int(std::max<int64_t>(blocks_for(p.k, p.k_per_part), 1));
  }
  return p;
}

}  // namespace

ProductPlan::ProductPlan(const Contraction& whole, bool may_cut) {
  const auto make = [&](const Contraction& c, bool cut) {
    const Group all = all_axes(c);
    tiling = tiling_of(c, all, cut);
    if (!tiling) direct = direct_of(c, all, cut);
  };
  Contraction in_parts = whole;
  in_parts.out = View::contiguous(whole.out.shape), in_parts.beside.clear();
  if (may_cut && is_float(whole.dtype)) make(in_parts, true);
  if (parts() == 1) make(whole, false);
  direct.part_stride = whole.out.numel();
  if (tiling) tiling->product.part_stride = direct.part_stride;
}

void multiply(const Contraction& c, const ProductPlan& plan, char* out) {
  const Places places{memory_of(c.a), memory_of(c.b), out};
  if (!plan.tiling) return multiply_directly(plan.direct, c.dtype, places);
  multiply_tiles(*plan.tiling, c.dtype, plan.tiling->swapped ? Places{places.b, places.a, out} : places);
}

}  // namespace tinyops::cuda
