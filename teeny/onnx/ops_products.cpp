// Products of matrices, and the scales by which integers stand for floats.
#include <algorithm>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

/// alpha A B + beta C, each matrix transposed where the node says so.
Value gemm(const Call& call) {
  const auto matrix = [&](int k, const char* transposed) {
    const Tensor& x = call.x(k);
    if (x.rank() != 2) fail("input ", k, " of ", x.shape(), " is no matrix");
    return call.flag(transposed) ? x.t() : x;
  };
  const auto scaled = [&](const Tensor& x, const char* factor) {
    const double value = call.real(factor, 1);
    return value == 1 ? x : x * value;
  };
  const Tensor y = scaled(matrix(0, "transA").matmul(matrix(1, "transB")), "alpha");
  return as_type(call.has(2) ? y + scaled(call.x(2), "beta") : y, call.type());
}

Value einsum(const Call& call) {
  std::string equation = call.text("equation", "");
  std::erase(equation, ' ');
  return as_type(Tensor::einsum(equation, call.tensors()), call.type());
}

/// Gaussian elimination: in each step the row with the largest pivot takes the first one's place, and goes.
Tensor determinant(const Call& call) {
  Tensor a = call.x();
  if (a.rank() < 2 || a.size(-1) != a.size(-2)) fail("a tensor of ", a.shape(), " has no square matrices");
  Tensor result = Tensor::ones(Shape(a.shape().begin(), a.shape().end() - 2), a.dtype());
  for (int64_t n = a.size(-1); n > 0; --n) {
    const Tensor at = a[{ellipsis, slice(0, 1)}].abs().argmax(-2, true);  // (.., 1, 1)
    const Tensor is_pivot = Tensor::arange(n).unsqueeze(-1) == at, first = a[{ellipsis, slice(0, 1), slice()}];
    const Tensor row = where(is_pivot, a, 0).sum(-2, true);
    const Tensor rest = where(is_pivot, first, a)[{ellipsis, slice(1), slice()}];
    const Tensor pivot = row[{ellipsis, slice(0, 1)}];
    result = result * (where(at == 0, 1, -1) * pivot).squeeze({-2, -1});
    const Tensor factor = rest[{ellipsis, slice(0, 1)}] / where(pivot == 0, 1, pivot);
    a = rest[{ellipsis, slice(1)}] - factor * row[{ellipsis, slice(1)}];
  }
  return result;
}

// ---- Integers that stand for floats: (x - zero point) * scale ------------------------------------------------------

/// A scale or a zero point beside x: of all its elements, of each position of `axis`, or of each block along it.
Tensor beside(const Tensor& parameter, const Tensor& x, const Call& call) {
  if (parameter.numel() == 1) return parameter.reshape({});
  const int axis = call.axis("axis", 1, x.rank());
  const int64_t block = call.integer("block_size", 0);
  if (block == 0 && parameter.rank() == 1 && parameter.numel() == x.size(axis))
    return reshape_to_axis(parameter, axis, x.rank());
  Shape blocks = x.shape();
  if (block > 0) blocks[axis] = (blocks[axis] - 1) / block + 1;
  if (block <= 0 || parameter.shape() != blocks)
    fail("scales of ", parameter.shape(), " do not fit elements of ", x.shape(), " along axis ", axis,
         " with blocks of ", block);
  const Tensor spread = parameter.repeat_interleave(std::min(block, x.size(axis)), axis);
  Dims cut = Dims::filled(x.rank(), 0);
  cut[axis] = x.size(axis) - spread.size(axis);
  return spread.pad(Dims::filled(x.rank(), 0), cut);
}

Value dequantize(const Call& call) {
  const Tensor x = call.x().cast(DType::Int32), scale = to_accumulate_dtype(call.x(1));
  const Tensor moved = call.has(2) ? x - beside(call.x(2).cast(DType::Int32), x, call) : x;
  return as_type(moved.cast(scale.dtype()) * beside(scale, x, call), call.type("output_dtype", call.type(1)));
}

/// x rounded, moved and held inside of what the type has.
Value saturated(const Tensor& x, const Tensor& zero_point, Type type) {
  if (is_float(dtype_of(type))) unsupported("quantized elements of the type ", name_of(type));
  const Range range = range_of(type);
  const Tensor y = x.round() + zero_point.cast(x.dtype());
  return as_type(y.maximum(range.low.as<double>()).minimum(range.high.as<double>()), type);
}

Value quantize(const Call& call) {
  const Type named = call.type("output_dtype", Type::Undefined);
  const Type type = call.has(2) ? call.type(2) : named == Type::Undefined ? Type::UInt8 : named;
  const Tensor x = to_accumulate_dtype(call.x()), scale = to_accumulate_dtype(call.x(1));
  return saturated(x / beside(scale, x, call), call.has(2) ? beside(call.x(2), x, call) : Tensor::zeros({}), type);
}

/// To uint8 between the least and the largest element, and 0.
Outputs quantize_dynamically(Call& call) {
  const Tensor& x = call.x();
  const Tensor least = x.min().minimum(0), range = x.max().maximum(0) - least;
  const Tensor scale = where(range == 0, 1, range / 255);
  const Value zero_point = saturated(-least / scale, Tensor::zeros({}), Type::UInt8);
  return {saturated(x / scale, zero_point.tensor, Type::UInt8), scale, zero_point};
}

/// x less its zero point, if there is one: of all elements, of each row of the left factor or column of the right one.
Tensor moved(const Call& call, int k, int zero_point, bool rows) {
  const Tensor x = call.x(k).cast(DType::Int32);
  if (!call.has(zero_point)) return x;
  const Tensor zero = call.x(zero_point).cast(DType::Int32);
  return x - (rows && zero.rank() == 1 && zero.numel() > 1 ? zero.unsqueeze(-1) : zero);
}

Value quantized_matmul(const Call& call) {
  const auto number = [&](int k, bool rows) {
    const Tensor scale = to_accumulate_dtype(call.x(k));
    return rows && scale.rank() == 1 && scale.numel() > 1 ? scale.unsqueeze(-1) : scale;
  };
  const Tensor product = moved(call, 0, 2, true).matmul(moved(call, 3, 5, false));
  const Tensor factor = number(1, true) * number(4, false) / number(6, true);
  return saturated(product.cast(factor.dtype()) * factor, call.x(7), call.type(7));
}

}  // namespace

void add_products(Ops& ops) {
  ops["MatMul"] = [](Call& call) { return call.x().matmul(call.x(1)); };
  ops["Gemm"] = gemm;
  ops["Einsum"] = einsum;
  ops["Det"] = determinant;
  ops["DequantizeLinear"] = dequantize;
  ops["QuantizeLinear"] = quantize;
  ops["DynamicQuantizeLinear"] = quantize_dynamically;
  ops["MatMulInteger"] = [](Call& call) {
    return Value(moved(call, 0, 2, true).matmul(moved(call, 1, 3, false)), Type::Int32);
  };
  ops["QLinearMatMul"] = quantized_matmul;
}

}  // namespace teeny::onnx
