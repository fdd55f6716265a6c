// Activations: one line of tensor arithmetic each, whose gradient comes by itself. A new one goes here.
#include <cmath>
#include <numbers>

#include "teeny/mlops/common.h"

namespace teeny {

namespace {

/// f(x), where 16-bit floats are computed in float32 and rounded once, and integers are float32 from the start. `op` is
/// for an undefined x, and what a trace calls it, with the name and the value of f's parameter.
template <class F>
Tensor in_float32(const Tensor& x, const char* op, F f, std::pair<const char*, double> parameter = {}) {
  TEENY_TRACED_AS(op, in_float32(x, op, f), {x}, parameter.first ? Attributes{parameter} : Attributes{});
  const DType result = as_float(x, op).dtype();
  return f(to_accumulate_dtype(x)).cast(result);
}

// Rules, because by parts the gradient passes through grad * x, which may be infinite where the slope is 0.
struct Silu : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Sigmoid).binary(BinaryOp::Mul, x); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Tensor x = inputs[0], s = x.sigmoid();
    return {grad * (s * (1 + x * (1 - s)))};
  }
};
struct Mish : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) {
    const NoGrad guard;
    return x.binary(BinaryOp::Mul, Tensor(x).softplus().tanh().lazy());
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Tensor x = inputs[0], t = x.softplus().tanh();
    return {grad * (t + x * x.sigmoid() * (1 - t.square()))};
  }
};

}  // namespace

Tensor Tensor::relu6() const { return lazy("relu6"), clamp(0, 6); }
Tensor Tensor::logsigmoid() const { return -(-as_float(*this, "logsigmoid")).softplus(); }

Tensor Tensor::silu() const {
  return in_float32(*this, "silu", [](const Tensor& x) { return apply(Silu{}, x); });
}

Tensor Tensor::mish() const {
  return in_float32(*this, "mish", [](const Tensor& x) { return apply(Mish{}, x); });
}

/// x / 2 * (1 + tanh(u)) = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3): where tanh is nearly -1, adding 1
/// would cancel. Hendrycks and Gimpel 2016, arXiv:1606.08415
Tensor Tensor::gelu() const {
  const double k = 2 * std::sqrt(2 / std::numbers::pi);
  return in_float32(*this, "gelu",
                    [k](const Tensor& x) { return x * (x * (k + k * 0.044715 * x.square())).sigmoid(); });
}

/// x / 2 * (1 + erf(x / sqrt(2))), where 1 + erf(t) is erfc(-t).
Tensor Tensor::gelu_erf() const {
  return in_float32(*this, "gelu_erf", [](const Tensor& x) { return x * 0.5 * (x * -std::sqrt(0.5)).erfc(); });
}

Tensor Tensor::quick_gelu() const {
  return in_float32(*this, "quick_gelu", [](const Tensor& x) { return x * (x * 1.702).sigmoid(); });
}

Tensor Tensor::hardswish() const {
  return in_float32(*this, "hardswish", [](const Tensor& x) { return x * (x + 3).relu6() / 6; });
}

Tensor Tensor::hardsigmoid() const {
  return in_float32(*this, "hardsigmoid", [](const Tensor& x) { return (x + 3).relu6() / 6; });
}

Tensor Tensor::softsign() const {
  return in_float32(*this, "softsign", [](const Tensor& x) { return x / (1 + x.abs()); });
}

Tensor Tensor::leaky_relu(double slope) const {
  return in_float32(*this, "leaky_relu", [=](const Tensor& x) { return where(x > 0, x, x * slope); }, {"slope", slope});
}

/// expm1 sees no positive number: what overflowed there would come back as NaN in the gradient.
Tensor Tensor::elu(double alpha) const {
  const auto f = [=](const Tensor& x) { return where(x <= 0, where(x <= 0, x, 0).expm1() * alpha, x); };
  return in_float32(*this, "elu", f, {"alpha", alpha});
}

Tensor Tensor::celu(double alpha) const {
  if (alpha == 0) fail("celu: alpha is 0, and x is divided by it");
  const auto f = [=](const Tensor& x) { return where(x <= 0, (where(x <= 0, x, 0) / alpha).expm1() * alpha, x); };
  return in_float32(*this, "celu", f, {"alpha", alpha});
}

/// Klambauer et al., "Self-normalizing neural networks", 2017.
Tensor Tensor::selu() const {
  return in_float32(*this, "selu", [](const Tensor& x) { return x.elu(1.6732632423543772) * 1.0507009873554805; });
}

/// log(1 + e^(beta x)) / beta, with the large part taken out so that nothing overflows. Not relu, whose slope at 0 is
/// 0, nor |beta x|, which may be 0 where x is not.
Tensor Tensor::softplus(double beta) const {
  const auto f = [=](const Tensor& x) {
    // [exercise 20
    const Tensor large = beta < 0 ? x.minimum(0) : x.maximum(0);
    return large + (x.abs() * -std::abs(beta)).exp().log1p() / beta;
    // exercise 20]
  };
  return in_float32(*this, "softplus", f, {"beta", beta});
}

Tensor Tensor::hardtanh(double low, double high) const {
  if (low > high) fail("hardtanh: [", low, ", ", high, "] is no interval");
  return lazy("hardtanh"), clamp(low, high).cast(dtype());
}

Tensor Tensor::glu(int64_t axis) const {
  const int a = axis_index(axis, "glu");
  const int64_t half = shape()[a] / 2;
  if (shape()[a] % 2) fail("glu: axis ", a, " of ", shape(), " has no two halves");
  const std::vector<Tensor> halves = split({half, half}, a);
  return halves[0] * halves[1].sigmoid();
}

// ---- Softmax: the largest value is taken out first, so that exp of what is left is at most 1 -----------------------

namespace {

Tensor without_max(const Tensor& x, int axis) { return x.numel() ? x - x.detach().max(axis, true) : x; }

}  // namespace

Tensor Tensor::softmax(int64_t axis) const {
  if (axis_list(axis, "softmax"); rank() == 0) return unsqueeze(0).softmax().squeeze(0);
  const int a = axis_index(axis, "softmax");
  TEENY_TRACED(softmax(a), {*this}, {{"axis", a}});
  const Tensor e = without_max(to_accumulate_dtype(*this), a).exp();
  return (e * e.sum(a, true).reciprocal()).cast(as_float(*this).dtype());  // one division a row
}

Tensor Tensor::log_softmax(int64_t axis) const {
  if (axis_list(axis, "log_softmax"); rank() == 0) return unsqueeze(0).log_softmax().squeeze(0);
  const int a = axis_index(axis, "log_softmax");
  TEENY_TRACED(log_softmax(a), {*this}, {{"axis", a}});
  // [exercise 21
  const Tensor x = without_max(to_accumulate_dtype(*this), a);
  return (x - x.exp().sum(a, true).log()).cast(as_float(*this).dtype());
  // exercise 21]
}

Tensor Tensor::dropout(double p) const {
  if (!(p >= 0 && p <= 1)) fail("dropout: probability ", p, " is outside [0, 1]");
  const Shape& to = lazy("dropout").shape();
  if (!Training::enabled() || p == 0) return *this;
  return where(rand(to) >= p, p == 1 ? *this : *this / (1 - p), 0);
}

}  // namespace teeny
