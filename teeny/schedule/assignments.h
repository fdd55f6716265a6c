#pragma once
// How pending assignments are computed: all kernels that may throw run before the first one that writes over old
// values.
#include <span>
#include <vector>

#include "teeny/schedule/schedule.h"

namespace teeny {

/// Adds the nodes of this thread's pending assignments; where all are computed or gone, these are forgotten.
void add_assignments(std::vector<LazyBuffer>& targets);

/// `schedule` of targets among which are this thread's pending assignments: their old values may be written over where
/// nobody but the assignment holds them.
std::vector<Step> schedule_assignments(std::span<const LazyBuffer> targets);

/// Runs the steps, which stay the caller's. When one throws, each pending assignment is computed, still pending or
/// taken back, a group as a whole.
void run_assignments(std::vector<Step>&& steps);

/// Runs one kernel; then its results are realized.
void run_step(Step& step);

/// In which order kernels write over old values as late as they can: first those that neither write over one of
/// `old_values` nor touch what such a kernel touches, then those that do write, then the rest.
struct LateWrites {
  std::vector<size_t> order;
  size_t writes = 0;  ///< where in `order` those that write over them begin
  size_t rest = 0;    ///< and those that come after
};
LateWrites write_late(std::span<tinyops::Kernel* const> kernels, std::span<const tinyops::Buffer* const> old_values);

}  // namespace teeny
