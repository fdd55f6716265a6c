#pragma once
// The four operations that make one number of many, as templates: a kernel for each, so that no thread asks which.
#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/base/scalar_ops.h"

namespace tinyops::cuda {

/// x op y, for x that comes before y.
template <ReduceOp op, class T>
__device__ __forceinline__ T combine(T x, T y) { return apply(step(op), x, y); }

/// Calls `f` with `op` as a constant of the type.
template <class F>
void with_op(ReduceOp op, F&& f) {
  switch (op) {
    case ReduceOp::Sum: return f(std::integral_constant<ReduceOp, ReduceOp::Sum>{});
    case ReduceOp::Prod: return f(std::integral_constant<ReduceOp, ReduceOp::Prod>{});
    case ReduceOp::Max: return f(std::integral_constant<ReduceOp, ReduceOp::Max>{});
    case ReduceOp::Min: return f(std::integral_constant<ReduceOp, ReduceOp::Min>{});
  }
}

}  // namespace tinyops::cuda
