// Operations that look elements up, or write them somewhere.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// ONNX's indices are int32 and int64.
Name positions(SavedCall& call, int k) { return call.dtype(k) == DType::Int32 ? call.x(k) : call.x(k, DType::Int64); }

}  // namespace

void add_save_indexing(SaveOps& ops) {
  ops["embedding"] = [](SavedCall& call) -> Names { return call.node("Gather", {call.x(), positions(call, 1)}); };
  ops["selected"] = [](SavedCall& call) -> Names {
    return call.node("Gather", {call.x(), positions(call, 1)}, {{"axis", call.integer("axis")}});
  };
  ops["cat"] = [](SavedCall& call) -> Names {
    if (call.count() == 1) return call.x();
    return call.node("Concat", call.all(), {{"axis", call.integer("axis")}});
  };
}

}  // namespace teeny::onnx
