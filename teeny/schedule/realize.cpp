// Keeping the promise: runs what the scheduler planned.
#include <utility>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"

namespace teeny {
namespace {

/// A variable that was assigned to and not computed since. Nothing is held: a tensor that is gone needs no numbers, and
/// old numbers that nobody reads any more may be written over.
struct Pending {
  std::weak_ptr<LazyBuffer> variable;
  std::weak_ptr<Node> now, before;
  ShapeTracker views;  ///< of what it held before

  bool waits() const {
    const auto node = now.lock();
    return node && !node->realized();
  }
};
std::vector<Pending>& pending() {
  static std::vector<Pending> list;
  return list;
}

/// A kernel has thrown: what was to be assigned and could not be computed is taken back, the last assignment first. Where
/// the old numbers are gone the new ones do not depend on them, and stay a promise.
void take_back(std::vector<Pending> failed) {
  for (size_t i = failed.size(); i-- > 0;) {
    const auto variable = failed[i].variable.lock();
    const auto before = failed[i].before.lock();
    if (!failed[i].waits() || !variable || variable->node() != failed[i].now.lock()) continue;
    if (before) *variable = LazyBuffer(before, failed[i].views);
    else pending().push_back(failed[i]);
  }
}

}  // namespace

void add_pending(const std::shared_ptr<LazyBuffer>& variable, const LazyBuffer& before) {
  pending().push_back({variable, variable->node(), before.node(), before.views()});
}

void realize(std::span<const LazyBuffer> targets) {
  std::vector<LazyBuffer> all(targets.begin(), targets.end());
  for (const Pending& p : pending())
    if (p.waits()) all.emplace_back(p.now.lock());

  std::vector<Step> steps = schedule(all);
  const std::vector<Pending> assigned = std::exchange(pending(), {});  // in `steps` now, or computed already
  if (steps.empty()) return;
  debug::draw_graph(all, steps);
  // When a kernel throws, what was computed before it stays, and the rest is a promise as before.
  try {
    for (Step& step : steps) {
      debug::traced(step, [&] { execution().run(step.kernel); });
      for (Step::Result& result : step.results) {
        result.node->buffer = std::move(result.buffer);
        result.node->sources.clear();  // a promise kept; what only it needed goes back to the allocator
      }
      if (execution().ran) execution().ran(step);
      step = {};
    }
  } catch (...) {
    take_back(assigned);
    throw;
  }
}

}  // namespace teeny
