// How a recording is made and replayed. The kernels of a call name buffers; in a recording they name slots, empty buffers
// that another one stands in for, anew at every replay:
//
//   slot of           stands in
//   an input          the input's buffer
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
#include "teeny/tensor/recorder.h"
#include "teeny/schedule/schedule.h"

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
  Recording() : random_(Tensor::random_state()) {
    context.recorder = this;
    Execution watched = context.execution;
    watched.on_step = [this](const Step& step) { ran(step); };
    listening_.emplace(std::move(watched));
  }
  ~Recording() override {
    forget_tensors();
    forget_kernels();
  }
  /// The call is over: tensors that are made from now on are not its own. Its last kernels are still to run.
  void forget_tensors() {
    if (context.recorder == this) context.recorder = nullptr;
  }
  void forget_kernels() { listening_.reset(); }

  // ---- Listening

  /// What the call gets for an input: a tensor of its own, with the input's values.
  Tensor placeholder(const LazyBuffer& input, bool requires_grad) {
    const auto buffer = std::make_shared<Buffer>(input.node()->buffer->bytes());
    buffer->alias_to(input.node()->buffer);
    inputs_.push_back(slot_of(buffer));
    return Tensor(LazyBuffer::source(buffer, input.dtype(), input.shape()), requires_grad);
  }

  void on_create(const std::shared_ptr<LazyBuffer>& data) override {
    made_.push_back(data);
    made_here_.insert(data.get());
  }

  /// Notes what is there from before the call. A tensor of the call itself may also hold such values, as a view or as
  /// the host's: these must not be written over.
  void on_read(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<const bool>& requires_grad) override {
    const LazyBuffer& x = *data;
    const bool from_before = !made_here_.contains(data.get());
    if (!has_memory(x) && !is_constant(x)) {
      if (from_before && !assigned_here_.contains(data.get())) {
        unrealized_.push_back(data);
        cannot_replay(text("a tensor of ", x.shape(), " from before the call was still to be computed; realize() it before"));
      }
      return;
    }
    if (is_constant(x) && !from_before) return;
    const int slot = has_memory(x) ? slot_of(x.node()->buffer) : -1;
    if (slot >= 0 && (slots_[size_t(slot)].written || std::ranges::count(inputs_, slot))) return;
    // A constant is held, so its address is its own; memory may pass from node to node, so it goes by the slot.
    const void* key = slot >= 0 ? static_cast<const void*>(&slots_[size_t(slot)]) : x.node().get();
    const auto [known, is_new] = origin_of_.try_emplace(key, origins_.size());
    if (is_new) origins_.push_back({x.node().get(), x, slot, {}});
    std::vector<Holder>& holders = origins_[known->second].holders;
    const auto same = [&](const Holder& h) { return h.variable.data.lock() == data; };
    if (from_before && std::ranges::none_of(holders, same))
      holders.push_back({{data, requires_grad}, x.views(), *requires_grad});
  }

  void on_assign(const std::shared_ptr<LazyBuffer>& data) override {
    const LazyBuffer& x = *data;
    // A constant would be part of the recording; after this call it is memory, and the next one finds it there.
    if (!made_here_.contains(data.get()) && is_constant(x))
      cannot_replay(text("a tensor of ", x.shape(), ", which the call assigns to, was a constant before it"));
    for (Origin& origin : origins_)  // its values may be written over now
      if (origin.slot >= 0 && origin.node == x.node().get()) origin.held = {};
    if (assigned_here_.insert(data.get()).second) assigned_.push_back(data);
  }

  void on_set_grad(const Tensor& x, const Tensor& grad) override {
    for (const Graded& g : graded_)
      if (g.x.same(x)) return;
    if (x.grad().defined() && grad.defined()) fail(kAccumulates);
    graded_.push_back({x, grad.defined(), {}});
  }

  void ran(const Step& step) {
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

  /// A tensor of the call that lives on would not be renewed by a replay.
  void check_nothing_else_lives() const {
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
  std::string finish(std::span<const Tensor> returned) {
    if (!unreplayable_reason_.empty()) return unreplayable_reason_;
    for (const std::weak_ptr<LazyBuffer>& weak : assigned_)
      if (const auto data = weak.lock()) left_.push_back({weak, result_of(*data)});
    for (const Tensor& x : returned) returned_.push_back(result_of(x.lazy()));
    for (Graded& g : graded_)
      if (g.x.grad().defined()) g.result = result_of(g.x.grad().lazy());
    random_words_ = Tensor::random_state().second - random_.second;
    for (Step& step : steps_) {
      kernels_.push_back(&step.kernel);
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
    return "";
  }

  std::vector<Tensor> replay(std::span<const Tensor> inputs) {
    for (const Graded& g : graded_)
      if (g.adds && g.x.grad().defined()) fail(kAccumulates);
    const Emptied at_the_end{slots_};
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::shared_ptr<Node>& node = inputs[i].lazy().node();
      put(inputs_[i], node->buffer, node);
    }
    for (const Origin& origin : origins_)
      if (origin.slot >= 0) put_numbers_of(origin);
    for (int s : fresh_) put(s, std::make_shared<Buffer>(slots_[size_t(s)].buffer->bytes()), nullptr);

    const auto [seed, counter] = Tensor::random_state();
    for (const Random& random : randoms_) random.kernel->seed = seed, random.kernel->counter = counter + random.words_before;
    run_kernels();
    Tensor::set_random_state(seed, counter + random_words_);

    for (const auto& [weak, result] : left_)
      if (const auto data = weak.lock()) *data = now(result);
    std::vector<Tensor> out;
    for (const Result& result : returned_) out.emplace_back(now(result));
    for (Graded& g : graded_) g.x.set_grad(g.result ? Tensor(now(*g.result)) : Tensor());
    return out;
  }

 private:
  static constexpr const char* kAccumulates =
      "Jit: a gradient is added to one from before the call, which a replay would not find; call zero_grad() inside, "
      "before backward()";

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
  struct Graded {
    Tensor x;
    bool adds;                    ///< the call does not clear x.grad before it adds to it
    std::optional<Result> result;
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
    return number;
  }
  bool is_noted(int slot) const {
    return std::ranges::count(inputs_, slot) || origin_of_.contains(&slots_[size_t(slot)]);
  }

  Result result_of(const LazyBuffer& x) {
    if (!has_memory(x)) return {-1, x.dtype(), {}, x.views(), x};
    return {slot_of(x.node()->buffer), x.dtype(), x.node()->shape(), x.views(), {}};
  }

  /// Results get fresh buffers. Every slot that only this call's kernels know gets a part in a block, kept from replay to
  /// replay; the largest choose first.
  void plan_memory() {
    std::vector<bool> placed(slots_.size(), false);
    for (int s : inputs_) placed[size_t(s)] = true;
    for (const Origin& origin : origins_)
      if (origin.slot >= 0) placed[size_t(origin.slot)] = true;
    const auto keep = [&](const Result& result) {
      if (result.slot < 0 || placed[size_t(result.slot)]) return;
      placed[size_t(result.slot)] = true;
      fresh_.push_back(result.slot);
    };
    for (const auto& [weak, result] : left_) keep(result);
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

  void put_numbers_of(const Origin& origin) {
    std::shared_ptr<Node> node = origin.held.node();
    for (const Holder& holder : origin.holders)
      if (const auto data = holder.variable.data.lock()) node = data->node();
    if (!slots_[size_t(origin.slot)].written) return put(origin.slot, node->buffer, node);
    // Two holds on the node: ours, and that of the one variable that may see its values change.
    const bool alone = node.use_count() == 2 && node->buffer.use_count() == 1;
    put(origin.slot, alone ? node->buffer : copy_of(node), nullptr);
  }

  /// All at once, so that a device can make one graph of them; one by one where each is traced.
  void run_kernels() {
    if (context.execution.run == tinyops::run && !debug::watches_each_kernel()) {
      debug::traced(work_, [this] { tinyops::run_again(kernels_, memo_); });
      context.kernels += work_.kernels;
    } else {
      for (const Step& step : steps_) run_kernel(step.kernel);
    }
  }

  /// The result's values: of the node that is known to hold them, or of a new one.
  LazyBuffer now(const Result& result) {
    if (result.slot < 0) return result.fixed;
    Slot& slot = slots_[size_t(result.slot)];
    if (!slot.node) slot.node = LazyBuffer::source(slot.now, result.dtype, result.shape).node();
    return {slot.node, result.views};
  }

  std::optional<ExecutionScope> listening_;  ///< while the kernels of the call run
  std::string unreplayable_reason_;       ///< why this cannot be replayed
  std::pair<uint64_t, uint64_t> random_;  ///< the stream's state when the call began
  uint64_t random_words_ = 0;             ///< that it draws
  std::vector<Step> steps_;
  std::vector<const Kernel*> kernels_;    ///< of the steps
  std::vector<Random> randoms_;           ///< and those that draw
  debug::Counters work_;                  ///< of all of them
  tinyops::PlanCache memo_;                    ///< what the device made of them
  std::deque<Slot> slots_;                ///< they stay where they are
  std::unordered_map<const Buffer*, int> slot_number_;
  std::vector<int> inputs_, fresh_;
  std::vector<Origin> origins_;
  std::unordered_map<const void*, size_t> origin_of_;  ///< by slot, or by the node of a constant
  std::vector<std::weak_ptr<LazyBuffer>> made_, unrealized_, assigned_;
  std::unordered_set<const LazyBuffer*> made_here_, assigned_here_;
  std::vector<std::pair<std::weak_ptr<LazyBuffer>, Result>> left_;
  std::vector<Result> returned_;
  std::vector<Graded> graded_;
};

Replayer::Replayer() = default;
Replayer::~Replayer() = default;
Replayer::Replayer(Replayer&&) noexcept = default;

std::vector<Tensor> Replayer::operator()(std::span<const Tensor> given, const Call& call) {
  if (context.recorder) fail("Jit: called inside the call of another Jit, which records it already");
  std::vector<int64_t> key = {Training::enabled(), GradMode::enabled()};
  std::vector<Tensor> inputs;
  for (const Tensor& x : given) {
    key.insert(key.end(), {int64_t(x.dtype()), x.requires_grad(), x.shape().size()});
    key.insert(key.end(), x.shape().begin(), x.shape().end());
    const bool plain = x.lazy().views().is_contiguous() && x.lazy().node()->shape() == x.shape() &&
                       !has_no_memory(x.lazy().node()->op);
    inputs.push_back(plain ? x.detach() : x.detach().contiguous());
  }
  realize(inputs);  // and everything assigned before
  for (size_t i = 0; i < given.size(); ++i)
    if (given[i].requires_grad()) inputs[i].requires_grad_();

  ++calls_;
  Entry& entry = entries_[key];
  why_ = !entry.watched ? "no call before with these shapes, dtypes and modes" : "it is recorded";
  if (entry.recording) {
    why_ = entry.recording->stale_reason();
    if (why_.empty()) return ++replays_, entry.recording->replay(inputs);
    entry = {};
  }
  std::vector<std::pair<LazyBuffer, bool>> values;
  for (const Tensor& x : inputs) values.emplace_back(x.lazy(), x.requires_grad());
  auto recording = std::make_unique<Recording>();
  std::vector<Tensor> placeholders, out;
  for (const auto& [x, requires_grad] : values) placeholders.push_back(recording->placeholder(x, requires_grad));
  {
    const std::vector<Tensor> returned = call(placeholders);
    recording->forget_tensors();
    for (const Tensor& x : returned) out.push_back(x.detach());
    for (Tensor& x : placeholders) x = x.detach();  // the call's own handles go, the values stay
  }
  recording->check_nothing_else_lives();
  std::vector<Tensor> left = out;
  for (const Tensor& x : recording->gradients()) left.push_back(x);
  for (const Tensor& x : recording->unrealized()) left.push_back(x);
  realize(left);
  recording->forget_kernels();
  // The first call makes what is made on first use: moments, initial values. The second one is recorded.
  if (std::exchange(entry.watched, true)) {
    if (const std::string unreplayable_reason = recording->finish(out); unreplayable_reason.empty())
      entry.recording = std::move(recording);
    else why_ = unreplayable_reason;
  }
  if (debug::level() >= 1) std::fprintf(stderr, "Jit: call %lld is not replayed: %s\n", (long long)calls_, why_.c_str());
  // An input that comes back is the input, not what stood in for it.
  for (Tensor& x : out)
    for (size_t i = 0; i < inputs.size(); ++i)
      if (x.lazy().node() == placeholders[i].lazy().node()) x = Tensor({inputs[i].lazy().node(), x.lazy().views()});
  return out;
}

}  // namespace teeny
