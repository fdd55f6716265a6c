#pragma once
// What the files of this room share with each other and with nn.
#include "teeny/mlops/common.h"

namespace teeny {

/// Throws in the name of `op` where a size is negative or the elements are too many to count their bytes.
void check_shape(const Shape& shape, const char* op);

/// `unit`, values in [0, 1), spread over [low, high). Of a sum that is rounded up to the end, which does not belong to it, the
/// other end is taken.
Tensor spread_over(const Tensor& unit, double low, double high);

/// Inputs of one output, and outputs of one input, of a weight (out, in, ...). Throws, naming `op`, if `shape` is none.
struct Fans {
  double in, out;
};
Fans fans(const Shape& shape, const char* op);

/// The mean of the squares over `axes`, which stay with size 1, in float64: the squares of a float32 leave its range from
/// 1e19 on, and below 1e-19.
Tensor mean_square(const Tensor& x, const Dims& axes);

// ---- Indexing ------------------------------------------------------------------------------------------------------

/// Throws, naming `op`, unless `index` holds integers and is nowhere longer than x but along `axis`.
void check_index(const Tensor& x, int axis, const Tensor& index, const char* op);

/// x.gather(axis, index) in the name of `op`: it stands in the error when an index is out of range.
Tensor gathered(const Tensor& x, int axis, const Tensor& index, const char* op);

/// The part of `source` that `index` sends somewhere in x: its beginning, as large as the index. Throws, naming `op`,
/// where there is no such part, or of another dtype.
Tensor scattered(const Tensor& x, const Tensor& index, const Tensor& source, const char* op);

// ---- Windows that slide over the last axes: what convolution and pooling have in common ----------------------------

/// One size for each of `axes` spatial axes, none below `least`. `op` and `what` name the caller's option in the error.
Dims per_axis(const Sizes& sizes, int axes, const char* op, const char* what, int64_t least);

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
