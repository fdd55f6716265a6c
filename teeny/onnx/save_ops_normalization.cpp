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

}  // namespace

void add_save_normalization(SaveOps& ops) {
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
