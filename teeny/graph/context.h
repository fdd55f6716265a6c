#pragma once
// What belongs to a thread: its modes, its random stream, how it runs its graphs, and what it has assigned and not computed
// yet. A thread has a context of its own from its start to its end, so that threads with tensors of their own never wait for
// each other. Threads may share tensors that are realized, and read them; a tensor that is not realized belongs to the thread
// that made it (Node::thread), and computing it on another one is an Error. Not seen, and not allowed: that two threads assign
// to one realized tensor at the same time, or add to the gradients of the same leaves.
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
  std::optional<bool> fuse = {};                     ///< several nodes in a kernel; unset: as FUSE= in the environment says
  void (*run)(const tinyops::Kernel&) = tinyops::run;
  std::function<void(const Step&)> on_step = {};     ///< called after each kernel
};

/// A variable that was assigned to and not computed since. Nothing is held: a tensor that is gone is not computed, and
/// old values that nobody reads any more may be written over.
struct PendingAssignment {
  std::weak_ptr<LazyBuffer> variable;
  std::weak_ptr<Node> now, before;
  ShapeTracker views;  ///< of what it held before

  bool unrealized() const {
    const auto node = now.lock();
    return node && !node->realized();
  }
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
  Recorder* recorder = nullptr;  ///< a Jit that records this thread's calls
  Execution execution = {};
  std::vector<PendingAssignment> pending = {};
  int64_t kernels = 0;           ///< how many it has run
  /// What was reduced to one element, and is still to be computed: since the last step of an optimiser, and before it.
  std::vector<std::weak_ptr<Node>> totals = {}, earlier_totals = {};
  void add_total(const std::shared_ptr<Node>& total);
  std::array<std::shared_ptr<const std::vector<View>>, 8> recent_views = {};  ///< those that a ShapeTracker made last
  size_t next_view = 0;

  /// This thread's stream. Where nobody has set one it begins with SEED= on the main thread, and on the others with a seed made
  /// of SEED= and of how many threads have begun a stream before: no two threads draw the same values.
  RandomStream& random();
  std::optional<RandomStream> random_set = {};

  explicit Context(int thread) : thread(thread) {}
};

/// This thread's.
extern thread_local Context context;

/// Another way to run, from here to the end of the block: `const ExecutionScope reference({.run = tinyops::reference::check});`
class ExecutionScope {
 public:
  explicit ExecutionScope(Execution mode) : before_(std::exchange(context.execution, std::move(mode))) {}
  ~ExecutionScope() { context.execution = std::move(before_); }
  ExecutionScope(const ExecutionScope&) = delete;
  ExecutionScope& operator=(const ExecutionScope&) = delete;

 private:
  Execution before_;
};

}  // namespace teeny
