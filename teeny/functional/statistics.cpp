// Statistics over axes: means, variances, norms, positions of extremes, and tests of all elements.
#include <algorithm>
#include <cmath>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"

namespace teeny {

namespace {

int64_t count(const Tensor& x, const Dims& axes) {
  int64_t n = 1;
  for (int64_t a : axes) n *= x.shape()[int(a)];
  return n;
}

}  // namespace

// All of these are computed in to_accumulate_dtype, the squares in float64, and rounded to a narrower type at the end.
Tensor Tensor::mean(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "mean");
  TEENY_TRACED(mean(list, keepdim), {*this}, {{"axes", list}, {"keepdim", keepdim}});
  const Tensor x = to_accumulate_dtype(*this);
  return (x.sum(list, keepdim) / double(count(x, list))).cast(as_float(*this).dtype());
}

Tensor Tensor::var(const Axes& axes, double correction, bool keepdim) const {
  const Dims list = axis_list(axes, "var");
  const Tensor x = to_accumulate_dtype(*this), centered = x - x.mean(list, true);
  const double degrees = std::max(0.0, double(count(x, list)) - correction);
  return (centered.cast(DType::Float64).square().sum(list, keepdim) / degrees).cast(as_float(*this).dtype());
}

Tensor Tensor::std(const Axes& axes, double correction, bool keepdim) const {
  const Dims list = axis_list(axes, "std");
  const Tensor v = cast(DType::Float64).var(list, correction, keepdim);
  return where(v == 0, 0, v).sqrt().cast(as_float(*this).dtype());  // equal values get the gradient 0, not inf * 0
}

std::pair<Tensor, Tensor> var_mean(const Tensor& x, const Axes& axes, double correction, bool keepdim) {
  const Dims list = x.axis_list(axes, "var_mean");
  return {x.var(list, correction, keepdim), x.mean(list, keepdim)};
}
std::pair<Tensor, Tensor> std_mean(const Tensor& x, const Axes& axes, double correction, bool keepdim) {
  const Dims list = x.axis_list(axes, "std_mean");
  return {x.std(list, correction, keepdim), x.mean(list, keepdim)};
}

Tensor Tensor::any(const Axes& axes, bool keepdim) const {
  return lazy("any"), (*this != 0).sum(axis_list(axes, "any"), keepdim) != 0;
}

Tensor Tensor::all(const Axes& axes, bool keepdim) const {
  return lazy("all"), (*this == 0).sum(axis_list(axes, "all"), keepdim) == 0;
}

namespace {
/// The position of the first element that equals the extreme, or that is NaN.
Tensor first_of(const Tensor& x, std::optional<int64_t> axis, bool keepdim, bool largest, const char* op) {
  if (axis) (void)x.axis_list(*axis, op);
  if (!axis || x.rank() == 0) {
    const Tensor flat = first_of(x.flatten(), axis.value_or(0), false, largest, op);
    return keepdim ? flat.reshape(Dims::filled(x.rank(), 1)) : flat;
  }
  const int a = x.axis_index(*axis, op);
  const int64_t n = x.shape()[a];
  if (n == 0) fail(op, ": axis ", a, " of ", x.shape(), " is empty");
  TEENY_TRACED_AS(op, first_of(x, axis, keepdim, largest, op), {x}, {{"axis", a}, {"keepdim", keepdim}});
  const Tensor best = largest ? x.max(a, true) : x.min(a, true);
  const Tensor position = reshape_to_axis(Tensor::arange(n), a, x.rank());
  return where((x == best) | x.isnan(), position, Scalar(n)).min(a, keepdim);
}
}  // namespace

Tensor Tensor::argmax(std::optional<int64_t> axis, bool keepdim) const {
  return lazy("argmax"), first_of(detach(), axis, keepdim, true, "argmax");
}

Tensor Tensor::argmin(std::optional<int64_t> axis, bool keepdim) const {
  return lazy("argmin"), first_of(detach(), axis, keepdim, false, "argmin");
}

Tensor mean_square(const Tensor& x, const Dims& axes) { return x.cast(DType::Float64).square().mean(axes, true); }

namespace {
/// A rule, because of nothing but -inf the gradient by parts is 0 * inf; it is 0.
struct LogSumExp : Function {
  Dims axes;
  explicit LogSumExp(Dims axes) : axes(std::move(axes)) {}
  LazyBuffer forward(const LazyBuffer& values) {
    const NoGrad guard;
    const Tensor x(values);
    if (x.numel() == 0) return (x.sum(axes, true) + -INFINITY).lazy();
    const Tensor top = x.max(axes, true), finite = where(top.isfinite(), top, 0);  // -inf - -inf would be NaN
    return ((x - finite).exp().sum(axes, true).log() + finite).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    return {where(inputs[0] == -INFINITY, 0, grad * (inputs[0] - out).exp())};
  }
};
}  // namespace

Tensor Tensor::logsumexp(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "logsumexp");
  TEENY_TRACED(logsumexp(list, keepdim), {*this}, {{"axes", list}, {"keepdim", keepdim}});
  const Tensor result = apply(LogSumExp(list), to_accumulate_dtype(*this)).cast(as_float(*this).dtype());
  return keepdim ? result : result.sum(list);
}

// ---- Norms ---------------------------------------------------------------------------------------------------------

/// A length of 0 gets the gradient 0. Powers of floats leave their range where the length does not: they are doubles.
Tensor Tensor::norm(double p, const Axes& axes, bool keepdim) const {
  refuse_non_floats(*this, "norm");
  if (std::isnan(p))
    fail("norm: of order nan for ", lazy("norm").shape(), "; a number, or INFINITY for the largest element");
  const Dims list = axis_list(axes, "norm");
  for (int64_t axis : list)
    if (shape()[axis] == 0 && (std::isinf(p) || p < 0))
      fail("norm: axis ", axis, " of ", shape(), " is empty, and nothing has no norm of order ", p);
  if (p == 1 || p == 2) TEENY_TRACED(norm(p, list, keepdim), {*this}, {{"p", p}, {"axes", list}, {"keepdim", keepdim}});
  const bool powers = p != 0 && p != 1 && std::isfinite(p);
  const Tensor x = powers ? cast(DType::Float64) : to_accumulate_dtype(*this), a = x.abs();
  const auto masked = [](const Tensor& t) { return where(t == 0, 0, t); };
  const auto length = [&] {
    if (p == INFINITY) return a.max(list, keepdim);
    if (p == -INFINITY) return a.min(list, keepdim);
    if (p == 0) return (x != 0).sum(list, keepdim);
    if (p == 1) return a.sum(list, keepdim);
    if (p == 2) return masked(x.square().sum(list, keepdim)).sqrt();
    return masked(masked(a).pow(p).sum(list, keepdim)).pow(1 / p);
  };
  return length().cast(dtype());
}

Tensor Tensor::normalize(double p, const Axes& axes, double eps) const {
  refuse_non_floats(*this, "normalize");
  return *this / norm(p, axis_list(axes, "normalize"), true).maximum(eps);
}

Tensor Tensor::cosine_similarity(const Tensor& other, int64_t axis, double eps) const {
  const auto [x, y] = promote_and_broadcast(*this, other, "cosine_similarity");
  refuse_non_floats(x, "cosine_similarity");
  if (x.axis_list(axis, "cosine_similarity"); x.rank() == 0)
    return x.flatten().cosine_similarity(y.flatten(), axis, eps).reshape({});
  const int a = x.axis_index(axis, "cosine_similarity");
  return (x.normalize(2, a, eps) * y.normalize(2, a, eps)).sum(a);
}

}  // namespace teeny
