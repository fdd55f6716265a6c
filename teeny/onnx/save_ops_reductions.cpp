// Operations that make one element of many along some axes.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// A rule that reduces: the axes stay in its result, with size 1.
Dims reduced_axes(const SavedCall& call) {
  const Ints from = call.shape(), to = call.result_shape();
  Dims axes;
  for (int a = 0; a < int(from.size()); ++a)
    if (from[size_t(a)] != to[size_t(a)]) axes.push_back(a);
  return axes;
}

Name reduce(SavedCall& call, bool keepdims) {
  const Dims axes = reduced_axes(call);
  if (axes.empty()) return call.x();
  const bool is_max = call.op() == "ReduceMax";
  const bool is_min = is_max && std::get<node::Reduce>(call.node_op()).op == ReduceOp::Min;
  const char* op = call.op() == "Sum" ? "ReduceSum" : is_min ? "ReduceMin" : is_max ? "ReduceMax" : "ReduceProd";
  const bool bools = call.dtype() == DType::Bool && call.opset() < 20;  // which has no largest before
  std::vector<Name> inputs{bools ? call.x(0, DType::Int32) : call.x()};
  if (axes.size() < call.rank()) inputs.push_back(call.integers(axes));  // all of them is what a node without axes does
  const Name reduced = call.node(op, inputs, {{"keepdims", keepdims}});
  return bools ? call.cast(reduced, DType::Bool) : reduced;
}

}  // namespace

std::optional<Name> reduce_and_drop(SavedCall& reshape) {
  const std::string maker = reshape.maker();
  if (maker != "Sum" && maker != "Prod" && maker != "ReduceMax") return {};
  SavedCall call = reshape.made_by();
  const Dims axes = reduced_axes(call);
  Ints kept;
  for (int a = 0; a < call.rank(); ++a)
    if (!axes.contains(a)) kept.push_back(call.shape()[size_t(a)]);
  return kept == reshape.result_shape() ? std::optional(reduce(call, false)) : std::nullopt;
}

void add_save_reductions(SaveOps& ops) {
  ops["mean"] = [](SavedCall& call) -> Names {
    std::vector<Name> inputs{call.x(0, call.result_dtype())};
    if (call.dims("axes").size() < call.rank()) inputs.push_back(call.integers(call.dims("axes")));
    return call.node("ReduceMean", inputs, {{"keepdims", call.flag("keepdim")}});
  };
  ops["Sum"] = ops["Prod"] = ops["ReduceMax"] = [](SavedCall& call) -> Names { return reduce(call, true); };
}

}  // namespace teeny::onnx
