// The handle itself: making tensors, reading their numbers, looking at parts of them.
#include "teeny/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numbers>

#include "teeny/mlops.h"
#include "teeny/schedule.h"

namespace teeny {

/// What all handles of one tensor share.
struct Tensor::State {
  LazyBuffer data;
  bool requires_grad = false;
  std::shared_ptr<Function> rule;
  Tensor grad;

  explicit State(LazyBuffer data) : data(std::move(data)) {}
  // A long history dies from its end, rule by rule, and not by recursion along it.
  ~State() {
    std::vector<std::shared_ptr<Function>> dying{std::move(rule)};
    while (!dying.empty()) {
      const std::shared_ptr<Function> last = std::move(dying.back());
      dying.pop_back();
      if (!last || last.use_count() != 1) continue;
      for (Tensor& input : last->inputs)
        if (input.state_.use_count() == 1) dying.push_back(std::move(input.state_->rule));
    }
  }
};

Tensor::Tensor(LazyBuffer data, bool requires_grad) : state_(std::make_shared<State>(std::move(data))) {
  state_->requires_grad = requires_grad;
}

Tensor::Tensor(Scalar value) : Tensor(full({}, value)) {}

const LazyBuffer& Tensor::lazy() const {
  if (!state_) fail("this tensor is undefined: it was default-constructed and never given a value");
  return state_->data;
}

const std::shared_ptr<Function>& Tensor::rule() const { return lazy(), state_->rule; }
void Tensor::set_rule(std::shared_ptr<Function> rule) { state_->rule = std::move(rule); }
void Tensor::drop_graph() const { state_->rule = nullptr; }

bool Tensor::requires_grad() const { return lazy(), state_->requires_grad || state_->rule; }
Tensor& Tensor::requires_grad_(bool on) {
  if (on && !is_float(dtype())) fail("requires_grad_: only floats have gradients, this is ", dtype());
  state_->requires_grad = on;
  return *this;
}
Tensor Tensor::grad() const { return lazy(), state_->grad; }
void Tensor::set_grad(const Tensor& grad) const {
  if (grad.defined() && grad.shape() != shape()) fail("set_grad: ", grad.shape(), " for a tensor of ", shape());
  state_->grad = grad;
}
Tensor Tensor::detach() const { return Tensor(lazy()); }

int Tensor::axis_index(int64_t axis, const char* op) const {
  if (axis < -rank() || axis >= rank())
    fail(op, ": axis ", axis, " is outside ", -rank(), " <= axis < ", rank(), " of ", shape());
  return int(axis < 0 ? axis + rank() : axis);
}

Dims Tensor::axis_list(const Axes& axes, const char* op) const {
  Dims result;
  if (!axes.list) {
    for (int a = 0; a < rank(); ++a) result.push_back(a);
    return result;
  }
  for (int64_t axis : *axes.list) {
    const int a = axis_index(axis, op);
    if (result.contains(a)) fail(op, ": axis ", a, " is named twice in ", *axes.list);
    result.push_back(a);
  }
  std::sort(result.begin(), result.end());
  return result;
}

// ---- Meeting of dtypes and shapes -----------------------------------------------------------------------------------

namespace {
/// PyTorch's rule: a tensor without axes is a number, and does not widen a tensor with axes unless its kind (bool,
/// integer, float) is the higher one. So a float32 learning rate leaves a float16 weight what it is.
DType common_dtype(const Tensor& x, const Tensor& y) {
  if ((x.rank() == 0) == (y.rank() == 0)) return promote(x.dtype(), y.dtype());
  const DType number = x.rank() == 0 ? x.dtype() : y.dtype(), tensor = x.rank() == 0 ? y.dtype() : x.dtype();
  auto kind = [](DType d) { return is_float(d) ? 2 : is_int(d) ? 1 : 0; };
  return kind(number) > kind(tensor) ? number : tensor;
}
}  // namespace

std::pair<Tensor, Tensor> matched(const Tensor& x, const Tensor& y, const char* op) {
  const Shape shape = broadcast(x.shape(), y.shape(), op);
  const DType common = common_dtype(x, y);
  return {x.cast(common).expand(shape), y.cast(common).expand(shape)};
}

Tensor as_float(const Tensor& x) { return is_float(x.dtype()) ? x : x.cast(DType::Float32); }

Tensor Tensor::scalar_like(Scalar value) const {
  if (value.is_fraction() && !is_float(dtype())) return full({}, value, DType::Float32);
  if (dtype() == DType::Bool && !value.is_bool()) return full({}, value, DType::Int64);
  return full({}, value, dtype());
}

// ---- Creation -------------------------------------------------------------------------------------------------------

namespace {
void check_shape(const Shape& shape, const char* op) {
  for (int64_t size : shape)
    if (size < 0) fail(op, ": a size in ", shape, " is negative");
  int64_t bytes;
  if (__builtin_mul_overflow(numel(shape), int64_t(8), &bytes)) fail(op, ": ", shape, " is too large");
}
}  // namespace

Tensor Tensor::from_bytes(std::span<const std::byte> bytes, DType dtype, const Shape& shape) {
  check_shape(shape, "from");
  if (int64_t(bytes.size()) != teeny::numel(shape) * itemsize(dtype))
    fail("from: ", bytes.size(), " bytes of ", dtype, " do not fill ", shape);
  auto buffer = std::make_shared<tinyops::Buffer>(bytes.size());
  if (!bytes.empty()) tinyops::write(buffer->data(), bytes.data(), bytes.size());
  return Tensor(LazyBuffer::source(std::move(buffer), dtype, shape));
}

Tensor Tensor::from(const std::vector<bool>& values, const Shape& shape) {
  const std::vector<uint8_t> bytes(values.begin(), values.end());  // vector<bool> packs eight into one
  return from_bytes(std::as_bytes(std::span(bytes)), DType::Bool, shape);
}

Tensor Tensor::full(const Shape& shape, Scalar value, std::optional<DType> dtype) {
  check_shape(shape, "full");
  const DType natural = value.is_bool() ? DType::Bool : value.is_fraction() ? DType::Float32 : DType::Int64;
  return Tensor(LazyBuffer::number(value, dtype.value_or(natural), shape));
}

Tensor Tensor::arange(Scalar start, Scalar stop, Scalar step, std::optional<DType> dtype) {
  const double first = start.as<double>(), last = stop.as<double>(), by = step.as<double>();
  if (by == 0 || !std::isfinite(first) || !std::isfinite(last) || !std::isfinite(by))
    fail("arange: from ", first, " to ", last, " in steps of ", by);
  const bool fraction = start.is_fraction() || stop.is_fraction() || step.is_fraction();
  const double count = std::max(0.0, std::ceil((last - first) / by));
  if (count > 9e15) fail("arange: ", count, " elements are too many");
  const Tensor n(LazyBuffer::iota(int64_t(count)));
  const DType to = dtype.value_or(fraction ? DType::Float32 : DType::Int64);
  if (!fraction) return (n * step + start).cast(to);
  return (n.cast(DType::Float64) * step + start).cast(to);
}

Tensor Tensor::linspace(double start, double stop, int64_t steps) {
  if (steps < 0) fail("linspace: ", steps, " steps");
  const double step = steps > 1 ? (stop - start) / double(steps - 1) : 0;
  return (Tensor(LazyBuffer::iota(steps)).cast(DType::Float64) * step + start).cast(DType::Float32);
}

Tensor Tensor::eye(int64_t n, std::optional<int64_t> m, DType dtype) {
  check_shape({n, m.value_or(n)}, "eye");
  return (arange(n).unsqueeze(-1) == arange(m.value_or(n))).cast(dtype);
}

Tensor Tensor::tri(int64_t rows, int64_t columns, int64_t diagonal) {
  return arange(columns) <= arange(rows).unsqueeze(-1) + diagonal;
}

// ---- Random numbers -------------------------------------------------------------------------------------------------

namespace {
struct RandomState {
  uint64_t seed = std::getenv("SEED") ? std::strtoull(std::getenv("SEED"), nullptr, 10) : 0;
  uint64_t counter = 0;
};
RandomState& random_stream() {
  static RandomState state;
  return state;
}
}  // namespace

void Tensor::manual_seed(uint64_t seed) { random_stream() = {seed, 0}; }
std::pair<uint64_t, uint64_t> Tensor::random_state() { return {random_stream().seed, random_stream().counter}; }
void Tensor::set_random_state(uint64_t seed, uint64_t counter) { random_stream() = {seed, counter}; }

Tensor Tensor::rand(const Shape& shape, DType dtype) {
  check_shape(shape, "rand");
  if (!is_float(dtype)) fail("rand: makes floats, not ", dtype);
  const DType drawn = dtype == DType::Float64 ? dtype : DType::Float32;
  RandomState& state = random_stream();
  const Tensor out(LazyBuffer::random(state.seed, state.counter, drawn, shape));
  const uint64_t words = uint64_t(teeny::numel(shape)) * (drawn == DType::Float64 ? 2 : 1);
  state.counter += (words + 3) / 4 * 4;  // whole blocks: every tensor starts at word 0 of one
  if (dtype == drawn) return out;
  const double steps = dtype == DType::Float16 ? 2048 : 256;  // as fine as the type is below 1, so that none rounds to 1
  return ((out * steps).floor() / steps).cast(dtype);
}

// Box & Muller, "A note on the generation of random normal deviates", 1958. 1 - u is never 0.
Tensor Tensor::randn(const Shape& shape, DType dtype) {
  if (!is_float(dtype)) fail("randn: makes floats, not ", dtype);
  const DType drawn = dtype == DType::Float64 ? dtype : DType::Float32;
  const Tensor u = rand(shape, drawn), v = rand(shape, drawn);
  return (((1 - u).log() * -2).sqrt() * (v * (2 * std::numbers::pi)).cos()).cast(dtype);
}

Tensor Tensor::uniform(const Shape& shape, double low, double high) { return rand(shape) * (high - low) + low; }
Tensor Tensor::normal(const Shape& shape, double mean, double std) { return randn(shape) * std + mean; }

Tensor Tensor::randint(int64_t low, int64_t high, const Shape& shape) {
  if (high <= low) fail("randint: no integer is in [", low, ", ", high, ")");
  const Tensor scaled = rand(shape, DType::Float64) * double(high - low);
  return scaled.floor().cast(DType::Int64) + low;
}

Tensor Tensor::scaled_uniform(const Shape& shape) {
  return uniform(shape, -1, 1) / std::sqrt(double(std::max<int64_t>(teeny::numel(shape), 1)));
}

namespace {
/// Inputs of one output, and outputs of one input, of a weight (out, in, ...).
std::pair<double, double> fans(const Shape& shape, const char* op) {
  if (shape.size() < 2) fail(op, ": needs a shape (out, in, ...), not ", shape);
  const double window = double(numel(Shape(shape.begin() + 2, shape.end())));
  return {double(shape[1]) * window, double(shape[0]) * window};
}
}  // namespace

Tensor Tensor::glorot_uniform(const Shape& shape) {
  const auto [in, out] = fans(shape, "glorot_uniform");
  const double bound = std::sqrt(6 / (in + out));
  return uniform(shape, -bound, bound);
}
Tensor Tensor::kaiming_uniform(const Shape& shape, double a) {
  const double bound = std::sqrt(3.0) * std::sqrt(2 / (1 + a * a)) / std::sqrt(fans(shape, "kaiming_uniform").first);
  return uniform(shape, -bound, bound);
}
Tensor Tensor::kaiming_normal(const Shape& shape, double a) {
  return normal(shape, 0, std::sqrt(2 / (1 + a * a)) / std::sqrt(fans(shape, "kaiming_normal").first));
}

// ---- Numbers --------------------------------------------------------------------------------------------------------

void realize(std::span<const Tensor> tensors) {
  std::vector<LazyBuffer> buffers;
  for (const Tensor& tensor : tensors) buffers.push_back(tensor.lazy());
  realize(std::span<const LazyBuffer>(buffers));
}

const Tensor& Tensor::realize() const {
  teeny::realize(std::span<const Tensor>(this, 1));
  return *this;
}

std::vector<std::byte> Tensor::to_bytes() const {
  const bool stored = lazy().views().is_contiguous() && !std::holds_alternative<node::Number>(lazy().node()->op) &&
                      !std::holds_alternative<node::Iota>(lazy().node()->op);
  const LazyBuffer source = stored ? lazy() : lazy().contiguous();
  teeny::realize(std::span<const LazyBuffer>(&source, 1));
  std::vector<std::byte> bytes(size_t(numel() * itemsize(dtype())));
  if (!bytes.empty()) tinyops::read(bytes.data(), source.node()->buffer->data(), bytes.size());
  return bytes;
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  const std::vector<std::byte> bytes = cast(dtype_of<T>()).to_bytes();
  std::vector<T> values(static_cast<size_t>(numel()));
  if constexpr (std::same_as<T, bool>) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = bytes[i] != std::byte(0);
  } else if (!bytes.empty()) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  }
  return values;
}
template <class T>
T Tensor::item() const {
  if (numel() != 1) fail("item: ", shape(), " has ", numel(), " elements, not one");
  return to_vector<T>()[0];
}
#define TEENY_INSTANTIATE(T)                        \
  template std::vector<T> Tensor::to_vector<T>() const; \
  template T Tensor::item<T>() const;
TEENY_INSTANTIATE(bool)
TEENY_INSTANTIATE(uint8_t)
TEENY_INSTANTIATE(int32_t)
TEENY_INSTANTIATE(int64_t)
TEENY_INSTANTIATE(float16)
TEENY_INSTANTIATE(bfloat16)
TEENY_INSTANTIATE(float)
TEENY_INSTANTIATE(double)
#undef TEENY_INSTANTIATE

Tensor& Tensor::assign(const Tensor& x) {
  if (x.shape() != shape()) fail("assign: ", x.shape(), " to a tensor of ", shape());
  LazyBuffer data = x.detach().cast(dtype()).lazy();
  const NodeOp& op = data.node()->op;
  const bool owns_memory = data.views().is_contiguous() && data.node()->shape == data.shape() &&
                           !std::holds_alternative<node::Number>(op) && !std::holds_alternative<node::Iota>(op);
  state_->data = owns_memory ? data : data.contiguous();
  state_->rule = nullptr;
  add_pending(state_->data.node());
  return *this;
}

// ---- Parts ----------------------------------------------------------------------------------------------------------

Tensor Tensor::operator[](std::initializer_list<Index> entries) const {
  int used = 0;
  for (const Index& entry : entries) used += std::holds_alternative<int64_t>(entry) || std::holds_alternative<Slice>(entry);
  if (used > rank()) fail("index: ", used, " entries for the ", rank(), " axes of ", shape());

  Tensor x = *this;
  int axis = 0;
  bool seen_ellipsis = false;
  for (const Index& entry : entries) {
    if (std::holds_alternative<Ellipsis>(entry)) {
      if (std::exchange(seen_ellipsis, true)) fail("index: more than one ellipsis");
      axis += rank() - used;
    } else if (std::holds_alternative<NewAxis>(entry)) {
      x = x.unsqueeze(axis++);
    } else {
      const int64_t n = x.shape()[axis];
      Dims begin = Dims::filled(x.rank(), 0), end = x.shape();
      if (const auto* at = std::get_if<int64_t>(&entry)) {
        if (*at < -n || *at >= n) fail("index: ", *at, " is outside ", -n, " <= index < ", n, " of axis ", axis, " of ", shape());
        begin[axis] = *at < 0 ? *at + n : *at;
        end[axis] = begin[axis] + 1;
        x = x.shrink(begin, end).squeeze(axis);
        continue;
      }
      // Python's rule: bounds count from either end and are cut to the axis.
      const Slice& s = std::get<Slice>(entry);
      if (s.step == 0) fail("index: a slice with step 0");
      auto bound = [&](std::optional<int64_t> value, int64_t missing) {
        const int64_t low = s.step > 0 ? 0 : -1, high = s.step > 0 ? n : n - 1;
        return value ? std::clamp(*value < 0 ? *value + n : *value, low, high) : missing;
      };
      const int64_t start = bound(s.start, s.step > 0 ? 0 : n - 1), stop = bound(s.stop, s.step > 0 ? n : -1);
      begin[axis] = s.step > 0 ? start : stop + 1;
      end[axis] = std::max(begin[axis], s.step > 0 ? stop : start + 1);
      x = x.shrink(begin, end);
      if (s.step < 0) x = x.flip(axis);
      const int64_t by = s.step < 0 ? -s.step : s.step;
      if (by > 1 && x.shape()[axis] > 0) x = x.unfold(axis, 1, by).squeeze(-1);
      ++axis;
    }
  }
  return x;
}

Tensor Tensor::transpose(int64_t a, int64_t b) const {
  const int first = axis_index(a, "transpose"), second = axis_index(b, "transpose");
  Dims order;
  for (int i = 0; i < rank(); ++i) order.push_back(i == first ? second : i == second ? first : i);
  return permute(order);
}

Tensor Tensor::flatten(int64_t start, int64_t end) const {
  if (rank() == 0) return reshape({1});
  const int first = axis_index(start, "flatten"), last = axis_index(end, "flatten");
  if (first > last) fail("flatten: from axis ", first, " to axis ", last);
  Shape to(shape().begin(), shape().begin() + first);
  to.push_back(teeny::numel(Shape(shape().begin() + first, shape().begin() + last + 1)));
  for (int a = last + 1; a < rank(); ++a) to.push_back(shape()[a]);
  return reshape(to);
}

Tensor Tensor::unflatten(int64_t axis, const Shape& sizes) const {
  const int at = axis_index(axis, "unflatten");
  Shape inner = sizes;
  int64_t known = 1, open = 0;
  for (int64_t size : sizes) size == -1 ? ++open : known *= size;
  const int64_t n = shape()[at];
  if (open > 1 || known <= 0 || (open ? n % known : n != known))
    fail("unflatten: axis ", at, " of ", shape(), " does not split into ", sizes);
  for (int64_t& size : inner)
    if (size == -1) size = n / known;
  Shape to(shape().begin(), shape().begin() + at);
  for (int64_t size : inner) to.push_back(size);
  for (int a = at + 1; a < rank(); ++a) to.push_back(shape()[a]);
  return reshape(to);
}

Tensor Tensor::squeeze(std::optional<int64_t> axis) const {
  const int only = axis ? axis_index(*axis, "squeeze") : -1;
  Shape to;
  for (int a = 0; a < rank(); ++a)
    if (shape()[a] != 1 || (axis && a != only)) to.push_back(shape()[a]);
  return reshape(to);
}

Tensor Tensor::unsqueeze(int64_t axis) const {
  if (axis < -rank() - 1 || axis > rank())
    fail("unsqueeze: axis ", axis, " is outside ", -rank() - 1, " <= axis <= ", rank(), " of ", shape());
  Shape to = shape();
  to.insert(int(axis < 0 ? axis + rank() + 1 : axis), 1);
  return reshape(to);
}

Tensor Tensor::repeat(const Dims& times) const {
  if (times.size() < rank()) fail("repeat: ", times, " names fewer axes than ", shape());
  Shape apart, grown, to;  // (n) -> (1, n) -> (t, n) -> (t*n)
  for (int a = 0; a < times.size(); ++a) {
    const int from = a - (times.size() - rank());
    const int64_t n = from < 0 ? 1 : shape()[from];
    if (times[a] < 0) fail("repeat: ", times, ": a count is negative");
    apart.push_back(1), apart.push_back(n);
    grown.push_back(times[a]), grown.push_back(n);
    to.push_back(times[a] * n);
  }
  return reshape(apart).expand(grown).reshape(to);
}

Tensor Tensor::roll(int64_t shift, int64_t axis) const {
  const int a = axis_index(axis, "roll");
  const int64_t n = shape()[a];
  if (n == 0) return *this;
  const int64_t cut = n - (shift % n + n) % n;
  Dims begin = Dims::filled(rank(), 0), end = shape();
  begin[a] = cut;
  const Tensor back = shrink(begin, end);
  begin[a] = 0, end[a] = cut;
  return cat({back, shrink(begin, end)}, a);
}

Tensor Tensor::stack(std::span<const Tensor> parts, int64_t axis) {
  if (parts.empty()) fail("stack: nothing to put together");
  std::vector<Tensor> raised;
  for (const Tensor& part : parts) {
    if (part.shape() != parts[0].shape()) fail("stack: ", parts[0].shape(), " and ", part.shape(), " differ");
    raised.push_back(part.unsqueeze(axis));
  }
  return cat(raised, axis < 0 ? axis + parts[0].rank() + 1 : axis);
}

std::vector<Tensor> Tensor::split(int64_t size, int64_t axis) const {
  const int a = axis_index(axis, "split");
  if (size < 1) fail("split: parts of ", size);
  std::vector<Tensor> parts;
  Dims begin = Dims::filled(rank(), 0), end = shape();
  do {
    end[a] = std::min(begin[a] + size, shape()[a]);
    parts.push_back(shrink(begin, end));
    begin[a] = end[a];
  } while (end[a] < shape()[a]);
  return parts;
}

std::vector<Tensor> Tensor::chunk(int64_t chunks, int64_t axis) const {
  const int a = axis_index(axis, "chunk");
  if (chunks < 1) fail("chunk: ", chunks, " chunks");
  return split(std::max<int64_t>((shape()[a] + chunks - 1) / chunks, 1), a);
}

Tensor Tensor::index_select(int64_t axis, const Tensor& index) const {
  const int a = axis_index(axis, "index_select");
  if (index.rank() != 1 || !is_int(index.dtype()))
    fail("index_select: the index is ", index.dtype(), ' ', index.shape(), " and must be integers along one axis");
  Shape aligned = Dims::filled(rank(), 1), to = shape();
  aligned[a] = to[a] = index.shape()[0];
  return gather(a, index.reshape(aligned).expand(to));
}

Tensor Tensor::embedding(const Tensor& index) const {
  if (rank() != 2) fail("embedding: the weight has shape ", shape(), " and must be (rows, width)");
  if (!is_int(index.dtype())) fail("embedding: the index is ", index.dtype(), " and must be integers");
  Shape to = index.shape();
  to.push_back(shape()[1]);
  return index_select(0, index.reshape({-1})).reshape(to);
}

}  // namespace teeny
