#pragma once
// From the graph to a list of kernels: what is computed together with what, in which order, and where it is stored.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "teeny/graph/context.h"
#include "teeny/graph/lazy.h"
#include "tinyops/device.h"

namespace teeny {

/// One kernel of a schedule, and the nodes whose elements are in memory once it has run.
struct Step {
  tinyops::Kernel kernel;
  struct Result {
    std::shared_ptr<Node> node;
    tinyops::BufferRef buffer;
  };
  std::vector<Result> results;
};

/// The kernels that compute `targets`, each after those it reads from. Nothing is run, nothing is reserved, and the
/// graph stays as it is. Targets that are realized, or constants, need none.
std::vector<Step> schedule(std::span<const LazyBuffer> targets);
std::vector<Step> schedule_unfused(std::span<const LazyBuffer> targets);  ///< a kernel for each node: FUSE=0
std::vector<Step> schedule_fused(std::span<const LazyBuffer> targets);    ///< as few as the rules in fuse.cpp allow

/// Schedules and runs: afterwards the targets' nodes, and those of this thread's pending assignments, are realized.
void realize(std::span<const LazyBuffer> targets);

/// Computes the totals and assignments from before the last call that somebody holds and nobody has read: one that
/// `loss.detach()` was added to would keep all that its step has computed, and running statistics the chain of all
/// steps. An optimiser calls it once a step.
void realize_earlier_totals();

/// Runs one kernel as this thread's Execution says, and counts it; where DEBUG= or PROFILE= asks for it, with a trace.
void run_kernel(const tinyops::Kernel& kernel);

/// The same, but other assignments than those to the targets, and what is in one group with them, stay pending.
void realize_alone(std::span<const LazyBuffer> targets);

/// `variable` holds `now` from here on: the next `realize` of anything computes it too, so that running statistics and
/// parameters do not pile up unevaluated graphs. If a kernel that it needs throws, the variable has its old values
/// again, and so have those in its AssignmentGroup; other assignments stay as they are.
void assign_pending(const std::shared_ptr<LazyBuffer>& variable, LazyBuffer now);

}  // namespace teeny
