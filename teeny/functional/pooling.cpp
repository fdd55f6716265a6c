// Pooling: a reduction over windows.
#include <algorithm>
#include <limits>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"

namespace teeny {

namespace {

/// Where the windows of a pooling lie, checked.
struct Pool {
  Dims window, stride, padding, dilation;
  Dims padding_after;  ///< at the end
  Dims padding_end;    ///< the same with what the last window reaches beyond it
  bool hangs_over = false;

  Pool(const Tensor& x, const Sizes& size, const PoolOptions& options, int n, const char* op)
      : window(per_axis(size, n, op, "window", 1)),
        stride(options.stride ? per_axis(*options.stride, n, op, "stride", 1) : window),
        padding(per_axis(options.padding, n, op, "padding", 0)),
        dilation(per_axis(options.dilation, n, op, "dilation", 1)),
        padding_after(options.padding_end ? per_axis(*options.padding_end, n, op, "padding_end", 0) : padding),
        padding_end(padding_after) {
    if (x.rank() != n + 1 && x.rank() != n + 2)
      fail(op, ": an input of ", x.shape(), " must have ", n, " spatial axes behind (N, C) or (C)");
    for (int a = 0; a < n; ++a) {
      if (2 * std::max(padding[a], padding_after[a]) > window[a])
        fail(op, ": padding ", padding, " and ", padding_after, " is more than half the window ", window);
      const int64_t input = x.size(a - n), reach = dilation[a] * (window[a] - 1) + 1;
      const int64_t padded = input + padding[a] + padding_after[a];
      const int64_t room = padded - reach + (options.ceil_mode ? stride[a] - 1 : 0);
      if (input == 0 || room < 0)
        fail(op, ": a window of ", window, ", dilation ", dilation, ", is larger than ", x.shape(), ", padding ",
             padding, " and ", padding_after);
      // A window must begin inside the input or the padding before it.
      const int64_t last = std::min(room / stride[a], (input + padding[a] - 1) / stride[a]) * stride[a];
      const int64_t over = last + reach - padded;
      padding_end[a] += std::max<int64_t>(over, 0);
      hangs_over |= over > 0;
    }
  }

  /// As a trace keeps it.
  Attributes attributes(const PoolOptions& options) const {
    return {{"window", window},     {"stride", stride},        {"padding", padding}, {"padding_end", padding_after},
            {"dilation", dilation}, {"hangs_over", hangs_over}, {"ceil_mode", options.ceil_mode},
            {"include_pad", options.count_include_pad}};
  }

  /// Whether taps may lie on both sides of the image, and none in it.
  bool gaps_over_image(const Tensor& x) const {
    bool result = false;
    for (int a = 0; a < window.size(); ++a)
      result |= padding_end[a] > 0 && dilation[a] > x.size(a - window.size());
    return result;
  }
  bool pads() const { return padding_end != Dims::filled(window.size(), 0); }  ///< never less than the padding before
  /// Padded along one axis. A buffer of its own where elements have many taps, or a row only few: each tap would ask
  /// again whether it lies in the image.
  Tensor padded(const Tensor& x, int a, Scalar beyond) const {
    if (padding[a] == 0 && padding_end[a] == 0) return x;
    Dims before = Dims::filled(window.size(), 0), after = before;
    before[a] = padding[a], after[a] = padding_end[a];
    const Tensor result = pad_spatial(x, before, after, beyond);
    return a + 1 == window.size() || window[a] >= 3 * stride[a] ? result.contiguous() : result;
  }
};

/// What no value is below.
Scalar lowest(DType dtype) {
  return with_type(dtype, [](auto zero) -> Scalar {
    if constexpr (std::integral<decltype(zero)>) return std::numeric_limits<decltype(zero)>::lowest();
    else return -std::numeric_limits<double>::infinity();
  });
}

/// The maximum of a window is the maximum of its columns' maxima: one axis after the other, the first one first, as rows
/// lie in memory in one piece; and what is left of them is less to take the last axis' scattered taps of. Small windows
/// that overlap are one reduction: a backend that finds them in it reads the elements once for all of them.
///
/// The gradient goes to one element of each window, as in PyTorch, which walks a window and keeps what is larger than
/// all before, or NaN: the first of equals, of NaNs the last. It begins with the first element of the input, which is
/// not padding even if all are -inf.
struct MaxPool : Function {
  static constexpr int64_t kFew = 8, kSmall = 12;
  Pool pool;
  explicit MaxPool(Pool pool) : pool(std::move(pool)) {}

  LazyBuffer forward(const LazyBuffer& x) {
    const NoGrad guard;
    Tensor y(x);
    const bool floats = x.dtype() == DType::Float32 || x.dtype() == DType::Float64;
    if (floats && overlap() && numel(pool.window) <= kSmall) {
      y = pad_spatial(y, pool.padding, pool.padding_end, lowest(x.dtype()));
      y = windows(y, pool.window, pool.stride, pool.dilation);
      return y.max(range(y.rank() - axes(), y.rank())).lazy();
    }
    for (int a = 0; a < axes(); ++a) y = largest(windows_along(pool.padded(y, a, lowest(x.dtype())), a));
    return y.lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Tensor& x = inputs[0];
    if (in_pairs()) return {of_pairs(x, grad)};
    const Shape flat = x.flatten(-axes()).shape();
    Tensor index = positions(x.detach()).flatten(-axes()), g = grad.flatten(-axes());
    if (pool.gaps_over_image(x)) {  // a window may hold padding alone, and has no gradient then
      const Tensor inside = index < flat.back();
      index = where(inside, index, 0), g = where(inside, g, 0);
    }
    return {scatter_sum(flat, flat.size() - 1, index, g, "max_pool").reshape(x.shape())};
  }

  /// Where in its flat image the element of each window is.
  Tensor positions(const Tensor& x) const {
    const Shape image(x.shape().end() - axes(), x.shape().end());
    const int64_t nowhere = numel(image);  // of padding: behind all others
    const DType dtype = nowhere < std::numeric_limits<int32_t>::max() ? DType::Int32 : DType::Int64;
    const Tensor numbers = Tensor::arange(nowhere).cast(dtype).reshape(image);
    Largest all{x, numbers};
    for (int a = 0; a < axes(); ++a) {
      const Tensor value = pool.padded(all.value, a, lowest(x.dtype()));
      const Tensor taps = windows_along(pool.pads() ? value.contiguous() : value, a);
      const Tensor positions = windows_along(pool.padded(all.position, a, nowhere).contiguous(), a);
      all = pool.window[a] <= kFew / 2 ? walked(taps, positions, a == 0) : reduced(taps, positions, nowhere);
    }
    return all.position.expand(all.value.shape());  // windows of one element have met no image yet
  }

 private:
  int axes() const { return pool.window.size(); }
  bool overlap() const {
    bool result = false;
    for (int a = 0; a < axes(); ++a) result |= pool.stride[a] < pool.window[a];
    return result;
  }
  Tensor windows_along(const Tensor& x, int a) const {
    return x.unfold(a - axes(), pool.window[a], pool.stride[a], pool.dilation[a]);
  }

  /// Few taps are taken apart: each is a strided view, and what is left is plain arithmetic on long rows of windows.
  static Tensor largest(const Tensor& taps) {
    if (taps.size(-1) > kFew) return taps.max(-1);
    Tensor result = taps[{ellipsis, 0}];
    for (int64_t i = 1; i < taps.size(-1); ++i) result = result.maximum(taps[{ellipsis, i}]);
    return result;
  }

  /// The largest element of each window along an axis, and its position in the flat image.
  struct Largest {
    Tensor value, position;
  };

  /// Windows of at most two elements of an axis, side by side, are the commonest, and each element has only one.
  bool in_pairs() const {
    bool result = !pool.pads();
    for (int a = 0; a < axes(); ++a) result &= pool.window[a] <= 2 && pool.stride[a] == pool.window[a];
    return result && pool.dilation == Dims::filled(axes(), 1);
  }
  /// An element has its window's gradient, or none:
  ///
  ///   x     a b | c d | e f            x[0::2]  a c e    \   maximum   m n o
  ///                                    x[1::2]  b d f    /
  ///   dx    g 0 | 0 h | i 0            where the second is larger, or NaN: 0 h 0 there, and g 0 i for the first
  Tensor of_pairs(const Tensor& x, Tensor grad) const {
    std::vector<Tensor> images{x.detach()};  // the last axis is the first to go
    for (int a = axes() - 1; a > 0; --a) images.push_back(largest(windows_along(images.back(), a)));
    for (int a = 0; a < axes(); ++a, images.pop_back()) {
      const Tensor& image = images.back();
      const int axis = image.rank() - axes() + a;
      if (pool.window[a] == 1) continue;
      const Tensor taps = windows_along(image, a), first = taps[{ellipsis, 0}], second = taps[{ellipsis, 1}];
      const Tensor beats = (second > first) | second.isnan();
      grad = Tensor::stack({where(beats, 0, grad), where(beats, grad, 0)}, axis + 1).flatten(axis, axis + 1);
      Dims none = Dims::filled(image.rank(), 0), rest = none;
      rest[axis] = image.size(axis) - grad.size(axis);
      grad = grad.pad(none, rest);
    }
    return grad;
  }

  /// Few taps are walked. `in_order`: positions grow from tap to tap. That of padding, which may be the largest so far,
  /// stands behind all others.
  Largest walked(const Tensor& taps, const Tensor& positions, bool in_order) const {
    Largest best{taps[{ellipsis, 0}], positions[{ellipsis, 0}]};
    for (int64_t i = 1; i < taps.size(-1); ++i) {
      const Tensor tap = taps[{ellipsis, i}], position = positions[{ellipsis, i}];
      const Tensor earlier = position < best.position, nan = tap.isnan();
      Tensor beats = tap > best.value;
      if (in_order) beats = pool.pads() ? beats | nan | earlier : beats | nan;
      else beats = beats | (earlier & (tap == best.value)) | (nan & !(earlier & best.value.isnan()));
      best = {where(beats, tap, best.value), where(beats, position, best.position)};
    }
    return best;
  }
  /// Of many, the smallest position of those that hold the largest value; a NaN's is counted from the end, and before
  /// all others.
  static Largest reduced(const Tensor& taps, const Tensor& positions, int64_t nowhere) {
    const Tensor largest = taps.max(-1);
    const Tensor chosen = where(taps == largest.unsqueeze(-1), positions, nowhere);
    const Tensor rank = where(taps == taps, chosen, -1 - positions).min(-1);
    return {largest, where(rank < 0, -1 - rank, rank)};
  }
};

Tensor max_pool(const Tensor& x, const Sizes& window, const PoolOptions& options, int n, const char* op) {
  if (x.lazy(op).dtype() == DType::Bool) fail(op, ": not defined on bools");
  const Pool pool(x, window, options, n, op);
  TEENY_TRACED(max_pool(x, window, options, n, op), {x}, pool.attributes(options));
  return apply(MaxPool(pool), x);
}

/// The sum of each window along one axis. Element i = q * stride + r lies in windows q, q - 1, .., as many as begin less
/// than a window before it: one more where r is small.
///
///   window 5, stride 2    window 0  x x x x x           windows of element  0  1  2    3    4      5    6      ..
///                                1      x x x x x                           0  0  0 1  0 1  0 1 2  1 2  1 2 3
///
/// So the gradient is made of sums of neighbours, again: `most` of them, or one less. Nothing is multiplied: an infinity
/// stays with the elements that its window has.
struct WindowSum : Function {
  static constexpr int64_t kFew = 2;
  int axis;
  int64_t window, stride;
  WindowSum(int axis, int64_t window, int64_t stride) : axis(axis), window(window), stride(stride) {}
  LazyBuffer forward(const LazyBuffer& x) {
    const NoGrad guard;
    return Tensor(x).unfold(axis, window, stride).sum(-1).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const Shape& x = inputs[0].shape();
    const int64_t steps = (x[axis] + stride - 1) / stride, most = (window + stride - 1) / stride;
    const int64_t with_most = window - (most - 1) * stride;  // of the `stride` elements of a step
    const auto moved = [&](int64_t by, int64_t size) {       // window q at q + by, of `size`
      Dims before = Dims::filled(x.size(), 0), after = before;
      before[axis] = by, after[axis] = size - grad.size(axis) - by;
      return grad.pad(before, after);
    };
    const auto neighbours = [&](int64_t n) {
      if (n > kFew) return apply(WindowSum(axis, n, 1), moved(n - 1, steps + n - 1)).unsqueeze(axis + 1);
      Tensor sum = moved(0, steps);
      for (int64_t by = 1; by < n; ++by) sum = sum + moved(by, steps);
      return sum.unsqueeze(axis + 1);
    };
    Shape each = x;
    each[axis] = steps, each.insert(axis + 1, stride);
    Tensor dx;
    if (with_most == stride) dx = neighbours(most);
    else {
      const Tensor r = reshape_to_axis(Tensor::arange(stride), axis + 1, each.size());
      const Tensor last = where(r < with_most, moved(most - 1, steps).unsqueeze(axis + 1), 0);
      dx = most == 1 ? last : neighbours(most - 1) + last;
    }
    return {dx.expand(each).flatten(axis, axis + 1).shrink(Dims::filled(x.size(), 0), x)};
  }
};

Tensor avg_pool(const Tensor& x, const Sizes& window, const PoolOptions& options, int n, const char* op) {
  if (!is_float(x.lazy(op).dtype())) fail(op, ": needs floats, not ", x.dtype());
  const Pool pool(x, window, options, n, op);
  if (pool.dilation != Dims::filled(n, 1)) fail(op, ": dilation ", pool.dilation, " must be 1; only max_pool has one");
  TEENY_TRACED(avg_pool(x, window, options, n, op), {x}, pool.attributes(options));
  Tensor sums = to_accumulate_dtype(x);
  for (int a = 0; a < n; ++a) {
    const int axis = x.rank() - n + a;
    if (pool.window[a] == 1 && pool.stride[a] == 1) continue;
    sums = apply(WindowSum(axis, pool.window[a], std::min(pool.stride[a], x.size(axis))), pool.padded(sums, a, 0));
  }
  const bool padded = pool.padding != Dims::filled(n, 0) || pool.padding_after != Dims::filled(n, 0);
  if (!pool.hangs_over && (options.count_include_pad || !padded))
    return (sums / double(numel(pool.window))).cast(x.dtype());
  // Windows differ in how many elements they have: count them by pooling ones. What hangs over never counts.
  Pool rest = pool;
  Shape counted;
  for (int a = 0; a < n; ++a) {
    const int64_t before = options.count_include_pad ? pool.padding[a] : 0;
    const int64_t after = options.count_include_pad ? pool.padding_after[a] : 0;
    counted.push_back(x.size(a - n) + before + after);
    rest.padding[a] -= before;
    rest.padding_end[a] -= after;
  }
  const Tensor ones = pad_spatial(Tensor::ones(counted, sums.dtype()), rest.padding, rest.padding_end);
  const Tensor counts = windows(ones, rest.window, rest.stride, rest.dilation).sum(range(n, 2 * n));
  return (sums / counts).cast(x.dtype());
}

}  // namespace

namespace {
ValuesIndices max_pool_with_indices(const Tensor& x, const Sizes& window, const PoolOptions& options, int n,
                                    const char* op) {
  x.lazy(op);
  const Pool pool(x, window, options, n, op);
  TEENY_TRACED(max_pool_with_indices(x, window, options, n, op), {x}, pool.attributes(options), &ValuesIndices::values,
               &ValuesIndices::indices);
  return {max_pool(x, window, options, n, op), MaxPool(pool).positions(x.detach()).cast(DType::Int64)};
}

Tensor max_unpool(const Tensor& x, const Tensor& indices, const Sizes& size, const UnpoolOptions& options, int n,
                  const char* op) {
  if (x.lazy(op).shape().size() != n + 1 && x.rank() != n + 2)
    fail(op, ": an input of ", x.shape(), " must have ", n, " spatial axes behind (N, C) or (C)");
  if (indices.lazy(op).shape() != x.shape()) fail(op, ": indices of ", indices.shape(), " for elements of ", x.shape());
  const Dims window = per_axis(size, n, op, "window", 1), padding = per_axis(options.padding, n, op, "padding", 0);
  const Dims stride = options.stride ? per_axis(*options.stride, n, op, "stride", 1) : window;
  Dims smallest;
  for (int a = 0; a < n; ++a) {
    if (x.size(a - n) > std::numeric_limits<int32_t>::max()) fail(op, ": an axis of ", x.shape(), " is too long");
    smallest.push_back((x.size(a - n) - 1) * stride[a] - 2 * padding[a] + window[a]);
  }
  const Dims image = options.output_size ? per_axis(*options.output_size, n, op, "output_size", 1) : smallest;
  for (int a = 0; a < n; ++a)
    if (image[a] <= smallest[a] - stride[a] || image[a] >= smallest[a] + stride[a] || image[a] < 1)
      fail(op, ": an output_size of ", image, " is not pooled to ", x.shape(), " by windows of ", window, ", stride ",
           stride, ", padding ", padding, ": it is near ", smallest);
  Shape to(x.shape().begin(), x.shape().end() - n), flat = to;
  for (int64_t s : image) to.push_back(s);
  check_shape(to, op);
  flat.push_back(numel(image));
  const Tensor zeros = Tensor::zeros(flat, x.dtype());
  return overwritten(zeros, flat.size() - 1, indices.flatten(-n), x.flatten(-n), {op, indices.shape()}).reshape(to);
}
}  // namespace

ValuesIndices max_pool1d_with_indices(const Tensor& x, const Sizes& window, const PoolOptions& options) {
  return max_pool_with_indices(x, window, options, 1, "max_pool1d_with_indices");
}
ValuesIndices max_pool2d_with_indices(const Tensor& x, const Sizes& window, const PoolOptions& options) {
  return max_pool_with_indices(x, window, options, 2, "max_pool2d_with_indices");
}
ValuesIndices max_pool3d_with_indices(const Tensor& x, const Sizes& window, const PoolOptions& options) {
  return max_pool_with_indices(x, window, options, 3, "max_pool3d_with_indices");
}
Tensor max_unpool1d(const Tensor& x, const Tensor& indices, const Sizes& window, const UnpoolOptions& options) {
  return max_unpool(x, indices, window, options, 1, "max_unpool1d");
}
Tensor max_unpool2d(const Tensor& x, const Tensor& indices, const Sizes& window, const UnpoolOptions& options) {
  return max_unpool(x, indices, window, options, 2, "max_unpool2d");
}
Tensor max_unpool3d(const Tensor& x, const Tensor& indices, const Sizes& window, const UnpoolOptions& options) {
  return max_unpool(x, indices, window, options, 3, "max_unpool3d");
}

Tensor Tensor::max_pool1d(const Sizes& window, const PoolOptions& options) const {
  return max_pool(*this, window, options, 1, "max_pool1d");
}
Tensor Tensor::max_pool2d(const Sizes& window, const PoolOptions& options) const {
  return max_pool(*this, window, options, 2, "max_pool2d");
}
Tensor Tensor::max_pool3d(const Sizes& window, const PoolOptions& options) const {
  return max_pool(*this, window, options, 3, "max_pool3d");
}
Tensor Tensor::avg_pool1d(const Sizes& window, const PoolOptions& options) const {
  return avg_pool(*this, window, options, 1, "avg_pool1d");
}
Tensor Tensor::avg_pool2d(const Sizes& window, const PoolOptions& options) const {
  return avg_pool(*this, window, options, 2, "avg_pool2d");
}
Tensor Tensor::avg_pool3d(const Sizes& window, const PoolOptions& options) const {
  return avg_pool(*this, window, options, 3, "avg_pool3d");
}

namespace {
/// The mean of each of `out` windows along the last axis. They may overlap, and their sizes differ by one.
Tensor adaptive_mean(const Tensor& x, int64_t out) {
  if (out == 0) return x[{ellipsis, slice(0, 0)}];
  const int64_t n = x.size(-1), widest = (n + out - 1) / out + 1;
  if (n % out == 0) return x.unflatten(-1, {out, n / out}).mean(-1);  // side by side: a view
  const Tensor i = Tensor::arange(out), begin = floor_divide(i * n, out);
  const Tensor end = floor_divide((i + 1) * n + out - 1, out);
  const Tensor at = begin.unsqueeze(-1) + Tensor::arange(widest);
  const Tensor all = selected(x, x.rank() - 1, at.minimum(n - 1).flatten(), "adaptive_avg_pool2d");
  const Tensor picked = all.unflatten(-1, {out, widest});
  return where(at < end.unsqueeze(-1), picked, 0).sum(-1) / (end - begin);
}
}  // namespace

Tensor Tensor::adaptive_avg_pool2d(const Sizes& sizes) const {
  const Dims out = per_axis(sizes, 2, "adaptive_avg_pool2d", "size", 0);
  if (lazy("adaptive_avg_pool2d").shape().size() < 3 || rank() > 4 || shape()[rank() - 2] == 0 ||
      shape()[rank() - 1] == 0)
    fail("adaptive_avg_pool2d: an image of ", shape(), "; (N, C, H, W) or (C, H, W)");
  refuse_non_floats(*this, "adaptive_avg_pool2d");
  const bool even = out[0] && out[1] && size(-2) % out[0] == 0 && size(-1) % out[1] == 0;
  if (even) TEENY_TRACED(adaptive_avg_pool2d(sizes), {*this}, {{"size", out}});
  const Tensor x = cast(promote(dtype(), DType::Float32));
  return adaptive_mean(adaptive_mean(x, out[1]).transpose(), out[0]).transpose().cast(dtype());
}

}  // namespace teeny
