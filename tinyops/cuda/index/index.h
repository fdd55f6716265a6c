#pragma once
// Reading an operand of indices on the device, and reporting those that are outside.
#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/cuda/runtime/views.h"

namespace tinyops::cuda {

/// The integers an index may be stored as; a pointer to bytes, since one kernel serves all of them.
__device__ inline int64_t read_index(Global<const uint8_t> memory, DType dtype, int64_t address) {
  if (dtype == DType::Int64) return as<const int64_t>(memory)[address];
  if (dtype == DType::Int32) return as<const int32_t>(memory)[address];
  return memory[address];
}

__device__ inline bool is_inside(int64_t index, int64_t size) { return uint64_t(index) < uint64_t(size); }

/// Where an index stands, for an error: its place in row-major order over `shape`, at 0 along the axes on which the
/// index does not move, so that all elements that share a bad index name the same place.
inline Affine position_of(const View& index) {
  Affine position{row_major(index.shape), 0};
  for (int a = 0; a < index.rank(); ++a)
    if (index.address.coef[a] == 0) position.coef[a] = 0;
  return position;
}

inline void check_index_dtype(DType dtype, const char* name) {
  if (is_float(dtype)) fail(name, ": an index of dtype ", dtype);
}

}  // namespace tinyops::cuda
