#include "teeny/nn/norms.h"

#include <limits>

#include "teeny/functional/functional.h"
#include "teeny/nn/init.h"

namespace teeny::nn {

namespace {

Tensor ones(const Shape& shape) { return Tensor::ones(shape).requires_grad_(); }
Tensor zeros(const Shape& shape) { return Tensor::zeros(shape).requires_grad_(); }

void check_channels(const char* layer, const Tensor& x, int64_t channels) {
  if (x.lazy(layer).shape().size() < 2 || x.size(1) != channels)
    fail(layer, ": x of shape ", x.shape(), "; (N, ", channels, ", ...) wanted");
}

/// The last axes of x, which must have `shape`.
Dims last_axes(const char* layer, const Tensor& x, const Shape& shape) {
  const int first = x.lazy(layer).shape().size() - shape.size();
  if (first < 0 || Shape(x.shape().begin() + first, x.shape().end()) != shape)
    fail(layer, ": x of ", x.shape(), " does not end in ", shape);
  Dims axes;
  for (int a = first; a < x.rank(); ++a) axes.push_back(a);
  return axes;
}

void check_normalized(const char* layer, const Shape& shape) {
  if (shape.empty()) fail(layer, ": over no axes; name the sizes of at least the last one");
  check_shape(shape, layer);
}

void check_eps(const char* layer, double eps) {
  if (!(eps >= 0)) fail(layer, ": eps ", eps, " is negative");
}

void check_momentum(const char* layer, double m) {
  if (!(m >= 0 && m <= 1)) fail(layer, ": momentum ", m, " is outside [0, 1]");
}

}  // namespace

BatchNorm::BatchNorm(const char* name, const char* axes, int least, int most, int64_t channels,
                     BatchNormOptions options)
    : channels(channels), options(options), name_(name), axes_(axes), least_(least), most_(most) {
  init::check_sizes(name, {channels});
  check_eps(name, options.eps);
  check_momentum(name, options.momentum.value_or(0));
  if (options.affine) weight = ones({channels}), bias = zeros({channels});
  if (!options.track_running_stats) return;
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
  num_batches_tracked = Tensor::zeros({}, DType::Int64);
}

Tensor BatchNorm::operator()(const Tensor& x) {
  if (x.lazy(name_).shape().size() < least_ || x.rank() > most_ || x.size(1) != channels)
    fail(name_, ": x of shape ", x.shape(), "; (N, ", channels, ", ", axes_, ")",
         least_ == 2 && most_ == 3 ? text(" or (N, ", channels, ")") : "", " wanted");
  return detail::called(name_, *this, x, [&] {
    if (!Training::enabled() && running_mean.defined())
      return x.batchnorm(weight, bias, running_mean, running_var, options.eps);

    const int64_t n = x.numel() / std::max<int64_t>(channels, 1);
    if (n < 2) fail(name_, ": x of shape ", x.shape(), " has ", n == 1 ? "one value" : "no values",
                    " a channel; its variance needs two");
    Dims axes = {0};
    for (int a = 2; a < x.rank(); ++a) axes.push_back(a);
    // With any constant a,  x - mean = (x - a) - (mean - a)  and  var = E[(x-a)^2] - (mean - a)^2. Here a is the mean
    // itself without its history: so `drift` is 0 and costs no precision, but the gradient passes through it, by
    // channel. The sums over x that the backward pass needs are then those of g and g * (x - a), which one pass over x
    // gives.
    const Tensor values = to_accumulate_dtype(x), mean = values.mean(axes, true), a = mean.detach();
    const Tensor centred = values - a, drift = mean - a;
    const Tensor var = mean_square(centred, axes) - drift.square();
    Tensor scale = (var + options.eps).rsqrt().cast(values.dtype());
    if (weight.defined()) scale = reshape_to_axis(weight, 1, x.rank()) * scale;
    const Tensor moved = drift * scale;
    const Tensor shift = bias.defined() ? reshape_to_axis(bias, 1, x.rank()) - moved : -moved;
    const Tensor y = centred * scale + shift;
    if (running_mean.defined()) track(a.reshape({channels}), var.detach().reshape({channels}), n);
    return y.cast(weight.defined() ? promote(x.dtype(), weight.dtype()) : x.dtype());
  });
}

/// Moves the running statistics towards those of a batch of n values a channel.
void BatchNorm::track(const Tensor& mean, const Tensor& var, int64_t n) {
  // [exercise 23
  NoGrad guard;
  const AssignmentGroup together;
  const double unbiased = double(n) / double(n - 1);
  const auto move = [&](const auto& m) {
    running_mean.assign(running_mean * (1 - m) + mean * m);
    running_var.assign(running_var * (1 - m) + var * (m * unbiased));
  };
  if (options.momentum) move(*options.momentum);
  else move((num_batches_tracked + 1).cast(running_mean.dtype()).reciprocal());
  num_batches_tracked.assign(num_batches_tracked + 1);
  // exercise 23]
}

LayerNorm::LayerNorm(const Shape& shape, LayerNormOptions options) : shape(shape), eps(options.eps) {
  check_normalized("LayerNorm", shape);
  check_eps("LayerNorm", eps);
  if (options.affine) weight = ones(shape);
  if (options.affine && options.bias) bias = zeros(shape);
}

static Tensor layer_norm(const Tensor& x, int64_t axes, const Tensor& weight, const Tensor& bias, double eps) {
  TEENY_TRACED(layer_norm(x, axes, weight, bias, eps), {x, weight, bias}, {{"axes", axes}, {"eps", eps}});
  Tensor y = x.layernorm(axes, eps);
  if (weight.defined()) y = y * weight;
  return bias.defined() ? y + bias : y;
}

Tensor LayerNorm::operator()(const Tensor& x) const {
  const Dims axes = last_axes("LayerNorm", x, shape);
  return detail::called("LayerNorm", *this, x, [&] { return layer_norm(x, axes.size(), weight, bias, eps); });
}

RMSNorm::RMSNorm(const Shape& shape, RMSNormOptions options) : shape(shape), eps(options.eps) {
  check_normalized("RMSNorm", shape);
  check_eps("RMSNorm", eps.value_or(0));
  if (options.affine) weight = ones(shape);
}

static Tensor rms_norm(const Tensor& x, const Dims& axes, const Tensor& weight, std::optional<double> given) {
  const Tensor w = to_accumulate_dtype(x);
  const double machine =
      w.dtype() == DType::Float64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  const double eps = given.value_or(machine);
  TEENY_TRACED(rms_norm(x, axes, weight, eps), {x, weight}, {{"axes", axes}, {"eps", eps}});
  const Tensor y = (w * (mean_square(w, axes) + eps).rsqrt().cast(w.dtype())).cast(x.dtype());
  return weight.defined() ? y * weight : y;
}

Tensor RMSNorm::operator()(const Tensor& x) const {
  const Dims axes = last_axes("RMSNorm", x, shape);
  return detail::called("RMSNorm", *this, x, [&] { return rms_norm(x, axes, weight, eps); });
}

GroupNorm::GroupNorm(const char* name, int64_t groups, int64_t channels, GroupNormOptions options)
    : groups(groups), channels(channels), eps(options.eps), name_(name) {
  init::check_sizes(name, {channels});
  check_eps(name, eps);
  if (groups < 1 || channels % groups) fail(name, ": ", channels, " channels do not divide into ", groups, " groups");
  if (options.affine) weight = ones({channels}), bias = zeros({channels});
}

static Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  TEENY_TRACED(group_norm(x, groups, weight, bias, eps), {x, weight, bias}, {{"groups", groups}, {"eps", eps}});
  // A group's channels and the first axis behind them are one: there may be no room for another axis.
  Shape grouped = {x.size(0), groups, x.size(1) / groups * (x.rank() > 2 ? x.size(2) : 1)};
  for (int a = 3; a < x.rank(); ++a) grouped.push_back(x.size(a));
  const Tensor y = x.reshape(grouped).layernorm(grouped.size() - 2, eps).reshape(x.shape());
  return weight.defined() ? y * reshape_to_axis(weight, 1, x.rank()) + reshape_to_axis(bias, 1, x.rank()) : y;
}

Tensor GroupNorm::operator()(const Tensor& x) const {
  check_channels(name_, x, channels);
  return detail::called(name_, *this, x, [&] { return group_norm(x, groups, weight, bias, eps); });
}

InstanceNorm::InstanceNorm(const char* name, int axes, int64_t channels, InstanceNormOptions options)
    : GroupNorm(name, channels, channels, {.eps = options.eps, .affine = options.affine}),
      momentum(options.momentum),
      axes_(axes) {
  check_momentum(name, momentum);
  if (!options.track_running_stats) return;
  running_mean = Tensor::zeros({channels});
  running_var = Tensor::ones({channels});
  num_batches_tracked = Tensor::zeros({}, DType::Int64);
}

/// x (N, C, ...), with a batch of one if it has none.
Tensor InstanceNorm::batched(const Tensor& x) const {
  if (x.lazy(name_); axes_ > 0 && x.rank() == axes_ + 1) return batched(x.unsqueeze(0));
  if (axes_ > 0 && x.rank() != axes_ + 2)
    fail(name_, ": x of shape ", x.shape(), "; ", axes_ + 2, " axes (N, ", channels, ", ...) wanted, or without N ",
         axes_ + 1);
  check_channels(name_, x, channels);
  return x;
}

Tensor InstanceNorm::normalized(const Tensor& x) const {
  if (running_mean.defined() && !Training::enabled())
    return detail::called(name_, *this, x, [&] { return x.batchnorm(weight, bias, running_mean, running_var, eps); });
  if (numel(Shape(x.shape().begin() + 2, x.shape().end())) == 1)
    fail(name_, ": x of shape ", x.shape(), " has one value a channel; it needs two");
  return GroupNorm::operator()(x);
}

Tensor InstanceNorm::operator()(const Tensor& x) const {
  if (running_mean.defined() && Training::enabled())
    fail(name_, ": training moves the running statistics, and this layer is const");
  return normalized(batched(x)).reshape(x.shape());
}

Tensor InstanceNorm::operator()(const Tensor& x) {
  const Tensor all = batched(x), y = normalized(all).reshape(x.shape());
  if (running_mean.defined() && Training::enabled()) {
    const NoGrad guard;
    const Tensor values = to_accumulate_dtype(all);
    const Dims axes = range(2, all.rank());
    running_mean.assign(running_mean * (1 - momentum) + values.mean(axes).mean(0) * momentum);
    running_var.assign(running_var * (1 - momentum) + values.var(axes).mean(0) * momentum);
  }
  return y;
}

}  // namespace teeny::nn
