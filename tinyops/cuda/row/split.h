#pragma once
#include <vector>

#include "tinyops/device.h"

namespace tinyops::cuda {

/// The same work as two or three kernels, where `kernel` is a reduction of rows so few and so long that it would leave most
/// of the chip idle; `blocks` is how many blocks it would have alone. Empty where it is well as it is, or cannot be split.
std::vector<RowKernel> split_reduction(const RowKernel& kernel, int64_t blocks);

}  // namespace tinyops::cuda
