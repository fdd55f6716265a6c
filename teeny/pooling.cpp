// Pooling: a reduction over windows.
#include <algorithm>
#include <limits>

#include "teeny/mlops.h"
#include "teeny/windows.h"

namespace teeny {

/// The maximum over the last `axes` axes. The gradient goes to the first of equals, and with NaNs to the last of them:
/// PyTorch walks a window and keeps what is larger than all before, or NaN. It begins with the first number of the input,
/// which is not padding even if all are -inf: `real` says which those are, undefined if all.
struct FirstMax : Function {
  int axes;
  Tensor real;
  FirstMax(int axes, Tensor real) : axes(axes), real(std::move(real)) {}
  LazyBuffer forward(const LazyBuffer& x) {
    return x.reduce(ReduceOp::Max, range(x.shape().size() - axes, x.shape().size()));
  }
  Grads backward(const Tensor& grad, const Tensor& out) override {
    const Tensor x = inputs[0];
    const Shape taps(x.shape().end() - axes, x.shape().end());
    const int64_t count = teeny::numel(taps);
    const bool few = count <= std::numeric_limits<int32_t>::max();
    const Tensor number = Tensor::arange(count).cast(few ? DType::Int32 : DType::Int64).reshape(taps);
    const Tensor equal = real.defined() ? (x == out) & real : x == out;
    const Tensor rank = where(x == x, where(equal, number, Scalar(count)), -number - 1);
    return {where(rank == rank.min(range(x.rank() - axes, x.rank()), true), grad, 0)};
  }
};

namespace {

/// Where the windows of a pooling lie, checked.
struct Pool {
  Dims window, stride, padding, dilation;
  Dims padding_end;  ///< with what the last window reaches beyond the padding
  bool hangs_over = false;

  Pool(const Tensor& x, const Sizes& size, const PoolOptions& options, int n, const char* op)
      : window(each(size, n, op, "window", 1)),
        stride(options.stride ? each(*options.stride, n, op, "stride", 1) : window),
        padding(each(options.padding, n, op, "padding", 0)),
        dilation(each(options.dilation, n, op, "dilation", 1)),
        padding_end(padding) {
    if (x.rank() != n + 1 && x.rank() != n + 2)
      fail(op, ": an input of ", x.shape(), " must have ", n, " spatial axes behind (N, C) or (C)");
    for (int a = 0; a < n; ++a) {
      if (2 * padding[a] > window[a]) fail(op, ": padding ", padding, " is more than half the window ", window);
      const int64_t input = x.size(a - n), reach = dilation[a] * (window[a] - 1) + 1;
      const int64_t room = input + 2 * padding[a] - reach + (options.ceil_mode ? stride[a] - 1 : 0);
      if (input == 0 || room < 0)
        fail(op, ": a window of ", window, ", dilation ", dilation, ", is larger than ", x.shape(), ", padding ",
             padding);
      // A window must begin inside the input or the padding before it.
      const int64_t last = std::min(room / stride[a], (input + padding[a] - 1) / stride[a]) * stride[a];
      const int64_t over = last + reach - (input + 2 * padding[a]);
      padding_end[a] += std::max<int64_t>(over, 0);
      hangs_over |= over > 0;
    }
  }

  Tensor windows_of(const Tensor& x, Scalar beyond) const {
    return windows(pad_spatial(x, padding, padding_end, beyond), window, stride, dilation);
  }
};

/// What no number is below.
Scalar lowest(DType dtype) {
  return with_type(dtype, [](auto zero) -> Scalar {
    if constexpr (std::integral<decltype(zero)>) return std::numeric_limits<decltype(zero)>::lowest();
    else return -std::numeric_limits<double>::infinity();
  });
}

Tensor max_pool(const Tensor& x, const Sizes& window, const PoolOptions& options, int n, const char* op) {
  if (x.dtype() == DType::Bool) fail(op, ": not defined on bools");
  const Pool pool(x, window, options, n, op);
  const Tensor taps = pool.windows_of(x, lowest(x.dtype()));
  const bool padded = pool.padding_end != Dims::filled(n, 0);  // which is never less than the padding before
  const Tensor real = padded ? pool.windows_of(Tensor::full(x.shape(), true), false) : Tensor();
  return apply(FirstMax(n, real), taps).reshape(Shape(taps.shape().begin(), taps.shape().end() - n));
}

Tensor avg_pool(const Tensor& x, const Sizes& window, const PoolOptions& options, int n, const char* op) {
  if (!is_float(x.dtype())) fail(op, ": needs floats, not ", x.dtype());
  const Pool pool(x, window, options, n, op);
  if (pool.dilation != Dims::filled(n, 1)) fail(op, ": dilation ", pool.dilation, " must be 1; only max_pool has one");
  const Tensor taps = pool.windows_of(x, 0);
  const Dims inside = range(x.rank(), x.rank() + n);
  const bool padded = pool.padding != Dims::filled(n, 0);
  if (!pool.hangs_over && (options.count_include_pad || !padded)) return taps.mean(inside);
  // Windows differ in how many numbers they have: count them by pooling ones. What hangs over never counts.
  Pool rest = pool;
  Shape counted;
  for (int a = 0; a < n; ++a) {
    const int64_t zeros = options.count_include_pad ? pool.padding[a] : 0;
    counted.push_back(x.size(a - n) + 2 * zeros);
    rest.padding[a] -= zeros;
    rest.padding_end[a] -= zeros;
  }
  const Tensor ones = wide(Tensor::ones(counted, x.dtype()));
  return (wide(taps).sum(inside) / rest.windows_of(ones, 0).sum(range(n, 2 * n))).cast(x.dtype());
}

}  // namespace

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

}  // namespace teeny
