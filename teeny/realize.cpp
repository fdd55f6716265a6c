// Keeping the promise: runs what the scheduler planned.
#include <algorithm>

#include "teeny/debug/trace.h"
#include "teeny/schedule.h"

namespace teeny {
namespace {

/// Nodes of tensors that were assigned to and not computed since. Weak: a tensor that is gone needs no numbers.
std::vector<std::weak_ptr<Node>>& pending() {
  static std::vector<std::weak_ptr<Node>> nodes;
  return nodes;
}

}  // namespace

void add_pending(const std::shared_ptr<Node>& node) { pending().push_back(node); }

void realize(std::span<const LazyBuffer> targets) {
  std::vector<LazyBuffer> all(targets.begin(), targets.end());
  for (const std::weak_ptr<Node>& weak : pending())
    if (std::shared_ptr<Node> node = weak.lock(); node && !node->realized()) all.emplace_back(node);

  std::vector<Step> steps = schedule(all);
  pending().clear();  // they are in `steps` now, or were computed already
  if (steps.empty()) return;
  debug::draw_graph(all, steps);
  // When a kernel throws, what was computed before it stays, and the rest is a promise as before.
  for (Step& step : steps) {
    debug::traced(step, [&] { execution().run(step.kernel); });
    for (Step::Result& result : step.results) {
      result.node->buffer = std::move(result.buffer);
      result.node->sources.clear();  // a promise kept; what only it needed goes back to the allocator
    }
    if (execution().ran) execution().ran(step);
    step = {};
  }
}

}  // namespace teeny
