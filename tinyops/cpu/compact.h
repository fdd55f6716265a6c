#pragma once
#include <optional>

#include "tinyops/device.h"

namespace tinyops::cpu {

/// The same numbers as `operand` in fresh memory of dtype `to`, without guards: padding is stored as zeros, once for
/// each place, not once for each window that sees it. `last` says which axes shall be nearest to each other in the new
/// memory. Nothing where the view's guards do not come from padding that can be taken apart, or the copy would be many
/// times the original.
std::optional<Operand> compact(const Operand& operand, DType to, const std::vector<bool>& last);

}  // namespace tinyops::cpu
