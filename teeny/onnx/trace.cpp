#include "teeny/onnx/trace.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "teeny/functional/functional.h"

namespace teeny::onnx {

namespace {

using Kind = TracedValue::Kind;

/// A tensor whose values nobody can compute: whoever reads something that depends on it gets this Error.
LazyBuffer unreadable(DType dtype, const Shape& shape) {
  constexpr const char* kMessage =
      "onnx::save: the call reads values that depend on its inputs, and a graph would hold what one of them gave: "
      "return the tensor, or decide with where()";
  const LazyBuffer nothing = LazyBuffer::constant(0, dtype, Shape(Dims::filled(std::max(shape.size(), 1), 1)));
  Shape index = shape.empty() ? Shape{1} : shape;
  Shape from = index;
  from[0] = 1;
  return gather(nothing.expand(from), 0, LazyBuffer::constant(1, DType::Int64, index), kMessage).reshape(shape);
}

struct Tracing {
  Tracing() { context.tracing = true; }
  ~Tracing() { context.tracing = false; }
};

const void* id(const Tensor& x) { return detail::TensorAccess::id(x); }
int64_t version(const Tensor& x) { return detail::TensorAccess::version(x); }

/// The walk from the results of a call back to its inputs.
class Walk {
 public:
  Walk(std::span<const Placeholder> inputs, const nn::StateDict& state, const RandomStream& random)
      : placeholders_(inputs), state_(state), random_(random) {
    for (const Placeholder& p : inputs) inputs_.push_back(Tensor(unreadable(p.dtype, p.shape)));
    for (size_t i = 0; i < inputs_.size(); ++i) {
      add({Kind::Input, int(i), inputs_[i], false});
      node_of_input_.emplace(inputs_[i].lazy().node().get(), i);
    }
    for (size_t i = 0; i < state.size(); ++i)
      if (!found_.contains(id(state[i].second))) add({Kind::Parameter, int(i), state[i].second, false});
    for (const TracedValue& value : trace_.values) versions_.push_back(version(value.tensor));
  }

  const std::vector<Tensor>& inputs() const { return inputs_; }

  Trace operator()(const std::vector<Tensor>& results) {
    for (size_t i = 0; i < versions_.size(); ++i)
      if (version(trace_.values[i].tensor) != versions_[i]) fail_assigned(trace_.values[i]);
    for (const Tensor& result : results) trace_.results.push_back(visit(result));
    return std::move(trace_);
  }

 private:
  [[noreturn]] void fail_assigned(const TracedValue& value) {
    if (value.kind == Kind::Input)
      fail("onnx::save: the call assigns to its input \"", placeholders_[size_t(value.index)].name,
           "\"; let it return the new values");
    fail("onnx::save: the call assigns to \"", state_[size_t(value.index)].first,
         "\", and a graph has no variables; call the model in evaluation mode (Training guard(false))");
  }

  int add(TracedValue value) {
    const int number = int(trace_.values.size());
    found_.emplace(id(value.tensor), number);
    trace_.values.push_back(std::move(value));
    return number;
  }

  // Depth first, without recursion: a graph may be thousands of operations deep.
  int visit(const Tensor& result) {
    std::vector<Tensor> stack{result};
    while (!stack.empty()) {
      const Tensor x = stack.back();
      if (found_.contains(id(x))) {
        stack.pop_back();
        continue;
      }
      const auto& rule = detail::TensorAccess::rule(x);
      if (!rule) {
        leaf(x), stack.pop_back();
        continue;
      }
      bool ready = true;
      for (auto input = rule->inputs.rbegin(); input != rule->inputs.rend(); ++input)
        if (!found_.contains(id(*input))) stack.push_back(*input), ready = false;
      if (!ready) continue;
      stack.pop_back();
      made(x, rule);
    }
    return found_.at(id(result));
  }

  void made(const Tensor& x, const std::shared_ptr<Function>& rule) {
    for (size_t i = 0; i < rule->inputs.size(); ++i)
      if (version(rule->inputs[i]) != rule->versions[i])
        fail("onnx::save: ", rule->name(), " reads a tensor of ", rule->inputs[i].shape(),
             " that is assigned to afterwards (assign, set, +=); write y = x + .., which makes a new one");
    const auto* traced = dynamic_cast<const Traced*>(rule.get());
    const TracedCall* call = traced ? traced->call.get() : nullptr;
    const auto known = call ? calls_.find(call) : calls_.end();
    int operation = known == calls_.end() ? int(trace_.operations.size()) : known->second;
    if (known == calls_.end()) {
      TracedOperation made{
          rule->name(), {}, std::vector<int>(call ? call->results : 1, -1), rule, call ? &call->attributes : nullptr};
      if (call)
        for (const Tensor& argument : call->arguments)
          made.arguments.push_back(argument.defined() ? found_.at(id(argument)) : -1);
      else
        for (const Tensor& argument : rule->inputs) made.arguments.push_back(found_.at(id(argument)));
      trace_.operations.push_back(std::move(made));
      if (call) calls_.emplace(call, operation);
    }
    TracedOperation& by = trace_.operations[size_t(operation)];
    const bool is_constant = std::all_of(by.arguments.begin(), by.arguments.end(), [&](int argument) {
      return argument < 0 || trace_.values[size_t(argument)].is_constant;
    });
    if (by.arguments.empty()) check_hole(x);  // it may have been made of an input all the same
    by.results[traced ? traced->result : 0] = add({Kind::Result, operation, x, is_constant});
  }

  /// No rule made x: it is a constant, unless its graph says otherwise.
  void leaf(const Tensor& x) {
    check_hole(x);
    add({Kind::Constant, -1, x, true});
  }

  void check_hole(const Tensor& x) {
    std::vector<const teeny::Node*> stack{x.lazy().node().get()};
    while (!stack.empty()) {
      const teeny::Node* node = stack.back();
      stack.pop_back();
      if (!clean_.insert(node).second) continue;
      if (const auto input = node_of_input_.find(node); input != node_of_input_.end()) fail_hole(x, input->second);
      if (const auto* special = std::get_if<node::Special>(&node->op))
        if (const auto* random = std::get_if<tinyops::RandomKernel>(special->kernel.get()))
          if (is_drawn(*random))
            fail("onnx::save: the call draws random values of ", x.shape(),
                 ", which a graph would hold as constants; make them an input, or call it in evaluation mode");
      for (const LazyBuffer& source : node->sources) stack.push_back(source.node().get());
    }
  }
  /// Whether the call has drawn it: weights may be random, too, and not be computed yet.
  bool is_drawn(const tinyops::RandomKernel& random) const {
    const uint64_t seed = context.random().seed;  // the call may have set it
    return random.seed == random_.seed ? random.counter >= random_.counter : random.seed == seed;
  }
  [[noreturn]] void fail_hole(const Tensor& x, size_t input) {
    const std::string name = "\"" + placeholders_[input].name + "\"";
    if (version(x) > 0)
      fail("onnx::save: a tensor of ", x.shape(), " that depends on the input ", name,
           " is assigned to (assign, set, +=), and a graph has no variables; write y = x + .., which makes a new one");
    fail("onnx::save: a tensor of ", x.dtype(), ' ', x.shape(), " (", teeny::name(x.lazy().node()->op),
         ") depends on the input ", name,
         ", and was made past the rules: it is not known how. Make it of operations "
         "of Tensor");
  }

  std::span<const Placeholder> placeholders_;
  const nn::StateDict& state_;
  const RandomStream random_;  ///< before the call
  std::vector<Tensor> inputs_;
  std::vector<int64_t> versions_;  ///< of inputs and parameters, before the call
  Trace trace_;
  std::unordered_map<const void*, int> found_;        ///< by id
  std::unordered_map<const TracedCall*, int> calls_;  ///< operations
  std::unordered_map<const teeny::Node*, size_t> node_of_input_;
  std::unordered_set<const teeny::Node*> clean_;  ///< nodes that were looked at
};

/// The values that were assigned, and are not computed yet.
std::vector<std::shared_ptr<teeny::Node>> assigned() {
  std::vector<std::shared_ptr<teeny::Node>> nodes;
  for (const PendingAssignment& pending : context.pending)
    if (auto node = pending.unrealized()) nodes.push_back(std::move(node));
  return nodes;
}

}  // namespace

Trace trace(const TensorCall& call, std::span<const Placeholder> inputs, const nn::StateDict& state) {
  const NoGrad no_grad;
  const Training evaluation(false);
  const AssignmentGroup together;  // what the call assigns is taken back when it is refused
  const auto before = assigned();
  Walk walk(inputs, state, context.random());
  const std::vector<Tensor> results = [&] {
    const Tracing tracing;
    return call(walk.inputs());
  }();
  for (size_t i = 0; i < results.size(); ++i)
    if (!results[i].defined()) fail("onnx::save: result ", i, " of the call is undefined");
  Trace trace = walk(results);
  for (const auto& node : assigned())
    if (std::find(before.begin(), before.end(), node) == before.end())
      fail("onnx::save: the call assigns to a tensor of ", node->shape(),
           " that lives on, and a graph has no variables; let it return the new values");
  return trace;
}

std::string describe(const Trace& trace, const TracedOperation& operation) {
  std::string result = operation.name;
  const char* before = " of ";
  for (int argument : operation.arguments)
    if (argument >= 0) {
      const Tensor& x = trace.values[size_t(argument)].tensor;
      result += text(before, x.dtype(), ' ', x.shape());
      before = ", ";
    }
  return result;
}

}  // namespace teeny::onnx
