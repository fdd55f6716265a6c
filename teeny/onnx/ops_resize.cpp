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

/// How much further the filter reaches that is to leave out what the smaller image cannot show.
double stretch(const Axis& a, const Mode& m) { return m.antialias && a.scale < 1 ? 1 / double(a.scale) : 1; }

/// How many elements of the input weigh something in one of the result.
int64_t tap_count(const Axis& a, const Mode& m) {
  const double reach = (m.mode == "linear" ? 1 : 2) * stretch(a, m);
  return stretch(a, m) == 1 ? 2 * int64_t(reach) : 2 * int64_t(std::ceil(reach)) + 1;
}
bool is_dense(const Axis& a, const Mode& m) {
  return (a.in <= kDense || tap_count(a, m) > kFewTaps) && a.in * a.out <= kLargestMatrix;
}

/// The matrix (out, in) of an axis, or for each tap in turn where it is (out) and what it weighs (out).
std::vector<Tensor> weights_of(const Axis& a, const Mode& m, DType dtype) {
  const int64_t count = tap_count(a, m);
  std::vector<std::vector<int64_t>> at(size_t(count), std::vector<int64_t>(size_t(a.out)));
  std::vector<std::vector<double>> weight(size_t(count), std::vector<double>(size_t(a.out)));
  for (int64_t o = 0; o < a.out; ++o) {
    const double place = m.place(a, o);
    const int64_t first = int64_t(std::floor(place)) + 1 - (count + 1) / 2;
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) {
      const bool outside = first + k < 0 || first + k >= a.in;
      at[size_t(k)][size_t(o)] = std::clamp<int64_t>(first + k, 0, a.in - 1);
      sum += weight[size_t(k)][size_t(o)] =
          outside && m.exclude_outside ? 0 : m.weight((place - double(first + k)) / stretch(a, m));
    }
    for (int64_t k = 0; k < count && sum != 0; ++k) weight[size_t(k)][size_t(o)] /= sum;
  }
  std::vector<double> matrix(is_dense(a, m) ? size_t(a.out * a.in) : 0);
  std::vector<Tensor> result;
  for (size_t k = 0; k < size_t(count); ++k) {
    if (matrix.empty()) result.insert(result.end(), {Tensor::from(at[k]), Tensor::from(weight[k]).cast(dtype)});
    else
      for (int64_t o = 0; o < a.out; ++o) matrix[size_t(o * a.in + at[k][size_t(o)])] += weight[k][size_t(o)];
  }
  if (!matrix.empty()) result.push_back(Tensor::from(matrix, {a.out, a.in}).cast(dtype));
  return result;
}

/// x along an axis as weighted sums.
Tensor weighted(const Tensor& x, const Axis& a, std::span<const Tensor> weights) {
  if (weights.size() == 1 && a.axis == x.rank() - 1) return x.linear(weights[0]);
  if (weights.size() == 1) {  // (.., in, rest) to (.., out, rest)
    Shape shape = x.shape();
    shape[a.axis] = a.out;
    return weights[0].matmul(x.flatten(a.axis + 1)).reshape(shape);
  }
  Tensor sum;
  for (size_t k = 0; k < weights.size(); k += 2) {
    const Tensor term = x.index_select(a.axis, weights[k]) * reshape_to_axis(weights[k + 1], a.axis, x.rank());
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

/// x along an axis at the elements that are nearest. Where each is repeated as often as all others, `times` says so
/// instead.
Tensor picked(const Tensor& x, const Axis& a, const Mode& m, Dims& times) {
  std::vector<int64_t> at;
  for (int64_t o = 0; o < a.out; ++o) at.push_back(m.nearest_to(m.place(a, o), a));
  const int64_t factor = a.out / a.in, step = a.out > 1 ? at[1] - at[0] : 1;
  bool repeats = a.out % a.in == 0, steps = step > 0;
  for (int64_t o = 0; o < a.out; ++o) {
    repeats = repeats && at[size_t(o)] == o / factor;
    steps = steps && at[size_t(o)] == at[0] + o * step;
  }
  if (repeats) return times[a.axis] = factor, x;
  if (!steps) return x.index_select(a.axis, Tensor::from(at));
  return part(x, a.axis, at[0], at.back() + 1).unfold(a.axis, 1, step).squeeze(-1);
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
  if (numel(whole, "resize") == 0) return Tensor::zeros(whole, x.dtype());

  const auto stays = [&](const Axis& a) {
    return a.in == a.out && a.scale == 1 && (!crop || (a.begin == 0 && a.end == 1));
  };
  Tensor y = nearest ? x : to_accumulate_dtype(x);
  std::vector<Tensor> weights;
  if (!nearest)
    weights = call.prepared({1, 2, 3}, [&] {
      std::vector<Tensor> all;
      for (const Axis& a : axes)
        if (!stays(a)) std::ranges::copy(weights_of(a, mode, y.dtype()), std::back_inserter(all));
      return all;
    });
  std::span<const Tensor> left = weights;
  Dims times = Dims::filled(x.rank(), 1);
  for (const Axis& a : axes) {
    if (stays(a)) continue;
    if (nearest) {
      y = picked(y, a, mode, times);
      continue;
    }
    const size_t count = is_dense(a, mode) ? 1 : 2 * size_t(tap_count(a, mode));
    y = weighted(y, a, left.first(count));
    left = left.subspan(count);
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
  y = mode.antialias ? (y.abs() + 0.5).floor() * y.sign() : y.trunc();
  if (call.type() == Type::UInt8) y = y.clamp(0, 255);
  if (call.type() == Type::Int8) y = y.clamp(-128, 127);
  return y.cast(x.dtype());
}

}  // namespace

void add_resize(Ops& ops) { ops["Resize"] = ops["Upsample"] = resize; }

}  // namespace teeny::onnx
