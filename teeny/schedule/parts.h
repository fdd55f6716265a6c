#pragma once
#include <functional>
#include <span>

#include "teeny/graph/lazy.h"

namespace teeny {

/// Nodes above each other: a history that is shorter is scheduled at once.
inline constexpr int kLongHistory = 1 << 13;

/// Calls `compute` with what the targets follow from, a part after the other, where that is a history of thousands of
/// nodes: what is left then can be scheduled at once.
void compute_in_parts(std::span<const LazyBuffer> targets,
                      const std::function<void(std::span<const LazyBuffer>)>& compute);

}  // namespace teeny
