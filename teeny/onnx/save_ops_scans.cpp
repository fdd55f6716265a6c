// Along an axis: running sums and extremes, sorting, positions of extremes; and reductions with a name of their own.
#include <limits>

#include "teeny/functional/functional.h"
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// What ONNX's sorting and extremes are computed in: bools are none of its numbers, and runtimes know few of 16 bits.
DType comparable(DType type) {
  if (type == DType::Bool || type == DType::UInt8) return DType::Int32;
  return itemsize(type) == 2 ? DType::Float32 : type;
}
Name back(SavedCall& call, Name x, DType from, DType to) { return from == to ? x : call.cast(x, to); }

/// What ONNX has no running total for (before opset 26) is a total of each beginning of the axis: the elements as a
/// square, of which the triangle above the diagonal is `neutral`, and a reduction of its rows.
Name of_beginnings(SavedCall& call, const char* reduction, Name x, DType type, Scalar neutral) {
  const int64_t axis = call.integer("axis");
  const Int n = call.shape()[size_t(axis)];
  if (n.is_open()) call.refuse("it is spelled as a square of its axis, which is open");
  Shape square{n[0], n[0]};
  for (int a = int(axis) + 1; a < call.rank(); ++a) square.push_back(1);
  const Name mask = call.constant(Tensor::tri(n[0], n[0]).reshape(square), "triangle");
  const Name rows = call.node("Where", {mask, call.unsqueeze(x, {axis}), call.scalar(neutral, type)});
  return call.node(reduction, {rows, call.integers(Dims{axis + 1})}, {{"keepdims", 0}});
}

Names extreme_so_far(SavedCall& call) {
  const bool largest = call.flag("largest");
  const DType type = call.dtype(), wide = comparable(type);
  const Scalar neutral = with_type(wide, [&](auto zero) -> Scalar {
    using Limits = std::numeric_limits<decltype(zero)>;
    if constexpr (std::integral<decltype(zero)>) return largest ? Limits::lowest() : Limits::max();
    else return largest ? -INFINITY : INFINITY;
  });
  const Name x = of_beginnings(call, largest ? "ReduceMax" : "ReduceMin", call.x(0, wide), wide, neutral);
  return back(call, x, wide, type);
}

/// All of an axis in order, or the first k.
std::vector<Name> in_order(SavedCall& call, const Int& k, bool largest) {
  const DType type = call.dtype(), wide = comparable(type);
  std::vector<Name> made = call.nodes("TopK", {call.x(0, wide), call.integers(Ints{k}, "k")},
                                      {{"axis", call.integer("axis")}, {"largest", largest}}, 2);
  made[0] = back(call, made[0], wide, type);
  return made;
}
Int length(SavedCall& call) { return call.shape()[size_t(call.integer("axis"))]; }

Names arg(SavedCall& call) {
  const DType type = call.dtype();
  const char* op = call.op() == "argmax" ? "ArgMax" : "ArgMin";
  return call.node(op, {type == DType::Bool ? call.x(0, DType::Int32) : call.x()},
                   {{"axis", call.integer("axis")}, {"keepdims", call.flag("keepdim")}});
}

/// Reductions of floats, which 16-bit ones would leave the range of.
Name reduced(SavedCall& call, const char* op) {
  const DType type = call.result_dtype(), wide = promote(type, DType::Float32);
  std::vector<Name> inputs{call.x(0, wide)};
  if (call.dims("axes").size() < call.rank()) inputs.push_back(call.integers(call.dims("axes")));
  return back(call, call.node(op, inputs, {{"keepdims", call.flag("keepdim")}}), wide, type);
}

Names einsum(SavedCall& call) {
  const DType type = call.result_dtype(), wide = dtype_of_einsum(type);
  std::vector<Name> operands;
  for (int k = 0; k < call.count(); ++k) operands.push_back(call.x(k, wide));
  std::string formula = call.text_of("formula");
  std::erase(formula, ' ');
  return back(call, call.node("Einsum", operands, {{"equation", formula}}), wide, type);
}

/// A sum of products over the last axes.
Names contract(SavedCall& call) {
  const Name product = call.node("Mul", {call.x(0), call.x(1)});
  const int kept = int(call.result_shape().size());
  return call.node("ReduceSum", {product, call.integers(range(kept, call.rank()))}, {{"keepdims", 0}});
}

}  // namespace

DType dtype_of_einsum(DType type) {
  if (type == DType::BFloat16) return DType::Float32;
  return type == DType::Bool || type == DType::UInt8 ? DType::Int32 : type;
}

void add_save_scans(SaveOps& ops) {
  ops["cumsum"] = [](SavedCall& call) -> Names {
    return call.node("CumSum", {call.x(0, call.result_dtype()), call.scalar(call.integer("axis"), DType::Int64)});
  };
  ops["cumprod"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    return of_beginnings(call, "ReduceProd", call.x(0, type), type, 1);
  };
  ops["logcumsumexp"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype(), wide = promote(type, DType::Float32);
    return back(call, of_beginnings(call, "ReduceLogSumExp", call.x(0, wide), wide, -INFINITY), wide, type);
  };
  ops["extreme_so_far"] = extreme_so_far;
  ops["argsort"] = [](SavedCall& call) -> Names { return in_order(call, length(call), call.flag("descending"))[1]; };
  ops["sort"] = [](SavedCall& call) -> Names { return in_order(call, length(call), call.flag("descending")); };
  ops["topk"] = [](SavedCall& call) -> Names { return in_order(call, call.ints("k")[0], call.flag("largest")); };
  ops["argmax"] = ops["argmin"] = arg;
  ops["logsumexp"] = [](SavedCall& call) -> Names { return reduced(call, "ReduceLogSumExp"); };
  ops["norm"] = [](SavedCall& call) -> Names { return reduced(call, call.real("p") == 1 ? "ReduceL1" : "ReduceL2"); };
  ops["einsum"] = einsum;
  ops["Contract"] = contract;
}

}  // namespace teeny::onnx
