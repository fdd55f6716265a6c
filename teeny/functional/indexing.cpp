// Indexing: x[{...}] by integers, slices and tensors, and gathering along an axis. Integers and slices are views; what
// a tensor picks is copied, by Gather; its gradient is added back where it came from, by ScatterAdd.
#include <algorithm>
#include <limits>

#include "teeny/functional/functional.h"

namespace teeny {

// ---- Along one axis ------------------------------------------------------------------------------------------------

void check_index(const Tensor& x, int axis, const Tensor& index, const char* op) {
  if (!is_int(index.dtype())) fail(op, ": the index is ", index.dtype(), " and must be an integer");
  bool fits = index.rank() == x.rank();
  for (int a = 0; fits && a < x.rank(); ++a) fits = a == axis || index.shape()[a] <= x.shape()[a];
  if (!fits) fail(op, ": an index of ", index.shape(), " does not fit ", x.shape(), " along axis ", axis);
}

Tensor scattered(const Tensor& x, const Tensor& index, const Tensor& source, const char* op) {
  bool fits = source.rank() == index.rank() && source.dtype() == x.dtype();
  for (int a = 0; fits && a < index.rank(); ++a) fits = index.shape()[a] <= source.shape()[a];
  if (!fits)
    fail(op, ": the source is ", source.dtype(), ' ', source.shape(), " and must be ", x.dtype(),
         " and at least as large as the index's ", index.shape());
  return source.shrink(Dims::filled(index.rank(), 0), index.shape());
}

struct ScatterAdd : Function {
  Shape shape;
  int axis;
  const char* op;
  ScatterAdd(Shape shape, int axis, const char* op) : shape(std::move(shape)), axis(axis), op(op) {}
  LazyBuffer forward(const LazyBuffer& index, const LazyBuffer& source) {
    return scatter(shape, axis, index, source, ReduceOp::Sum, op);
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return {{}, gathered(grad, axis, inputs[0], op)}; }
};
Tensor Tensor::scatter_add(int64_t axis, const Tensor& index, const Tensor& source) const {
  const int a = axis_index(axis, "scatter_add");
  check_index(*this, a, index, "scatter_add");
  return *this + apply(ScatterAdd(shape(), a, "scatter_add"), index, scattered(*this, index, source, "scatter_add"));
}

struct Gather : Function {
  int axis;
  const char* op;
  Gather(int axis, const char* op) : axis(axis), op(op) {}
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& index) { return gather(x, axis, index, op); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    return {apply(ScatterAdd(inputs[0].shape(), axis, op), inputs[1], grad), {}};
  }
};
Tensor gathered(const Tensor& x, int axis, const Tensor& index, const char* op) {
  check_index(x, axis, index, op);
  return apply(Gather(axis, op), x, index);
}
Tensor Tensor::gather(int64_t axis, const Tensor& index) const {
  return gathered(*this, axis_index(axis, "gather"), index, "gather");
}

namespace {
/// One index for all that lies at a position of `axis`, as large as what it picks from x.
Tensor spread_index(const Tensor& x, int axis, const Tensor& index, const char* op) {
  if (index.rank() != 1 || !is_int(index.dtype()))
    fail(op, ": the index is ", index.dtype(), ' ', index.shape(), " and must be integers along one axis");
  Shape aligned = Dims::filled(x.rank(), 1), to = x.shape();
  aligned[axis] = to[axis] = index.shape()[0];
  return index.reshape(aligned).expand(to);
}
Tensor selected(const Tensor& x, int axis, const Tensor& index, const char* op) {
  return gathered(x, axis, spread_index(x, axis, index, op), op);
}
}  // namespace

Tensor Tensor::index_select(int64_t axis, const Tensor& index) const {
  return selected(*this, axis_index(axis, "index_select"), index, "index_select");
}

Tensor Tensor::index_add(int64_t axis, const Tensor& index, const Tensor& source) const {
  const int a = axis_index(axis, "index_add");
  const Tensor to = spread_index(*this, a, index, "index_add");
  if (source.shape() != to.shape() || source.dtype() != dtype())
    fail("index_add: the source is ", source.dtype(), ' ', source.shape(), " and must be ", dtype(), ' ', to.shape());
  return *this + apply(ScatterAdd(shape(), a, "index_add"), to, source);
}

Tensor Tensor::embedding(const Tensor& index) const {
  if (rank() != 2) fail("embedding: the weight has shape ", shape(), " and must be (rows, width)");
  if (!is_int(index.dtype())) fail("embedding: the index is ", index.dtype(), " and must be integers");
  Shape to = index.shape();
  to.push_back(shape()[1]);
  return selected(*this, 0, index.reshape({-1}), "embedding").reshape(to);
}

// ---- x[{...}] ------------------------------------------------------------------------------------------------------

Index::Index(const Tensor& positions) : entry_(std::make_shared<const Tensor>(positions)) {}

namespace {

/// Python's rule: bounds count from either end and are cut to the axis.
Tensor sliced(const Tensor& x, int axis, const Slice& s) {
  if (s.step == 0) fail("index: a slice with step 0");
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
  Tensor part = x.shrink(begin, end);
  if (!up) part = part.flip(axis);
  const int64_t by = up ? s.step : -std::max(s.step, -std::numeric_limits<int64_t>::max());
  return by > 1 && part.shape()[axis] > 0 ? part.unfold(axis, 1, by).squeeze(-1) : part;
}

void check_picks(const Tensor& index) {
  if (index.dtype() == DType::Bool)
    fail("index: how many elements a mask picks is not known before they are computed: use where() or masked_fill()");
  if (index.dtype() != DType::Int32 && index.dtype() != DType::Int64)
    fail("index: a tensor of ", index.dtype(), "; only int32 and int64 say positions");
}

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
    used += !entry.get<Ellipsis>() && !entry.get<NewAxis>();
    if (const Tensor* tensor = entry.tensor()) check_picks(*tensor);
  }
  if (used > x.rank()) fail("index: ", used, " entries for the ", x.rank(), " axes of ", x.shape());

  Indexed result{x, {}};
  Tensor& part = result.part;
  int axis = 0, from = 0;  // in the part, and in x
  bool seen_ellipsis = false;
  for (const Index& entry : entries) {
    if (entry.get<Ellipsis>()) {
      if (std::exchange(seen_ellipsis, true)) fail("index: more than one ellipsis");
      axis += x.rank() - used, from += x.rank() - used;
    } else if (entry.get<NewAxis>()) {
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
    x.part = selected(x.part, axis, at, "index").squeeze(axis);
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

  Dims picked, order;
  for (const auto& pick : picks) picked.push_back(pick.axis);
  for (int a = 0; a < front; ++a) order.push_back(a);
  for (int64_t a : picked) order.push_back(a);
  for (int a = front; a < part.rank(); ++a)
    if (!picked.contains(a)) order.push_back(a);
  const Tensor merged = part.permute(order).flatten(front, front + count - 1);
  return selected(merged, front, at.flatten(), "index").unflatten(front, at.shape());
}

Tensor Tensor::one_hot(int64_t classes) const {
  if (!is_int(dtype()) || classes < 1)
    fail("one_hot: ", classes, " classes of ", dtype(), "; needs integers, and a class");
  if (classes > std::numeric_limits<int32_t>::max())
    fail("one_hot: ", classes, " classes are more than 31 bits can count");
  return (unsqueeze(-1) == arange(classes)).cast(DType::Int64);
}

}  // namespace teeny
