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
  if (const Attribute* a = call.node.find("scales")) scales.assign(a->floats.begin(), a->floats.end());
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

// ---- Elements at places --------------------------------------------------------------------------------------------

Outputs sample_grid(Call& call) {
  const std::string mode = call.text("mode", "linear"), padding = call.text("padding_mode", "zeros");
  GridSampleOptions options{.align_corners = call.flag("align_corners")};
  if (mode == "nearest") options.mode = Interpolation::Nearest;
  else if (mode == "cubic" || mode == "bicubic") options.mode = Interpolation::Cubic;
  else if (mode != "linear" && mode != "bilinear") unsupported("the mode \"", mode, '"');
  if (padding == "border") options.padding = GridPadding::Border;
  else if (padding == "reflection") options.padding = GridPadding::Reflection;
  else if (padding != "zeros") unsupported("the padding_mode \"", padding, '"');
  const int rank = call.x().rank();
  if (rank == 3 || rank > 5 || (rank == 5 && options.mode == Interpolation::Cubic))
    unsupported("the mode \"", mode, "\" of ", call.x().shape(),
                "; two axes behind (N, C), or three if it is not cubic");
  return grid_sample(call.x(), call.x(1), options);
}

/// Places (N, H, W, 2), each (x, y), or with three axes: theta (N, 2, 3) times (x, y, 1), where x and y run evenly from
/// -1 to 1.
Outputs affine_grid(Call& call) {
  const Tensor& theta = call.x();
  const std::vector<int64_t> size = call.integers(1);
  const int n = int(size.size()) - 2;
  if (n < 2 || n > 3 || theta.shape() != Shape{size[0], n, n + 1})
    fail("theta of ", theta.shape(), " for an image of ", size.size(), " axes; (N, 2, 3) and 4, or (N, 3, 4) and 5");
  const auto column = [&](int a) {  // of theta, where the grid's last axis has the rows
    Tensor result = theta[{slice(), slice(), a}];
    for (int k = 0; k < n; ++k) result = result.unsqueeze(1);
    return result;
  };
  Tensor grid = column(n);
  Shape shape{size[0]};
  for (int a = 0; a < n; ++a) {
    const int64_t count = size[size_t(2 + a)];
    if (count < 1 || count > kLongest) fail("axis ", 2 + a, " of a grid cannot have ", count, " places");
    const Tensor i = Tensor::arange(count).cast(theta.dtype());
    const double steps = double(std::max<int64_t>(count - 1, 1));
    const Tensor place =
        call.flag("align_corners") ? (count == 1 ? i : i * (2 / steps) - 1) : (i * 2 + 1) / double(count) - 1;
    grid = grid + reshape_to_axis(place, 1 + a, n + 2) * column(n - 1 - a);
  }
  return grid;
}

/// The channels of x (N, C, H, W) at positions in its images, which lie one after the other: (.., C).
Tensor channels_at(const Tensor& x, const Tensor& position) {
  const Tensor rows = x.permute({0, 2, 3, 1}).reshape({x.size(0) * x.size(2) * x.size(3), x.size(1)});
  return rows.embedding(position.cast(DType::Int64));
}

/// Throws where so many elements of so many channels are too much to be gathered.
void check_gathered(const Call& call, const Shape& positions) {
  if (numel(positions, "regions") > call.max_bytes() / 4 / std::max<int64_t>(call.x().size(1), 1))
    fail("regions of ", positions, " elements are more than ", call.max_bytes() >> 20,
         " MiB (ModelOptions::max_bytes)");
}

/// Along one axis of regions (R): what each of `out` bins of each region looks at, for all its samples (R, out,
/// samples).
struct Samples {
  Tensor low, high;                ///< the elements before and behind a sample
  Tensor weight_low, weight_high;  ///< 0 for a sample that is too far from the image
  Tensor used;                     ///< whether there is this sample: a region may have fewer than another
  Tensor count;                    ///< in a bin: (R, 1, 1)
};

/// `most`: samples in a bin, of the region that has most; of each as many as it is wide if `ratio` is 0.
Samples samples(const Tensor& begin, const Tensor& extent, int64_t size, int64_t out, int64_t ratio, int64_t most) {
  const Tensor bin = (extent / double(out)).reshape({-1, 1, 1});
  const Tensor count = ratio > 0 ? bin.full_like(double(ratio)) : bin.ceil().maximum(0);
  const Tensor k = Tensor::arange(most).cast(DType::Float32),
               o = Tensor::arange(out).cast(DType::Float32).unsqueeze(-1);
  const Tensor place = begin.reshape({-1, 1, 1}) + bin * (o + (k + 0.5) / count.maximum(1));
  const Tensor used = k < count, is_near = used & (place >= -1) & (place <= double(size));
  const Tensor at = place.clamp(0, double(size - 1)), low = at.floor(), t = at - low;
  return {low, (low + 1).minimum(double(size - 1)), where(is_near, 1 - t, 0), where(is_near, t, 0), used, count};
}

/// The mean of interpolated samples in each bin of regions, or their maximum. He et al., "Mask R-CNN", 2017.
Outputs align_regions(Call& call) {
  const Tensor &x = call.x(), &regions = call.x(1), &image = call.x(2);
  const std::string coordinates =
      call.text("coordinate_transformation_mode", call.opset < 16 ? "output_half_pixel" : "half_pixel");
  const std::string mode = call.text("mode", "avg");
  if (mode != "avg" && mode != "max") unsupported("the mode \"", mode, '"');
  const int64_t ratio = call.integer("sampling_ratio", 0);
  const Shape out{call.integer("output_height", 1), call.integer("output_width", 1)};
  if (x.rank() != 4 || numel(x.shape()) == 0 || regions.rank() != 2 || regions.size(1) != 4 ||
      image.shape() != Shape{regions.size(0)} || out[0] < 1 || out[1] < 1 || ratio < 0)
    fail("an image of ", x.shape(), ", regions of ", regions.shape(), ", their images of ", image.shape(), " to ", out,
         " bins of ", ratio, " samples: (N, C, H, W), (R, 4) and (R,)");
  const bool half_pixel = coordinates == "half_pixel";
  const double scale = call.real("spatial_scale", 1), shift = half_pixel ? 0.5 : 0;
  const int64_t count = regions.size(0);
  std::vector<double> boxes;
  if (ratio == 0) boxes = call.reals(1);
  Samples along[2];
  Shape shape{count, out[0], 0, out[1], 0};
  for (int a = 0; a < 2; ++a) {  // a region is x1, y1, x2, y2
    double widest = 1;
    for (size_t r = 0; r < boxes.size(); r += 4)
      widest = std::max(widest, (boxes[r + size_t(3 - a)] - boxes[r + size_t(1 - a)]) * scale);
    shape[2 + 2 * a] = ratio > 0 ? ratio : int64_t(std::min(std::ceil(widest / double(out[a])), 1e9)) + 1;
    check_gathered(call, {count, out[a], shape[2 + 2 * a]});
    const Tensor begin = regions[{slice(), 1 - a}].cast(DType::Float32) * scale - shift;
    const Tensor extent = regions[{slice(), 3 - a}].cast(DType::Float32) * scale - shift - begin;
    along[a] = samples(begin, half_pixel ? extent : extent.maximum(1), x.size(2 + a), out[a], ratio, shape[2 + 2 * a]);
  }
  check_gathered(call, shape);

  const auto rows = [](const Tensor& v) { return v.unsqueeze(-1).unsqueeze(-1); };   // (R, OH, SH, 1, 1)
  const auto columns = [](const Tensor& v) { return v.unsqueeze(1).unsqueeze(1); };  // (R, 1, 1, OW, SW)
  const auto& [y, at_x] = along;
  const Tensor first_row = image.reshape({-1, 1, 1, 1, 1}) * x.size(2);
  Tensor all;
  for (const auto& [row, y_weight] : {std::pair{y.low, y.weight_low}, {y.high, y.weight_high}})
    for (const auto& [column, x_weight] : {std::pair{at_x.low, at_x.weight_low}, {at_x.high, at_x.weight_high}}) {
      const Tensor position =
          (first_row + rows(row).cast(DType::Int64)) * x.size(3) + columns(column).cast(DType::Int64);
      const Tensor part = channels_at(x, position) * (rows(y_weight) * columns(x_weight)).unsqueeze(-1);
      all = !all.defined() ? part : mode == "avg" ? all + part : all.maximum(part);
    }
  const Tensor samples_of_bin = (rows(y.count) * columns(at_x.count)).reshape({-1, 1, 1, 1});
  Tensor bins;  // (R, OH, OW, C)
  if (mode == "avg") bins = all.sum({2, 4}) / samples_of_bin.maximum(1);
  else {
    const Tensor used = (rows(y.used) & columns(at_x.used)).unsqueeze(-1);
    bins = where(samples_of_bin > 0, where(used, all, -INFINITY).max({2, 4}), 0);
  }
  return bins.permute({0, 3, 1, 2}).cast(x.dtype());
}

/// The largest element in each bin of regions (R, 5): image, x1, y1, x2, y2, rounded to elements. Girshick, "Fast
/// R-CNN", 2015. A bin has other elements of its axis again where it has fewer than the widest.
Outputs pool_regions(Call& call) {
  const Tensor &x = call.x(), &regions = call.x(1);
  const Dims out = call.dims("pooled_shape");
  const double scale = call.real("spatial_scale", 1);
  if (x.rank() != 4 || numel(x.shape()) == 0 || regions.rank() != 2 || regions.size(1) != 5 || out.size() != 2 ||
      out[0] < 1 || out[1] < 1)
    fail("an image of ", x.shape(), " and regions of ", regions.shape(), " to ", out, " bins: (N, C, H, W) and (R, 5)");
  const std::vector<double> boxes = call.reals(1);
  const int64_t count = regions.size(0);
  Shape shape{count, out[0], 0, out[1], 0};
  Tensor position = regions[{slice(), 0}].cast(DType::Int64).reshape({-1, 1, 1, 1, 1}), found(true);
  for (int a = 0; a < 2; ++a) {
    const int64_t size = x.size(2 + a);
    std::vector<int64_t> begin, end;  // of each bin
    int64_t most = 1;
    check_gathered(call, {count, out[a]});
    for (size_t r = 0; r < boxes.size(); r += 5) {
      const auto rounded = [&](size_t k) { return std::round(std::clamp(boxes[r + k] * scale, -1e9, 1e9)); };
      const double first = rounded(size_t(2 - a)),
                   bin = std::max(rounded(size_t(4 - a)) - first + 1, 1.) / double(out[a]);
      for (int64_t o = 0; o < out[a]; ++o) {
        begin.push_back(std::clamp<int64_t>(int64_t(std::floor(double(o) * bin) + first), 0, size));
        end.push_back(std::clamp<int64_t>(int64_t(std::ceil(double(o + 1) * bin) + first), 0, size));
        most = std::max(most, end.back() - begin.back());
      }
    }
    shape[2 + 2 * a] = most;
    check_gathered(call, {count, out[a], most});
    const Tensor from = Tensor::from(begin, {count, out[a], 1}), to = Tensor::from(end, {count, out[a], 1});
    const Tensor at = (from + Tensor::arange(most)).minimum(to - 1).clamp(0, size - 1);
    const auto in_place = [&](const Tensor& v) {
      return a == 0 ? v.unsqueeze(-1).unsqueeze(-1) : v.unsqueeze(1).unsqueeze(1);
    };
    position = position * size + in_place(at);
    found = found & in_place(to > from);
  }
  check_gathered(call, shape);
  const Tensor bins = where(found.unsqueeze(-1), channels_at(x, position), 0).max({2, 4});
  return bins.permute({0, 3, 1, 2});
}

}  // namespace

void add_resize(Ops& ops) {
  ops["RoiAlign"] = align_regions;
  ops["MaxRoiPool"] = pool_regions;
  ops["Resize"] = ops["Upsample"] = resize;
  ops["GridSample"] = sample_grid;
  ops["AffineGrid"] = affine_grid;
}

}  // namespace teeny::onnx
