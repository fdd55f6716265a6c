// Evaluation: schedules the graph, and runs the kernels.
#include <algorithm>

#include "teeny/debug/trace.h"
#include "teeny/schedule/assignments.h"
#include "teeny/schedule/draw.h"
#include "teeny/schedule/effects.h"
#include "teeny/schedule/parts.h"
#include "teeny/schedule/schedule.h"
#include "tinyops/base/environment.h"

namespace teeny {
std::vector<Step> schedule(std::span<const LazyBuffer> targets) {
  static const bool fuse = tinyops::environment::fuse();
  return context.execution.fuse.value_or(fuse) ? schedule_fused(targets) : schedule_unfused(targets);
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
  for (const LazyBuffer& target : targets)
    if (target.node()->of_another_thread())
      fail("realize: a tensor of ", target.shape(), " was made by another thread: realize() it there");
  std::vector<Step> steps;  // gone after the effects: collectives that have started use their memory
  const auto effects = context.effects.empty() ? nullptr : std::make_unique<Effects>();
  std::vector<LazyBuffer> all = effects ? effects->before(targets) : std::vector(targets.begin(), targets.end());
  if (!context.pending.empty()) add_assignments(all);

  // When a kernel throws, what was computed before it stays, and the rest is unrealized as before.
  if (std::ranges::any_of(all, [](const LazyBuffer& x) { return x.node()->depth >= kLongHistory; }))
    compute_in_parts(all, [](std::span<const LazyBuffer> part) { run_assignments(schedule(part)); });
  steps = context.pending.empty() ? schedule(all) : schedule_assignments(all);
  if (effects) steps = overlapped(std::move(steps));
  if (drawn && !steps.empty()) draw_at_exit(all, steps);
  if (context.pending.empty()) std::for_each(steps.begin(), steps.end(), run_step);
  else run_assignments(std::move(steps));
  context.pending.clear();
}

}  // namespace teeny
