#pragma once
// What every fast backend finds out about a contraction: which matrix product it is, and where its sums are stored.
//
//   shape of a convolution   ( N  CO  OH  OW | C  KH  KW )
//   x moves along              *       *   *   *   *   *       only x, kept:    N OH OW    the columns, or rows, of a
//   product w moves along                  *           *   *   *       only w, kept:    CO         the other side of it
//                                                              summed:          C KH KW
//   both, or neither, kept: a batch of products
#include <vector>

#include "tinyops/kernel.h"

namespace tinyops {

/// Whether the address, or what a guard looks at, depends on the index along `axis`.
bool moves(const View& view, int axis);

/// The axes of a contraction by which operand moves along them. Axes of size 1 are in none of the lists.
struct ContractAxes {
  std::vector<int> batch, a, b, reduced;
};
/// The last `reduced` axes of `shape` are summed; both views have that shape.
ContractAxes contract_axes(const Shape& shape, int reduced, const View& a, const View& b);

/// The sizes or strides of these axes.
Dims pick(const Dims& from, const std::vector<int>& axes);

/// Whether an output of the epilogue is the sum itself.
bool is_sum(const RowKernel& epilogue, const Output& output);

/// The output in which sums of `dtype` can wait for the epilogue: the one that is the sum, or else one that lies over
/// no input; -1 where there is none.
int output_for_sums(const RowKernel& epilogue, DType dtype);

}  // namespace tinyops
