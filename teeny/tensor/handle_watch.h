#pragma once
#include <atomic>

namespace teeny::detail {

/// How many recorders there are, on all threads: while there is none, no handle tells one of itself.
inline std::atomic<int> recorders{0};

}  // namespace teeny::detail
