#include "teeny/nn/layers.h"

#include <cmath>

namespace teeny::nn {

namespace {

/// A parameter that starts uniform in ±1/sqrt(fan_in): `fan_in` numbers are added up for each output, so that the
/// output's variance does not grow with their count.
Tensor uniform_parameter(const Shape& shape, int64_t fan_in) {
  const double bound = fan_in > 0 ? 1 / std::sqrt(double(fan_in)) : 0;
  return Tensor::uniform(shape, -bound, bound).requires_grad_();
}

void check_sizes(const char* layer, std::initializer_list<int64_t> sizes) {
  for (int64_t size : sizes)
    if (size < 0) fail(layer, ": a size of ", size);
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, bool with_bias) {
  check_sizes("Linear", {in, out});
  weight = uniform_parameter({out, in}, in);
  if (with_bias) bias = uniform_parameter({out}, in);
}

Conv2d::Conv2d(int64_t in, int64_t out, const Sizes& kernel, const ConvOptions& conv_options, bool with_bias)
    : options(conv_options) {
  const Dims& k = kernel.list;
  if (k.empty() || k.size() > 2) fail("Conv2d: a kernel of ", k, "; it has one size for both axes, or two");
  const int64_t height = k[0], width = k.back(), groups = options.groups;
  check_sizes("Conv2d", {in, out, height, width});
  if (groups < 1 || in % groups || out % groups)
    fail("Conv2d: ", in, " and ", out, " channels do not divide into ", groups, " groups");
  const int64_t fan_in = in / groups * height * width;
  weight = uniform_parameter({out, in / groups, height, width}, fan_in);
  if (with_bias) bias = uniform_parameter({out}, fan_in);
}

BatchNorm2d::BatchNorm2d(int64_t channels, double eps, double momentum) : eps(eps), momentum(momentum) {
  check_sizes("BatchNorm2d", {channels});
  weight = Tensor::ones({channels}).requires_grad_();
  bias = Tensor::zeros({channels}).requires_grad_();
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
  num_batches_tracked = Tensor::zeros({}, DType::Int64);
}

Tensor BatchNorm2d::operator()(const Tensor& x) {
  const int64_t channels = weight.size(0);
  if (x.rank() != 4 || x.size(1) != channels)
    fail("BatchNorm2d: x of shape ", x.shape(), "; (N, ", channels, ", H, W) wanted");
  const Shape per_channel = {1, channels, 1, 1};
  const Tensor w = weight.reshape(per_channel), b = bias.reshape(per_channel);
  if (!Training::enabled()) {
    const Tensor scale = w * (running_var.reshape(per_channel) + eps).rsqrt();
    return (x - running_mean.reshape(per_channel)) * scale + b;
  }

  const int64_t n = x.numel() / std::max<int64_t>(channels, 1);
  if (n < 2) fail("BatchNorm2d: x of shape ", x.shape(), " has one value a channel; training needs two");
  // With any constant a,  x - mean = (x - a) - (mean - a)  and  var = E[(x-a)^2] - (mean - a)^2. Here a is the mean
  // itself without its history: so `drift` is 0 and costs no precision, but the gradient passes through it, by channel.
  // The sums over x that the way back needs are then those of g and g * (x - a), which one walk over x gives.
  const Tensor mean = x.mean({0, 2, 3}, true), a = mean.detach();
  const Tensor centred = x - a, drift = mean - a;
  const Tensor var = centred.square().mean({0, 2, 3}, true) - drift.square();
  const Tensor scale = w * (var + eps).rsqrt();
  const Tensor y = centred * scale + (b - drift * scale);

  NoGrad guard;
  const double unbiased = double(n) / double(n - 1);
  running_mean.assign(running_mean * (1 - momentum) + a.reshape({channels}) * momentum);
  running_var.assign(running_var * (1 - momentum) + var.detach().reshape({channels}) * (momentum * unbiased));
  num_batches_tracked.assign(num_batches_tracked + 1);
  return y;
}

LayerNorm::LayerNorm(const Shape& shape, double eps) : eps(eps) {
  if (shape.empty()) fail("LayerNorm: over no axes");
  weight = Tensor::ones(shape).requires_grad_();
  bias = Tensor::zeros(shape).requires_grad_();
}

Embedding::Embedding(int64_t count, int64_t size) {
  check_sizes("Embedding", {count, size});
  weight = Tensor::randn({count, size}).requires_grad_();
}

Dropout::Dropout(double p) : p(p) {
  if (!(p >= 0 && p <= 1)) fail("Dropout: a probability of ", p);
}

}  // namespace teeny::nn
