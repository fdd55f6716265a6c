#pragma once
// Layers that bring elements to mean 0 and variance 1. They differ in which elements of x (N, C, H, W) share a mean:
//
//   BatchNorm       one channel of all samples        N . H W      running statistics instead of x's when not training
//   LayerNorm       the last axes of one position     . . . W      (any shape)
//   InstanceNorm    one channel of one sample         . . H W
//   GroupNorm       a few channels of one sample      . C/G H W
//   RMSNorm         as LayerNorm, but only the scale: the mean stays
#include "teeny/nn/state.h"

namespace teeny::nn {

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< how far a batch moves the running statistics
};
/// y = (x - mean) / sqrt(var + eps) * weight + bias for every channel of x (N, C, ...). While training, mean and
/// (biased) variance are the batch's, and the running ones move towards them (the variance without the bias); else the
/// running ones are used. Ioffe, Szegedy: "Batch normalization", 2015.
struct BatchNorm {
  explicit BatchNorm(int64_t channels, BatchNormOptions options = {});
  Tensor operator()(const Tensor& x);

  double eps, momentum;
  Tensor weight, bias;               ///< (C), trained
  Tensor running_mean, running_var;  ///< (C), not trained
  Tensor num_batches_tracked;        ///< int64, no axes
  TEENY_STATE(weight, bias, running_mean, running_var, num_batches_tracked)
};
using BatchNorm1d = BatchNorm;  ///< x (N, C) or (N, C, L)
using BatchNorm2d = BatchNorm;  ///< x (N, C, H, W)
using BatchNorm3d = BatchNorm;  ///< x (N, C, D, H, W)

struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true;  ///< without it there is neither weight nor bias
  bool bias = true;
};
/// Each (.., shape) block of x to mean 0 and variance 1, then * weight + bias, both of `shape`. Ba, Kiros,
/// Hinton: "Layer normalization", 2016.
struct LayerNorm {
  explicit LayerNorm(const Shape& shape, LayerNormOptions options = {});
  explicit LayerNorm(int64_t features, LayerNormOptions options = {}) : LayerNorm(Shape{features}, options) {}
  Tensor operator()(const Tensor& x) const;

  Shape shape;
  double eps;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

struct RMSNormOptions {
  std::optional<double> eps = {};  ///< unset: the dtype's machine epsilon, float32's for the 16-bit floats
  bool affine = true;              ///< without it there is no weight
};
/// Each (.., shape) block of x divided by its root mean square, sqrt(mean(x^2) + eps), then * weight of `shape`. Zhang,
/// Sennrich: "Root mean square layer normalization", 2019.
struct RMSNorm {
  explicit RMSNorm(const Shape& shape, RMSNormOptions options = {});
  explicit RMSNorm(int64_t features, RMSNormOptions options = {}) : RMSNorm(Shape{features}, options) {}
  Tensor operator()(const Tensor& x) const;

  Shape shape;
  std::optional<double> eps;
  Tensor weight;
  TEENY_STATE(weight)
};

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;  ///< without it there is neither weight nor bias
};
/// The channels of x (N, C, ...) in `groups` groups, each to mean 0 and variance 1 in every sample; then
/// * weight + bias, which have an element for every channel. Wu, He: "Group normalization", 2018.
struct GroupNorm {
  GroupNorm(int64_t groups, int64_t channels, GroupNormOptions options = {})
      : GroupNorm("GroupNorm", groups, channels, options) {}
  Tensor operator()(const Tensor& x) const;

  int64_t groups, channels;
  double eps;
  Tensor weight, bias;  ///< (C)
  TEENY_STATE(weight, bias)

 protected:
  /// `name` stands in errors.
  GroupNorm(const char* name, int64_t groups, int64_t channels, GroupNormOptions options);
};

struct InstanceNormOptions {
  double eps = 1e-5;
  bool affine = false;  ///< with it there are a weight and a bias
};
/// A group for each channel, and no weight and bias unless asked for. Ulyanov, Vedaldi, Lempitsky: "Instance
/// normalization", 2016.
struct InstanceNorm : GroupNorm {
  explicit InstanceNorm(int64_t channels, InstanceNormOptions options = {})
      : GroupNorm("InstanceNorm", channels, channels, {.eps = options.eps, .affine = options.affine}) {}
  Tensor operator()(const Tensor& x) const;
};
using InstanceNorm1d = InstanceNorm;
using InstanceNorm2d = InstanceNorm;
using InstanceNorm3d = InstanceNorm;

}  // namespace teeny::nn
