#pragma once
// What the files of this room share with each other and with nn.
#include <array>

#include "teeny/mlops/common.h"

namespace teeny {

/// Throws in the name of `op` where a size is negative or the elements are too many to count their bytes.
void check_shape(const Shape& shape, const char* op);

/// Throws in the name of `op` unless x holds floats.
void refuse_non_floats(const Tensor& x, const char* op);

/// `x` (n) along axis `axis` of `rank`: (n) becomes (1, .., n, .., 1), which broadcasts beside tensors of that rank.
Tensor reshape_to_axis(const Tensor& x, int axis, int rank);

/// What a tensor of `dtype` holds of `value`, if that is one of the 16-bit floats: a kernel takes a constant in the
/// type that it computes in, float32.
Scalar rounded(Scalar value, DType dtype);

/// `unit`, values in [0, 1), spread over [low, high). Of a sum that is rounded up to the end, which does not belong to
/// it, the other end is taken.
Tensor spread_over(const Tensor& unit, double low, double high);

/// Throws in the name of `op` where what it makes (of `from`, unless that is empty) would have more axes than a tensor
/// has.
void check_rank(int rank, const char* op, const Shape& from = {});

/// `x`; but if `holds`, a bool without axes, turns out false when x is computed, that throws `message` instead. It has
/// a colon: the operation's name stands before it.
Tensor require(const Tensor& x, const Tensor& holds, const char* message);

/// Inputs of one output, and outputs of one input, of a weight (out, in, ...). Throws, naming `op`, if `shape` is none.
struct Fans {
  double in, out;
};
Fans fans(const Shape& shape, const char* op);

/// The mean of the squares over `axes`, which stay with size 1, in float64: the squares of a float32 leave its range
/// from 1e19 on, and below 1e-19.
Tensor mean_square(const Tensor& x, const Dims& axes);

/// run(); an Error that it throws in the name of `inner` comes in that of `op`, which the user called.
template <class Run>
auto in_the_name_of(const char* op, const char* inner, const Run& run) {
  try {
    return run();
  } catch (const Error& error) {
    const std::string message = error.what(), name = text(inner, ':');
    if (!message.starts_with(name)) throw;
    fail(op, ':', message.substr(name.size()));
  }
}

// ---- Indexing ------------------------------------------------------------------------------------------------------

/// A tensor without axes as one of the shape (1), others as they are: what such a tensor is to functions along an axis.
Tensor with_an_axis(const Tensor& x);

// `op` says in whose name an Error is thrown: the operation, and where the index that the user gave is another.

/// Throws, naming `op`, unless `index` holds integers and is nowhere longer than x but along `axis`.
void check_index(const Tensor& x, int axis, const Tensor& index, const IndexOrigin& op);

/// x.gather(axis, index) in the name of `op`: it stands in the error when an index is out of range.
Tensor gathered(const Tensor& x, int axis, const Tensor& index, const IndexOrigin& op);

/// The part of `source` that `index` sends somewhere in x: its beginning, as large as the index. Throws, naming `op`,
/// where there is no such part, or of another dtype.
Tensor scattered(const Tensor& x, const Tensor& index, const Tensor& source, const IndexOrigin& op);

/// This of zeros: source[i][j] added to out[index[i][j]][j] for axis 0, in `shape`.
Tensor scatter_sum(const Shape& shape, int axis, const Tensor& index, const Tensor& source, const IndexOrigin& op);

/// One index for all that lies at a position of `axis`, as large as what it picks from x. Throws, naming `op`, unless
/// `index` holds integers along one axis.
Tensor spread_index(const Tensor& x, int axis, const Tensor& index, const char* op);

/// x.index_select(axis, index) in the name of `op`.
Tensor selected(const Tensor& x, int axis, const Tensor& index, const IndexOrigin& op);

/// x.scatter(axis, index, source) in the name of `op`.
Tensor overwritten(const Tensor& x, int axis, const Tensor& index, const Tensor& source, const IndexOrigin& op);

// ---- Recurrent layers ----------------------------------------------------------------------------------------------

/// Whether a layer can be run as one kernel: no gradient is asked for, its elements are float32 or float64, and the
/// weight (hidden, gates * hidden) is small, so that a thread has it at hand in each step.
bool is_one_kernel(tinyops::RecurrentCell cell, int64_t hidden, const std::vector<Tensor>& inputs);

/// The states after all steps (T, D, B, states * hidden) of D layers side by side, the first `forward` of which walk
/// from the first step to the last, and the others back. `in` (T, D, B, gates * hidden) is the product with the layers'
/// input, `weight` (D, hidden + 1, gates * hidden) multiplies h and a 1, `first` (D, B, states * hidden) is the state
/// before all steps. recurrent.h has the cells and the order of their gates.
Tensor recurrent_states(tinyops::RecurrentCell cell, int64_t forward, const Tensor& in, const Tensor& weight,
                        const Tensor& first);

// ---- Windows that slide over the last axes: what convolution and pooling have in common ----------------------------

/// One size for each of `axes` spatial axes, none below `least`. `op` and `what` name the caller's option in the error.
Dims per_axis(const Sizes& sizes, int axes, const char* op, const char* what, int64_t least);

/// Pads the last axes, as many as `before` has; negative amounts cut.
Tensor pad_spatial(const Tensor& x, const Dims& before, const Dims& after, Scalar value = 0);

/// (.., H, W) -> (.., OH, OW, KH, KW): every window over the last axes, as a view.
Tensor windows(const Tensor& x, const Dims& window, const Dims& step, const Dims& dilation);

/// The adjoint of sliding windows (.., O0, O1, K0, K1) that begin at `axis`: each tap is added to the position it came
/// from, in a tensor with `sizes` elements along the axes. `taps_first`: they are (.., K0, K1, O0, O1).
Tensor fold(const Tensor& windows, int axis, const Dims& sizes, Dims steps, const Dims& dilations,
            bool taps_first = false);

/// Of a place `t` behind an element, in [0, 1], what the element before, this one and the two behind it weigh. Keys,
/// "Cubic convolution interpolation for digital image processing", 1981, with a = -3/4.
std::array<Tensor, 4> cubic_weights(const Tensor& t);

/// `x` with the values of its last axis moved apart: x0 0 0 x1 0 0 x2 for every = 3.
Tensor spread_last(const Tensor& x, int64_t every);

}  // namespace teeny
