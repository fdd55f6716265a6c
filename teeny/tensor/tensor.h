#pragma once
// The user's type. Names and meanings are PyTorch's where PyTorch has them.
//
//   Tensor x = Tensor::randn({2, 3});         nothing is computed yet ...
//   Tensor y = (x * 2).relu().sum(1);         ... nor here ...
//   std::cout << y;                           ... but now, all at once
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <utility>
#include <vector>

#include "teeny/graph/lazy.h"

namespace teeny {

class Function;
class Tensor;

/// Which axes a reduction runs over: none named means all. Negative axes count from the end.
struct Axes {
  std::optional<Dims> list;
  Axes() = default;
  Axes(std::integral auto axis) : list(Dims{int64_t(axis)}) {}
  Axes(std::initializer_list<int64_t> axes) : list(Dims(axes)) {}
  Axes(const Dims& axes) : list(axes) {}
};

/// `slice(1, 5)`, `slice({}, {}, -1)`: a range of an axis, as in Python's `1:5` and `::-1`.
struct Slice {
  std::optional<int64_t> start, stop;
  int64_t step = 1;
};
inline Slice slice(std::optional<int64_t> start = {}, std::optional<int64_t> stop = {}, int64_t step = 1) {
  return {start, stop, step};
}
inline constexpr struct Ellipsis {} ellipsis;  ///< as many whole axes as are left
inline constexpr struct NewAxis {} none;       ///< a new axis of size 1
struct Index;                                  ///< one of these, a number or a tensor: an entry of `x[{...}]`

/// What may stand in the braces of `Tensor::of`: numbers, or lists of lists of them, all of one shape.
template <class T>
struct Nested {
  std::vector<T> values;
  Shape shape;
  template <class U>
    requires(std::same_as<U, T> || (std::is_arithmetic_v<U> && (std::integral<U> || !std::integral<T>)))
  Nested(U value) : values{T(value)} {}
  Nested(std::initializer_list<Nested> parts) : shape{int64_t(parts.size())} {
    for (const Nested& part : parts) {
      if (part.shape != parts.begin()->shape) fail("Tensor::of: ", parts.begin()->shape, " beside ", part.shape);
      values.insert(values.end(), part.values.begin(), part.values.end());
    }
    if (parts.size() > 0)
      for (int64_t size : parts.begin()->shape) shape.push_back(size);
  }
};

/// Sizes along the spatial axes: one number for all of them, or one for each.
struct Sizes {
  Dims list;
  Sizes(std::integral auto same) : list{int64_t(same)} {}
  Sizes(std::initializer_list<int64_t> each) : list(each) {}
};
struct ConvOptions {
  Sizes stride = 1, padding = 0, dilation = 1;
  int64_t groups = 1;
  std::optional<Sizes> padding_end = {};  ///< `padding` is for both ends unless this is given
};
struct ConvTransposeOptions {
  Sizes stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
};
struct PoolOptions {
  std::optional<Sizes> stride = {};  ///< the window's size unless given
  Sizes padding = 0, dilation = 1;   ///< an average has no dilation
  bool ceil_mode = false;            ///< a last window may hang over the end
  bool count_include_pad = true;     ///< avg_pool: padding counts as zeros, else not at all
};
enum class PadMode { Reflect, Replicate, Circular };
enum class Interpolation { Nearest, Linear, Cubic };
struct InterpolateOptions {
  Interpolation mode = Interpolation::Nearest;
  bool align_corners = false;        ///< the corners' centres, not their borders, lie on each other
};

/// What a loss makes of its terms. BatchMean is their sum divided by the first axis' size.
enum class Reduction { None, Mean, Sum, BatchMean };
struct CrossEntropyOptions {
  double label_smoothing = 0;
  std::optional<int64_t> ignore_index = {};  ///< samples of this class count for nothing
  Reduction reduction = Reduction::Mean;
};

/// Numbers, and where along the axis each of them stood.
struct ValuesIndices;

/// A tensor is a handle: copies share the numbers, the gradient and the history, as in Python.
class Tensor {
 public:
  Tensor(const Tensor&) = default;
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(const Tensor&) & = default;      ///< a handle of another tensor; not for `x[0] = y`: see `set`
  Tensor& operator=(Tensor&&) & noexcept = default;
  Tensor() = default;                                ///< undefined: no shape, no numbers; `defined()` is false
  explicit Tensor(LazyBuffer data, bool requires_grad = false);
  explicit Tensor(Scalar value);                     ///< no axes; float32, int64 or bool

  // ---- Creation. Shapes are checked here; numbers come when someone asks.
  /// Copies `values`, row-major. Throws when their count is not that of `shape`.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape) {
    return from_bytes(std::as_bytes(values), dtype_of<T>(), shape);
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) { return from(std::span<const T>(values), shape); }
  template <class T>
  static Tensor from(const std::vector<T>& values) { return from(values, {int64_t(values.size())}); }
  static Tensor from(const std::vector<bool>& values, const Shape& shape);
  static Tensor from_bytes(std::span<const std::byte> bytes, DType dtype, const Shape& shape);
  /// `Tensor::of({1, 2, 3})`, `Tensor::of({{1, 2}, {3, 4}})`: float32 unless a type is named, `of<int64_t>(...)`.
  template <class T = float>
  static Tensor of(const Nested<std::type_identity_t<T>>& list) { return from(list.values, list.shape); }

  static Tensor full(const Shape& shape, Scalar value, std::optional<DType> dtype = {});
  static Tensor zeros(const Shape& shape, DType dtype = DType::Float32) { return full(shape, 0, dtype); }
  static Tensor ones(const Shape& shape, DType dtype = DType::Float32) { return full(shape, 1, dtype); }
  /// Zeros: where nothing is computed before it is asked for, there is no memory with something else in it.
  static Tensor empty(const Shape& shape, DType dtype = DType::Float32) { return zeros(shape, dtype); }
  Tensor full_like(Scalar value) const { return full(shape(), value, dtype()); }
  Tensor zeros_like() const { return full_like(0); }
  Tensor ones_like() const { return full_like(1); }
  Tensor empty_like() const { return zeros_like(); }
  /// start, start+step, ... below stop: int64 unless one of them is a fraction, then float32.
  static Tensor arange(Scalar start, Scalar stop, Scalar step = 1, std::optional<DType> dtype = {});
  static Tensor arange(Scalar stop) { return arange(0, stop); }
  static Tensor linspace(double start, double stop, int64_t steps, DType dtype = DType::Float32);
  static Tensor eye(int64_t n, std::optional<int64_t> m = {}, DType dtype = DType::Float32);
  static Tensor tri(int64_t rows, int64_t columns, int64_t diagonal = 0);  ///< bool: column <= row + diagonal

  // Random numbers: a counter-based stream, the same on every backend. `manual_seed` starts it anew; SEED= does too.
  static void manual_seed(uint64_t seed);
  static std::pair<uint64_t, uint64_t> random_state();              ///< seed and words drawn so far
  static void set_random_state(uint64_t seed, uint64_t counter);
  static Tensor rand(const Shape& shape, DType dtype = DType::Float32);   ///< uniform in [0, 1)
  static Tensor randn(const Shape& shape, DType dtype = DType::Float32);  ///< standard normal
  static Tensor uniform(const Shape& shape, double low, double high);
  static Tensor normal(const Shape& shape, double mean, double std);
  Tensor rand_like() const { return rand(shape(), dtype()); }
  Tensor randn_like() const { return randn(shape(), dtype()); }
  static Tensor randint(int64_t low, int64_t high, const Shape& shape);   ///< int64 in [low, high)
  static Tensor randperm(int64_t n);                  ///< 0 .. n-1 in random order, int64
  /// Positions drawn from weights (n) or (rows, n), which need not add up to 1: (samples) or (rows, samples), int64.
  Tensor multinomial(int64_t samples, bool replacement = false) const;
  Tensor bernoulli() const;                           ///< 1 with the probability that stands there, else 0
  static Tensor scaled_uniform(const Shape& shape);   ///< uniform(-1, 1) / sqrt(numel)
  static Tensor glorot_uniform(const Shape& shape);   ///< shape (out, in, ...); Glorot & Bengio 2010
  static Tensor kaiming_uniform(const Shape& shape, double a = 0.01);  ///< He et al. 2015, fan-in, leaky slope a
  static Tensor kaiming_normal(const Shape& shape, double a = 0.01);

  // ---- Properties
  bool defined() const { return state_ != nullptr; }
  const Shape& shape() const { return lazy().shape(); }
  int64_t size(int64_t axis) const { return shape()[axis_index(axis, "size")]; }
  int rank() const { return shape().size(); }
  int64_t numel() const { return teeny::numel(shape()); }
  DType dtype() const { return lazy().dtype(); }
  bool same(const Tensor& other) const { return state_ == other.state_; }  ///< handles of one tensor

  // ---- Numbers
  const Tensor& realize() const;               ///< computes, with everything assigned and still pending
  template <class T>
  T item() const;                              ///< the one number of a tensor of one element
  double item() const { return item<double>(); }
  template <class T = float>
  std::vector<T> to_vector() const;            ///< all numbers, row-major, converted to T
  std::vector<std::byte> to_bytes() const;     ///< as stored
  /// These numbers from now on, for every handle. Shapes must be equal; the dtype stays this tensor's.
  Tensor& assign(const Tensor& x);
  /// x[{...}] = value: that part has these numbers from now on, the rest stays. `value` broadcasts to the part. For every
  /// handle, or where a gradient is recorded for this one alone: see `+=`.
  Tensor& set(std::initializer_list<Index> index, const Tensor& value);
  Tensor& set(std::initializer_list<Index> index, Scalar value);

  // ---- Gradients
  bool requires_grad() const;
  Tensor& requires_grad_(bool on = true);
  Tensor grad() const;                         ///< undefined before the first backward
  void set_grad(const Tensor& grad) const;
  void zero_grad() const { set_grad({}); }
  /// Adds d(this)/d(leaf) to the `grad` of every leaf that requires one, and drops the graph; with `keep_graph` it
  /// stays and the gradients can be differentiated. Only of a tensor of one element. Returns this tensor.
  Tensor backward(bool keep_graph = false) const;
  Tensor detach() const;                       ///< the same numbers without a history

  // ---- Movement: nothing is copied
  Tensor reshape(const Shape& shape) const;    ///< one size may be -1
  Tensor view(const Shape& shape) const { return reshape(shape); }
  Tensor permute(const Dims& axes) const;
  Tensor transpose(int64_t a = -2, int64_t b = -1) const;
  Tensor t() const { return rank() < 2 ? *this : transpose(0, 1); }
  Tensor movedim(int64_t from, int64_t to) const;
  Tensor flatten(int64_t start = 0, int64_t end = -1) const;
  Tensor unflatten(int64_t axis, const Shape& sizes) const;
  Tensor squeeze(const Axes& axes = {}) const;  ///< those of size 1
  Tensor unsqueeze(int64_t axis) const;
  Tensor expand(const Shape& shape) const;     ///< -1 keeps a size; new axes may stand in front
  Tensor expand_as(const Tensor& y) const { return expand(y.shape()); }
  Tensor repeat(const Dims& times) const;      ///< 1 2 1 2
  Tensor repeat_interleave(int64_t times, std::optional<int64_t> axis = {}) const;  ///< 1 1 2 2; without an axis of all
  Tensor flip(const Axes& axes) const;
  Tensor pad(const Dims& before, const Dims& after, Scalar value = 0) const;  ///< negative amounts cut
  Tensor pad(const Dims& before, const Dims& after, PadMode mode) const;
  Tensor shrink(const Dims& begin, const Dims& end) const;
  Tensor unfold(int64_t axis, int64_t size, int64_t step, int64_t dilation = 1) const;  ///< windows; taps come last
  Tensor diagonal(int64_t a = 0, int64_t b = 1, int64_t offset = 0) const;  ///< i of a, i + offset of b; comes last
  Tensor roll(int64_t shift, std::optional<int64_t> axis = {}) const;   ///< without an axis: of all numbers in a row
  Tensor roll(const Dims& shifts, const Dims& axes) const;
  /// x[{0, slice(1, 3), ellipsis, none, t}]: numbers select first; the tensors, if there are several, broadcast together,
  /// and their axes stand where they were if they were neighbours, otherwise in front.
  Tensor operator[](std::initializer_list<Index> index) const;
  Tensor operator[](const Index& index) const;   ///< a single entry: x[2], x[slice(1)], x[t]
  Tensor contiguous() const;                   ///< in a buffer of its own
  Tensor clone() const { return contiguous(); }
  static Tensor cat(std::span<const Tensor> parts, int64_t axis = 0);
  static Tensor cat(std::initializer_list<Tensor> parts, int64_t axis = 0) {
    return cat(std::span<const Tensor>(parts.begin(), parts.size()), axis);
  }
  static Tensor stack(std::span<const Tensor> parts, int64_t axis = 0);
  static Tensor stack(std::initializer_list<Tensor> parts, int64_t axis = 0) {
    return stack(std::span<const Tensor>(parts.begin(), parts.size()), axis);
  }
  std::vector<Tensor> split(int64_t size, int64_t axis = 0) const;       ///< the last part may be smaller
  std::vector<Tensor> split(const Dims& sizes, int64_t axis = 0) const;
  std::vector<Tensor> chunk(int64_t chunks, int64_t axis = 0) const;
  std::vector<Tensor> unbind(int64_t axis = 0) const;                    ///< x[0], x[1], ...
  /// The axes of a grid: n tensors of rank n. "ij": the first runs along axis 0; "xy": along axis 1, as in pictures.
  static std::vector<Tensor> meshgrid(std::span<const Tensor> axes, std::string_view indexing = "ij");
  static std::vector<Tensor> meshgrid(std::initializer_list<Tensor> axes, std::string_view indexing = "ij") {
    return meshgrid(std::span<const Tensor>(axes.begin(), axes.size()), indexing);
  }
  Tensor tril(int64_t diagonal = 0) const;
  Tensor triu(int64_t diagonal = 0) const;

  // ---- Indexing by numbers. An index outside its axis throws when it is met, at the latest when the result is read.
  Tensor gather(int64_t axis, const Tensor& index) const;        ///< out[i][j] = x[index[i][j]][j] for axis 0
  /// This tensor with source[i][j] added to out[index[i][j]][j] for axis 0; several for one place all count.
  Tensor scatter_add(int64_t axis, const Tensor& index, const Tensor& source) const;
  /// This tensor with out[index[i][j]][j] = source[i][j] for axis 0; of several for one place the last stays.
  Tensor scatter(int64_t axis, const Tensor& index, const Tensor& source) const;
  Tensor scatter(int64_t axis, const Tensor& index, Scalar value) const;
  Tensor index_select(int64_t axis, const Tensor& index) const;  ///< `index` has one axis
  Tensor index_add(int64_t axis, const Tensor& index, const Tensor& source) const;  ///< out[index[i]] += source[i]
  Tensor embedding(const Tensor& index) const;                   ///< rows of this (V, D): index.shape + (D,)
  Tensor one_hot(int64_t classes) const;                         ///< int64, one axis more; zeros for any other class

  // ---- Elementwise, one number in. A function of real numbers takes integers and bools as float32.
  Tensor cast(DType to) const;
  /// The same bits read as another type. Of another size, the last axis grows or shrinks as in PyTorch's view(dtype).
  Tensor bitcast(DType to) const;
  Tensor operator-() const { return neg(); }
  Tensor operator!() const { return logical_not(); }
  Tensor operator~() const;                    ///< every bit of an integer; of a bool its one
  Tensor neg() const, reciprocal() const, square() const, sqrt() const, rsqrt() const, abs() const, sign() const;
  Tensor exp() const, exp2() const, log() const, log2() const, log1p() const;
  Tensor sin() const, cos() const, tan() const, sinh() const, cosh() const, tanh() const, erf() const;
  Tensor asin() const, acos() const, atan() const, asinh() const, acosh() const, atanh() const;
  Tensor floor() const, ceil() const, round() const, trunc() const;
  Tensor isnan() const, isinf() const, isfinite() const, logical_not() const;
  Tensor relu() const, relu6() const, sigmoid() const, logsigmoid() const, silu() const, mish() const;
  Tensor gelu() const;                         ///< the tanh form, as in GPT-2; `gelu_erf` is the exact one
  Tensor gelu_erf() const, quick_gelu() const, hardswish() const, hardsigmoid() const, softsign() const, selu() const;
  Tensor leaky_relu(double slope = 0.01) const, elu(double alpha = 1) const, celu(double alpha = 1) const;
  Tensor softplus(double beta = 1) const, hardtanh(double low = -1, double high = 1) const;
  Tensor clamp(std::optional<Scalar> low, std::optional<Scalar> high = {}) const;
  /// Infinities become the largest and smallest finite numbers unless others are given.
  Tensor nan_to_num(double nan = 0, std::optional<double> inf = {}, std::optional<double> minus_inf = {}) const;

  // ---- Elementwise, two numbers in: operators below
  Tensor pow(const Tensor& exponent) const;
  Tensor pow(Scalar exponent) const;
  Tensor maximum(const Tensor& y) const;       ///< a tie shares its gradient
  Tensor minimum(const Tensor& y) const;
  Tensor maximum(Scalar y) const { return maximum(scalar_like(y)); }
  Tensor minimum(Scalar y) const { return minimum(scalar_like(y)); }
  Tensor fmod(const Tensor& y) const;          ///< sign of the dividend, as in C
  Tensor fmod(Scalar y) const { return fmod(scalar_like(y)); }
  Tensor atan2(const Tensor& x) const;         ///< the angle of the point (x, this), in [-pi, pi]
  Tensor logaddexp(const Tensor& y) const;     ///< log(exp(this) + exp(y))
  /// |this - y| <= atol + rtol |y|, or equal.
  Tensor isclose(const Tensor& y, double rtol = 1e-5, double atol = 1e-8, bool equal_nan = false) const;
  bool allclose(const Tensor& y, double rtol = 1e-5, double atol = 1e-8, bool equal_nan = false) const;
  Tensor lerp(const Tensor& end, double weight) const;  ///< this + (end - this) * weight
  Tensor lerp(const Tensor& end, const Tensor& weight) const;
  Tensor masked_fill(const Tensor& mask, Scalar value) const;
  Tensor scalar_like(Scalar value) const;      ///< `value` in the dtype it takes beside this tensor, without axes

  // ---- Reductions
  Tensor sum(const Axes& axes = {}, bool keepdim = false) const;   ///< bools and small integers add up in int64
  Tensor mean(const Axes& axes = {}, bool keepdim = false) const;
  Tensor prod(const Axes& axes = {}, bool keepdim = false) const;
  Tensor max(const Axes& axes = {}, bool keepdim = false) const;   ///< ties share the gradient
  Tensor min(const Axes& axes = {}, bool keepdim = false) const;
  Tensor argmax(std::optional<int64_t> axis = {}, bool keepdim = false) const;  ///< int64, the first of equals
  Tensor argmin(std::optional<int64_t> axis = {}, bool keepdim = false) const;
  Tensor var(const Axes& axes = {}, double correction = 1, bool keepdim = false) const;
  Tensor std(const Axes& axes = {}, double correction = 1, bool keepdim = false) const;
  Tensor norm(double p = 2, const Axes& axes = {}, bool keepdim = false) const;  ///< p = 0 and infinite, too
  Tensor normalize(double p = 2, const Axes& axes = 1, double eps = 1e-12) const;  ///< divided by its norm along `axes`
  Tensor cosine_similarity(const Tensor& y, int64_t axis = 1, double eps = 1e-8) const;
  Tensor any(const Axes& axes = {}, bool keepdim = false) const;
  Tensor all(const Axes& axes = {}, bool keepdim = false) const;
  Tensor softmax(int64_t axis = -1) const;
  Tensor log_softmax(int64_t axis = -1) const;
  Tensor logsumexp(const Axes& axes = {}, bool keepdim = false) const;

  // ---- Along one axis
  Tensor cumsum(int64_t axis) const;           ///< out[i] = x[0] + .. + x[i]
  Tensor cumprod(int64_t axis) const;
  ValuesIndices cummax(int64_t axis) const;           ///< the largest so far; of equals the last
  ValuesIndices cummin(int64_t axis) const;
  /// In ascending order (NaN counts as the largest); equals keep their order.
  ValuesIndices sort(int64_t axis = -1, bool descending = false) const;
  Tensor argsort(int64_t axis = -1, bool descending = false) const;
  ValuesIndices topk(int64_t k, int64_t axis = -1, bool largest = true) const;  ///< in order

  // ---- Products
  Tensor matmul(const Tensor& y) const;        ///< (.., M, K) x (.., K, N); one axis is a vector, the rest broadcast
  Tensor dot(const Tensor& y) const { return matmul(y); }
  Tensor outer(const Tensor& y) const;         ///< (M) and (N): (M, N)
  Tensor linear(const Tensor& weight, const Tensor& bias = {}) const;  ///< x (.., in), weight (out, in), bias (out)
  /// A product written in letters: einsum("bij,bjk->bik", {x, y}). Repeated letters are summed unless they are in the
  /// result; without "->" the result has the letters that occur once, in alphabetical order. "..." broadcasts.
  static Tensor einsum(std::string_view formula, std::span<const Tensor> operands);
  static Tensor einsum(std::string_view formula, std::initializer_list<Tensor> operands) {
    return einsum(formula, std::span<const Tensor>(operands.begin(), operands.size()));
  }
  /// x (N, C, H, W), weight (out, C/groups, KH, KW), bias (out): (N, out, OH, OW).
  Tensor conv2d(const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {}) const;
  /// The same with one spatial axis, x (N, C, L), and with three, x (N, C, D, H, W).
  Tensor conv1d(const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {}) const;
  Tensor conv3d(const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {}) const;
  /// The adjoint of conv2d: x (N, C, H, W), weight (C, out/groups, KH, KW), bias (out): (N, out, OH, OW).
  Tensor conv_transpose2d(const Tensor& weight, const Tensor& bias = {}, const ConvTransposeOptions& options = {}) const;
  Tensor conv_transpose1d(const Tensor& weight, const Tensor& bias = {}, const ConvTransposeOptions& options = {}) const;
  Tensor conv_transpose3d(const Tensor& weight, const Tensor& bias = {}, const ConvTransposeOptions& options = {}) const;
  /// x (N, C, H, W) or (C, H, W), the largest or the mean of every window.
  Tensor max_pool2d(const Sizes& window = 2, const PoolOptions& options = {}) const;
  Tensor avg_pool2d(const Sizes& window = 2, const PoolOptions& options = {}) const;
  /// x (N, C, L) or (C, L), and (N, C, D, H, W) or (C, D, H, W). The gradient of a maximum goes to the first of equals.
  Tensor max_pool1d(const Sizes& window, const PoolOptions& options = {}) const;
  Tensor avg_pool1d(const Sizes& window, const PoolOptions& options = {}) const;
  Tensor max_pool3d(const Sizes& window, const PoolOptions& options = {}) const;
  Tensor avg_pool3d(const Sizes& window, const PoolOptions& options = {}) const;
  /// To `size` windows whatever the image's size: window i of n reaches from floor(i H / n) to ceil((i + 1) H / n).
  Tensor adaptive_avg_pool2d(const Sizes& size) const;
  /// x (N, C, ...) to `size` along the axes after C, one to three of them.
  Tensor interpolate(const Sizes& size, const InterpolateOptions& options = {}) const;
  Tensor scaled_dot_product_attention(const Tensor& key, const Tensor& value, bool causal = false) const;
  /// `mask`: bool, true where a query may look at a key; or numbers that are added to the scores.
  Tensor scaled_dot_product_attention(const Tensor& key, const Tensor& value, const Tensor& mask) const;

  // ---- Training
  Tensor glu(int64_t axis = -1) const;         ///< the first half times the sigmoid of the second
  Tensor dropout(double p = 0.5) const;        ///< zero with probability p, the rest / (1 - p); only while training
  Tensor layernorm(int64_t axes = 1, double eps = 1e-5) const;  ///< over the last `axes` axes
  /// (x - mean) / sqrt(var + eps) * weight + bias for every channel of x (N, C, ...); weight and bias may be undefined.
  Tensor batchnorm(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& var, double eps = 1e-5) const;
  /// logits (N, C, ...): `target` holds classes (N, ...) if integers, probabilities (N, C, ...) if floats. `weight` has
  /// one number a class; of classes, the mean is then weighted by them, too.
  Tensor cross_entropy(const Tensor& target, const CrossEntropyOptions& options = {}) const;
  Tensor cross_entropy(const Tensor& target, const Tensor& weight, const CrossEntropyOptions& options = {}) const;
  /// The same of log-probabilities (N, C, ...) instead of logits. Unlike PyTorch's it takes smoothing and probabilities
  /// as well: cross_entropy is nothing but this after log_softmax.
  Tensor nll_loss(const Tensor& target, const CrossEntropyOptions& options = {}) const;
  Tensor nll_loss(const Tensor& target, const Tensor& weight, const CrossEntropyOptions& options = {}) const;
  /// Of probabilities. `weight` multiplies each term and broadcasts.
  Tensor binary_cross_entropy(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  Tensor binary_cross_entropy(const Tensor& target, const Tensor& weight, Reduction reduction = Reduction::Mean) const;
  /// Of logits. `pos_weight` multiplies what a positive target adds; either weight may be undefined.
  Tensor binary_cross_entropy_with_logits(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  Tensor binary_cross_entropy_with_logits(const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
                                          Reduction reduction = Reduction::Mean) const;
  Tensor mse_loss(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  Tensor l1_loss(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  Tensor smooth_l1_loss(const Tensor& target, double beta = 1, Reduction reduction = Reduction::Mean) const;
  Tensor huber_loss(const Tensor& target, double delta = 1, Reduction reduction = Reduction::Mean) const;
  /// target * (log target - this): this holds log-probabilities; so does `target`, if `log_target`.
  Tensor kl_div(const Tensor& target, bool log_target = false, Reduction reduction = Reduction::Mean) const;

  // ---- For rules and the walk
  const LazyBuffer& lazy() const;
  const std::shared_ptr<Function>& rule() const;   ///< what made this tensor; null for a leaf
  void set_rule(std::shared_ptr<Function> rule);
  int64_t version() const;                         ///< counts assignments
  void drop_graph() const;                         ///< forgets the rule
  Tensor& assign_or_rebind(const Tensor& x, const char* op); ///< what `+=` and `set` do with their result
  const void* id() const { return state_.get(); }  ///< equal for handles of one tensor
  /// An axis counted from either end, as 0 <= axis < rank; throws naming `op`.
  int axis_index(int64_t axis, const char* op) const;
  Dims axis_list(const Axes& axes, const char* op) const;  ///< all of them when none is named; sorted

 private:
  struct State;
  std::shared_ptr<State> state_;
};

struct ValuesIndices {
  Tensor values, indices;  ///< int64 indices
};

/// A Tensor of integers picks by numbers; negative ones count from the end.
struct Index : std::variant<int64_t, Slice, Ellipsis, NewAxis, Tensor> {
  Index(std::integral auto at) : variant(int64_t(at)) {}
  Index(Slice part) : variant(part) {}
  Index(Ellipsis all) : variant(all) {}
  Index(NewAxis axis) : variant(axis) {}
  Index(Tensor picks) : variant(std::move(picks)) {}
};
inline Tensor Tensor::operator[](const Index& index) const { return (*this)[{index}]; }

/// Computes all of them in one go: what they share is computed once.
void realize(std::span<const Tensor> tensors);

/// Where `condition` is not zero, x; elsewhere y. All three broadcast.
Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y);
Tensor where(const Tensor& condition, const Tensor& x, Scalar y);
Tensor where(const Tensor& condition, Scalar x, const Tensor& y);
Tensor where(const Tensor& condition, Scalar x, Scalar y);

/// d(y)/d(x) for each x, with a graph of their own: they can be differentiated again. `y` has one element and a history;
/// an x that is not part of it gets zeros. The `grad` fields are left alone.
std::vector<Tensor> gradient(const Tensor& y, std::span<const Tensor> xs);
inline std::vector<Tensor> gradient(const Tensor& y, std::initializer_list<Tensor> xs) {
  return gradient(y, std::span<const Tensor>(xs.begin(), xs.size()));
}

/// Shape, dtype and the numbers, the middle left out when there are many.
std::ostream& operator<<(std::ostream& out, const Tensor& x);

// Operators broadcast and promote. `/` is true division: integers give float32. `%` takes the divisor's sign, `floor_divide`
// rounds down. `& | ^ << >>` are for integers and bools. Comparisons give bool.
#define TEENY_OPERATOR(op)                          \
  Tensor operator op(const Tensor& x, const Tensor& y); \
  Tensor operator op(const Tensor& x, Scalar y);        \
  Tensor operator op(Scalar x, const Tensor& y);
TEENY_OPERATOR(+) TEENY_OPERATOR(-) TEENY_OPERATOR(*) TEENY_OPERATOR(/) TEENY_OPERATOR(%)
TEENY_OPERATOR(&) TEENY_OPERATOR(|) TEENY_OPERATOR(^) TEENY_OPERATOR(<<) TEENY_OPERATOR(>>)
TEENY_OPERATOR(<) TEENY_OPERATOR(<=) TEENY_OPERATOR(>) TEENY_OPERATOR(>=) TEENY_OPERATOR(==) TEENY_OPERATOR(!=)
#undef TEENY_OPERATOR
Tensor floor_divide(const Tensor& x, const Tensor& y);
Tensor floor_divide(const Tensor& x, Scalar y);
// In place, for every handle of x, like `assign`; the dtype stays x's. While gradients are recorded and x or y has a
// history, this handle becomes another tensor instead, whose history goes on; a leaf that requires a gradient refuses.
#define TEENY_OPERATOR(op)                             \
  Tensor& operator op(Tensor& x, const Tensor& y);     \
  Tensor& operator op(Tensor& x, Scalar y);
TEENY_OPERATOR(+=) TEENY_OPERATOR(-=) TEENY_OPERATOR(*=) TEENY_OPERATOR(/=)
#undef TEENY_OPERATOR

/// While one of these lives, the mode is as it says; then it is again what it was.
///
///   NoGrad guard;            no history is kept: evaluation, and the insides of optimisers
///   Training guard(true);    dropout drops, batch norm uses the batch's statistics
class GradMode {
 public:
  explicit GradMode(bool on) : before_(std::exchange(enabled_, on)) {}
  ~GradMode() { enabled_ = before_; }
  GradMode(const GradMode&) = delete;
  static bool enabled() { return enabled_; }

 private:
  bool before_;
  static inline thread_local bool enabled_ = true;
};
struct NoGrad : GradMode {
  NoGrad() : GradMode(false) {}
};
class Training {
 public:
  explicit Training(bool on = true) : before_(std::exchange(enabled_, on)) {}
  ~Training() { enabled_ = before_; }
  Training(const Training&) = delete;
  static bool enabled() { return enabled_; }

 private:
  bool before_;
  static inline thread_local bool enabled_ = false;
};

}  // namespace teeny
