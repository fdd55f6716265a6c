#pragma once
// The user's type. Names and meanings are PyTorch's where PyTorch has them.
//
//   Tensor x = Tensor::randn({2, 3});         nothing is computed yet ...
//   Tensor y = (x * 2).relu().sum(1);         ... nor here ...
//   std::cout << y;                           ... but now, all at once
//
// The class has two halves. The first is the core, which the rest is made of: a handle, its values and its gradient,
// and the methods of mlops/. The second has a banner for each file of functional/, in which these methods are defined.
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/graph/lazy.h"
#include "teeny/tensor/handle_watch.h"
#include "teeny/tensor/index.h"
#include "teeny/tensor/modes.h"
#include "teeny/tensor/options.h"

namespace teeny {

class Function;
struct ValuesIndices;
struct UniqueElements;
namespace detail {
struct TensorAccess;  // function.h
}

/// A tensor is a handle: copies share the values, the gradient and the history, as in Python. A method that does not
/// change a tensor is const and gives another one. What returns the tensor itself returns it by value from a temporary.
class Tensor {
 public:
  Tensor(const Tensor& x) : state_((x.note(), x.state_)) {}
  Tensor(Tensor&& x) noexcept : state_((x.note(), std::move(x.state_))) {}
  Tensor& operator=(const Tensor& x) & { return note(), x.note(), state_ = x.state_, *this; }  ///< another's; see `set`
  Tensor& operator=(Tensor&& x) & noexcept { return note(), x.note(), state_ = std::move(x.state_), *this; }
  Tensor() = default;  ///< undefined: no shape, no values; `defined()` is false
  explicit Tensor(LazyBuffer data, bool requires_grad = false);
  explicit Tensor(Scalar value);  ///< no axes; float32, int64 or bool

  // ---- Properties
  bool defined() const { return note(), state_ != nullptr; }
  const Shape& shape() const& { return lazy("shape").shape(); }
  Shape shape() && { return shape(); }
  int64_t size(int64_t axis) const { return lazy("size").shape()[axis_index(axis, "size")]; }
  int rank() const { return lazy("rank").shape().size(); }
  int64_t numel() const { return teeny::numel(lazy("numel").shape()); }
  DType dtype() const { return lazy("dtype").dtype(); }
  bool same(const Tensor& other) const { return state_ == other.state_; }  ///< handles of one tensor

  // ---- Values
  const Tensor& realize() const&;  ///< computes this, and every assignment that is still pending
  Tensor realize() && { return realize(), std::move(*this); }
  template <class T>
  T item() const;  ///< the value of a tensor of one element
  double item() const { return item<double>(); }
  template <class T = float>
  std::vector<T> to_vector() const;         ///< all values, row-major, converted to T
  std::vector<std::byte> to_bytes() const;  ///< as stored
  /// These values from now on, for every handle. Shapes must be equal; the dtype stays this tensor's.
  Tensor& assign(const Tensor& x) &;
  Tensor assign(const Tensor& x) && { return std::move(assign(x)); }

  // ---- Gradients
  bool requires_grad() const;
  Tensor& requires_grad_(bool on = true) &;
  Tensor requires_grad_(bool on = true) && { return std::move(requires_grad_(on)); }
  [[nodiscard]] Tensor grad() const;  ///< undefined before the first backward
  void set_grad(const Tensor& grad);
  void zero_grad() { set_grad({}); }
  /// Adds d(this)/d(leaf) to the `grad` of every leaf that requires one, and drops the graph; with `keep_graph` it
  /// stays and the gradients can be differentiated. Only of a tensor of one element. Returns this tensor.
  Tensor& backward(bool keep_graph = false) &;
  Tensor backward(bool keep_graph = false) && { return std::move(backward(keep_graph)); }
  bool is_leaf() const;                 ///< no rule made it, or its history is dropped
  [[nodiscard]] Tensor detach() const;  ///< the same values without a history

  // ---- mlops/movement.cpp: nothing is copied
  [[nodiscard]] Tensor reshape(const Shape& shape) const;  ///< one size may be -1
  [[nodiscard]] Tensor permute(const Dims& axes) const;
  [[nodiscard]] Tensor transpose(int64_t a = -2, int64_t b = -1) const;
  [[nodiscard]] Tensor t() const { return lazy("t").shape().size() < 2 ? *this : transpose(0, 1); }
  [[nodiscard]] Tensor flatten(int64_t start = 0, int64_t end = -1) const;
  [[nodiscard]] Tensor squeeze(const Axes& axes = {}) const;  ///< those of size 1
  [[nodiscard]] Tensor unsqueeze(int64_t axis) const;
  [[nodiscard]] Tensor expand(const Shape& shape) const;  ///< -1 keeps a size; new axes may stand in front
  [[nodiscard]] Tensor flip(const Axes& axes) const;
  [[nodiscard]] Tensor pad(const Dims& before, const Dims& after, Scalar value = 0) const;  ///< negative amounts cut
  [[nodiscard]] Tensor shrink(const Dims& begin, const Dims& end) const;
  [[nodiscard]] Tensor contiguous() const;  ///< in a buffer of its own
  [[nodiscard]] Tensor clone() const { return lazy("clone"), contiguous(); }

  // ---- mlops/elementwise.cpp: a function of real arguments takes integers and bools as float32. Operators: below
  [[nodiscard]] Tensor cast(DType to) const;
  [[nodiscard]] Tensor neg() const, reciprocal() const, sqrt() const, exp() const, log() const, sin() const,
      cos() const, tanh() const;
  [[nodiscard]] Tensor sigmoid() const, relu() const, logical_not() const;
  [[nodiscard]] Tensor operator-() const { return neg(); }
  [[nodiscard]] Tensor operator!() const { return logical_not(); }
  [[nodiscard]] Tensor maximum(const Tensor& y) const;  ///< a tie shares its gradient
  [[nodiscard]] Tensor minimum(const Tensor& y) const;
  [[nodiscard]] Tensor maximum(Scalar y) const { return maximum(scalar_like(y, "maximum")); }
  [[nodiscard]] Tensor minimum(Scalar y) const { return minimum(scalar_like(y, "minimum")); }
  /// `value` in the dtype it takes beside this tensor, without axes. Throws, naming `op`, an integer that does not fit.
  [[nodiscard]] Tensor scalar_like(Scalar value, const char* op = "scalar_like") const;

  // ---- mlops/reduce.cpp, contract.cpp
  [[nodiscard]] Tensor sum(const Axes& axes = {}, bool keepdim = false) const;  ///< bools and integers: in int64
  [[nodiscard]] Tensor prod(const Axes& axes = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor max(const Axes& axes = {}, bool keepdim = false) const;  ///< ties share the gradient
  [[nodiscard]] Tensor min(const Axes& axes = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor matmul(const Tensor& y) const;  ///< (.., M, K) x (.., K, N), broadcast; or vectors (K)
  [[nodiscard]] Tensor linear(const Tensor& weight,
                              const Tensor& bias = {}) const;  ///< x (.., in), weight (out, in), bias (out)

  // ---- For whoever writes a rule
  const LazyBuffer& lazy(const char* op = "lazy") const;  ///< throws, naming `op`, where this is undefined
  /// An axis counted from either end, as 0 <= axis < rank; throws naming `op`.
  int axis_index(int64_t axis, const char* op) const;
  Dims axis_list(const Axes& axes, const char* op) const;  ///< all of them when none is named; sorted

  // ==== functional/: formulas, and the rules that a first reading can leave out =====================================

  // ---- gradients.cpp
  /// The same for a tensor of any shape, of whose elements `grad` says how a loss depends on them.
  Tensor& backward(const Tensor& grad, bool keep_graph = false) &;
  Tensor backward(const Tensor& grad, bool keep_graph = false) && { return backward(grad, keep_graph); }
  /// From now on this result of an operation has a `grad` after backward(), as leaves have.
  void retain_grad();

  // ---- creation.cpp. Shapes are checked here; values are computed when they are read.
  /// Copies `values`, row-major. Throws when their count is not that of `shape`.
  template <class T>
  [[nodiscard]] static Tensor from(std::span<const T> values, const Shape& shape) {
    return from_bytes(std::as_bytes(values), dtype_of<T>(), shape);
  }
  template <class T>
  [[nodiscard]] static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }
  template <class T>
  [[nodiscard]] static Tensor from(const std::vector<T>& values) {
    return from(values, {int64_t(values.size())});
  }
  [[nodiscard]] static Tensor from(const std::vector<bool>& values, const Shape& shape);
  [[nodiscard]] static Tensor from_bytes(std::span<const std::byte> bytes, DType dtype, const Shape& shape);
  /// `Tensor::of({1, 2, 3})`, `Tensor::of({{1, 2}, {3, 4}})`: float32 unless a type is named, `of<int64_t>(...)`.
  template <class T = float>
  [[nodiscard]] static Tensor of(const Nested<std::type_identity_t<T>>& list) {
    return from(list.values, list.shape);
  }

  [[nodiscard]] static Tensor full(const Shape& shape, Scalar value, std::optional<DType> dtype = {});
  [[nodiscard]] static Tensor zeros(const Shape& shape, DType dtype = DType::Float32);
  [[nodiscard]] static Tensor ones(const Shape& shape, DType dtype = DType::Float32);
  /// Zeros: where nothing is computed before it is asked for, there is no memory with something else in it.
  [[nodiscard]] static Tensor empty(const Shape& shape, DType dtype = DType::Float32);
  [[nodiscard]] Tensor full_like(Scalar value) const;
  [[nodiscard]] Tensor zeros_like() const { return lazy("zeros_like"), full_like(0); }
  [[nodiscard]] Tensor ones_like() const { return lazy("ones_like"), full_like(1); }
  [[nodiscard]] Tensor empty_like() const { return lazy("empty_like"), zeros_like(); }
  /// start, start+step, ... below stop: int64 unless one of them is a fraction, then float32.
  [[nodiscard]] static Tensor arange(Scalar start, Scalar stop, Scalar step = 1, std::optional<DType> dtype = {});
  [[nodiscard]] static Tensor arange(Scalar stop) { return arange(0, stop); }
  [[nodiscard]] static Tensor linspace(double start, double stop, int64_t steps, DType dtype = DType::Float32);
  [[nodiscard]] static Tensor eye(int64_t n, std::optional<int64_t> m = {}, DType dtype = DType::Float32);
  [[nodiscard]] static Tensor tri(int64_t rows, int64_t columns,
                                  int64_t diagonal = 0);  ///< bool: column <= row + diagonal

  // ---- random.cpp: a counter-based stream, the same on every backend. `manual_seed` starts it anew; SEED= does too.
  static void manual_seed(uint64_t seed);
  static std::pair<uint64_t, uint64_t> random_state();  ///< seed and words drawn so far
  static void set_random_state(uint64_t seed, uint64_t counter);
  [[nodiscard]] static Tensor rand(const Shape& shape, DType dtype = DType::Float32);   ///< uniform in [0, 1)
  [[nodiscard]] static Tensor randn(const Shape& shape, DType dtype = DType::Float32);  ///< standard normal
  [[nodiscard]] static Tensor uniform(const Shape& shape, double low, double high);
  [[nodiscard]] static Tensor normal(const Shape& shape, double mean, double std);
  [[nodiscard]] Tensor rand_like() const { return lazy("rand_like"), rand(shape(), dtype()); }
  [[nodiscard]] Tensor randn_like() const { return lazy("randn_like"), randn(shape(), dtype()); }
  [[nodiscard]] static Tensor randint(int64_t low, int64_t high, const Shape& shape);  ///< int64 in [low, high)
  [[nodiscard]] static Tensor randperm(int64_t n);  ///< 0 .. n-1 in random order, int64
  /// Positions drawn from weights (n) or (rows, n), which need not add up to 1: (samples) or (rows, samples), int64.
  [[nodiscard]] Tensor multinomial(int64_t samples, bool replacement = false) const;
  [[nodiscard]] Tensor bernoulli() const;                          ///< 1 with the probability that stands there, else 0
  [[nodiscard]] static Tensor scaled_uniform(const Shape& shape);  ///< uniform(-1, 1) / sqrt(numel)
  [[nodiscard]] static Tensor glorot_uniform(const Shape& shape);  ///< shape (out, in, ...); Glorot & Bengio 2010
  [[nodiscard]] static Tensor kaiming_uniform(const Shape& shape,
                                              double a = 0.01);  ///< He et al. 2015, fan-in, leaky slope a
  [[nodiscard]] static Tensor kaiming_normal(const Shape& shape, double a = 0.01);

  // ---- shapes.cpp
  [[nodiscard]] Tensor movedim(int64_t from, int64_t to) const;
  [[nodiscard]] Tensor expand_as(const Tensor& y) const;
  [[nodiscard]] Tensor view(const Shape& shape) const;  ///< reshape
  [[nodiscard]] Tensor unflatten(int64_t axis, const Shape& sizes) const;
  [[nodiscard]] Tensor repeat(const Dims& times) const;  ///< 1 2 1 2
  [[nodiscard]] Tensor repeat_interleave(int64_t times,
                                         std::optional<int64_t> axis = {}) const;  ///< 1 1 2 2; without an axis of all
  [[nodiscard]] Tensor pad(const Dims& before, const Dims& after, PadMode mode) const;
  [[nodiscard]] Tensor diagonal(int64_t a = 0, int64_t b = 1,
                                int64_t offset = 0) const;  ///< i of a, i + offset of b; comes last
  /// The matrix with this vector on a diagonal; of a matrix, the diagonal.
  [[nodiscard]] Tensor diag(int64_t offset = 0) const;
  /// Matrices along the new axes a and b with the last axis on their diagonals: (.., n) to (.., n, n).
  [[nodiscard]] Tensor diag_embed(int64_t offset = 0, int64_t a = -2, int64_t b = -1) const;
  [[nodiscard]] Tensor roll(int64_t shift,
                            std::optional<int64_t> axis = {}) const;  ///< without an axis: of all elements in a row
  [[nodiscard]] Tensor roll(const Dims& shifts, const Dims& axes) const;
  [[nodiscard]] static Tensor cat(std::span<const Tensor> parts, int64_t axis = 0);
  [[nodiscard]] static Tensor cat(std::initializer_list<Tensor> parts, int64_t axis = 0) {
    return cat(std::span<const Tensor>(parts.begin(), parts.size()), axis);
  }
  [[nodiscard]] static Tensor stack(std::span<const Tensor> parts, int64_t axis = 0);
  [[nodiscard]] static Tensor stack(std::initializer_list<Tensor> parts, int64_t axis = 0) {
    return stack(std::span<const Tensor>(parts.begin(), parts.size()), axis);
  }
  [[nodiscard]] std::vector<Tensor> split(int64_t size, int64_t axis = 0) const;  ///< the last part may be smaller
  [[nodiscard]] std::vector<Tensor> split(const Dims& sizes, int64_t axis = 0) const;
  [[nodiscard]] std::vector<Tensor> chunk(int64_t chunks, int64_t axis = 0) const;
  [[nodiscard]] std::vector<Tensor> unbind(int64_t axis = 0) const;  ///< x[0], x[1], ...
  /// The axes of a grid: n tensors of rank n. "ij": the first runs along axis 0; "xy": along axis 1, as in pictures.
  [[nodiscard]] static std::vector<Tensor> meshgrid(std::span<const Tensor> axes, std::string_view indexing = "ij");
  [[nodiscard]] static std::vector<Tensor> meshgrid(std::initializer_list<Tensor> axes,
                                                    std::string_view indexing = "ij") {
    return meshgrid(std::span<const Tensor>(axes.begin(), axes.size()), indexing);
  }
  [[nodiscard]] Tensor tril(int64_t diagonal = 0) const;
  [[nodiscard]] Tensor triu(int64_t diagonal = 0) const;

  // ---- indexing.cpp. An index outside its axis throws when it is met, at the latest when the result is read.
  /// x[{0, slice(1, 3), ellipsis, none, t}]: integers select first; the tensors, if there are several, broadcast
  /// together, and their axes stand where they were if they were neighbours, otherwise in front. A bool tensor stands
  /// for the positions at which it is true, one tensor for each of its axes.
  [[nodiscard]] Tensor operator[](std::initializer_list<Index> index) const;
  [[nodiscard]] Tensor operator[](const Index& index) const;             ///< a single entry: x[2], x[slice(1)], x[t]
  [[nodiscard]] Tensor gather(int64_t axis, const Tensor& index) const;  ///< out[i][j] = x[index[i][j]][j] for axis 0
  /// This tensor with source[i][j] added to out[index[i][j]][j] for axis 0; several for one place all count.
  [[nodiscard]] Tensor scatter_add(int64_t axis, const Tensor& index, const Tensor& source) const;
  [[nodiscard]] Tensor index_select(int64_t axis, const Tensor& index) const;  ///< `index` has one axis
  [[nodiscard]] Tensor index_add(int64_t axis, const Tensor& index,
                                 const Tensor& source) const;  ///< out[index[i]] += source[i]
  /// This tensor with every element combined with the sources that the index sends to it: out[index[i][j]][j] for axis
  /// 0. Without `include_self` an element that a source reaches starts from nothing; one that none reaches stays.
  [[nodiscard]] Tensor scatter_reduce(int64_t axis, const Tensor& index, const Tensor& source, ScatterReduce how,
                                      bool include_self = true) const;
  /// The same with one index for all that lies at a position of `axis`: out[index[i]] and source[i].
  [[nodiscard]] Tensor index_reduce(int64_t axis, const Tensor& index, const Tensor& source, ScatterReduce how,
                                    bool include_self = true) const;
  // How many elements are true, or differ, shows in the values alone: these three compute this tensor at once.
  [[nodiscard]] Tensor nonzero() const;                          ///< positions of what is not 0: (count, rank), int64
  [[nodiscard]] Tensor masked_select(const Tensor& mask) const;  ///< where `mask` is true: (count); the two broadcast
  [[nodiscard]] UniqueElements unique() const;                   ///< each value once, ascending
  [[nodiscard]] Tensor embedding(const Tensor& index) const;     ///< rows of this (V, D): index.shape + (D,)
  [[nodiscard]] Tensor one_hot(int64_t classes) const;           ///< int64, one axis more; zeros for any other class

  // ---- setitem.cpp
  /// x[{...}] = value: that part has these values from now on, the rest stays. `value` broadcasts to the part. For
  /// every handle, or where a gradient is recorded for this one alone: see `+=`.
  Tensor& set(std::initializer_list<Index> index, const Tensor& value) &;
  Tensor& set(std::initializer_list<Index> index, Scalar value) &;
  Tensor set(std::initializer_list<Index> index, const Tensor& value) && { return std::move(set(index, value)); }
  Tensor set(std::initializer_list<Index> index, Scalar value) && { return std::move(set(index, value)); }
  /// This tensor with out[index[i][j]][j] = source[i][j] for axis 0; of several for one place the last stays.
  [[nodiscard]] Tensor scatter(int64_t axis, const Tensor& index, const Tensor& source) const;
  [[nodiscard]] Tensor scatter(int64_t axis, const Tensor& index, Scalar value) const;

  // ---- transcendental.cpp
  [[nodiscard]] Tensor exp2() const, expm1() const, log2() const, log10() const, log1p() const, erf() const,
      erfc() const;
  [[nodiscard]] Tensor tan() const, asin() const, acos() const, atan() const, sinh() const, cosh() const, asinh() const,
      acosh() const, atanh() const;

  // ---- math.cpp: elementwise formulas
  [[nodiscard]] Tensor square() const, rsqrt() const, abs() const, sign() const, floor() const, ceil() const,
      round() const, trunc() const;
  [[nodiscard]] Tensor pow(const Tensor& exponent) const;
  [[nodiscard]] Tensor pow(Scalar exponent) const;
  [[nodiscard]] Tensor fmod(const Tensor& y) const;  ///< sign of the dividend, as in C
  [[nodiscard]] Tensor fmod(Scalar y) const { return fmod(scalar_like(y, "fmod")); }
  [[nodiscard]] Tensor isnan() const, isinf() const, isfinite() const;
  [[nodiscard]] Tensor clamp(std::optional<Scalar> low, std::optional<Scalar> high = {}) const;
  /// Infinities become the largest and smallest finite values unless others are given.
  [[nodiscard]] Tensor nan_to_num(double nan = 0, std::optional<double> inf = {},
                                  std::optional<double> minus_inf = {}) const;
  [[nodiscard]] Tensor atan2(const Tensor& x) const;      ///< the angle of the point (x, this), in [-pi, pi]
  [[nodiscard]] Tensor logaddexp(const Tensor& y) const;  ///< log(exp(this) + exp(y))
  /// |this - y| <= atol + rtol |y|, or equal.
  [[nodiscard]] Tensor isclose(const Tensor& y, double rtol = 1e-5, double atol = 1e-8, bool equal_nan = false) const;
  bool allclose(const Tensor& y, double rtol = 1e-5, double atol = 1e-8, bool equal_nan = false) const;
  [[nodiscard]] Tensor lerp(const Tensor& end, double weight) const;  ///< this + (end - this) * weight
  [[nodiscard]] Tensor lerp(const Tensor& end, const Tensor& weight) const;
  [[nodiscard]] Tensor masked_fill(const Tensor& mask, Scalar value) const;
  [[nodiscard]] Tensor operator~() const;  ///< every bit of an integer; of a bool its one
  /// The same bits read as another type. Of another size, the last axis grows or shrinks as in PyTorch's view(dtype).
  [[nodiscard]] Tensor bitcast(DType to) const;

  // ---- activations.cpp
  [[nodiscard]] Tensor relu6() const, logsigmoid() const, silu() const, mish() const, quick_gelu() const, selu() const;
  [[nodiscard]] Tensor hardswish() const, hardsigmoid() const, softsign() const;
  [[nodiscard]] Tensor gelu() const;  ///< the tanh form, as in GPT-2; `gelu_erf` is the exact one
  [[nodiscard]] Tensor gelu_erf() const;
  [[nodiscard]] Tensor leaky_relu(double slope = 0.01) const, elu(double alpha = 1) const, celu(double alpha = 1) const;
  [[nodiscard]] Tensor softplus(double beta = 1) const, hardtanh(double low = -1, double high = 1) const;
  [[nodiscard]] Tensor softmax(int64_t axis = -1) const;
  [[nodiscard]] Tensor log_softmax(int64_t axis = -1) const;
  [[nodiscard]] Tensor glu(int64_t axis = -1) const;  ///< the first half times the sigmoid of the second
  [[nodiscard]] Tensor dropout(
      double p = 0.5) const;  ///< zero with probability p, the rest / (1 - p); only while training

  // ---- statistics.cpp
  [[nodiscard]] Tensor mean(const Axes& axes = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor var(const Axes& axes = {}, double correction = 1, bool keepdim = false) const;
  [[nodiscard]] Tensor std(const Axes& axes = {}, double correction = 1, bool keepdim = false) const;
  [[nodiscard]] Tensor any(const Axes& axes = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor all(const Axes& axes = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor argmax(std::optional<int64_t> axis = {},
                              bool keepdim = false) const;  ///< int64, the first of equals
  [[nodiscard]] Tensor argmin(std::optional<int64_t> axis = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor logsumexp(const Axes& axes = {}, bool keepdim = false) const;
  [[nodiscard]] Tensor norm(double p = 2, const Axes& axes = {},
                            bool keepdim = false) const;  ///< p = 0 and infinite, too
  [[nodiscard]] Tensor normalize(double p = 2, const Axes& axes = 1,
                                 double eps = 1e-12) const;  ///< divided by its norm along `axes`
  [[nodiscard]] Tensor cosine_similarity(const Tensor& y, int64_t axis = 1, double eps = 1e-8) const;

  // ---- scan_sort.cpp: along one axis
  [[nodiscard]] Tensor cumsum(int64_t axis) const;  ///< out[i] = x[0] + .. + x[i]
  [[nodiscard]] Tensor cumprod(int64_t axis) const;
  [[nodiscard]] ValuesIndices cummax(int64_t axis) const;  ///< the largest so far; of equals the last
  [[nodiscard]] ValuesIndices cummin(int64_t axis) const;
  [[nodiscard]] Tensor logcumsumexp(int64_t axis) const;  ///< log(cumsum(exp(x))), which may overflow
  /// In ascending order (NaN counts as the largest); equals keep their order.
  [[nodiscard]] ValuesIndices sort(int64_t axis = -1, bool descending = false) const;
  [[nodiscard]] Tensor argsort(int64_t axis = -1, bool descending = false) const;
  [[nodiscard]] ValuesIndices topk(int64_t k, int64_t axis = -1, bool largest = true) const;  ///< in order
  /// The element in the middle, of an even number the lower one; NaN if there is one. Of all, and along an axis.
  [[nodiscard]] Tensor median() const;
  [[nodiscard]] ValuesIndices median(int64_t axis, bool keepdim = false) const;
  /// The value below which the fraction q of the elements lies; NaN if there is one. Several q: they come first.
  [[nodiscard]] Tensor quantile(double q, std::optional<int64_t> axis = {}, bool keepdim = false,
                                QuantileMode mode = QuantileMode::Linear) const;
  [[nodiscard]] Tensor quantile(std::span<const double> q, std::optional<int64_t> axis = {}, bool keepdim = false,
                                QuantileMode mode = QuantileMode::Linear) const;
  [[nodiscard]] Tensor quantile(std::initializer_list<double> q, std::optional<int64_t> axis = {}, bool keepdim = false,
                                QuantileMode mode = QuantileMode::Linear) const {
    return quantile(std::span<const double>(q.begin(), q.size()), axis, keepdim, mode);
  }

  // ---- einsum.cpp, math.cpp
  [[nodiscard]] Tensor dot(const Tensor& y) const;    ///< matmul
  [[nodiscard]] Tensor outer(const Tensor& y) const;  ///< (M) and (N): (M, N)
  /// A product written in letters: einsum("bij,bjk->bik", {x, y}). Repeated letters are summed unless they are in the
  /// result; without "->" the result has the letters that occur once, in alphabetical order. "..." broadcasts.
  [[nodiscard]] static Tensor einsum(std::string_view formula, std::span<const Tensor> operands);
  [[nodiscard]] static Tensor einsum(std::string_view formula, std::initializer_list<Tensor> operands) {
    return einsum(formula, std::span<const Tensor>(operands.begin(), operands.size()));
  }

  // ---- convolution.cpp
  /// x (N, C, H, W), weight (out, C/groups, KH, KW), bias (out): (N, out, OH, OW).
  [[nodiscard]] Tensor conv2d(const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {}) const;
  /// The same with one spatial axis, x (N, C, L), and with three, x (N, C, D, H, W).
  [[nodiscard]] Tensor conv1d(const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {}) const;
  [[nodiscard]] Tensor conv3d(const Tensor& weight, const Tensor& bias = {}, const ConvOptions& options = {}) const;
  /// The adjoint of conv2d: x (N, C, H, W), weight (C, out/groups, KH, KW), bias (out): (N, out, OH, OW).
  [[nodiscard]] Tensor conv_transpose2d(const Tensor& weight, const Tensor& bias = {},
                                        const ConvTransposeOptions& options = {}) const;
  [[nodiscard]] Tensor conv_transpose1d(const Tensor& weight, const Tensor& bias = {},
                                        const ConvTransposeOptions& options = {}) const;
  [[nodiscard]] Tensor conv_transpose3d(const Tensor& weight, const Tensor& bias = {},
                                        const ConvTransposeOptions& options = {}) const;

  // ---- windows.cpp, pooling.cpp
  [[nodiscard]] Tensor unfold(int64_t axis, int64_t size, int64_t step,
                              int64_t dilation = 1) const;  ///< windows; taps come last
  /// x (N, C, H, W) or (C, H, W), the largest or the mean of every window.
  [[nodiscard]] Tensor max_pool2d(const Sizes& window = 2, const PoolOptions& options = {}) const;
  [[nodiscard]] Tensor avg_pool2d(const Sizes& window = 2, const PoolOptions& options = {}) const;
  /// x (N, C, L) or (C, L), and (N, C, D, H, W) or (C, D, H, W). The gradient of a maximum goes to the first of equals.
  [[nodiscard]] Tensor max_pool1d(const Sizes& window, const PoolOptions& options = {}) const;
  [[nodiscard]] Tensor avg_pool1d(const Sizes& window, const PoolOptions& options = {}) const;
  [[nodiscard]] Tensor max_pool3d(const Sizes& window, const PoolOptions& options = {}) const;
  [[nodiscard]] Tensor avg_pool3d(const Sizes& window, const PoolOptions& options = {}) const;
  /// To `size` windows whatever the image's size: window i of n reaches from floor(i H / n) to ceil((i + 1) H / n).
  [[nodiscard]] Tensor adaptive_avg_pool2d(const Sizes& size) const;

  // ---- interpolate.cpp, attention.cpp, normalization.cpp
  /// x (N, C, ...) to `size` along the axes after C, one to three of them.
  [[nodiscard]] Tensor interpolate(const Sizes& size, const InterpolateOptions& options = {}) const;
  [[nodiscard]] Tensor scaled_dot_product_attention(const Tensor& key, const Tensor& value,
                                                    const AttentionOptions& options = {}) const;
  /// `mask`: bool, true where a query may look at a key; or floats that are added to the scores.
  [[nodiscard]] Tensor scaled_dot_product_attention(const Tensor& key, const Tensor& value, const Tensor& mask,
                                                    const AttentionOptions& options = {}) const;
  [[nodiscard]] Tensor layernorm(int64_t axes = 1, double eps = 1e-5) const;  ///< over the last `axes` axes
  /// (x - mean) / sqrt(var + eps) * weight + bias for every channel of x (N, C, ...); weight and bias may be undefined.
  [[nodiscard]] Tensor batchnorm(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& var,
                                 double eps = 1e-5) const;

  // ---- losses.cpp
  /// logits (N, C, ...): `target` holds classes (N, ...) if integers, probabilities (N, C, ...) if floats. `weight` has
  /// one number a class; of classes, the mean is then weighted by them, too.
  [[nodiscard]] Tensor cross_entropy(const Tensor& target, const CrossEntropyOptions& options = {}) const;
  [[nodiscard]] Tensor cross_entropy(const Tensor& target, const Tensor& weight,
                                     const CrossEntropyOptions& options = {}) const;
  /// The same of log-probabilities (N, C, ...) instead of logits. Unlike PyTorch's it takes smoothing and probabilities
  /// as well: cross_entropy is nothing but this after log_softmax.
  [[nodiscard]] Tensor nll_loss(const Tensor& target, const CrossEntropyOptions& options = {}) const;
  [[nodiscard]] Tensor nll_loss(const Tensor& target, const Tensor& weight,
                                const CrossEntropyOptions& options = {}) const;
  /// Of probabilities. `weight` multiplies each term and broadcasts.
  [[nodiscard]] Tensor binary_cross_entropy(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  [[nodiscard]] Tensor binary_cross_entropy(const Tensor& target, const Tensor& weight,
                                            Reduction reduction = Reduction::Mean) const;
  /// Of logits. `pos_weight` multiplies what a positive target adds; either weight may be undefined.
  [[nodiscard]] Tensor binary_cross_entropy_with_logits(const Tensor& target,
                                                        Reduction reduction = Reduction::Mean) const;
  [[nodiscard]] Tensor binary_cross_entropy_with_logits(const Tensor& target, const Tensor& weight,
                                                        const Tensor& pos_weight,
                                                        Reduction reduction = Reduction::Mean) const;
  [[nodiscard]] Tensor mse_loss(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  [[nodiscard]] Tensor l1_loss(const Tensor& target, Reduction reduction = Reduction::Mean) const;
  [[nodiscard]] Tensor smooth_l1_loss(const Tensor& target, double beta = 1,
                                      Reduction reduction = Reduction::Mean) const;
  [[nodiscard]] Tensor huber_loss(const Tensor& target, double delta = 1, Reduction reduction = Reduction::Mean) const;
  /// target * (log target - this): this holds log-probabilities; so does `target`, if `log_target`.
  [[nodiscard]] Tensor kl_div(const Tensor& target, bool log_target = false,
                              Reduction reduction = Reduction::Mean) const;

 private:
  friend struct detail::TensorAccess;
  struct State;
  struct Owner;
  void set_requires_grad(bool on);
  /// Tells a Jit that records of this handle.
  void note() const {
    if (detail::recorders.load(std::memory_order_relaxed) > 0) note_handle();
  }
  void note_handle() const;
  std::shared_ptr<State> state_;
  mutable std::shared_ptr<char> watch_;  ///< of this handle, not its tensor: `w = other` is noticed by a Jit
};

/// Elements, and where along the axis each of them stood.
struct ValuesIndices {
  Tensor values, indices;  ///< int64 indices
};

/// Each value of a tensor once, in ascending order.
struct UniqueElements {
  Tensor values;   ///< (count)
  Tensor inverse;  ///< in the tensor's shape: which of `values` stood there
  Tensor counts;   ///< how often each of `values` stood there
};

inline Tensor Tensor::operator[](const Index& index) const { return (*this)[{index}]; }

/// Computes all of them in one go: what they share is computed once.
void realize(std::span<const Tensor> tensors);

/// Where `condition` is not zero, x; elsewhere y. All three broadcast.
[[nodiscard]] Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y);
[[nodiscard]] Tensor where(const Tensor& condition, const Tensor& x, Scalar y);
[[nodiscard]] Tensor where(const Tensor& condition, Scalar x, const Tensor& y);
[[nodiscard]] Tensor where(const Tensor& condition, Scalar x, Scalar y);

/// d(y)/d(x) for each x, with a graph of their own: they can be differentiated again. `y` has one element and a
/// history; an x that is not part of it gets zeros. The `grad` fields are left alone.
[[nodiscard]] std::vector<Tensor> gradient(const Tensor& y, std::span<const Tensor> xs);
[[nodiscard]] inline std::vector<Tensor> gradient(const Tensor& y, std::initializer_list<Tensor> xs) {
  return gradient(y, std::span<const Tensor>(xs.begin(), xs.size()));
}
/// The same for a `y` of any shape, of whose elements `grad` says how a loss depends on them.
[[nodiscard]] std::vector<Tensor> gradient(const Tensor& y, std::span<const Tensor> xs, const Tensor& grad);
[[nodiscard]] inline std::vector<Tensor> gradient(const Tensor& y, std::initializer_list<Tensor> xs,
                                                  const Tensor& grad) {
  return gradient(y, std::span<const Tensor>(xs.begin(), xs.size()), grad);
}

/// Shape, dtype and the values, the middle left out when there are many.
std::ostream& operator<<(std::ostream& out, const Tensor& x);

// Operators broadcast and promote. `/` is true division: integers give float32. `%` takes the divisor's sign,
// `floor_divide` rounds down. `& | ^ << >>` are for integers and bools. Comparisons give bool.
#define TEENY_OPERATOR(op)                                            \
  [[nodiscard]] Tensor operator op(const Tensor& x, const Tensor& y); \
  [[nodiscard]] Tensor operator op(const Tensor& x, Scalar y);        \
  [[nodiscard]] Tensor operator op(Scalar x, const Tensor& y);
TEENY_OPERATOR(+)
TEENY_OPERATOR(-)
TEENY_OPERATOR(*)
TEENY_OPERATOR(/)
TEENY_OPERATOR(%)
TEENY_OPERATOR(&)
TEENY_OPERATOR(|)
TEENY_OPERATOR(^)
TEENY_OPERATOR(<<)
TEENY_OPERATOR(>>)
TEENY_OPERATOR(<)
TEENY_OPERATOR(<=)
TEENY_OPERATOR(>)
TEENY_OPERATOR(>=)
TEENY_OPERATOR(==)
TEENY_OPERATOR(!=)
#undef TEENY_OPERATOR
[[nodiscard]] Tensor floor_divide(const Tensor& x, const Tensor& y);
[[nodiscard]] Tensor floor_divide(const Tensor& x, Scalar y);
// In place, for every handle of x, like `assign`; the dtype stays x's. While gradients are recorded and x or y has a
// history, this handle becomes another tensor instead, whose history goes on; a leaf that requires a gradient refuses.
#define TEENY_OPERATOR(op)                         \
  Tensor& operator op(Tensor& x, const Tensor& y); \
  Tensor& operator op(Tensor& x, Scalar y);
TEENY_OPERATOR(+=)
TEENY_OPERATOR(-=)
TEENY_OPERATOR(*=)
TEENY_OPERATOR(/=)
#undef TEENY_OPERATOR

}  // namespace teeny
