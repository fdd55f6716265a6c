#pragma once
// What moves elements by data or along an axis: gather, scatter, running sums, sorting; and random values.
#include "tinyops/kernel.h"

namespace tinyops::cpu {

/// Specialized for each kind, in a file of its own. A kind that has none does not link.
template <class Kind>
void run_kernel(const Kind& kernel);

}  // namespace tinyops::cpu
