#pragma once
// The product of two matrices whose rows, columns and summed index are each several axes of a view: an element's
// address splits into a part for each of them, so an operand is a base and three small tables of offsets.
//
//   out[batch, row, column] = sum over r of a[batch, row, r] * b[batch, column, r]
//
//   address in a = offset + sum batch coef * i + sum free coef * i + sum reduced coef * i       (b and out alike)
#include "tinyops/device.h"

namespace tinyops::cpu {

using teeny::Dims;

/// One operand. `free` moves along the rows for `a`, along the columns for `b`.
struct Factor {
  const void* memory = nullptr;
  int64_t offset = 0;
  Dims batch, free, reduced;  ///< strides along the product's axes
};

struct Product {
  Shape batch, rows, columns, reduced;
  Factor a, b;
  void* out = nullptr;
  DType out_dtype = DType::Float32;
  int64_t out_offset = 0;
  Dims out_batch, out_rows, out_columns;
};

/// Factors of float64 if `wide`, else of float32; the output is of that dtype, or a 16-bit float.
void multiply(const Product& product, bool wide);

/// The places of elements [first, first + count) of `sizes`, in row-major order, under `strides`.
void offsets(const Shape& sizes, const Dims& strides, int64_t first, int64_t count, int64_t* to);

}  // namespace tinyops::cpu
