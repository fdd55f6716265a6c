#pragma once
#include "tinyops/ranks.h"

namespace tinyops::reference {

/// `element(operand, i)` is where element i lies. Copies are gone when a kernel has run: on these, all of it is done at
/// the Start.
template <class Element>
void run_collective(CollectiveKernel k, bool on_copies, Element element) {
  using enum CollectiveKernel::Phase;
  if (on_copies && k.phase == Finish) return;
  if (on_copies) k.phase = Whole;
  const auto begin = [&](const Operand& x) { return x.view.numel() > 0 ? element(x, 0) : nullptr; };
  ranks::run(k, begin(k.in), begin(k.out));
}

}  // namespace tinyops::reference
