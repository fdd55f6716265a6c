#pragma once
// The product of two matrices whose rows, columns and summed index are each several axes of a view: an element's
// address splits into a part for each of them, so an operand is a base and three small tables of offsets.
//
//   out[batch, row, column] = sum over r of a[batch, row, r] * b[batch, column, r]
//
//   address in a = offset + sum batch coef * i + sum free coef * i + sum reduced coef * i       (b and out alike)
#include <vector>

#include "tinyops/device.h"

namespace tinyops::cpu {

/// A checked build cuts work into pieces that are so many times smaller: small tests shall meet every path.
#ifdef TEENY_CHECKED
inline constexpr int64_t kSmaller = 32;
#else
inline constexpr int64_t kSmaller = 1;
#endif

/// Padding that is not in memory: an element counts where 0 <= offset + sum coef * i < size.
struct Padding {
  int64_t offset = 0, size = 0;
  Dims free, reduced;  ///< coefficients along the product's axes
};

/// One operand. `free` moves along the rows for `a`, along the columns for `b`.
struct Factor {
  const void* memory = nullptr;
  int64_t offset = 0;
  Dims batch, free, reduced;     ///< strides along the product's axes
  std::vector<Padding> padding;  ///< only multiply_many takes some
  std::vector<int64_t> places;   ///< where each r is, if `reduced` does not say it; only multiply takes them
};

/// Where b is known to be 0, because it was padded there: the outermost summed axis counts `taps` of a window, and tap
/// t lies inside the image where 0 <= position + t * step < size. The others may be left out: what b is 0 for counts as
/// 0, even against an infinity.
struct Window {
  int64_t taps = 1, step = 1, size = 1;
  int64_t offset = 0;  ///< position of a column = offset + sum coef * i
  Dims coef;           ///< along `columns`
};

/// A tensor with an element for each sum.
struct Companion {
  void* memory = nullptr;
  int64_t offset = 0;
  Dims batch, rows, columns;  ///< strides along the product's axes
};

struct Product {
  Shape batch, rows, columns, reduced;
  Factor a, b;
  Window window;
  BufferRef packed_rows;  ///< what pack_rows made of `a`, where several products share it
  void* out = nullptr;
  DType out_dtype = DType::Float32;
  int64_t out_offset = 0;
  Dims out_batch, out_rows, out_columns;
  /// What follows the sums, of which `out` may then be null: they are not stored. Tensors are of the factors' dtype.
  const RowKernel* epilogue = nullptr;
  std::vector<Companion> inputs, outputs;  ///< of the epilogue
};

/// Factors of float64 if `wide`, else of float32; the output is of that dtype, or, where is_one_block, a 16-bit float.
/// gemv and multiply_many take no epilogue.
void multiply(const Product& product, bool wide);

/// Rows of more terms are packed even if they are neighbours in memory: each term may be in another page.
inline constexpr int64_t kFewTerms = 512 / kSmaller;

/// Whether so many terms are added up in registers at once. Longer sums go by way of the output.
bool is_one_block(int64_t r);

/// The rows of `a` in the order in which the inner loop reads them. Only a, batch, rows and reduced count.
BufferRef pack_rows(const Product& product, bool wide);

/// Where the elements of a factor are along r.
std::vector<int64_t> places_of_r(const Product& product, const Factor& factor);

/// The places of elements [first, first + count) of `sizes`, in row-major order, under `strides`.
void offsets(const Shape& sizes, const Dims& strides, int64_t first, int64_t count, int64_t* to);

}  // namespace tinyops::cpu
