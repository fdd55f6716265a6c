// Operations on one element after the other.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

#define TEENY_SAVE_AS(name, onnx_name) \
  ops[name] = [](SavedCall& call) -> Names { return call.node(onnx_name, call.broadcast()); }

namespace {

/// Of integers x * 1 and x + 0 are x: arange makes such.
std::optional<Name> operand_alone(SavedCall& call, int64_t neutral) {
  for (int k = 0; k < 2 && is_int(call.result_dtype()); ++k)
    if (const auto other = call.scalar_of(k);
        other && *other == Scalar(neutral) && call.shape(1 - k) == call.result_shape())
      return call.x(1 - k);
  return {};
}

}  // namespace

void add_save_elementwise(SaveOps& ops) {
  ops["Add"] = [](SavedCall& call) -> Names {
    if (const auto alone = operand_alone(call, 0)) return *alone;
    return call.node(call.dtype() == DType::Bool ? "Or" : "Add", call.broadcast());
  };
  TEENY_SAVE_AS("Sub", "Sub");
  ops["Mul"] = [](SavedCall& call) -> Names {
    if (const auto alone = operand_alone(call, 1)) return *alone;
    return call.node(call.dtype() == DType::Bool ? "And" : "Mul", call.broadcast());
  };
  TEENY_SAVE_AS("Div", "Div");
  TEENY_SAVE_AS("Reciprocal", "Reciprocal");
  TEENY_SAVE_AS("Sqrt", "Sqrt");
  TEENY_SAVE_AS("Exp", "Exp");
  TEENY_SAVE_AS("Log", "Log");
  TEENY_SAVE_AS("Sin", "Sin");
  TEENY_SAVE_AS("Cos", "Cos");
  TEENY_SAVE_AS("Tanh", "Tanh");
  TEENY_SAVE_AS("Sigmoid", "Sigmoid");
  TEENY_SAVE_AS("Where", "Where");
  ops["Cast"] = [](SavedCall& call) -> Names { return call.cast(call.x(), call.result_dtype()); };
  ops["ElementwiseMax"] = [](SavedCall& call) -> Names {
    const bool max = std::get<BinaryOp>(call.node_op()) == BinaryOp::Max;
    if (call.dtype() == DType::Bool) return call.node(max ? "Or" : "And", call.broadcast());
    return call.node(max ? "Max" : "Min", call.broadcast());
  };
  ops["compare"] = [](SavedCall& call) -> Names {
    const std::string op = call.text_of("op");
    const char* name = op == "<"    ? "Less"
                       : op == "<=" ? "LessOrEqual"
                       : op == ">"  ? "Greater"
                       : op == ">=" ? "GreaterOrEqual"
                                    : "Equal";
    std::vector<Name> inputs = call.broadcast();
    if (call.dtype() == DType::Bool && op != "==" && op != "!=")  // ONNX has no order of bools
      for (Name& input : inputs) input = call.cast(input, DType::Int32);
    if (op[0] == '>') std::swap(inputs[0], inputs[1]);  // x > y is traced as y < x, under the name ">"
    return call.node(name, inputs);
  };
}

#undef TEENY_SAVE_AS

}  // namespace teeny::onnx
