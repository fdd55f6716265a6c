// Reductions: the axes stay with size 1; the method drops them.
#include "teeny/mlops/common.h"

namespace teeny {

namespace {

struct Sum : Function {
  Dims axes;
  explicit Sum(Dims axes) : axes(std::move(axes)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.reduce(ReduceOp::Sum, axes); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.expand(inputs[0].shape())}; }
};

struct Prod : Function {
  Dims axes;
  explicit Prod(Dims axes) : axes(std::move(axes)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.reduce(ReduceOp::Prod, axes); }
  // The product of the others: of those before times those behind, in row-major order. Not out / x, which a zero
  // spoils.
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Tensor x = inputs[0];
    Dims order, back = Dims::filled(x.rank(), 0);  // the axes last, as one
    for (int a = 0; a < x.rank(); ++a)
      if (!axes.contains(a)) order.push_back(a);
    for (int64_t a : axes) order.push_back(a);
    for (int a = 0; a < x.rank(); ++a) back[int(order[a])] = a;
    const Tensor moved = to_accumulate_dtype(x).permute(order);
    if (moved.numel() == 0) return {x.zeros_like()};
    const Tensor row = moved.flatten(x.rank() - axes.size());
    const int64_t n = row.size(-1);
    Dims one = Dims::filled(row.rank(), 0), none = one;
    one[row.rank() - 1] = 1;
    const auto before = [&](const Tensor& t) { return t[{ellipsis, slice(0, n - 1)}].cumprod(-1).pad(one, none, 1); };
    const Tensor others = before(row) * before(row.flip(-1)).flip(-1);
    return {grad * others.reshape(moved.shape()).permute(back).cast(x.dtype())};
  }
};

/// The largest or smallest; ties share the gradient, and so do NaNs, of which each is both.
struct ReduceMax : Function {
  ReduceOp op;
  Dims axes;
  ReduceMax(ReduceOp op, Dims axes) : op(op), axes(std::move(axes)) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.reduce(op, axes); }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    // [exercise 16
    const Tensor chosen = (inputs[0] == out) | inputs[0].isnan();
    return {where(chosen, grad / chosen.sum(axes, true), 0)};
    // exercise 16]
  }
};

Tensor drop(const Tensor& reduced, const Dims& axes, bool keepdim) {
  if (keepdim) return reduced;
  Shape kept;
  for (int a = 0; a < reduced.rank(); ++a)
    if (!axes.contains(a)) kept.push_back(reduced.shape()[a]);
  return reduced.reshape(kept);
}

Tensor reduce_max(ReduceOp op, const Tensor& x, const Axes& axes, bool keepdim, const char* name) {
  const Dims list = x.axis_list(axes, name);
  for (int64_t a : list)
    if (x.shape()[int(a)] == 0) fail(name, ": axis ", a, " of ", x.shape(), " is empty, and nothing has no ", name);
  return drop(apply(ReduceMax(op, list), x), list, keepdim);
}

}  // namespace

Tensor Tensor::sum(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "sum");
  const Tensor wide = is_float(dtype()) ? *this : cast(DType::Int64);
  return drop(apply(Sum(list), wide), list, keepdim);
}

Tensor Tensor::prod(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "prod");
  const Tensor wide = is_float(dtype()) ? *this : cast(DType::Int64);
  return drop(apply(Prod(list), wide), list, keepdim);
}

Tensor Tensor::max(const Axes& axes, bool keepdim) const {
  return reduce_max(ReduceOp::Max, *this, axes, keepdim, "max");
}
Tensor Tensor::min(const Axes& axes, bool keepdim) const {
  return reduce_max(ReduceOp::Min, *this, axes, keepdim, "min");
}

}  // namespace teeny
