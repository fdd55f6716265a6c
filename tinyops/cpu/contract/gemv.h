#pragma once
#include "tinyops/cpu/contract/gemm.h"

namespace tinyops::cpu {

/// Fewer rows than this would leave most lanes of a packet of rows empty.
inline constexpr int64_t kFewRows = 8;

/// Whether the last of these axes is a run of at least a packet.
bool has_runs(const Shape& sizes, const Dims& strides, bool wide);

/// As `multiply`, for fewer than kFewRows rows, at the speed of memory. b has runs along its columns or along r; any
/// count of terms is one block.
void gemv(const Product& product, bool wide);

}  // namespace tinyops::cpu
