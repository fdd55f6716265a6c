#include "teeny/nn/init.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "teeny/functional/functional.h"

namespace teeny::nn::init {

namespace {

/// Assigns `values` to x, which stays a leaf.
Tensor& assign_values(Tensor& x, const Tensor& values) {
  NoGrad guard;
  return x.assign(values.cast(x.dtype()));
}

/// What random values of `x` are drawn in: at least float32.
DType random_dtype(const Tensor& x) { return promote(x.dtype(), DType::Float32); }

void check_float(const char* op, const Tensor& x) {
  if (!is_float(x.lazy(op).dtype())) fail(op, ": makes floats, not ", x.dtype());
}
void check_range(const char* op, double low, double high) {
  if (!(low <= high)) fail(op, ": from ", low, " to ", high, "; low <= high");
}
void check_std(const char* op, double std) {
  if (!(std >= 0)) fail(op, ": a standard deviation of ", std, "; 0 is the least");
}

/// ±sqrt(3) std: what is uniform there has the standard deviation std.
Tensor& uniform_of_std(Tensor& x, double std) { return uniform_(x, -std::sqrt(3.0) * std, std::sqrt(3.0) * std); }

double kaiming_std(const char* op, const Tensor& x, const KaimingOptions& o) {
  const Fans f = fans(x.lazy(op).shape(), op);
  return gain(o.nonlinearity, o.slope) / std::sqrt(o.fan == Fan::In ? f.in : f.out);
}

/// The inverse of erf in (-1, 1): a first value with a relative error of 1 in 500 (Winitzki, "A handy approximation for
/// the error function and its inverse", 2008) and two steps of Newton's, each of which squares the error.
Tensor erfinv(const Tensor& y) {
  constexpr double a = 0.147, pi = std::numbers::pi;
  const Tensor l = (1 - y.square()).log(), half = l / 2 + 2 / (pi * a);
  Tensor x = y.sign() * ((half.square() - l / a).sqrt() - half).sqrt();
  for (int step = 0; step < 2; ++step) x = x - (x.erf() - y) * (std::sqrt(pi) / 2) * x.square().exp();
  return x;
}

}  // namespace

Tensor& constant_(Tensor& x, double value) {
  return assign_values(x, Tensor::full(x.lazy("constant_").shape(), value));
}

Tensor& uniform_(Tensor& x, double low, double high) {
  check_float("uniform_", x);
  check_range("uniform_", low, high);
  return assign_values(x, spread_over(Tensor::rand(x.shape(), random_dtype(x)), low, high));
}

Tensor& normal_(Tensor& x, double mean, double std) {
  check_float("normal_", x);
  check_std("normal_", std);
  return assign_values(x, Tensor::randn(x.shape(), random_dtype(x)) * std + mean);
}

/// Inverse transform sampling: a uniform value between the distribution function's values at the two ends, through the
/// inverse of that function. Nothing is rejected and drawn again.
Tensor& trunc_normal_(Tensor& x, double mean, double std, double low, double high) {
  check_float("trunc_normal_", x);
  if (!(std > 0)) fail("trunc_normal_: a standard deviation of ", std, "; it is above 0");
  const auto at = [&](double end) { return std::erf((end - mean) / (std * std::numbers::sqrt2)); };
  constexpr double kEnd = 1 - 1e-15;  // of the whole line the inverse would be infinite
  const double from = std::clamp(at(low), -kEnd, kEnd), to = std::clamp(at(high), -kEnd, kEnd);
  if (!(from < to))
    fail("trunc_normal_: from ", low, " to ", high, " holds no value of mean ", mean, " and deviation ", std);
  const Tensor u = Tensor::rand(x.shape(), DType::Float64) * (to - from) + from;
  return assign_values(x, (erfinv(u) * (std * std::numbers::sqrt2) + mean).clamp(low, high));
}

double gain(Nonlinearity nonlinearity, double slope) {
  switch (nonlinearity) {
    case Nonlinearity::Linear: return 1;
    case Nonlinearity::Tanh: return 5.0 / 3;
    case Nonlinearity::Relu: return std::numbers::sqrt2;
    case Nonlinearity::LeakyRelu: return std::sqrt(2 / (1 + slope * slope));
    case Nonlinearity::Selu: return 3.0 / 4;
  }
  fail("gain: unknown nonlinearity ", int(nonlinearity));
}

Tensor& xavier_uniform_(Tensor& x, double gain) {
  const Fans f = fans(x.lazy("xavier_uniform_").shape(), "xavier_uniform_");
  return uniform_of_std(x, gain * std::sqrt(2 / (f.in + f.out)));
}
Tensor& xavier_normal_(Tensor& x, double gain) {
  const Fans f = fans(x.lazy("xavier_normal_").shape(), "xavier_normal_");
  return normal_(x, 0, gain * std::sqrt(2 / (f.in + f.out)));
}
Tensor& kaiming_uniform_(Tensor& x, const KaimingOptions& options) {
  return uniform_of_std(x, kaiming_std("kaiming_uniform_", x, options));
}
Tensor& kaiming_normal_(Tensor& x, const KaimingOptions& options) {
  return normal_(x, 0, kaiming_std("kaiming_normal_", x, options));
}

Tensor fan_in_uniform(const char* layer, const Shape& shape, int64_t fan_in) {
  check_shape(shape, layer);
  const double bound = fan_in > 0 ? 1 / std::sqrt(double(fan_in)) : 0;
  return Tensor::uniform(shape, -bound, bound).requires_grad_();
}

void check_sizes(const char* layer, std::initializer_list<int64_t> sizes) {
  constexpr int64_t kMost = int64_t(1) << 59;  // a few of them can be added, or one be taken four times
  for (int64_t size : sizes)
    if (size < 0 || size > kMost) fail(layer, ": a size of ", size, "; 0 <= size <= ", kMost);
}

}  // namespace teeny::nn::init
