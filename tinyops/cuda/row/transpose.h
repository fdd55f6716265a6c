#pragma once
#include "tinyops/device.h"

namespace tinyops::cuda {

/// Runs `kernel` if it is nothing but a copy whose two sides are contiguous along different axes, as x.transpose(0, 1) copied
/// into row-major order is; false, and nothing happened, where it is not.
bool run_transpose(const RowKernel& kernel);

}  // namespace tinyops::cuda
