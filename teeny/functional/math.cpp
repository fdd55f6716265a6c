// Elementwise functions under the names that PyTorch gives them: the rules that a first reading can leave out, and
// formulas.
#include <cfloat>
#include <cmath>
#include <limits>
#include <numbers>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"
#include "teeny/mlops/common.h"

namespace teeny {

namespace {

constexpr double kPi = std::numbers::pi, kInf = std::numeric_limits<double>::infinity();

/// Flat between its jumps: floor, trunc, round.
struct Stepwise : Function {
  UnaryOp op;
  explicit Stepwise(UnaryOp op) : op(op) {}
  LazyBuffer forward(const LazyBuffer& x) { return is_float(x.dtype()) ? x.unary(op) : x; }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.zeros_like()}; }
};

/// -1, 0 or 1; 0 for NaN.
struct Sign : Function {
  LazyBuffer forward(const LazyBuffer& x) {
    const LazyBuffer zero = LazyBuffer::constant(0, x.dtype(), x.shape());
    return zero.binary(BinaryOp::Lt, x)
        .cast(x.dtype())
        .binary(BinaryOp::Sub, x.binary(BinaryOp::Lt, zero).cast(x.dtype()));
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad.zeros_like()}; }
};

struct Pow : Elementwise {
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Pow, y); }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const auto [x, y] = saved<2>();
    // 0 * x^-1 and 0^y * log 0 are 0 in the limit, and NaN in floats.
    return {where(y == 0, 0, grad * y * x.pow(y - 1)), where((x == 0) & (y >= 0), 0, grad * out * x.log())};
  }
};

struct Fmod : Elementwise {
  LazyBuffer forward(const LazyBuffer& x, const LazyBuffer& y) { return x.binary(BinaryOp::Mod, y); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x, y] = saved<2>();
    return {grad, -grad * (x / y).trunc()};
  }
};

/// Integers have no quotient by 0: as in PyTorch the divisor is looked at now, unless it is a constant, or a call is
/// recorded or traced.
void refuse_zero_divisor(const Tensor& b, const char* op) {
  const bool unread = context.recorder || context.tracing;
  const auto* constant = std::get_if<node::Constant>(&b.lazy().node()->op);
  if (!is_float(b.dtype()) &&
      (constant ? constant->value.as<int64_t>() == 0 : !unread && (b == 0).sum().item<int64_t>() > 0))
    fail(op, ": an integer divided by 0");
}

/// What C's division leaves of a; both have one shape and dtype.
Tensor remainder(const Tensor& a, const Tensor& b, const char* op) {
  refuse_bools(a, op);
  refuse_zero_divisor(b, op);
  return apply(Fmod{}, a, b);
}

/// The quotient of two integers, which C's division cuts towards zero.
Tensor integer_quotient(const Tensor& a, const Tensor& b) {
  TEENY_TRACED(integer_quotient(a, b), {a, b}, {});
  return Tensor(a.lazy().binary(BinaryOp::IDiv, b.lazy()));
}

/// Between two bounds, or on one side of one. What a bound holds back, and a NaN, gets no gradient.
struct Clamp : Function {
  std::optional<Scalar> low, high;
  LazyBuffer forward(const LazyBuffer& x) {
    LazyBuffer y = x;
    if (low) y = y.binary(BinaryOp::Max, LazyBuffer::constant(*low, x.dtype(), x.shape()));
    if (high) y = y.binary(BinaryOp::Min, LazyBuffer::constant(*high, x.dtype(), x.shape()));
    return y;
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    Tensor dx = grad;
    if (low) dx = where(inputs[0] > *low, dx, 0);
    if (high) dx = where(inputs[0] < *high, dx, 0);
    return {dx};
  }
  Attributes bounds() const {
    Attributes result;
    if (low) result.emplace("low", *low);
    if (high) result.emplace("high", *high);
    return result;
  }
};

Tensor stepwise(UnaryOp op, const Tensor& x, const char* name) {
  refuse_bools(x, name);
  TEENY_TRACED_AS(name, stepwise(op, x, name), {x}, {});
  return apply(Stepwise(op), x);
}

}  // namespace

Tensor Tensor::floor() const { return stepwise(UnaryOp::Floor, *this, "floor"); }
Tensor Tensor::trunc() const { return stepwise(UnaryOp::Trunc, *this, "trunc"); }
Tensor Tensor::round() const { return stepwise(UnaryOp::Round, *this, "round"); }
Tensor Tensor::sign() const { return lazy("sign").dtype() == DType::Bool ? *this : apply(Sign{}, *this); }

Tensor Tensor::pow(const Tensor& exponent) const {
  const auto [a, b] = promote_and_broadcast(*this, exponent, "pow");
  refuse_bools(a, "pow");
  return apply(Pow{}, a, b);
}

Tensor Tensor::pow(Scalar exponent) const {
  if (!is_float(lazy("pow").dtype()) && !exponent.is_fraction() && exponent.as<int64_t>() < 0)
    fail("pow: ", dtype(), " to the power ", exponent, " would be fractions; cast to a float first");
  return pow(scalar_like(exponent, "pow"));
}

Tensor Tensor::fmod(const Tensor& y) const {
  const auto [a, b] = promote_and_broadcast(*this, y, "fmod");
  return remainder(a, b, "fmod");
}

Tensor Tensor::square() const { return lazy("square"), *this * *this; }
Tensor Tensor::rsqrt() const { return lazy("rsqrt"), sqrt().reciprocal(); }

Tensor Tensor::abs() const {
  refuse_bools(*this, "abs");
  TEENY_TRACED(abs(), {*this}, {});
  return dtype() == DType::UInt8 ? *this : *this * sign() + 0;  // + 0 makes 0 of -0
}

Tensor Tensor::ceil() const {
  refuse_bools(*this, "ceil");
  TEENY_TRACED(ceil(), {*this}, {});
  return is_float(dtype()) ? -(-*this).floor() : *this;
}

Tensor Tensor::isnan() const {
  if (is_float(lazy("isnan").dtype())) TEENY_TRACED(isnan(), {*this}, {});
  return *this != *this;
}
Tensor Tensor::isinf() const {
  if (is_float(lazy("isinf").dtype())) TEENY_TRACED(isinf(), {*this}, {});
  return is_float(dtype()) ? (*this == kInf) | (*this == -kInf) : zeros(shape(), DType::Bool);
}
Tensor Tensor::isfinite() const { return lazy("isfinite"), (isnan() | isinf()).logical_not(); }

Tensor Tensor::clamp(std::optional<Scalar> low, std::optional<Scalar> high) const {
  lazy("clamp");
  if (!low && !high) fail("clamp: needs a lower bound, an upper bound, or both");
  // A whole bound takes the type of integers, where one beyond all of them would wrap round. `low` under them, or
  // `high` over them, holds nothing back.
  const auto beyond = [&](const std::optional<Scalar>& bound) {
    return bound && !bound->is_fraction() && !is_float(dtype()) && !fits(*bound, dtype());
  };
  if (beyond(low) && low->as<int64_t>() > 0) fail("clamp: ", *low, " does not fit ", dtype());
  if (beyond(high) && high->as<int64_t>() < 0) fail("clamp: ", *high, " does not fit ", dtype());
  for (const std::optional<Scalar>& bound : {low, high})  // a NaN holds everything, as in PyTorch
    if (bound && std::isnan(bound->as<double>())) return where(Tensor::full({}, true), *bound, *this);
  Clamp rule;
  if (low && !beyond(low)) rule.low = rounded(*low, dtype());
  if (high && !beyond(high)) rule.high = rounded(*high, dtype());
  Tensor x = *this;
  for (const std::optional<Scalar>& bound : {rule.low, rule.high})
    if (bound) x = promote_and_broadcast(x, scalar_like(*bound, "clamp"), "clamp").first;
  if (!rule.low && !rule.high) return x;
  TEENY_TRACED(clamp(low, high), {x}, rule.bounds());
  return apply(rule, x);
}

// From the nearer end, so that a weight of 1 gives the end itself. The distance of two integers may leave their type.
Tensor Tensor::lerp(const Tensor& end, double weight) const {
  const auto [a, b] = promote_and_broadcast(as_float(*this, "lerp"), as_float(end, "lerp"), "lerp");
  return weight < 0.5 ? a + (b - a) * weight : b - (b - a) * (1 - weight);
}

Tensor Tensor::lerp(const Tensor& end, const Tensor& weight) const {
  const auto [a, b] = promote_and_broadcast(as_float(*this, "lerp"), as_float(end, "lerp"), "lerp");
  broadcast(a.shape(), weight.lazy("lerp").shape(), "lerp");
  return where(weight < 0.5, a + (b - a) * weight, b - (b - a) * (1 - weight));
}

Tensor Tensor::masked_fill(const Tensor& mask, Scalar value) const {
  if (mask.lazy("masked_fill").dtype() != DType::Bool)
    fail("masked_fill: the mask is ", mask.dtype(), " and must be bool");
  broadcast(mask.shape(), lazy("masked_fill").shape(), "masked_fill");
  if (!fits(value, dtype())) fail("masked_fill: ", value, " does not fit ", dtype());
  return where(mask, full({}, value, dtype()), *this);
}

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
  return lazy("allclose"), y.lazy("allclose"), isclose(y, rtol, atol, equal_nan).all().item<bool>();
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
  if (!is_float(lazy("nan_to_num").dtype())) return *this;
  const double high = inf.value_or(largest(dtype())), low = minus_inf.value_or(-largest(dtype()));
  return where(isnan(), nan, where(*this == INFINITY, high, where(*this == -INFINITY, low, *this)));
}

// ---- Remainders and bits -------------------------------------------------------------------------------------------

// C cuts a quotient towards zero, Python rounds it down: they differ where the remainder is on the other side of zero
// than the divisor.
namespace {
Tensor other_side(const Tensor& remainder, const Tensor& divisor) {
  return (remainder != 0) & ((remainder < 0) != (divisor < 0));
}
/// What Python's division leaves of a, made of what C's does. A trace knows it by the operands.
Tensor turned_remainder(const Tensor& r, const Tensor& a, const Tensor& b) {
  TEENY_TRACED_AS("%", turned_remainder(r, a, b), {a, b}, {});
  return where(other_side(r, b), r + b, r);
}
}  // namespace

Tensor operator%(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "%");
  const Tensor r = remainder(a, b, "%");
  return turned_remainder(r, a, b);
}

namespace {
/// A quotient that stays where its operands move a little. Their gradients are 0, also where a quotient has none.
struct StepFunction : Function {
  LazyBuffer forward(const LazyBuffer&, const LazyBuffer&, const LazyBuffer& quotient) { return quotient; }
  Grads backward(const Tensor&, const Tensor&) override { return {inputs[0].zeros_like(), inputs[1].zeros_like(), {}}; }
};
}  // namespace

static Tensor floored_quotient(const Tensor& x, const Tensor& y, const char* op) {
  const auto [a, b] = promote_and_broadcast(x, y, op);
  const Tensor r = remainder(a, b, op);
  // Not floor(a / b), where the rounding of a / b can reach the next integer: floor_divide(1, 0.1) is 9.
  const Tensor q = is_float(a.dtype()) ? ((a - r) / b).round() : integer_quotient(a, b);
  const Tensor down = where(other_side(r, b), q - 1, q);
  return is_float(a.dtype()) ? apply(StepFunction{}, a, b, where(b == 0, a / b, down).detach()) : down;
}

Tensor floor_divide(const Tensor& x, const Tensor& y) { return floored_quotient(x, y, "floor_divide"); }

Tensor div(const Tensor& x, const Tensor& y, Rounding rounding) {
  if (rounding == Rounding::Floor) return floored_quotient(x, y, "div");
  const auto [a, b] = promote_and_broadcast(x, y, "div");
  refuse_bools(a, "div");
  refuse_zero_divisor(b, "div");
  if (is_float(a.dtype())) return apply(StepFunction{}, a, b, (a / b).trunc().detach());
  return integer_quotient(a, b);
}
Tensor div(const Tensor& x, Scalar y, Rounding rounding) { return div(x, x.scalar_like(y, "div"), rounding); }

Tensor softmin(const Tensor& x, int64_t axis) {
  (void)x.axis_list(axis, "softmin");
  return (-x).softmax(axis);
}

Tensor floor_divide(const Tensor& x, Scalar y) { return floor_divide(x, x.scalar_like(y, "floor_divide")); }

Tensor Tensor::operator~() const {
  if (is_float(lazy("~").dtype())) fail("~: needs integers or bools, not ", dtype());
  return dtype() == DType::Bool ? logical_not() : *this ^ (dtype() == DType::UInt8 ? 255 : -1);
}

namespace {
Tensor bits(BinaryOp op, const Tensor& x, const Tensor& y, const char* name) {
  const auto both = promote_and_broadcast(x, y, name);
  const Tensor &a = both.first, &b = both.second;
  const bool shift = op == BinaryOp::Shl || op == BinaryOp::Shr;
  if (is_float(a.dtype()) || (shift && a.dtype() == DType::Bool)) fail(name, ": not defined on ", a.dtype());
  TEENY_TRACED_AS(name, bits(op, a, b, name), {a, b}, {});
  return Tensor(a.lazy().binary(op, b.lazy()));
}
}  // namespace
Tensor operator&(const Tensor& x, const Tensor& y) { return bits(BinaryOp::And, x, y, "&"); }
Tensor operator|(const Tensor& x, const Tensor& y) { return bits(BinaryOp::Or, x, y, "|"); }
Tensor operator^(const Tensor& x, const Tensor& y) { return bits(BinaryOp::Xor, x, y, "^"); }
Tensor operator<<(const Tensor& x, const Tensor& y) { return bits(BinaryOp::Shl, x, y, "<<"); }
Tensor operator>>(const Tensor& x, const Tensor& y) { return bits(BinaryOp::Shr, x, y, ">>"); }

namespace {
/// Each byte's place in an element, in bits: 0, 8, 16, ...
Tensor byte_shifts(DType d, DType integer) { return (Tensor::arange(itemsize(d)) * 8).cast(integer); }

/// The bits of x as an integer of at least its size. The upper half of a float32 is a bfloat16, NaNs included.
Tensor bits_of(const Tensor& x) {
  if (itemsize(x.dtype()) == 8) return x.bitcast(DType::Int64);
  if (itemsize(x.dtype()) == 4) return x.bitcast(DType::Int32);
  if (x.dtype() == DType::UInt8) return x;
  return x.bitcast(DType::BFloat16).cast(DType::Float32).bitcast(DType::Int32) >> 16;
}
Tensor from_bits(const Tensor& bits, DType to) {
  if (itemsize(to) != 2) return bits.bitcast(to);
  return (bits << 16).bitcast(DType::Float32).cast(DType::BFloat16).bitcast(to);
}
}  // namespace

// Between sizes the way leads over bytes, the lowest first, as they lie in memory.
Tensor Tensor::bitcast(DType to) const {
  if (to == lazy("bitcast").dtype()) return *this;
  if (to == DType::Bool || dtype() == DType::Bool)
    fail("bitcast: ", dtype(), " to ", to, ": a bool is not made of bits");
  const int64_t from_size = itemsize(dtype()), to_size = itemsize(to);
  if (from_size == to_size) {
    TEENY_TRACED(bitcast(to), {*this}, {});
    return Tensor(lazy().bitcast(to));
  }
  if (rank() == 0 || size(-1) * from_size % to_size)
    fail("bitcast: ", dtype(), " to ", to, ": the last axis of ", shape(), " does not make whole numbers of ", to_size,
         " bytes");
  if (rank() == kMaxRank) return flatten(0, 1).bitcast(to).unflatten(0, {shape()[0], shape()[1]});
  teeny::numel({numel(), std::max<int64_t>(from_size / to_size, 1)}, "bitcast");
  const Tensor bits = bits_of(*this).unsqueeze(-1);
  const Tensor bytes =
      dtype() == DType::UInt8 ? *this : (bits >> byte_shifts(dtype(), bits.dtype())).cast(DType::UInt8).flatten(-2);
  if (to == DType::UInt8) return bytes;
  const DType integer = to_size == 8 ? DType::Int64 : DType::Int32;
  const Tensor parts = bytes.unflatten(-1, {-1, to_size}).cast(integer) << byte_shifts(to, integer);
  return from_bits(parts.sum(-1).cast(integer), to);
}

namespace {
/// The first bit of a float, which also tells a zero below from one above.
Tensor sign_bit(const Tensor& x) {
  const Tensor wide = to_accumulate_dtype(x);
  return wide.bitcast(wide.dtype() == DType::Float64 ? DType::Int64 : DType::Int32) < 0;
}

/// x, or -x where the two signs differ; the gradient of |x| at 0 is 0.
struct CopySign : Function {
  LazyBuffer forward(const LazyBuffer& from, const LazyBuffer& sign) {
    const NoGrad guard;
    const Tensor x(from), y(sign);
    return where(sign_bit(x) == sign_bit(y), x, -x).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x, y] = saved<2>();
    const Tensor turned = where(sign_bit(x) == sign_bit(y), grad, -grad);
    return {where(x == 0, 0, turned), grad.zeros_like()};
  }
};
}  // namespace

Tensor copysign(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "copysign");
  return apply(CopySign{}, as_float(a), as_float(b));
}
Tensor copysign(const Tensor& x, double y) { return copysign(x, as_float(x, "copysign").scalar_like(y, "copysign")); }

Tensor Tensor::dot(const Tensor& y) const {
  lazy("dot"), y.lazy("dot");
  return in_the_name_of("dot", "matmul", [&] { return matmul(y); });
}

Tensor Tensor::outer(const Tensor& y) const {
  lazy("outer"), y.lazy("outer");
  if (rank() != 1 || y.rank() != 1) fail("outer: ", shape(), " and ", y.shape(), ": both need one axis");
  teeny::numel({numel(), y.numel()}, "outer");
  return unsqueeze(-1) * y;
}

}  // namespace teeny
