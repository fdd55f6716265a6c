#pragma once
// What the rules and the code around them share. The rules themselves stand in mlops.cpp, movement.cpp, indexing.cpp,
// products.cpp, windows.cpp, convolution.cpp and pooling.cpp, each with the Tensor method that applies it.
#include <utility>

#include "teeny/tensor/function.h"

namespace teeny {

/// Both in their common dtype and broadcast to their common shape; `op` names the caller in the error.
std::pair<Tensor, Tensor> promote_and_broadcast(const Tensor& x, const Tensor& y, const char* op);

/// Whether `dtype` has this number, up to rounding; for an integer type a fraction is cut first.
bool fits(Scalar value, DType dtype);

/// Throws in the name of `op` if x holds bools.
void refuse_bools(const Tensor& x, const char* op);

/// A float tensor as it is, anything else as float32: what `exp` and its like work on.
Tensor as_float(const Tensor& x);

/// A float32 or float64 tensor as it is, anything else as float32: what squares and long sums are computed in. A float16
/// ends at 65504, where the square of 256 is beyond it, and a bfloat16 stands still at 256, if ones are added up.
Tensor to_accumulate_dtype(const Tensor& x);

/// Inputs of one output, and outputs of one input, of a weight (out, in, ...). Throws, naming `op`, if `shape` is none.
struct Fans {
  double in, out;
};
Fans fans(const Shape& shape, const char* op);

/// `x` (n) along axis `axis` of `rank`: (n) becomes (1, .., n, .., 1), which broadcasts beside tensors of that rank.
Tensor reshape_to_axis(const Tensor& x, int axis, int rank);

/// Throws, naming `op`, unless `index` holds integers and is nowhere longer than x but along `axis`.
void check_index(const Tensor& x, int axis, const Tensor& index, const char* op);

/// x.gather(axis, index) in the name of `op`: it stands in the error when an index is out of range.
Tensor gathered(const Tensor& x, int axis, const Tensor& index, const char* op);

/// The part of `source` that `index` sends somewhere in x: its beginning, as large as the index. Throws, naming `op`,
/// where there is no such part, or of another dtype.
Tensor scattered(const Tensor& x, const Tensor& index, const Tensor& source, const char* op);

/// Sum of a * b over the last `reduced` axes, which disappear. The two have equally many axes and broadcast.
Tensor contract(const Tensor& a, const Tensor& b, int reduced);

/// Sum of a * b over `axes`, which stay with size 1. The two have equally many axes and broadcast.
Tensor product_sum(const Tensor& a, const Tensor& b, const Dims& axes);

}  // namespace teeny
