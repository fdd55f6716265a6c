// Rearranged and resampled images: pixel_shuffle, unfold and fold, grid_sample.
#include <algorithm>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"

namespace teeny {

Tensor pixel_shuffle(const Tensor& x, int64_t r) {
  if (x.lazy("pixel_shuffle").shape().size() < 3 || r < 1 || r > x.size(-3) || x.size(-3) % r || x.size(-3) / r % r)
    fail("pixel_shuffle: ", x.shape(), " with r = ", r, ": (.., C r^2, H, W)");
  check_rank(x.rank() + 2, "pixel_shuffle", x.shape());
  TEENY_TRACED(pixel_shuffle(x, r), {x}, {{"r", r}});
  const int c = x.rank() - 3;  // (.., C, r, r, H, W) to (.., C, H, r, W, r)
  Dims order = range(0, c + 1);
  for (int64_t a : {3, 1, 4, 2}) order.push_back(c + a);
  return x.unflatten(-3, {x.size(-3) / r / r, r, r}).permute(order).flatten(-2, -1).flatten(-3, -2);
}

Tensor pixel_unshuffle(const Tensor& x, int64_t r) {
  if (x.lazy("pixel_unshuffle").shape().size() < 3 || r < 1 || x.size(-1) % r || x.size(-2) % r)
    fail("pixel_unshuffle: ", x.shape(), " with r = ", r, ": (.., C, H r, W r)");
  check_rank(x.rank() + 2, "pixel_unshuffle", x.shape());
  const int c = x.rank() - 3;  // (.., C, H, r, W, r) to (.., C, r, r, H, W)
  Dims order = range(0, c + 1);
  for (int64_t a : {2, 4, 1, 3}) order.push_back(c + a);
  const Tensor apart = x.unflatten(-1, {x.size(-1) / r, r}).unflatten(-3, {x.size(-2) / r, r});
  return apart.permute(order).flatten(-5, -3);
}

// ---- Windows as columns --------------------------------------------------------------------------------------------

namespace {
/// The windows over an image of two axes, checked.
struct Columns {
  Dims window, dilation, padding, stride, count;
  Columns(const Dims& image, const Sizes& size, const WindowOptions& options, const char* op)
      : window(per_axis(size, 2, op, "window", 1)),
        dilation(per_axis(options.dilation, 2, op, "dilation", 1)),
        padding(per_axis(options.padding, 2, op, "padding", 0)),
        stride(per_axis(options.stride, 2, op, "stride", 1)) {
    for (int a = 0; a < 2; ++a) {
      const int64_t room = image[a] + 2 * padding[a] - dilation[a] * (window[a] - 1) - 1;
      if (room < 0)
        fail(op, ": a window of ", window, ", dilation ", dilation, ", is larger than the padded image ", image,
             ", padding ", padding);
      count.push_back(room / stride[a] + 1);
    }
  }
};
}  // namespace

Tensor unfold(const Tensor& x, const Sizes& window, const WindowOptions& options) {
  if (x.lazy("unfold").shape().size() < 3 || x.rank() > 4)
    fail("unfold: an image of ", x.shape(), "; (N, C, H, W) or (C, H, W)");
  const int c = x.rank() - 3;  // (.., C, OH, OW, KH, KW) to (.., C, KH, KW, OH, OW)
  const Columns columns({x.size(-2), x.size(-1)}, window, options, "unfold");
  const Tensor taps =
      windows(pad_spatial(x, columns.padding, columns.padding), columns.window, columns.stride, columns.dilation);
  Dims order = range(0, c + 1);
  for (int64_t a : {3, 4, 1, 2}) order.push_back(c + a);
  return taps.permute(order).flatten(-2, -1).flatten(-4, -2);
}

Tensor fold(const Tensor& x, const Sizes& size, const Sizes& window, const WindowOptions& options) {
  x.lazy("fold");
  const Dims image = per_axis(size, 2, "fold", "size", 1);
  const Columns columns(image, window, options, "fold");
  const int64_t taps = columns.window[0] * columns.window[1], count = columns.count[0] * columns.count[1];
  if (x.rank() < 2 || x.rank() > 3 || x.size(-2) % taps || x.size(-1) != count)
    fail("fold: columns of ", x.shape(), " for an image of ", image, " and a window of ", columns.window, ": (N, C ",
         taps, ", ", count, ") or (C ", taps, ", ", count, ")");
  Dims sizes = image, inside = columns.padding;
  for (int a = 0; a < 2; ++a) sizes[a] += 2 * columns.padding[a], inside[a] = -columns.padding[a];
  const Tensor apart = x.unflatten(-1, columns.count).unflatten(-3, {-1, columns.window[0], columns.window[1]});
  return pad_spatial(fold(apart, x.rank() - 1, sizes, columns.stride, columns.dilation, true), inside, inside);
}

// ---- Elements at places --------------------------------------------------------------------------------------------

namespace {

/// Inside [0, n - 1], where a place outside has no gradient.
Tensor clipped(const Tensor& i, int64_t n) { return where(i > 0, where(i < n - 1, i, n - 1), 0); }

/// Mirrored at `low` and `low + span` until it lies between them.
Tensor reflected(const Tensor& i, double low, double span) {
  if (span == 0) return i * 0;
  const Tensor from = where(i < low, low - i, i - low), turns = (from / span).floor(),
               rest = from - turns.detach() * span;
  return where(turns % 2 == 0, rest, span - rest) + low;
}

/// Positions along an axis of n, those outside where the padding has them.
Tensor padded_position(const Tensor& i, int64_t n, const GridSampleOptions& options) {
  if (options.padding == GridPadding::Zeros) return i;
  if (options.padding == GridPadding::Border) return clipped(i, n);
  return clipped(options.align_corners ? reflected(i, 0, double(n - 1)) : reflected(i, -0.5, double(n)), n);
}

/// An element near a place, by its position along one axis, and what it weighs there.
struct Tap {
  Tensor at, weight;
};
/// Those of a coordinate of the grid, -1 to 1, along an axis of n. A cubic one pads each element, the others the place.
std::vector<Tap> taps_along(const Tensor& at, int64_t n, const GridSampleOptions& options) {
  const Tensor i = options.align_corners ? (at + 1) * (double(n - 1) / 2) : ((at + 1) * double(n) - 1) / 2;
  std::vector<Tap> taps;
  if (options.mode == Interpolation::Cubic) {
    const Tensor left = i.detach().floor();
    const auto weights = cubic_weights(i - left);
    for (int k = 0; k < 4; ++k) taps.push_back({padded_position(left + (k - 1), n, options), weights[size_t(k)]});
    return taps;
  }
  const Tensor place = padded_position(i, n, options);
  if (options.mode == Interpolation::Nearest) {
    const Tensor nearest = place.detach().round();
    return {{nearest, 1 - (place.round() - nearest)}};  // 1, with the history of the grid, whose gradient is 0
  }
  const Tensor left = place.detach().floor(), t = place - left;
  return {{left, 1 - t}, {left + 1, t}};
}

}  // namespace

/// Each element near a place weighs the product of what it weighs along every axis.
Tensor grid_sample(const Tensor& image, const Tensor& grid, const GridSampleOptions& options) {
  const int n = image.lazy("grid_sample").shape().size() - 2;
  if (grid.lazy("grid_sample");
      n < 2 || n > 3 || grid.rank() != n + 2 || grid.size(0) != image.size(0) || grid.size(-1) != n)
    fail("grid_sample: an image of ", image.shape(), " and a grid of ", grid.shape(),
         ": (N, C, H, W) and (N, OH, OW, 2), or (N, C, D, H, W) and (N, OD, OH, OW, 3)");
  if (options.mode == Interpolation::NearestExact) fail("grid_sample: the mode is Linear, Nearest or Cubic");
  if (options.mode == Interpolation::Cubic && n != 2)
    fail("grid_sample: cubic needs an image (N, C, H, W), not ", image.shape());
  const Dims sizes(image.shape().begin() + 2, image.shape().end());
  if (sizes.contains(0)) fail("grid_sample: an axis of ", image.shape(), " is empty");
  refuse_non_floats(image, "grid_sample");
  refuse_non_floats(grid, "grid_sample");
  TEENY_TRACED(grid_sample(image, grid, options), {image, grid},
               {{"mode", int(options.mode)}, {"padding", int(options.padding)}, {"corners", options.align_corners}});
  const DType common = promote(promote(image.dtype(), grid.dtype()), DType::Float32);
  const Tensor x = image.cast(common).flatten(2), places = grid.cast(common).flatten(1, -2);  // (N, C, S), (N, P, n)

  std::vector<std::vector<Tap>> taps;  // along each axis of the image: the last of the grid's coordinates is the first
  for (int a = 0; a < n; ++a) taps.push_back(taps_along(places[{ellipsis, n - 1 - a}], sizes[a], options));
  const size_t each = taps[0].size(), all_taps = n == 2 ? each * each : each * each * each;
  Tensor out;
  for (size_t i = 0; i < all_taps; ++i) {
    size_t rest = i;
    Tensor index(0), inside(true), weight;
    for (int a = 0; a < n; ++a, rest /= each) {
      const auto& [at, part] = taps[size_t(a)][rest % each];
      const Tensor there = (at >= 0) & (at < sizes[a]);
      index = index * sizes[a] + where(there, at, 0).cast(DType::Int64);
      inside = inside & there;
      weight = weight.defined() ? weight * part : part;
    }
    const Tensor all = index.unsqueeze(1).expand({x.size(0), x.size(1), index.size(1)});
    const Tensor value = gathered(x, 2, all, "grid_sample") * weight.unsqueeze(1);
    const Tensor share = where(inside.unsqueeze(1), value, 0);
    out = out.defined() ? out + share : share;
  }
  Shape to = image.shape();
  for (int a = 0; a < n; ++a) to[2 + a] = grid.size(1 + a);
  return out.reshape(to).cast(promote(image.dtype(), grid.dtype()));
}

}  // namespace teeny
