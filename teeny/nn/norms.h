#pragma once
// Layers that bring elements to mean 0 and variance 1. They differ in which elements of x (N, C, H, W) share a mean:
//
//   BatchNorm       one channel of all samples        N . H W      running statistics instead of x's when not training
//   LayerNorm       the last axes of one position     . . . W      (any shape)
//   InstanceNorm    one channel of one sample         . . H W
//   GroupNorm       a few channels of one sample      . C/G H W
//   RMSNorm         as LayerNorm, but only the scale: the mean stays
#include "teeny/nn/called.h"

namespace teeny::nn {

struct BatchNormOptions {
  double eps = 1e-5;
  std::optional<double> momentum = 0.1;  ///< how far a batch moves the running statistics; unset: to the mean of all
  bool affine = true;                    ///< without it there is neither weight nor bias
  bool track_running_stats = true;       ///< without them the batch's statistics are used, always
};
/// y = (x - mean) / sqrt(var + eps) * weight + bias for every channel of x (N, C, ...). While training, mean and
/// (biased) variance are the batch's, and the running ones move towards them (the variance without the bias); else the
/// running ones are used. Ioffe, Szegedy: "Batch normalization", 2015.
struct BatchNorm {
  explicit BatchNorm(int64_t channels, BatchNormOptions options = {})
      : BatchNorm("BatchNorm", "...", 2, kMaxRank, channels, options) {}
  Tensor operator()(const Tensor& x);

  int64_t channels;
  BatchNormOptions options;
  Tensor weight, bias;               ///< (C), trained; undefined where there are none, like the others
  Tensor running_mean, running_var;  ///< (C), not trained
  Tensor num_batches_tracked;        ///< int64, no axes
  TEENY_STATE(weight, bias, running_mean, running_var, num_batches_tracked)

 protected:
  /// For x of `least` to `most` axes, those behind the channels are called `axes`. `name` stands in errors.
  BatchNorm(const char* name, const char* axes, int least, int most, int64_t channels, BatchNormOptions options);

 private:
  void track(const Tensor& mean, const Tensor& var, int64_t n);
  const char *name_, *axes_;
  int least_, most_;
};
struct BatchNorm1d : BatchNorm {  ///< x (N, C) or (N, C, L)
  explicit BatchNorm1d(int64_t channels, BatchNormOptions options = {})
      : BatchNorm("BatchNorm1d", "L", 2, 3, channels, options) {}
};
struct BatchNorm2d : BatchNorm {  ///< x (N, C, H, W)
  explicit BatchNorm2d(int64_t channels, BatchNormOptions options = {})
      : BatchNorm("BatchNorm2d", "H, W", 4, 4, channels, options) {}
};
struct BatchNorm3d : BatchNorm {  ///< x (N, C, D, H, W)
  explicit BatchNorm3d(int64_t channels, BatchNormOptions options = {})
      : BatchNorm("BatchNorm3d", "D, H, W", 5, 5, channels, options) {}
};

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
  const char* name_;
};

struct InstanceNormOptions {
  double eps = 1e-5;
  bool affine = false;               ///< with it there are a weight and a bias
  double momentum = 0.1;             ///< how far a batch moves the running statistics
  bool track_running_stats = false;  ///< with them, they are used instead of x's when not training
};
/// A group for each channel, and no weight, bias and running statistics unless asked for. The running ones move towards
/// the means over the batch of each sample's. Ulyanov, Vedaldi, Lempitsky: "Instance normalization", 2016.
struct InstanceNorm : GroupNorm {
  explicit InstanceNorm(int64_t channels, InstanceNormOptions options = {})
      : InstanceNorm("InstanceNorm", 0, channels, options) {}
  Tensor operator()(const Tensor& x);
  Tensor operator()(const Tensor& x) const;  ///< refuses to train running statistics, which it would have to move

  double momentum;
  Tensor running_mean, running_var;  ///< (C), not trained; undefined where there are none
  Tensor num_batches_tracked;        ///< int64, no axes; stays 0, as in PyTorch
  TEENY_STATE(weight, bias, running_mean, running_var, num_batches_tracked)

 protected:
  /// For x (N, C, ...) with `axes` axes behind the channels, or without a batch; any number of them for 0.
  InstanceNorm(const char* name, int axes, int64_t channels, InstanceNormOptions options);

 private:
  Tensor batched(const Tensor& x) const;
  Tensor normalized(const Tensor& x) const;
  int axes_;
};
struct InstanceNorm1d : InstanceNorm {  ///< x (N, C, L) or (C, L)
  explicit InstanceNorm1d(int64_t channels, InstanceNormOptions options = {})
      : InstanceNorm("InstanceNorm1d", 1, channels, options) {}
};
struct InstanceNorm2d : InstanceNorm {  ///< x (N, C, H, W) or (C, H, W)
  explicit InstanceNorm2d(int64_t channels, InstanceNormOptions options = {})
      : InstanceNorm("InstanceNorm2d", 2, channels, options) {}
};
struct InstanceNorm3d : InstanceNorm {  ///< x (N, C, D, H, W) or (C, D, H, W)
  explicit InstanceNorm3d(int64_t channels, InstanceNormOptions options = {})
      : InstanceNorm("InstanceNorm3d", 3, channels, options) {}
};

}  // namespace teeny::nn
