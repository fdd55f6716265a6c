// Tensors from nothing: filled, counted, random. No memory is touched but for `from`, which copies.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "teeny/mlops/common.h"
#include "teeny/tensor/recorder.h"
#include "tinyops/base/environment.h"
#include "tinyops/device.h"

namespace teeny {

namespace {
void check_shape(const Shape& shape, const char* op) {
  for (int64_t size : shape)
    if (size < 0) fail(op, ": a size in ", shape, " is negative");
  int64_t bytes;
  if (__builtin_mul_overflow(numel(shape), int64_t(8), &bytes)) fail(op, ": ", shape, " is too large");
}
}  // namespace

Tensor Tensor::from_bytes(std::span<const std::byte> bytes, DType dtype, const Shape& shape) {
  check_shape(shape, "from");
  if (int64_t(bytes.size()) != teeny::numel(shape) * itemsize(dtype))
    fail("from: ", bytes.size(), " bytes of ", dtype, " do not fill ", shape);
  auto buffer = std::make_shared<tinyops::Buffer>(bytes.size());
  if (!bytes.empty()) tinyops::write(buffer->data(), bytes.data(), bytes.size());
  return Tensor(LazyBuffer::source(std::move(buffer), dtype, shape));
}

Tensor Tensor::from(const std::vector<bool>& values, const Shape& shape) {
  const std::vector<uint8_t> bytes(values.begin(), values.end());  // vector<bool> packs eight into one
  return from_bytes(std::as_bytes(std::span(bytes)), DType::Bool, shape);
}

Tensor Tensor::full(const Shape& shape, Scalar value, std::optional<DType> dtype) {
  check_shape(shape, "full");
  const DType natural = value.is_bool() ? DType::Bool : value.is_fraction() ? DType::Float32 : DType::Int64;
  const DType to = dtype.value_or(natural);
  if (!fits(value, to)) fail("full: ", value, " does not fit ", to);
  return Tensor(LazyBuffer::constant(value, to, shape));
}

namespace {
/// How many of start, start + step, ... there are before stop: a distance may need all 64 bits, and each of them.
double whole_steps(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const bool up = step > 0;
  const uint64_t distance = up ? uint64_t(stop) - uint64_t(start) : uint64_t(start) - uint64_t(stop);
  const uint64_t by = up ? uint64_t(step) : -uint64_t(step);
  return double((distance - 1) / by) + 1;
}
}  // namespace
Tensor Tensor::arange(Scalar start, Scalar stop, Scalar step, std::optional<DType> dtype) {
  const double first = start.as<double>(), last = stop.as<double>(), by = step.as<double>();
  if (by == 0 || !std::isfinite(first) || !std::isfinite(last) || !std::isfinite(by))
    fail("arange: from ", first, " to ", last, " in steps of ", by);
  if (dtype == DType::Bool) fail("arange: counts, and bools do not");
  const bool fraction = start.is_fraction() || stop.is_fraction() || step.is_fraction();
  const double count = fraction ? std::max(0.0, std::ceil((last - first) / by))
                                : whole_steps(start.as<int64_t>(), stop.as<int64_t>(), step.as<int64_t>());
  if (count > 9e15) fail("arange: ", count, " elements are too many");
  const Tensor n(LazyBuffer::iota(int64_t(count)));
  const DType to = dtype.value_or(fraction ? DType::Float32 : DType::Int64);
  if (!fraction) return (n * step + start).cast(to);
  return (n.cast(DType::Float64) * step + start).cast(to);
}

Tensor Tensor::linspace(double start, double stop, int64_t steps, DType dtype) {
  if (steps < 0) fail("linspace: ", steps, " steps");
  check_shape({steps}, "linspace");
  if (dtype == DType::Bool) fail("linspace: counts, and bools do not");
  const double step = steps > 1 ? (stop - start) / double(steps - 1) : 0;
  return (Tensor(LazyBuffer::iota(steps)).cast(DType::Float64) * step + start).cast(dtype);
}

Tensor Tensor::eye(int64_t n, std::optional<int64_t> m, DType dtype) {
  check_shape({n, m.value_or(n)}, "eye");
  return (arange(n).unsqueeze(-1) == arange(m.value_or(n))).cast(dtype);
}

Tensor Tensor::tri(int64_t rows, int64_t columns, int64_t diagonal) {
  check_shape({rows, columns}, "tri");
  return arange(columns) <= arange(rows).unsqueeze(-1) + std::clamp(diagonal, -rows, columns);
}

Tensor Tensor::scalar_like(Scalar value) const {
  DType to = dtype();  // where it may not fit: an integer wraps, a fraction becomes infinite
  if (value.is_fraction() && !is_float(to)) to = DType::Float32;
  if (!value.is_bool() && to == DType::Bool) to = DType::Int64;
  return Tensor(LazyBuffer::constant(value, to, {}));
}

// ---- Random numbers -------------------------------------------------------------------------------------------------

namespace {
struct RandomState {
  uint64_t seed = tinyops::environment::seed();
  uint64_t counter = 0;
};
RandomState& random_stream() {
  static RandomState state;
  return state;
}
}  // namespace

void Tensor::manual_seed(uint64_t seed) {
  if (recorder()) fail("manual_seed: inside a Jit's call it would not be repeated; call it outside");
  random_stream() = {seed, 0};
}
std::pair<uint64_t, uint64_t> Tensor::random_state() { return {random_stream().seed, random_stream().counter}; }
void Tensor::set_random_state(uint64_t seed, uint64_t counter) { random_stream() = {seed, counter}; }

Tensor Tensor::rand(const Shape& shape, DType dtype) {
  check_shape(shape, "rand");
  if (!is_float(dtype)) fail("rand: makes floats, not ", dtype);
  const DType drawn = dtype == DType::Float64 ? dtype : DType::Float32;
  RandomState& state = random_stream();
  const Tensor out(LazyBuffer::random(state.seed, state.counter, drawn, shape));
  const uint64_t words = uint64_t(teeny::numel(shape)) * (drawn == DType::Float64 ? 2 : 1);
  state.counter += (words + 3) / 4 * 4;  // whole blocks: every tensor starts at word 0 of one
  if (dtype == drawn) return out;
  const double steps = dtype == DType::Float16 ? 2048 : 256;  // as fine as the type is below 1, so that none rounds to 1
  return ((out * steps).floor() / steps).cast(dtype);
}

// Box & Muller, "A note on the generation of random normal deviates", 1958. 1 - u is never 0.
Tensor Tensor::randn(const Shape& shape, DType dtype) {
  if (!is_float(dtype)) fail("randn: makes floats, not ", dtype);
  const DType drawn = dtype == DType::Float64 ? dtype : DType::Float32;
  const Tensor u = rand(shape, drawn), v = rand(shape, drawn);
  return (((1 - u).log() * -2).sqrt() * (v * (2 * std::numbers::pi)).cos()).cast(dtype);
}

Tensor Tensor::uniform(const Shape& shape, double low, double high) { return rand(shape) * (high - low) + low; }
Tensor Tensor::normal(const Shape& shape, double mean, double std) { return randn(shape) * std + mean; }

Tensor Tensor::randint(int64_t low, int64_t high, const Shape& shape) {
  if (high <= low) fail("randint: no integer is in [", low, ", ", high, ")");
  const uint64_t count = uint64_t(high) - uint64_t(low);
  if (count > uint64_t(1) << 53) fail("randint: [", low, ", ", high, ") has more integers than 53 random bits can tell");
  const Tensor scaled = rand(shape, DType::Float64) * double(count);
  return scaled.floor().cast(DType::Int64) + low;
}

Tensor Tensor::scaled_uniform(const Shape& shape) {
  return uniform(shape, -1, 1) / std::sqrt(double(std::max<int64_t>(teeny::numel(shape), 1)));
}

Fans fans(const Shape& shape, const char* op) {
  if (shape.size() < 2) fail(op, ": needs weights (out, in, ...), not ", shape);
  const double window = double(numel(Shape(shape.begin() + 2, shape.end())));
  return {double(shape[1]) * window, double(shape[0]) * window};
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

}  // namespace teeny
