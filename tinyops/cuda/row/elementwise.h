#pragma once
#include "tinyops/device.h"

namespace tinyops::cuda {

/// Runs `kernel` if it is one operation of float32 arithmetic on whole arrays, or on an array and a constant; false, and
/// nothing happened, where it is not.
bool run_elementwise(const RowKernel& kernel);

}  // namespace tinyops::cuda
