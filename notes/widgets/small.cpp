// What pages need less of than programs, in fewer bytes.
#include <cstddef>

#include "teeny/schedule/effects.h"

// An exception that nobody catches ends a program with its type's name, and the code that makes this name readable is a
// tenth of a page. The pages catch all of them.
extern "C" char* __cxa_demangle(const char*, char*, size_t*, int*) { return nullptr; }

// A page has one rank, and no collectives.
namespace teeny {
Effects::Effects() = default;
std::vector<LazyBuffer> Effects::before(std::span<const LazyBuffer> targets) const {
  return {targets.begin(), targets.end()};
}
std::vector<Step> overlapped(std::vector<Step> steps) { return steps; }
}  // namespace teeny
