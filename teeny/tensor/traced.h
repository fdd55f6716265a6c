#pragma once
// What an export sees of a call. While `context.tracing` is set, every tensor keeps the rule that made it, and the walk
// from the results back to the inputs is the graph of the call, at the level of rules. Rules say what they are by their
// name and their node. A method whose parameters the rule's operands do not show, or that other frameworks know by one
// name though it is made of several rules, says so in its first line:
//
//   Tensor Tensor::softmax(int64_t axis) const {
//     TEENY_TRACED(softmax(axis), {*this}, {{"axis", axis}});
//     ..
//
// Then its inside is not seen: the call runs again with tracing off, and its result is marked.
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "teeny/graph/context.h"
#include "teeny/tensor/function.h"

namespace teeny {

/// A parameter of a traced call.
using Attribute = std::variant<Scalar, Dims, std::string>;
using Attributes = std::map<std::string, Attribute>;

struct TracedCall {
  std::string op;
  std::vector<Tensor> arguments;  ///< an undefined one was not given
  Attributes attributes;
  size_t results = 1;
};

/// The rule of a result of a traced call.
struct Traced : Function {
  std::shared_ptr<const TracedCall> call;
  size_t result = 0;  ///< which of them
  std::string name() const override { return call->op; }
};

/// Marks each of `results`, which `call` made.
void mark_traced(std::span<Tensor* const> results, TracedCall call);

/// `run()`, unseen and marked as a call of `op`, a text up to a bracket. What it returns is a Tensor, a vector of them,
/// or a struct of which `members` are the tensors.
template <class Run, class... Members>
auto traced(std::string_view op, const Run& run, std::vector<Tensor> arguments, Attributes attributes,
            Members... members) {
  struct Unseen {
    Unseen() { context.tracing = false; }
    ~Unseen() { context.tracing = true; }
  };
  auto result = [&] {
    const Unseen guard;
    return run();
  }();
  std::vector<Tensor*> all;
  if constexpr (sizeof...(Members) > 0) all = {&(result.*members)...};
  else if constexpr (std::is_same_v<decltype(result), Tensor>) all = {&result};
  else for (Tensor& x : result) all.push_back(&x);
  mark_traced(all, {std::string(op.substr(0, op.find('('))), std::move(arguments), std::move(attributes)});
  return result;
}

/// As the first line of a function: while a call is traced, `call`, which is this call, is made unseen and marked. Its
/// name, up to the bracket, is that of the operation; then come its arguments and attributes.
#define TEENY_TRACED(call, ...) TEENY_TRACED_AS(#call, call, __VA_ARGS__)
/// The same under another name than that of the function.
#define TEENY_TRACED_AS(op, call, ...) \
  if (context.tracing) return traced(op, [&] { return call; }, __VA_ARGS__)

}  // namespace teeny
