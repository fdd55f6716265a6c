// How a recording is made and replayed. The kernels of a call name buffers; in a recording they name slots, empty buffers
// that another one stands in for, anew at every replay:
//
//   slot of           stands in
//   an input          the input's buffer
//   a variable        the buffer with the numbers it holds now; a copy of it if the call writes there and someone else
//                     looks at them, too
//   a result          a fresh buffer: what an earlier call returned keeps its numbers
//   a temporary       a block that temporaries share whose lives do not overlap, kept from call to call
//
//   kernel      0   1   2   3   4   5
//   a  96 KiB   w───r───r                 block 0: a, then c
//   b  16 KiB       w───────r             block 1: b
//   c  64 KiB               w───r───r
#include "teeny/jit.h"

#include <algorithm>
#include <deque>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "teeny/debug/trace.h"
#include "teeny/recorder.h"
#include "teeny/schedule.h"

namespace teeny {

using tinyops::Buffer;
using tinyops::BufferRef;
using tinyops::Kernel;

Recorder*& recorder() {
  static thread_local Recorder* current = nullptr;
  return current;
}

namespace {

/// Tensors of different handles may share a node: what is looked at when asking who else holds its numbers.
bool has_memory(const LazyBuffer& x) { return x.node()->realized(); }

BufferRef copy_of(const LazyBuffer& x) {
  const LazyBuffer copy = LazyBuffer(x.node()).contiguous();
  realize(std::span<const LazyBuffer>(&copy, 1));
  return copy.node()->buffer;
}

}  // namespace

/// The kernels of one call, and what stands in for their buffers. While it is `recording` it listens; then it is replayed.
class Recording : public Recorder {
 public:
  /// `keep`: a first call is only watched, not written down.
  explicit Recording(bool keep) : keep_(keep), random_(Tensor::random_state()) {
    recorder() = this;
    execution().ran = [this](const Step& step) { ran(step); };
  }
  ~Recording() override { stop(); }

  void stop() {
    if (recorder() != this) return;
    recorder() = nullptr;
    execution().ran = nullptr;
  }

  // ---- Listening

  Tensor placeholder(const Tensor& input) {
    const auto slot = std::make_shared<Buffer>(input.lazy().node()->buffer->bytes());
    slot->stand_in(input.lazy().node()->buffer);
    Tensor result(LazyBuffer::source(slot, input.dtype(), input.shape()), input.requires_grad());
    inputs_.push_back(slot_of(slot));
    placeholders_.push_back(result.lazy());
    return result;
  }

  void seen(const std::shared_ptr<LazyBuffer>& variable) override {
    if (!keep_) return;
    const LazyBuffer& x = *variable;
    if (!has_memory(x) && !std::holds_alternative<node::Number>(x.node()->op)) return;
    const int slot = has_memory(x) ? slot_of(x.node()->buffer) : -1;
    if (slot >= 0 && (slots_[size_t(slot)].written || std::ranges::count(inputs_, slot))) return;
    // Numbers are held, so their address is theirs alone; memory may change its owner.
    const auto [known, is_new] = origin_of_.try_emplace(slot >= 0 ? &slots_[size_t(slot)] : static_cast<const void*>(x.node().get()), origins_.size());
    if (is_new) origins_.push_back({x.node().get(), x, x.views(), slot, {}});
    auto& variables = origins_[known->second].variables;
    if (std::ranges::none_of(variables, [&](const Variable& v) { return v.lock() == variable; })) variables.push_back(variable);
  }

  void assigned(const std::shared_ptr<LazyBuffer>& variable) override {
    if (!keep_) return;
    seen(variable);
    // Its numbers may be written over: no hand may be held over them any longer.
    for (Origin& origin : origins_)
      if (origin.node == variable->node().get() && origin.slot >= 0) origin.held = {};
    if (!variable->node()->realized() && std::holds_alternative<node::Number>(variable->node()->op)) stable_ = false;
    if (std::ranges::none_of(assigned_, [&](const Variable& v) { return v.lock() == variable; }))
      assigned_.push_back(variable);
  }

  void graded(const Tensor& x, const Tensor& grad) override {
    const bool first = std::ranges::none_of(graded_, [&](const Tensor& g) { return g.same(x); });
    if (first && x.grad().defined() && grad.defined())
      fail("Jit: a gradient is added to one from before the call, which a replay would not find again; call zero_grad() "
           "inside, before backward()");
    if (first) graded_.push_back(x);
  }

  void ran(const Step& step) {
    if (!keep_) return;
    const int number = int(kernels_.size());
    kernels_.push_back(step.kernel);
    tinyops::for_each_operand(kernels_.back(), [&](tinyops::Operand& operand, bool written) {
      Slot& slot = slots_[size_t(slot_of(operand.buffer))];
      if (slot.first < 0) slot.first = number;
      slot.last = number;
      slot.written |= written;
      operand.buffer = slot.buffer;
    });
    if (auto* random = std::get_if<tinyops::RandomKernel>(&kernels_.back())) random->counter -= random_.second;
    for (const Step::Result& result : step.results) made_.push_back(result.node);
  }

  /// What the call left in some .grad.
  std::vector<Tensor> gradients() const {
    std::vector<Tensor> result;
    for (const Tensor& x : graded_)
      if (x.grad().defined()) result.push_back(x.grad());
    return result;
  }

  /// The call is over: what it returned and left behind has been computed. False if a replay would not do the same, as
  /// long as a variable that the call assigns to started as a bare number: the next call finds it in memory.
  bool finish(std::span<const Tensor> returned) {
    for (const Variable& weak : assigned_)
      if (const auto variable = weak.lock()) left_.push_back({weak, result_of(*variable)});
    assigned_.clear();
    for (const Tensor& x : returned) returned_.push_back(result_of(x.lazy()));
    for (const Tensor& x : graded_)
      gradients_.push_back({x, x.grad().defined() ? std::optional(result_of(x.grad().lazy())) : std::nullopt});
    stop();
    if (!stable_) return false;
    check_inputs_are_free();
    std::erase_if(origins_, [](const Origin& o) {  // constants of the call itself
      return o.slot < 0 && std::ranges::all_of(o.variables, &Variable::expired);
    });
    find_unnamed();
    check_nothing_else_lives();
    random_words_ = Tensor::random_state().second - random_.second;
    plan_memory();
    return true;
  }

  // ---- Replaying

  /// Whether the recording still says what a call would do: variables may hold other numbers now, but not look at them
  /// differently; and a number that is part of the recording must be the same.
  bool fits() const {
    for (const Origin& origin : origins_) {
      const LazyBuffer* first = nullptr;
      std::vector<std::shared_ptr<LazyBuffer>> alive;
      for (const Variable& weak : origin.variables)
        if (auto variable = weak.lock()) alive.push_back(std::move(variable));
      for (const auto& variable : alive) {
        if (origin.slot < 0 ? variable->node().get() != origin.node
                            : !std::ranges::equal(variable->views().views(), origin.views.views()) || !has_memory(*variable))
          return false;
        if (first && first->node() != variable->node()) return false;
        first = variable.get();
      }
      if (!first && !origin.held.node()) return false;
    }
    return true;
  }

  std::vector<Tensor> replay(std::span<const Tensor> inputs) {
    for (size_t i = 0; i < inputs.size(); ++i)
      put(inputs_[i], inputs[i].lazy().node()->buffer, inputs[i].lazy().node());
    for (const Origin& origin : origins_) {
      if (origin.slot < 0) continue;
      std::shared_ptr<Node> node = origin.held.node();
      for (const Variable& weak : origin.variables)
        if (const auto variable = weak.lock()) node = variable->node();
      Slot& slot = slots_[size_t(origin.slot)];
      // `node` here, and the variable: nobody else may look at numbers that are written over.
      const bool alone = node.use_count() == 2 && node->buffer.use_count() == 1;
      if (slot.written && !alone) put(origin.slot, copy_of(LazyBuffer(node)), nullptr);
      else put(origin.slot, node->buffer, slot.written ? nullptr : node);
    }
    for (int s : fresh_) put(s, std::make_shared<Buffer>(slots_[size_t(s)].buffer->bytes()), nullptr);

    const auto [seed, counter] = Tensor::random_state();
    for (const Kernel& kernel : kernels_) {
      if (const auto* random = std::get_if<tinyops::RandomKernel>(&kernel)) {
        tinyops::RandomKernel now = *random;
        now.seed = seed, now.counter += counter;
        run(now);
      } else run(kernel);
    }
    Tensor::set_random_state(seed, counter + random_words_);

    for (const auto& [weak, result] : left_)
      if (const auto variable = weak.lock()) *variable = now(result);
    std::vector<Tensor> out;
    for (const Result& result : returned_) out.emplace_back(now(result));
    for (const auto& [x, result] : gradients_) x.set_grad(result ? Tensor(now(*result)) : Tensor());
    for (Slot& slot : slots_)
      if (!slot.temporary) slot.buffer->stand_in(nullptr), slot.node = nullptr, slot.now = nullptr;
    return out;
  }

 private:
  struct Slot {
    BufferRef buffer;              ///< what the kernels name
    std::weak_ptr<Buffer> original;
    int first = -1, last = -1;     ///< kernels that use it
    bool written = false, temporary = false;
    std::shared_ptr<Node> node;    ///< during a replay: whose numbers these are
    BufferRef now;                 ///< during a replay: what stands in
  };
  /// Numbers from before the call: those of one node, seen through some variables.
  struct Origin {
    const Node* node;
    LazyBuffer held;               ///< so that nothing is written over them; empty once the call may
    ShapeTracker views;
    int slot;                      ///< -1: a number without memory
    std::vector<Variable> variables;
  };
  /// A LazyBuffer of a replay: numbers in a slot, seen through views; or, without a slot, always the same.
  struct Result {
    int slot;
    DType dtype;
    Shape shape;                   ///< of the node
    ShapeTracker views;
    LazyBuffer fixed;
  };

  int slot_of(const BufferRef& buffer) {
    const auto known = slot_of_.find(buffer.get());
    if (known != slot_of_.end() && slots_[size_t(known->second)].original.lock() == buffer) return known->second;
    const int number = int(slots_.size());
    slots_.push_back({.buffer = std::make_shared<Buffer>(buffer->bytes()), .original = buffer, .node = {}, .now = {}});
    slot_of_[buffer.get()] = number;
    return number;
  }

  Result result_of(const LazyBuffer& x) {
    if (!has_memory(x)) return {-1, x.dtype(), {}, x.views(), x};
    return {slot_of(x.node()->buffer), x.dtype(), x.node()->shape, x.views(), {}};
  }

  /// Slots that kernels read before any writes them, and that no tensor of the call was seen to hold: numbers that an
  /// older promise reads. They are what they are.
  void find_unnamed() {
    std::vector<bool> known(slots_.size(), false);
    for (int s : inputs_) known[size_t(s)] = true;
    for (const Origin& origin : origins_)
      if (origin.slot >= 0) known[size_t(origin.slot)] = true;
    std::vector<bool> written(slots_.size(), false);
    std::unordered_map<const Buffer*, size_t> number;
    for (size_t s = 0; s < slots_.size(); ++s) number[slots_[s].buffer.get()] = s;
    for (Kernel& kernel : kernels_)
      tinyops::for_each_operand(kernel, [&](tinyops::Operand& operand, bool writes) {
        const size_t s = number.at(operand.buffer.get());
        if (!writes && !written[s] && !known[s]) {
          const BufferRef original = slots_[s].original.lock();
          if (!original) fail("Jit: the call reads numbers that nobody holds any more");
          slots_[s].buffer->stand_in(original);
          slots_[s].temporary = true;  // it stays as it is
          unnamed_.push_back(original);
          known[s] = true;
        }
        written[s] = written[s] || writes;
      });
  }

  static constexpr const char* kRemedy =
      " lives on outside, and a replay would not renew it; return it, or assign() it to a tensor from before";

  /// A promise that was not needed in this call still holds its inputs.
  void check_inputs_are_free() {
    std::vector<std::weak_ptr<Node>> nodes;
    for (const LazyBuffer& input : placeholders_) nodes.push_back(input.node());
    placeholders_.clear();
    for (size_t i = 0; i < nodes.size(); ++i)
      if (!nodes[i].expired() && !std::ranges::count(results(), inputs_[i], &Result::slot))
        fail("Jit: a tensor that the call made from input ", i, kRemedy);
  }

  void check_nothing_else_lives() const {
    std::unordered_set<const Buffer*> left;
    for (const Result& result : results())
      if (result.slot >= 0) left.insert(slots_[size_t(result.slot)].original.lock().get());
    for (const std::weak_ptr<Node>& weak : made_)
      if (const auto node = weak.lock(); node && !left.contains(node->buffer.get()))
        fail("Jit: a tensor of ", node->shape, " that the call made", kRemedy);
  }
  /// All that the call leaves behind.
  std::vector<Result> results() const {
    std::vector<Result> all = returned_;
    for (const auto& [weak, result] : left_) all.push_back(result);
    for (const auto& [x, result] : gradients_)
      if (result) all.push_back(*result);
    return all;
  }

  /// Every slot that only this call's kernels know gets a part in a block; the largest choose first.
  void plan_memory() {
    std::vector<bool> placed(slots_.size(), false);
    for (int s : inputs_) placed[size_t(s)] = true;
    for (const Origin& origin : origins_)
      if (origin.slot >= 0) placed[size_t(origin.slot)] = true;
    for (const Result& result : results()) {
      if (result.slot < 0 || placed[size_t(result.slot)]) continue;
      placed[size_t(result.slot)] = true;
      fresh_.push_back(result.slot);
    }

    std::vector<size_t> temporaries;
    for (size_t s = 0; s < slots_.size(); ++s)
      if (!placed[s] && !slots_[s].temporary && slots_[s].first >= 0) temporaries.push_back(s);
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
      slot.buffer->stand_in(block->buffer);
      slot.temporary = true;
    }
  }

  void put(int s, const BufferRef& buffer, std::shared_ptr<Node> node) {
    slots_[size_t(s)].buffer->stand_in(buffer);
    slots_[size_t(s)].now = buffer;
    slots_[size_t(s)].node = std::move(node);
  }

  static void run(const Kernel& kernel) {
    const Step step{kernel, {}};
    debug::traced(step, [&] { execution().run(step.kernel); });
  }

  /// The result as a LazyBuffer of its own node, or of the node that is there already.
  LazyBuffer now(const Result& result) {
    if (result.slot < 0) return result.fixed;
    Slot& slot = slots_[size_t(result.slot)];
    if (!slot.node) slot.node = LazyBuffer::source(slot.now, result.dtype, result.shape).node();
    return {slot.node, result.views};
  }

  bool keep_, stable_ = true;
  std::pair<uint64_t, uint64_t> random_;
  uint64_t random_words_ = 0;
  std::vector<Kernel> kernels_;
  std::deque<Slot> slots_;  ///< they stay where they are
  std::unordered_map<const Buffer*, int> slot_of_;
  std::vector<int> inputs_, fresh_;
  std::vector<BufferRef> unnamed_;
  std::vector<LazyBuffer> placeholders_;
  std::vector<Origin> origins_;
  std::unordered_map<const void*, size_t> origin_of_;  ///< by slot or node
  std::vector<Variable> assigned_;
  std::vector<Tensor> graded_;
  std::vector<std::weak_ptr<Node>> made_;
  std::vector<std::pair<Variable, Result>> left_;
  std::vector<Result> returned_;
  std::vector<std::pair<Tensor, std::optional<Result>>> gradients_;
};

Replayer::Replayer() = default;
Replayer::~Replayer() = default;
Replayer::Replayer(Replayer&&) noexcept = default;

std::vector<Tensor> Replayer::operator()(std::span<const Tensor> given, const Call& call) {
  if (recorder()) fail("Jit: called inside the call of another Jit, which records it already");
  std::ostringstream key;
  key << Training::enabled() << GradMode::enabled();
  std::vector<Tensor> inputs;
  for (const Tensor& x : given) {
    key << ' ' << x.dtype() << x.shape();
    const bool plain = x.lazy().views().is_contiguous() && x.lazy().node()->shape == x.shape();
    inputs.push_back(plain ? x.detach() : x.detach().contiguous());
    if (std::holds_alternative<node::Number>(x.lazy().node()->op) || std::holds_alternative<node::Iota>(x.lazy().node()->op))
      inputs.back() = x.detach().contiguous();
  }
  realize(inputs);  // and everything assigned before
  Entry& entry = entries_[key.str()];
  if (entry.recording && entry.recording->fits()) return entry.recording->replay(inputs);

  entry.recording = nullptr;
  auto recording = std::make_unique<Recording>(entry.calls++ > 0);
  std::vector<Tensor> placeholders;
  for (const Tensor& x : inputs) placeholders.push_back(recording->placeholder(x));
  std::vector<Tensor> out;
  for (const Tensor& x : call(placeholders)) out.push_back(x.detach());
  placeholders.clear();
  std::vector<Tensor> left = out;
  for (const Tensor& x : recording->gradients()) left.push_back(x);
  realize(left);
  if (entry.calls > 1 && recording->finish(out)) entry.recording = std::move(recording);
  return out;
}

}  // namespace teeny
