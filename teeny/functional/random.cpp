// Random tensors: what is drawn is counted, so the same stream gives the same values on every backend.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"

namespace teeny {

Tensor require(const Tensor& x, const Tensor& holds, const char* message) {
  TEENY_TRACED(require(x, holds, message), {x}, {});
  const Tensor index = where(holds, 0, -1).reshape({1});  // outside of the one position that there is
  return x + gathered(Tensor::zeros({1}, x.dtype()), 0, index, message).reshape({});
}

void Tensor::manual_seed(uint64_t seed) {
  if (context.recorder) fail("manual_seed: inside a Jit's call it would not be repeated; call it outside");
  context.random_set = {seed, 0};
}

std::pair<uint64_t, uint64_t> Tensor::random_state() { return {context.random().seed, context.random().counter}; }
void Tensor::set_random_state(uint64_t seed, uint64_t counter) { context.random_set = {seed, counter}; }

Tensor Tensor::rand(const Shape& shape, DType dtype) {
  check_shape(shape, "rand");
  if (!is_float(dtype)) fail("rand: makes floats, not ", dtype);
  const DType drawn = dtype == DType::Float64 ? dtype : DType::Float32;
  RandomStream& state = context.random();
  const Tensor out(LazyBuffer::random(state.seed, state.counter, drawn, shape));
  const uint64_t words = uint64_t(teeny::numel(shape)) * (drawn == DType::Float64 ? 2 : 1);
  state.counter += (words + 3) / 4 * 4;  // whole blocks: every tensor starts at word 0 of one
  if (dtype == drawn) return out;
  const double steps =
      dtype == DType::Float16 ? 2048 : 256;  // as fine as the type is below 1, so that none rounds to 1
  return ((out * steps).floor() / steps).cast(dtype);
}

// Box & Muller, "A note on the generation of random normal deviates", 1958. 1 - u is never 0.
Tensor Tensor::randn(const Shape& shape, DType dtype) {
  check_shape(shape, "randn");
  if (!is_float(dtype)) fail("randn: makes floats, not ", dtype);
  const DType drawn = dtype == DType::Float64 ? dtype : DType::Float32;
  const Tensor u = rand(shape, drawn), v = rand(shape, drawn);
  return (((1 - u).log() * -2).sqrt() * (v * (2 * std::numbers::pi)).cos()).cast(dtype);
}

Tensor spread_over(const Tensor& unit, double low, double high) {
  const Tensor x = unit * (high - low) + low;
  return where(x >= high, low, x);
}

Tensor Tensor::uniform(const Shape& shape, double low, double high) {
  check_shape(shape, "uniform");
  if (!(low <= high) || !std::isfinite(high - low))
    fail("uniform: [", low, ", ", high, ") is no interval; low <= high, and both finite");
  return spread_over(rand(shape), low, high);
}

Tensor Tensor::normal(const Shape& shape, double mean, double std) {
  check_shape(shape, "normal");
  if (!(std >= 0)) fail("normal: a standard deviation of ", std, "; 0 is the least");
  return randn(shape) * std + mean;
}

Tensor Tensor::randint(int64_t low, int64_t high, const Shape& shape) {
  check_shape(shape, "randint");
  if (high <= low) fail("randint: no integer is in [", low, ", ", high, ")");
  const uint64_t count = uint64_t(high) - uint64_t(low);
  if (count > uint64_t(1) << 53)
    fail("randint: [", low, ", ", high, ") has more integers than 53 random bits can tell");
  const Tensor scaled = rand(shape, DType::Float64) * double(count);
  return scaled.floor().cast(DType::Int64) + low;
}

Tensor Tensor::bernoulli() const {
  refuse_non_floats(*this, "bernoulli");
  const Tensor p = detach(), drawn = (rand(shape(), promote(dtype(), DType::Float32)) < p).cast(dtype());
  return require(drawn, ((p >= 0) & (p <= 1)).all(), "bernoulli: a probability is NaN, or outside [0, 1]");
}

// ---- Initial weights -----------------------------------------------------------------------------------------------

Tensor Tensor::scaled_uniform(const Shape& shape) {
  check_shape(shape, "scaled_uniform");
  return uniform(shape, -1, 1) / std::sqrt(double(std::max<int64_t>(teeny::numel(shape), 1)));
}

Fans fans(const Shape& shape, const char* op) {
  check_shape(shape, op);
  if (shape.size() < 2) fail(op, ": needs weights (out, in, ...), not ", shape);
  const double window = double(numel(Shape(shape.begin() + 2, shape.end())));
  return {std::max(double(shape[1]) * window, 1.0), std::max(double(shape[0]) * window, 1.0)};  // 0: without weights
}

Tensor Tensor::glorot_uniform(const Shape& shape) {
  const auto [in, out] = fans(shape, "glorot_uniform");
  const double bound = std::sqrt(6 / (in + out));
  return uniform(shape, -bound, bound);
}

Tensor Tensor::kaiming_uniform(const Shape& shape, double a) {
  const double bound = std::sqrt(3.0) * std::sqrt(2 / (1 + a * a)) / std::sqrt(fans(shape, "kaiming_uniform").in);
  return uniform(shape, -bound, bound);
}

Tensor Tensor::kaiming_normal(const Shape& shape, double a) {
  return normal(shape, 0, std::sqrt(2 / (1 + a * a)) / std::sqrt(fans(shape, "kaiming_normal").in));
}

Tensor gumbel_softmax(const Tensor& logits, double tau, bool hard, int64_t axis) {
  if (!(tau > 0)) fail("gumbel_softmax: a temperature of ", tau, " is not above 0");
  refuse_non_floats(logits, "gumbel_softmax");
  const Dims list = logits.axis_list(axis, "gumbel_softmax");
  const Tensor x = to_accumulate_dtype(logits);
  // Minus the logarithm of an exponential waiting time; one of 0 stands for those below the first step of the uniform
  // numbers.
  const Tensor waits = (-(1 - Tensor::rand(x.shape(), x.dtype())).log()).maximum(0x1p-25);
  const Tensor soft = ((x - waits.log()) / tau).softmax(axis);
  if (!hard) return soft.cast(logits.dtype());
  if (!list.empty() && x.shape()[int(list[0])] == 0)
    fail("gumbel_softmax: axis ", list[0], " of ", x.shape(), " is empty: there is no class to draw");
  const Tensor chosen = soft.argmax(axis, true);
  const Tensor number = Tensor::arange(x.rank() ? x.size(axis) : 1);
  const Tensor one =
      x.rank() ? reshape_to_axis(number, x.axis_index(axis, "gumbel_softmax"), x.rank()) == chosen : chosen == 0;
  return (one + (soft - soft.detach())).cast(logits.dtype());
}

// ---- Drawing and shuffling -----------------------------------------------------------------------------------------

/// Of values in [0, 1) in float64 hardly two are equal, so every order is as likely.
Tensor Tensor::randperm(int64_t n) {
  if (n < 0) fail("randperm: of ", n, " elements; 0 is the least");
  check_shape({n}, "randperm");
  return rand({n}, DType::Float64).argsort();
}

/// With replacement: where a number falls among the running sums of the weights. Without: of clocks that ring after an
/// exponential time, the faster the heavier, the first to ring. Efraimidis, Spirakis: "Weighted random sampling with a
/// reservoir", 2006. Weights that are negative, NaN or infinite are refused when what was drawn is computed, and so are
/// rows in which none is above 0, or without replacement fewer than are drawn.
Tensor Tensor::multinomial(int64_t samples, bool replacement) const {
  if (!is_float(lazy("multinomial").dtype())) fail("multinomial: weights are floats, not ", dtype());
  if (rank() < 1 || rank() > 2 || size(-1) == 0) fail("multinomial: weights of ", shape(), "; (n) or (rows, n)");
  if (samples < 1 || (!replacement && samples > size(-1)))
    fail("multinomial: ", samples, " samples of ", size(-1),
         replacement ? "; 1 is the least" : " without replacement; from 1 to all of them");
  const Tensor weights = detach().cast(DType::Float64);
  const Tensor usable =
      ((weights >= 0) & weights.isfinite()).all() & ((weights > 0).sum(-1) >= (replacement ? 1 : samples)).all();
  const auto checked = [&](const Tensor& drawn) {
    return require(drawn, usable,
                   replacement ? "multinomial: a weight is negative, NaN or infinite, or all of a row are 0"
                               : "multinomial: a weight is negative, NaN or infinite, or fewer than the "
                                 "samples are above 0, which are drawn without replacement");
  };
  if (!replacement) {
    // None rings at 0, where even a weight of 0 would be the first; the least above it is 1e-16.
    const Tensor clocks = (-(1 - rand(shape(), DType::Float64)).log()).maximum(1e-17);
    return checked((weights / clocks).topk(samples).indices);
  }
  Shape drawn = shape();
  drawn[rank() - 1] = samples;
  check_shape(drawn, "multinomial");
  // A number below the last of the sums, which another sum of the weights may miss by a rounding. Where a weight is 0
  // no sum is larger than the one before, and no number falls between them.
  const Tensor sums = weights.cumsum(-1), total = sums[{ellipsis, slice(-1)}];
  const Tensor at = rand(drawn, DType::Float64) * total;
  return checked((sums.unsqueeze(-2) <= at.unsqueeze(-1)).sum(-1).minimum(size(-1) - 1));
}

}  // namespace teeny
