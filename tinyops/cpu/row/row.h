#pragma once
// The row kernel: element-wise programs and reductions, tile by tile.
#include "tinyops/kernel.h"

namespace tinyops::cpu {

void run_kernel(const RowKernel& kernel);

}  // namespace tinyops::cpu
