#pragma once
#include <memory>

#include "tinyops/cpu/row/row.h"

namespace tinyops::cpu {

/// A kernel that takes the maximum of windows, as a stencil; or null.
std::unique_ptr<StencilRows> find_window_max(const RowKernel& kernel);

}  // namespace tinyops::cpu
