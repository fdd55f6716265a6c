// Transcendental functions: each is a primitive, which a backend computes without loss, and its slope in tensor
// arithmetic.
#include <cmath>
#include <numbers>

#include "teeny/mlops/common.h"

namespace teeny {

namespace {

using std::numbers::ln10, std::numbers::ln2;

struct Transcendental : Elementwise {
  UnaryOp op;
  Tensor (*slope)(const Tensor& x, const Tensor& out);

  Transcendental(UnaryOp op, Tensor (*slope)(const Tensor&, const Tensor&)) : op(op), slope(slope) {}
  std::string name() const override { return std::string(tinyops::name(op)); }
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(op); }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const auto wide = to_accumulate_dtype;  // a float16's square leaves its range from 256 on
    return {(wide(grad) * slope(wide(inputs[0]), wide(out))).cast(grad.dtype())};
  }
};

Tensor transcendental(UnaryOp op, const Tensor& x, Tensor (*slope)(const Tensor& x, const Tensor& out)) {
  return apply(Transcendental(op, slope), as_float(x));
}

/// `near`, which squares x, and `far` from 1e9 on, where the square may overflow and the 1 beside it is lost.
Tensor without_overflow(const Tensor& x, const Tensor& near, const Tensor& far) {
  return where(x.abs() < 1e9, near, far);
}

Tensor slope_of_atan(const Tensor& x) {
  return without_overflow(x, (1 + x.square()).reciprocal(), x.reciprocal().square());
}
Tensor slope_of_asinh(const Tensor& x) { return without_overflow(x, (1 + x.square()).rsqrt(), x.abs().reciprocal()); }
Tensor slope_of_acosh(const Tensor& x) {
  return without_overflow(x, ((x - 1) * (x + 1) + 0).rsqrt(), x.abs().reciprocal());
}

/// 2 / sqrt(pi) e^(-x^2)
Tensor bell(const Tensor& x) { return (-x.square()).exp() * (2 * std::numbers::inv_sqrtpi); }

}  // namespace

#define SLOPE(...) [](const Tensor& x, const Tensor& y) -> Tensor { return (void)x, (void)y, __VA_ARGS__; }

Tensor Tensor::exp2() const { return transcendental(UnaryOp::Exp2, *this, SLOPE(y * ln2)); }
Tensor Tensor::expm1() const { return transcendental(UnaryOp::Expm1, *this, SLOPE(x.exp())); }
Tensor Tensor::log2() const { return transcendental(UnaryOp::Log2, *this, SLOPE(x.reciprocal() * (1 / ln2))); }
Tensor Tensor::log10() const { return transcendental(UnaryOp::Log10, *this, SLOPE(x.reciprocal() * (1 / ln10))); }
Tensor Tensor::log1p() const { return transcendental(UnaryOp::Log1p, *this, SLOPE((x + 1).reciprocal())); }

Tensor Tensor::tan() const { return transcendental(UnaryOp::Tan, *this, SLOPE(1 + y.square())); }
Tensor Tensor::asin() const { return transcendental(UnaryOp::Asin, *this, SLOPE(((1 - x) * (1 + x)).rsqrt())); }
Tensor Tensor::acos() const { return transcendental(UnaryOp::Acos, *this, SLOPE(-((1 - x) * (1 + x)).rsqrt())); }
Tensor Tensor::atan() const { return transcendental(UnaryOp::Atan, *this, SLOPE(slope_of_atan(x))); }

Tensor Tensor::sinh() const { return transcendental(UnaryOp::Sinh, *this, SLOPE(x.cosh())); }
Tensor Tensor::cosh() const { return transcendental(UnaryOp::Cosh, *this, SLOPE(x.sinh())); }
Tensor Tensor::asinh() const { return transcendental(UnaryOp::Asinh, *this, SLOPE(slope_of_asinh(x))); }
Tensor Tensor::acosh() const { return transcendental(UnaryOp::Acosh, *this, SLOPE(slope_of_acosh(x))); }
Tensor Tensor::atanh() const { return transcendental(UnaryOp::Atanh, *this, SLOPE(((1 - x) * (1 + x)).reciprocal())); }

Tensor Tensor::erf() const { return transcendental(UnaryOp::Erf, *this, SLOPE(bell(x))); }
Tensor Tensor::erfc() const { return transcendental(UnaryOp::Erfc, *this, SLOPE(-bell(x))); }

#undef SLOPE

}  // namespace teeny
