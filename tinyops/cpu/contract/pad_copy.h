#pragma once
#include "tinyops/device.h"

namespace tinyops::cpu {

/// Whether a view's guards come from padding that can be taken apart, and a copy would not be many times what the view
/// sees.
bool can_pad_copy(const Operand& operand);

/// Where windows move by a step, what one tap of neighbouring windows sees lies a step apart. Folded, it lies side by
/// side, in packets:
///
///   step 2    x0 x1 x2 x3 x4 x5 x6   ──►   x0 x2 x4 x6 | x1 x3 x5 .     tap t of window w: place w + t / 2, part t % 2
///
/// The view of the copy does not move along the taps' axis; tap t is `place(t)` further on.
struct Fold {
  int axis = -1;  ///< of the view; none: nothing is folded
  int64_t step = 1, dilation = 1, part = 0;
  int64_t place(int64_t tap) const { return tap * dilation % step * part + tap * dilation / step; }
};

struct Copy {
  Operand operand;
  Fold fold;
};

/// Whether the windows of an operand, whose last `taps` axes are taps, would be folded.
bool can_fold(const Operand& operand, int taps);

/// The same elements as `operand` in fresh memory of dtype `to` (its own, or float32 for 16-bit floats), without
/// guards: padding is stored as zeros, once for each place, not once for each window that sees it. It can_pad_copy, or
/// is a part of what can. Windows are folded, if they can be and `taps` says which axes are their taps.
Copy pad_copy(const Operand& operand, DType to, int taps = 0);

}  // namespace tinyops::cpu
