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

/// The method `name`: the primitive `op`, and its slope at x, where it is y.
#define TEENY_FUNCTION(name, op, ...)                                                                            \
  Tensor Tensor::name() const {                                                                                  \
    const auto slope = [](const Tensor& x, const Tensor& y) -> Tensor { return (void)x, (void)y, __VA_ARGS__; }; \
    return apply(Transcendental(UnaryOp::op, slope), as_float(*this, #name));                                    \
  }

TEENY_FUNCTION(exp2, Exp2, (y * ln2))
TEENY_FUNCTION(expm1, Expm1, x.exp())
TEENY_FUNCTION(log2, Log2, x.reciprocal() * (1 / ln2))
TEENY_FUNCTION(log10, Log10, x.reciprocal() * (1 / ln10))
TEENY_FUNCTION(log1p, Log1p, (x + 1).reciprocal())

TEENY_FUNCTION(tan, Tan, 1 + y.square())
TEENY_FUNCTION(asin, Asin, ((1 - x) * (1 + x)).rsqrt())
TEENY_FUNCTION(acos, Acos, -((1 - x) * (1 + x)).rsqrt())
TEENY_FUNCTION(atan, Atan, slope_of_atan(x))

TEENY_FUNCTION(sinh, Sinh, x.cosh())
TEENY_FUNCTION(cosh, Cosh, x.sinh())
TEENY_FUNCTION(asinh, Asinh, slope_of_asinh(x))
TEENY_FUNCTION(acosh, Acosh, slope_of_acosh(x))
TEENY_FUNCTION(atanh, Atanh, ((1 - x) * (1 + x)).reciprocal())

TEENY_FUNCTION(erf, Erf, bell(x))
TEENY_FUNCTION(erfc, Erfc, -bell(x))

#undef TEENY_FUNCTION

}  // namespace teeny
