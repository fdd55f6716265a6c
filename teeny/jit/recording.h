#pragma once
// The recording of a call; for this room alone, others include jit.h. The kernels of a call name buffers; in a
// recording they name slots, empty buffers that another one stands in for, anew at every replay:
//
//   slot of           stands in
//   an input          the input's buffer; nothing is written there, an input that is assigned to gets a fresh one
//   a variable        the buffer with the values it holds now; a copy of it if the call writes there and someone else
//                     looks at them, too
//   a result          a fresh buffer: what an earlier call returned keeps its values
//   a temporary       a block that temporaries share whose lives do not overlap, kept from call to call
//
// The life of a recording, as a Replayer (jit.cpp) leads it:
//
//   Recording             listens to the thread's tensors and kernels                               ┐
//   placeholder           for each input: what the call gets for it                                 │
//   on_create, on_read .. the call runs, and tells which tensors it makes, reads and changes        │
//   forget_tensors        the call is over                                                          │ recording.cpp
//   assign_inputs ..      the caller's inputs get what the call assigned to them                    │
//   ran                   each kernel, as soon as it has run: mostly after the call                 │
//   forget_kernels        all that the call returned and left is computed                           │
//   finish                orders the kernels and plans the memory; or says what cannot be replayed  ┘
//   stale_reason          for each later call: whether it would still do the same                   ┐ replay.cpp
//   replay                fills the slots, runs the kernels, hands out what they leave               ┘
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "teeny/debug/trace.h"
#include "teeny/graph/context.h"
#include "teeny/tensor/function.h"
#include "teeny/tensor/recorder.h"

namespace teeny {

/// The kernels of one call, and what stands in for their buffers. It is the recorder while it listens, then replayed.
class Recording : public Recorder {
 public:
  /// Of a first call (not `kept`) nothing but its mistakes is of interest.
  explicit Recording(bool kept);
  ~Recording() override;

  // ---- Listening

  /// What the call gets for what the caller gave: a tensor of its own, with the values of `input`.
  Tensor placeholder(const LazyBuffer* given, const LazyBuffer& input, bool requires_grad);

  void on_create(const std::shared_ptr<LazyBuffer>& data) override;
  void on_handle(const Tensor& handle, const std::shared_ptr<LazyBuffer>& data) override;
  /// Notes what is there from before the call. A tensor of the call itself may also hold such values, as a view or as
  /// the host's: these must not be written over.
  void on_read(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<const bool>& requires_grad) override;
  void on_assign(const std::shared_ptr<LazyBuffer>& data, const std::shared_ptr<int64_t>& version) override;
  void on_set_grad(const Tensor& x, const Tensor& grad) override;

  /// The call is over: tensors that are made from now on are not its own. Its last kernels are still to run.
  void forget_tensors();
  /// What the call assigned to a placeholder is assigned to the caller's tensor.
  void assign_inputs(std::span<const Tensor> placeholders, std::span<const Tensor> given);
  /// Whoever still holds what stood in for an input holds its values from here on.
  void release_inputs();
  /// A tensor of the call that lives on would not be renewed by a replay.
  void check_nothing_else_lives() const;
  /// What the call left in some .grad.
  std::vector<Tensor> gradients() const;
  /// Tensors that were unrealized before the call: they are computed before the next one, which then finds values.
  std::vector<Tensor> unrealized() const;
  /// Tensors that the call made and that live on: what is made on first use.
  std::vector<Tensor> survivors() const;
  void forget_kernels() { listening_.reset(); }
  /// The call has failed.
  void take_back_gradients();

  /// The call is over, and what it returned and left behind has been computed. Says why the next call is to be recorded
  /// instead: something that was a constant or unrealized before this one is memory only now. Empty: it can be.
  std::string finish(std::span<const Tensor> returned, std::span<const Tensor> given);

  // ---- Replaying

  /// Why the recording no longer says what a call would do; empty when it does. Variables may hold other values now,
  /// but the same tensors must look at them in the same way, and what is part of the recording must not have changed.
  std::string stale_reason() const;
  /// `inputs` have the values of what the caller gave, in memory.
  std::vector<Tensor> replay(std::span<const Tensor> inputs, std::span<const Tensor> given);

  class Saved;  ///< it as a call in a program file: save.cpp

 private:
  struct Random {
    tinyops::RandomKernel* kernel;
    uint64_t words_before;  ///< that the call draws before it
  };
  struct Slot {
    tinyops::BufferRef buffer;                ///< what the kernels name
    std::weak_ptr<tinyops::Buffer> original;  ///< what they named
    int first = -1, last = -1;                ///< the steps that use it
    bool written = false;
    bool in_block = false;                    ///< a temporary: a block stands in for good
    tinyops::BufferRef now = {};              ///< during a replay: what stands in, and the node with these values
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
    Shape shape;  ///< of the node
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
    bool adds;  ///< the call does not clear x.grad before it adds to it
    std::optional<Result> result;
    Tensor before;  ///< what x.grad was, until the call is done
  };

  static constexpr const char* kAccumulates =
      "Jit: a gradient is added to one from before the call, which a replay would not find; call zero_grad() inside, "
      "before backward()";
  [[noreturn]] static void fail_shared(const Shape& shape);

  // Listening
  void ran(const Step& step) noexcept;
  void note_step(const Step& step);
  void cannot_replay(std::string why);
  int slot_of(const tinyops::BufferRef& buffer);
  bool is_input(int slot) const;
  bool is_noted(int slot) const { return is_input(slot) || origin_of_.contains(&slots_[size_t(slot)]); }
  Result result_of(const LazyBuffer& x);
  void order_kernels();
  void plan_memory();

  // Replaying
  void put(int slot, const tinyops::BufferRef& buffer, std::shared_ptr<Node> node);
  void put_numbers_of(const Origin& origin);
  void reserve(Slot& slot);
  LazyBuffer now(const Result& result);
  void run_kernels();

  const bool kept_;                          ///< to be replayed
  std::optional<ExecutionScope> listening_;  ///< while the kernels of the call run
  std::string unreplayable_reason_;          ///< why this cannot be replayed
  bool no_memory_ = false;                   ///< to note all that the call did
  std::pair<uint64_t, uint64_t> random_;     ///< the stream's state when the call began
  uint64_t random_words_ = 0;                ///< that it draws

  std::vector<Step> steps_;
  std::vector<const tinyops::Kernel*> kernels_;  ///< of the steps, in the order of a replay
  bool in_place_ = true;                         ///< variables may be written over
  size_t writes_ = 0;                            ///< from which kernel on
  std::vector<Random> randoms_;                  ///< and those that draw
  debug::Counters work_;                         ///< of all of them
  tinyops::PlanCache memo_;                      ///< what the device made of them

  std::deque<Slot> slots_;  ///< they stay where they are
  /// By what kernels named, and by what they name.
  std::unordered_map<const tinyops::Buffer*, int> slot_number_, slot_of_stand_in_;
  std::vector<int> fresh_;  ///< slots that get a fresh buffer at each replay
  std::vector<Input> inputs_;
  std::unordered_map<const Tensor*, Handle> handles_;
  std::vector<Origin> origins_;
  std::unordered_map<const void*, size_t> origin_of_;  ///< by slot, or by the node of a constant

  std::vector<std::weak_ptr<LazyBuffer>> made_, unrealized_;
  std::vector<Variable> assigned_;
  std::unordered_set<const LazyBuffer*> made_here_, assigned_here_;
  /// Variables that the call changes; and that it reads, only where inputs are assigned to.
  std::unordered_set<const LazyBuffer*> left_here_, read_here_;
  std::vector<std::pair<Variable, Result>> left_;
  std::vector<Result> returned_;
  std::deque<Graded> graded_;  // moved, they would be noted as handles of the call
};

}  // namespace teeny
