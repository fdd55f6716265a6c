#pragma once
// Methods of Tensor as layers without parameters, for nn::Sequential and for members of a model:
//
//   nn::Sequential model(nn::Conv2d(1, 8, 5), nn::ReLU(), nn::MaxPool2d(), nn::Flatten(), nn::Linear(1152, 10));
//
// Names and defaults are PyTorch's, also where those of the method are not: nn::GELU is exact unless `tanh` is asked
// for.
#include "teeny/nn/called.h"

namespace teeny::nn {

#define TEENY_FUNCTION(Name, ...)                                                      \
  struct Name {                                                                        \
    Tensor operator()(const Tensor& x) const {                                         \
      return detail::called(#Name, *this, x, [&]() -> Tensor { return __VA_ARGS__; }); \
    }                                                                                  \
    TEENY_STATE()                                                                      \
  };
TEENY_FUNCTION(Identity, x)
TEENY_FUNCTION(ReLU, x.relu())
TEENY_FUNCTION(ReLU6, x.relu6())
TEENY_FUNCTION(SELU, x.selu())
TEENY_FUNCTION(SiLU, x.silu())
TEENY_FUNCTION(Mish, x.mish())
TEENY_FUNCTION(Sigmoid, x.sigmoid())
TEENY_FUNCTION(LogSigmoid, x.logsigmoid())
TEENY_FUNCTION(Tanh, x.tanh())
TEENY_FUNCTION(Softsign, x.softsign())
TEENY_FUNCTION(Hardswish, x.hardswish())
TEENY_FUNCTION(Hardsigmoid, x.hardsigmoid())
#undef TEENY_FUNCTION

/// The same with options: their declarations come first, and are public members.
#define TEENY_FUNCTION(Name, options, ...)                                             \
  struct Name {                                                                        \
    options;                                                                           \
    Tensor operator()(const Tensor& x) const {                                         \
      return detail::called(#Name, *this, x, [&]() -> Tensor { return __VA_ARGS__; }); \
    }                                                                                  \
    TEENY_STATE()                                                                      \
  };
TEENY_FUNCTION(LeakyReLU, double slope = 0.01, x.leaky_relu(slope))
TEENY_FUNCTION(ELU, double alpha = 1, x.elu(alpha))
TEENY_FUNCTION(CELU, double alpha = 1, x.celu(alpha))
TEENY_FUNCTION(Softplus, double beta = 1, x.softplus(beta))
TEENY_FUNCTION(GELU, bool tanh = false, tanh ? x.gelu() : x.gelu_erf())
TEENY_FUNCTION(GLU, int64_t axis = -1, x.glu(axis))
TEENY_FUNCTION(Softmax, int64_t axis = -1, x.softmax(axis))
TEENY_FUNCTION(LogSoftmax, int64_t axis = -1, x.log_softmax(axis))
TEENY_FUNCTION(Flatten, int64_t start = 1; int64_t end = -1, x.flatten(start, end))
TEENY_FUNCTION(Unflatten, int64_t axis; Shape sizes, x.unflatten(axis, sizes))
TEENY_FUNCTION(MaxPool1d, Sizes window = 2; PoolOptions options = {}, x.max_pool1d(window, options))
TEENY_FUNCTION(MaxPool2d, Sizes window = 2; PoolOptions options = {}, x.max_pool2d(window, options))
TEENY_FUNCTION(MaxPool3d, Sizes window = 2; PoolOptions options = {}, x.max_pool3d(window, options))
TEENY_FUNCTION(AvgPool1d, Sizes window = 2; PoolOptions options = {}, x.avg_pool1d(window, options))
TEENY_FUNCTION(AvgPool2d, Sizes window = 2; PoolOptions options = {}, x.avg_pool2d(window, options))
TEENY_FUNCTION(AvgPool3d, Sizes window = 2; PoolOptions options = {}, x.avg_pool3d(window, options))
TEENY_FUNCTION(AdaptiveAvgPool2d, Sizes size = 1, x.adaptive_avg_pool2d(size))
#undef TEENY_FUNCTION

/// x (N, C, ...) with `scale` times as many elements along each of the axes after C, see Tensor::interpolate.
struct Upsample {
  Sizes scale = 2;
  InterpolateOptions options = {};
  Tensor operator()(const Tensor& x) const;
  TEENY_STATE()
};

}  // namespace teeny::nn
