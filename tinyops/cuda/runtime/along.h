#pragma once
// An operand as rows along its last axis, for the kinds of kernels that run along one: sorting and running totals.
#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/cuda/runtime/views.h"

namespace tinyops::cuda {

/// Where the rows of one operand begin, and how far apart the numbers of a row are.
struct Rows {
  Axes axes;
  Strides row;
  int64_t along;

  /// Of the first number of a row.
  TINYOPS_HD int64_t begin(int64_t number) const { return row.address(axes, number); }
};

inline Rows rows_of(const View& view) {
  const Shape outer(view.shape.begin(), view.shape.end() - 1);
  const Affine address{Dims(view.address.coef.begin(), view.address.coef.end() - 1), view.address.offset};
  const MergedAxes merged = merge_axes(outer, {&address});
  return {merged.axes(), merged.strides(0, address.offset), view.address.coef.back()};
}

}  // namespace tinyops::cuda
