#pragma once
#include "tinyops/device.h"

namespace tinyops::cpu {

/// Whether a view's guards come from padding that can be taken apart, and a copy would not be many times what the view
/// sees.
bool can_pad_copy(const Operand& operand);

/// The same elements as `operand` in fresh memory of dtype `to` (its own, or float32 for 16-bit floats), without
/// guards: padding is stored as zeros, once for each place, not once for each window that sees it. It can_pad_copy, or
/// is a part of what can.
Operand pad_copy(const Operand& operand, DType to);

}  // namespace tinyops::cpu
