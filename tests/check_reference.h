#pragma once
// A function on this binary's device, compared with the reference.
#include "teeny/schedule/schedule.h"
#include "tests/check.h"

namespace teeny::test {

/// How the result of `f` differs from the reference's; empty where they agree. Floats to their tolerance, unless
/// `exact`: then all bits count.
template <class F>
std::string mismatch(F&& f, bool exact = false) {
  const Tensor got = Tensor(f()).realize();
  const ExecutionScope reference({.fuse = false, .run = tinyops::reference::check});
  const Tensor want = Tensor(f()).realize();
  if (exact && got.to_bytes() == want.to_bytes()) return "";
  const std::string different = difference(got, want);
  return exact && different.empty() ? "differs in the last bits" : different;
}

}  // namespace teeny::test
