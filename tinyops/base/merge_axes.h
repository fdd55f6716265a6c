#pragma once
// Fewer and longer axes: a loop has less to count, and a vector register more to run along.
//
//   shape (2, 3, 4)   strides (12, 4, 1)   a step of the outer axis continues where the inner one ended: shape (24),
//   stride 1
//                     strides (12, 1, 3)   no neighbours do: (2, 3, 4) stays
#include <span>

#include "tinyops/base/shape.h"

namespace tinyops {

/// Drops the axes of size 1, and merges neighbours a and b where every list of strides has stride[a] == size[b] *
/// stride[b]. Axes before `border` stay apart from those from it on; a list may lack the latter. Returns where the
/// border is then. The strides are those of addresses, or of guards' positions: offsets do not change.
int merge_axes(Shape& shape, std::span<Dims* const> strides, int border = 0);

}  // namespace tinyops
