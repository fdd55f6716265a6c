// The contraction: a matrix product, or a batch of them, by the axes of common/contraction.h.
//
// A filter for each channel (a depthwise convolution) is a stencil, many tiny products are many.h's; with next to no
// rows or columns (a matrix times a vector) gemv.h multiplies, else gemm.h. Three kinds of contraction are neither and
// run as a row kernel, multiply and sum: of integers, of next to no rows and columns (dot products), and with guards
// that cannot be stored.
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "tinyops/base/merge_axes.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/common/contraction.h"
#include "tinyops/common/split_reduction.h"
#include "tinyops/cpu/contract/contract.h"
#include "tinyops/cpu/contract/gemm.h"
#include "tinyops/cpu/contract/gemv.h"
#include "tinyops/cpu/contract/many.h"
#include "tinyops/cpu/contract/pad_copy.h"
#include "tinyops/cpu/operand_access.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/row/row.h"
#include "tinyops/cpu/stencil/stencil.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kFewOutputs = (1 << 15) / kSmaller;
constexpr int64_t kLongSum = (1 << 12) / kSmaller;
constexpr int64_t kSlabBytes = (256 << 10) / kSmaller;  // of an operand: its copy stays in the second-level cache
constexpr int64_t kSlabColumns = 64;
constexpr int64_t kWorthAddingUp = 256;  // terms in lanes that are added up for each of several rows
// Bytes: fewer are still in the cache when all have been computed.
constexpr int64_t kManySums = (1 << 20) / kSmaller;
constexpr double kSlabWork = (1 << 19) / kSmaller;  // multiply-adds that are worth a few tables
constexpr int64_t kEnoughSlabs = 24, kFewSlabs = 8;

/// A ContractKernel, or a part of one, with a place for its sums: one of its outputs, or, without a buffer, one still
/// to be found, because only the epilogue reads them.
struct Contraction {
  Shape shape;
  int reduced;
  Operand a, b, out;
  Fold a_fold = {}, b_fold = {};
  bool is_output = true;                                ///< whether the sums are asked for themselves
  std::shared_ptr<const RowKernel> epilogue = nullptr;  ///< without the output that is the sum; null where that is all
  /// The epilogue of the whole with `out` in place of the sum: it keeps its plan from one run to the next. Null: there
  /// is none, or `out` has no buffer yet.
  std::shared_ptr<const RowKernel> following = nullptr;
};

int64_t count(const Shape& shape, const std::vector<int>& axes) { return numel(pick(shape, axes)); }

double multiply_adds(const Contraction& k) {
  return std::accumulate(k.shape.begin(), k.shape.end(), 1.0, std::multiplies<>());
}

void run(const Contraction& k);

Operand fresh(const Shape& shape, DType dtype) {
  return {std::make_shared<Buffer>(size_t(numel(shape) * itemsize(dtype))), dtype, View::contiguous(shape)};
}

/// The epilogue, which finds the sums in memory.
RowKernel following(const Contraction& k) {
  RowKernel epilogue = *k.epilogue;
  for (Input& input : epilogue.inputs)
    if (input.kind == Input::Kind::Sum) input = {Input::Kind::Memory, k.out};
  return epilogue;
}

/// `multiply` makes the sums, and the element-wise rest follows while they are in the cache.
template <class Multiply>
void run_whole(const Contraction& k, Multiply multiply) {
  if (!k.out.buffer) {
    Contraction placed = k;
    placed.out = fresh(k.out.view.shape, k.out.dtype);
    return run_whole(placed, multiply);
  }
  multiply(k);
  if (k.following) run_kernel(*k.following);
  else if (k.epilogue) run_kernel(following(k));
}

/// out = sum(a * b), element by element.
RowKernel as_rows(const Contraction& k) {
  const DType d = k.out.dtype;
  Operand out = k.out;
  out.view.shape = k.shape;
  for (int i = 0; i < k.reduced; ++i) out.view.address.coef.push_back(0);
  const std::vector<Instruction> program{
      {Load{0}, d}, {Load{1}, d}, {BinaryOp::Mul, d, {0, 1, -1}}, {Reduce{ReduceOp::Sum}, d, {2, -1, -1}, true}};
  return {k.shape, k.reduced, {{Input::Kind::Memory, k.a}, {Input::Kind::Memory, k.b}}, program, {{out, 3}}};
}

/// Few outputs, each a long sum, are too few tasks: one summed axis is cut into parts, which become a batch of
/// products, and the parts' results are summed afterwards. Into how many depends on the shape alone.
///
///   sum over (N) ──► products (8) x sum over (N / 8) ──► sum over (8)
///
/// Returns the axis, and into how many parts it is cut: 0 where none can be.
std::pair<int, int64_t> best_cut(const Contraction& k, const ContractAxes& axes) {
  std::pair<int, int64_t> best{-1, 0};
  if (k.shape.size() == kMaxRank) return best;
  for (int a : axes.reduced)
    for (int64_t parts : {16, 12, 14, 10, 15, 8, 9, 7, 6, 5, 4})
      if (k.shape[a] % parts == 0 && parts > best.second) best = {a, parts};
  return best;
}

void run_in_parts(const Contraction& k, int axis, int64_t parts) {
  const int kept = k.shape.size() - k.reduced;
  Shape in_parts = k.shape;
  in_parts[axis] /= parts, in_parts.insert(axis, parts);
  Dims order = range(0, in_parts.size());
  order.erase(axis), order.insert(kept, axis);
  Contraction products{k.shape, k.reduced, k.a, k.b, {}};
  for (View* view : {&products.a.view, &products.b.view}) *view = view->reshape(in_parts)->permute(order);
  products.shape = products.a.view.shape;
  const Shape sums(products.shape.begin(), products.shape.begin() + kept);
  const DType wide = compute_dtype(k.out.dtype);
  products.out =
      totals_of_parts(sums, parts, wide, std::make_shared<Buffer>(size_t(numel(sums) * parts * itemsize(wide))));
  run(products);
  const RowKernel store{sums, 0, {Input{}}, {{Load{0}, wide}}, {{k.out, 0}}};
  run_kernel(reduce_parts(store, parts, {{0, ReduceOp::Sum, wide, 0, products.out}}));
}

/// The corners of a view without guards are inside its buffer, and so is everything else.
void check_bounds(const Operand& operand) {
  const Interval reach = interval(operand.view.address, index_box(operand.view.shape));
  check_inside(reach.low, reach.high, int64_t(operand.buffer->bytes()) / itemsize(operand.dtype));
}

/// What it would cost to have this operand's free axes as rows, in multiply-adds of one lane.
double cost_as_rows(const Operand& rows_of, const std::vector<int>& rows, const Operand& columns_of,
                    const std::vector<int>& columns, const Contraction& k, const std::vector<int>& reduced) {
  const double n = double(count(k.shape, rows)), m = double(count(k.shape, columns));
  const double r = double(count(k.shape, reduced));
  const auto runs = [](const Operand& operand, const std::vector<int>& axes) {
    return !axes.empty() && operand.view.address.coef[axes.back()] == 1;
  };
  const bool contiguous = runs(rows_of, rows) || can_fold(rows_of, k.reduced);
  const double run = rows.empty() ? 1 : double(k.shape[rows.back()]);
  const bool kept = rows_of.buffer->derived();                 // packed once for ever
  const double in_lines = n / run * std::ceil(run / 16) * 16;  // read where they stand
  const bool in_place = !kept && r <= kFewTerms && contiguous && 3 * in_lines <= 4 * n;
  const double packed = kept || in_place ? 0 : n * r * (contiguous ? 2 + (run < n ? 96 / run : 0) : 8);
  const double scattered = runs(columns_of, columns) || runs(columns_of, reduced) ? 0 : m * r * 4;
  const double stored = n * m * (runs(k.out, rows) ? 2 : 10);
  return (in_place ? in_lines : std::ceil(n / 16) * 16) * std::ceil(m / 8) * 8 * r + packed + scattered + stored;
}

/// Whether there is nothing behind it: a window may see padding alone.
bool is_padding(const Operand& operand) { return operand.buffer->bytes() == 0; }

/// Whether gemm.h can read it as it is.
bool is_plain(const Operand& operand, const Contraction& k) {
  return operand.dtype == compute_dtype(k.out.dtype) && operand.view.guards.empty();
}

/// A contraction as a matrix product: k.a has the rows.
struct Sides {
  std::vector<int> batch, rows, columns, reduced;  ///< axes of the kernel
  Window window;
  enum class Way { Gemm, Gemv, Many } way = Way::Gemm;
};

/// Whether gemv.h can read b in packets, along its columns or along r, where adding up lanes must be worth it.
bool reads_runs(const Contraction& k, const Sides& sides) {
  const bool wide = compute_dtype(k.out.dtype) == DType::Float64;
  const Dims& coef = k.b.view.address.coef;
  if (has_runs(pick(k.shape, sides.columns), pick(coef, sides.columns), wide)) return true;
  return has_runs(pick(k.shape, sides.reduced), pick(coef, sides.reduced), wide) &&
         (count(k.shape, sides.rows) < kFewRows / 2 || count(k.shape, sides.reduced) >= kWorthAddingUp);
}

/// Whether `operand` has to be copied to be multiplied. Many small products see to padding themselves, if it is the
/// same for all of them and for each step along what is summed.
bool needs_copy(const Operand& operand, const Contraction& k, const Sides& sides) {
  const int64_t free = std::max(count(k.shape, sides.rows), count(k.shape, sides.columns));
  const bool cut = is_cut(count(k.shape, sides.reduced) * free);
  const auto differs = [&](const Guard& guard) {
    const auto along = [&](int a) { return guard.position.coef[a] != 0; };
    return std::ranges::any_of(sides.batch, along) || (cut && along(sides.reduced.front()));
  };
  if (operand.dtype != compute_dtype(k.out.dtype)) return true;
  if (sides.way == Sides::Way::Gemm && can_fold(operand, k.reduced)) return true;
  return sides.way == Sides::Way::Many ? std::ranges::any_of(operand.view.guards, differs)
                                       : !operand.view.guards.empty();
}

void copy(Operand& operand, Fold& fold, const Contraction& k, const Sides& sides) {
  const Copy copy = pad_copy(operand, compute_dtype(k.out.dtype), sides.way == Sides::Way::Gemm ? k.reduced : 0);
  operand = copy.operand, fold = copy.fold;
}

/// The same with a packet of products at a time: images, in which no window reaches from one into the next, join the
/// batch, unless a product is small as it is.
Sides in_packets(const Contraction& k, Sides sides) {
  sides.way = Sides::Way::Many;
  if (sides.columns.size() < 2 || is_small(multiply_adds(k) / double(count(k.shape, sides.batch)))) return sides;
  const int images = sides.columns.front();
  const auto guarded = [&](const Guard& guard) { return guard.position.coef[images] != 0; };
  int64_t reach = 0;
  for (const std::vector<int>& axes : {sides.columns, sides.reduced})
    for (int a : axes)
      if (a != images) reach += std::abs(k.b.view.address.coef[a]) * (k.shape[a] - 1);
  if (std::abs(k.b.view.address.coef[images]) <= reach && k.b.view.guards.empty()) return sides;
  if (std::ranges::any_of(k.b.view.guards, guarded)) return sides;
  sides.columns.erase(sides.columns.begin());
  sides.batch.insert(sides.batch.begin(), images);
  return sides;
}

/// Where columns run into padding: the window of one of b's guards, so that its axis can be the outermost that is
/// summed.
void find_window(const Contraction& k, Sides& sides) {
  for (const Guard& guard : k.b.view.guards) {
    auto along = [&](int a) { return guard.position.coef[a] != 0; };
    const auto axis = std::ranges::find_if(sides.reduced, along);
    if (axis == sides.reduced.end() || guard.position.coef[*axis] < 0) continue;
    if (std::ranges::count_if(sides.reduced, along) > 1 || std::ranges::any_of(sides.batch, along)) continue;
    std::rotate(sides.reduced.begin(), axis, axis + 1);
    const int outermost = sides.reduced.front();
    sides.window = {k.shape[outermost], guard.position.coef[outermost], guard.size, guard.position.offset,
                    pick(guard.position.coef, sides.columns)};
    return;
  }
}

Product product_of(const Contraction& k, const Sides& sides, bool fused = false) {
  Product p;
  p.batch = pick(k.shape, sides.batch), p.rows = pick(k.shape, sides.rows), p.columns = pick(k.shape, sides.columns);
  p.reduced = pick(k.shape, sides.reduced);
  auto factor = [&](const Operand& operand, const Fold& fold, const std::vector<int>& free) {
    const Dims& coef = operand.view.address.coef;
    Factor factor{operand.buffer->data(),
                  operand.view.address.offset,
                  pick(coef, sides.batch),
                  pick(coef, free),
                  pick(coef, sides.reduced),
                  {},
                  {}};
    for (const Guard& guard : operand.view.guards)
      factor.padding.push_back({guard.position.offset, guard.size, pick(guard.position.coef, free),
                                pick(guard.position.coef, sides.reduced)});
    if (fold.step == 1) return factor;
    int64_t inside = 1;  // of the taps' axis
    for (auto a = sides.reduced.rbegin(); *a != fold.axis; ++a) inside *= k.shape[*a];
    factor.places = places_of_r(p, factor);
    for (size_t r = 0; r < factor.places.size(); ++r)
      factor.places[r] += fold.place(int64_t(r) / inside % k.shape[fold.axis]);
    return factor;
  };
  p.a = factor(k.a, k.a_fold, sides.rows), p.b = factor(k.b, k.b_fold, sides.columns);
  p.window = sides.window;
  if (k.out.buffer) p.out = k.out.buffer->data();
  p.out_dtype = k.out.dtype, p.out_offset = k.out.view.address.offset;
  const Dims& coef = k.out.view.address.coef;
  p.out_batch = pick(coef, sides.batch), p.out_rows = pick(coef, sides.rows), p.out_columns = pick(coef, sides.columns);
  std::vector<Dims*> along_rows{&p.a.free, &p.out_rows}, along_columns{&p.b.free, &p.out_columns};
  std::vector<Dims*> along_reduced{&p.a.reduced, &p.b.reduced};
  for (Padding& padding : p.a.padding) along_rows.push_back(&padding.free), along_reduced.push_back(&padding.reduced);
  for (Padding& padding : p.b.padding)
    along_columns.push_back(&padding.free), along_reduced.push_back(&padding.reduced);
  if (p.window.taps > 1) along_columns.push_back(&p.window.coef);
  const auto add = [&](const Operand& operand, std::vector<Companion>& to) {
    const Dims& coef = operand.view.address.coef;
    to.push_back({operand.buffer ? operand.buffer->data() : nullptr, operand.view.address.offset,
                  pick(coef, sides.batch), pick(coef, sides.rows), pick(coef, sides.columns)});
  };
  if (fused) {
    p.epilogue = k.epilogue.get();
    for (const Input& input : k.epilogue->inputs) add(input.operand, p.inputs);
    for (const Output& output : k.epilogue->outputs) add(output.operand, p.outputs);
    for (auto* all : {&p.inputs, &p.outputs})
      for (Companion& tensor : *all) along_rows.push_back(&tensor.rows), along_columns.push_back(&tensor.columns);
  }
  merge_axes(p.rows, along_rows), merge_axes(p.columns, along_columns), merge_axes(p.reduced, along_reduced);
  return p;
}

/// Some of the kernel's columns, or of its batch: those from `first` on along an axis that is kept.
Contraction slab_of(const Contraction& k, int axis, int64_t first, int64_t size) {
  auto shrink = [&](View& view) {
    Dims begin = Dims::filled(view.rank(), 0), end = view.shape;
    begin[axis] = first, end[axis] = first + size;
    view = view.shrink(begin, end);
  };
  Contraction slab = k;
  slab.shape[axis] = size, slab.following = nullptr;
  shrink(slab.a.view), shrink(slab.b.view), shrink(slab.out.view);
  if (!k.epilogue) return slab;
  const auto epilogue = std::make_shared<RowKernel>(*k.epilogue);
  epilogue->shape[axis] = size;
  for (Input& input : epilogue->inputs) shrink(input.operand.view);
  for (Output& output : epilogue->outputs) shrink(output.operand.view);
  slab.epilogue = epilogue;
  return slab;
}

/// Whether gemm.h takes the epilogue, too.
bool is_fused(const Contraction& k, const Sides& sides) {
  const auto plain = [&](const Operand& o) { return o.dtype == k.out.dtype && o.view.guards.empty(); };
  const auto reads = [&](const Input& i) {
    return i.kind == Input::Kind::Sum || (i.kind == Input::Kind::Memory && plain(i.operand));
  };
  return sides.way == Sides::Way::Gemm && k.epilogue && k.out.dtype == compute_dtype(k.out.dtype) &&
         std::ranges::all_of(k.epilogue->inputs, reads) &&
         std::ranges::all_of(k.epilogue->outputs, plain, &Output::operand);
}

/// Multiplies all of `k`, on this thread if others are at work on other slabs.
void multiply_slab(Contraction k, const Sides& sides, const BufferRef& packed_rows) {
  const bool fused = is_fused(k, sides);
  const DType dtype = compute_dtype(k.out.dtype);
  if (!packed_rows && needs_copy(k.a, k, sides)) copy(k.a, k.a_fold, k, sides);
  if (needs_copy(k.b, k, sides)) copy(k.b, k.b_fold, k, sides);
  using Way = Sides::Way;  // a copy may lie in another order, without runs
  const Way way = sides.way == Way::Gemv && !reads_runs(k, sides) ? Way::Gemm : sides.way;
  // Longer sums rest in the output from time to time, which 16 bits are too few for.
  const Operand out = k.out;
  if (out.dtype != dtype && way == Way::Gemm && !is_one_block(count(k.shape, sides.reduced)))
    k.out = fresh(out.view.shape, dtype);
  if (fused && !k.is_output) {  // sums need a place only where they are added up block by block
    if (is_one_block(count(k.shape, sides.reduced))) k.out.buffer = nullptr;
    else if (!k.out.buffer) k.out = fresh(k.out.view.shape, k.out.dtype);
  }
  for (const Operand* operand : {&k.a, &k.b, &k.out})
    if (operand->buffer && operand->view.guards.empty()) check_bounds(*operand);
  if (fused) for_each_operand(*k.epilogue, [](const Operand& operand, bool) { check_bounds(operand); });
  Product product = product_of(k, sides, fused);
  product.packed_rows = packed_rows;
  (way == Way::Gemm ? multiply : way == Way::Gemv ? gemv : multiply_many)(product, dtype == DType::Float64);
  if (k.out.dtype != out.dtype)
    run_kernel(RowKernel{out.view.shape,
                         0,
                         {{Input::Kind::Memory, k.out}},
                         {{Load{0}, dtype}, {UnaryOp::Cast, out.dtype, {0, -1, -1}}},
                         {{out, 1}}});
}

/// The rows in the order in which gemm.h reads them, once for all that share them.
BufferRef packed_rows_of(Contraction k, const Sides& sides) {
  const DType dtype = compute_dtype(k.out.dtype);
  if (needs_copy(k.a, k, sides)) copy(k.a, k.a_fold, k, sides);
  check_bounds(k.a);
  return pack_rows(product_of(k, sides), dtype == DType::Float64);
}

/// Of weights that stay as they are, the packed rows are kept.
BufferRef kept_rows(const Contraction& k, const Sides& sides) {
  Derived* const kept = k.a.buffer->derived();
  if (!kept || sides.way != Sides::Way::Gemm) return nullptr;
  std::vector<int64_t> key{0, int64_t(k.a.dtype), k.a.view.address.offset};
  for (const auto* axes : {&sides.batch, &sides.rows, &sides.reduced}) {
    key.push_back(int64_t(axes->size()));
    for (int a : *axes) key.insert(key.end(), {k.shape[a], k.a.view.address.coef[a]});
  }
  for (const Guard& guard : k.a.view.guards) {
    key.insert(key.end(), {guard.size, guard.position.offset});
    key.insert(key.end(), guard.position.coef.begin(), guard.position.coef.end());
  }
  return kept->get<Buffer>(key, [&] { return packed_rows_of(k, sides); });
}

void run_slab(const Contraction& k, const Sides& sides, const BufferRef& packed_rows) {
  if (is_fused(k, sides)) multiply_slab(k, sides, packed_rows);
  else run_whole(k, [&](const Contraction& slab) { multiply_slab(slab, sides, packed_rows); });
}

/// What has to be copied to be multiplied, because it is padded or of 16 bits, is copied slab by slab: the copy is read
/// while it is in the cache, and is never there as a whole. So are sums that are not the end.
///
///   images   0 1 | 2 3 | 4 5 | ...      a thread, for each slab: pads its images ──► multiplies them with all rows,
///            slab                       which were packed once for all ──► runs the epilogue over the sums
void run_in_slabs(const Contraction& k, const Sides& sides) {
  // The outermost axis along which b moves through fresh memory: not through padding, nor along windows.
  int axis = -1;
  auto better = [&](int a) {
    const auto guarded = [&](const Guard& g) { return g.position.coef[a] != 0; };
    if (k.b.view.address.coef[a] == 0 || std::ranges::any_of(k.b.view.guards, guarded)) return false;
    return axis < 0 || std::abs(k.b.view.address.coef[a]) > std::abs(k.b.view.address.coef[axis]);
  };
  for (const std::vector<int>& axes : {sides.batch, sides.columns})
    for (int a : axes)
      if (better(a)) axis = a;
  const bool sums_wait = k.epilogue && !is_fused(k, sides);
  const int64_t sum_bytes = sums_wait ? k.out.view.numel() * itemsize(k.out.dtype) : 0;
  BufferRef packed_rows = kept_rows(k, sides);
  if ((!needs_copy(k.b, k, sides) && sum_bytes < kManySums) || axis < 0) return run_slab(k, sides, packed_rows);

  const bool of_batch = std::ranges::count(sides.batch, axis) > 0;
  const int64_t length = k.shape[axis], bytes = std::max(int64_t(k.b.buffer->bytes()), sum_bytes);
  // A slab has columns enough for the inner loop, and does not cut the run that a packet reads.
  const int64_t beside = of_batch                       ? kSlabColumns
                         : axis == sides.columns.back() ? 1
                                                        : count(k.shape, sides.columns) / length;
  const int64_t most = std::max<int64_t>(1, length / std::max<int64_t>(1, kSlabColumns / beside));
  const int64_t worth = int64_t(std::min(multiply_adds(k) / kSlabWork, double(most)));
  const int64_t slabs = std::min(worth, std::max(kEnoughSlabs, bytes / kSlabBytes));
  if (slabs < kFewSlabs) return run_slab(k, sides, packed_rows);  // too few to share: threads share the one instead
  Contraction shared = k;
  if (of_batch) packed_rows = nullptr;  // a slab has rows of its own
  else if (!packed_rows) {
    if (needs_copy(shared.a, k, sides)) copy(shared.a, shared.a_fold, k, sides);
    if (sides.way == Sides::Way::Gemm) packed_rows = packed_rows_of(shared, sides);
    else check_bounds(shared.a);
  }
  if (shared.out.buffer) shared.out.buffer->data();  // reserved here: a buffer is not made for several threads
  if (shared.epilogue)
    for (const Output& output : shared.epilogue->outputs) output.operand.buffer->data();
  parallel(slabs, kWorthThreads, [&] {
    return [&](int64_t slab) {
      const int64_t first = slab * length / slabs, last = (slab + 1) * length / slabs;
      run_slab(slab_of(shared, axis, first, last - first), sides, packed_rows);
    };
  });
}

/// As a row kernel, in parts or as a product of matrices: found from shapes and views alone.
struct Choice {
  enum class How { Nothing, Rows, Parts, Product } how = How::Nothing;
  std::pair<int, int64_t> cut = {};
  Contraction turned = {};  ///< of a product: the sides may have been exchanged
  Sides sides = {};
};

Choice choose(const Contraction& k) {
  using How = Choice::How;
  const ContractAxes axes = contract_axes(k.shape, k.reduced, k.a.view, k.b.view);
  const int64_t in_a = count(k.shape, axes.a), in_b = count(k.shape, axes.b), r = count(k.shape, axes.reduced);
  const int64_t batches = count(k.shape, axes.batch);
  if (in_a * in_b * batches == 0) return {};
  if (!is_float(k.out.dtype) || r < 1) return {How::Rows};
  for (const Operand* operand : {&k.a, &k.b})
    if (is_padding(*operand) || (!is_plain(*operand, k) && !can_pad_copy(*operand))) return {How::Rows};

  Choice choice{How::Product, {}, k, {axes.batch, axes.a, axes.b, axes.reduced, {}}};
  Contraction& turned = choice.turned;
  Sides& sides = choice.sides;
  const auto turn = [&] { std::swap(turned.a, turned.b), std::swap(sides.rows, sides.columns); };
  if (in_a > in_b) turn();
  const bool few_rows = std::min(in_a, in_b) < kFewRows, runs = reads_runs(turned, sides);
  Sides many = in_packets(turned, sides);
  const int64_t products = count(k.shape, many.batch);
  const bool small = is_small(multiply_adds(k) / double(products)) && !axes.batch.empty();
  const bool wide = compute_dtype(k.out.dtype) == DType::Float64, filled = fills_packets(products, wide);
  // Runs along r that are too short for Gemv to add up are still read in packets where Gemm packs them.
  const bool packed = has_runs(pick(k.shape, sides.reduced), pick(turned.b.view.address.coef, sides.reduced), wide);
  if (filled && (small || (few_rows && !runs && !packed))) sides = many;
  else if (std::max(in_a, in_b) < kFewRows) return {How::Rows};
  else if (few_rows && runs) sides.way = Sides::Way::Gemv;
  else if (in_a > in_b) turn();
  if (sides.way == Sides::Way::Gemm) {
    const double as_it_is = cost_as_rows(k.a, axes.a, k.b, axes.b, k, axes.reduced);
    if (cost_as_rows(k.b, axes.b, k.a, axes.a, k, axes.reduced) < as_it_is) turn();
    const bool few = in_a * in_b * batches <= kFewOutputs && r >= kLongSum && batches < 4;
    // Rows that are packed already are tasks enough.
    if (const auto cut = best_cut(k, axes); few && cut.second > 0 && !turned.a.buffer->derived())
      return {How::Parts, cut};
    find_window(turned, sides);
  }
  return choice;
}

void run(const Contraction& k, const Choice& choice) {
  switch (choice.how) {
    case Choice::How::Nothing: return;
    case Choice::How::Rows: return run_whole(k, [](const Contraction& whole) { run_kernel(as_rows(whole)); });
    case Choice::How::Parts:
      return run_whole(k, [&](const Contraction& whole) { run_in_parts(whole, choice.cut.first, choice.cut.second); });
    case Choice::How::Product: return run_in_slabs(choice.turned, choice.sides);
  }
}

void run(const Contraction& k) { run(k, choose(k)); }

/// The kernel with a place for its sums.
Contraction contraction_of(const ContractKernel& kernel) {
  const RowKernel& epilogue = kernel.epilogue;
  const int o = output_for_sums(epilogue, kernel.a.dtype);
  const Operand nowhere_yet{nullptr, kernel.a.dtype, View::contiguous(epilogue.shape)};
  Contraction k{kernel.shape, kernel.reduced, kernel.a, kernel.b,
                o < 0 ? nowhere_yet : epilogue.outputs[size_t(o)].operand};
  k.is_output = o >= 0 && is_sum(epilogue, epilogue.outputs[size_t(o)]);
  if (!k.is_output) k.epilogue = {std::shared_ptr<void>(), &epilogue};  // the caller's
  else if (epilogue.outputs.size() > 1) {
    const auto rest = std::make_shared<RowKernel>(epilogue);
    rest->outputs.erase(rest->outputs.begin() + o);
    k.epilogue = rest;
  }
  return k;
}

/// The contraction as windows that slide over the images of one operand, if it is that and nothing has to be copied.
std::unique_ptr<StencilRows> find_stencil_rows(const Contraction& k) {
  const DType dtype = k.out.dtype;
  if ((dtype != DType::Float32 && dtype != DType::Float64) || !k.out.buffer) return nullptr;
  const ContractAxes axes = contract_axes(k.shape, k.reduced, k.a.view, k.b.view);
  const bool turned = count(k.shape, axes.a) > count(k.shape, axes.b);
  const Operand &weights = turned ? k.b : k.a, &image = turned ? k.a : k.b;
  if (weights.dtype != dtype || image.dtype != dtype || !weights.view.guards.empty()) return nullptr;
  if (is_padding(weights) || is_padding(image)) return nullptr;
  const auto stencil = find_stencil({axes.batch, turned ? axes.b : axes.a, turned ? axes.a : axes.b, axes.reduced},
                                    &weights.view, image.view, k.out.view, dtype == DType::Float64);
  return stencil
             ? std::make_unique<StencilRows>(*stencil, weights, image, k.out, k.epilogue ? *k.epilogue : RowKernel{})
             : nullptr;
}

/// What a kernel's first run finds out for those after it.
struct ContractPlan {
  Contraction k;
  std::unique_ptr<StencilRows> stencil;
  Choice choice = {};
  std::unique_ptr<RowKernel> rows = nullptr;  ///< of Choice::How::Rows; it keeps a plan of its own

  explicit ContractPlan(const ContractKernel& kernel) : k(contraction_of(kernel)), stencil(find_stencil_rows(k)) {
    constexpr int64_t kFewSums = 1024;
    if (stencil) return;
    if (!k.out.buffer && k.out.view.numel() <= kFewSums) k.out = fresh(k.out.view.shape, k.out.dtype);
    if (k.out.buffer && k.epilogue) k.following = std::make_shared<const RowKernel>(following(k));
    choice = choose(k);
    if (choice.how == Choice::How::Rows && k.out.buffer) rows = std::make_unique<RowKernel>(as_rows(k));
  }

  void run() const {
    if (stencil) return stencil->run();
    if (!rows) return cpu::run(k, choice);
    run_kernel(*rows);
    if (k.following) run_kernel(*k.following);
  }
};

}  // namespace

void run_kernel(const ContractKernel& kernel) { kernel.epilogue.plan_cache.get<ContractPlan>(kernel).run(); }

}  // namespace tinyops::cpu
