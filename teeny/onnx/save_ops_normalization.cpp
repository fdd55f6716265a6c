// Normalization, softmax, and activations that ONNX has by name.
#include <cmath>
#include <numbers>

#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

Names layer_norm(SavedCall& call) {
  const int64_t axes = call.integer("axes");
  const DType type = call.result_dtype();
  const Ints shape = call.shape();
  Shape last;
  for (size_t a = shape.size() - size_t(axes); a < shape.size(); ++a) {
    if (shape[a].is_open()) call.refuse("an axis that it goes over is open");
    last.push_back(shape[a][0]);
  }
  std::vector<Name> inputs{call.x(0, type)};
  inputs.push_back(call.has(1) ? call.x(1, type) : call.constant(Tensor::ones(last, type)));
  if (call.has(2)) inputs.push_back(call.x(2, type));
  return call.node("LayerNormalization", inputs, {{"axis", -axes}, {"epsilon", call.real("eps")}});
}

/// From opset 23 on one node; before it by its parts, in float32.
Names rms_norm(SavedCall& call) {
  const DType type = call.dtype(), wide = promote(type, DType::Float32), last = call.result_dtype();
  const Dims axes = call.dims("axes");
  if (call.opset() >= 23 && call.has(1))
    return call.node("RMSNormalization", {call.x(0, last), call.x(1, last)},
                     {{"axis", -axes.size()}, {"epsilon", call.real("eps")}});
  const Name x = call.x(0, wide);
  const Name square = call.node("ReduceMean", {call.node("Mul", {x, x}), call.integers(axes)});
  const Name length = call.node("Sqrt", {call.node("Add", {square, call.scalar(call.real("eps"), wide)})});
  Name y = call.node("Div", {x, length});
  if (wide != last) y = call.cast(y, last);
  return call.has(1) ? call.node("Mul", {y, call.x(1, last)}) : y;
}

/// ONNX's layer with a scale for each channel is from opset 21 on; that of one channel a group is as old as ONNX.
Names group_norm(SavedCall& call) {
  const int64_t groups = call.integer("groups"), channels = call.shape()[1][0];
  const DType type = call.result_dtype();
  const double eps = call.real("eps");
  const auto of_channels = [&](int k, double otherwise, int64_t n) {
    return call.has(k) ? call.x(k, type) : call.constant(Tensor::full({n}, otherwise, type));
  };
  if (groups == channels && call.rank() > 2)
    return call.node("InstanceNormalization",
                     {call.x(0, type), of_channels(1, 1, channels), of_channels(2, 0, channels)}, {{"epsilon", eps}});
  if (call.opset() >= 21 && call.rank() > 2)
    return call.node("GroupNormalization",
                     {call.x(0, type), of_channels(1, 1, channels), of_channels(2, 0, channels)},
                     {{"num_groups", groups}, {"epsilon", eps}});
  // (N, G, rest), normalized by group, and back.
  const Ints shape = call.shape();
  Int rest = channels / groups;
  for (size_t a = 2; a < shape.size(); ++a) rest = rest * shape[a];
  const Ints grouped{shape[0], groups, rest};
  const Name ones = call.constant(Tensor::ones({groups}, type)), zeros = call.constant(Tensor::zeros({groups}, type));
  Name y = call.node("InstanceNormalization", {call.reshape(call.x(0, type), shape, grouped), ones, zeros},
                     {{"epsilon", eps}});
  y = call.reshape(y, grouped, shape);
  if (!call.has(1)) return y;
  const auto spread = [&](int k) { return call.unsqueeze(call.x(k, type), range(1, call.rank() - 1)); };
  return call.node("Add", {call.node("Mul", {y, spread(1)}), spread(2)});
}

}  // namespace

void add_save_normalization(SaveOps& ops) {
  ops["rms_norm"] = rms_norm;
  ops["group_norm"] = group_norm;
  ops["layer_norm"] = layer_norm;
  ops["layernorm"] = layer_norm;
  ops["batchnorm"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    const Shape channels{call.shape()[1][0]};
    const auto operand = [&](int k, double otherwise) {
      return call.has(k) ? call.x(k, type) : call.constant(Tensor::full(channels, otherwise, type));
    };
    return call.node("BatchNormalization",
                     {call.x(0, type), operand(1, 1), operand(2, 0), call.x(3, type), call.x(4, type)},
                     {{"epsilon", call.real("eps")}});
  };
  ops["softmax"] = [](SavedCall& call) -> Names {
    return call.node("Softmax", {call.x(0, call.result_dtype())}, {{"axis", call.integer("axis")}});
  };
  ops["log_softmax"] = [](SavedCall& call) -> Names {
    return call.node("LogSoftmax", {call.x(0, call.result_dtype())}, {{"axis", call.integer("axis")}});
  };

  ops["silu"] = [](SavedCall& call) -> Names {
    const Name x = call.x(0, call.result_dtype());
    return call.node("Mul", {x, call.node("Sigmoid", {x})});
  };
  // Before opset 20 by its parts, as runtimes know them to be one.
  ops["gelu"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    const Name x = call.x(0, type);
    if (call.opset() >= 20) return call.node("Gelu", {x}, {{"approximate", "tanh"}});
    const auto with = [&](const char* op, Name a, double b) { return call.node(op, {a, call.scalar(b, type)}); };
    const Name cube = with("Mul", with("Pow", x, 3), 0.044715);
    const Name inner = with("Mul", call.node("Add", {x, cube}), std::sqrt(2 / std::numbers::pi));
    return call.node("Mul", {with("Mul", x, 0.5), with("Add", call.node("Tanh", {inner}), 1)});
  };
  ops["gelu_erf"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    const Name x = call.x(0, type);
    if (call.opset() >= 20) return call.node("Gelu", {x});
    const auto with = [&](const char* op, Name a, double b) { return call.node(op, {a, call.scalar(b, type)}); };
    const Name erf = call.node("Erf", {with("Div", x, std::numbers::sqrt2)});
    return with("Mul", call.node("Mul", {x, with("Add", erf, 1)}), 0.5);
  };
}

}  // namespace teeny::onnx
