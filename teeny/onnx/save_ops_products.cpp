// Products.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_products(SaveOps& ops) {
  ops["matmul"] = [](SavedCall& call) -> Names {
    if (call.rank(0) == 2 && call.rank(1) == 2 && is_float(call.result_dtype()) &&
        call.dtype(1) == call.result_dtype() && call.maker(1) == "permute")  // there is one order but that of the axes
      return call.node("Gemm", {call.x(0, call.result_dtype()), call.made_by(1).x()}, {{"transB", 1}});
    const DType type = call.result_dtype(), wide = type == DType::UInt8 ? DType::Int32 : type;
    const Name product = call.node("MatMul", {call.x(0, wide), call.x(1, wide)});
    return wide == type ? product : call.cast(product, type);
  };
  ops["linear"] = [](SavedCall& call) -> Names {
    const DType type = call.result_dtype();
    const Name x = call.x(0, type), weight = call.x(1, type), bias = call.has(2) ? call.x(2, type) : Name();
    if (call.rank() == 2) return call.node("Gemm", {x, weight, bias}, {{"transB", 1}});
    const Name product = call.node("MatMul", {x, call.transpose(weight, {1, 0})});
    return call.has(2) ? call.node("Add", {product, bias}) : product;
  };
}

}  // namespace teeny::onnx
