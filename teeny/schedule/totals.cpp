#include "teeny/schedule/schedule.h"

namespace teeny {

void realize_earlier_totals() {
  if (context.recorder) return;  // a replay knows nothing of what was made outside of its call
  auto latest = std::exchange(context.totals, {});
  for (const PendingAssignment& p : context.pending) latest.push_back(p.now);
  const auto earlier = std::exchange(context.earlier_totals, std::move(latest));
  std::vector<LazyBuffer> unread;
  for (const std::weak_ptr<Node>& total : earlier)
    if (auto node = total.lock(); node && !node->realized()) unread.emplace_back(std::move(node));
  if (!unread.empty()) realize_alone(unread);
}

}  // namespace teeny
