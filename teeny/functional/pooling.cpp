// Pooling: a reduction over windows.
#include <algorithm>
#include <limits>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"

namespace teeny {

/// The windows along one axis, and which axis their taps are. Where they lie side by side, it is split; else they
/// slide.
static std::pair<Tensor, int> windows_along(const Tensor& x, int axis, int64_t size, int64_t step, int64_t dilation) {
  if (step != size || dilation != 1) return {x.unfold(axis, size, step, dilation), x.rank()};
  Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
  end[axis] = x.size(axis) / size * size;
  return {x.shrink(begin, end).unflatten(axis, {-1, size}), axis + 1};
}

/// The maximum over windows along one axis. The gradient goes to the first of equals, and with NaNs to the last
/// of them: PyTorch walks a window and keeps what is larger than all before, or NaN. It begins with the first element
/// of the input, which is not padding even if all are -inf: `real` says which those are; undefined if all.
///
/// Few taps are taken apart: each is a strided view, and what is left is plain arithmetic on long rows of windows.
///
///   x     a b | c d | e f            tap 0   a c e    \   maximum   m n o
///                                    tap 1   b d f    /
///   dx    g 0 | 0 h | i 0            part 0  g 0 i    =   the gradient where tap 0 was it
///                                    part 1  0 h 0
///
/// Where windows overlap, the gradient is added to the place that was it, as far as that is from the window's
/// beginning.
struct FirstMax : Function {
  static constexpr int64_t kFew = 8, kSome = 16;
  int axis;
  int64_t size, step, dilation;
  Tensor real;
  FirstMax(int axis, int64_t size, int64_t step, int64_t dilation, Tensor real)
      : axis(axis), size(size), step(step), dilation(dilation), real(std::move(real)) {}

  LazyBuffer forward(const LazyBuffer& x) {
    const NoGrad guard;
    const auto [all, at] = windows_of(Tensor(x));
    if (size > kFew) return all.max(at).lazy();
    Tensor largest = tap(all, at, 0);
    for (int64_t i = 1; i < size; ++i) largest = largest.maximum(tap(all, at, i));
    return largest.lazy();
  }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const Tensor image = inputs[0];
    const auto [x, at] = windows_of(image);
    const Tensor inside = real.defined() ? windows_of(real).first : Tensor();
    if (step == size && dilation == 1 && size <= kFew) {
      const Tensor side_by_side = Tensor::stack(parts(x, at, inside, grad), at).flatten(axis, axis + 1);
      Dims none = Dims::filled(image.rank(), 0), rest = none;
      rest[axis] = image.size(axis) - side_by_side.size(axis);
      return {side_by_side.pad(none, rest)};
    }
    const Tensor tap = size <= kSome ? which(x, at, inside) : which_by_rank(x, at, inside, out);
    const Tensor begin = reshape_to_axis(Tensor::arange(x.size(axis)) * step, axis, image.rank());
    return {Tensor::zeros(image.shape(), grad.dtype()).scatter_add(axis, begin + tap * dilation, grad)};
  }

 private:
  std::pair<Tensor, int> windows_of(const Tensor& x) const { return windows_along(x, axis, size, step, dilation); }

  static Tensor tap(const Tensor& x, int at, int64_t i) {
    Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
    begin[at] = i, end[at] = i + 1;
    return x.shrink(begin, end).squeeze(at);
  }

  /// For each tap but the first, whether it beats all before it.
  std::vector<Tensor> beats(const Tensor& x, int at, const Tensor& inside) const {
    std::vector<Tensor> result;
    Tensor largest = tap(x, at, 0), seen = inside.defined() ? tap(inside, at, 0) : Tensor();
    for (int64_t i = 1; i < size; ++i) {
      const Tensor t = tap(x, at, i);
      result.push_back((t > largest) | t.isnan());
      largest = largest.maximum(t);
      if (!inside.defined()) continue;
      result.back() = result.back() | (seen.logical_not() & tap(inside, at, i));
      seen = seen | tap(inside, at, i);
    }
    return result;
  }

  /// A tap is the window's if it beats all before it, and none after it beats that.
  std::vector<Tensor> parts(const Tensor& x, int at, const Tensor& inside, const Tensor& grad) const {
    const std::vector<Tensor> beat = beats(x, at, inside);
    std::vector<Tensor> result;
    for (int64_t i = 0; i < size; ++i) {
      Tensor part = grad;
      for (int64_t later = size - 1; later > i; --later) part = where(beat[size_t(later) - 1], 0, part);
      result.push_back(i == 0 ? part : where(beat[size_t(i) - 1], part, 0));
    }
    return result;
  }

  /// The number of the tap that is the window's.
  Tensor which(const Tensor& x, int at, const Tensor& inside) const {
    Tensor result = Tensor::zeros(tap(x, at, 0).shape(), DType::Int32);
    const std::vector<Tensor> beat = beats(x, at, inside);
    for (int64_t i = 1; i < size; ++i) result = where(beat[size_t(i) - 1], i, result);
    return result.cast(DType::Int64);
  }

  /// The same, of many taps: the smallest number of those that are the largest; of NaNs the largest.
  Tensor which_by_rank(const Tensor& x, int at, const Tensor& inside, const Tensor& out) const {
    const Tensor number = reshape_to_axis(Tensor::arange(size), at, x.rank()), largest = out.unsqueeze(at);
    const Tensor equal = inside.defined() ? (x == largest) & inside : x == largest;
    const Tensor rank = where(x == x, where(equal, number, Scalar(size)), -number - 1).min(at);
    return where(rank < 0, -rank - 1, rank);
  }
};

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

  Tensor windows_of(const Tensor& x, Scalar beyond) const {
    return windows(pad_spatial(x, padding, padding_end, beyond), window, stride, dilation);
  }
};

/// What no value is below.
Scalar lowest(DType dtype) {
  return with_type(dtype, [](auto zero) -> Scalar {
    if constexpr (std::integral<decltype(zero)>) return std::numeric_limits<decltype(zero)>::lowest();
    else return -std::numeric_limits<double>::infinity();
  });
}

/// The maximum of a window is the maximum of its rows' maxima: one axis after the other, the last one first, so that of
/// equals the first one in row-major order wins.
Tensor max_pool(const Tensor& x, const Sizes& window, const PoolOptions& options, int n, const char* op) {
  if (x.lazy(op).dtype() == DType::Bool) fail(op, ": not defined on bools");
  const Pool pool(x, window, options, n, op);
  const bool padded = pool.padding_end != Dims::filled(n, 0);  // which is never less than the padding before
  Tensor y = pad_spatial(x, pool.padding, pool.padding_end, lowest(x.dtype())), real;
  if (padded) {  // the same for all images and channels
    Shape image = Dims::filled(x.rank() - n, 1);
    for (int a = x.rank() - n; a < x.rank(); ++a) image.push_back(x.size(a));
    real = pad_spatial(Tensor::full(image, true), pool.padding, pool.padding_end, false);
  }
  for (int a = n - 1; a >= 0; --a) {
    const int axis = x.rank() - n + a;
    y = apply(FirstMax(axis, pool.window[a], pool.stride[a], pool.dilation[a], real), y);
    if (!padded) continue;
    const auto [inside, at] = windows_along(real, axis, pool.window[a], pool.stride[a], pool.dilation[a]);
    real = inside.any(at);
  }
  return y;
}

Tensor avg_pool(const Tensor& x, const Sizes& window, const PoolOptions& options, int n, const char* op) {
  if (!is_float(x.lazy(op).dtype())) fail(op, ": needs floats, not ", x.dtype());
  const Pool pool(x, window, options, n, op);
  if (pool.dilation != Dims::filled(n, 1)) fail(op, ": dilation ", pool.dilation, " must be 1; only max_pool has one");
  const Tensor taps = pool.windows_of(x, 0);
  const Dims inside = range(x.rank(), x.rank() + n);
  const bool padded = pool.padding != Dims::filled(n, 0) || pool.padding_after != Dims::filled(n, 0);
  if (!pool.hangs_over && (options.count_include_pad || !padded)) return taps.mean(inside);
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
  const Tensor ones = to_accumulate_dtype(Tensor::ones(counted, x.dtype()));
  return (to_accumulate_dtype(taps).sum(inside) / rest.windows_of(ones, 0).sum(range(n, 2 * n))).cast(x.dtype());
}

}  // namespace

namespace {
/// What PyTorch's walk over a window ends with: the first of equals, of NaNs the last.
ValuesIndices max_pool_with_indices(const Tensor& x, const Sizes& window, const PoolOptions& options, int n,
                                    const char* op) {
  const Tensor values = max_pool(x, window, options, n, op);
  const Pool pool(x, window, options, n, op);
  const Shape image(x.shape().end() - n, x.shape().end());
  const Tensor number = Tensor::arange(numel(image)).reshape(image);
  const Tensor position = windows(pad_spatial(number, pool.padding, pool.padding_end, -1), pool.window, pool.stride,
                                  pool.dilation);  // -1: of the padding
  const Tensor taps = pool.windows_of(x.detach(), lowest(x.dtype()));
  Tensor largest = values.detach();
  for (int a = 0; a < n; ++a) largest = largest.unsqueeze(-1);
  const Dims inside = range(x.rank(), x.rank() + n);
  const Tensor first = where((taps == largest) & (position >= 0), position, Scalar(numel(image))).min(inside);
  return {values, where(values.isnan(), where(taps.isnan(), position, -1).max(inside), first)};
}

Tensor max_unpool(const Tensor& x, const Tensor& indices, const Sizes& size, const UnpoolOptions& options, int n,
                  const char* op) {
  if (x.rank() != n + 1 && x.rank() != n + 2)
    fail(op, ": an input of ", x.shape(), " must have ", n, " spatial axes behind (N, C) or (C)");
  if (indices.shape() != x.shape()) fail(op, ": indices of ", indices.shape(), " for elements of ", x.shape());
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

Tensor Tensor::adaptive_avg_pool2d(const Sizes& size) const {
  const Dims out = per_axis(size, 2, "adaptive_avg_pool2d", "size", 1);
  if (rank() < 3 || rank() > 4 || shape()[rank() - 2] == 0 || shape()[rank() - 1] == 0)
    fail("adaptive_avg_pool2d: an image of ", shape(), "; (N, C, H, W) or (C, H, W)");
  refuse_non_floats(*this, "adaptive_avg_pool2d");
  const Tensor x = cast(promote(dtype(), DType::Float32));
  return adaptive_mean(adaptive_mean(x, out[1]).transpose(), out[0]).transpose().cast(dtype());
}

}  // namespace teeny
