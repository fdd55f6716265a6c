#pragma once
// When collectives run: before anything else that is computed, in the order in which the program made them, and beside
// the kernels that do not need them.
#include <memory>
#include <span>
#include <vector>

#include "teeny/schedule/schedule.h"
#include "tinyops/ranks.h"

namespace teeny {

/// This thread's effects, while they are computed. They are forgotten with it, also where a kernel throws: the ranks
/// compare the numbers of their collectives, so that one left out is noticed.
class Effects {
 public:
  /// Runs those with a history that must be computed in parts, and all before these: together they would lose their
  /// order.
  Effects();
  /// They, then the targets.
  std::vector<LazyBuffer> before(std::span<const LazyBuffer> targets) const;

 private:
  void run_long_histories() const;

  std::vector<std::shared_ptr<Node>> nodes_;
  tinyops::ranks::Drained drained_;
};

/// The steps with each collective in two: it starts where it stood, and is finished, after those that started before
/// it, where its result is first touched or its input written over.
///
///   backward 3   start 3   backward 2   start 2   backward 1   start 1   finish 3   finish 2   finish 1   updates
///                   └─────────────── on its way ──────────────────────────┘
///
/// Updates come after all that may throw: assignments.h.
std::vector<Step> overlapped(std::vector<Step> steps);

}  // namespace teeny
