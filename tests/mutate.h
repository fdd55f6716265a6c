#pragma once
// Hostile files: copies of a good one with bytes changed, cut off, cut out and repeated. MUTATIONS=n says how many of
// each format the tests try; SEED=n, which.
#include <cstdint>
#include <random>
#include <string>

#include "tinyops/base/environment.h"

namespace teeny::test {

inline uint64_t mutations() { return tinyops::environment::whole_number("MUTATIONS", 2000); }

/// Calls `attempt` with so many changed copies of `whole`.
template <class Attempt>
void attempt_changes(const std::string& whole, uint64_t count, Attempt&& attempt) {
  std::mt19937_64 random(tinyops::environment::whole_number("SEED", 1));
  const auto below = [&](size_t n) { return size_t(random() % n); };
  for (; count > 0; --count) {
    std::string changed = whole;
    for (size_t k = 1 + below(4); k > 0; --k) {
      char& byte = changed[below(changed.size())];
      byte = below(3) ? char(byte ^ (1 << below(8))) : char(random());
    }
    const size_t at = below(changed.size()), length = below(9);
    if (below(8) == 0) changed.erase(at, length);
    else if (below(8) == 0) changed.insert(at, changed.substr(at, length));
    attempt(changed);
  }
}

/// Calls `attempt` with `whole` cut off after every byte, and with `mutations()` changed copies of it.
template <class Attempt>
void attempt_mutations(const std::string& whole, Attempt&& attempt) {
  for (size_t length = 0; length < whole.size(); ++length) attempt(whole.substr(0, length));
  attempt_changes(whole, mutations(), attempt);
}

}  // namespace teeny::test
