// Writing into a part of a tensor: x.set({...}, value), and scatter.
#include <algorithm>

#include "teeny/functional/functional.h"
#include "teeny/schedule/schedule.h"

namespace teeny {

// ---- A part that a View can see: slices ----------------------------------------------------------------------------

// Two rules that are each other's adjoint. `place` is how the part looks at the memory of the whole:
//
//   Part        whole ──► part                  Overwrite    whole, part ──► whole with the part in its place

/// The part of x that `place` sees.
struct Part : Function {
  View place;
  explicit Part(View place) : place(std::move(place)) {}
  LazyBuffer forward(const LazyBuffer& x) {
    const LazyBuffer whole = x.contiguous();
    return {whole.node(), ShapeTracker(place)};
  }
  Grads backward(const Tensor& grad, const Tensor&) override;
};

struct Overwrite : Function {
  View place;
  explicit Overwrite(View place) : place(std::move(place)) {}
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& part) { return overwrite(x, part, place); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    return {apply(Overwrite(place), grad, inputs[1].zeros_like()), apply(Part(place), grad)};
  }
};

Grads Part::backward(const Tensor& grad, const Tensor&) {
  return {apply(Overwrite(place), inputs[0].zeros_like(), grad)};
}

namespace {

/// x with x[index] = value, as a new tensor.
Tensor written(const Tensor& x, std::initializer_list<Index> index, const Tensor& value) {
  const auto is_tensor = [](const Index& i) { return i.tensor() != nullptr; };
  x.lazy("set"), value.lazy("set");
  for (const Index& entry : index)
    if (is_tensor(entry)) entry.tensor()->lazy("set");
  const auto fitting = [&](const Shape& part) {
    if (broadcast(value.shape(), part, "set") != part) fail("set: ", value.shape(), " does not fit the part of ", part);
    return value.cast(x.dtype()).expand(part);
  };
  // A mask that stands alone covers the first axes. One number, or one row, goes where it is true without anyone
  // counting; a value of its own for each place is a part like any other.
  const Tensor* only = index.size() == 1 ? index.begin()->tensor() : nullptr;
  if (only && only->dtype() == DType::Bool && (value.numel() == 1 || value.rank() <= x.rank() - only->rank())) {
    const Tensor& mask = *only;
    Shape aligned = mask.shape();
    while (aligned.size() < x.rank()) aligned.push_back(1);
    if (broadcast(aligned, x.shape(), "set") != x.shape()) fail("set: a mask of ", mask.shape(), " for ", x.shape());
    return where(mask.reshape(aligned), fitting(x.shape()), x);
  }
  // What the index sees of 0, 1, 2, ... are the addresses it means.
  const Tensor addresses = Tensor(LazyBuffer::iota(x.numel()).reshape(x.shape()))[index];
  const Tensor part = fitting(addresses.shape());
  if (!std::any_of(index.begin(), index.end(), is_tensor))
    return apply(Overwrite(addresses.lazy().views().view()), x, part);
  return x.flatten().scatter(0, addresses.flatten(), part.flatten()).reshape(x.shape());
}

}  // namespace

Tensor& Tensor::set(std::initializer_list<Index> index, const Tensor& value) & {
  return assign_or_rebind(*this, written(*this, index, value), "set");
}
Tensor& Tensor::set(std::initializer_list<Index> index, Scalar value) & {
  if (!fits(value, lazy("set").dtype())) fail("set: ", value, " does not fit ", dtype());
  return set(index, full({}, value, dtype()));
}

// ---- A part that an index points to --------------------------------------------------------------------------------

/// The last source for a place wins: its position is the largest of those that point there.
Tensor overwritten(const Tensor& x, int axis, const Tensor& index, const Tensor& source, const IndexOrigin& op) {
  check_index(x, axis, index, op);
  const Tensor wanted = scattered(x, index, source, op);
  if (index.numel() == 0) return where(Tensor(true), x, wanted.sum().cast(x.dtype()));  // x, with the history of both
  TEENY_TRACED_AS("scatter", overwritten(x, axis, index, source, op), {x, index, wanted}, {{"axis", axis}});
  const Tensor number = Tensor::arange(index.numel()).reshape(index.shape());
  const Tensor last(scatter(x.shape(), axis, index.lazy(), number.lazy(), ReduceOp::Max, op));
  const Tensor chosen = wanted.flatten().gather(0, last.maximum(0).flatten()).reshape(x.shape());
  return where(last >= 0, chosen, x);
}
Tensor Tensor::scatter(int64_t axis, const Tensor& index, const Tensor& source) const {
  for (const Tensor* t : {this, &index, &source}) t->lazy("scatter");
  if (axis_list(axis, "scatter"); rank() == 0)
    return flatten().scatter(axis, with_an_axis(index), with_an_axis(source)).reshape({});
  return overwritten(*this, axis_index(axis, "scatter"), with_an_axis(index), with_an_axis(source),
                     {"scatter", index.shape()});
}
Tensor Tensor::scatter(int64_t axis, const Tensor& index, Scalar value) const {
  if (!fits(value, lazy("scatter").dtype())) fail("scatter: ", value, " does not fit ", dtype());
  return scatter(axis, index, full(index.lazy("scatter").shape(), value, dtype()));
}

#define TEENY_OPERATOR(op)                                                                     \
  Tensor& operator op##=(Tensor& x, const Tensor& y) {                                         \
    x.lazy(#op "="), y.lazy(#op "=");                                                          \
    return assign_or_rebind(x, in_the_name_of(#op "=", #op, [&] { return x op y; }), #op "="); \
  }                                                                                            \
  Tensor& operator op##=(Tensor& x, Scalar y) {                                                \
    x.lazy(#op "=");                                                                           \
    return assign_or_rebind(x, in_the_name_of(#op "=", #op, [&] { return x op y; }), #op "="); \
  }
TEENY_OPERATOR(+)
TEENY_OPERATOR(-)
TEENY_OPERATOR(*)
TEENY_OPERATOR(/)
#undef TEENY_OPERATOR

}  // namespace teeny
