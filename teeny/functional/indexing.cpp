// Indexing: x[{...}] by integers, slices and tensors, and gathering along an axis. Integers and slices are views; what
// a tensor picks is copied, by Gather; its gradient is added back where it came from, by ScatterAdd.
#include <algorithm>
#include <limits>

#include "teeny/functional/functional.h"

namespace teeny {

// ---- Along one axis ------------------------------------------------------------------------------------------------

void check_index(const Tensor& x, int axis, const Tensor& index, const IndexOrigin& op) {
  if (!is_int(index.lazy(op.op).dtype())) fail(op, ": the index is ", index.dtype(), " and must be an integer");
  bool fits = index.rank() == x.rank();
  for (int a = 0; fits && a < x.rank(); ++a) fits = a == axis || index.shape()[a] <= x.shape()[a];
  if (!fits) fail(op, ": an index of ", index.shape(), " does not fit ", x.shape(), " along axis ", axis);
  // The kernel's: those of the index, and the one that it picks along.
  check_rank(index.rank() + 1, op.op, index.shape());
}

Tensor with_an_axis(const Tensor& x) { return x.rank() == 0 ? x.reshape({1}) : x; }

Tensor scattered(const Tensor& x, const Tensor& index, const Tensor& source, const IndexOrigin& op) {
  bool fits = source.lazy(op.op).shape().size() == index.rank() && source.dtype() == x.dtype();
  for (int a = 0; fits && a < index.rank(); ++a) fits = index.shape()[a] <= source.shape()[a];
  if (!fits)
    fail(op, ": the source is ", source.dtype(), ' ', source.shape(), " and must be ", x.dtype(),
         " and at least as large as the index's ", index.shape());
  return source.shrink(Dims::filled(index.rank(), 0), index.shape());
}

struct ScatterAdd : Function {
  Shape shape;
  int axis;
  IndexOrigin op;
  ScatterAdd(Shape shape, int axis, const IndexOrigin& op) : shape(std::move(shape)), axis(axis), op(op) {}
  LazyBuffer forward(const LazyBuffer& index, const LazyBuffer& source) {
    return scatter(shape, axis, index, source, ReduceOp::Sum, op);
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return {{}, gathered(grad, axis, inputs[0], op)}; }
};
Tensor scatter_sum(const Shape& shape, int axis, const Tensor& index, const Tensor& source, const IndexOrigin& op) {
  TEENY_TRACED(scatter_sum(shape, axis, index, source, op), {index, source}, {{"axis", axis}});
  return apply(ScatterAdd(shape, axis, op), index, source);
}

struct Gather : Function {
  int axis;
  IndexOrigin op;
  Gather(int axis, const IndexOrigin& op) : axis(axis), op(op) {}
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& index) { return gather(x, axis, index, op); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    return {apply(ScatterAdd(inputs[0].shape(), axis, op), inputs[1], grad), {}};
  }
};
Tensor gathered(const Tensor& x, int axis, const Tensor& index, const IndexOrigin& op) {
  if (x.rank() == kMaxRank && index.rank() == kMaxRank) {  // the kernel has one axis more: the others are joined
    Shape part = index.shape();
    part[axis] = x.shape()[axis];
    const auto rows = [&](const Tensor& t) { return t.movedim(axis, -1).flatten(0, -2); };
    const Tensor out = gathered(rows(x.shrink(Dims::filled(kMaxRank, 0), part)), 1, rows(index), op.op);
    return out.reshape(index.movedim(axis, -1).shape()).movedim(-1, axis);
  }
  check_index(x, axis, index, op);
  TEENY_TRACED(gathered(x, axis, index, op), {x, index}, {{"axis", axis}});
  return apply(Gather(axis, op), x, index);
}
Tensor Tensor::gather(int64_t axis, const Tensor& index) const {
  if (axis_list(axis, "gather"); rank() == 0) return flatten().gather(axis, index);
  const IndexOrigin origin("gather", index.lazy("gather").shape());
  return gathered(*this, axis_index(axis, "gather"), with_an_axis(index), origin).reshape(index.shape());
}

Tensor spread_index(const Tensor& x, int axis, const Tensor& index, const char* op) {
  if (index.lazy(op).shape().size() != 1 || !is_int(index.dtype()))
    fail(op, ": the index is ", index.dtype(), ' ', index.shape(), " and must be integers along one axis");
  Shape aligned = Dims::filled(x.rank(), 1), to = x.shape();
  aligned[axis] = to[axis] = index.shape()[0];
  numel(to, op);
  return index.reshape(aligned).expand(to);
}
Tensor selected(const Tensor& x, int axis, const Tensor& index, const IndexOrigin& op) {
  TEENY_TRACED(selected(x, axis, index, op), {x, index}, {{"axis", axis}});
  const Tensor all = spread_index(x, axis, index, op.op);
  return gathered(x, axis, all, {op.op, op.given.value_or(index.shape()), axis});
}

Tensor Tensor::index_select(int64_t axis, const Tensor& index) const {
  const IndexOrigin origin("index_select", index.lazy("index_select").shape());
  if (!lazy("index_select").shape().empty())
    return selected(*this, axis_index(axis, "index_select"), with_an_axis(index), origin);
  (void)axis_list(axis, "index_select");
  if (index.numel() != 1) fail("index_select: ", index.numel(), " positions of a tensor without axes, which has one");
  return flatten().index_select(axis, index).reshape({});
}

Tensor Tensor::embedding(const Tensor& index) const {
  if (lazy("embedding").shape().size() != 2)
    fail("embedding: the weight has shape ", shape(), " and must be (rows, width)");
  if (!is_int(index.lazy("embedding").dtype()))
    fail("embedding: the index is ", index.dtype(), " and must be integers");
  check_rank(index.rank() + 1, "embedding", index.shape());
  TEENY_TRACED(embedding(index), {*this, index}, {});
  Shape to = index.shape();
  to.push_back(shape()[1]);
  return selected(*this, 0, index.reshape({-1}), {"embedding", index.shape()}).reshape(to);
}

// ---- x[{...}] ------------------------------------------------------------------------------------------------------

Index::Index(const Tensor& positions) : entry_(std::make_shared<const Tensor>(positions)) {}

namespace {

/// Python's rule: bounds count from either end and are cut to the axis.
Tensor sliced(const Tensor& x, int axis, const Slice& s) {
  if (s.step == 0) fail("index: a slice with step 0 of ", x.shape(), "; a step is above 0, or below 0 to go backwards");
  const int64_t n = x.shape()[axis];
  const bool up = s.step > 0;
  auto bound = [&](std::optional<int64_t> value, int64_t missing) {
    const int64_t low = up ? 0 : -1, high = up ? n : n - 1;
    return value ? std::clamp(*value < 0 ? *value + n : *value, low, high) : missing;
  };
  const int64_t start = bound(s.start, up ? 0 : n - 1), stop = bound(s.stop, up ? n : -1);
  Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
  begin[axis] = up ? start : stop + 1;
  end[axis] = std::max(begin[axis], up ? stop : start + 1);
  if (s.step != 1)
    TEENY_TRACED_AS("slice", sliced(x, axis, s), {x},
                    {{"axis", axis}, {"start", start}, {"stop", stop}, {"step", s.step}});
  Tensor part = x.shrink(begin, end);
  if (!up) part = part.flip(axis);
  const int64_t by = up ? s.step : -std::max(s.step, -std::numeric_limits<int64_t>::max());
  return by > 1 && part.shape()[axis] > 0 ? part.unfold(axis, 1, by).squeeze(-1) : part;
}

void check_picks(const Tensor& index) {
  if (index.lazy("index").dtype() != DType::Bool && index.dtype() != DType::Int32 && index.dtype() != DType::Int64)
    fail("index: a tensor of ", index.dtype(), "; only int32 and int64 say positions, and bools which to take");
}

bool is_mask(const Tensor* index) { return index && index->dtype() == DType::Bool; }

/// Where `x` is not 0, in row-major order: (count, rank). Its size is known to whoever has looked.
Tensor true_positions(const Tensor& x, const char* op) {
  if (context.recorder)
    fail(op, ": how many of ", x.shape(),
         " elements are true shows in their values, which a Jit's call may not read; use where()");
  const std::vector<std::byte> truth = (x.detach() != 0).to_bytes();
  std::vector<int64_t> positions;
  Dims at = Dims::filled(x.rank(), 0);
  int64_t count = 0;
  for (std::byte is_true : truth) {
    if (is_true != std::byte(0)) positions.insert(positions.end(), at.begin(), at.end()), ++count;
    for (int a = x.rank() - 1; a >= 0 && ++at[a] == x.shape()[a]; --a) at[a] = 0;
  }
  return Tensor::from(positions, {count, x.rank()});
}
Tensor column(const Tensor& x, int64_t i) { return x[{slice(), i}]; }

/// Positions along an axis of size n, none negative but those that are outside: Gather throws when it meets them.
Tensor from_the_front(const Tensor& index, int64_t n) {
  const Tensor i = index.cast(DType::Int64);
  return where((i < 0) & (i >= -n), i + n, i);
}

/// x[{...}] as far as views go: `part` is x after the integers, slices and new axes of the list, and `picks` are its
/// tensors, each with the axis of `part` it picks from.
struct Indexed {
  struct Pick {
    int axis;
    Tensor index;
  };
  Tensor part;
  std::vector<Pick> picks;
};

Indexed index_views(const Tensor& x, std::initializer_list<Index> entries) {
  int used = 0;
  for (const Index& entry : entries) {
    const Tensor* tensor = entry.tensor();
    if (tensor) check_picks(*tensor);
    if (is_mask(tensor)) used += tensor->rank();
    else used += !entry.get<Ellipsis>() && !entry.get<NewAxis>();
  }
  if (used > x.lazy("index").shape().size())
    fail("index: ", used, used == 1 ? " entry" : " entries", " for ", x.shape(), ", which has ", x.rank(),
         x.rank() == 1 ? " axis" : " axes", "; at most one for each, beside new_axis and one ellipsis");

  Indexed result{x, {}};
  Tensor& part = result.part;
  int axis = 0, from = 0;  // in the part, and in x
  bool seen_ellipsis = false;
  for (const Index& entry : entries) {
    if (entry.get<Ellipsis>()) {
      if (std::exchange(seen_ellipsis, true))
        fail("index: more than one ellipsis for ", x.shape(), "; slice() takes one whole axis");
      axis += x.rank() - used, from += x.rank() - used;
    } else if (entry.get<NewAxis>()) {
      check_rank(part.rank() + 1, "index", part.shape());
      part = part.unsqueeze(axis++);
    } else if (const auto* at = entry.get<int64_t>()) {
      const int64_t n = part.shape()[axis];
      if (*at < -n || *at >= n)
        fail("index: ", *at, " is outside ", -n, " <= index < ", n, " of axis ", from, " of ", x.shape());
      Dims begin = Dims::filled(part.rank(), 0), end = part.shape();
      begin[axis] = *at < 0 ? *at + n : *at;
      end[axis] = begin[axis] + 1;
      part = part.shrink(begin, end).squeeze(axis);
      ++from;
    } else if (is_mask(entry.tensor())) {
      const Tensor mask = with_an_axis(*entry.tensor());
      if (entry.tensor()->rank() == 0) part = part.unsqueeze(axis), --from;  // which is there, or not
      for (int a = 0; a < mask.rank(); ++a)
        if (part.shape()[axis + a] != mask.shape()[a])
          fail("index: a mask of ", entry.tensor()->shape(), " for ", x.shape(), " from axis ", from, " on");
      const Tensor positions = true_positions(mask, "index");
      for (int a = 0; a < mask.rank(); ++a, ++axis, ++from) result.picks.push_back({axis, column(positions, a)});
    } else {
      if (const Tensor* tensor = entry.tensor()) result.picks.push_back({axis, *tensor});
      else part = sliced(part, axis, *entry.get<Slice>());
      ++axis, ++from;
    }
  }
  return result;
}

/// A tensor without axes selects like an integer: its axis goes.
Indexed without_integers(Indexed x) {
  for (size_t i = x.picks.size(); i-- > 0;) {  // from the back: the axes in front stay where they are
    const auto [axis, index] = x.picks[i];
    if (index.rank() > 0) continue;
    const Tensor at = from_the_front(index, x.part.shape()[axis]).reshape({1});
    x.part = selected(x.part, axis, at, {"index", index.shape()}).squeeze(axis);
    x.picks.erase(x.picks.begin() + i);
    for (size_t later = i; later < x.picks.size(); ++later) --x.picks[later].axis;
  }
  return x;
}

}  // namespace

/// Axes that tensors pick from become one, and their indices one index into it:
///
///   x (a, n, m, b)[:, t, u]   ->   x (a, n*m, b).index_select(1, t * m + u)   ->   (a, t and u broadcast, b)
///
/// If they are neighbours, the result's axes stand in their place, otherwise in front.
Tensor Tensor::operator[](std::initializer_list<Index> entries) const {
  const auto [part, picks] = without_integers(index_views(*this, entries));
  if (picks.empty()) return part;

  const int count = int(picks.size()), first = picks.front().axis;
  if (count == 1) TEENY_TRACED_AS("index", (*this)[entries], {part, picks[0].index}, {{"axis", first}});
  const int front = picks.back().axis - first == count - 1 ? first : 0;
  Tensor at(0), outside(false);
  for (const auto& [axis, index] : picks) {
    const int64_t n = part.shape()[axis];
    const Tensor i = from_the_front(index, n);
    broadcast(at.shape(), i.shape(), "index");
    at = at * n + i;
    outside = outside | (i < 0) | (i >= n);
  }
  // What is outside its own axis may be inside the common one; -1 is outside of every axis.
  if (count > 1) at = where(outside, -1, at);

  check_rank(part.rank() - count + at.rank(), "index", shape());
  Dims picked, order;
  for (const auto& pick : picks) picked.push_back(pick.axis);
  for (int a = 0; a < front; ++a) order.push_back(a);
  for (int64_t a : picked) order.push_back(a);
  for (int a = front; a < part.rank(); ++a)
    if (!picked.contains(a)) order.push_back(a);
  const Tensor merged = part.permute(order).flatten(front, front + count - 1);
  return selected(merged, front, at.flatten(), {"index", at.shape()}).unflatten(front, at.shape());
}

// ---- What the values say -------------------------------------------------------------------------------------------

Tensor Tensor::nonzero() const { return lazy("nonzero"), true_positions(*this, "nonzero"); }

Tensor Tensor::masked_select(const Tensor& mask) const {
  if (mask.lazy("masked_select").dtype() != DType::Bool)
    fail("masked_select: the mask is ", mask.dtype(), " and must be bool");
  const Shape both = broadcast(lazy("masked_select").shape(), mask.shape(), "masked_select");
  const Tensor positions = true_positions(mask.expand(both).flatten(), "masked_select").flatten();
  return selected(expand(both).flatten(), 0, positions, "masked_select");
}

/// Sorted, equals are neighbours: a value begins where one differs from the one before. A NaN differs from every other.
UniqueElements Tensor::unique() const {
  lazy("unique");
  const auto [sorted, from] = detach().flatten().sort();
  const int64_t n = numel();
  if (n == 0) return {sorted, from.reshape(shape()), from};
  const Tensor begins = cat({full({1}, true), sorted[slice(1)] != sorted[slice(0, n - 1)]});
  const Tensor starts = true_positions(begins, "unique").flatten();
  const Tensor inverse = from.scatter(0, from, begins.cumsum(0) - 1).reshape(shape());
  return {sorted.index_select(0, starts), inverse, cat({starts[slice(1)], full({1}, n)}) - starts};
}

Tensor Tensor::one_hot(int64_t classes) const {
  if (!is_int(lazy("one_hot").dtype()) || classes < 1)
    fail("one_hot: ", classes, " classes of ", dtype(), "; needs integers, and a class");
  if (classes > std::numeric_limits<int32_t>::max())
    fail("one_hot: ", classes, " classes are more than 31 bits can count");
  check_rank(rank() + 1, "one_hot", shape());
  Shape to = shape();
  to.push_back(classes);
  teeny::numel(to, "one_hot");
  return (unsqueeze(-1) == arange(classes)).cast(DType::Int64);
}

}  // namespace teeny
