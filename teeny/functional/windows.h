#pragma once
// Windows that slide over the last axes of a tensor: what convolution and pooling have in common.
#include "teeny/tensor/function.h"

namespace teeny {

/// One size for each of `axes` spatial axes, none below `least`. `op` and `what` name the caller's option in the error.
Dims each(const Sizes& sizes, int axes, const char* op, const char* what, int64_t least);

/// Pads the last axes, as many as `before` has; negative amounts cut.
Tensor pad_spatial(const Tensor& x, const Dims& before, const Dims& after, Scalar value = 0);

/// (.., H, W) -> (.., OH, OW, KH, KW): every window over the last axes, as a view.
Tensor windows(const Tensor& x, const Dims& window, const Dims& step, const Dims& dilation);

/// The adjoint of sliding windows (.., O0, O1, K0, K1) that begin at `axis`: each tap is added to the position it came
/// from, in a tensor with `sizes` elements along the axes.
Tensor fold(const Tensor& windows, int axis, const Dims& sizes, Dims steps, const Dims& dilations);

/// `x` with the values of its last axis moved apart: x0 0 0 x1 0 0 x2 for every = 3.
Tensor spread_last(const Tensor& x, int64_t every);

}  // namespace teeny
