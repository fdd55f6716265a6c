// Short expressions that have a name in PyTorch, and are looked for under it.
#include <cfloat>
#include <cmath>
#include <numbers>

#include "teeny/mlops/common.h"
#include "teeny/functional/windows.h"

namespace teeny {

namespace {
constexpr double kPi = std::numbers::pi;

void refuse_non_floats(const Tensor& x, const char* op) {
  if (!is_float(x.dtype())) fail(op, ": needs floats, not ", x.dtype());
}
}  // namespace

// ---- Elementwise ----------------------------------------------------------------------------------------------------

// atan of the smaller over the larger, turned to where the point lies. On which side of the axis a zero lies, its sign
// says.
Tensor Tensor::atan2(const Tensor& other) const {
  const auto [a, b] = promote_and_broadcast(*this, other, "atan2");
  const Tensor y = as_float(a), x = as_float(b);
  const auto negative = [](const Tensor& t) { return (t < 0) | ((t == 0) & (t.detach().reciprocal() < 0)); };
  const Tensor half_turn = where(negative(y), -kPi, Tensor::full({}, kPi, y.dtype()));
  const Tensor steep = y.abs() > x.abs(), zero = (x == 0) & (y == 0), infinite = x.isinf() & y.isinf();
  const Tensor above = where(zero, y.detach(), where(steep, x, y)), below = where(zero, 1, where(steep, y, x));
  const Tensor ratio = where(infinite, x.sign() * y.sign(), where(infinite, 1, above) / where(infinite, 1, below));
  const Tensor angle = ratio.atan();
  return where(steep, half_turn / 2 - angle, where(negative(x), angle + half_turn, angle));
}

Tensor Tensor::logaddexp(const Tensor& other) const {
  const auto [a, b] = promote_and_broadcast(*this, other, "logaddexp");
  const Tensor x = as_float(a), y = as_float(b);
  return x.maximum(y) + where(x == y, 0, -(x - y).abs()).exp().log1p();  // inf - inf would be NaN
}

Tensor Tensor::isclose(const Tensor& other, double rtol, double atol, bool equal_nan) const {
  const auto [a, b] = promote_and_broadcast(*this, other, "isclose");
  const DType wide = is_float(a.dtype()) ? a.dtype() : DType::Float64;  // the difference of two uint8 may be negative
  const Tensor x = a.cast(wide), y = b.cast(wide), error = (x - y).abs();
  const Tensor close = (a == b) | (error.isfinite() & (error <= atol + rtol * y.abs()));
  return equal_nan ? close | (a.isnan() & b.isnan()) : close;
}
bool Tensor::allclose(const Tensor& y, double rtol, double atol, bool equal_nan) const {
  return isclose(y, rtol, atol, equal_nan).all().item<bool>();
}

namespace {
double largest(DType d) {
  switch (d) {
    case DType::Float16: return 65504;
    case DType::BFloat16: return 0x1.FEp127;
    case DType::Float32: return FLT_MAX;
    default: return DBL_MAX;
  }
}
}  // namespace
Tensor Tensor::nan_to_num(double nan, std::optional<double> inf, std::optional<double> minus_inf) const {
  if (!is_float(dtype())) return *this;
  const double high = inf.value_or(largest(dtype())), low = minus_inf.value_or(-largest(dtype()));
  return where(isnan(), nan, where(*this == INFINITY, high, where(*this == -INFINITY, low, *this)));
}

Tensor Tensor::glu(int64_t axis) const {
  const int a = axis_index(axis, "glu");
  const int64_t half = shape()[a] / 2;
  if (shape()[a] % 2) fail("glu: axis ", a, " of ", shape(), " has no two halves");
  const std::vector<Tensor> halves = split({half, half}, a);
  return halves[0] * halves[1].sigmoid();
}

Tensor Tensor::bernoulli() const {
  refuse_non_floats(*this, "bernoulli");
  return (rand(shape(), promote(dtype(), DType::Float32)) < detach()).cast(dtype());
}

// ---- Lengths and products -------------------------------------------------------------------------------------------

/// A length of 0 gets the gradient 0. Of 16-bit floats it is computed in float32, as a mean is.
Tensor Tensor::norm(double p, const Axes& axes, bool keepdim) const {
  refuse_non_floats(*this, "norm");
  if (std::isnan(p)) fail("norm: of order NaN");
  const Dims list = axis_list(axes, "norm");
  const Tensor x = cast(promote(dtype(), DType::Float32)), a = x.abs();
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
  return *this / norm(p, axes, true).maximum(eps);
}

Tensor Tensor::cosine_similarity(const Tensor& other, int64_t axis, double eps) const {
  const auto [x, y] = promote_and_broadcast(*this, other, "cosine_similarity");
  refuse_non_floats(x, "cosine_similarity");
  const int a = x.axis_index(axis, "cosine_similarity");
  return (x.normalize(2, a, eps) * y.normalize(2, a, eps)).sum(a);
}

Tensor Tensor::outer(const Tensor& y) const {
  if (rank() != 1 || y.rank() != 1) fail("outer: ", shape(), " and ", y.shape(), ": both need one axis");
  return unsqueeze(-1) * y;
}

// ---- Networks -------------------------------------------------------------------------------------------------------

namespace {
/// The mean of each of `out` windows along the last axis. They may overlap, and their sizes differ by one.
Tensor adaptive_mean(const Tensor& x, int64_t out) {
  const int64_t n = x.size(-1), widest = (n + out - 1) / out + 1;
  if (n % out == 0) return x.unflatten(-1, {out, n / out}).mean(-1);  // side by side: a view
  const Tensor i = Tensor::arange(out), begin = floor_divide(i * n, out);
  const Tensor end = floor_divide((i + 1) * n + out - 1, out);
  const Tensor at = begin.unsqueeze(-1) + Tensor::arange(widest);
  const Tensor picked = x.index_select(-1, at.minimum(n - 1).flatten()).unflatten(-1, {out, widest});
  return where(at < end.unsqueeze(-1), picked, 0).sum(-1) / (end - begin);
}
}  // namespace
Tensor Tensor::adaptive_avg_pool2d(const Sizes& size) const {
  const Dims out = each(size, 2, "adaptive_avg_pool2d", "size", 1);
  if (rank() < 3 || rank() > 4 || shape()[rank() - 2] == 0 || shape()[rank() - 1] == 0)
    fail("adaptive_avg_pool2d: an image of ", shape(), "; (N, C, H, W) or (C, H, W)");
  refuse_non_floats(*this, "adaptive_avg_pool2d");
  const Tensor x = cast(promote(dtype(), DType::Float32));
  return adaptive_mean(adaptive_mean(x, out[1]).transpose(), out[0]).transpose().cast(dtype());
}

/// Huber, "Robust estimation of a location parameter", 1964.
Tensor Tensor::huber_loss(const Tensor& target, double delta, Reduction reduction) const {
  if (!(delta > 0)) fail("huber_loss: delta ", delta, " is not above 0");
  if (shape() != target.shape()) fail("huber_loss: ", shape(), " and ", target.shape(), " differ");
  return smooth_l1_loss(target, delta, reduction) * delta;
}

}  // namespace teeny
