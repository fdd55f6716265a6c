#pragma once
// What the kernels of this room share: operands of indices, rows along an axis, and what makes one element of two.
#include "tinyops/base/scalar_ops.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {

// ---- Indices --------------------------------------------------------------------------------------------------------

/// The integers an index may be stored as; a pointer to bytes, since one kernel serves all of them.
__device__ inline int64_t read_index(Global<const uint8_t> memory, DType dtype, int64_t address) {
  if (dtype == DType::Int64) return as<const int64_t>(memory)[address];
  if (dtype == DType::Int32) return as<const int32_t>(memory)[address];
  return memory[address];
}

__device__ inline bool is_inside(int64_t index, int64_t size) { return uint64_t(index) < uint64_t(size); }

/// Where an index stands, for an error: its place in row-major order over `shape`, at 0 along the axes on which the
/// index does not move, so that all elements that share a bad index report the same place.
inline Affine position_of(const View& index) {
  Affine position{row_major(index.shape), 0};
  for (int a = 0; a < index.rank(); ++a)
    if (index.address.coef[a] == 0) position.coef[a] = 0;
  return position;
}

inline void check_index_dtype(DType dtype, const char* name) {
  if (is_float(dtype)) fail(name, ": an index of dtype ", dtype);
}

// ---- Along the last axis --------------------------------------------------------------------------------------------

/// Where the rows of one operand begin, and how far apart the elements of a row are.
struct RowAddresses {
  Axes axes;
  Strides row;
  int64_t along;

  /// Of the first element of a row.
  TINYOPS_HD int64_t begin(int64_t row_number) const { return row.address(axes, row_number); }
};

inline RowAddresses row_addresses(const View& view) {
  const Dims& coef = view.address.coef;
  MergedAxes outer{Shape(view.shape.begin(), view.shape.end() - 1), {Dims(coef.begin(), coef.end() - 1)}, 0};
  outer.merge();
  return {outer.axes(), outer.strides(0, view.address.offset), coef.back()};
}

/// x op y, for x that comes before y.
template <ReduceOp op, class T>
__device__ __forceinline__ T combine(T x, T y) { return apply(step(op), x, y); }

}  // namespace tinyops::cuda
