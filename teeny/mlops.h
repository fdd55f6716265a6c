#pragma once
// What the rules and the code around them share. The rules themselves stand in mlops.cpp, movement.cpp and
// products.cpp, each with the Tensor method that applies it.
#include <utility>

#include "teeny/function.h"

namespace teeny {

/// Both in their common dtype and broadcast to their common shape; `op` names the caller in the error.
std::pair<Tensor, Tensor> matched(const Tensor& x, const Tensor& y, const char* op);

/// A float tensor as it is, anything else as float32: what `exp` and its like work on.
Tensor as_float(const Tensor& x);

/// Throws, naming `op`, unless `index` holds integers and is nowhere longer than x but along `axis`.
void check_index(const Tensor& x, int axis, const Tensor& index, const char* op);

/// Sum of a * b over the last `reduced` axes, which disappear. The two have equally many axes and broadcast.
Tensor contract(const Tensor& a, const Tensor& b, int reduced);

/// The adjoint of sliding windows (.., O0, O1, K0, K1) that begin at `axis`: each tap is added to the position it came
/// from, in a tensor with `sizes` elements along the axes.
Tensor fold(const Tensor& windows, int axis, const Dims& sizes, const Dims& steps, const Dims& dilations);

/// `x` with the values of its last axis moved apart: x0 0 0 x1 0 0 x2 for every = 3.
Tensor spread_last(const Tensor& x, int64_t every);

}  // namespace teeny
