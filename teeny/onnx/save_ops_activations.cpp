// Activations that ONNX has by name, and what is made of a few of its operations.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// An operation of the same meaning, of floats.
template <size_t N>
struct Spelling {
  char text[N];
  constexpr Spelling(const char (&name)[N]) { std::copy_n(name, N, text); }
};
template <Spelling name>
Names as(SavedCall& call) {
  return call.node(name.text, {call.x(0, call.result_dtype())});
}
/// The same with a parameter.
template <Spelling name, Spelling parameter>
Names with_parameter(SavedCall& call) {
  return call.node(name.text, {call.x(0, call.result_dtype())}, {{parameter.text, call.real(parameter.text)}});
}

Names celu(SavedCall& call) {
  const DType type = call.result_dtype();
  const double alpha = call.real("alpha");
  const Name x = call.x(0, type);
  if (type == DType::Float32) return call.node("Celu", {x}, {{"alpha", alpha}});
  const Name scale = call.scalar(alpha, type);  // Celu is for float32 alone
  const Name curve = call.node("Sub", {call.node("Exp", {call.node("Div", {x, scale})}), call.scalar(1, type)});
  return call.node("Where", {call.node("LessOrEqual", {x, call.scalar(0, type)}), call.node("Mul", {curve, scale}), x});
}

Names softplus(SavedCall& call) {
  const DType type = call.result_dtype();
  const double beta = call.real("beta");
  const Name x = call.x(0, type);
  if (beta == 1) return call.node("Softplus", {x});
  const Name scale = call.scalar(beta, type);
  return call.node("Div", {call.node("Softplus", {call.node("Mul", {x, scale})}), scale});
}

Names clamp(SavedCall& call) {
  const DType type = call.result_dtype();
  const auto bound = [&](const char* name) { return call.has(name) ? call.scalar(call.scalar(name), type) : Name(); };
  return call.node("Clip", {call.x(0, type), bound("low"), bound("high")});
}

}  // namespace

void add_save_activations(SaveOps& ops) {
  ops["mish"] = as<"Mish">;
  ops["hardswish"] = as<"HardSwish">;
  ops["softsign"] = as<"Softsign">;
  ops["selu"] = as<"Selu">;
  ops["elu"] = with_parameter<"Elu", "alpha">;
  ops["celu"] = celu;
  ops["softplus"] = softplus;
  ops["clamp"] = clamp;
  ops["hardsigmoid"] = [](SavedCall& call) -> Names {
    return call.node("HardSigmoid", {call.x(0, call.result_dtype())}, {{"alpha", 1. / 6}, {"beta", 0.5}});
  };
  ops["leaky_relu"] = [](SavedCall& call) -> Names {
    return call.node("LeakyRelu", {call.x(0, call.result_dtype())}, {{"alpha", call.real("slope")}});
  };
  ops["quick_gelu"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    const Name x = call.x(0, type), scaled = call.node("Mul", {x, call.scalar(1.702, type)});
    return call.node("Mul", {x, call.node("Sigmoid", {scaled})});
  };
  ops["prelu"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    return call.node("PRelu", {call.x(0, type), call.x(1, type)});
  };
}

}  // namespace teeny::onnx
