#pragma once
#include <functional>
#include <span>

#include "teeny/graph/lazy.h"

namespace teeny {

/// Nodes above each other: a history that is shorter is scheduled at once.
inline constexpr int kLongHistory = 1 << 13;

/// Whether one of the targets has such a history; or they are so many, and no assignments, which are computed together.
bool is_large(std::span<const LazyBuffer> targets);

/// Calls `compute` with what the targets follow from, a part after the other, where that is a history of thousands of
/// nodes, and with thousands of targets: what is left then can be scheduled at once.
void compute_in_parts(std::span<const LazyBuffer> targets,
                      const std::function<void(std::span<const LazyBuffer>)>& compute);

}  // namespace teeny
