#pragma once
// Layers: structs that hold their parameters and can be called. Names, shapes and initial values are PyTorch's, so a
// state dictionary of the one loads into the other. Here those that are a product or a table of rows; norms.h,
// recurrent.h, attention.h and sequential.h have the others.
#include <concepts>

#include "teeny/nn/called.h"

namespace teeny::nn {

/// Of a layer that may go without its bias: nn::Linear(784, 64, {.bias = false}), or nn::Linear(784, 64, false).
struct LayerOptions {
  bool bias = true;
};

/// y = x W^T + b. x (.., in), weight (out, in), bias (out): (.., out).
/// Both start uniform in ±1/sqrt(in), which is what PyTorch's kaiming_uniform(a = sqrt(5)) comes to.
struct Linear {
  Linear(int64_t in, int64_t out, LayerOptions layer = {});
  Linear(int64_t in, int64_t out, std::same_as<bool> auto bias) : Linear(in, out, LayerOptions{bias}) {}
  Tensor operator()(const Tensor& x) const {
    return detail::called("Linear", *this, x, [&] { return x.linear(weight, bias); });
  }

  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// Convolution over the last kAxes axes. x (N, in, H, W), weight (out, in/groups, KH, KW), bias (out): (N, out, OH, OW)
/// for two of them, see Tensor::conv2d. Both start uniform in ±1/sqrt(in/groups * KH * KW), as in PyTorch.
template <int kAxes>
struct Conv {
  Conv(int64_t in, int64_t out, const Sizes& kernel, const ConvOptions& options = {}, LayerOptions layer = {});
  Conv(int64_t in, int64_t out, const Sizes& kernel, const ConvOptions& options, std::same_as<bool> auto bias)
      : Conv(in, out, kernel, options, LayerOptions{bias}) {}
  Tensor operator()(const Tensor& x) const;

  ConvOptions options;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};
using Conv1d = Conv<1>;
using Conv2d = Conv<2>;
using Conv3d = Conv<3>;

/// The adjoint of a convolution, as a layer: x (N, in, H, W), weight (in, out/groups, KH, KW), bias (out):
/// (N, out, OH, OW), see Tensor::conv_transpose2d. Both start uniform in ±1/sqrt(out/groups * KH * KW), as in PyTorch.
/// Zeiler et al., "Deconvolutional networks", 2010.
template <int kAxes>
struct ConvTranspose {
  ConvTranspose(int64_t in, int64_t out, const Sizes& kernel, const ConvTransposeOptions& options = {},
                LayerOptions layer = {});
  ConvTranspose(int64_t in, int64_t out, const Sizes& kernel, const ConvTransposeOptions& options,
                std::same_as<bool> auto bias)
      : ConvTranspose(in, out, kernel, options, LayerOptions{bias}) {}
  Tensor operator()(const Tensor& x) const;

  ConvTransposeOptions options;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};
using ConvTranspose1d = ConvTranspose<1>;
using ConvTranspose2d = ConvTranspose<2>;
using ConvTranspose3d = ConvTranspose<3>;

/// Rows of a table: index (..), weight (count, size): (.., size). The table starts standard normal. The row
/// `padding`, for places where a sequence has ended, starts as zeros and is never trained.
struct Embedding {
  Embedding(int64_t count, int64_t size, std::optional<int64_t> padding = {});
  Tensor operator()(const Tensor& index) const;

  std::optional<int64_t> padding;
  Tensor weight;
  TEENY_STATE(weight)
};

/// What EmbeddingBag makes of the rows of a bag.
enum class BagMode { Sum, Mean, Max };
struct EmbeddingBagOptions {
  BagMode mode = BagMode::Mean;
  std::optional<int64_t> padding = {};  ///< a row that counts for nothing, and starts as zeros
};
/// Rows of a table, summed up bag by bag: index (B, L) is B bags; index (L) with offsets (B), int64, where bag b begins
/// at offsets[b], the first at 0 and each behind the one before it. Of both (B, size); a bag without rows is zeros.
/// `weights` of the index's shape multiply the rows; as in PyTorch for sums alone.
struct EmbeddingBag {
  EmbeddingBag(int64_t count, int64_t size, EmbeddingBagOptions options = {});
  Tensor operator()(const Tensor& index, const Tensor& offsets = {}, const Tensor& weights = {}) const;

  EmbeddingBagOptions options;
  Tensor weight;
  TEENY_STATE(weight)
};

/// x where it is above 0, elsewhere x * weight: one for all, or one for each channel of x (N, channels, ...). He et
/// al., "Delving deep into rectifiers", 2015.
struct PReLU {
  explicit PReLU(int64_t channels = 1, double initial = 0.25);
  Tensor operator()(const Tensor& x) const;

  Tensor weight;  ///< (channels)
  TEENY_STATE(weight)
};

/// Zero with probability p, the rest divided by 1 - p; only while training. Srivastava et al., "Dropout", 2014.
struct Dropout {
  explicit Dropout(double p = 0.5);
  Tensor operator()(const Tensor& x) const {
    return detail::called("Dropout", *this, x, [&] { return x.dropout(p); });
  }

  double p;
  TEENY_STATE()
};

/// The same for whole channels of x (N, C, ...): neighbours in an image say much the same. Tompson et al., "Efficient
/// object localization using convolutional networks", 2015.
struct DropoutChannels {
  explicit DropoutChannels(double p = 0.5);
  Tensor operator()(const Tensor& x) const;

  double p;
  TEENY_STATE()
};
using Dropout1d = DropoutChannels;
using Dropout2d = DropoutChannels;
using Dropout3d = DropoutChannels;

}  // namespace teeny::nn
