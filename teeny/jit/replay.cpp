// Replaying: whether a recording still says what the call would do, and its kernels once more on the values of now
// (recording.h).
#include <algorithm>

#include "teeny/jit/recording.h"
#include "teeny/schedule/schedule.h"
#include "tinyops/ranks.h"

namespace teeny {

using tinyops::Buffer;
using tinyops::BufferRef;

namespace {

constexpr const char* kNeedLess = "; smaller batches or shapes need less";

bool same_views(const ShapeTracker& a, const ShapeTracker& b) { return std::ranges::equal(a.views(), b.views()); }

BufferRef copy_of(const std::shared_ptr<Node>& node) {
  const LazyBuffer copy = LazyBuffer(node).contiguous();
  realize(std::span<const LazyBuffer>(&copy, 1));
  return copy.node()->buffer;
}

}  // namespace

std::string Recording::stale_reason() const {
  for (const Origin& origin : origins_) {
    const Node* node = nullptr;
    for (const Holder& holder : origin.holders) {
      const auto data = holder.variable.data.lock();
      if (!data) return text("a tensor of ", holder.views.shape(), " that the call looked at is gone");
      const auto changed = [&](const char* how) { return text("a tensor of ", data->shape(), how); };
      if (*holder.variable.requires_grad.lock() != holder.required_grad)
        return changed(holder.required_grad ? " requires no gradient any more" : " requires a gradient now");
      if (origin.slot < 0) {
        if (data->node().get() != origin.node) return changed(", a constant in the recording, holds other values now");
      } else {
        if (!data->node()->realized()) return changed(" has no values in memory now");
        if (!same_views(data->views(), holder.views)) return changed(" lies in memory in another way now");
      }
      if (node && node != data->node().get()) return changed(" no longer shares its memory with another one");
      node = data->node().get();
    }
  }
  for (const auto& [handle, h] : handles_)
    if (h.alive.expired() || !h.is_same())
      return text("a handle through which the call looked at a tensor", h.shape_text(),
                  h.alive.expired() ? " is gone" : " is another one's now");
  return "";
}

std::vector<Tensor> Recording::replay(std::span<const Tensor> inputs, std::span<const Tensor> given) {
  for (const Graded& g : graded_)
    if (g.adds && g.x.grad().defined()) fail(kAccumulates);
  for (const Tensor& x : given)
    if (left_here_.contains(&x.lazy()) || read_here_.contains(&x.lazy())) fail_shared(x.shape());
  struct Emptied {  // after a replay, also one that threw, the slots hold nothing
    std::deque<Slot>& slots;
    ~Emptied() {
      for (Slot& slot : slots)
        if (!slot.in_block) slot.buffer->alias_to(nullptr), slot.node = nullptr, slot.now = nullptr;
    }
  } const at_the_end{slots_};
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::shared_ptr<Node>& node = inputs[i].lazy().node();
    put(inputs_[i].slot, node->buffer, node);
  }
  for (const Origin& origin : origins_)
    if (origin.slot >= 0) put_numbers_of(origin);
  for (int s : fresh_) {
    put(s, std::make_shared<Buffer>(slots_[size_t(s)].buffer->bytes()), nullptr);
    reserve(slots_[size_t(s)]);
  }
  for (Slot& slot : slots_)
    if (slot.in_block) reserve(slot);
  // All that the call leaves is made before a kernel runs, and handed out when all have run: it is done or not done.
  std::vector<std::pair<Variable, LazyBuffer>> left;
  for (const auto& [variable, result] : left_) left.emplace_back(variable, now(result));
  std::vector<std::pair<size_t, LazyBuffer>> assigned;
  for (size_t i = 0; i < given.size(); ++i)
    if (inputs_[i].assigned) assigned.emplace_back(i, now(*inputs_[i].result));
  std::vector<Tensor> out, grads;
  for (const Result& result : returned_) out.emplace_back(now(result));
  for (const Graded& g : graded_) grads.push_back(g.result ? Tensor(now(*g.result)) : Tensor());

  const auto [seed, counter] = Tensor::random_state();
  for (const Random& random : randoms_)
    random.kernel->seed = seed, random.kernel->counter = counter + random.words_before;
  run_kernels();
  Tensor::set_random_state(seed, counter + random_words_);

  for (auto& [variable, value] : left)
    if (const auto data = variable.data.lock()) *data = std::move(value), ++*variable.version.lock();
  for (auto& [i, value] : assigned) detail::TensorAccess::replace(given[i], std::move(value));
  for (size_t i = 0; i < graded_.size(); ++i) graded_[i].x.set_grad(grads[i]);
  return out;
}

void Recording::put(int s, const BufferRef& buffer, std::shared_ptr<Node> node) {
  Slot& slot = slots_[size_t(s)];
  slot.buffer->alias_to(buffer);
  slot.now = buffer;
  slot.node = std::move(node);
}

void Recording::put_numbers_of(const Origin& origin) {
  std::shared_ptr<Node> node = origin.held.node();
  for (const Holder& holder : origin.holders)
    if (const auto data = holder.variable.data.lock()) node = data->node();
  if (!slots_[size_t(origin.slot)].written) return put(origin.slot, node->buffer, node);
  // Two holds on the node: ours, and that of the one variable that may see its values change.
  const bool alone =
      in_place_ && node.use_count() == 2 && node->buffer.use_count() == 1 && !node->buffer->derived();
  put(origin.slot, alone ? node->buffer : copy_of(node), nullptr);
}

/// What there is no memory for is not begun.
void Recording::reserve(Slot& slot) {
  try {
    slot.buffer->data();
  } catch (const tinyops::OutOfMemory& error) {
    if (slot.first < 0) throw;
    fail(error.what(), ", for the kernel ", debug::label(*kernels_[size_t(slot.first)]), kNeedLess);
  }
}

/// The result's values: of the node that is known to hold them, or of a new one.
LazyBuffer Recording::now(const Result& result) {
  if (result.slot < 0) return result.fixed;
  Slot& slot = slots_[size_t(result.slot)];
  if (!slot.node) slot.node = LazyBuffer::source(slot.now, result.dtype, result.shape).node();
  return {slot.node, result.views};
}

/// All at once, so that a device can make one graph of them; one by one where each is traced. Where variables are
/// written over, a kernel that finds no memory is run again: half of them would be neither before nor after the call.
void Recording::run_kernels() {
  const tinyops::ranks::Drained drained;
  for (const tinyops::Kernel* kernel : kernels_) {
    const auto* k = std::get_if<tinyops::CollectiveKernel>(kernel);
    if (k && k->phase != tinyops::CollectiveKernel::Phase::Finish) tinyops::ranks::expect(*k);
  }
  if (context.execution.run == tinyops::run && !debug::watches_each_kernel()) {
    try {
      debug::traced(work_, [this] { tinyops::run_again(kernels_, memo_); });
    } catch (const tinyops::OutOfMemory& error) {
      fail(error.what(), ", inside one of ", kernels_.size(), " kernels that a Jit replays (DEBUG=2: of which)",
           kNeedLess);
    }
    context.kernels += work_.kernels;
    return;
  }
  for (size_t k = 0; k < kernels_.size(); ++k) try {
      run_kernel(*kernels_[k]);
    } catch (const std::exception&) {
      if (k <= writes_) throw;
      run_kernel(*kernels_[k]);
    }
}

}  // namespace teeny
