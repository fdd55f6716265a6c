// The rules of arithmetic: each a Function, and the Tensor method that applies it.
//
// `forward` may take its arguments as right; the method has checked them. `backward` is plain tensor arithmetic.
#include <cmath>
#include <limits>
#include <numbers>

#include "teeny/mlops/common.h"

namespace teeny {

// ---- Meeting of dtypes and shapes ----------------------------------------------------------------------------------

namespace {
/// PyTorch's rule: a tensor without axes is a number, and does not widen a tensor with axes unless its kind (bool,
/// integer, float) is the higher one. So a float32 learning rate leaves a float16 weight what it is.
DType common_dtype(const Tensor& x, const Tensor& y) {
  if ((x.rank() == 0) == (y.rank() == 0)) return promote(x.dtype(), y.dtype());
  const DType number = x.rank() == 0 ? x.dtype() : y.dtype(), tensor = x.rank() == 0 ? y.dtype() : x.dtype();
  auto kind = [](DType d) { return is_float(d) ? 2 : is_int(d) ? 1 : 0; };
  return kind(number) > kind(tensor) ? number : tensor;
}
}  // namespace

std::pair<Tensor, Tensor> promote_and_broadcast(const Tensor& x, const Tensor& y, const char* op) {
  const Shape shape = broadcast(x.lazy(op).shape(), y.lazy(op).shape(), op);
  const DType common = common_dtype(x, y);
  const auto expanded = [&](const Tensor& t) { return t.shape() == shape ? t : t.expand(shape); };
  return {expanded(x.cast(common)), expanded(y.cast(common))};
}

Tensor as_float(const Tensor& x, const char* op) { return is_float(x.lazy(op).dtype()) ? x : x.cast(DType::Float32); }
Tensor to_accumulate_dtype(const Tensor& x) { return x.cast(promote(x.dtype(), DType::Float32)); }

bool fits(Scalar value, DType dtype) {
  const double v = value.as<double>();
  return with_type(dtype, [&]<class T>(T) {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::same_as<T, bool>) return true;
    else if constexpr (std::same_as<T, int64_t>) return !value.is_fraction() || std::abs(v) < 0x1p63;
    else if constexpr (std::integral<T>) return v > double(Limits::min()) - 1 && v < double(Limits::max()) + 1;
    else return !std::isfinite(v) || std::isfinite(double(value.as<T>()));
  });
}

void refuse_bools(const Tensor& x, const char* op) {
  if (x.lazy(op).dtype() == DType::Bool) fail(op, ": not defined on bools");
}

// ---- One element in ------------------------------------------------------------------------------------------------

namespace {

struct Neg : Function {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Neg); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {-grad}; }
};

struct Reciprocal : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Recip); }
  Grads backward(const Tensor& grad, const Tensor& out) override { return {-grad * out * out}; }
};

struct Sqrt : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Sqrt); }
  Grads backward(const Tensor& grad, const Tensor& out) override { return {grad / (out * 2)}; }
};

struct Exp : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Exp); }
  Grads backward(const Tensor& grad, const Tensor& out) override { return {grad * out}; }
};

struct Log : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Log); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad / inputs[0]}; }
};

struct Sin : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Sin); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad * inputs[0].cos()}; }
};

// [exercise 14
struct Cos : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Cos); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {-grad * inputs[0].sin()}; }
};

struct Tanh : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Tanh); }
  Grads backward(const Tensor& grad, const Tensor& out) override { return {grad * (1 - out * out)}; }
};

struct Sigmoid : Elementwise {
  LazyBuffer forward(const LazyBuffer& x) { return x.unary(UnaryOp::Sigmoid); }
  Grads backward(const Tensor& grad, const Tensor& out) override { return {grad * out * (1 - out)}; }
};
// exercise 14]

/// Not `where(x > 0, x, 0)`, which would turn a NaN into 0.
struct Relu : Function {
  LazyBuffer forward(const LazyBuffer& x) {
    return x.binary(BinaryOp::Max, LazyBuffer::constant(0, x.dtype(), x.shape()));
  }
  Grads backward(const Tensor& grad, const Tensor& out) override { return {where(out <= 0, 0, grad)}; }
};

struct Cast : Function {
  DType to;
  explicit Cast(DType to) : to(to) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.cast(to); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.cast(inputs[0].dtype())}; }
};

}  // namespace

Tensor Tensor::neg() const {
  if (lazy("neg").dtype() == DType::Bool) fail("neg: a bool has no negative; logical_not() inverts it");
  return apply(Neg{}, *this);
}

Tensor Tensor::reciprocal() const { return apply(Reciprocal{}, as_float(*this, "reciprocal")); }
Tensor Tensor::sqrt() const { return apply(Sqrt{}, as_float(*this, "sqrt")); }
Tensor Tensor::exp() const { return apply(Exp{}, as_float(*this, "exp")); }
Tensor Tensor::log() const { return apply(Log{}, as_float(*this, "log")); }
Tensor Tensor::sin() const { return apply(Sin{}, as_float(*this, "sin")); }
Tensor Tensor::cos() const { return apply(Cos{}, as_float(*this, "cos")); }
Tensor Tensor::tanh() const { return apply(Tanh{}, as_float(*this, "tanh")); }
Tensor Tensor::sigmoid() const { return apply(Sigmoid{}, as_float(*this, "sigmoid")); }

Tensor Tensor::relu() const {
  refuse_bools(*this, "relu");
  return apply(Relu{}, *this);
}

Tensor Tensor::cast(DType to) const { return to == lazy("cast").dtype() ? *this : apply(Cast(to), *this); }
Tensor Tensor::logical_not() const {
  TEENY_TRACED(logical_not(), {*this}, {});
  return Tensor(lazy("logical_not").unary(UnaryOp::Not));
}

// ---- Two elements in -----------------------------------------------------------------------------------------------

namespace {

struct Add : Elementwise {
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Add, y); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad, grad}; }
};

struct Sub : Elementwise {
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Sub, y); }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad, -grad}; }
};

struct Mul : Elementwise {
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Mul, y); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x, y] = saved<2>();
    return {grad * y, grad * x};
  }
};

struct Div : Elementwise {
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Div, y); }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const auto [x, y] = saved<2>();
    return {grad / y, -grad * out / y};
  }
};

/// The larger or the smaller of two; a tie shares the gradient in halves.
struct ElementwiseMax : Function {
  BinaryOp op;
  explicit ElementwiseMax(BinaryOp op) : op(op) {}
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(op, y); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x, y] = saved<2>();
    const bool max = op == BinaryOp::Max;  // of NaNs none loses
    const Tensor shared = where(x == y, grad / 2, grad), x_loses = max ? x < y : x > y, y_loses = max ? x > y : x < y;
    return {where(x_loses, 0, shared), where(y_loses, 0, shared)};
  }
};

struct Where : Elementwise {
  Where() { chooses = true; }
  LazyBuffer forward(const LazyBuffer& c, const LazyBuffer& x, const LazyBuffer& y) { return teeny::where(c, x, y); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    return {{}, teeny::where(inputs[0], grad, 0), teeny::where(inputs[0], 0, grad)};
  }
};

// Comparisons have no gradient: no rule, no history.
Tensor compare(BinaryOp op, const Tensor& x, const Tensor& y, const char* name) {
  const auto both = promote_and_broadcast(x, y, name);
  TEENY_TRACED(compare(op, both.first, both.second, name), {both.first, both.second}, {{"op", name}});
  return Tensor(both.first.lazy().binary(op, both.second.lazy()));
}
}  // namespace

Tensor operator+(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "+");
  return apply(Add{}, a, b);
}

Tensor operator-(const Tensor& x, const Tensor& y) {
  if (x.lazy("-").dtype() == DType::Bool || y.lazy("-").dtype() == DType::Bool)
    fail("-: bools cannot be subtracted; ^ gives their difference, logical_not() the other of the two");
  const auto [a, b] = promote_and_broadcast(x, y, "-");
  return apply(Sub{}, a, b);
}

Tensor operator*(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "*");
  return apply(Mul{}, a, b);
}

Tensor operator/(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "/");
  return apply(Div{}, as_float(a), as_float(b));
}

Tensor Tensor::maximum(const Tensor& y) const {
  const auto [a, b] = promote_and_broadcast(*this, y, "maximum");
  return apply(ElementwiseMax(BinaryOp::Max), a, b);
}

Tensor Tensor::minimum(const Tensor& y) const {
  const auto [a, b] = promote_and_broadcast(*this, y, "minimum");
  return apply(ElementwiseMax(BinaryOp::Min), a, b);
}

Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "where");
  const Shape shape = broadcast(condition.lazy("where").shape(), a.shape(), "where");
  const Tensor c = condition.dtype() == DType::Bool ? condition : condition != 0;
  return apply(Where{}, c.expand(shape), a.expand(shape), b.expand(shape));
}

Tensor operator<(const Tensor& x, const Tensor& y) { return compare(BinaryOp::Lt, x, y, "<"); }
Tensor operator<=(const Tensor& x, const Tensor& y) { return compare(BinaryOp::Le, x, y, "<="); }
Tensor operator>(const Tensor& x, const Tensor& y) { return compare(BinaryOp::Lt, y, x, ">"); }
Tensor operator>=(const Tensor& x, const Tensor& y) { return compare(BinaryOp::Le, y, x, ">="); }
Tensor operator==(const Tensor& x, const Tensor& y) { return compare(BinaryOp::Eq, x, y, "=="); }
Tensor operator!=(const Tensor& x, const Tensor& y) { return compare(BinaryOp::Eq, x, y, "!=").logical_not(); }

}  // namespace teeny
