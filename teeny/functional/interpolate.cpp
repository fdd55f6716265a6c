// Images of another size: every element of the result is a weighted sum of its neighbours in the input, one axis after
// the other. The gradient is a scatter, and comes by itself.
#include <algorithm>

#include "teeny/functional/functional.h"

namespace teeny {
namespace {

/// One axis of x from n to `size` elements. A result's place in the input: corners' centres on each other, or borders.
///
///   align_corners   i * (n-1)/(size-1)               otherwise   (i + 1/2) * n/size - 1/2
///
/// Computed in float32, for float64 in float64, as PyTorch does: where a place falls on the border between two
/// elements, its rounding decides. Along axes that float32 cannot count it is float64, too.
Tensor resized(const Tensor& x, int axis, int64_t size, const InterpolateOptions& options) {
  const int64_t n = x.shape()[axis];
  const bool beyond_float = std::max(n, size) >= int64_t(1) << 24;
  const Tensor i =
      Tensor::arange(size).cast(beyond_float || x.dtype() == DType::Float64 ? DType::Float64 : DType::Float32);
  const bool cubic = options.mode == Interpolation::Cubic;
  const auto tap = [&](const Tensor& at) {
    return selected(x, axis, at.cast(DType::Int64).clamp(0, n - 1), "interpolate");
  };
  if (options.mode == Interpolation::NearestExact) return tap(((i + 0.5) * (double(n) / double(size))).floor());
  if (options.mode == Interpolation::Nearest) return tap((i * (double(n) / double(size))).floor());

  Tensor place;
  if (options.align_corners) place = i * (size > 1 ? double(n - 1) / double(size - 1) : 0);
  else place = (i + 0.5) * (double(n) / double(size)) - 0.5;
  if (!cubic) place = place.maximum(0);
  const Tensor left = place.floor(), right = left + 1;
  const Tensor t = reshape_to_axis((place - left).cast(x.dtype()), axis, x.rank());
  if (!cubic) return tap(left) * (1 - t) + tap(right) * t;
  const auto weights = cubic_weights(t);
  return tap(left - 1) * weights[0] + tap(left) * weights[1] + tap(right) * weights[2] + tap(right + 1) * weights[3];
}

}  // namespace

std::array<Tensor, 4> cubic_weights(const Tensor& t) {
  constexpr double a = -0.75;
  const auto near = [&](const Tensor& d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };       // d in [0, 1]
  const auto far = [&](const Tensor& d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };  // d in [1, 2]
  const Tensor u = 1 - t;
  return {far(t + 1), near(t), near(u), far(u + 1)};
}

Tensor Tensor::interpolate(const Sizes& size, const InterpolateOptions& options) const {
  const int n = lazy("interpolate").shape().size() - 2;
  const bool nearest = options.mode == Interpolation::Nearest || options.mode == Interpolation::NearestExact;
  if (n < 1 || n > 3) fail("interpolate: an input of ", shape(), " must have one to three spatial axes behind (N, C)");
  if (options.mode == Interpolation::Cubic && n != 2) fail("interpolate: cubic needs (N, C, H, W), not ", shape());
  if (nearest && options.align_corners) fail("interpolate: align_corners is for linear and cubic, not for nearest");
  if (!nearest && !is_float(dtype()) && dtype() != DType::UInt8)
    fail("interpolate: a weighted sum needs floats or uint8, not ", dtype());
  const Dims to = per_axis(size, n, "interpolate", "size", 1);
  for (int a = 2; a < rank(); ++a)
    if (shape()[a] == 0) fail("interpolate: axis ", a, " of ", shape(), " is empty");
  if (is_float(dtype()) && dtype() != DType::Float64)
    TEENY_TRACED(interpolate(size, options), {*this},
                 {{"size", to}, {"mode", int(options.mode)}, {"align_corners", options.align_corners}});
  // Of 16 bits, only the end result is rounded to them.
  Tensor x = nearest || dtype() == DType::Float64 ? *this : cast(DType::Float32);
  for (int a = 0; a < n; ++a) x = resized(x, 2 + a, to[a], options);
  if (!nearest && dtype() == DType::UInt8) x = (x + 0.5).floor().clamp(0, 255);
  return x.cast(dtype());
}

}  // namespace teeny
