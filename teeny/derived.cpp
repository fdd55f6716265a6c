// Everything that needs no rule of its own: formulas over other operations. A new activation goes here, in one line.
#include <cmath>
#include <limits>
#include <numbers>

#include "teeny/mlops.h"

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

// C cuts a quotient towards zero, Python rounds it down: they differ where the remainder is on the other side of zero
// than the divisor.
namespace {
Tensor other_side(const Tensor& remainder, const Tensor& divisor) {
  return (remainder != 0) & ((remainder < 0) != (divisor < 0));
}
}  // namespace
Tensor operator%(const Tensor& x, const Tensor& y) {
  const auto [a, b] = matched(x, y, "%");
  if (a.dtype() == DType::Bool) fail("%: not defined on bools");
  const Tensor r = a.fmod(b);
  return where(other_side(r, b), r + b, r);
}
Tensor floor_divide(const Tensor& x, const Tensor& y) {
  const auto [a, b] = matched(x, y, "floor_divide");
  if (a.dtype() == DType::Bool) fail("floor_divide: not defined on bools");
  const Tensor r = a.fmod(b);
  // Not floor(a / b), where the rounding of a / b can reach the next integer: floor_divide(1, 0.1) is 9.
  const Tensor q = is_float(a.dtype()) ? ((a - r) / b).round() : Tensor(a.lazy().binary(BinaryOp::IDiv, b.lazy()));
  const Tensor down = where(other_side(r, b), q - 1, q);
  return is_float(a.dtype()) ? where(b == 0, a / b, down) : down;
}

// ---- Elementwise ----------------------------------------------------------------------------------------------------

namespace {
constexpr double kLn2 = std::numbers::ln2, kPi = std::numbers::pi, kInf = std::numeric_limits<double>::infinity();
}

Tensor Tensor::square() const { return *this * *this; }
Tensor Tensor::rsqrt() const { return sqrt().reciprocal(); }
Tensor Tensor::abs() const {  // + 0 makes 0 of -0
  return dtype() == DType::Bool || dtype() == DType::UInt8 ? *this : *this * sign() + 0;
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
Tensor Tensor::asin() const { return (*this / ((1 - *this) * (1 + *this)).sqrt()).atan(); }
Tensor Tensor::acos() const { return ((1 - *this) / (1 + *this)).sqrt().atan() * 2; }
Tensor Tensor::sinh() const { return (exp() - (-as_float(*this)).exp()) / 2; }
Tensor Tensor::cosh() const { return (exp() + (-as_float(*this)).exp()) / 2; }
Tensor Tensor::ceil() const { return is_float(dtype()) ? -(-*this).floor() : *this; }
Tensor Tensor::isnan() const { return *this != *this; }
Tensor Tensor::isinf() const { return is_float(dtype()) ? (*this == kInf) | (*this == -kInf) : zeros(shape(), DType::Bool); }
Tensor Tensor::isfinite() const { return (isnan() | isinf()).logical_not(); }

Tensor Tensor::sigmoid() const { return (1 + (-as_float(*this)).exp()).reciprocal(); }
Tensor Tensor::logsigmoid() const { return -(-as_float(*this)).softplus(); }
Tensor Tensor::relu6() const { return clamp(0, 6); }
Tensor Tensor::silu() const { return *this * sigmoid(); }
Tensor Tensor::mish() const { return *this * softplus().tanh(); }
Tensor Tensor::gelu() const {
  return *this * 0.5 * (1 + ((*this + 0.044715 * *this * *this * *this) * std::sqrt(2 / kPi)).tanh());
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
Tensor Tensor::hardtanh(double low, double high) const { return clamp(low, high); }

Tensor Tensor::clamp(std::optional<Scalar> low, std::optional<Scalar> high) const {
  if (!low && !high) fail("clamp: needs a lower bound, an upper bound, or both");
  Tensor x = *this;
  if (low) x = where(x <= *low, *low, x);
  if (high) x = where(x >= *high, *high, x);
  return x;
}
Tensor Tensor::lerp(const Tensor& end, double weight) const {
  const auto [a, b] = matched(*this, end, "lerp");
  return a + (b - a) * weight;
}
Tensor Tensor::masked_fill(const Tensor& mask, Scalar value) const {
  if (mask.dtype() != DType::Bool) fail("masked_fill: the mask is ", mask.dtype(), " and must be bool");
  broadcast(mask.shape(), shape(), "masked_fill");
  return where(mask, full({}, value, dtype()), *this);
}
Tensor Tensor::tril(int64_t diagonal) const {
  if (rank() < 2) fail("tril: ", shape(), " has no two axes");
  return where(tri(size(-2), size(-1), diagonal), *this, full({}, 0, dtype()));
}
Tensor Tensor::triu(int64_t diagonal) const {
  if (rank() < 2) fail("triu: ", shape(), " has no two axes");
  return where(tri(size(-2), size(-1), diagonal - 1), full({}, 0, dtype()), *this);
}
Tensor Tensor::one_hot(int64_t classes) const {
  if (!is_int(dtype()) || classes < 1) fail("one_hot: ", classes, " classes of ", dtype(), "; needs integers, and a class");
  return (unsqueeze(-1) == arange(classes)).cast(DType::Int64);
}

// ---- Reductions -----------------------------------------------------------------------------------------------------

namespace {
int64_t count(const Tensor& x, const Dims& axes) {
  int64_t n = 1;
  for (int64_t a : axes) n *= x.shape()[int(a)];
  return n;
}
}  // namespace

Tensor Tensor::mean(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "mean");
  return as_float(*this).sum(list, keepdim) / double(count(*this, list));
}
Tensor Tensor::var(const Axes& axes, double correction, bool keepdim) const {
  const Dims list = axis_list(axes, "var");
  const Tensor x = as_float(*this);
  return (x - x.mean(list, true)).square().sum(list, keepdim) / std::max(0.0, double(count(x, list)) - correction);
}
Tensor Tensor::std(const Axes& axes, double correction, bool keepdim) const {
  const Tensor v = var(axis_list(axes, "std"), correction, keepdim);
  return where(v == 0, 0, v).sqrt();  // equal numbers get the gradient 0, not inf * 0
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
  if (!axis) {
    const Tensor flat = first_of(x.flatten(), 0, false, largest, op);
    return keepdim ? flat.reshape(Dims::filled(x.rank(), 1)) : flat;
  }
  const int a = x.axis_index(*axis, op);
  const int64_t n = x.shape()[a];
  if (n == 0) fail(op, ": axis ", a, " of ", x.shape(), " is empty");
  const Tensor best = largest ? x.max(a, true) : x.min(a, true);
  Shape along = Dims::filled(x.rank(), 1);
  along[a] = n;
  const Tensor position = Tensor::arange(n).reshape(along);
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
  const int a = axis_index(axis, "softmax");
  const Tensor e = without_max(as_float(*this), a).exp();
  return e / e.sum(a, true);
}
Tensor Tensor::log_softmax(int64_t axis) const {
  const int a = axis_index(axis, "log_softmax");
  const Tensor x = without_max(as_float(*this), a);
  return x - x.exp().sum(a, true).log();
}
Tensor Tensor::logsumexp(const Axes& axes, bool keepdim) const {
  const Dims list = axis_list(axes, "logsumexp");
  const Tensor x = as_float(*this), top = x.detach().max(list, true);
  const Tensor finite = where(top.isfinite(), top, 0);  // -inf - -inf would be NaN
  const Tensor result = (x - finite).exp().sum(list, true).log() + finite;
  return keepdim ? result : result.sum(list);
}

// ---- Networks -------------------------------------------------------------------------------------------------------

// softmax(q k^T / sqrt(width)) v: a query looks at the keys, and gets the values of those it finds. Vaswani et al. 2017.
namespace {
/// q k^T / sqrt(width), the three checked.
Tensor attention_scores(const Tensor& query, const Tensor& key, const Tensor& value) {
  if (query.rank() < 2 || key.rank() < 2 || query.size(-1) != key.size(-1))
    fail("scaled_dot_product_attention: queries ", query.shape(), " do not fit keys ", key.shape());
  if (value.rank() < 2 || key.size(-2) != value.size(-2))
    fail("scaled_dot_product_attention: keys ", key.shape(), " do not fit values ", value.shape());
  return query.matmul(key.transpose()) / std::sqrt(double(query.size(-1)));
}
}  // namespace
/// `causal` lets position i see positions up to i.
Tensor Tensor::scaled_dot_product_attention(const Tensor& key, const Tensor& value, bool causal) const {
  Tensor score = attention_scores(*this, key, value);
  if (causal) score = where(tri(size(-2), key.size(-2)), score, -kInf);
  return score.softmax().matmul(value);
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
  return where(blind, 0, where(blind, 0, masked).softmax()).matmul(value);
}

Tensor Tensor::dropout(double p) const {
  if (p < 0 || p > 1) fail("dropout: probability ", p, " is outside [0, 1]");
  if (!Training::enabled() || p == 0) return *this;
  return where(rand(shape()) >= p, p == 1 ? *this : *this / (1 - p), 0);
}

Tensor Tensor::layernorm(int64_t axes, double eps) const {
  if (axes < 1 || axes > rank()) fail("layernorm: ", axes, " axes of ", shape());
  Dims last;
  for (int a = rank() - int(axes); a < rank(); ++a) last.push_back(a);
  const Tensor centered = *this - mean(last, true);
  return centered * (centered.square().mean(last, true) + eps).rsqrt();
}

// ---- Losses: means over everything ----------------------------------------------------------------------------------

namespace {
/// The mean of -log p of what was wanted; `op` is who asks.
Tensor class_loss(const Tensor& log_p, const Tensor& target, const CrossEntropyOptions& options, const char* op) {
  const Shape& shape = log_p.shape();
  const int axis = log_p.rank() == 1 ? 0 : 1;  // (C) or (N, C, ...)
  const double smoothing = options.label_smoothing;
  if (smoothing < 0 || smoothing > 1) fail(op, ": label_smoothing ", smoothing, " is outside [0, 1]");
  const int64_t classes = shape[axis];
  if (is_float(target.dtype())) {
    if (target.shape() != shape) fail(op, ": ", shape, " and the probabilities ", target.shape(), " differ");
    const Tensor wanted = target * (1 - smoothing) + smoothing / double(classes);
    return -(log_p * wanted).sum() / (double(log_p.numel()) / double(classes));
  }
  Shape expected = shape;
  expected.erase(axis);
  if (target.shape() != expected)
    fail(op, ": ", shape, " needs a class for each of ", expected, ", not ", target.shape());
  const Tensor counted = options.ignore_index ? target != Scalar(*options.ignore_index) : Tensor::full(expected, true);
  const Tensor index = options.ignore_index ? where(counted, target, 0) : target;
  Tensor loss = -log_p.gather(axis, index.unsqueeze(axis)).squeeze(axis);
  if (smoothing > 0) loss = loss * (1 - smoothing) - log_p.mean(axis) * smoothing;
  if (!options.ignore_index) return loss.mean();
  return where(counted, loss, 0).sum() / counted.sum();
}
}  // namespace

Tensor Tensor::cross_entropy(const Tensor& target, const CrossEntropyOptions& options) const {
  if (rank() == 0) fail("cross_entropy: logits need an axis of classes");
  return class_loss(log_softmax(rank() == 1 ? 0 : 1), target, options, "cross_entropy");
}
Tensor Tensor::nll_loss(const Tensor& target, const CrossEntropyOptions& options) const {
  if (rank() == 0) fail("nll_loss: log-probabilities need an axis of classes");
  return class_loss(*this, target, options, "nll_loss");
}

namespace {
void check_same(const Tensor& x, const Tensor& target, const char* op) {
  if (x.shape() != target.shape()) fail(op, ": ", x.shape(), " and ", target.shape(), " differ");
}
Tensor reduced(const Tensor& terms, Reduction reduction) {
  switch (reduction) {
    case Reduction::None: return terms;
    case Reduction::Mean: return terms.mean();
    case Reduction::Sum: return terms.sum();
    case Reduction::BatchMean: return terms.sum() / double(terms.rank() ? terms.shape()[0] : 1);
  }
  return terms;
}
}  // namespace

/// PyTorch's floor of -100 under each logarithm keeps a certain but wrong answer finite.
Tensor Tensor::binary_cross_entropy(const Tensor& target, Reduction reduction) const {
  check_same(*this, target, "binary_cross_entropy");
  return reduced(-(target * log().maximum(-100) + (1 - target) * (1 - *this).log().maximum(-100)), reduction);
}
Tensor Tensor::binary_cross_entropy_with_logits(const Tensor& target, Reduction reduction) const {
  check_same(*this, target, "binary_cross_entropy_with_logits");
  return reduced(softplus() - *this * target, reduction);
}
Tensor Tensor::mse_loss(const Tensor& target, Reduction reduction) const {
  check_same(*this, target, "mse_loss");
  return reduced((*this - target).square(), reduction);
}
Tensor Tensor::l1_loss(const Tensor& target, Reduction reduction) const {
  check_same(*this, target, "l1_loss");
  return reduced((*this - target).abs(), reduction);
}

}  // namespace teeny
