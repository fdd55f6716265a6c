#pragma once
// Layers that bring numbers to mean 0 and variance 1. They differ in which numbers of x (N, C, H, W) belong together:
//
//   BatchNorm       one channel of all samples        N . H W      running statistics instead of x's when not training
//   LayerNorm       the last axes of one place        . . . W      (any shape)
//   InstanceNorm    one channel of one sample         . . H W
//   GroupNorm       a few channels of one sample      . C/G H W
//   RMSNorm         as LayerNorm, but only the scale: the mean stays
#include "teeny/nn/state.h"

namespace teeny::nn {

/// y = (x - mean) / sqrt(var + eps) * weight + bias for every channel of x (N, C, ...). While training, mean and
/// (biased) variance are the batch's, and the running ones move towards them (the variance without the bias); else the
/// running ones are used. Ioffe, Szegedy: "Batch normalization", 2015.
struct BatchNorm {
  explicit BatchNorm(int64_t channels, double eps = 1e-5, double momentum = 0.1);
  Tensor operator()(const Tensor& x);

  double eps, momentum;
  Tensor weight, bias;               ///< (C), trained
  Tensor running_mean, running_var;  ///< (C), followed
  Tensor num_batches_tracked;        ///< int64, no axes
  TEENY_STATE(weight, bias, running_mean, running_var, num_batches_tracked)
};
using BatchNorm1d = BatchNorm;  ///< x (N, C) or (N, C, L)
using BatchNorm2d = BatchNorm;  ///< x (N, C, H, W)
using BatchNorm3d = BatchNorm;  ///< x (N, C, D, H, W)

/// Each (.., shape) block of x to mean 0 and variance 1, then * weight + bias, both of `shape`; with `affine` false
/// there is neither, with `with_bias` false no bias. Ba, Kiros, Hinton: "Layer normalization", 2016.
struct LayerNorm {
  explicit LayerNorm(const Shape& shape, double eps = 1e-5, bool affine = true, bool with_bias = true);
  explicit LayerNorm(int64_t features, double eps = 1e-5, bool affine = true, bool with_bias = true)
      : LayerNorm(Shape{features}, eps, affine, with_bias) {}
  Tensor operator()(const Tensor& x) const;

  Shape shape;
  double eps;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// Each (.., shape) block of x divided by its root mean square, sqrt(mean(x^2) + eps), then * weight of `shape`. Unless
/// given, `eps` is the dtype's machine epsilon, float32's for the 16-bit floats. Zhang, Sennrich: "Root mean square
/// layer normalization", 2019.
struct RMSNorm {
  explicit RMSNorm(const Shape& shape, std::optional<double> eps = {}, bool affine = true);
  explicit RMSNorm(int64_t features, std::optional<double> eps = {}, bool affine = true)
      : RMSNorm(Shape{features}, eps, affine) {}
  Tensor operator()(const Tensor& x) const;

  Shape shape;
  std::optional<double> eps;
  Tensor weight;
  TEENY_STATE(weight)
};

/// The channels of x (N, C, ...) in `groups` groups, each to mean 0 and variance 1 in every sample; then
/// * weight + bias, which have a number for every channel. Wu, He: "Group normalization", 2018.
struct GroupNorm {
  GroupNorm(int64_t groups, int64_t channels, double eps = 1e-5, bool affine = true)
      : GroupNorm("GroupNorm", groups, channels, eps, affine) {}
  Tensor operator()(const Tensor& x) const;

  int64_t groups, channels;
  double eps;
  Tensor weight, bias;  ///< (C)
  TEENY_STATE(weight, bias)

 protected:
  GroupNorm(const char* name, int64_t groups, int64_t channels, double eps, bool affine);  ///< `name` stands in errors
};

/// A group for each channel, and no weight and bias unless asked for. Ulyanov, Vedaldi, Lempitsky: "Instance
/// normalization", 2016.
struct InstanceNorm : GroupNorm {
  explicit InstanceNorm(int64_t channels, double eps = 1e-5, bool affine = false)
      : GroupNorm("InstanceNorm", channels, channels, eps, affine) {}
  Tensor operator()(const Tensor& x) const;
};
using InstanceNorm1d = InstanceNorm;
using InstanceNorm2d = InstanceNorm;
using InstanceNorm3d = InstanceNorm;

}  // namespace teeny::nn
