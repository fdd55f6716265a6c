// Along one axis, in order: running sums and extremes, and sorting.
#include <limits>

#include "teeny/functional/functional.h"

namespace teeny {

// ---- Running totals ------------------------------------------------------------------------------------------------

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

ValuesIndices without_axes(const ValuesIndices& x) { return {x.values.reshape({}), x.indices.reshape({})}; }

struct CumSum : Function {
  int axis;
  explicit CumSum(int axis) : axis(axis) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.scan(ReduceOp::Sum, axis); }
  // x[i] is part of out[i], out[i+1], ...: the running sum from the other end.
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.flip(axis).cumsum(axis).flip(axis)}; }
};

struct CumProd : Function {
  int axis;
  explicit CumProd(int axis) : axis(axis) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.scan(ReduceOp::Prod, axis); }
  // Before x[i] come x[0] .. x[i-1], a running product; behind it
  //
  //   later[i] = grad[i] + x[i+1] * later[i+1] = grad[i] + grad[i+1] x[i+1] + grad[i+2] x[i+1] x[i+2] + ...
  //
  // and the gradient is their product. The sums double their reach in every step, from 1 term to 2, 4, 8, ...: the next
  // as many begin behind the product of as many factors. Nothing is divided, and so all of it is right at zeros too, as
  // is its own derivative; the quotient of products is not.
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Tensor x = to_accumulate_dtype(inputs[0]);
    const int64_t n = x.shape()[axis];
    if (n == 0) return {grad};
    const auto part = [&](const Tensor& t, int64_t begin, int64_t end) {
      Dims from = Dims::filled(t.rank(), 0), to = t.shape();
      from[axis] = begin, to[axis] = end;
      return t.shrink(from, to);
    };
    const auto padded = [&](const Tensor& t, int64_t before, int64_t after, Scalar value) {
      Dims front = Dims::filled(t.rank(), 0), back = front;
      front[axis] = before, back[axis] = after;
      return t.pad(front, back, value);
    };
    Tensor later = to_accumulate_dtype(grad), between = part(x, 1, n);  // between[i] = x[i+1] .. x[i+reach]
    for (int64_t reach = 1; reach < n; reach *= 2) {
      later = (later + padded(between * part(later, reach, n), 0, reach, 0)).contiguous();
      if (const int64_t left = n - 2 * reach; left > 0)
        between = (part(between, 0, left) * part(between, reach, n - reach)).contiguous();
    }
    const Tensor before = padded(part(x, 0, n - 1).cumprod(axis), 1, 0, 1);
    return {(before * later).cast(grad.dtype())};
  }
};

/// out[i] = log(exp(x[0]) + .. + exp(x[i])) along the last axis of x (rows, n): first of the n / 2 pairs, each added
/// up, and from these of the elements in between. Blelloch, "Prefix sums and their applications", 1990. That is 2 n
/// logaddexps, which stay in range; no single number that all terms are divided by would do for all of the sums.
///
///   x       a    b      c      d          of pairs   a+b   a+b+c+d
///   out     a   a+b   a+b+c  a+b+c+d
Tensor log_sums(const Tensor& x) {
  const int64_t n = x.size(-1);
  if (n < 2) return x;
  if (n % 2) {
    const Tensor most = log_sums(x[{ellipsis, slice(0, n - 1)}]);
    return Tensor::cat({most, most[{ellipsis, slice(-1)}].logaddexp(x[{ellipsis, slice(-1)}])}, -1);
  }
  const Tensor pairs = x.unflatten(-1, {n / 2, 2}), first = pairs[{ellipsis, 0}], second = pairs[{ellipsis, 1}];
  const Tensor with_second = log_sums(first.logaddexp(second).contiguous());
  const Tensor before = with_second.pad({0, 1}, {0, -1}, -kInf);
  return Tensor::stack({first.logaddexp(before), with_second}, -1).flatten(-2).contiguous();
}

struct LogCumSumExp : Function {
  int axis;
  explicit LogCumSumExp(int axis) : axis(axis) {}
  LazyBuffer forward(const LazyBuffer& data) {
    const NoGrad guard;
    const Tensor moved = Tensor(data).movedim(axis, -1);
    if (moved.numel() == 0) return data;
    return log_sums(moved.reshape({-1, moved.size(-1)})).reshape(moved.shape()).movedim(-1, axis).lazy();
  }
  // dx[i] is the sum over k >= i of grad[k] exp(x[i] - out[k]): a logcumsumexp from the other end, of the positive
  // parts of the gradient and of the negative ones. A sum of terms that are all exp(-inf) has no part in it.
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const Tensor x = inputs[0];
    const auto part = [&](const Tensor& g) {
      const Tensor counts = (g > 0) & (out != -kInf), terms = where(counts, where(counts, g, 1).log() - out, -kInf);
      return (terms.flip(axis).logcumsumexp(axis).flip(axis) + x).exp();
    };
    return {part(grad) - part(-grad)};
  }
};

/// The largest or smallest element so far along an axis.
Tensor extreme_so_far(const Tensor& x, int axis, ReduceOp op) {
  TEENY_TRACED(extreme_so_far(x, axis, op), {x}, {{"axis", axis}, {"largest", op == ReduceOp::Max}});
  return Tensor(x.lazy().scan(op, axis));
}

/// An element that equals the extreme so far is where that extreme was seen last: the largest such position so far. A
/// NaN stays the extreme from where it stands on. The values are gathered, so that a gradient finds its way.
ValuesIndices running_extreme(const Tensor& x, int64_t axis, ReduceOp op, const char* name) {
  if (x.axis_list(axis, name); x.rank() == 0) return without_axes(running_extreme(x.flatten(), axis, op, name));
  const int a = x.axis_index(axis, name);
  const Tensor so_far = extreme_so_far(x.detach(), a, op);
  const Tensor position = reshape_to_axis(Tensor::arange(x.shape()[a]), a, x.rank());
  const Tensor seen = where((x.detach() == so_far) | x.detach().isnan(), position, 0);
  const Tensor indices = extreme_so_far(seen, a, ReduceOp::Max);
  return {x.gather(a, indices), indices};
}

}  // namespace

Tensor Tensor::cumsum(int64_t axis) const {
  if (axis_list(axis, "cumsum"); rank() == 0) return flatten().cumsum(axis).reshape({});
  const int a = axis_index(axis, "cumsum");
  TEENY_TRACED(cumsum(a), {*this}, {{"axis", a}});
  return apply(CumSum(a), is_float(dtype()) ? *this : cast(DType::Int64));
}

Tensor Tensor::cumprod(int64_t axis) const {
  if (axis_list(axis, "cumprod"); rank() == 0) return flatten().cumprod(axis).reshape({});
  const int a = axis_index(axis, "cumprod");
  TEENY_TRACED(cumprod(a), {*this}, {{"axis", a}});
  return apply(CumProd(a), is_float(dtype()) ? *this : cast(DType::Int64));
}

ValuesIndices Tensor::cummax(int64_t axis) const { return running_extreme(*this, axis, ReduceOp::Max, "cummax"); }
ValuesIndices Tensor::cummin(int64_t axis) const { return running_extreme(*this, axis, ReduceOp::Min, "cummin"); }

Tensor Tensor::logcumsumexp(int64_t axis) const {
  if (axis_list(axis, "logcumsumexp"); rank() == 0) return flatten().logcumsumexp(axis).reshape({});
  const int a = axis_index(axis, "logcumsumexp");
  TEENY_TRACED(logcumsumexp(a), {*this}, {{"axis", a}});
  return apply(LogCumSumExp(a), to_accumulate_dtype(*this)).cast(as_float(*this).dtype());
}

// ---- Sorting: the kernel finds the order, a gather follows it ------------------------------------------------------

Tensor Tensor::argsort(int64_t axis, bool descending) const {
  if (axis_list(axis, "argsort"); rank() == 0) return flatten().argsort(axis, descending).reshape({});
  const int a = axis_index(axis, "argsort");
  TEENY_TRACED(argsort(a, descending), {*this}, {{"axis", a}, {"descending", descending}});
  return Tensor(lazy().argsort(a, descending));
}

ValuesIndices Tensor::sort(int64_t axis, bool descending) const {
  if (axis_list(axis, "sort"); rank() == 0) return without_axes(flatten().sort(axis, descending));
  const int a = axis_index(axis, "sort");
  TEENY_TRACED(sort(a, descending), {*this}, {{"axis", a}, {"descending", descending}}, &ValuesIndices::values,
               &ValuesIndices::indices);
  const Tensor indices = argsort(a, descending);
  return {gather(a, indices), indices};
}

ValuesIndices Tensor::topk(int64_t k, int64_t axis, bool largest) const {
  const Dims along = axis_list(axis, "topk");
  const int64_t n = along.empty() ? 1 : shape()[int(along[0])];
  if (k < 0 || k > n)
    fail("topk: ", k, " of the ", n, " along axis ", axis, " of ", shape(), "; from 0 to all of them");
  if (rank() == 0) return without_axes(flatten().topk(1, axis, largest));
  const int a = int(along[0]);
  TEENY_TRACED(topk(k, a, largest), {*this}, {{"axis", a}, {"k", k}, {"largest", largest}}, &ValuesIndices::values,
               &ValuesIndices::indices);
  Dims begin = Dims::filled(rank(), 0), end = shape();
  end[a] = k;
  const Tensor indices = argsort(a, largest).shrink(begin, end);
  return {gather(a, indices), indices};
}

}  // namespace teeny
