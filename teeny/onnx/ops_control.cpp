// Graphs inside of nodes. What decides how often one runs is looked at, so that a Jit records a loop whose number of
// steps is known, unrolled, and no other.
#include <algorithm>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

Outputs results_of(std::vector<Value> values) {
  Outputs results;
  for (Value& value : values) results.push_back(std::move(value));
  return results;
}

Outputs branch(Call& call) {
  const bool condition = call.decide((call.x(), call.inputs[0]));
  std::vector<Value> results = call.run(call.graph(condition ? "then_branch" : "else_branch"), {});
  if (call.inputs[0].known && !call.is_known()) call.results_say_if_known();
  return results_of(std::move(results));
}

/// What the steps of a loop put one behind the other along a new axis. Where there was no step, the graph says what
/// they would have been.
Value stacked(const std::vector<Value>& steps, int64_t axis, const ValueInfo& info, bool backwards = false) {
  if (steps.empty()) {
    const Type type = info.type == Type::Undefined ? Type::Float32 : info.type;
    Shape shape;
    if (info.shape)
      for (const Size& size : *info.shape) shape.push_back(std::max<int64_t>(0, size.value));
    if (axis < -shape.size() - 1 || axis > shape.size()) fail("axis ", axis, " of a stack of ", shape);
    shape.insert(int(axis < 0 ? axis + shape.size() + 1 : axis), 0);
    return {Tensor::zeros(shape, dtype_of(type)), type};
  }
  std::vector<Tensor> parts;
  for (const Value& step : steps) {
    if (!step.tensor.defined()) fail("\"", info.name, "\" is no tensor");
    parts.push_back(step.tensor);
  }
  if (backwards) std::ranges::reverse(parts);
  return {Tensor::stack(parts, axis), steps[0].type};
}

Value known_number(Tensor x, int64_t value) {
  Value result(std::move(x));
  result.type = type_of(result.tensor.dtype());
  result.known = std::make_shared<Known>(Known{.integers = std::vector{value}, .reals = std::vector{double(value)}});
  return result;
}

/// What the next condition needs is then computed once, and not again for each that follows it.
void compute(const std::vector<Value>& values) {
  std::vector<Tensor> tensors;
  for (const Value& value : values)
    if (value.tensor.defined()) tensors.push_back(value.tensor);
  if (!context.recorder) realize(tensors);
}

/// What a body's results are where no step says it: what the file declares, or else what a step that is never computed
/// would give.
std::vector<ValueInfo> declared(Call& call, const Graph& body, const std::vector<Value>& given) {
  std::vector<ValueInfo> infos = body.outputs;
  const auto is_declared = [](const ValueInfo& info) { return info.type != Type::Undefined && info.shape; };
  if (std::ranges::all_of(infos, is_declared)) return infos;
  try {
    const std::vector<Value> results = call.run(body, given);
    for (size_t k = 0; k < infos.size(); ++k) {
      const Value& result = results[k];
      if (is_declared(infos[k]) || !result.tensor.defined()) continue;
      infos[k].type = result.type, infos[k].shape.emplace();
      for (int64_t size : result.tensor.shape()) infos[k].shape->push_back({.value = size});
    }
  } catch (const Error&) {}  // of values that a step would not have had
  return infos;
}

/// Its body maps (step, condition, states..) to (condition, states.., elements to stack..).
Outputs loop(Call& call) {
  const Graph& body = call.graph("body");
  const size_t states = size_t(std::max(2, call.count()) - 2);
  if (body.inputs.size() != 2 + states || body.outputs.size() < 1 + states)
    fail("a body of ", body.inputs.size(), " inputs and ", body.outputs.size(), " outputs for ", states, " states");
  const int64_t most = call.has(0) ? call.integer(0) : INT64_MAX;
  bool goes_on = !call.has(1) || call.decide(call.inputs[1]);
  bool steps_are_known = (!call.has(0) || call.inputs[0].known) && (!call.has(1) || call.inputs[1].known);

  std::vector<Value> state(call.inputs.begin() + std::min(call.count(), 2), call.inputs.end());
  std::vector<std::vector<Value>> stacks(body.outputs.size() - 1 - states);
  const auto given_to = [&](int64_t step) {
    std::vector<Value> given{known_number(Tensor::full({}, step), step), known_number(Tensor::full({}, true), 1)};
    given.insert(given.end(), state.begin(), state.end());
    return given;
  };
  const bool is_empty = !goes_on || most <= 0;
  const std::vector<ValueInfo> infos = is_empty && !stacks.empty() ? declared(call, body, given_to(0)) : body.outputs;
  for (int64_t step = 0; step < most && goes_on; ++step) {
    const std::vector<Value> results = call.run(body, given_to(step), step);
    std::ranges::copy_n(results.begin() + 1, std::ptrdiff_t(states), state.begin());
    for (size_t k = 0; k < stacks.size(); ++k) stacks[k].push_back(results[1 + states + k]);
    if (!results[0].known) {
      steps_are_known = false;
      compute(results);
    }
    goes_on = call.decide(results[0]);
  }
  if (steps_are_known && !call.is_known()) call.results_say_if_known();
  for (size_t k = 0; k < stacks.size(); ++k) state.push_back(stacked(stacks[k], 0, infos[1 + states + k]));
  return results_of(std::move(state));
}

int64_t entry(const Call& call, const char* list, size_t k) {
  const Attribute* a = call.node.find(list, Attribute::Kind::Ints);
  if (!a) return 0;
  if (k >= a->ints.size()) fail(list, " has ", a->ints.size(), " entries and no ", k);
  return a->ints[k];
}

/// A scan's graph maps (states.., an element of each sequence..) to (states.., elements to stack..).
struct ScanBody {
  const Graph& graph;
  size_t sequences, states, stacks;

  ScanBody(const Call& call, size_t inputs) : graph(call.graph("body")) {
    const int64_t count = call.integer("num_scan_inputs", 0);
    if (count < 1 || count > int64_t(inputs)) fail("num_scan_inputs ", count, " of ", inputs, " inputs");
    sequences = size_t(count), states = inputs - sequences;
    if (graph.inputs.size() != inputs || graph.outputs.size() < states)
      fail("a body of ", graph.inputs.size(), " inputs and ", graph.outputs.size(), " outputs for ", states,
           " states and ", sequences, " sequences");
    stacks = graph.outputs.size() - states;
  }
};

/// It is known in a call that is: there it is made once, and what the host reads of it is kept.
Value element(const Call& call, const Value& x, int axis, int64_t at) {
  Value result(part(x.tensor, axis, at, at + 1).squeeze(axis), x.type);
  result.inputs = x.inputs;
  if (call.is_known() && x.known) result.known = std::make_shared<Known>(Known{.constant = x.known->constant});
  return result;
}

/// The steps of a scan; `values` are its states, and become the last ones, and its sequences. `first` tells apart the
/// steps of several scans of one call.
std::vector<std::vector<Value>> scan_steps(Call& call, const ScanBody& body, std::vector<Value>& values,
                                           const Dims& axes, const std::vector<bool>& backwards, int64_t steps,
                                           int64_t first) {
  std::vector<std::vector<Value>> stacks(body.stacks);
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<Value> given = values;
    for (size_t k = 0; k < body.sequences; ++k) {
      Value& value = given[body.states + k];
      value = element(call, value, int(axes[int(k)]), backwards[k] ? steps - 1 - step : step);
    }
    const std::vector<Value> results = call.run(body.graph, given, first + step);
    std::ranges::copy_n(results.begin(), std::ptrdiff_t(body.states), values.begin());
    for (size_t k = 0; k < body.stacks; ++k) stacks[k].push_back(results[body.states + k]);
  }
  return stacks;
}

Outputs scan(Call& call) {
  const ScanBody body(call, call.inputs.size());
  Dims axes;
  std::vector<bool> backwards;
  int64_t steps = -1;
  for (size_t k = 0; k < body.sequences; ++k) {
    const Tensor& x = call.x(int(body.states + k));
    axes.push_back(call.axis(entry(call, "scan_input_axes", k), x.rank()));
    backwards.push_back(entry(call, "scan_input_directions", k) != 0);
    if (steps >= 0 && x.size(axes.back()) != steps)
      fail("sequences of ", steps, " and ", x.size(axes.back()), " steps");
    steps = x.size(axes.back());
  }
  std::vector<Value> values = call.inputs;
  const auto stacks = scan_steps(call, body, values, axes, backwards, steps, 0);
  Outputs results = results_of({values.begin(), values.begin() + std::ptrdiff_t(body.states)});
  for (size_t k = 0; k < body.stacks; ++k)
    results.push_back(stacked(stacks[k], entry(call, "scan_output_axes", k), body.graph.outputs[body.states + k],
                              entry(call, "scan_output_directions", k) != 0));
  return results;
}

/// Opset 8: input 0 has the sequences' lengths, if any, and axis 0 of all others is a batch, whose samples are scanned
/// one after the other along axis 1. Elements behind a sequence's end are zeros.
Outputs scan_batch(Call& call) {
  if (call.count() < 2) fail("no sequences");
  const ScanBody body(call, call.inputs.size() - 1);
  const Tensor& first = call.x(1 + int(body.states));
  if (first.rank() < 2) fail("a sequence of ", first.shape(), "; (batch, steps, ..)");
  const int64_t batch = first.size(0), most = first.size(1);
  std::vector<bool> backwards;
  for (int k = 1; k < call.count(); ++k) {
    const bool is_state = size_t(k) <= body.states;
    if (call.x(k).rank() < (is_state ? 1 : 2) || call.x(k).size(0) != batch || (!is_state && call.x(k).size(1) != most))
      fail("input ", k, " of ", call.x(k).shape(), " beside a sequence of ", first.shape());
    if (!is_state) backwards.push_back(entry(call, "directions", size_t(k) - 1 - body.states) != 0);
  }
  const std::vector<int64_t> lengths = call.has(0) ? call.integers(0) : std::vector<int64_t>(size_t(batch), most);
  if (int64_t(lengths.size()) != batch) fail(lengths.size(), " lengths for ", batch, " sequences");

  std::vector<std::vector<Value>> all(body.states + body.stacks);  // for each result, of each sample
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t steps = lengths[size_t(b)];
    if (steps < 0 || steps > most) fail("a length of ", steps, " of ", most, " steps");
    std::vector<Value> values;
    for (int k = 1; k < call.count(); ++k) values.push_back(element(call, call.inputs[size_t(k)], 0, b));
    const auto stacks =
        scan_steps(call, body, values, Dims::filled(int(body.sequences), 0), backwards, steps, b * most);
    for (size_t k = 0; k < body.states; ++k) all[k].push_back(values[k]);
    for (size_t k = 0; k < body.stacks; ++k) {
      Value stack = stacked(stacks[k], 0, body.graph.outputs[body.states + k]);
      Dims none = Dims::filled(stack.tensor.rank(), 0), behind = none;
      behind[0] = most - steps;
      stack.tensor = stack.tensor.pad(none, behind);
      all[body.states + k].push_back(std::move(stack));
    }
  }
  Outputs results;
  for (size_t k = 0; k < all.size(); ++k) results.push_back(stacked(all[k], 0, body.graph.outputs[k]));
  return results;
}

}  // namespace

void add_control(Ops& ops) {
  ops["If"] = branch;
  ops["Loop"] = loop;
  ops["Scan"] = [](Call& call) { return call.opset < 9 ? scan_batch(call) : scan(call); };

  // An optional tensor is a tensor, or an undefined one.
  ops["Optional"] = [](Call& call) { return call.count() > 0 ? call.inputs[0] : Value(); };
  ops["OptionalHasElement"] = [](Call& call) {
    call.depends_on_shapes_alone();
    return Value(Tensor::full({}, call.has(0)), Type::Bool);
  };
  ops["OptionalGetElement"] = [](Call& call) { return call.x(), call.inputs[0]; };
}

}  // namespace teeny::onnx
