// How a recording is made and replayed. The kernels of a call name buffers; in a recording they name slots, empty buffers
// that another one stands in for, anew at every replay:
//
//   slot of           stands in
//   an input          the input's buffer; nothing is written there, an input that is assigned to gets a fresh one
//   a variable        the buffer with the values it holds now; a copy of it if the call writes there and someone else
//                     looks at them, too
//   a result          a fresh buffer: what an earlier call returned keeps its values
//   a temporary       a block that temporaries share whose lives do not overlap, kept from call to call
//
//   kernel      0   1   2   3   4   5
//   a  96 KiB   w───r───r                 block 0: a, then c
//   b  16 KiB       w───────r             block 1: b
//   c  64 KiB               w───r───r
#include "teeny/jit/jit.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "teeny/debug/trace.h"
#include "teeny/schedule/assignments.h"
#include "teeny/tensor/function.h"
#include "teeny/tensor/recorder.h"

namespace teeny {

using tinyops::Buffer;
using tinyops::BufferRef;
using tinyops::Kernel;

namespace {

/// Whether the values are in memory: neither unrealized nor a constant.
bool has_memory(const LazyBuffer& x) { return x.node()->realized(); }
bool is_constant(const LazyBuffer& x) { return std::holds_alternative<node::Constant>(x.node()->op); }

bool same_views(const ShapeTracker& a, const ShapeTracker& b) { return std::ranges::equal(a.views(), b.views()); }

BufferRef copy_of(const std::shared_ptr<Node>& node) {
  const LazyBuffer copy = LazyBuffer(node).contiguous();
  realize(std::span<const LazyBuffer>(&copy, 1));
  return copy.node()->buffer;
}

}  // namespace

/// The kernels of one call, and what stands in for their buffers. While it listens it is the recorder; then it is
/// replayed.
class Recording : public Recorder {
 public:
  /// `given` are the caller's tensors. Of a first call (not `kept`) nothing but its mistakes is of interest.
  explicit Recording(bool kept) : kept_(kept), random_(Tensor::random_state()) {
    ++detail::recorders;
    context.recorder = this;
    Execution watched = context.execution;
    watched.on_step = [this](const Step& step) { ran(step); };
    listening_.emplace(std::move(watched));
  }
  ~Recording() override {
    forget_tensors();
    forget_kernels();
    release_inputs();
  }
  /// The call is over: tensors that are made from now on are not its own. Its last kernels are still to run.
  void forget_tensors() {
    if (context.recorder != this) return;
    context.recorder = nullptr;
    --detail::recorders;
    for (Input& input : inputs_)
      if (const auto data = input.data.lock()) input.assigned = data->node() != input.placeholder.node();
  }
  /// Whoever still holds what stood in for an input holds its values from here on.
  void release_inputs() {
    for (Input& input : inputs_)
      if (const auto data = input.data.lock(); kept_ && data && data->node() == input.placeholder.node())
        *data = std::move(input.values);
  }
  void forget_kernels() { listening_.reset(); }
  /// The call has failed.
  void take_back_gradients() {
    forget_tensors();
    for (Graded& g : graded_) g.x.set_grad(g.before);
  }

  // ---- Listening

  /// What the call gets for what the caller gave: a tensor of its own, with the values of `input`.
  Tensor placeholder(const LazyBuffer* given, const LazyBuffer& input, bool requires_grad) {
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

  void on_create(const std::shared_ptr<LazyBuffer>& data) override {
    made_.push_back(data);
    made_here_.insert(data.get());
  }

  void on_handle(const Tensor& handle, const std::shared_ptr<LazyBuffer>& data) override {
    if (!kept_ || made_here_.contains(data.get())) return;
    for (const Graded& g : graded_)
      if (&handle == detail::TensorAccess::grad(g.x)) return;  // the call has set it by now
    for (size_t i = handles_.size(); i-- > 0;)
      if (handles_[i].handle == &handle && !handles_[i].alive.expired()) return;
    try {
      handles_.push_back({&handle, detail::TensorAccess::watch(handle), data, detail::TensorAccess::id(handle)});
    } catch (const std::bad_alloc&) { no_memory_ = true; }  // a handle may be told of where it is moved, which cannot throw
  }

  /// Notes what is there from before the call. A tensor of the call itself may also hold such values, as a view or as
  /// the host's: these must not be written over.
  void on_read(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<const bool>& requires_grad) override {
    const LazyBuffer& x = *data;
    const bool from_before = !made_here_.contains(data.get());
    for (Input& input : inputs_) input.read_by_capture |= input.given == data.get();
    if (!has_memory(x) && !is_constant(x)) {
      if (from_before && !assigned_here_.contains(data.get())) {
        unrealized_.push_back(data);
        cannot_replay(text("a tensor of ", x.shape(), " from before the call was still to be computed; realize() it before"));
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

  void on_assign(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<int64_t>& version) override {
    const LazyBuffer& x = *data;
    for (Input& input : inputs_) input.assigned_by_capture |= input.given == data.get();
    // A constant would be part of the recording; after this call it is memory, and the next one finds it there.
    if (!made_here_.contains(data.get()) && is_constant(x))
      cannot_replay(text("a tensor of ", x.shape(), ", which the call assigns to, was a constant before it"));
    for (Origin& origin : origins_)  // its values may be written over now
      if (origin.slot >= 0 && origin.node == x.node().get()) origin.held = {};
    if (assigned_here_.insert(data.get()).second) assigned_.push_back({data, {}, version});
  }

  void on_set_grad(const Tensor& x, const Tensor& grad) override {
    for (const Graded& g : graded_)
      if (g.x.same(x)) return;
    const Tensor* own = detail::TensorAccess::grad(x);
    if (grad.defined() && detail::TensorAccess::id(*own)) fail(kAccumulates);
    // Where the call found none and adds to it, a replay looks whether there is none.
    if (grad.defined()) std::erase_if(handles_, [&](const Handle& h) { return h.handle == own; });
    graded_.push_back({x, grad.defined(), {}, {}});
    context.recorder = nullptr;  // it is not the call that reads it
    graded_.back().before = *own;
    context.recorder = this;
  }

  /// The kernel has run, and may have written over old values: nothing is thrown from here.
  void ran(const Step& step) noexcept {
    try {
      note_step(step);
    } catch (const std::bad_alloc&) { no_memory_ = true; }
  }
  void note_step(const Step& step) {
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

  /// Tensors that were unrealized before the call: they are computed before the next one, which then finds values.
  std::vector<Tensor> unrealized() const {
    std::vector<Tensor> result;
    for (const std::weak_ptr<LazyBuffer>& weak : unrealized_)
      if (const auto data = weak.lock(); data && !has_memory(*data) && !is_constant(*data)) result.emplace_back(*data);
    return result;
  }
  /// What the call left in some .grad.
  std::vector<Tensor> gradients() const {
    std::vector<Tensor> result;
    for (const Graded& g : graded_)
      if (g.x.grad().defined()) result.push_back(g.x.grad());
    return result;
  }

  /// Tensors that the call made and that live on: what is made on first use.
  std::vector<Tensor> survivors() const {
    std::vector<Tensor> result;
    for (const std::weak_ptr<LazyBuffer>& weak : made_)
      if (const auto data = weak.lock()) result.emplace_back(*data);
    return result;
  }

  /// The call is over: what it assigned to a placeholder is assigned to the caller's tensor.
  void assign_inputs(std::span<const Tensor> placeholders, std::span<const Tensor> given) {
    for (size_t i = 0; i < given.size(); ++i) {
      const Input& input = inputs_[i];
      if (input.assigned_by_capture || (input.assigned && input.read_by_capture)) fail_shared(input.values.shape());
      if (input.assigned) Tensor(given[i]).assign(Tensor(placeholders[i].lazy()));
    }
  }

  /// A tensor of the call that lives on would not be renewed by a replay.
  void check_nothing_else_lives() const {
    if (!kept_) return;
    std::unordered_set<const LazyBuffer*> left;
    for (const Graded& g : graded_)
      if (g.x.grad().defined()) left.insert(&g.x.grad().lazy());
    for (const std::weak_ptr<LazyBuffer>& weak : made_)
      if (const auto data = weak.lock(); data && !left.contains(data.get()))
        fail("Jit: a tensor of ", data->shape(), " that the call made lives on outside, and a replay would not renew it; "
             "return it, or assign() it to a tensor from before");
  }

  /// The call is over, and what it returned and left behind has been computed. Says why the next call is to be recorded
  /// instead: something that was a constant or unrealized before this one is memory only now. Empty: this can be replayed.
  std::string finish(std::span<const Tensor> returned, std::span<const Tensor> given) {
    for (Graded& g : graded_) g.before = {};
    std::erase_if(handles_, [](const Handle& h) { return h.alive.expired(); });
    for (const Handle& h : handles_)
      if (!h.is_same()) cannot_replay("a handle from before the call is another tensor's after it; assign() to the tensor");
    if (no_memory_) cannot_replay("there was no memory to note what it did");
    if (!unreplayable_reason_.empty()) return unreplayable_reason_;
    for (const Variable& variable : assigned_)
      if (const auto data = variable.data.lock()) left_.push_back({variable, result_of(*data)}), left_here_.insert(data.get());
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

  // ---- Replaying

  /// Why the recording no longer says what a call would do; empty when it does. Variables may hold other values now, but
  /// the same tensors must look at them in the same way, and what is part of the recording must not have changed.
  std::string stale_reason() const {
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
          if (!has_memory(*data)) return changed(" has no values in memory now");
          if (!same_views(data->views(), holder.views)) return changed(" lies in memory in another way now");
        }
        if (node && node != data->node().get()) return changed(" no longer shares its memory with another one");
        node = data->node().get();
      }
    }
    for (const Handle& h : handles_)
      if (h.alive.expired() || !h.is_same())
        return text("a handle through which the call looked at a tensor", h.shape_text(),
                    h.alive.expired() ? " is gone" : " is another one's now");
    return "";
  }

  /// `inputs` have the values of what the caller gave, in memory.
  std::vector<Tensor> replay(std::span<const Tensor> inputs, std::span<const Tensor> given) {
    for (const Graded& g : graded_)
      if (g.adds && g.x.grad().defined()) fail(kAccumulates);
    for (const Tensor& x : given)
      if (left_here_.contains(&x.lazy()) || read_here_.contains(&x.lazy())) fail_shared(x.shape());
    const Emptied at_the_end{slots_};
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
    // All that the call leaves is made before a kernel runs, and handed out when all have run: a call is done or not done.
    std::vector<std::pair<Variable, LazyBuffer>> left;
    for (const auto& [variable, result] : left_) left.emplace_back(variable, now(result));
    std::vector<std::pair<size_t, LazyBuffer>> assigned;
    for (size_t i = 0; i < given.size(); ++i)
      if (inputs_[i].assigned) assigned.emplace_back(i, now(*inputs_[i].result));
    std::vector<Tensor> out, grads;
    for (const Result& result : returned_) out.emplace_back(now(result));
    for (const Graded& g : graded_) grads.push_back(g.result ? Tensor(now(*g.result)) : Tensor());

    const auto [seed, counter] = Tensor::random_state();
    for (const Random& random : randoms_) random.kernel->seed = seed, random.kernel->counter = counter + random.words_before;
    run_kernels();
    Tensor::set_random_state(seed, counter + random_words_);

    for (auto& [variable, value] : left)
      if (const auto data = variable.data.lock()) *data = std::move(value), ++*variable.version.lock();
    for (auto& [i, value] : assigned) detail::TensorAccess::replace(given[i], std::move(value));
    for (size_t i = 0; i < graded_.size(); ++i) graded_[i].x.set_grad(grads[i]);
    return out;
  }

 private:
  static constexpr const char* kAccumulates =
      "Jit: a gradient is added to one from before the call, which a replay would not find; call zero_grad() inside, "
      "before backward()";

  static constexpr const char* kNeedLess = "; smaller batches or shapes need less";

  [[noreturn]] static void fail_shared(const Shape& shape) {
    fail("Jit: a tensor of ", shape, " is an input and is looked at from outside as well, and the call assigns to it; "
         "use one of the two");
  }

  struct Random {
    tinyops::RandomKernel* kernel;
    uint64_t words_before;          ///< that the call draws before it
  };
  struct Slot {
    BufferRef buffer;               ///< what the kernels name
    std::weak_ptr<Buffer> original; ///< what they named
    int first = -1, last = -1;      ///< the steps that use it
    bool written = false;
    bool in_block = false;          ///< a temporary: a block stands in for good
    BufferRef now = {};             ///< during a replay: what stands in, and the node with these values
    std::shared_ptr<Node> node = {};
  };
  /// A handle from before the call through which it read, and what its tensor was then.
  struct Handle {
    const Tensor* handle;
    std::weak_ptr<const char> alive;  ///< as long as the handle
    std::weak_ptr<LazyBuffer> data;
    const void* id;  ///< null: it was undefined

    bool is_same() const { return detail::TensorAccess::id(*handle) == id && (!id || !data.expired()); }
    std::string shape_text() const {
      const auto now = data.lock();
      return now ? text(" of ", now->shape()) : std::string();
    }
  };
  struct Holder {
    Variable variable;
    ShapeTracker views;
    bool required_grad;
  };
  /// Values from before the call: those of one node.
  struct Origin {
    const Node* node;
    LazyBuffer held;              ///< so that nothing is written over them; empty once the call may
    int slot;                     ///< -1: a constant
    std::vector<Holder> holders;  ///< tensors from before the call; none: values of the host, the same for ever
  };
  /// A LazyBuffer of a replay: values in a slot, seen through views; or, without a slot, always the same.
  struct Result {
    int slot;
    DType dtype;
    Shape shape;                  ///< of the node
    ShapeTracker views;
    LazyBuffer fixed;
  };
  struct Input {
    int slot;
    const LazyBuffer* given;         ///< the caller's, while this listens
    std::weak_ptr<LazyBuffer> data;  ///< the placeholder's
    LazyBuffer placeholder, values;  ///< what it held when the call began, and the caller's; held, so not written over
    bool read_by_capture = false, assigned_by_capture = false;  ///< through another handle than the call's argument
    bool assigned = false;
    std::optional<Result> result = {};
  };
  struct Graded {
    Tensor x;
    bool adds;                    ///< the call does not clear x.grad before it adds to it
    std::optional<Result> result;
    Tensor before;                ///< what x.grad was, until the call is done
  };
  /// After a replay, also one that threw, the slots hold nothing.
  struct Emptied {
    std::deque<Slot>& slots;
    ~Emptied() {
      for (Slot& slot : slots)
        if (!slot.in_block) slot.buffer->alias_to(nullptr), slot.node = nullptr, slot.now = nullptr;
    }
  };

  void cannot_replay(std::string why) {
    if (unreplayable_reason_.empty()) unreplayable_reason_ = std::move(why);
  }

  int slot_of(const BufferRef& buffer) {
    const auto known = slot_number_.find(buffer.get());
    if (known != slot_number_.end() && slots_[size_t(known->second)].original.lock() == buffer) return known->second;
    const int number = int(slots_.size());
    slots_.push_back({.buffer = std::make_shared<Buffer>(buffer->bytes()), .original = buffer});
    slot_number_[buffer.get()] = number;
    slot_of_stand_in_[slots_.back().buffer.get()] = number;
    return number;
  }
  bool is_noted(int slot) const {
    return is_input(slot) || origin_of_.contains(&slots_[size_t(slot)]);
  }
  bool is_input(int slot) const {
    return slot >= 0 && std::ranges::any_of(inputs_, [&](const Input& input) { return input.slot == slot; });
  }

  Result result_of(const LazyBuffer& x) {
    if (!has_memory(x)) return {-1, x.dtype(), {}, x.views(), x};
    return {slot_of(x.node()->buffer), x.dtype(), x.node()->shape(), x.views(), {}};
  }

  /// Variables are written over as late as they can be. Where kernels are still to come after that, it is done in copies.
  void order_kernels() {
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
  /// replay; the largest choose first.
  void plan_memory() {
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

    std::vector<size_t> temporaries;
    for (size_t s = 0; s < slots_.size(); ++s)
      if (!placed[s] && slots_[s].first >= 0) temporaries.push_back(s);
    std::ranges::stable_sort(temporaries, std::greater(), [&](size_t s) { return slots_[s].buffer->bytes(); });
    struct Block {
      BufferRef buffer;
      std::vector<size_t> slots;
    };
    std::vector<Block> blocks;
    for (size_t s : temporaries) {
      Slot& slot = slots_[s];
      const auto apart = [&](size_t other) { return slots_[other].last < slot.first || slot.last < slots_[other].first; };
      auto block = std::ranges::find_if(blocks, [&](const Block& b) { return std::ranges::all_of(b.slots, apart); });
      if (block == blocks.end()) block = blocks.insert(block, {std::make_shared<Buffer>(slot.buffer->bytes()), {}});
      block->slots.push_back(s);
      slot.buffer->alias_to(block->buffer);
      slot.in_block = true;
    }
  }

  void put(int s, const BufferRef& buffer, std::shared_ptr<Node> node) {
    Slot& slot = slots_[size_t(s)];
    slot.buffer->alias_to(buffer);
    slot.now = buffer;
    slot.node = std::move(node);
  }

  /// What there is no memory for is not begun.
  void reserve(Slot& slot) {
    try {
      slot.buffer->data();
    } catch (const tinyops::OutOfMemory& error) {
      if (slot.first < 0) throw;
      fail(error.what(), ", for the kernel ", debug::label(*kernels_[size_t(slot.first)]), kNeedLess);
    }
  }

  void put_numbers_of(const Origin& origin) {
    std::shared_ptr<Node> node = origin.held.node();
    for (const Holder& holder : origin.holders)
      if (const auto data = holder.variable.data.lock()) node = data->node();
    if (!slots_[size_t(origin.slot)].written) return put(origin.slot, node->buffer, node);
    // Two holds on the node: ours, and that of the one variable that may see its values change.
    const bool alone = in_place_ && node.use_count() == 2 && node->buffer.use_count() == 1;
    put(origin.slot, alone ? node->buffer : copy_of(node), nullptr);
  }

  /// All at once, so that a device can make one graph of them; one by one where each is traced. Where variables are written over,
  /// a kernel that finds no memory is run again: half of them would be neither before nor after the call.
  void run_kernels() {
    if (context.execution.run == tinyops::run && !debug::watches_each_kernel()) {
      try {
        debug::traced(work_, [this] { tinyops::run_again(kernels_, memo_); });
      } catch (const tinyops::OutOfMemory& error) {
        fail(error.what(), ", inside one of ", kernels_.size(), " kernels that a Jit replays (DEBUG=2: of which)", kNeedLess);
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

  /// The result's values: of the node that is known to hold them, or of a new one.
  LazyBuffer now(const Result& result) {
    if (result.slot < 0) return result.fixed;
    Slot& slot = slots_[size_t(result.slot)];
    if (!slot.node) slot.node = LazyBuffer::source(slot.now, result.dtype, result.shape).node();
    return {slot.node, result.views};
  }

  const bool kept_;                       ///< to be replayed
  std::optional<ExecutionScope> listening_;  ///< while the kernels of the call run
  std::string unreplayable_reason_;       ///< why this cannot be replayed
  std::pair<uint64_t, uint64_t> random_;  ///< the stream's state when the call began
  uint64_t random_words_ = 0;             ///< that it draws
  std::vector<Step> steps_;
  std::vector<const Kernel*> kernels_;    ///< of the steps, in the order of a replay
  bool in_place_ = true;                  ///< variables may be written over
  size_t writes_ = 0;                     ///< from which kernel on
  std::vector<Random> randoms_;           ///< and those that draw
  debug::Counters work_;                  ///< of all of them
  tinyops::PlanCache memo_;                    ///< what the device made of them
  std::deque<Slot> slots_;                ///< they stay where they are
  std::unordered_map<const Buffer*, int> slot_number_, slot_of_stand_in_;  ///< by what kernels named, and by what they name
  std::vector<Input> inputs_;
  std::vector<int> fresh_;
  std::vector<Handle> handles_;
  bool no_memory_ = false;
  std::vector<Origin> origins_;
  std::unordered_map<const void*, size_t> origin_of_;  ///< by slot, or by the node of a constant
  std::vector<std::weak_ptr<LazyBuffer>> made_, unrealized_;
  std::vector<Variable> assigned_;
  std::unordered_set<const LazyBuffer*> made_here_, assigned_here_;
  std::unordered_set<const LazyBuffer*> left_here_, read_here_;  ///< variables; the second only where inputs are assigned to
  std::vector<std::pair<Variable, Result>> left_;
  std::vector<Result> returned_;
  std::deque<Graded> graded_;  // moved, they would be noted as handles of the call
};

Replayer::Replayer(JitOptions options) : options_(options) {
  if (options.recordings < 1) fail("Jit: room for ", options.recordings, " recordings; 1 or more");
}
Replayer::~Replayer() = default;
Replayer::Replayer(Replayer&& other) noexcept
    : options_(other.options_), entries_(std::move(other.entries_)), calls_(other.calls_), replays_(other.replays_),
      why_(std::move(other.why_)), moved_from_(std::exchange(other.moved_from_, true)) {}

/// The entry of calls like this one. Where there is no room, the one that was used least recently goes.
Replayer::Entry& Replayer::entry_of(const std::vector<int64_t>& key) {
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (int64_t(entries_.size()) >= options_.recordings) {
      const auto by_use = [](const auto& a, const auto& b) { return a.second.last_call < b.second.last_call; };
      entries_.erase(std::ranges::min_element(entries_, by_use));
      if (debug::level() >= 1)
        std::fprintf(stderr, "Jit: call %lld has shapes of its own, and the recording that was used least recently goes: there "
                     "is room for %lld (JitOptions::recordings)\n", (long long)calls_, (long long)options_.recordings);
    }
    found = entries_.emplace(key, Entry()).first;
  }
  found->second.last_call = calls_;
  return found->second;
}

std::vector<Tensor> Replayer::operator()(std::span<const Tensor> given, const Call& call) {
  if (moved_from_) fail("Jit: called after it was moved from");
  if (context.recorder) fail("Jit: called inside the call of another Jit, which records it already");
  std::vector<int64_t> key;
  key.reserve(32);
  key = {Training::enabled(), GradMode::enabled()};
  std::vector<Tensor> unique, inputs;  // a tensor that is given twice is one input
  std::vector<size_t> number;
  for (size_t i = 0; i < given.size(); ++i) {
    const Tensor& x = given[i];
    if (!x.defined()) fail("Jit: input ", i, " is an undefined tensor");
    const size_t k = size_t(std::ranges::find_if(unique, [&](const Tensor& other) { return other.same(x); }) - unique.begin());
    number.push_back(k);
    key.insert(key.end(), {int64_t(k), int64_t(x.dtype()), x.requires_grad(), x.shape().size()});
    key.insert(key.end(), x.shape().begin(), x.shape().end());
    if (k < unique.size()) continue;
    unique.push_back(x);
    const bool plain = x.lazy().views().is_contiguous() && x.lazy().node()->shape() == x.shape() &&
                       !has_no_memory(x.lazy().node()->op);
    inputs.push_back(plain ? x.detach() : x.detach().contiguous());
  }
  realize(inputs);  // and everything assigned before
  ++calls_;
  Entry& entry = entry_of(key);
  why_ = !entry.watched ? "no call before with these shapes, dtypes and modes" : "it is recorded";
  if (entry.recording) {
    why_ = entry.recording->stale_reason();
    if (why_.empty()) return ++replays_, entry.recording->replay(inputs, unique);
    entry.recording = nullptr, entry.watched = false;
  }
  // The first call makes what is made on first use: moments, initial values. The second one is recorded.
  const std::vector<Tensor> out = run(entry, unique, inputs, number, call);
  if (debug::level() >= 1) std::fprintf(stderr, "Jit: call %lld is not replayed: %s\n", (long long)calls_, why_.c_str());
  return out;
}

std::vector<Tensor> Replayer::run(Entry& entry, std::span<const Tensor> given, std::span<const Tensor> inputs,
                                  std::span<const size_t> number, const Call& call) {
  const auto [seed, counter] = Tensor::random_state();
  int64_t group = 0;
  bool done = false;
  std::unique_ptr<Recording> recording;
  try {
    struct Values {
      const LazyBuffer* given;
      LazyBuffer values;
      bool requires_grad;
    };
    std::vector<Values> all;  // looked at before anything is recorded
    for (size_t i = 0; i < given.size(); ++i) all.push_back({&given[i].lazy(), inputs[i].lazy(), given[i].requires_grad()});
    recording = std::make_unique<Recording>(entry.watched);
    std::vector<Tensor> out;
    std::vector<std::shared_ptr<Node>> nodes;
    {
      const AssignmentGroup together;
      group = context.group;
      std::vector<Tensor> placeholders, arguments;
      for (const Values& x : all) placeholders.push_back(recording->placeholder(x.given, x.values, x.requires_grad));
      for (const Tensor& x : placeholders) nodes.push_back(x.lazy().node());
      for (size_t k : number) arguments.push_back(placeholders[k]);
      {
        const std::vector<Tensor> returned = call(arguments);
        recording->forget_tensors();
        for (const Tensor& x : returned) out.push_back(x.detach());
      }
      recording->assign_inputs(placeholders, given);
      arguments.clear();
      for (Tensor& x : placeholders) x = x.detach();  // the call's own handles go, the values stay
      recording->release_inputs();
      recording->check_nothing_else_lives();
    }
    // First what the program would compute when it reads the results, in the same kernels: which sums are computed together
    // decides on a GPU in which order they add up. Then what a replay must find in memory.
    realize(out);
    done = true;
    std::vector<Tensor> left = recording->gradients();
    for (const Tensor& x : recording->unrealized()) left.push_back(x);
    for (const Tensor& x : recording->survivors()) left.push_back(x);
    realize(left);
    recording->forget_kernels();
    if (std::exchange(entry.watched, true)) {
      if (const std::string unreplayable_reason = recording->finish(out, given); unreplayable_reason.empty())
        entry.recording = std::move(recording);
      else why_ = unreplayable_reason;
    }
    // An input that comes back is the input, not what stood in for it.
    for (Tensor& x : out)
      for (size_t i = 0; i < inputs.size(); ++i)
        if (x.lazy().node() == nodes[i]) x = Tensor({inputs[i].lazy().node(), x.lazy().views()});
    return out;
  } catch (...) {
    // What the call assigned is taken back, and what it drew is drawn again; unless it is all computed, or still will be.
    const auto of_this_call = [&](const PendingAssignment& p) { return p.group == group; };
    if (done || std::ranges::any_of(context.pending, of_this_call)) throw;
    Tensor::set_random_state(seed, counter);
    if (recording) recording->take_back_gradients();
    throw;
  }
}

}  // namespace teeny
