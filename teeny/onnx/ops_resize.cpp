// Images of another size. The axes are resized one after the other: an element of the result is a weighted sum of a few
// of the input's, which the host finds out, as sizes and scales are known there.
//
//   nearest    every f-th, or each f times: views; else an index
//   linear, cubic    a product with a matrix (out, in), or of long axes a sum of as many gathers as there are weights
#include <algorithm>
#include <cmath>

#include "teeny/functional/functional.h"
#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

constexpr int64_t kLongest = 1 << 26;  // a resized axis: what the host finds out of it stays small
constexpr int64_t kDense = 192;        // an axis that is this short is faster as a product with a matrix
constexpr int64_t kFewTaps = 8;
constexpr int64_t kLargestMatrix = 1 << 26;

/// An axis to be resized.
struct Axis {
  int axis;
  int64_t in, out;
  float scale;               ///< out / in, or what it was rounded from
  float begin = 0, end = 1;  ///< the part of the axis that tf_crop_and_resize shows
};

/// The node's attributes.
struct Mode {
  std::string mode, coordinates, nearest;
  bool exclude_outside, antialias;
  double cubic, extrapolation;

  explicit Mode(const Call& call) {
    const bool old = call.opset < 11;
    mode = call.text("mode", "nearest");
    if (mode == "bilinear" || mode == "trilinear") mode = "linear";  // of Upsample 1
    coordinates = old ? "asymmetric" : call.text("coordinate_transformation_mode", "half_pixel");
    nearest = old ? "simple" : call.text("nearest_mode", "round_prefer_floor");
    exclude_outside = call.flag("exclude_outside"), antialias = call.flag("antialias");
    cubic = call.real("cubic_coeff_a", -0.75), extrapolation = call.real("extrapolation_value", 0);
    if (mode != "nearest" && mode != "linear" && mode != "cubic") unsupported("the mode \"", mode, '"');
  }

  /// Where element o of the result lies on the input's axis. In float32, as onnxruntime does it: where that is between
  /// two elements, rounding decides which one is nearest.
  float place(const Axis& a, int64_t o) const {
    const float x = float(o), in = float(a.in), out = float(a.out);
    if (coordinates == "asymmetric") return x / a.scale;
    if (coordinates == "tf_half_pixel_for_nn") return (x + 0.5f) / a.scale;
    if (coordinates == "pytorch_half_pixel" && a.out == 1) return 0;
    if (coordinates == "half_pixel" || coordinates == "pytorch_half_pixel") return (x + 0.5f) / a.scale - 0.5f;
    if (coordinates == "half_pixel_symmetric") return in / 2 * (1 - out / (a.scale * in)) + (x + 0.5f) / a.scale - 0.5f;
    if (coordinates == "tf_crop_and_resize") {
      if (a.out == 1) return 0.5f * (a.begin + a.end) * (in - 1);
      return a.begin * (in - 1) + x * (a.end - a.begin) * (in - 1) / (out - 1);
    }
    if (coordinates != "align_corners") unsupported("the coordinate_transformation_mode \"", coordinates, '"');
    // ONNX's own tests of smaller images have the length before it is rounded here; PyTorch does not.
    const float length = a.scale < 1 ? a.scale * in : out;
    return length == 1 || a.out == 1 ? 0 : x * (in - 1) / (length - 1);
  }

  int64_t nearest_to(float place, const Axis& a) const {
    const auto rounded = [&]() -> float {
      if (nearest == "round_prefer_floor") return std::ceil(place - 0.5f);
      if (nearest == "round_prefer_ceil") return std::floor(place + 0.5f);
      if (nearest == "floor" || (nearest == "simple" && a.scale >= 1)) return std::floor(place);
      if (nearest == "ceil" || nearest == "simple") return std::ceil(place);
      unsupported("the nearest_mode \"", nearest, '"');
    };
    return std::clamp<int64_t>(int64_t(rounded()), 0, a.in - 1);
  }

  /// What an element weighs at this distance. The cubic: Keys, "Cubic convolution interpolation for digital image
  /// processing", 1981.
  double weight(double distance) const {
    const double d = std::abs(distance), c = cubic;
    if (mode == "linear") return std::max(0., 1 - d);
    if (d <= 1) return ((c + 2) * d - (c + 3)) * d * d + 1;
    return d < 2 ? ((c * d - 5 * c) * d + 8 * c) * d - 4 * c : 0;
  }
};

/// What the elements of the result are made of: `count` of the input's each, and their weights.
struct Taps {
  int64_t count;
  std::vector<int64_t> at;  ///< (out, count)
  std::vector<double> weight;
};

Taps taps_of(const Axis& a, const Mode& m) {
  // A filter that is to leave out what the smaller image cannot show is as wide as an element of that.
  const double stretch = m.antialias && a.scale < 1 ? double(a.scale) : 1;
  const double reach = (m.mode == "linear" ? 1 : 2) / stretch;
  Taps taps{stretch == 1 ? 2 * int64_t(reach) : 2 * int64_t(std::ceil(reach)) + 1, {}, {}};
  for (int64_t o = 0; o < a.out; ++o) {
    const double place = m.place(a, o);
    const int64_t first = int64_t(std::floor(place)) + 1 - (taps.count + 1) / 2;
    std::vector<double> weights;
    double sum = 0;
    for (int64_t k = 0; k < taps.count; ++k) {
      const bool outside = first + k < 0 || first + k >= a.in;
      weights.push_back(outside && m.exclude_outside ? 0 : m.weight((place - double(first + k)) * stretch));
      sum += weights.back();
      taps.at.push_back(std::clamp<int64_t>(first + k, 0, a.in - 1));
    }
    for (double w : weights) taps.weight.push_back(sum == 0 ? w : w / sum);
  }
  return taps;
}

/// x along an axis as weighted sums.
Tensor weighted(const Tensor& x, const Axis& a, const Taps& taps) {
  if ((a.in > kDense && taps.count <= kFewTaps) || a.in * a.out > kLargestMatrix) {
    Tensor sum;
    for (int64_t k = 0; k < taps.count; ++k) {
      std::vector<int64_t> at;
      std::vector<double> weight;
      for (int64_t o = k; o < a.out * taps.count; o += taps.count)
        at.push_back(taps.at[size_t(o)]), weight.push_back(taps.weight[size_t(o)]);
      const Tensor weights = reshape_to_axis(Tensor::from(weight).cast(x.dtype()), a.axis, x.rank());
      const Tensor term = x.index_select(a.axis, Tensor::from(at)) * weights;
      sum = sum.defined() ? sum + term : term;
    }
    return sum;
  }
  std::vector<double> matrix(size_t(a.out * a.in));
  for (int64_t o = 0; o < a.out; ++o)
    for (int64_t k = o * taps.count; k < (o + 1) * taps.count; ++k)
      matrix[size_t(o * a.in + taps.at[size_t(k)])] += taps.weight[size_t(k)];
  const Tensor weights = Tensor::from(matrix, {a.out, a.in}).cast(x.dtype());
  if (a.axis == x.rank() - 1) return x.linear(weights);
  Shape shape = x.shape();
  shape[a.axis] = a.out;
  return weights.matmul(x.flatten(a.axis + 1).unsqueeze(0).flatten(0, a.axis)).reshape(shape);
}

/// x along an axis at these places; one that is repeated evenly is left to `times`, which counts how often.
Tensor picked(const Tensor& x, const Axis& a, const std::vector<int64_t>& at, Dims& times) {
  const int64_t factor = a.out / a.in, step = a.out > 1 ? at[1] - at[0] : 1;
  bool repeats = a.out % a.in == 0, steps = step > 0;
  for (int64_t o = 0; o < a.out; ++o) {
    repeats = repeats && at[size_t(o)] == o / factor;
    steps = steps && at[size_t(o)] == at[0] + o * step;
  }
  if (!repeats && !steps) return x.index_select(a.axis, Tensor::from(at));
  if (repeats) return times[a.axis] = factor, x;
  Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
  begin[a.axis] = at[0], end[a.axis] = at.back() + 1;
  return x.shrink(begin, end).unfold(a.axis, 1, step).squeeze(-1);
}

/// Each element `times` times along each axis: one copy for all axes.
Tensor repeated(const Tensor& x, const Dims& times) {
  Tensor apart = x;
  Shape to, whole;
  for (int a = 0; a < x.rank(); ++a) {
    to.push_back(x.size(a)), whole.push_back(x.size(a) * times[a]);
    if (times[a] == 1) continue;
    apart = apart.unsqueeze(to.size());
    to.push_back(times[a]);
  }
  return apart.expand(to).reshape(whole);
}

/// The axes that the node resizes, and to which sizes.
std::vector<Axis> axes_of(const Call& call, const Mode& m) {
  const Tensor& x = call.x();
  const bool old = call.opset < 11;
  Dims axes = range(0, x.rank());
  if (call.has("axes")) {
    axes = call.dims("axes");
    for (int64_t& a : axes) a = call.axis(a, x.rank());
  }
  const size_t n = size_t(axes.size());
  std::vector<double> scales;
  std::vector<int64_t> sizes;
  const int k = old ? 1 : 2;
  if (const Attribute* a = call.node.find("scales", Attribute::Kind::Floats)) scales.assign(a->floats.begin(), a->floats.end());
  else if (!old && call.has(3) && call.x(3).numel() > 0) sizes = call.integers(3);
  else if (call.has(k)) scales = call.reals(k);
  if (sizes.empty() && scales.size() != n) fail(scales.size(), " scales for ", n, " axes of ", x.shape());
  if (!sizes.empty() && sizes.size() != n) fail(sizes.size(), " sizes for ", n, " axes of ", x.shape());
  std::vector<double> roi;
  if (m.coordinates == "tf_crop_and_resize") {
    roi = call.reals(1);
    if (roi.size() != 2 * n) fail("roi has ", roi.size(), " values, not ", 2 * n);
  }

  std::vector<Axis> result;
  for (size_t i = 0; i < n; ++i) {
    const int axis = int(axes[int(i)]);
    if (std::ranges::count(axes, axes[int(i)]) > 1) fail("axis ", axis, " twice among the axes");
    Axis a{axis, x.size(axis), 0, sizes.empty() ? float(scales[i]) : float(sizes[i]) / float(x.size(axis))};
    const float out = sizes.empty() ? std::floor(a.scale * float(a.in)) : float(sizes[i]);
    if (a.in < 1 || a.in > kLongest || !(out >= 1 && out <= float(kLongest)))
      fail("axis ", axis, " of ", x.shape(), " cannot have ", out, " elements: 1 to ", kLongest);
    a.out = sizes.empty() ? int64_t(out) : sizes[i];
    if (!roi.empty()) a.begin = float(roi[i]), a.end = float(roi[n + i]);
    result.push_back(a);
  }
  const std::string policy = call.text("keep_aspect_ratio_policy", "stretch");
  if (sizes.empty() || policy == "stretch") return result;
  if (policy != "not_larger" && policy != "not_smaller")
    fail("keep_aspect_ratio_policy \"", policy, "\" must be stretch, not_larger or not_smaller");
  const auto [least, most] = std::ranges::minmax(result, {}, &Axis::scale);
  for (Axis& a : result) {
    a.scale = policy == "not_larger" ? least.scale : most.scale;
    a.out = std::max<int64_t>(1, int64_t(std::floor(double(a.scale) * double(a.in) + 0.5)));
  }
  return result;
}

Outputs resize(Call& call) {
  const Tensor& x = call.x();
  const Mode mode(call);
  const std::vector<Axis> axes = axes_of(call, mode);
  const bool nearest = mode.mode == "nearest", crop = mode.coordinates == "tf_crop_and_resize";
  Shape whole = x.shape();
  for (const Axis& a : axes) whole[a.axis] = a.out;
  numel(whole, "resize");

  Tensor y = nearest ? x : to_accumulate_dtype(x);
  Dims times = Dims::filled(x.rank(), 1);
  for (const Axis& a : axes) {
    if (a.in == a.out && a.scale == 1 && (!crop || (a.begin == 0 && a.end == 1))) continue;
    if (!nearest) {
      y = weighted(y, a, taps_of(a, mode));
      continue;
    }
    std::vector<int64_t> at;
    for (int64_t o = 0; o < a.out; ++o) at.push_back(mode.nearest_to(mode.place(a, o), a));
    y = picked(y, a, at, times);
  }
  y = repeated(y, times);
  for (const Axis& a : axes) {
    if (!crop) break;
    std::vector<bool> outside;
    for (int64_t o = 0; o < a.out; ++o) {
      const float place = mode.place(a, o);
      outside.push_back(place < 0 || place > float(a.in - 1));
    }
    y = where(reshape_to_axis(Tensor::from(outside, {a.out}), a.axis, x.rank()), mode.extrapolation, y);
  }
  if (nearest || is_float(x.dtype())) return y.cast(x.dtype());
  // Of integers onnxruntime cuts the fraction, but for the filters that leave something out.
  y = mode.antialias ? y.round() : y.trunc();
  if (call.type() == Type::UInt8) y = y.clamp(0, 255);
  if (call.type() == Type::Int8) y = y.clamp(-128, 127);
  return y.cast(x.dtype());
}

}  // namespace

void add_resize(Ops& ops) { ops["Resize"] = ops["Upsample"] = resize; }

}  // namespace teeny::onnx
