#pragma once
// What flows along the edges of a graph: tensors with ONNX's types. Integers that teeny has no dtype for are held in a
// wider one, and cut to their own range where a result is stored:
//
//   int8 int16 uint16 -> int32      uint32 uint64 -> int64 (uint64 as its bits)
#include <memory>
#include <string>
#include <vector>

#include "teeny/io/elements.h"
#include "teeny/onnx/model.h"
#include "teeny/tensor/tensor.h"

namespace teeny::onnx {

/// The dtype that holds the type's elements. Throws Unsupported where there is none.
DType dtype_of(Type type);
/// The type that is stored as `dtype`.
Type type_of(DType dtype);
/// x with its elements cut to what `type` holds, as an integer that overflows is.
Tensor cut(const Tensor& x, Type type);
int64_t stored_size(Type type);  ///< bytes of an element in a file
struct Range {
  Scalar low, high;
};
/// The least and the largest element, infinities of floats. Of uint64 its bits: 0 and -1.
Range range_of(Type type);
/// x, but uint64 so that int64 has its order: with the first bit turned. Twice is x again.
inline Tensor ordered(const Tensor& x, Type type) { return type == Type::UInt64 ? x ^ INT64_MIN : x; }

/// What is known before a model's inputs are: it depends on initializers, constants and shapes alone. It is computed
/// once, and what the host has read of it is kept, since a Jit that records would not let it be read again.
struct Known {
  std::optional<std::vector<int64_t>> integers = {};
  std::optional<std::vector<double>> reals = {};
  bool constant = true;  ///< it depends on no shape either: all plans share it
  bool needed = false;   ///< by something unknown, or as a result
};

struct Value {
  Tensor tensor;  ///< undefined: an input that is left out
  Type type = Type::Undefined;
  std::shared_ptr<Known> known = nullptr;
  uint64_t inputs = 0;  ///< of the model, that an unknown value depends on: a bit for each; the last for all from 63 on

  Value() = default;
  /// A result without a type has that of the node's first input, where their dtypes agree, and otherwise its dtype's.
  Value(Tensor x, Type type = Type::Undefined) : tensor(std::move(x)), type(type) {}
};

/// The tensor's elements. `file`, if any, is what `t.raw` is a view of: a large aligned tensor stays there. `folder` is
/// where external data lies. Throws, naming the tensor, where they are not as its dims and type say, or lie outside.
Value read_tensor(const TensorProto& t, const io::HostBytes* file = nullptr, const std::string& folder = "");

}  // namespace teeny::onnx
