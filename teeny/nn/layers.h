#pragma once
// Layers: structs that hold their parameters and can be called. Names, shapes and initial values are PyTorch's, so a
// state dictionary of the one loads into the other.
#include "teeny/nn/state.h"

namespace teeny::nn {

/// y = x W^T + b. x (.., in), weight (out, in), bias (out): (.., out).
/// Both start uniform in ±1/sqrt(in), which is what PyTorch's kaiming_uniform(a = sqrt(5)) comes to.
struct Linear {
  Linear(int64_t in, int64_t out, bool with_bias = true);
  Tensor operator()(const Tensor& x) const { return x.linear(weight, bias); }

  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// x (N, in, H, W), weight (out, in/groups, KH, KW), bias (out): (N, out, OH, OW), see Tensor::conv2d.
/// Both start uniform in ±1/sqrt(in/groups * KH * KW), as in PyTorch.
struct Conv2d {
  Conv2d(int64_t in, int64_t out, const Sizes& kernel, const ConvOptions& options = {}, bool with_bias = true);
  Tensor operator()(const Tensor& x) const { return x.conv2d(weight, bias, options); }

  ConvOptions options;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias for every channel of x (N, C, H, W). While training, mean and
/// (biased) variance are the batch's, and the running ones move towards them (the variance without the bias); else the
/// running ones are used. Ioffe, Szegedy: "Batch normalization", 2015.
struct BatchNorm2d {
  explicit BatchNorm2d(int64_t channels, double eps = 1e-5, double momentum = 0.1);
  Tensor operator()(const Tensor& x);

  double eps, momentum;
  Tensor weight, bias;               ///< (C), trained
  Tensor running_mean, running_var;  ///< (C), followed
  Tensor num_batches_tracked;        ///< int64, no axes
  TEENY_STATE(weight, bias, running_mean, running_var, num_batches_tracked)
};

/// Each (.., shape) block of x to mean 0 and variance 1, then * weight + bias, both of `shape`. Ba, Kiros, Hinton:
/// "Layer normalization", 2016.
struct LayerNorm {
  explicit LayerNorm(const Shape& shape, double eps = 1e-5);
  explicit LayerNorm(int64_t features, double eps = 1e-5) : LayerNorm(Shape{features}, eps) {}
  Tensor operator()(const Tensor& x) const { return x.layernorm(weight.rank(), eps) * weight + bias; }

  double eps;
  Tensor weight, bias;
  TEENY_STATE(weight, bias)
};

/// Rows of a table: index (..), weight (count, size): (.., size). The table starts standard normal.
struct Embedding {
  Embedding(int64_t count, int64_t size);
  Tensor operator()(const Tensor& index) const { return weight.embedding(index); }

  Tensor weight;
  TEENY_STATE(weight)
};

/// Zero with probability p, the rest divided by 1 - p; only while training.
struct Dropout {
  explicit Dropout(double p = 0.5);
  Tensor operator()(const Tensor& x) const { return x.dropout(p); }

  double p;
  TEENY_STATE()
};

}  // namespace teeny::nn
