#pragma once
// What many ranks compute together, as a node of the graph.
#include "teeny/graph/lazy.h"
#include "tinyops/base/collective.h"

namespace teeny {

/// What the collective makes of the ranks' `x`: this rank's `shape` of it. It is an effect of this thread: it runs with
/// the next `realize` of anything, looked at or not, in the order in which the program made it. For ranks that look at
/// their results in different orders would each wait for another collective, or take the other's sums.
///
///   a = all_reduce(x)        rank 0 prints b, then a      without effects: rank 0 sends y first, rank 1 sends x first,
///   b = all_reduce(y)        rank 1 prints a, then b      and both add x to y
LazyBuffer collective(tinyops::CollectiveKernel kernel, const LazyBuffer& x, const Shape& shape);

}  // namespace teeny
