// Shapes that a first reading can leave out: diagonals, repetitions, parts of an axis, and padding that shows the
// tensor.
#include <algorithm>
#include <limits>

#include "teeny/functional/functional.h"

namespace teeny {

namespace {

struct Diagonal : Function {
  int a, b;
  Diagonal(int a, int b) : a(a), b(b) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.diagonal(a, b); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const int last = grad.rank() - 1;  // (.., n) to (.., n, n), zero off the diagonal
    const Tensor square = where(Tensor::eye(grad.shape()[last], {}, DType::Bool), grad.unsqueeze(-1), 0);
    Dims order;
    for (int axis = 0, at = 0; axis <= last + 1; ++axis)
      order.push_back(axis == a ? last : axis == b ? last + 1 : at++);
    return {square.permute(order)};
  }
};

struct Concat : Function {
  int axis;
  explicit Concat(int axis) : axis(axis) {}
  Grads backward(const Tensor& grad, const Tensor&) override {
    Grads parts;
    Dims begin = Dims::filled(grad.rank(), 0), end = grad.shape();
    for (const Tensor& input : inputs) {
      end[axis] = begin[axis] + input.shape()[axis];
      parts.push_back(grad.shrink(begin, end));
      begin[axis] = end[axis];
    }
    return parts;
  }
};

}  // namespace

Tensor Tensor::view(const Shape& sizes) const {
  lazy("view");
  return in_the_name_of("view", "reshape", [&] { return reshape(sizes); });
}

Tensor Tensor::diagonal(int64_t a, int64_t b, int64_t offset) const {
  const int first = axis_index(a, "diagonal"), second = axis_index(b, "diagonal");
  if (first == second) fail("diagonal: axes ", a, " and ", b, " of ", shape(), " are one");
  Dims begin = Dims::filled(rank(), 0), end = shape();
  const int64_t by = std::clamp(offset, -shape()[first], shape()[second]);
  begin[first] = std::max<int64_t>(-by, 0);
  begin[second] = std::max<int64_t>(by, 0);
  const int64_t n = std::min(end[first] - begin[first], end[second] - begin[second]);
  end[first] = begin[first] + n, end[second] = begin[second] + n;
  const Tensor square = shrink(begin, end);
  TEENY_TRACED(diagonal(a, b, offset), {square}, {{"a", first}, {"b", second}});
  return apply(Diagonal(first, second), square);
}

Tensor Tensor::diag(int64_t offset) const {
  if (lazy("diag").shape().empty() || rank() > 2) fail("diag: ", shape(), "; a vector (n), or a matrix (n, m)");
  if (rank() == 2) return diagonal(0, 1, offset);
  return in_the_name_of("diag", "diag_embed", [&] { return diag_embed(offset); });
}

Tensor Tensor::diag_embed(int64_t offset, int64_t a, int64_t b) const {
  if (lazy("diag_embed").shape().empty()) fail("diag_embed: a tensor without axes has no diagonal to give");
  check_rank(rank() + 1, "diag_embed", shape());
  const int64_t n = shape()[rank() - 1];
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (offset < -kMost || offset > kMost) fail("diag_embed: offset ", offset, " is more than 31 bits can count");
  teeny::numel({n, n}, "diag_embed");
  const int64_t columns = std::max<int64_t>(offset, 0), rows = std::max<int64_t>(-offset, 0), size = n + columns + rows;
  Dims none = Dims::filled(rank() + 1, 0), before = none, after = none;
  before[rank() - 1] = rows, after[rank() - 1] = size - n - rows;
  before[rank()] = columns, after[rank()] = size - n - columns;
  const Tensor square = where(eye(n, {}, DType::Bool), unsqueeze(-1), full({}, 0, dtype())).pad(before, after);
  const int first = square.axis_index(a, "diag_embed"), second = square.axis_index(b, "diag_embed");
  if (first == second) fail("diag_embed: axes ", a, " and ", b, " of ", square.shape(), " are one");
  Dims order;
  for (int axis = 0, at = 0; axis <= rank(); ++axis)
    order.push_back(axis == first ? rank() - 1 : axis == second ? rank() : at++);
  return square.permute(order);
}

// Position i of the padded axis, counted from the old beginning, shows the old position
//
//   reflect    3 2 1 [0 1 2 3] 2 1 0      replicate  0 0 0 [0 1 2 3] 3 3 3      circular  1 2 3 [0 1 2 3] 0 1 2
//
// and a negative amount leaves positions out. As in PyTorch, what was left out still shows in a reflection, but not in
// a circle.
Tensor Tensor::pad(const Dims& before, const Dims& after, PadMode mode) const {
  if (before.size() != lazy("pad").shape().size() || after.size() != rank())
    fail("pad: ", before, " and ", after, " must have an amount for each axis of ", shape());
  check_pad_amounts(before, after);
  Shape to = shape();
  for (int a = 0; a < rank(); ++a) to[a] = std::max<int64_t>(to[a] + before[a] + after[a], 0);  // fewer: refused below
  teeny::numel(to, "pad");
  const auto grows = [](const Dims& amounts) { return std::ranges::all_of(amounts, [](int64_t n) { return n >= 0; }); };
  if (mode != PadMode::Circular && grows(before) && grows(after))
    TEENY_TRACED_AS("pad_mode", pad(before, after, mode), {*this},
                    {{"before", before}, {"after", after}, {"reflect", mode == PadMode::Reflect}});
  Tensor x = *this;
  for (int a = 0; a < rank(); ++a) {
    const int64_t n = shape()[a], last = n - 1, most = std::max(before[a], after[a]);
    const int64_t left = std::max<int64_t>(-before[a], 0), kept = n - left - std::max<int64_t>(-after[a], 0);
    if (before[a] == 0 && after[a] == 0) continue;
    if (n + before[a] + after[a] < 0) fail("pad: ", before, " and ", after, " cut more than ", shape(), " has");
    if (n == 0) fail("pad: axis ", a, " of ", shape(), " has nothing to repeat");
    if (mode == PadMode::Reflect && most >= n)
      fail("pad: ", most, " on axis ", a, " of ", shape(), ": a reflection must be shorter than the axis");
    if (mode == PadMode::Circular && most > kept)
      fail("pad: ", most, " on axis ", a, " of ", shape(), ": a circle goes round once, and ", kept, " are kept");
    const Tensor i = arange(-before[a], n + after[a]);
    const Tensor shown = mode == PadMode::Reflect     ? last - (last - i.abs()).abs()
                         : mode == PadMode::Replicate ? i.clamp(0, last)
                                                      : (i - left) % kept + left;
    x = selected(x, a, shown, "pad");
  }
  return x;
}

Tensor reshape_to_axis(const Tensor& x, int axis, int rank) {
  Shape shape = Dims::filled(rank, 1);
  shape[axis] = x.numel();
  return x.reshape(shape);
}

Tensor Tensor::unflatten(int64_t axis, const Shape& sizes) const {
  const int at = axis_index(axis, "unflatten");
  check_rank(rank() - 1 + sizes.size(), "unflatten", shape());
  Shape inner = sizes;
  int64_t known = 1, open = 0;
  bool large = false;
  for (int64_t size : sizes) size == -1 ? ++open : large |= __builtin_mul_overflow(known, size, &known);
  const int64_t n = shape()[at];
  if (open > 1 || large || (open ? known <= 0 || n % known : n != known))
    fail("unflatten: axis ", at, " of ", shape(), " does not split into ", sizes,
         "; their product is the axis's size, and one of them may be -1");
  for (int64_t& size : inner)
    if (size == -1) size = n / known;
  Shape to(shape().begin(), shape().begin() + at);
  for (int64_t size : inner) to.push_back(size);
  for (int a = at + 1; a < rank(); ++a) to.push_back(shape()[a]);
  return reshape(to);
}

Tensor Tensor::movedim(int64_t from, int64_t to) const {
  if (lazy("movedim").shape().empty()) return axis_list(from, "movedim"), axis_list(to, "movedim"), *this;
  const int first = axis_index(from, "movedim"), last = axis_index(to, "movedim");
  Dims order;
  for (int a = 0; a < rank(); ++a)
    if (a != first) order.push_back(a);
  order.insert(last, first);
  return permute(order);
}

Tensor Tensor::expand_as(const Tensor& y) const {
  const Shape to = (lazy("expand_as"), y.lazy("expand_as").shape());
  return in_the_name_of("expand_as", "expand", [&] { return expand(to); });
}

Tensor Tensor::repeat(const Dims& times) const {
  if (times.size() < lazy("repeat").shape().size())
    fail("repeat: ", times, " names fewer axes than ", shape(), "; a count for each axis, new ones in front");
  Shape apart, grown, to;  // (n) -> (1, n) -> (t, n) -> (t*n)
  for (int a = 0; a < times.size(); ++a) {
    const int from = a - (times.size() - rank());
    const int64_t n = from < 0 ? 1 : shape()[from];
    if (times[a] < 0) fail("repeat: ", times, ": a count is negative; 0 is the least");
    to.push_back(teeny::numel({times[a], n}, "repeat"));
    const bool both = n != 1 && times[a] != 1;  // a single element, or a single time, needs no axis of its own
    check_rank(apart.size() + 1 + both, "repeat", shape());
    if (both) apart.push_back(1), grown.push_back(times[a]);
    apart.push_back(n), grown.push_back(n == 1 ? times[a] : n);
  }
  teeny::numel(to, "repeat");
  TEENY_TRACED(repeat(times), {*this}, {{"times", times}});
  return reshape(apart).expand(grown).reshape(to);
}

Tensor Tensor::repeat_interleave(int64_t times, std::optional<int64_t> axis) const {
  if (times < 0) fail("repeat_interleave: ", times, " times; 0 is the least");
  if (lazy("repeat_interleave"); !axis) return flatten().repeat_interleave(times, 0);
  const int a = axis_index(*axis, "repeat_interleave");
  check_rank(rank() + 1, "repeat_interleave", shape());
  Shape grown = shape();
  grown.insert(a + 1, times);
  teeny::numel(grown, "repeat_interleave");
  return unsqueeze(a + 1).expand(grown).flatten(a, a + 1);
}

Tensor Tensor::roll(int64_t shift, std::optional<int64_t> axis) const {
  if (lazy("roll"); !axis) return flatten().roll(shift, 0).reshape(shape());
  const int a = axis_index(*axis, "roll");
  const int64_t n = shape()[a];
  if (n == 0) return *this;
  const std::vector<Tensor> parts = split({n - (shift % n + n) % n, (shift % n + n) % n}, a);
  return cat({parts[1], parts[0]}, a);
}

Tensor Tensor::roll(const Dims& shifts, const Dims& axes) const {
  if (lazy("roll"); shifts.size() != axes.size()) fail("roll: ", shifts, " has not one shift for each axis of ", axes);
  Tensor x = *this;
  for (int i = 0; i < axes.size(); ++i) x = x.roll(shifts[i], axes[i]);
  return x;
}

namespace {
Tensor joined(std::span<const Tensor> parts, int64_t axis, const char* op) {
  const int at = parts[0].axis_index(axis, op);
  DType dtype = parts[0].dtype();
  bool history = false;
  for (const Tensor& part : parts) {
    Shape expected = parts[0].shape();
    if (part.lazy(op).shape().size() == expected.size()) expected[at] = part.shape()[at];
    if (part.shape() != expected)
      fail(op, ": ", parts[0].shape(), " and ", part.shape(), " differ in more than axis ", at);
    dtype = promote(dtype, part.dtype());
    history |= part.requires_grad();
  }
  Shape whole = parts[0].shape();
  for (const Tensor& part : parts.subspan(1))
    if (__builtin_add_overflow(whole[at], part.shape()[at], &whole[at]))
      fail(op, ": axis ", at, " is longer than 63 bits can count");
  numel(whole, op);
  Concat rule(at);
  std::vector<LazyBuffer> buffers;
  for (const Tensor& part : parts) {
    rule.inputs.push_back(part.cast(dtype));
    buffers.push_back(rule.inputs.back().lazy());
  }
  TEENY_TRACED_AS("cat", joined(parts, axis, op), rule.inputs, {{"axis", at}});
  Tensor out(concat(buffers, at));
  if (GradMode::enabled() && is_float(dtype) && history)
    detail::TensorAccess::set_rule(out, std::make_shared<Concat>(std::move(rule)));
  return out;
}
}  // namespace

Tensor Tensor::cat(std::span<const Tensor> parts, int64_t axis) {
  if (parts.empty()) fail("cat: nothing to put together; it takes at least one tensor");
  return joined(parts, axis, "cat");
}

Tensor Tensor::stack(std::span<const Tensor> parts, int64_t axis) {
  if (parts.empty()) fail("stack: nothing to put together; it takes at least one tensor");
  std::vector<Tensor> raised;
  for (const Tensor& part : parts) {
    if (part.lazy("stack").shape() != parts[0].lazy("stack").shape())
      fail("stack: ", parts[0].shape(), " and ", part.shape(), " differ; all parts have one shape");
    check_rank(part.rank() + 1, "stack", part.shape());
    raised.push_back(part.unsqueeze(axis));
  }
  return joined(raised, axis, "stack");
}

std::vector<Tensor> Tensor::split(const Dims& sizes, int64_t axis) const {
  constexpr const char* kWhole = "; sizes are >= 0, and together the axis's";
  const int a = axis_index(axis, "split");
  TEENY_TRACED(split(sizes, a), {*this}, {{"axis", a}, {"sizes", sizes}});
  std::vector<Tensor> parts;
  Dims begin = Dims::filled(rank(), 0), end = shape();
  end[a] = 0;
  for (int64_t size : sizes) {
    if (size < 0 || size > shape()[a] - begin[a]) fail("split: axis ", a, " of ", shape(), " into ", sizes, kWhole);
    end[a] += size;
    parts.push_back(shrink(begin, end));
    begin[a] = end[a];
  }
  if (end[a] != shape()[a]) fail("split: axis ", a, " of ", shape(), " into ", sizes, kWhole);
  return parts;
}

namespace {
void check_count(int64_t parts, int axis, const Shape& shape, const char* op) {
  if (parts > std::numeric_limits<int32_t>::max())
    fail(op, ": axis ", axis, " of ", shape, " into ", parts, " tensors, more than 31 bits can count");
}

/// Parts of `size`, the last as much as is left; of an empty axis one.
std::vector<Tensor> equal_parts(const Tensor& x, int64_t size, int axis, const char* op) {
  check_count((x.shape()[axis] - 1) / size + 1, axis, x.shape(), op);
  TEENY_TRACED_AS("split", equal_parts(x, size, axis, op), {x}, {{"axis", axis}, {"size", size}});
  std::vector<Tensor> parts;
  Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
  do {
    end[axis] = std::min(begin[axis] + size, x.shape()[axis]);
    parts.push_back(x.shrink(begin, end));
    begin[axis] = end[axis];
  } while (end[axis] < x.shape()[axis]);
  return parts;
}
}  // namespace

std::vector<Tensor> Tensor::split(int64_t size, int64_t axis) const {
  const int a = axis_index(axis, "split");
  if (size < 1) fail("split: axis ", a, " of ", shape(), " into parts of ", size, "; 1 is the least");
  return equal_parts(*this, size, a, "split");
}

std::vector<Tensor> Tensor::chunk(int64_t chunks, int64_t axis) const {
  const int a = axis_index(axis, "chunk");
  if (chunks < 1) fail("chunk: axis ", a, " of ", shape(), " into ", chunks, " chunks; 1 is the least");
  if (shape()[a] > 0) return equal_parts(*this, (shape()[a] - 1) / chunks + 1, a, "chunk");
  check_count(chunks, a, shape(), "chunk");
  return std::vector<Tensor>(size_t(chunks), *this);
}

std::vector<Tensor> Tensor::unbind(int64_t axis) const {
  const int a = axis_index(axis, "unbind");
  if (shape()[a] == 0) return {};
  std::vector<Tensor> parts = equal_parts(*this, 1, a, "unbind");
  for (Tensor& part : parts) part = part.squeeze(a);
  return parts;
}

std::vector<Tensor> Tensor::meshgrid(std::span<const Tensor> axes, std::string_view indexing) {
  if (indexing != "ij" && indexing != "xy") fail("meshgrid: indexing is \"ij\" or \"xy\", not \"", indexing, '"');
  if (axes.empty()) fail("meshgrid: of nothing; it takes at least one tensor");
  Shape grid;
  for (const Tensor& axis : axes) {
    if (axis.lazy("meshgrid").shape().size() > 1)
      fail("meshgrid: ", axis.shape(), " has more than one axis; flatten() it");
    check_rank(grid.size() + 1, "meshgrid", grid);
    grid.push_back(axis.numel());
  }
  check_shape(grid, "meshgrid");
  std::vector<Tensor> out;
  for (int a = 0; a < grid.size(); ++a) {
    const Tensor whole = reshape_to_axis(axes[a], a, grid.size()).expand(grid);
    out.push_back(indexing == "xy" && grid.size() > 1 ? whole.transpose(0, 1) : whole);
  }
  return out;
}

Tensor Tensor::tril(int64_t diagonal) const {
  if (lazy("tril").shape().size() < 2) fail("tril: ", shape(), " has no two axes; (.., n, m)");
  TEENY_TRACED(tril(diagonal), {*this}, {{"diagonal", std::clamp(diagonal, -size(-2), size(-1))}});
  return where(tri(size(-2), size(-1), diagonal), *this, full({}, 0, dtype()));
}

Tensor Tensor::triu(int64_t diagonal) const {
  if (lazy("triu").shape().size() < 2) fail("triu: ", shape(), " has no two axes; (.., n, m)");
  const int64_t first = std::clamp(diagonal, -size(-2), size(-1));
  TEENY_TRACED(triu(diagonal), {*this}, {{"diagonal", first}});
  return where(tri(size(-2), size(-1), first - 1), full({}, 0, dtype()), *this);
}

}  // namespace teeny
