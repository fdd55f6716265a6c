// The contraction: sorts a kernel's axes into those of a matrix product, and hands it on.
//
//   shape of a convolution   ( N  CO  OH  OW | C  KH  KW )
//   x moves along              *       *   *   *   *   *       only x, kept:    N OH OW   columns
//   w moves along                  *           *   *   *       only w, kept:    CO        rows
//                                                              summed:          C KH KW
//   both, or neither, kept: a batch of products
//
// Three kinds of contraction are no matrix product and run as a row kernel, multiply and sum: of integers, with next to
// no rows or columns (matrix times vector, dot product, depthwise convolution), and with guards that cannot be stored.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tinyops/cpu/compact.h"
#include "tinyops/cpu/gemm.h"
#include "tinyops/cpu/kernels.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kNarrow = 4;             // rows or columns that are too few to fill registers
constexpr int64_t kFarApart = 16;          // elements: more than a cache line from one r to the next
constexpr int64_t kFewOutputs = 1 << 15;
constexpr int64_t kLongSum = 1 << 12;

bool moves(const View& view, int a) {
  if (view.shape[a] == 1) return false;
  if (view.address.coef[a] != 0) return true;
  return std::ranges::any_of(view.guards, [&](const teeny::Guard& g) { return g.position.coef[a] != 0; });
}

/// A ContractKernel whose sums are all stored.
struct Contraction {
  Shape shape;
  int reduced;
  Operand a, b, out;
};

/// Its axes, by what moves along them.
struct Axes {
  std::vector<int> batch, a, b, reduced;
  explicit Axes(const Contraction& k) {
    const int kept = k.shape.size() - k.reduced;
    for (int i = 0; i < k.shape.size(); ++i) {
      if (k.shape[i] == 1) continue;
      const bool in_a = moves(k.a.view, i), in_b = moves(k.b.view, i);
      (i >= kept ? reduced : in_a == in_b ? batch : in_a ? a : b).push_back(i);
    }
  }
};

int64_t count(const Shape& shape, const std::vector<int>& axes) {
  int64_t n = 1;
  for (int a : axes) n *= shape[a];
  return n;
}

Dims pick(const Dims& from, const std::vector<int>& axes) {
  Dims result;
  for (int a : axes) result.push_back(from[a]);
  return result;
}

void run(const Contraction& k);

/// out = sum(a * b), element by element.
void run_as_rows(const Contraction& k) {
  const DType d = k.out.dtype;
  Operand out = k.out;
  out.view.shape = k.shape;
  for (int i = 0; i < k.reduced; ++i) out.view.address.coef.push_back(0);
  run_kernel(RowKernel{k.shape,
                       k.reduced,
                       {Input{Input::Kind::Memory, k.a}, Input{Input::Kind::Memory, k.b}},
                       {{Load{0}, d},
                        {Load{1}, d},
                        {teeny::BinaryOp::Mul, d, {0, 1, -1}},
                        {Reduce{teeny::ReduceOp::Sum}, d, {2, -1, -1}, true}},
                       {Output{out, 3}}});
}

/// Few outputs, each a long sum, are too few tasks: one summed axis is cut into parts, which become a batch of
/// products, and the parts' results are summed afterwards. Into how many depends on the shape alone.
///
///   sum over (N) ──► products (8) x sum over (N / 8) ──► sum over (8)
bool run_in_parts(const Contraction& k, const Axes& axes) {
  const int kept = k.shape.size() - k.reduced;
  if (k.shape.size() + 1 > teeny::kMaxRank) return false;
  int64_t parts = 0;
  int cut = -1;
  for (int a : axes.reduced)
    for (int64_t p : {16, 12, 14, 10, 15, 8, 9, 7, 6, 5, 4})
      if (k.shape[a] % p == 0 && p > parts) parts = p, cut = a;
  if (cut < 0) return false;

  auto cut_view = [&](View view) {
    auto change = [&](teeny::Affine& f) {
      f.coef.insert(kept, f.coef[cut] * (k.shape[cut] / parts));
    };
    view.shape[cut] /= parts;
    view.shape.insert(kept, parts);
    change(view.address);
    for (teeny::Guard& g : view.guards) change(g.position);
    return view;
  };
  Contraction products = k;
  products.a.view = cut_view(k.a.view);
  products.b.view = cut_view(k.b.view);
  products.shape = products.a.view.shape;
  const Shape sums(products.shape.begin(), products.shape.begin() + kept + 1);
  const DType wide = k.out.dtype == DType::Float64 ? DType::Float64 : DType::Float32;
  // In memory the parts come first, so that each is stored as the output would be.
  Shape stored = sums;
  stored.erase(kept);
  stored.insert(0, parts);
  Dims order;
  for (int i = 1; i <= kept; ++i) order.push_back(i);
  order.push_back(0);
  const View view = View::contiguous(stored).permute(order);
  products.out = {std::make_shared<Buffer>(size_t(teeny::numel(sums) * teeny::itemsize(wide))), wide, view};
  run(products);

  Operand out = k.out;
  out.view.shape = sums;
  out.view.address.coef.push_back(0);
  run_kernel(RowKernel{sums, 1, {Input{Input::Kind::Memory, products.out}},
                       {{Load{0}, wide}, {Reduce{teeny::ReduceOp::Sum}, wide, {0, -1, -1}, true}}, {Output{out, 1}}});
  return true;
}

/// Neighbouring axes that all three walk through without a gap become one: shorter tables to count through.
void merge(Shape& sizes, std::initializer_list<Dims*> strides) {
  for (int a = sizes.size() - 2; a >= 0; --a) {
    if (!std::ranges::all_of(strides, [&](Dims* s) { return (*s)[a] == sizes[a + 1] * (*s)[a + 1]; })) continue;
    sizes[a] *= sizes[a + 1];
    sizes.erase(a + 1);
    for (Dims* s : strides) {
      (*s)[a] = (*s)[a + 1];
      s->erase(a + 1);
    }
  }
}

/// For the checked build: the corners of a view without guards are inside its buffer, and so is everything else.
void check_bounds([[maybe_unused]] const Operand& operand) {
#ifdef TEENY_CHECKED
  const View& view = operand.view;
  int64_t low = view.address.offset, high = low;
  for (int a = 0; a < view.rank(); ++a) {
    const int64_t reach = view.address.coef[a] * (view.shape[a] - 1);
    (reach < 0 ? low : high) += reach;
  }
  const int64_t elements = int64_t(operand.buffer->bytes()) / teeny::itemsize(operand.dtype);
  if (low < 0 || high >= elements)
    teeny::fail("cpu: elements ", low, " to ", high, " are not all inside a buffer of ", elements);
#endif
}

/// What it would cost to have this operand's free axes as rows, in multiply-adds of one lane.
double cost_as_rows(const Operand& rows_of, const std::vector<int>& rows, const std::vector<int>& columns,
                    const Contraction& k, double r) {
  const double n = double(count(k.shape, rows)), m = double(count(k.shape, columns));
  auto contiguous = [](const View& view, const std::vector<int>& axes) {
    return !axes.empty() && view.address.coef[axes.back()] == 1;
  };
  const double packed = n * r * (contiguous(rows_of.view, rows) ? 2 : 8);
  const double stored = n * m * (contiguous(k.out.view, rows) ? 2 : 6);
  return std::ceil(n / 16) * 16 * std::ceil(m / 8) * 8 * r + packed + stored;
}

void run(const Contraction& k) {
  const Axes axes(k);
  const int64_t in_a = count(k.shape, axes.a), in_b = count(k.shape, axes.b), r = count(k.shape, axes.reduced);
  const int64_t batches = count(k.shape, axes.batch);
  if (in_a * in_b * batches == 0) return;
  if (!teeny::is_float(k.out.dtype) || std::min(in_a, in_b) < kNarrow || r < 2) return run_as_rows(k);
  if (in_a * in_b * batches <= kFewOutputs && r >= kLongSum && batches < 4 && run_in_parts(k, axes)) return;

  const bool a_as_rows =
      cost_as_rows(k.a, axes.a, axes.b, k, double(r)) <= cost_as_rows(k.b, axes.b, axes.a, k, double(r));
  const std::vector<int>&rows = a_as_rows ? axes.a : axes.b, &columns = a_as_rows ? axes.b : axes.a;
  Operand row_side = a_as_rows ? k.a : k.b, column_side = a_as_rows ? k.b : k.a;

  // The packed side is copied anyway. The other is read in place, where one r is near the next.
  const DType dtype = k.out.dtype == DType::Float64 ? DType::Float64 : DType::Float32;
  std::vector<bool> summed(size_t(k.shape.size()), false);
  for (int a : axes.reduced) summed[size_t(a)] = true;
  auto prepare = [&](Operand& operand, bool far_apart) {
    if (operand.dtype == dtype && operand.view.guards.empty() && !far_apart) return true;
    std::optional<Operand> copy = compact(operand, dtype, summed);
    if (copy) operand = *copy;
    return copy || (operand.dtype == dtype && operand.view.guards.empty());
  };
  const int64_t r_stride = axes.reduced.empty() ? 1 : std::abs(column_side.view.address.coef[axes.reduced.back()]);
  const bool far_apart = r_stride > kFarApart && r >= 64 && count(k.shape, rows) >= 64;
  if (!prepare(row_side, false) || !prepare(column_side, far_apart)) return run_as_rows(k);

  Product p;
  p.batch = pick(k.shape, axes.batch), p.rows = pick(k.shape, rows), p.columns = pick(k.shape, columns);
  p.reduced = pick(k.shape, axes.reduced);
  check_bounds(row_side), check_bounds(column_side), check_bounds(k.out);
  auto factor = [&](const Operand& operand, const std::vector<int>& free) {
    const Dims& coef = operand.view.address.coef;
    return Factor{operand.buffer->data(), operand.view.address.offset, pick(coef, axes.batch), pick(coef, free),
                  pick(coef, axes.reduced)};
  };
  p.a = factor(row_side, rows), p.b = factor(column_side, columns);
  p.out = k.out.buffer->data(), p.out_dtype = k.out.dtype, p.out_offset = k.out.view.address.offset;
  const Dims& coef = k.out.view.address.coef;
  p.out_batch = pick(coef, axes.batch), p.out_rows = pick(coef, rows), p.out_columns = pick(coef, columns);
  merge(p.rows, {&p.a.free, &p.out_rows});
  merge(p.columns, {&p.b.free, &p.out_columns});
  merge(p.reduced, {&p.a.reduced, &p.b.reduced});
  multiply(p, dtype == DType::Float64);
}

bool is_sum(const RowKernel& after, const Output& output) {
  const auto* load = std::get_if<Load>(&after.program[size_t(output.value)].op);
  return load && after.inputs[size_t(load->input)].kind == Input::Kind::Sum;
}

/// Where the sums wait for `after`: where they are stored anyway, or else an output of their dtype that lies over no input,
/// or else memory of their own.
Operand place_of_sums(const RowKernel& after, DType dtype) {
  for (const Output& output : after.outputs)
    if (is_sum(after, output)) return output.operand;
  for (const Output& output : after.outputs) {
    const auto same = [&](const Input& input) { return input.operand.buffer == output.operand.buffer; };
    if (output.operand.dtype == dtype && std::ranges::none_of(after.inputs, same)) return output.operand;
  }
  const View view = View::contiguous(after.shape);
  return {std::make_shared<Buffer>(size_t(view.numel() * teeny::itemsize(dtype))), dtype, view};
}

}  // namespace

void run_kernel(const ContractKernel& k) {
  const Operand sums = place_of_sums(k.after, k.a.dtype);
  run(Contraction{k.shape, k.reduced, k.a, k.b, sums});
  RowKernel after = k.after;
  std::erase_if(after.outputs,
                [&](const Output& o) { return is_sum(k.after, o) && o.operand.buffer == sums.buffer; });  // is there
  for (Input& input : after.inputs)
    if (input.kind == Input::Kind::Sum) input = {Input::Kind::Memory, sums};
  if (!after.outputs.empty()) run_kernel(after);
}

}  // namespace tinyops::cpu
