#pragma once
// A function on this binary's device beside the same on the reference.
#include "teeny/schedule/schedule.h"
#include "tests/check.h"

namespace teeny::test {

/// What is wrong with the result of `f` by the reference's; nothing where they agree. Floats to their tolerance, unless
/// `exact`: then all bits count.
template <class F>
std::string misjudged(F&& f, bool exact = false) {
  const Tensor got = Tensor(f()).realize();
  const ExecutionScope reference({.fuse = false, .run = tinyops::reference::check});
  const Tensor want = Tensor(f()).realize();
  if (exact && got.to_bytes() == want.to_bytes()) return "";
  const std::string different = difference(got, want);
  return exact && different.empty() ? "differs in the last bits" : different;
}

}  // namespace teeny::test
