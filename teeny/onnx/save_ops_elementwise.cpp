// Operations on one element after the other.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

#define TEENY_SAVE_AS(name, onnx_name) \
  ops[name] = [](SavedCall& call) -> Names { return call.node(onnx_name, call.broadcast()); }

void add_save_elementwise(SaveOps& ops) {
  TEENY_SAVE_AS("Add", "Add");
  TEENY_SAVE_AS("Sub", "Sub");
  TEENY_SAVE_AS("Mul", "Mul");
  TEENY_SAVE_AS("Div", "Div");
  TEENY_SAVE_AS("Neg", "Neg");
  TEENY_SAVE_AS("Reciprocal", "Reciprocal");
  TEENY_SAVE_AS("Sqrt", "Sqrt");
  TEENY_SAVE_AS("Exp", "Exp");
  TEENY_SAVE_AS("Log", "Log");
  TEENY_SAVE_AS("Sin", "Sin");
  TEENY_SAVE_AS("Cos", "Cos");
  TEENY_SAVE_AS("Tanh", "Tanh");
  TEENY_SAVE_AS("Sigmoid", "Sigmoid");
  TEENY_SAVE_AS("Relu", "Relu");
  TEENY_SAVE_AS("Where", "Where");
  TEENY_SAVE_AS("logical_not", "Not");
  ops["Cast"] = [](SavedCall& call) -> Names { return call.cast(call.x(), call.result_dtype()); };
  ops["ElementwiseMax"] = [](SavedCall& call) -> Names {
    return call.node(std::get<BinaryOp>(call.node_op()) == BinaryOp::Max ? "Max" : "Min", call.broadcast());
  };
  ops["compare"] = [](SavedCall& call) -> Names {
    const std::string op = call.text_of("op");
    const char* name = op == "<"    ? "Less"
                       : op == "<=" ? "LessOrEqual"
                       : op == ">"  ? "Greater"
                       : op == ">=" ? "GreaterOrEqual"
                                    : "Equal";
    std::vector<Name> inputs = call.broadcast();
    if (op[0] == '>') std::swap(inputs[0], inputs[1]);  // x > y is traced as y < x, under the name ">"
    return call.node(name, inputs);
  };
}

#undef TEENY_SAVE_AS

}  // namespace teeny::onnx
