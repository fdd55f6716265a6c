// Activations: one line of tensor arithmetic each, whose gradient comes by itself. A new one goes here.
#include <cmath>
#include <numbers>

#include "teeny/mlops/common.h"

namespace teeny {

Tensor Tensor::relu6() const { return clamp(0, 6); }
Tensor Tensor::logsigmoid() const { return -(-as_float(*this)).softplus(); }
Tensor Tensor::silu() const { return *this * sigmoid(); }
Tensor Tensor::mish() const { return *this * softplus().tanh(); }

/// x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), Hendrycks and Gimpel 2016, arXiv:1606.08415
Tensor Tensor::gelu() const {
  const double k = std::sqrt(2 / std::numbers::pi);
  return *this * (0.5 + 0.5 * (*this * (k + k * 0.044715 * square())).tanh());
}

Tensor Tensor::gelu_erf() const { return *this * 0.5 * (1 + (*this * std::sqrt(0.5)).erf()); }
Tensor Tensor::quick_gelu() const { return *this * (*this * 1.702).sigmoid(); }
Tensor Tensor::hardswish() const { return *this * (*this + 3).relu6() / 6; }
Tensor Tensor::hardsigmoid() const { return (*this + 3).relu6() / 6; }
Tensor Tensor::softsign() const { return *this / (1 + abs()); }
Tensor Tensor::leaky_relu(double slope) const { return where(*this > 0, *this, *this * slope); }

/// exp sees no positive number: what overflowed there would come back as NaN in the gradient.
Tensor Tensor::elu(double alpha) const {
  return where(*this > 0, *this, (where(*this > 0, 0, *this).exp() - 1) * alpha);
}

Tensor Tensor::celu(double alpha) const {
  return where(*this > 0, *this, ((where(*this > 0, 0, *this) / alpha).exp() - 1) * alpha);
}

/// Klambauer et al., "Self-normalizing neural networks", 2017.
Tensor Tensor::selu() const { return elu(1.6732632423543772) * 1.0507009873554805; }

/// log(1 + e^(beta x)) / beta, with the large part taken out so that nothing overflows. Not relu, whose slope at 0 is
/// 0.
Tensor Tensor::softplus(double beta) const {
  const Tensor x = as_float(*this) * beta;
  return (x.maximum(0) + (-x.abs()).exp().log1p()) / beta;
}

Tensor Tensor::hardtanh(double low, double high) const { return clamp(low, high).cast(dtype()); }

Tensor Tensor::glu(int64_t axis) const {
  const int a = axis_index(axis, "glu");
  const int64_t half = shape()[a] / 2;
  if (shape()[a] % 2) fail("glu: axis ", a, " of ", shape(), " has no two halves");
  const std::vector<Tensor> halves = split({half, half}, a);
  return halves[0] * halves[1].sigmoid();
}

// ---- Softmax: the largest value is taken out first, so that exp of what is left is at most 1 -----------------------

namespace {

Tensor without_max(const Tensor& x, const Axes& axes) { return x - x.detach().max(axes, true); }

}  // namespace

Tensor Tensor::softmax(int64_t axis) const {
  if (rank() == 0) return unsqueeze(0).softmax(axis).squeeze(0);
  const int a = axis_index(axis, "softmax");
  const Tensor e = without_max(to_accumulate_dtype(*this), a).exp();
  return (e * e.sum(a, true).reciprocal()).cast(as_float(*this).dtype());  // one division a row
}

Tensor Tensor::log_softmax(int64_t axis) const {
  if (rank() == 0) return unsqueeze(0).log_softmax(axis).squeeze(0);
  const int a = axis_index(axis, "log_softmax");
  const Tensor x = without_max(to_accumulate_dtype(*this), a);
  return (x - x.exp().sum(a, true).log()).cast(as_float(*this).dtype());
}

Tensor Tensor::dropout(double p) const {
  if (!(p >= 0 && p <= 1)) fail("dropout: probability ", p, " is outside [0, 1]");
  if (!Training::enabled() || p == 0) return *this;
  return where(rand(shape()) >= p, p == 1 ? *this : *this / (1 - p), 0);
}

}  // namespace teeny
