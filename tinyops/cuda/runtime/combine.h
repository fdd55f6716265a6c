#pragma once
// The operations that make one element of many, as templates: a kernel for each, so that no thread looks up which.
#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/base/scalar_ops.h"

namespace tinyops::cuda {

/// x op y, for x that comes before y.
template <ReduceOp op, class T>
__device__ __forceinline__ T combine(T x, T y) { return apply(step(op), x, y); }

}  // namespace tinyops::cuda
