// Evaluation: schedules the graph, and runs the kernels.
#include <utility>

#include "teeny/debug/trace.h"
#include "teeny/schedule/draw.h"
#include "teeny/schedule/parts.h"
#include "teeny/schedule/schedule.h"
#include "tinyops/base/environment.h"

namespace teeny {
namespace {

/// A kernel has thrown: assignments that could not be computed are taken back, the last one first. Where the old values are
/// gone the new ones do not depend on them, and the assignment stays pending.
void undo_assignments(std::vector<PendingAssignment> failed) {
  for (size_t i = failed.size(); i-- > 0;) {
    const auto variable = failed[i].variable.lock();
    const auto before = failed[i].before.lock();
    if (!failed[i].unrealized() || !variable || variable->node() != failed[i].now.lock()) continue;
    if (before) *variable = LazyBuffer(before, failed[i].views);
    else context.pending.push_back(failed[i]);
  }
}

}  // namespace

std::vector<Step> schedule(std::span<const LazyBuffer> targets) {
  static const bool fuse = tinyops::environment::fuse();
  return context.execution.fuse.value_or(fuse) ? schedule_fused(targets) : schedule_unfused(targets);
}

void add_pending(const std::shared_ptr<LazyBuffer>& variable, const LazyBuffer& before) {
  context.pending.push_back({variable, variable->node(), before.node(), before.views()});
}

void run_kernel(const tinyops::Kernel& kernel) {
  static const bool watched = debug::is_watched();
  const auto run = context.execution.run;
  try {
    if (watched) debug::traced(kernel, [&] { run(kernel); });
    else run(kernel);
  } catch (const tinyops::OutOfMemory& error) {
    fail(error.what(), ", for the kernel ", debug::label(kernel), "; smaller batches or shapes need less");
  }
  ++context.kernels;
}

void run_step(Step& step) {
  run_kernel(step.kernel);
  for (Step::Result& result : step.results) {
    result.node->buffer = std::move(result.buffer);
    result.node->sources.clear();  // what only this node needed goes back to the allocator
  }
  if (context.execution.on_step) context.execution.on_step(step);
  step = {};
}

void realize(std::span<const LazyBuffer> targets) {
  static const bool drawn = !tinyops::environment::graph().empty();  // throws if it cannot be
  std::vector<LazyBuffer> all(targets.begin(), targets.end());
  for (const LazyBuffer& target : targets)
    if (target.node()->of_another_thread())
      fail("realize: a tensor of ", target.shape(), " was made by another thread: realize() it there");
  for (const PendingAssignment& p : context.pending)
    if (p.unrealized()) all.emplace_back(p.now.lock());

  compute_in_parts(all, [](std::span<const LazyBuffer> part) {
    for (Step& step : schedule(part)) run_step(step);
  });
  std::vector<Step> steps = schedule(all);
  const std::vector<PendingAssignment> assigned = std::exchange(context.pending, {});  // in `steps` now, or computed already
  if (steps.empty()) return;
  if (drawn) draw_at_exit(all, steps);
  // When a kernel throws, what was computed before it stays, and the rest is unrealized as before.
  try {
    for (Step& step : steps) run_step(step);
  } catch (...) {
    undo_assignments(assigned);
    throw;
  }
}

}  // namespace teeny
