// Normalization by the statistics of a batch, a layer or a neighbourhood.
#include <algorithm>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

/// A parameter (C) beside x (N, C, ...).
Tensor per_channel(const Tensor& parameter, const Tensor& x) {
  if (x.rank() < 2 || parameter.shape() != Shape{x.size(1)})
    fail("a parameter of ", parameter.shape(), " does not fit x of ", x.shape(), ", (N, C, ...)");
  return reshape_to_axis(parameter, 1, x.rank());
}

double epsilon(const Call& call) { return call.real("epsilon", 1e-5f); }

/// scale * x + shift. Both are made once where the parameters are known, so that nothing is between this and what
/// computes x: it can be done on the way.
Tensor with_statistics(const Call& call) {
  const Tensor& x = call.x();
  const auto parameter = [&](int k) { return per_channel(to_accumulate_dtype(call.x(k)), x); };
  const std::vector<Tensor> line = call.prepared({1, 2, 3, 4}, [&] {
    const Tensor scale = parameter(1) * (parameter(4) + epsilon(call)).rsqrt();
    return std::vector{scale, parameter(2) - parameter(3) * scale};
  });
  return (to_accumulate_dtype(x) * line[0] + line[1]).cast(x.dtype());
}

/// A training also gives the running statistics, and before opset 14 those of the batch, which show that it is one.
Outputs batch_normalization(Call& call) {
  const Tensor& x = call.x();
  if (call.opset < 9 && !call.flag("spatial", true)) unsupported("statistics of each element (spatial = 0)");
  const bool trains = call.opset >= 14 ? call.flag("training_mode")
                      : call.opset < 7 ? !call.flag("is_test")
                                       : call.node.outputs.size() > 1;
  if (!trains) return with_statistics(call);
  if (x.rank() < 2) fail("x of ", x.shape(), " must be (N, C, ...)");
  Dims axes{0};
  for (int k = 2; k < x.rank(); ++k) axes.push_back(k);
  const Tensor wide = to_accumulate_dtype(x), mean = wide.mean(axes), var = wide.var(axes, 0);
  const auto running = [&](int k, const Tensor& now) {
    const double momentum = call.real("momentum", 0.9f);
    return (call.x(k) * momentum + now * (1 - momentum)).cast(call.x(k).dtype());
  };
  const Tensor y = x.batchnorm(call.x(1), call.x(2), mean, var, epsilon(call)).cast(x.dtype());
  return {y, running(3, mean), running(4, var), mean.cast(x.dtype()), var.cast(x.dtype())};
}

Tensor instance_normalization(const Call& call) {
  const Tensor &x = call.x(), scale = per_channel(call.x(1), x), bias = per_channel(call.x(2), x);
  if (x.rank() < 3) fail("x of ", x.shape(), " must be (N, C, ...) with an axis after C");
  return x.layernorm(x.rank() - 2, epsilon(call)) * scale + bias;
}

/// Scale and bias are for each channel, and before opset 21 for each group.
Tensor group_normalization(const Call& call) {
  const Tensor& x = call.x();
  const int64_t groups = call.integer("num_groups", 0);
  if (x.rank() < 2 || groups < 1 || x.size(1) % groups)
    fail("x of ", x.shape(), " has no ", groups, " groups of channels");
  const auto parameter = [&](int k) {
    const Tensor& p = call.x(k);
    return per_channel(call.opset < 21 && p.numel() == groups ? p.repeat_interleave(x.size(1) / groups, 0) : p, x);
  };
  const Tensor y = x.reshape({x.size(0), groups, x.numel() ? -1 : 0}).layernorm(1, epsilon(call));
  return y.reshape(x.shape()) * parameter(1) + parameter(2);
}

/// The axes from `axis` on.
Dims normalized_axes(const Call& call) {
  Dims axes;
  for (int k = call.axis("axis", -1, call.x().rank()); k < call.x().rank(); ++k) axes.push_back(k);
  return axes;
}

/// The mean and one over the standard deviation are results, too, for a training.
Outputs layer_normalization(Call& call) {
  const Tensor& x = call.x();
  const Dims axes = normalized_axes(call);
  const Tensor y = x.layernorm(axes.size(), epsilon(call)) * call.x(1);
  Outputs outputs{call.has(2) ? y + call.x(2) : y};
  if (call.node.outputs.size() > 1) {
    const DType stash = dtype_of(call.type("stash_type", Type::Float32));
    const Tensor wide = to_accumulate_dtype(x), mean = wide.mean(axes, true);
    outputs.push_back(mean.cast(stash));
    outputs.push_back((mean_square(wide - mean, axes) + epsilon(call)).rsqrt().cast(stash));
  }
  return outputs;
}

Tensor rms_normalization(const Call& call) {
  const Tensor &x = call.x(), wide = to_accumulate_dtype(x);
  const Tensor root = (mean_square(wide, normalized_axes(call)) + epsilon(call)).rsqrt();
  return ((wide * root.cast(wide.dtype())).cast(x.dtype()) * call.x(1)).cast(call.x(1).dtype());
}

/// x / (bias + alpha / size * s)^beta, where s sums the squares of `size` channels around.
Tensor local_response_normalization(const Call& call) {
  const Tensor& x = call.x();
  const int64_t size = call.integer("size", 0);
  if (x.rank() < 2 || size < 1) fail("x of ", x.shape(), " and a size of ", size, "; (N, C, ...) and at least 1");
  Dims before = Dims::filled(x.rank(), 0), after = before;
  before[1] = std::min((size - 1) / 2, x.size(1));  // zeros beyond count nothing
  after[1] = std::min(size / 2, x.size(1));
  const Tensor sum = x.square().pad(before, after).unfold(1, before[1] + after[1] + 1, 1).sum(-1);
  return x / (sum * (call.real("alpha", 1e-4f) / double(size)) + call.real("bias", 1)).pow(call.real("beta", 0.75));
}

/// Divided by its length; what has none stays 0.
Tensor lp_normalization(const Call& call) {
  const Tensor length = call.x().norm(double(call.integer("p", 2)), call.integer("axis", -1), true);
  return where(length == 0, 0, call.x() / length);
}

/// Of the function that defines it: the deviation, not the variance, is kept off 0.
Tensor mean_variance_normalization(const Call& call) {
  const Dims axes = call.dims("axes", {0, 2, 3});
  const Tensor &x = call.x(), wide = to_accumulate_dtype(x), centred = wide - wide.mean(axes, true);
  return (centred / (mean_square(centred, axes).sqrt().cast(wide.dtype()) + 1e-9)).cast(x.dtype());
}

}  // namespace

void add_normalization(Ops& ops) {
  ops["BatchNormalization"] = batch_normalization;
  ops["InstanceNormalization"] = instance_normalization;
  ops["GroupNormalization"] = group_normalization;
  ops["LayerNormalization"] = layer_normalization;
  ops["RMSNormalization"] = rms_normalization;
  ops["LRN"] = local_response_normalization;
  ops["LpNormalization"] = lp_normalization;
  ops["MeanVarianceNormalization"] = mean_variance_normalization;
}

}  // namespace teeny::onnx
