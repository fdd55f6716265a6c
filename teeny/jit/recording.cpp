// Recording: what the call does, written down while it does it, and made ready to be replayed (recording.h).
#include "teeny/jit/recording.h"

#include <algorithm>

#include "teeny/jit/blocks.h"
#include "teeny/schedule/assignments.h"

namespace teeny {

using tinyops::Buffer;
using tinyops::BufferRef;
using tinyops::Kernel;

namespace {

/// Whether the values are in memory: neither unrealized nor a constant.
bool has_memory(const LazyBuffer& x) { return x.node()->realized(); }
bool is_constant(const LazyBuffer& x) { return std::holds_alternative<node::Constant>(x.node()->op); }

}  // namespace

Recording::Recording(bool kept) : kept_(kept), random_(Tensor::random_state()) {
  ++detail::recorders;
  context.recorder = this;
  Execution watched = context.execution;
  watched.on_step = [this](const Step& step) { ran(step); };
  listening_.emplace(std::move(watched));
}
Recording::~Recording() {
  forget_tensors();
  forget_kernels();
  release_inputs();
}

// ---- The call runs

Tensor Recording::placeholder(const LazyBuffer* given, const LazyBuffer& input, bool requires_grad) {
  LazyBuffer own = input;
  int slot = -1;
  if (kept_) {
    const auto buffer = std::make_shared<Buffer>(input.node()->buffer->bytes());
    buffer->alias_to(input.node()->buffer);
    slot = slot_of(buffer);
    own = LazyBuffer::source(buffer, input.dtype(), input.shape());
  }
  const Tensor result(own, requires_grad);
  inputs_.push_back({slot, given, made_.back(), own, input});
  return result;
}

void Recording::on_create(const std::shared_ptr<LazyBuffer>& data) {
  made_.push_back(data);
  made_here_.insert(data.get());
}

void Recording::on_handle(const Tensor& handle, const std::shared_ptr<LazyBuffer>& data) {
  if (!kept_ || made_here_.contains(data.get())) return;
  for (const Graded& g : graded_)
    if (&handle == detail::TensorAccess::grad(g.x)) return;  // the call has set it by now
  if (const auto known = handles_.find(&handle); known != handles_.end() && !known->second.alive.expired()) return;
  try {
    handles_.insert_or_assign(
        &handle, Handle{&handle, detail::TensorAccess::watch(handle), data, detail::TensorAccess::id(handle)});
  } catch (const std::bad_alloc&) { no_memory_ = true; }  // a handle may be noted as it is moved, which cannot throw
}

void Recording::on_read(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<const bool>& requires_grad) {
  const LazyBuffer& x = *data;
  const bool from_before = !made_here_.contains(data.get());
  for (Input& input : inputs_) input.read_by_capture |= input.given == data.get();
  if (!has_memory(x) && !is_constant(x)) {
    if (from_before && !assigned_here_.contains(data.get())) {
      unrealized_.push_back(data);
      cannot_replay(
          text("a tensor of ", x.shape(), " from before the call was still to be computed; realize() it before"));
    }
    return;
  }
  if (is_constant(x) && !from_before) return;
  const int slot = has_memory(x) ? slot_of(x.node()->buffer) : -1;
  if (slot >= 0 && (slots_[size_t(slot)].written || is_input(slot))) return;
  // A constant is held, so its address is its own; memory may pass from node to node, so it goes by the slot.
  const void* key = slot >= 0 ? static_cast<const void*>(&slots_[size_t(slot)]) : x.node().get();
  const auto [known, is_new] = origin_of_.try_emplace(key, origins_.size());
  if (is_new) origins_.push_back({x.node().get(), x, slot, {}});
  std::vector<Holder>& holders = origins_[known->second].holders;
  const auto same = [&](const Holder& h) { return h.variable.data.lock() == data; };
  if (from_before && std::ranges::none_of(holders, same))
    holders.push_back({{data, requires_grad}, x.views(), *requires_grad});
}

void Recording::on_assign(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<int64_t>& version) {
  const LazyBuffer& x = *data;
  for (Input& input : inputs_) input.assigned_by_capture |= input.given == data.get();
  // A constant would be part of the recording; after this call it is memory, and the next one finds it there.
  if (!made_here_.contains(data.get()) && is_constant(x))
    cannot_replay(text("a tensor of ", x.shape(), ", which the call assigns to, was a constant before it"));
  for (Origin& origin : origins_)  // its values may be written over now; the host's are the same in the next call
    if (origin.slot >= 0 && origin.node == x.node().get() && !origin.holders.empty()) origin.held = {};
  if (assigned_here_.insert(data.get()).second) assigned_.push_back({data, {}, version});
}

void Recording::on_set_grad(const Tensor& x, const Tensor& grad) {
  for (const Graded& g : graded_)
    if (g.x.same(x)) return;
  const Tensor* own = detail::TensorAccess::grad(x);
  if (grad.defined() && detail::TensorAccess::id(*own)) fail(kAccumulates);
  // Where the call found none and adds to it, a replay looks whether there is none.
  if (grad.defined()) handles_.erase(own);
  graded_.push_back({x, grad.defined(), {}, {}});
  context.recorder = nullptr;  // it is not the call that reads it
  graded_.back().before = *own;
  context.recorder = this;
}

/// The kernel has run, and may have written over old values: nothing is thrown from here.
void Recording::ran(const Step& step) noexcept {
  try {
    note_step(step);
  } catch (const std::bad_alloc&) { no_memory_ = true; }
}
void Recording::note_step(const Step& step) {
  const int number = int(steps_.size());
  steps_.push_back({step.kernel, {}});
  tinyops::for_each_operand(steps_.back().kernel, [&](tinyops::Operand& operand, bool written) {
    const int s = slot_of(operand.buffer);
    Slot& slot = slots_[size_t(s)];
    if (slot.first < 0) slot.first = number;
    // Read before anything is written there, and not noted: values of a tensor that was unrealized before.
    if (!written && !slot.written && !is_noted(s))
      cannot_replay("a tensor that was unrealized before the call was computed inside; realize() it before");
    slot.last = number;
    slot.written |= written;
    operand.buffer = slot.buffer;
  });
}

int Recording::slot_of(const BufferRef& buffer) {
  const auto known = slot_number_.find(buffer.get());
  if (known != slot_number_.end() && slots_[size_t(known->second)].original.lock() == buffer) return known->second;
  const int number = int(slots_.size());
  slots_.push_back({.buffer = std::make_shared<Buffer>(buffer->bytes()), .original = buffer});
  slot_number_[buffer.get()] = number;
  slot_of_stand_in_[slots_.back().buffer.get()] = number;
  return number;
}
bool Recording::is_input(int slot) const {
  return slot >= 0 && std::ranges::any_of(inputs_, [&](const Input& input) { return input.slot == slot; });
}
void Recording::cannot_replay(std::string why) {
  if (unreplayable_reason_.empty()) unreplayable_reason_ = std::move(why);
}

// ---- The call is over

void Recording::forget_tensors() {
  if (context.recorder != this) return;
  context.recorder = nullptr;
  --detail::recorders;
  for (Input& input : inputs_)
    if (const auto data = input.data.lock()) input.assigned = data->node() != input.placeholder.node();
}

void Recording::assign_inputs(std::span<const Tensor> placeholders, std::span<const Tensor> given) {
  for (size_t i = 0; i < given.size(); ++i) {
    const Input& input = inputs_[i];
    if (input.assigned_by_capture || (input.assigned && input.read_by_capture)) fail_shared(input.values.shape());
    if (input.assigned) Tensor(given[i]).assign(Tensor(placeholders[i].lazy()));
  }
}
void Recording::fail_shared(const Shape& shape) {
  fail("Jit: a tensor of ", shape, " is an input and is looked at from outside as well, and the call assigns to it; "
       "use one of the two");
}

void Recording::release_inputs() {
  for (Input& input : inputs_)
    if (const auto data = input.data.lock(); kept_ && data && data->node() == input.placeholder.node())
      *data = std::move(input.values);
}

void Recording::check_nothing_else_lives() const {
  if (!kept_) return;
  std::unordered_set<const LazyBuffer*> left;
  for (const Graded& g : graded_)
    if (g.x.grad().defined()) left.insert(&g.x.grad().lazy());
  for (const std::weak_ptr<LazyBuffer>& weak : made_)
    if (const auto data = weak.lock(); data && !left.contains(data.get()))
      fail("Jit: a tensor of ", data->shape(), " that the call made lives on outside, and a replay would not renew it; "
           "return it, or assign() it to a tensor from before");
}

std::vector<Tensor> Recording::gradients() const {
  std::vector<Tensor> result;
  for (const Graded& g : graded_)
    if (g.x.grad().defined()) result.push_back(g.x.grad());
  return result;
}
std::vector<Tensor> Recording::unrealized() const {
  std::vector<Tensor> result;
  for (const std::weak_ptr<LazyBuffer>& weak : unrealized_)
    if (const auto data = weak.lock(); data && !has_memory(*data) && !is_constant(*data)) result.emplace_back(*data);
  return result;
}
std::vector<Tensor> Recording::survivors() const {
  std::vector<Tensor> result;
  for (const std::weak_ptr<LazyBuffer>& weak : made_)
    if (const auto data = weak.lock()) result.emplace_back(*data);
  return result;
}

void Recording::take_back_gradients() {
  forget_tensors();
  for (Graded& g : graded_) g.x.set_grad(g.before);
}

// ---- All is computed: what a replay needs

std::string Recording::finish(std::span<const Tensor> returned, std::span<const Tensor> given) {
  for (Graded& g : graded_) g.before = {};
  std::erase_if(handles_, [](const auto& h) { return h.second.alive.expired(); });
  for (const auto& [handle, h] : handles_)
    if (!h.is_same())
      cannot_replay("a handle from before the call is another tensor's after it; assign() to the tensor");
  if (no_memory_) cannot_replay("there was no memory to note what it did");
  if (!unreplayable_reason_.empty()) return unreplayable_reason_;
  for (const Variable& variable : assigned_)
    if (const auto data = variable.data.lock()) {
      left_.push_back({variable, result_of(*data)});
      left_here_.insert(data.get());
    }
  for (size_t i = 0; i < given.size(); ++i) {
    inputs_[i].data = {}, inputs_[i].given = nullptr, inputs_[i].placeholder = inputs_[i].values = {};
    if (!inputs_[i].assigned) continue;
    inputs_[i].result = result_of(given[i].lazy());
    for (const Origin& origin : origins_)
      for (const Holder& holder : origin.holders) read_here_.insert(holder.variable.data.lock().get());
  }
  for (const Tensor& x : returned) returned_.push_back(result_of(x.lazy()));
  for (Graded& g : graded_)
    if (g.x.grad().defined()) g.result = result_of(g.x.grad().lazy());
  random_words_ = Tensor::random_state().second - random_.second;
  order_kernels();
  for (Step& step : steps_) {
    work_ += debug::work(step.kernel);
    if (auto* random = std::get_if<tinyops::RandomKernel>(&step.kernel))
      randoms_.push_back({random, random->counter - random_.second});
  }
  plan_memory();
  made_ = {}, made_here_ = {}, assigned_here_ = {}, origin_of_ = {};
  std::erase_if(origins_, [](const Origin& o) { return o.slot < 0 && o.holders.empty(); });
  return "";
}

Recording::Result Recording::result_of(const LazyBuffer& x) {
  if (!has_memory(x)) return {-1, x.dtype(), {}, x.views(), x};
  return {slot_of(x.node()->buffer), x.dtype(), x.node()->shape(), x.views(), {}};
}

/// Variables are written over as late as they can be. Where kernels are still to come after that, it is done in copies.
void Recording::order_kernels() {
  std::vector<Kernel*> kernels;
  std::vector<const Buffer*> old_values;
  for (Step& step : steps_) kernels.push_back(&step.kernel);
  for (const Origin& origin : origins_)
    if (origin.slot >= 0) old_values.push_back(slots_[size_t(origin.slot)].buffer.get());
  const LateWrites late = write_late(kernels, old_values);
  in_place_ = late.rest == kernels.size();
  writes_ = in_place_ ? late.writes : kernels.size();
  for (size_t k : late.order) kernels_.push_back(kernels[k]);
  for (Slot& slot : slots_) slot.first = slot.last = -1;
  for (size_t k = 0; k < kernels.size(); ++k)
    tinyops::for_each_operand(*kernels[late.order[k]], [&](tinyops::Operand& x, bool) {
      Slot& slot = slots_[size_t(slot_of_stand_in_.at(x.buffer.get()))];
      if (slot.first < 0) slot.first = int(k);
      slot.last = int(k);
    });
}

/// Results get fresh buffers. Every slot that only this call's kernels know gets a part in a block, kept from replay to
/// replay.
void Recording::plan_memory() {
  std::vector<bool> placed(slots_.size(), false);
  for (const Input& input : inputs_) placed[size_t(input.slot)] = true;
  for (const Origin& origin : origins_)
    if (origin.slot >= 0) placed[size_t(origin.slot)] = true;
  const auto keep = [&](const Result& result) {
    if (result.slot < 0 || placed[size_t(result.slot)]) return;
    placed[size_t(result.slot)] = true;
    fresh_.push_back(result.slot);
  };
  for (const auto& [variable, result] : left_) keep(result);
  for (const Input& input : inputs_)
    if (input.result) keep(*input.result);
  for (const Result& result : returned_) keep(result);
  for (const Graded& g : graded_)
    if (g.result) keep(*g.result);

  std::vector<Slot*> slots;
  std::vector<Temporary> temporaries;
  for (size_t s = 0; s < slots_.size(); ++s) {
    if (placed[s] || slots_[s].first < 0) continue;
    slots.push_back(&slots_[s]);
    temporaries.push_back({slots_[s].buffer->bytes(), slots_[s].first, slots_[s].last});
  }
  const std::vector<size_t> block = share_blocks(temporaries);
  std::vector<size_t> bytes(slots.size(), 0);  // of each block: those of the largest in it
  for (size_t t = 0; t < slots.size(); ++t) bytes[block[t]] = std::max(bytes[block[t]], temporaries[t].bytes);
  std::vector<BufferRef> blocks;
  for (size_t size : bytes) blocks.push_back(std::make_shared<Buffer>(size));
  for (size_t t = 0; t < slots.size(); ++t) slots[t]->buffer->alias_to(blocks[block[t]]), slots[t]->in_block = true;
}

}  // namespace teeny
