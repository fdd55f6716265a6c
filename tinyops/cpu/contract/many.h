#pragma once
#include "tinyops/cpu/contract/gemm.h"

namespace tinyops::cpu {

/// Whether a batch of so many products would fill packets, and one product of `multiply_adds` is less than it costs to
/// prepare.
bool fills_packets(int64_t batches, bool wide);
bool is_small(double multiply_adds);

/// Whether so many places of a factor, rows or columns times values of r, are too many to be packed at once. Then the
/// outermost summed axis is cut, and a factor with padding may not move along it towards its padding.
bool is_cut(int64_t places);

/// As `multiply`, for many products too small to fill a packet each; any count of terms is one block.
void multiply_many(const Product& product, bool wide);

}  // namespace tinyops::cpu
