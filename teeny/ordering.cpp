// Along one axis, in order: running sums and extremes, sorting, and what is drawn or shuffled with their help.
#include "teeny/mlops.h"

namespace teeny {

// ---- Running totals -------------------------------------------------------------------------------------------------

struct CumSum : Function {
  int axis;
  explicit CumSum(int axis) : axis(axis) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.scan(ReduceOp::Sum, axis); }
  // x[i] is part of out[i], out[i+1], ...: the running sum from the other end.
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.flip(axis).cumsum(axis).flip(axis)}; }
};
Tensor Tensor::cumsum(int64_t axis) const {
  const int a = axis_index(axis, "cumsum");
  return apply(CumSum(a), is_float(dtype()) ? *this : cast(DType::Int64));
}

struct CumProd : Function {
  int axis;
  explicit CumProd(int axis) : axis(axis) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.scan(ReduceOp::Prod, axis); }
  // d out[j] / d x[i] is out[j] / x[i] for j >= i. Before the first zero of a row that is what it says; at it, the product
  // of the others, as if it had been a one; behind it nothing changes anything.
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const Tensor x = inputs[0], zero = x == 0, zeros = zero.cumsum(axis), first = zero & (zeros == 1);
    const auto from_the_end = [&](const Tensor& t) { return t.flip(axis).cumsum(axis).flip(axis); };
    const Tensor others = where(first, 1, x).cumprod(axis);
    return {where(zeros == 0, from_the_end(grad * out) / where(zero, 1, x),
                  where(first, from_the_end(grad * others * (zeros >= 1)), 0))};
  }
};
Tensor Tensor::cumprod(int64_t axis) const {
  const int a = axis_index(axis, "cumprod");
  return apply(CumProd(a), is_float(dtype()) ? *this : cast(DType::Int64));
}

namespace {
/// Positions along `axis`, broadcastable to x.
Tensor positions(const Tensor& x, int axis) {
  Shape along = Dims::filled(x.rank(), 1);
  along[axis] = x.shape()[axis];
  return Tensor::arange(along[axis]).reshape(along);
}

/// A number that equals the extreme so far is where that extreme was seen last: the largest such position so far. A NaN
/// stays the extreme from where it stands on. The values are gathered, so that a gradient finds its way.
Picked running_extreme(const Tensor& x, int64_t axis, ReduceOp op, const char* name) {
  const int a = x.axis_index(axis, name);
  const Tensor so_far(x.lazy().scan(op, a));
  const Tensor seen = where((x.detach() == so_far) | x.detach().isnan(), positions(x, a), 0);
  const Tensor indices(seen.lazy().scan(ReduceOp::Max, a));
  return {x.gather(a, indices), indices};
}
}  // namespace
Picked Tensor::cummax(int64_t axis) const { return running_extreme(*this, axis, ReduceOp::Max, "cummax"); }
Picked Tensor::cummin(int64_t axis) const { return running_extreme(*this, axis, ReduceOp::Min, "cummin"); }

// ---- Sorting: the kernel finds the order, a gather follows it -------------------------------------------------------

Tensor Tensor::argsort(int64_t axis, bool descending) const {
  return Tensor(lazy().argsort(axis_index(axis, "argsort"), descending));
}
Picked Tensor::sort(int64_t axis, bool descending) const {
  const int a = axis_index(axis, "sort");
  const Tensor indices = argsort(a, descending);
  return {gather(a, indices), indices};
}
Picked Tensor::topk(int64_t k, int64_t axis, bool largest) const {
  const int a = axis_index(axis, "topk");
  if (k < 0 || k > shape()[a]) fail("topk: ", k, " of the ", shape()[a], " along axis ", a, " of ", shape());
  Dims begin = Dims::filled(rank(), 0), end = shape();
  end[a] = k;
  const Tensor indices = argsort(a, largest).shrink(begin, end);
  return {gather(a, indices), indices};
}

// ---- Drawing and shuffling ------------------------------------------------------------------------------------------

/// Of numbers in [0, 1) in float64 hardly two are equal, so every order is as likely.
Tensor Tensor::randperm(int64_t n) {
  if (n < 0) fail("randperm: ", n, " numbers");
  return rand({n}, DType::Float64).argsort();
}

/// With replacement: where a number falls among the running sums of the weights. Without: of clocks that ring after an
/// exponential time, the faster the heavier, the first to ring. Efraimidis, Spirakis: "Weighted random sampling with a
/// reservoir", 2006.
Tensor Tensor::multinomial(int64_t samples, bool replacement) const {
  if (!is_float(dtype())) fail("multinomial: weights are floats, not ", dtype());
  if (rank() < 1 || rank() > 2 || size(-1) == 0) fail("multinomial: weights of ", shape(), "; (n) or (rows, n)");
  if (samples < 1 || (!replacement && samples > size(-1)))
    fail("multinomial: ", samples, " samples of ", size(-1), replacement ? "" : " without replacement");
  const Tensor weights = detach().cast(DType::Float64);
  if (!replacement) return (weights / -(1 - rand(shape(), DType::Float64)).log()).topk(samples).indices;
  Shape drawn = shape();
  drawn[rank() - 1] = samples;
  const Tensor sums = weights.cumsum(-1), total = weights.sum(-1, true);
  const Tensor at = rand(drawn, DType::Float64) * total;
  return (sums.unsqueeze(-2) <= at.unsqueeze(-1)).sum(-1).minimum(size(-1) - 1);
}

}  // namespace teeny
