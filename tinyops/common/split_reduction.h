#pragma once
// A reduction in two stages, as data: few long rows become many short ones, whose totals are reduced once more. Every
// part has its place in memory, so the result is the same bits every time; atomics would add in the order in which
// blocks happen to end.
//
//   sum of 2^26 floats      x x x x x x | x x x x x x | .. | x x x x x x      row kernel, (parts | length / parts)
//                                │             │                  │
//                                t             t      ..          t           in memory: (parts, rows)
//                                └─────────────┴───────┬──────────┘
//                                                    result                   row kernel, (rows | parts), and what follows
//
// The parts are the first axis, so that what lies side by side in memory, rows or elements, still does.
#include <vector>

#include "tinyops/kernel.h"

namespace tinyops {

/// What a backend needs to be worth a second stage.
struct SplitLimits {
  int64_t blocks;       ///< as many as it would like to have at work
  int64_t block_work;   ///< elements: a block with fewer is not cut
  int64_t part_length;  ///< no part of a row is shorter
};
/// The same work as two or three kernels, where `kernel` is a reduction of rows so few and so long that it would leave
/// most of the device idle; `blocks` is how many blocks it would have alone. Empty where it is well as it is, or cannot
/// be split.
std::vector<RowKernel> split_reduction(const RowKernel& kernel, int64_t blocks, const SplitLimits& limits);

/// Totals of the parts of `shape`'s rows, in memory as (parts, rows), seen as (rows.., parts).
Operand totals_of_parts(const Shape& shape, int64_t parts, DType dtype, const BufferRef& buffer);

/// Says that value `value` of a program is a reduction of totals, which input `input` reads (a new one, or in place of
/// one).
struct PartialReduction {
  int value = 0;
  ReduceOp op = ReduceOp::Sum;
  DType dtype = DType::Float32;  ///< it is computed in; rounded by a Cast where the value has another one
  int input = 0;
  Operand totals;                ///< see above
};
/// The second stage. `rows` is the kernel of what follows, without inner axes; each of its values in `partial` is
/// computed from totals, as the others are from it:
///
///   %0 = load totals    %1 = Reduce Sum %0    %2 = Cast %1, if need be    .. and from here on what follows, for each row
RowKernel reduce_parts(const RowKernel& rows, int64_t parts, const std::vector<PartialReduction>& partial);

}  // namespace tinyops
