// Tensors from nothing: filled and counted. No memory is touched but for `from`, which copies.
#include <algorithm>
#include <cmath>

#include "teeny/functional/functional.h"
#include "tinyops/device.h"

namespace teeny {

void check_shape(const Shape& shape, const char* op) {
  for (int64_t size : shape)
    if (size < 0) fail(op, ": a size in ", shape, " is negative");
  numel(shape, op);
}

void refuse_non_floats(const Tensor& x, const char* op) {
  if (!is_float(x.lazy(op).dtype())) fail(op, ": needs floats, not ", x.dtype());
}

void check_rank(int rank, const char* op, const Shape& from) {
  if (rank > kMaxRank)
    fail(op, ": needs ", rank, " axes", from.empty() ? "" : text(" for ", from), ", and a tensor has at most ",
         kMaxRank, "; reshape() some of them into one");
}

Tensor Tensor::from_bytes(std::span<const std::byte> bytes, DType dtype, const Shape& shape) {
  check_shape(shape, "from");
  if (int64_t(bytes.size()) != teeny::numel(shape) * itemsize(dtype))
    fail("from: ", bytes.size(), " bytes of ", dtype, " do not fill ", shape);
  if (dtype == DType::Bool && std::ranges::any_of(bytes, [](std::byte b) { return b > std::byte(1); }))
    fail("from: a byte of a bool is neither 0 nor 1");
  auto buffer = std::make_shared<tinyops::Buffer>(bytes.size());
  if (!bytes.empty()) tinyops::write(buffer->data(), bytes.data(), bytes.size());
  return Tensor(LazyBuffer::source(std::move(buffer), dtype, shape));
}

Tensor Tensor::from(const std::vector<bool>& values, const Shape& shape) {
  const std::vector<uint8_t> bytes(values.begin(), values.end());  // vector<bool> packs eight into one
  return from_bytes(std::as_bytes(std::span(bytes)), DType::Bool, shape);
}

Scalar rounded(Scalar value, DType dtype) {
  if (dtype == DType::Float16) return float(tinyops::float16(value.as<double>()));
  if (dtype == DType::BFloat16) return float(tinyops::bfloat16(value.as<double>()));
  return value;
}

namespace {
Tensor filled(const Shape& shape, Scalar value, DType dtype, const char* op) {
  check_shape(shape, op);
  if (!fits(value, dtype)) fail(op, ": ", value, " does not fit ", dtype);
  return Tensor(LazyBuffer::constant(rounded(value, dtype), dtype, shape));
}
}  // namespace

Tensor Tensor::full(const Shape& shape, Scalar value, std::optional<DType> dtype) {
  const DType natural = value.is_bool() ? DType::Bool : value.is_fraction() ? DType::Float32 : DType::Int64;
  return filled(shape, value, dtype.value_or(natural), "full");
}
Tensor Tensor::zeros(const Shape& shape, DType dtype) { return filled(shape, 0, dtype, "zeros"); }
Tensor Tensor::ones(const Shape& shape, DType dtype) { return filled(shape, 1, dtype, "ones"); }
Tensor Tensor::empty(const Shape& shape, DType dtype) { return filled(shape, 0, dtype, "empty"); }
Tensor Tensor::full_like(Scalar value) const {
  const LazyBuffer& x = lazy("full_like");
  return filled(x.shape(), value, x.dtype(), "full_like");
}

namespace {
/// How many of start, start + step, ... there are before stop: a distance may need all 64 bits, and each of them.
uint64_t whole_steps(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const bool up = step > 0;
  const uint64_t distance = up ? uint64_t(stop) - uint64_t(start) : uint64_t(start) - uint64_t(stop);
  const uint64_t by = up ? uint64_t(step) : -uint64_t(step);
  return (distance - 1) / by + 1;
}
}  // namespace

Tensor Tensor::arange(Scalar start, Scalar stop, Scalar step, std::optional<DType> dtype) {
  const double first = start.as<double>(), last = stop.as<double>(), by = step.as<double>();
  if (by == 0 || !std::isfinite(first) || !std::isfinite(last) || !std::isfinite(by))
    fail("arange: from ", first, " to ", last, " in steps of ", by, "; all three are finite, and the step is not 0");
  if (dtype == DType::Bool) fail("arange: counts, and bools do not; cast(DType::Bool) its result");
  const bool fraction = start.is_fraction() || stop.is_fraction() || step.is_fraction();
  const uint64_t whole = fraction ? 0 : whole_steps(start.as<int64_t>(), stop.as<int64_t>(), step.as<int64_t>());
  const double count = fraction ? std::max(0.0, std::ceil((last - first) / by)) : double(whole);
  if (count > (fraction ? 9e15 : 1e18)) fail("arange: ", count, " elements are too many");  // 53 and 60 bits
  const Tensor n(LazyBuffer::iota(fraction ? int64_t(count) : int64_t(whole)));
  const DType to = dtype.value_or(fraction ? DType::Float32 : DType::Int64);
  const auto last_whole = [&] { return uint64_t(start.as<int64_t>()) + (whole - 1) * uint64_t(step.as<int64_t>()); };
  for (const Scalar& end : {start, fraction ? Scalar(first + (count - 1) * by) : Scalar(int64_t(last_whole()))})
    if (count > 0 && !fits(end, to)) fail("arange: ", end, " does not fit ", to);
  if (!fraction) return (n * step + start).cast(to);
  return (n.cast(DType::Float64) * step + start).cast(to);
}

Tensor Tensor::linspace(double start, double stop, int64_t steps, DType dtype) {
  if (steps < 0) fail("linspace: ", steps, " steps; 0 is the least");
  check_shape({steps}, "linspace");
  if (dtype == DType::Bool) fail("linspace: counts, and bools do not; cast(DType::Bool) its result");
  for (const double end : {start, stop})
    if (!fits(end, dtype)) fail("linspace: ", end, " does not fit ", dtype);
  // Counted from the nearer end, so that the last is `stop`; the distance of the two may be beyond all doubles.
  const double n = std::max(1.0, double(steps - 1)), step = stop / n - start / n;
  const Tensor i = Tensor(LazyBuffer::iota(steps)).cast(DType::Float64);
  return where(i * 2 < double(steps), i * step + start, stop - (double(steps - 1) - i) * step).cast(dtype);
}

Tensor Tensor::eye(int64_t n, std::optional<int64_t> m, DType dtype) {
  check_shape({n, m.value_or(n)}, "eye");
  return (arange(n).unsqueeze(-1) == arange(m.value_or(n))).cast(dtype);
}

Tensor Tensor::tri(int64_t rows, int64_t columns, int64_t diagonal) {
  check_shape({rows, columns}, "tri");
  return arange(columns) <= arange(rows).unsqueeze(-1) + std::clamp(diagonal, -rows, columns);
}

}  // namespace teeny
