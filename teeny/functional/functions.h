#pragma once
// Functions of tensors that are not methods, as in PyTorch: there they are in torch.nn.functional, or in torch alone.
// Few files include this header, where all of them include tensor.h: a formula that a program can do without is
// declared here.
#include <initializer_list>
#include <utility>

#include "teeny/tensor/tensor.h"

namespace teeny {

// ---- Arithmetic, statistics ----------------------------------------------------------------------------------------

enum class Rounding { Trunc, Floor };
/// x / y rounded towards zero or down; integers stay integers. It is flat, so its gradient is 0.
[[nodiscard]] Tensor div(const Tensor& x, const Tensor& y, Rounding rounding);
[[nodiscard]] Tensor div(const Tensor& x, Scalar y, Rounding rounding);

/// The size of x with the sign of y, also that of a zero and of a NaN.
[[nodiscard]] Tensor copysign(const Tensor& x, const Tensor& y);
[[nodiscard]] Tensor copysign(const Tensor& x, double y);

/// The variance, or the standard deviation, and the mean.
[[nodiscard]] std::pair<Tensor, Tensor> var_mean(const Tensor& x, const Axes& axes = {}, double correction = 1,
                                                 bool keepdim = false);
[[nodiscard]] std::pair<Tensor, Tensor> std_mean(const Tensor& x, const Axes& axes = {}, double correction = 1,
                                                 bool keepdim = false);

/// softmax(-x).
[[nodiscard]] Tensor softmin(const Tensor& x, int64_t axis = -1);
/// A draw from the classes of `logits` that has a gradient: softmax((logits + Gumbel noise) / tau). `hard`: the class
/// itself as 0 and 1, with the gradient of the soft draw. Jang, Gu, Poole, "Categorical reparameterization with
/// Gumbel-softmax", 2017.
[[nodiscard]] Tensor gumbel_softmax(const Tensor& logits, double tau = 1, bool hard = false, int64_t axis = -1);

// ---- Pooling -------------------------------------------------------------------------------------------------------

/// max_pool2d, and where in the flattened image (H * W) each maximum was found.
[[nodiscard]] ValuesIndices max_pool2d_with_indices(const Tensor& x, const Sizes& window = 2,
                                                    const PoolOptions& options = {});
/// The same with one spatial axis, and with three.
[[nodiscard]] ValuesIndices max_pool1d_with_indices(const Tensor& x, const Sizes& window,
                                                    const PoolOptions& options = {});
[[nodiscard]] ValuesIndices max_pool3d_with_indices(const Tensor& x, const Sizes& window,
                                                    const PoolOptions& options = {});

struct UnpoolOptions {
  std::optional<Sizes> stride = {};  ///< the window's size unless given
  Sizes padding = 0;
  std::optional<Sizes> output_size = {};  ///< several sizes are pooled to the same: the smallest unless given
};
/// The elements of a pooled image (N, C, H, W) or (C, H, W) back at their `indices`, zeros everywhere else.
[[nodiscard]] Tensor max_unpool2d(const Tensor& x, const Tensor& indices, const Sizes& window = 2,
                                  const UnpoolOptions& options = {});
/// The same with one spatial axis, and with three.
[[nodiscard]] Tensor max_unpool1d(const Tensor& x, const Tensor& indices, const Sizes& window,
                                  const UnpoolOptions& options = {});
[[nodiscard]] Tensor max_unpool3d(const Tensor& x, const Tensor& indices, const Sizes& window,
                                  const UnpoolOptions& options = {});

// ---- Images --------------------------------------------------------------------------------------------------------

/// (.., C r^2, H, W) to (.., C, H r, W r): groups of channels become squares of pixels. Shi et al., "Real-time single
/// image and video super-resolution using an efficient sub-pixel convolutional neural network", 2016.
[[nodiscard]] Tensor pixel_shuffle(const Tensor& x, int64_t r);
[[nodiscard]] Tensor pixel_unshuffle(const Tensor& x, int64_t r);  ///< and back

struct WindowOptions {
  Sizes dilation = 1, padding = 0, stride = 1;
};
/// The windows of an image as columns: (N, C, H, W) to (N, C KH KW, windows), or (C, H, W) to (C KH KW, windows). Along
/// an axis of any tensor: Tensor::unfold.
[[nodiscard]] Tensor unfold(const Tensor& x, const Sizes& window, const WindowOptions& options = {});
/// The adjoint: columns added up where they came from, in an image of `size`.
[[nodiscard]] Tensor fold(const Tensor& columns, const Sizes& size, const Sizes& window,
                          const WindowOptions& options = {});

enum class GridPadding { Zeros, Border, Reflection };
struct GridSampleOptions {
  Interpolation mode = Interpolation::Linear;  ///< or Nearest, of two as near the even one; or Cubic, of (N, C, H, W)
  GridPadding padding = GridPadding::Zeros;    ///< what lies outside of the image
  bool align_corners = false;                  ///< -1 and 1 are the corner elements' centres, not their borders
};
/// Elements of x (N, C, H, W) at the places `grid` (N, OH, OW, 2), between them interpolated: (N, C, OH, OW). A place
/// is (x, y), each from -1 to 1 along the width, and the height. Or x (N, C, D, H, W) and grid (N, OD, OH, OW, 3).
/// Jaderberg et al., "Spatial transformer networks", 2015.
[[nodiscard]] Tensor grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& options = {});

}  // namespace teeny
