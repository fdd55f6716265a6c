// Elements at places that other inputs say: grids, deformed windows, regions of an image.
#include <algorithm>
#include <array>
#include <cmath>

#include "teeny/onnx/windows.h"

namespace teeny::onnx {

namespace {

// ---- Grids ---------------------------------------------------------------------------------------------------------

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
    if (count < 1 || count > kMost) fail("axis ", 2 + a, " of a grid cannot have ", count, " places");
    const Tensor i = Tensor::arange(count).cast(theta.dtype());
    const double steps = double(std::max<int64_t>(count - 1, 1));
    const Tensor place =
        call.flag("align_corners") ? (count == 1 ? i : i * (2 / steps) - 1) : (i * 2 + 1) / double(count) - 1;
    grid = grid + reshape_to_axis(place, 1 + a, n + 2) * column(n - 1 - a);
  }
  return grid;
}

// ---- Bilinear samples ----------------------------------------------------------------------------------------------

/// Along one axis, the element before a place and the one behind it, and what they weigh there.
struct Neighbours {
  Tensor low, high, weight_low, weight_high;
};

/// The channels of x (N, C, H, W) at positions in its images, which lie one after the other: (.., C).
Tensor channels_at(const Tensor& x, const Tensor& position) {
  const Tensor rows = x.permute({0, 2, 3, 1}).reshape({x.size(0) * x.size(2) * x.size(3), x.size(1)});
  return rows.embedding(position.cast(DType::Int64));
}

/// x at places of its `image`: (.., C), where the others broadcast to (..). Either the sum of the four elements around
/// a place, or the largest of them, times what they weigh.
Tensor between(const Tensor& x, const Tensor& image, const Neighbours& rows, const Neighbours& columns, bool largest) {
  Tensor result;
  for (const auto& [row, y_weight] : {std::pair{rows.low, rows.weight_low}, {rows.high, rows.weight_high}})
    for (const auto& [column, x_weight] :
         {std::pair{columns.low, columns.weight_low}, {columns.high, columns.weight_high}}) {
      const Tensor position = (image * x.size(2) + row.cast(DType::Int64)) * x.size(3) + column.cast(DType::Int64);
      const Tensor part = channels_at(x, position) * (y_weight * x_weight).unsqueeze(-1);
      result = !result.defined() ? part : largest ? result.maximum(part) : result + part;
    }
  return result;
}

/// Throws where so many elements of so many channels are too much to be gathered.
void check_gathered(const Call& call, const Shape& positions, int64_t channels) {
  if (numel(positions, "samples") > call.max_bytes() / 4 / std::max<int64_t>(channels, 1))
    fail("samples of ", positions, " are more than ", call.max_bytes() >> 20, " MiB (ModelOptions::max_bytes)");
}

/// Beyond the image there are zeros.
Neighbours zero_padded(const Tensor& place, int64_t size) {
  const Tensor low = place.floor(), high = low + 1, t = place - low;
  const auto inside = [&](const Tensor& at) { return (at >= 0) & (at < double(size)); };
  return {where(inside(low), low, 0), where(inside(high), high, 0), where(inside(low), 1 - t, 0),
          where(inside(high), t, 0)};
}

/// A convolution whose taps lie beside their places, by offsets (N, groups * taps * 2, OH, OW), that along the height
/// first. What is seen there is multiplied with the mask (N, groups * taps, OH, OW). Dai et al., "Deformable
/// convolutional networks", 2017; Zhu et al., "Deformable ConvNets v2", 2018.
Outputs deformable_convolution(Call& call) {
  const Tensor &x = call.x(), &weight = call.x(1), &offset = call.x(2);
  if (x.rank() != 4) unsupported("an image of ", x.shape(), "; (N, C, H, W)");
  const Windows w(call, spatial(x), kernel_of(call, x, weight));
  const int64_t batch = x.size(0), channels = x.size(1), taps = numel(w.size), groups = call.integer("offset_group", 1);
  const int64_t parts = call.integer("group", 1);
  Dims out;
  for (int a = 0; a < 2; ++a)
    out.push_back((x.size(2 + a) + w.pads.before[a] + w.pads.after[a] - w.reach(a)) / w.stride[a] + 1);
  if (numel(x.shape()) == 0 || groups < 1 || channels % groups || parts < 1 || channels != weight.size(1) * parts ||
      weight.size(0) % parts || offset.shape() != Shape{batch, groups * taps * 2, out[0], out[1]})
    fail("an image of ", x.shape(), ", a weight of ", weight.shape(), " in ", parts, " groups, offsets of ",
         offset.shape(), " in ", groups, " groups, ", out, " windows");
  const Shape places{batch * groups, w.size[0], w.size[1], out[0], out[1]};
  check_gathered(call, places, channels / groups);
  const Tensor offsets = offset.reshape({batch * groups, w.size[0], w.size[1], 2, out[0], out[1]});
  const auto along = [&](int a) {
    const Tensor begin = reshape_to_axis(Tensor::arange(out[a]) * w.stride[a] - w.pads.before[a], 3 + a, 5);
    const Tensor tap = reshape_to_axis(Tensor::arange(w.size[a]) * w.dilation[a], 1 + a, 5);
    return zero_padded(offsets[{slice(), slice(), slice(), a}] + (begin + tap), x.size(2 + a));
  };
  const Tensor image = reshape_to_axis(Tensor::arange(batch * groups), 0, 5);
  Tensor seen = between(x.reshape({batch * groups, channels / groups, x.size(2), x.size(3)}), image, along(0), along(1),
                        false);  // (N * groups, KH, KW, OH, OW, C / groups)
  if (call.has(4)) seen = seen * call.x(4).reshape(places).unsqueeze(-1);
  const int64_t summed = weight.size(1) * taps, windows = out[0] * out[1];
  const Tensor columns = seen.permute({0, 5, 1, 2, 3, 4}).reshape({batch, parts, summed, windows});
  const Tensor rows = weight.reshape({1, parts, weight.size(0) / parts, summed});
  const Tensor y = rows.matmul(columns).reshape({batch, weight.size(0), out[0], out[1]});
  return (call.has(3) ? y + reshape_to_axis(call.x(3), 1, 4) : y).cast(x.dtype());
}

// ---- Regions -------------------------------------------------------------------------------------------------------

/// Whether regions can have so many bins.
bool is_grid(const Dims& bins) {
  return bins.size() == 2 && std::ranges::all_of(bins, [](int64_t n) { return n >= 1 && n <= 1 << 16; });
}

/// Along one axis of regions (R): the samples in each of `out` bins of each region.
struct Samples {
  Neighbours at;  ///< (R, out, most), as `used`: whether there is this sample. A region may have fewer than another
  Tensor used;
  Tensor count;  ///< in a bin: (R, 1, 1)
};

/// `ratio` samples, or if that is 0 as many as a bin is wide; `most` of them in a bin of the widest region. One that is
/// more than an element away from the image counts nothing.
Samples samples(const Tensor& begin, const Tensor& extent, int64_t size, int64_t out, int64_t ratio, int64_t most) {
  const Tensor bin = (extent / double(out)).reshape({-1, 1, 1});
  const Tensor count = ratio > 0 ? bin.full_like(double(ratio)) : bin.ceil().maximum(0);
  const Tensor k = Tensor::arange(most).cast(DType::Float32), o = Tensor::arange(out).cast(DType::Float32);
  const Tensor place = begin.reshape({-1, 1, 1}) + bin * (o.unsqueeze(-1) + (k + 0.5) / count.maximum(1));
  const Tensor used = k < count, is_near = used & (place >= -1) & (place <= double(size));
  const Tensor at = place.clamp(0, double(size - 1)), low = at.floor(), t = at - low;
  return {{low, (low + 1).minimum(double(size - 1)), where(is_near, 1 - t, 0), where(is_near, t, 0)}, used, count};
}

// Rows and columns of samples together are (R, OH, samples, OW, samples).
Tensor as_rows(const Tensor& x) { return x.unsqueeze(-1).unsqueeze(-1); }
Tensor as_columns(const Tensor& x) { return x.unsqueeze(1).unsqueeze(1); }
Neighbours in_place(const Neighbours& n, Tensor (*as)(const Tensor&)) {
  return {as(n.low), as(n.high), as(n.weight_low), as(n.weight_high)};
}

/// The mean of interpolated samples in each bin of regions, or their maximum. He et al., "Mask R-CNN", 2017.
Outputs align_regions(Call& call) {
  const Tensor &x = call.x(), &regions = call.x(1), &image = call.x(2);
  const bool half_pixel =
      call.text("coordinate_transformation_mode", call.opset < 16 ? "" : "half_pixel") == "half_pixel";
  const std::string mode = call.text("mode", "avg");
  if (mode != "avg" && mode != "max") unsupported("the mode \"", mode, '"');
  const int64_t ratio = call.integer("sampling_ratio", 0);
  const Shape out{call.integer("output_height", 1), call.integer("output_width", 1)};
  if (x.rank() != 4 || numel(x.shape()) == 0 || regions.rank() != 2 || regions.size(1) != 4 ||
      image.shape() != Shape{regions.size(0)} || !is_grid(out) || ratio < 0)
    fail("an image of ", x.shape(), ", regions of ", regions.shape(), ", their images of ", image.shape(), ", ", out,
         " bins of ", ratio, " samples; (N, C, H, W), (R, 4) and (R,) wanted");
  const double scale = call.real("spatial_scale", 1), shift = half_pixel ? 0.5 : 0;
  std::vector<double> boxes;
  if (ratio == 0) boxes = call.reals(1);
  std::array<Samples, 2> along;
  Shape shape{regions.size(0), out[0], 0, out[1], 0};
  for (int a = 0; a < 2; ++a) {  // a region is x1, y1, x2, y2
    double widest = 1;
    for (size_t r = 0; r < boxes.size(); r += 4)
      widest = std::max(widest, (boxes[r + size_t(3 - a)] - boxes[r + size_t(1 - a)]) * scale);
    const int64_t most = ratio > 0 ? ratio : int64_t(std::min(std::ceil(widest / double(out[a])), 1e9)) + 1;
    shape[2 + 2 * a] = most;
    check_gathered(call, {regions.size(0), out[a], most}, 1);
    const Tensor begin = regions[{slice(), 1 - a}].cast(DType::Float32) * scale - shift;
    const Tensor extent = regions[{slice(), 3 - a}].cast(DType::Float32) * scale - shift - begin;
    along[size_t(a)] = samples(begin, half_pixel ? extent : extent.maximum(1), x.size(2 + a), out[a], ratio, most);
  }
  check_gathered(call, shape, x.size(1));

  const auto& [y, columns] = along;
  const Tensor all = between(x, image.reshape({-1, 1, 1, 1, 1}), in_place(y.at, as_rows),
                             in_place(columns.at, as_columns), mode == "max");
  const Tensor count = (as_rows(y.count) * as_columns(columns.count)).reshape({-1, 1, 1, 1});
  Tensor bins;  // (R, OH, OW, C)
  if (mode == "avg") bins = all.sum({2, 4}) / count.maximum(1);
  else {
    const Tensor used = (as_rows(y.used) & as_columns(columns.used)).unsqueeze(-1);
    bins = where(count > 0, where(used, all, -INFINITY).max({2, 4}), 0);
  }
  return bins.permute({0, 3, 1, 2}).cast(x.dtype());
}

/// The largest element in each bin of regions (R, 5): image, x1, y1, x2, y2, rounded to elements. Girshick, "Fast
/// R-CNN", 2015. A bin has other elements of its axis again where it has fewer than the widest.
Outputs pool_regions(Call& call) {
  const Tensor &x = call.x(), &regions = call.x(1);
  const Dims out = call.dims("pooled_shape");
  const double scale = call.real("spatial_scale", 1);
  if (x.rank() != 4 || numel(x.shape()) == 0 || regions.rank() != 2 || regions.size(1) != 5 || !is_grid(out))
    fail("an image of ", x.shape(), " and regions of ", regions.shape(), " to ", out, " bins: (N, C, H, W) and (R, 5)");
  const std::vector<double> boxes = call.reals(1);
  const int64_t count = regions.size(0);
  Shape shape{count, out[0], 0, out[1], 0};
  Tensor position = regions[{slice(), 0}].cast(DType::Int64).reshape({-1, 1, 1, 1, 1}), found(true);
  for (int a = 0; a < 2; ++a) {
    const int64_t size = x.size(2 + a);
    std::vector<int64_t> begin, end;  // of each bin
    int64_t most = 1;
    check_gathered(call, {count, out[a]}, 1);
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
    check_gathered(call, {count, out[a], most}, 1);
    const Tensor from = Tensor::from(begin, {count, out[a], 1}), to = Tensor::from(end, {count, out[a], 1});
    const Tensor at = (from + Tensor::arange(most)).minimum(to - 1).clamp(0, size - 1);
    position = position * size + (a == 0 ? as_rows(at) : as_columns(at));
    found = found & (a == 0 ? as_rows(to > from) : as_columns(to > from));
  }
  check_gathered(call, shape, x.size(1));
  const Tensor bins = where(found.unsqueeze(-1), channels_at(x, position), 0).max({2, 4});
  return bins.permute({0, 3, 1, 2});
}

}  // namespace

void add_sampling(Ops& ops) {
  ops["GridSample"] = sample_grid;
  ops["AffineGrid"] = affine_grid;
  ops["DeformConv"] = deformable_convolution;
  ops["RoiAlign"] = align_regions;
  ops["MaxRoiPool"] = pool_regions;
}

}  // namespace teeny::onnx
