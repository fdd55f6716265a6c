// The handle itself: what copies of a tensor share, how its values are read, and how it gets new ones.
#include <algorithm>

#include "teeny/schedule/schedule.h"
#include "teeny/tensor/recorder.h"
#include "teeny/tensor/traced.h"

namespace teeny {

/// What all handles of one tensor share.
///
///   handle ──► owner ──► State ──► grad ──► the rule that made it ──► State: no circle, a rule does not hold the owner
struct Tensor::State : std::enable_shared_from_this<State> {
  LazyBuffer data;
  bool requires_grad = false, orphaned = false;
  int64_t version = 0;  ///< how often it was assigned to
  std::shared_ptr<Function> rule;
  Tensor grad;

  explicit State(LazyBuffer data) : data(std::move(data)) {}
  // As nodes die (lazy.cpp): rule after rule, without recursion and without memory. Those on the way back up wait in
  // the states of the inputs that the walk has left.
  ~State() {
    std::shared_ptr<Function> up, now = std::move(rule);
    while (now) {
      if (now.use_count() == 1 && !now->inputs.empty()) {
        State& input = *now->inputs.back().state_;
        if (now->inputs.back().state_.use_count() == 1 && input.rule) std::swap(input.rule, up), std::swap(up, now);
        else now->inputs.pop_back();
      } else if ((now = std::move(up))) {
        up = std::move(now->inputs.back().state_->rule);
        now->inputs.pop_back();
      }
    }
  }
};

/// A gradient is its tensor's as long as there is a handle of it: then nobody can ask for it any more.
struct Tensor::Owner {
  std::shared_ptr<State> owned;
  void operator()(State* state) { state->orphaned = true, state->grad.state_ = nullptr, owned = nullptr; }
};

Tensor::Tensor(LazyBuffer data, bool requires_grad) : state_(std::make_shared<State>(std::move(data))) {
  if (requires_grad) set_requires_grad(true);
  if (context.recorder) context.recorder->on_create({state_, &state_->data});
}

Tensor::Tensor(Scalar value) : Tensor(full({}, value)) {}

const LazyBuffer& Tensor::lazy(const char* op) const {
  if (!state_)
    fail(op, ": this tensor is undefined: no value was given to it, or it is a grad() that no backward has reached");
  note();
  if (context.recorder) context.recorder->on_read({state_, &state_->data}, {state_, &state_->requires_grad});
  return state_->data;
}

void Tensor::note_handle() const {
  if (context.recorder) context.recorder->on_handle(*this, {state_, state_ ? &state_->data : nullptr});
}

namespace detail {
const std::shared_ptr<Function>& TensorAccess::rule(const Tensor& x) { return x.lazy(), x.state_->rule; }
void TensorAccess::set_rule(Tensor& x, std::shared_ptr<Function> rule) {
  rule->versions.clear();
  for (Tensor& input : rule->inputs) {
    rule->versions.push_back(version(input));
    input.state_ = input.state_->shared_from_this();  // without its owner
  }
  x.state_->rule = std::move(rule);
}
int64_t TensorAccess::version(const Tensor& x) { return x.lazy("version"), x.state_->version; }
void TensorAccess::drop_graph(const Tensor& x) { x.lazy("drop_graph"), x.state_->rule = nullptr; }
const Tensor* TensorAccess::grad(const Tensor& x) { return &x.state_->grad; }
void TensorAccess::replace(const Tensor& x, LazyBuffer data) noexcept {
  x.state_->data = std::move(data), x.state_->rule = nullptr, ++x.state_->version;
}
}  // namespace detail

bool Tensor::is_leaf() const { return lazy("is_leaf"), !state_->rule; }

bool Tensor::requires_grad() const { return lazy("requires_grad"), state_->requires_grad || state_->rule; }
Tensor& Tensor::requires_grad_(bool on) & {
  if (!is_float(lazy("requires_grad_").dtype()) && on)
    fail("requires_grad_: only floats have gradients, this is ", dtype());
  set_requires_grad(on);
  return *this;
}
void Tensor::set_requires_grad(bool on) {
  const bool was_on = std::exchange(state_->requires_grad, on);
  // Other handles would not be owners. Then its gradient is kept with its history: a circle, if that is kept, too.
  if (on && !was_on && state_.use_count() == 1) state_ = std::shared_ptr<State>(state_.get(), Owner{state_});
}
Tensor Tensor::grad() const { return lazy("grad"), state_->grad; }
void Tensor::set_grad(const Tensor& grad) {
  if (!state_) fail(grad.state_ ? "set_grad" : "zero_grad", ": this tensor is undefined: no value was given to it");
  if (grad.defined() && (grad.shape() != shape() || !is_float(grad.dtype())))
    fail("set_grad: ", grad.dtype(), " ", grad.shape(), " for a tensor of ", dtype(), " ", shape());
  if (context.recorder) context.recorder->on_set_grad(*this, grad);
  if (!state_->orphaned) state_->grad.state_ = grad.state_;  // not noted as a handle: a recorder has been told
}
Tensor Tensor::detach() const {
  TEENY_TRACED(detach(), {*this}, {});
  return Tensor(lazy("detach"));
}

int Tensor::axis_index(int64_t axis, const char* op) const {
  if (lazy(op).shape().empty()) fail(op, ": axis ", axis, " of a tensor without axes");
  if (axis < -rank() || axis >= rank())
    fail(op, ": axis ", axis, " is outside ", -rank(), " <= axis < ", rank(), " of ", shape());
  return int(axis < 0 ? axis + rank() : axis);
}

Dims Tensor::axis_list(const Axes& axes, const char* op) const {
  if (const int n = lazy(op).shape().size(); !axes.list) return range(0, n);
  Dims result;
  for (int64_t axis : *axes.list) {
    const int a = rank() == 0 && (axis == 0 || axis == -1) ? 0 : axis_index(axis, op);
    if (result.contains(a)) fail(op, ": axis ", a, " is named twice in ", *axes.list);
    result.push_back(a);
  }
  std::sort(result.begin(), result.end());
  return rank() == 0 ? Dims() : result;  // PyTorch's rule: a number has one axis for reductions
}

// ---- Values --------------------------------------------------------------------------------------------------------

void realize(std::span<const Tensor> tensors) {
  std::vector<LazyBuffer> buffers;
  for (const Tensor& tensor : tensors) buffers.push_back(tensor.lazy("realize"));
  realize(std::span<const LazyBuffer>(buffers));
}

const Tensor& Tensor::realize() const& {
  teeny::realize(std::span<const Tensor>(this, 1));
  return *this;
}

namespace {
/// As it is read from memory: in order, and of what is not computed yet no more than the elements that are seen.
LazyBuffer readable(const LazyBuffer& x) {
  const bool all = x.node()->realized() || numel(x.shape()) == numel(x.node()->shape());
  return all && x.views().is_contiguous() && !has_no_memory(x.node()->op) ? x : x.contiguous();
}

template <class T>
std::vector<T> values_of(const Tensor& x, const char* op) {
  if constexpr (std::integral<T> && !std::same_as<T, bool>)  // it must be the same number, without its fraction
    if ((is_float(x.lazy(op).dtype()) || itemsize(x.dtype()) > int64_t(sizeof(T))) &&
        (x.cast(dtype_of<T>()).cast(DType::Float64) != x.cast(DType::Float64).trunc()).sum().item() > 0)
      fail(op, ": ", x.dtype(), " ", x.shape(), " has an element that does not fit ", dtype_of<T>());
  const Tensor same(readable(x.lazy(op)));
  if (x.dtype() != dtype_of<T>()) same.realize();  // the same value as any type: it is not cast in its kernel
  const std::vector<std::byte> bytes = same.cast(dtype_of<T>()).to_bytes();
  using Stored = std::conditional_t<std::same_as<T, bool>, uint8_t, T>;  // a bool that is not 0 is true
  const auto* first = reinterpret_cast<const Stored*>(bytes.data());
  return std::vector<T>(first, first + x.numel());
}
}  // namespace

std::vector<std::byte> Tensor::to_bytes() const {
  if (context.recorder)
    fail("Jit: the call reads the values of a tensor of ", shape(), "; return it, and read it outside");
  const LazyBuffer source = readable(lazy("to_bytes"));
  teeny::realize(std::span<const LazyBuffer>(&source, 1));
  std::vector<std::byte> bytes(size_t(numel() * itemsize(dtype())));
  if (!bytes.empty()) tinyops::read(bytes.data(), source.node()->buffer->data(), bytes.size());
  return bytes;
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  return values_of<T>(*this, "to_vector");
}
template <class T>
T Tensor::item() const {
  if (teeny::numel(lazy("item").shape()) != 1) fail("item: ", shape(), " has ", numel(), " elements, not one");
  return values_of<T>(*this, "item")[0];
}
#define TEENY_INSTANTIATE(T)                            \
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

Tensor& Tensor::assign(const Tensor& x) & {
  if (x.lazy("assign").shape() != lazy("assign").shape())
    fail("assign: ", x.shape(), " to a tensor of ", shape(), "; expand() or reshape() it");
  if (state_->data.node()->of_another_thread())
    fail("assign: another thread has assigned to this tensor of ", shape(), ", and has not computed it yet");
  LazyBuffer data = x.detach().cast(dtype()).lazy();
  const bool owns_memory =
      data.views().is_contiguous() && data.node()->shape() == data.shape() && !has_no_memory(data.node()->op);
  const std::shared_ptr<LazyBuffer> variable(state_, &state_->data);
  if (context.recorder) context.recorder->on_assign(variable, {state_, &state_->version});
  assign_pending(variable, owns_memory ? std::move(data) : data.contiguous());
  state_->rule = nullptr;
  ++state_->version;
  return *this;
}

// In place, like PyTorch's. Where a gradient is recorded, the history would be lost with the old values: then this
// handle becomes another tensor, which has one.
Tensor& assign_or_rebind(Tensor& x, const Tensor& value, const char* op) {
  if (value.lazy(op).shape() != x.lazy(op).shape())
    fail(op, ": the result has ", value.shape(), " and does not fit into ", x.shape());
  if (is_float(value.dtype()) > is_float(x.dtype()) || (x.dtype() == DType::Bool && value.dtype() != DType::Bool))
    fail(op, ": the result is ", value.dtype(), " and does not fit into ", x.dtype());
  const bool recorded = GradMode::enabled() && (x.requires_grad() || value.requires_grad());
  if (!recorded) return x.assign(value);
  if (x.requires_grad() && x.is_leaf())
    fail(op, ": a leaf that requires a gradient would lose it; write under NoGrad, or to a result of this tensor");
  return x = value.cast(x.dtype());
}

}  // namespace teeny
