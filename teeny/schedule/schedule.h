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

/// One kernel of a schedule, and the nodes whose numbers exist once it has run.
struct Step {
  tinyops::Kernel kernel;
  struct Result {
    std::shared_ptr<Node> node;
    tinyops::BufferRef buffer;
  };
  std::vector<Result> results;
};

/// The kernels that compute `targets`, each after those it reads from. Nothing is run and nothing is reserved. Targets
/// that are numbers already, constants among them, need none.
std::vector<Step> schedule(std::span<const LazyBuffer> targets);

/// Schedules and runs: afterwards the targets' nodes, and those of all pending assignments, hold numbers.
void realize(std::span<const LazyBuffer> targets);

/// `variable` was assigned to, and held `before` until then: the next `realize` of anything computes its new numbers too,
/// so that running statistics and parameters do not pile up unevaluated graphs. If that throws, it has its old ones again.
void add_pending(const std::shared_ptr<LazyBuffer>& variable, const LazyBuffer& before);

}  // namespace teeny
