#pragma once
// What a call does, at the level of rules: a list of operations, found by a walk from its results back to its inputs
// (traced.h). Nothing is computed. A call that cannot be written down is an Error, never a constant that holds what one
// input gave: values that are read, tensors that are assigned to, random ones, a result that no rule made.
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "teeny/nn/nn.h"
#include "teeny/tensor/traced.h"

namespace teeny::onnx {

/// A tensor of the call.
struct TracedValue {
  enum class Kind { Input, Parameter, Constant, Result };
  Kind kind;
  int index;  ///< of the input, of the parameter, of the operation that made it
  Tensor tensor;
  bool is_constant;  ///< it depends on no input and no parameter
};

struct TracedOperation {
  std::string name;
  std::vector<int> arguments;  ///< values; -1 where one was not given
  std::vector<int> results;    ///< values; -1 where one is not used
  std::shared_ptr<const Function> rule;
  const Attributes* attributes;  ///< null where it was not a traced call
};

struct Trace {
  std::vector<TracedValue> values;
  std::vector<TracedOperation> operations;  ///< each after those whose results it needs
  std::vector<int> results;                 ///< values, in the order in which the call returns them
};

using TensorCall = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

/// An input of the call, which stands for all values.
struct Placeholder {
  std::string name;
  DType dtype;
  Shape shape;
};

/// Calls `call` once. Throws where the call cannot be written down.
Trace trace(const TensorCall& call, std::span<const Placeholder> inputs, const nn::StateDict& state);

/// "Mul (2, 3) x (2, 3)": an operation and the shapes of its arguments.
std::string describe(const Trace& trace, const TracedOperation& operation);

}  // namespace teeny::onnx
