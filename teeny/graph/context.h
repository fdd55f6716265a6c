#pragma once
// What belongs to a thread: its modes, its random stream, how it runs its graphs, and what it has assigned and not
// computed yet. A thread has a context of its own from its start to its end, so that threads with tensors of their own
// never wait for each other. Threads may share tensors that are realized, and read them; a tensor that is not realized
// belongs to the thread that made it (Node::thread), and computing it on another one is an Error. Not seen, and not
// allowed: that two threads assign to one realized tensor at the same time, or add to the gradients of the same leaves.
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "teeny/graph/lazy.h"
#include "tinyops/device.h"

namespace teeny {

struct Step;  // schedule.h

/// How `realize` schedules and runs.
struct Execution {
  /// Several nodes in a kernel; unset: as FUSE= in the environment says.
  std::optional<bool> fuse = {};
  bool overlap = true;  ///< kernels run between the start of a collective and its end: effects.h
  void (*run)(const tinyops::Kernel&) = tinyops::run;
  std::function<void(const Step&)> on_step = {};     ///< called after each kernel
};

/// A variable that was assigned to and not computed since. The new values are not held: a tensor that is gone is not
/// computed. The old ones are, to be there again should computing the new ones fail.
struct PendingAssignment {
  std::weak_ptr<LazyBuffer> variable;
  std::weak_ptr<Node> now;
  std::shared_ptr<Node> before;
  ShapeTracker views;         ///< of what it held before
  int64_t group = 0;          ///< of one AssignmentGroup; 0: of none
  std::weak_ptr<Node> lent = {};  ///< `before`, while a scheduler counts who holds it

  /// The node to compute; null where there is none any more, or the variable has been assigned to again.
  std::shared_ptr<Node> unrealized() const {
    const auto holder = variable.lock();
    const auto node = now.lock();
    return holder && node && holder->node() == node && !node->realized() ? node : nullptr;
  }
  /// The variable holds its old values again, unless it holds yet other ones.
  void take_back() noexcept;
};

class Recorder;  // teeny/tensor/recorder.h

/// Where the next random words come from: Philox' key, and how many words have been drawn.
struct RandomStream {
  uint64_t seed = 0, counter = 0;
};

struct Context {
  const int thread;              ///< 0 for the thread that runs main, then in the order of their first use of teeny
  bool grad = true;              ///< operations remember their history
  bool training = false;         ///< dropout drops, and batch norm uses the statistics of the batch
  bool tracing = false;          ///< every tensor keeps what made it: traced.h
  Recorder* recorder = nullptr;  ///< a Jit that records this thread's calls
  int64_t kernels = 0;           ///< how many it has run
  int64_t group = 0;             ///< the AssignmentGroup that is open; 0: none
  size_t next_view = 0;
  // These are emptied when the thread ends, and not destroyed: an object that outlives main may still assign, compute
  // and save in its destructor.
  union { Execution execution; };
  union { std::vector<PendingAssignment> pending; };
  /// The collectives that were made and have not run, in the order of their making. Those that are left at the end of
  /// the program run then: see dist.
  union { std::vector<std::shared_ptr<Node>> effects; };
  /// What was reduced to one element or a few (one a class, one a sample), and is still to be computed: since the last
  /// step of an optimiser, and before it. The latter has the assignments that were pending then, too.
  static constexpr int64_t kLargestTotal = 1024;
  union { std::vector<std::weak_ptr<Node>> totals; };
  union { std::vector<std::weak_ptr<Node>> earlier_totals; };
  /// Those that a ShapeTracker made last.
  union { std::array<std::shared_ptr<const std::vector<View>>, 8> recent_views; };
  void add_total(const std::shared_ptr<Node>& total);

  /// This thread's stream. Where nobody has set one it begins with SEED= on the main thread, and on the others with a
  /// seed made of SEED= and of how many threads have begun a stream before: no two threads draw the same values.
  RandomStream& random();
  std::optional<RandomStream> random_set = {};

  explicit Context(int thread)
      : thread(thread), execution(), pending(), effects(), totals(), earlier_totals(), recent_views() {}
  ~Context() {}
};

/// This thread's.
extern thread_local Context context;

/// Another way to run, from here to the end of the block:
/// `const ExecutionScope reference({.run = tinyops::reference::check});`
class ExecutionScope {
 public:
  explicit ExecutionScope(Execution mode) : before_(std::exchange(context.execution, std::move(mode))) {}
  ~ExecutionScope() { context.execution = std::move(before_); }
  ExecutionScope(const ExecutionScope&) = delete;
  ExecutionScope& operator=(const ExecutionScope&) = delete;

 private:
  Execution before_;
};

/// What is assigned while it lives stands or falls together: where one of these values cannot be computed, all
/// variables have their old ones again. Left by an exception, it takes its assignments back. Inside of another group it
/// is a part of that one.
///
///   const AssignmentGroup together;
///   for (Tensor& p : parameters) p.assign(p - rate * p.grad());
class AssignmentGroup {
 public:
  /// `with_earlier`: what earlier groups assigned that is still pending belongs to it, too. An optimiser's step stands
  /// or falls with the running statistics of the forward pass before it.
  explicit AssignmentGroup(bool with_earlier = false);
  ~AssignmentGroup();
  AssignmentGroup(const AssignmentGroup&) = delete;
  AssignmentGroup& operator=(const AssignmentGroup&) = delete;

 private:
  const bool open_, with_earlier_;
  const int exceptions_;
};

}  // namespace teeny
