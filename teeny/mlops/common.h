#pragma once
// What the rules and the formulas share: how operands meet, and what an operation checks before it begins.
#include <utility>

#include "teeny/tensor/traced.h"

namespace teeny {

/// Both in their common dtype and broadcast to their common shape; `op` names the caller in the error.
std::pair<Tensor, Tensor> promote_and_broadcast(const Tensor& x, const Tensor& y, const char* op);

/// Whether `dtype` has this value, up to rounding; for an integer type a fraction is cut first.
bool fits(Scalar value, DType dtype);

/// Throws in the name of `op` if x holds bools.
void refuse_bools(const Tensor& x, const char* op);

/// A float tensor as it is, anything else as float32: what `exp` and its like work on. `op` is for an undefined x.
Tensor as_float(const Tensor& x, const char* op = "as_float");

/// A float32 or float64 tensor as it is, anything else as float32: what squares and long sums are computed in. A
/// float16 ends at 65504, where the square of 256 is beyond it, and a bfloat16 stands still at 256, if ones are added
/// up.
Tensor to_accumulate_dtype(const Tensor& x);

/// Throws where an amount to pad with is so large that it cannot be added to a size.
void check_pad_amounts(const Dims& before, const Dims& after);

/// Sum of a * b over the last `reduced` axes. Both have equally many axes and broadcast, or `op` fails.
Tensor contract(const Tensor& a, const Tensor& b, int reduced, const char* op = "contract");

/// Sum of a * b over `axes`, which stay with size 1. The two have equally many axes and broadcast.
Tensor product_sum(const Tensor& a, const Tensor& b, const Dims& axes);

}  // namespace teeny
