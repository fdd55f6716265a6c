// Everything that needs no rule of its own: formulas over other operations. A new activation goes here, in one line.
#include <cmath>
#include <limits>
#include <numbers>

#include "teeny/mlops/common.h"

namespace teeny {

// ---- Operators with a number on one side ----------------------------------------------------------------------------

#define TEENY_OPERATOR(op)                                                                   \
  Tensor operator op(const Tensor& x, Scalar y) { return x op x.scalar_like(y); }            \
  Tensor operator op(Scalar x, const Tensor& y) { return y.scalar_like(x) op y; }
TEENY_OPERATOR(+) TEENY_OPERATOR(-) TEENY_OPERATOR(*) TEENY_OPERATOR(/) TEENY_OPERATOR(%)
TEENY_OPERATOR(&) TEENY_OPERATOR(|) TEENY_OPERATOR(^) TEENY_OPERATOR(<<) TEENY_OPERATOR(>>)
TEENY_OPERATOR(<) TEENY_OPERATOR(<=) TEENY_OPERATOR(>) TEENY_OPERATOR(>=) TEENY_OPERATOR(==) TEENY_OPERATOR(!=)
#undef TEENY_OPERATOR

Tensor where(const Tensor& condition, const Tensor& x, Scalar y) { return where(condition, x, x.scalar_like(y)); }
Tensor where(const Tensor& condition, Scalar x, const Tensor& y) { return where(condition, y.scalar_like(x), y); }
Tensor where(const Tensor& condition, Scalar x, Scalar y) { return where(condition, Tensor(x), Tensor(y)); }

// C cuts a quotient towards zero, Python rounds it down: they differ where the remainder is on the other side of zero
// than the divisor.
namespace {
Tensor other_side(const Tensor& remainder, const Tensor& divisor) {
  return (remainder != 0) & ((remainder < 0) != (divisor < 0));
}
}  // namespace
Tensor operator%(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "%");
  refuse_bools(a, "%");
  const Tensor r = a.fmod(b);
  return where(other_side(r, b), r + b, r);
}
Tensor floor_divide(const Tensor& x, const Tensor& y) {
  const auto [a, b] = promote_and_broadcast(x, y, "floor_divide");
  refuse_bools(a, "floor_divide");
  const Tensor r = a.fmod(b);
  // Not floor(a / b), where the rounding of a / b can reach the next integer: floor_divide(1, 0.1) is 9.
  const Tensor q = is_float(a.dtype()) ? ((a - r) / b).round() : Tensor(a.lazy().binary(BinaryOp::IDiv, b.lazy()));
  const Tensor down = where(other_side(r, b), q - 1, q);
  return is_float(a.dtype()) ? where(b == 0, a / b, down) : down;
}
Tensor floor_divide(const Tensor& x, Scalar y) { return floor_divide(x, x.scalar_like(y)); }
Tensor Tensor::operator~() const {
  if (is_float(dtype())) fail("~: needs integers or bools, not ", dtype());
  return dtype() == DType::Bool ? logical_not() : *this ^ -1;
}

// ---- Elementwise ----------------------------------------------------------------------------------------------------

namespace {
constexpr double kLn2 = std::numbers::ln2, kPi = std::numbers::pi, kInf = std::numeric_limits<double>::infinity();
}

Tensor Tensor::square() const { return *this * *this; }
Tensor Tensor::rsqrt() const { return sqrt().reciprocal(); }
Tensor Tensor::abs() const {
  refuse_bools(*this, "abs");
  return dtype() == DType::UInt8 ? *this : *this * sign() + 0;  // + 0 makes 0 of -0
}
Tensor Tensor::exp2() const { return (*this * kLn2).exp(); }
Tensor Tensor::log2() const { return log() / kLn2; }
/// Accurate near 0, where 1 + x has lost x's last bits: log(u) * x / (u - 1) with u = 1 + x. Kahan; HP-15C handbook, 1982.
Tensor Tensor::log1p() const {
  const Tensor x = as_float(*this), u = x + 1, lost = u - 1;
  const Tensor exact = where(lost == 0, x, u.log() * (x / where(lost == 0, 1, lost)));
  return where(u == kInf, u, exact);
}
Tensor Tensor::tan() const { return sin() / cos(); }
Tensor Tensor::asin() const {
  const Tensor x = as_float(*this);
  return (x / ((1 - x) * (1 + x)).sqrt()).atan();
}
Tensor Tensor::acos() const {
  const Tensor x = as_float(*this);
  return ((1 - x) / (1 + x)).sqrt().atan() * 2;
}
Tensor Tensor::sinh() const { return tanh() * cosh(); }  // (exp(x) - exp(-x)) / 2 would cancel near 0
Tensor Tensor::cosh() const { return (exp() + (-as_float(*this)).exp()) / 2; }
/// Odd, and exact where x is small and where its square would overflow: log1p(a + a / (1/a + sqrt(1/a^2 + 1))) is
/// log(a + sqrt(a^2 + 1)), Abramowitz & Stegun 4.6.20.
Tensor Tensor::asinh() const {
  const Tensor x = as_float(*this), a = where(x < 0, -x, x), tiny = a <= 1e-10, t = where(tiny, 1, a).reciprocal();
  const Tensor result = where(tiny, a, (a + a / (t + (t.square() + 1).sqrt())).log1p());
  return where(x < 0, -result, result);
}
/// log(x + sqrt(x^2 - 1)) with x = 1 + t. Abramowitz & Stegun 4.6.21.
Tensor Tensor::acosh() const {
  const Tensor t = as_float(*this) - 1;
  return (t + t.sqrt() * (t + 2).sqrt()).log1p();
}
Tensor Tensor::atanh() const { return (as_float(*this).log1p() - (-as_float(*this)).log1p()) / 2; }
Tensor Tensor::ceil() const {
  refuse_bools(*this, "ceil");
  return is_float(dtype()) ? -(-*this).floor() : *this;
}
Tensor Tensor::isnan() const { return *this != *this; }
Tensor Tensor::isinf() const { return is_float(dtype()) ? (*this == kInf) | (*this == -kInf) : zeros(shape(), DType::Bool); }
Tensor Tensor::isfinite() const { return (isnan() | isinf()).logical_not(); }

Tensor Tensor::logsigmoid() const { return -(-as_float(*this)).softplus(); }
Tensor Tensor::relu6() const { return clamp(0, 6); }
Tensor Tensor::silu() const { return *this * sigmoid(); }
Tensor Tensor::mish() const { return *this * softplus().tanh(); }
/// x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), Hendrycks and Gimpel 2016, arXiv:1606.08415
Tensor Tensor::gelu() const {
  const double k = std::sqrt(2 / kPi);
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
/// log(1 + e^(beta x)) / beta, with the large part taken out so that nothing overflows. Not relu, whose slope at 0 is 0.
Tensor Tensor::softplus(double beta) const {
  const Tensor x = as_float(*this) * beta;
  return (x.maximum(0) + (-x.abs()).exp().log1p()) / beta;
}
Tensor Tensor::hardtanh(double low, double high) const { return clamp(low, high).cast(dtype()); }

Tensor Tensor::clamp(std::optional<Scalar> low, std::optional<Scalar> high) const {
  if (!low && !high) fail("clamp: needs a lower bound, an upper bound, or both");
  // A whole bound takes the type of integers, where one beyond all of them would wrap round. `low` under them, or `high`
  // over them, holds nothing back.
  const auto beyond = [&](const std::optional<Scalar>& bound) {
    return bound && !bound->is_fraction() && !is_float(dtype()) && !fits(*bound, dtype());
  };
  if (beyond(low) && low->as<int64_t>() > 0) fail("clamp: ", *low, " does not fit ", dtype());
  if (beyond(high) && high->as<int64_t>() < 0) fail("clamp: ", *high, " does not fit ", dtype());
  Tensor x = *this;
  if (low && !beyond(low)) x = where(x <= *low, *low, x);
  if (high && !beyond(high)) x = where(x >= *high, *high, x);
  return x;
}
Tensor Tensor::lerp(const Tensor& end, double weight) const {
  const auto [a, b] = promote_and_broadcast(*this, end, "lerp");
  return a + (b - a) * weight;
}
Tensor Tensor::lerp(const Tensor& end, const Tensor& weight) const {
  const auto [a, b] = promote_and_broadcast(*this, end, "lerp");
  broadcast(a.shape(), weight.shape(), "lerp");
  return a + (b - a) * weight;
}
Tensor Tensor::masked_fill(const Tensor& mask, Scalar value) const {
  if (mask.dtype() != DType::Bool) fail("masked_fill: the mask is ", mask.dtype(), " and must be bool");
  broadcast(mask.shape(), shape(), "masked_fill");
  if (!fits(value, dtype())) fail("masked_fill: ", value, " does not fit ", dtype());
  return where(mask, full({}, value, dtype()), *this);
}
Tensor Tensor::tril(int64_t diagonal) const {
  if (rank() < 2) fail("tril: ", shape(), " has no two axes");
  return where(tri(size(-2), size(-1), diagonal), *this, full({}, 0, dtype()));
}
Tensor Tensor::triu(int64_t diagonal) const {
  if (rank() < 2) fail("triu: ", shape(), " has no two axes");
  const int64_t first = std::clamp(diagonal, -size(-2), size(-1));
  return where(tri(size(-2), size(-1), first - 1), full({}, 0, dtype()), *this);
}
Tensor Tensor::one_hot(int64_t classes) const {
  if (!is_int(dtype()) || classes < 1) fail("one_hot: ", classes, " classes of ", dtype(), "; needs integers, and a class");
  if (classes > std::numeric_limits<int32_t>::max()) fail("one_hot: ", classes, " classes are more than 31 bits can count");
  return (unsqueeze(-1) == arange(classes)).cast(DType::Int64);
}

// ---- Bits -----------------------------------------------------------------------------------------------------------

namespace {
/// Each byte's place in a number, in bits: 0, 8, 16, ...
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
  if (to == dtype()) return *this;
  if (to == DType::Bool || dtype() == DType::Bool) fail("bitcast: ", dtype(), " to ", to, ": a bool is not made of bits");
  const int64_t from_size = itemsize(dtype()), to_size = itemsize(to);
  if (from_size == to_size) return Tensor(lazy().bitcast(to));
  if (rank() == 0 || size(-1) * from_size % to_size)
    fail("bitcast: ", dtype(), " to ", to, ": the last axis of ", shape(), " does not make whole numbers of ", to_size, " bytes");
  const Tensor bits = bits_of(*this).unsqueeze(-1);
  const Tensor bytes = dtype() == DType::UInt8 ? *this : (bits >> byte_shifts(dtype(), bits.dtype())).cast(DType::UInt8).flatten(-2);
  if (to == DType::UInt8) return bytes;
  const DType integer = to_size == 8 ? DType::Int64 : DType::Int32;
  const Tensor parts = bytes.unflatten(-1, {-1, to_size}).cast(integer) << byte_shifts(to, integer);
  return from_bits(parts.sum(-1).cast(integer), to);
}

// ---- Reductions -----------------------------------------------------------------------------------------------------

namespace {
int64_t count(const Tensor& x, const Dims& axes) {
  int64_t n = 1;
  for (int64_t a : axes) n *= x.shape()[int(a)];
  return n;
}
}  // namespace

// All of these are computed in `wide` numbers, and rounded to a 16-bit type at the end.
Tensor Tensor::mean(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "mean");
  const Tensor x = to_accumulate_dtype(*this);
  return (x.sum(list, keepdim) / double(count(x, list))).cast(as_float(*this).dtype());
}
Tensor Tensor::var(const Axes& axes, double correction, bool keepdim) const {
  const Dims list = axis_list(axes, "var");
  const Tensor x = to_accumulate_dtype(*this), squares = (x - x.mean(list, true)).square();
  const double degrees = std::max(0.0, double(count(x, list)) - correction);
  return (squares.sum(list, keepdim) / degrees).cast(as_float(*this).dtype());
}
Tensor Tensor::std(const Axes& axes, double correction, bool keepdim) const {
  const Tensor v = to_accumulate_dtype(*this).var(axis_list(axes, "std"), correction, keepdim);
  return where(v == 0, 0, v).sqrt().cast(as_float(*this).dtype());  // equal numbers get the gradient 0, not inf * 0
}
Tensor Tensor::any(const Axes& axes, bool keepdim) const {
  return (*this != 0).sum(axis_list(axes, "any"), keepdim) != 0;
}
Tensor Tensor::all(const Axes& axes, bool keepdim) const {
  return (*this == 0).sum(axis_list(axes, "all"), keepdim) == 0;
}

namespace {
/// The position of the first element that equals the extreme, or that is NaN.
Tensor first_of(const Tensor& x, std::optional<int64_t> axis, bool keepdim, bool largest, const char* op) {
  if (!axis || x.rank() == 0) {
    const Tensor flat = first_of(x.flatten(), axis.value_or(0), false, largest, op);
    return keepdim ? flat.reshape(Dims::filled(x.rank(), 1)) : flat;
  }
  const int a = x.axis_index(*axis, op);
  const int64_t n = x.shape()[a];
  if (n == 0) fail(op, ": axis ", a, " of ", x.shape(), " is empty");
  const Tensor best = largest ? x.max(a, true) : x.min(a, true);
  const Tensor position = reshape_to_axis(Tensor::arange(n), a, x.rank());
  return where((x == best) | x.isnan(), position, Scalar(n)).min(a, keepdim);
}
}  // namespace
Tensor Tensor::argmax(std::optional<int64_t> axis, bool keepdim) const {
  return first_of(detach(), axis, keepdim, true, "argmax");
}
Tensor Tensor::argmin(std::optional<int64_t> axis, bool keepdim) const {
  return first_of(detach(), axis, keepdim, false, "argmin");
}

// The softmax family takes the largest out first: exp of what is left is at most 1.
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
Tensor Tensor::logsumexp(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "logsumexp");
  const Tensor x = to_accumulate_dtype(*this), top = x.detach().max(list, true);
  const Tensor finite = where(top.isfinite(), top, 0);  // -inf - -inf would be NaN
  const Tensor result = ((x - finite).exp().sum(list, true).log() + finite).cast(as_float(*this).dtype());
  return keepdim ? result : result.sum(list);
}

// ---- Networks -------------------------------------------------------------------------------------------------------

// softmax(q k^T / sqrt(width)) v: a query looks at the keys, and gets the values of those it finds. Vaswani et al. 2017.
namespace {
/// q k^T / sqrt(width), the three checked; in `wide` numbers, and so is what follows: before the division a score of
/// float16 may be beyond 65504.
Tensor attention_scores(const Tensor& query, const Tensor& key, const Tensor& value) {
  if (query.rank() < 2 || key.rank() < 2 || query.size(-1) != key.size(-1))
    fail("scaled_dot_product_attention: queries ", query.shape(), " do not fit keys ", key.shape());
  if (value.rank() < 2 || key.size(-2) != value.size(-2))
    fail("scaled_dot_product_attention: keys ", key.shape(), " do not fit values ", value.shape());
  return to_accumulate_dtype(query).matmul(to_accumulate_dtype(key).transpose()) * (1 / std::sqrt(double(query.size(-1))));
}
Tensor attended(const Tensor& chances, const Tensor& value, const Tensor& query, const Tensor& key) {
  const DType common = promote(promote(query.dtype(), key.dtype()), value.dtype());
  return chances.matmul(to_accumulate_dtype(value)).cast(is_float(common) ? common : DType::Float32);
}
}  // namespace
/// `causal` lets position i see positions up to i.
Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value, bool causal) const {
  Tensor score = attention_scores(*this, key, value);
  if (causal) score = where(tri(size(-2), key.size(-2)), score, -kInf);
  return attended(score.softmax(), value, *this, key);
}
/// A query that may look at no key gets zeros, as in PyTorch; its scores are set to 0 so that no NaN comes about.
Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value, const Tensor& mask) const {
  const Tensor score = attention_scores(*this, key, value);
  const bool chooses = mask.dtype() == DType::Bool;
  if (!chooses && !is_float(mask.dtype()))
    fail("scaled_dot_product_attention: the mask is ", mask.dtype(), " and must be bool or floats");
  if (broadcast(mask.shape(), score.shape(), "scaled_dot_product_attention") != score.shape())
    fail("scaled_dot_product_attention: a mask of ", mask.shape(), " is larger than the scores ", score.shape());
  const Tensor masked = chooses ? where(mask, score, -kInf) : score + mask.cast(score.dtype());
  const Tensor blind = (masked == -kInf).all(-1, true);
  return attended(where(blind, 0, where(blind, 0, masked).softmax()), value, *this, key);
}

Tensor Tensor::dropout(double p) const {
  if (!(p >= 0 && p <= 1)) fail("dropout: probability ", p, " is outside [0, 1]");
  if (!Training::enabled() || p == 0) return *this;
  return where(rand(shape()) >= p, p == 1 ? *this : *this / (1 - p), 0);
}

Tensor Tensor::layernorm(int64_t axes, double eps) const {
  if (axes < 1 || axes > rank()) fail("layernorm: ", axes, " axes of ", shape());
  const Dims last = range(rank() - axes, rank());
  const Tensor x = to_accumulate_dtype(*this), centered = x - x.mean(last, true);
  return (centered * (centered.square().mean(last, true) + eps).rsqrt()).cast(as_float(*this).dtype());
}

Tensor Tensor::batchnorm(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& var,
                         double eps) const {
  if (rank() < 2) fail("batchnorm: x of ", shape(), " must be (N, C, ...)");
  DType common = as_float(*this).dtype();
  const auto spread = [&](const Tensor& x, const char* what) {
    if (x.shape() != Shape{size(1)}) fail("batchnorm: a ", what, " of ", x.shape(), " for x of ", shape());
    common = promote(common, x.dtype());
    return reshape_to_axis(to_accumulate_dtype(x), 1, rank());
  };
  const Tensor centred = to_accumulate_dtype(*this) - spread(mean, "mean");
  Tensor scale = (spread(var, "variance") + eps).rsqrt();
  if (weight.defined()) scale = spread(weight, "weight") * scale;
  const Tensor y = bias.defined() ? centred * scale + spread(bias, "bias") : centred * scale;
  return y.cast(common);
}

}  // namespace teeny
