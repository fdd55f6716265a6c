#include "teeny/onnx/interpreter.h"

#include <algorithm>

namespace teeny::onnx {

namespace {

constexpr int kMaxDepth = 64;            // graphs and functions inside each other
constexpr int64_t kMaxRuns = 4'000'000;  // nodes in one run: a loop may ask for any number

/// Attributes of a function's body that stand for attributes of its call.
void fill_references(Node& node, const FunctionProto& function, const Node& call) {
  std::erase_if(node.attributes, [&](Attribute& a) {
    if (a.reference.empty()) return false;
    const Attribute* given = call.find(a.reference);
    for (const Attribute& other : function.defaults)
      if (!given && other.name == a.reference) given = &other;
    if (!given) return true;  // neither the call nor the function says it: as if it were not there
    const std::string name = a.name;
    a = *given;
    a.name = name;
    return false;
  });
  for (Attribute& a : node.attributes)
    if (a.graph) {
      Graph inner = *a.graph;
      for (Node& n : inner.nodes) fill_references(n, function, call);
      a.graph = std::make_shared<const Graph>(std::move(inner));
    }
}

}  // namespace

// ---- Call ----------------------------------------------------------------------------------------------------------

Call::Call(Interpreter& interpreter, const Node& node, const Frame& frame, std::vector<Value> inputs, bool known)
    : node(node),
      opset(frame.opsets.contains(node.domain) ? int(frame.opsets.at(node.domain)) : 1),
      inputs(std::move(inputs)),
      interpreter_(interpreter),
      frame_(frame),
      known_(known) {
  for (const Value& input : this->inputs) {
    constant_ = constant_ && (!input.known || input.known->constant);
    depends_on_ |= input.inputs;
  }
}

const Tensor& Call::x(int k) const {
  if (!has(k)) fail("input ", k, " is missing");
  return inputs[size_t(k)].tensor;
}

std::vector<Tensor> Call::tensors() const {
  std::vector<Tensor> all;
  for (int k = 0; k < count(); ++k) all.push_back(x(k));
  return all;
}

int64_t Call::max_bytes() const { return interpreter_.max_bytes(); }

void Call::look(int k, int64_t bytes) const {
  if (x(k).numel() > max_bytes() / bytes)
    fail("input ", k, " of ", x(k).shape(), " is more than the host reads (ModelOptions::max_bytes)");
  interpreter_.look(node, inputs[size_t(k)], teeny::text("the values of \"", node.inputs[size_t(k)], '"'));
}

namespace {
std::vector<int64_t> integers_of(const Value& value) {
  if (!value.known) return value.tensor.to_vector<int64_t>();
  if (!value.known->integers) value.known->integers = value.tensor.to_vector<int64_t>();
  return *value.known->integers;
}
}  // namespace

std::vector<int64_t> Call::integers(int k) const { return look(k), integers_of(inputs[size_t(k)]); }

std::vector<double> Call::reals(int k) const {
  look(k);
  const Value& value = inputs[size_t(k)];
  if (!value.known) return value.tensor.to_vector<double>();
  if (!value.known->reals) value.known->reals = value.tensor.to_vector<double>();
  return *value.known->reals;
}

int64_t Call::integer(int k) const {
  if (x(k).numel() != 1) fail("input ", k, " of ", x(k).shape(), " must have one element");
  return integers(k)[0];
}

double Call::real(int k) const {
  if (x(k).numel() != 1) fail("input ", k, " of ", x(k).shape(), " must have one element");
  return reals(k)[0];
}

int64_t Call::integer(std::string_view name, int64_t otherwise) const {
  const Attribute* a = node.find(name, Attribute::Kind::Int);
  return a ? a->i : otherwise;
}
double Call::real(std::string_view name, double otherwise) const {
  const Attribute* a = node.find(name, Attribute::Kind::Float);
  return a ? double(a->f) : otherwise;
}
std::string Call::text(std::string_view name, std::string otherwise) const {
  const Attribute* a = node.find(name, Attribute::Kind::String);
  return a ? a->s : otherwise;
}
Dims Call::dims(std::string_view name, const Dims& otherwise) const {
  const Attribute* a = node.find(name, Attribute::Kind::Ints);
  return a ? Dims(a->ints.begin(), a->ints.end()) : otherwise;
}
std::vector<std::string> Call::texts(std::string_view name) const {
  const Attribute* a = node.find(name, Attribute::Kind::Strings);
  return a ? a->strings : std::vector<std::string>();
}
Type Call::type(std::string_view name, Type otherwise) const { return Type(integer(name, int64_t(otherwise))); }

std::optional<std::vector<int64_t>> Call::integers(std::string_view name, int k) const {
  if (const Attribute* a = node.find(name, Attribute::Kind::Ints)) return a->ints;
  if (has(k)) return integers(k);
  return {};
}

int Call::axis(int64_t axis, int rank) const {
  if (axis < -rank || axis >= rank) fail("axis ", axis, " of a tensor of rank ", rank);
  return int(axis < 0 ? axis + rank : axis);
}

Value Call::tensor(std::string_view name) const {
  const Attribute* a = node.find(name, Attribute::Kind::Tensor);
  if (!a || !a->tensor) fail("the tensor ", name, " is missing");
  return interpreter_.tensor(*a->tensor);
}

std::vector<Tensor> Call::prepared(std::initializer_list<int> from,
                                   const std::function<std::vector<Tensor>()>& make) const {
  const bool known = std::ranges::all_of(from, [&](int k) { return !has(k) || inputs[size_t(k)].known; });
  return known && !known_ ? interpreter_.prepared(node, frame_, make) : make();
}

const Graph& Call::graph(std::string_view name) const {
  const Attribute* a = node.find(name, Attribute::Kind::Graph);
  if (!a || !a->graph) fail("the graph ", name, " is missing");
  return *a->graph;
}

std::vector<Value> Call::run(const Graph& graph, const std::vector<Value>& given, int64_t iteration) {
  std::vector<Value> results = interpreter_.run_graph(graph, node, given, frame_, iteration);
  for (const Value& result : results) {
    known_ = known_ && result.known;
    constant_ = constant_ && known_ && result.known->constant;
    depends_on_ |= result.inputs;
  }
  return results;
}

bool Call::decide(const Value& condition) {
  if (!condition.tensor.defined() || condition.tensor.numel() != 1) fail("a condition must have one element");
  return condition.known ? integers_of(condition)[0] != 0 : interpreter_.decide(node, condition);
}

namespace {
constexpr std::pair<const char*, void (*)(Ops&)> kFamilies[] = {{"elementwise", add_elementwise},
                                                                {"reductions", add_reductions},
                                                                {"shapes", add_shapes},
                                                                {"indexing", add_indexing},
                                                                {"products", add_products},
                                                                {"windows", add_windows},
                                                                {"resize", add_resize},
                                                                {"sampling", add_sampling},
                                                                {"spectral", add_spectral},
                                                                {"recurrent", add_recurrent},
                                                                {"normalization", add_normalization},
                                                                {"attention", add_attention},
                                                                {"control", add_control},
                                                                {"losses", add_losses}};
}

const Ops& ops() {
  static const Ops all = [] {
    Ops made;
    for (const auto& [name, add] : kFamilies) add(made);
    return made;
  }();
  return all;
}

std::string family_of(const std::string& op) {
  static const std::map<std::string, std::string> all = [] {
    std::map<std::string, std::string> made;
    for (const auto& [name, add] : kFamilies) {
      Ops family;
      add(family);
      for (const auto& [op, function] : family) made[op] = name;
    }
    return made;
  }();
  const auto found = all.find(op);
  return found == all.end() ? "" : found->second;
}

// ---- Interpreter ---------------------------------------------------------------------------------------------------

const Value& Program::tensor(const TensorProto& t) {
  const auto [found, is_new] = tensors.try_emplace(t.message.data());
  if (is_new) try {
      found->second = read_tensor(t, &file, folder);
      found->second.known = std::make_shared<Known>();
    } catch (...) {
      tensors.erase(found);
      throw;
    }
  return found->second;
}

const Value* Frame::find(std::string_view name) const {
  for (const Frame* frame = this; frame; frame = frame->around)
    if (const auto found = frame->values.find(name); found != frame->values.end()) return &found->second;
  return nullptr;
}

std::vector<Value> Interpreter::run(const std::vector<Value>& inputs) {
  Frame frame = frame_of(inputs);
  run_nodes(program_.proto.graph.nodes, frame);
  return outputs_of(program_.proto.graph.outputs, frame);
}

std::vector<Tensor> Interpreter::run_early(const std::vector<Value>& inputs) {
  Frame frame = frame_of(inputs);
  run_nodes(program_.proto.graph.nodes, frame, Part::Early);
  std::vector<Tensor> results;
  for (auto& [name, type] : plan_.handed_over) {
    const Value& value = frame.values.at(name);
    type = value.tensor.defined() ? value.type : Type::Undefined;
    results.push_back(value.tensor.defined() ? value.tensor : Tensor::zeros({1}));  // a Jit gives no undefined one
  }
  return results;
}

std::vector<Value> Interpreter::run_late(const std::vector<Value>& inputs, const std::vector<Tensor>& early) {
  Frame frame = frame_of(inputs);
  for (size_t k = 0; k < early.size(); ++k) {
    const auto& [name, type] = plan_.handed_over[k];
    frame.values[name] = type == Type::Undefined ? Value() : Value(early[k], type);
  }
  run_nodes(program_.proto.graph.nodes, frame, Part::Late);
  return outputs_of(program_.proto.graph.outputs, frame);
}

Frame Interpreter::frame_of(const std::vector<Value>& inputs) {
  const Graph& graph = program_.proto.graph;
  Frame frame{.id = 0, .around = nullptr, .opsets = program_.proto.opsets};
  for (const TensorProto& t : graph.initializers) frame.values[t.name] = tensor(t);
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!inputs[k].tensor.defined()) continue;
    Value value = inputs[k];
    if (const auto made_for = plan_.inputs.find(k); made_for != plan_.inputs.end()) value.known = made_for->second;
    else value.inputs = uint64_t(1) << std::min<size_t>(k, 63);
    frame.values[graph.inputs[k].name] = std::move(value);
  }
  return frame;
}

void Interpreter::keep_known() {
  std::vector<Tensor> needed;
  for (auto& [frame, nodes] : plan_.known)
    for (auto& [node, results] : nodes)
      for (Value& value : results)
        if (!value.tensor.defined()) continue;
        else if (value.known->needed || !plan_.look.empty() || !decisions_.empty()) needed.push_back(value.tensor);
        else value.tensor = {};
  for (auto& [node, results] : program_.constants)
    for (Value& value : results)
      if (value.tensor.defined() && value.known->needed) needed.push_back(value.tensor);
  for (const auto& [frame, nodes] : plan_.prepared)
    for (const auto& [node, tensors] : nodes) needed.insert(needed.end(), tensors.begin(), tensors.end());
  for (const auto& [proto, value] : program_.tensors)
    if (value.known && value.known->needed) needed.push_back(value.tensor);
  realize(needed);
  // A training that began in the meantime writes its weights to new memory.
  for (const Tensor& x : needed)
    if (const auto& buffer = x.lazy().node()->buffer; buffer && !buffer->derived()) buffer->freeze();
  plan_.is_made = plan_.look.empty() && decisions_.empty();  // another run may need more
  if (!plan_.look.empty()) divide();
}

void Interpreter::divide() {
  const Graph& graph = program_.proto.graph;
  const Frame frame{.id = 0, .around = nullptr, .opsets = program_.proto.opsets};
  std::unordered_set<std::string_view> early, late, needed;  // names of values
  const auto names_of = [&](const auto& self, const Node& node, const auto& use) -> void {
    for (const std::string& name : node.inputs) use(name);
    for (const Attribute& a : node.attributes) {
      if (!a.graph) continue;
      for (const Node& inner : a.graph->nodes) self(self, inner, use);
      for (const ValueInfo& output : a.graph->outputs) use(output.name);
    }
  };
  plan_.early = 0, plan_.late.clear(), plan_.handed_over.clear();
  for (const Node& node : graph.nodes) {
    if (known_results(node, frame)) continue;
    bool is_late = plan_.looks.contains(&node);
    names_of(names_of, node, [&](const std::string& name) { is_late = is_late || late.contains(name); });
    (is_late ? late : early).insert(node.outputs.begin(), node.outputs.end());
    if (!is_late) {
      ++plan_.early;
      continue;
    }
    plan_.late.insert(&node);
    names_of(names_of, node, [&](const std::string& name) { needed.insert(name); });
  }
  for (const ValueInfo& output : graph.outputs) needed.insert(output.name);
  for (std::string_view name : needed)
    if (!name.empty() && early.contains(name)) plan_.handed_over.emplace_back(name, Type::Undefined);
}

std::vector<Value> Interpreter::run_graph(const Graph& graph, const Node& owner, const std::vector<Value>& given,
                                          const Frame& around, int64_t iteration) {
  if (++depth_ > kMaxDepth) fail("graphs and functions are nested deeper than ", kMaxDepth);
  if (++runs_ > kMaxRuns) fail("more than ", kMaxRuns, " nodes in one run");  // a loop's body may have none
  Frame frame{.id = frame_id(around, owner, iteration), .around = &around, .opsets = around.opsets};
  for (const TensorProto& t : graph.initializers) frame.values[t.name] = tensor(t);
  if (given.size() > graph.inputs.size())
    fail("the graph \"", graph.name, "\" of ", graph.inputs.size(), " inputs is given ", given.size());
  for (size_t k = 0; k < given.size(); ++k) frame.values[graph.inputs[k].name] = given[k];
  run_nodes(graph.nodes, frame);
  --depth_;
  return outputs_of(graph.outputs, frame);
}

std::vector<Value> Interpreter::run_function(const FunctionProto& function, const Node& node, const Frame& around,
                                             const std::vector<Value>& inputs) {
  if (++depth_ > kMaxDepth) fail("graphs and functions are nested deeper than ", kMaxDepth);
  Frame frame{.id = frame_id(around, node, 0),
              .around = nullptr,
              .opsets = function.opsets.empty() ? around.opsets : function.opsets};
  const auto [body, is_new] = plan_.bodies.try_emplace(frame.id, function.nodes);
  if (is_new)
    for (Node& inner : body->second) fill_references(inner, function, node);
  for (size_t k = 0; k < function.inputs.size(); ++k)
    frame.values[function.inputs[k]] = k < inputs.size() ? inputs[k] : Value();
  run_nodes(plan_.bodies.at(frame.id), frame);
  --depth_;
  std::vector<ValueInfo> outputs;
  for (const std::string& name : function.outputs) outputs.emplace_back().name = name;
  return outputs_of(outputs, frame);
}

std::vector<Value> Interpreter::outputs_of(const std::vector<ValueInfo>& outputs, const Frame& frame) {
  std::vector<Value> values;
  for (const ValueInfo& output : outputs) {
    const Value* value = frame.find(output.name);
    if (!value) fail("no node makes the output \"", output.name, '"');
    if (value->known) value->known->needed = true;
    values.push_back(*value);
  }
  return values;
}

void Interpreter::look(const Node& node, const Value& value, std::string_view what) {
  if (value.known) return;
  if (depends_on_small_inputs(value)) throw MakeForValues{value.inputs};
  plan_.looks.insert(outermost_);
  if (plan_.look.empty()) plan_.look = text(node.label(), " looks at ", what);
}

Value Interpreter::tensor(const TensorProto& t) {
  Value value = program_.tensor(t);
  // What is trained changes, and what is computed from it has a history.
  if (context.grad && value.tensor.requires_grad()) value.known = nullptr;
  return value;
}
bool Interpreter::decide(const Node& node, const Value& condition) {
  constexpr size_t kMost = 64;  // beyond that it would seldom come out the same
  if (depends_on_small_inputs(condition) || decisions_.size() == kMost) look(node, condition, "its condition");
  plan_.looks.insert(outermost_);
  if (assumed_ && decisions_.size() == assumed_->size()) fail("more conditions than in the run before");
  decisions_.push_back(assumed_ ? bool((*assumed_)[decisions_.size()]) : condition.tensor.item<bool>());
  if (assumed_) conditions_.push_back(condition.tensor.cast(DType::Bool).reshape({1}));
  return decisions_.back();
}

Tensor Interpreter::conditions() const { return conditions_.empty() ? Tensor() : Tensor::cat(conditions_); }

const std::vector<Tensor>& Interpreter::prepared(const Node& node, const Frame& frame,
                                                 const std::function<std::vector<Tensor>()>& make) {
  const auto [found, is_new] = plan_.prepared[frame.id].try_emplace(&node);
  if (is_new) found->second = make();
  return found->second;
}

int Interpreter::frame_id(const Frame& around, const Node& node, int64_t iteration) {
  const int next = int(plan_.frames.size()) + 1;
  return plan_.frames.emplace(std::tuple(around.id, &node, iteration), next).first->second;
}

const std::vector<Value>* Interpreter::known_results(const Node& node, const Frame& frame) const {
  if (const auto nodes = plan_.known.find(frame.id); nodes != plan_.known.end())
    if (const auto found = nodes->second.find(&node); found != nodes->second.end()) return &found->second;
  const auto found = frame.id == 0 ? program_.constants.find(&node) : program_.constants.end();
  return found != program_.constants.end() ? &found->second : nullptr;
}

void Interpreter::run_nodes(const std::vector<Node>& nodes, Frame& frame, Part part) {
  for (const Node& node : nodes) {
    std::vector<Value> computed;
    const std::vector<Value>* results = known_results(node, frame);
    if (frame.id == 0) outermost_ = &node;
    if (!results && part != Part::All && (part == Part::Late) != plan_.late.contains(&node)) continue;
    if (!results) {
      if (++runs_ > kMaxRuns) fail("more than ", kMaxRuns, " nodes in one run");
      std::vector<Value> inputs;
      bool all_known = true;
      for (const std::string& name : node.inputs) {
        const Value* value = name.empty() ? nullptr : frame.find(name);
        if (!name.empty() && !value) fail(node.label(), " needs \"", name, "\", which no node makes");
        inputs.push_back(value ? *value : Value());
        all_known = all_known && (!inputs.back().tensor.defined() || inputs.back().known);
      }
      computed = run_node(node, frame, inputs, all_known);
      results = &computed;
      const auto is_known = [](const Value& v) { return !v.tensor.defined() || v.known; };
      const auto is_constant = [](const Value& v) { return !v.tensor.defined() || v.known->constant; };
      if (std::ranges::all_of(computed, is_known)) {
        const bool shared = frame.id == 0 && std::ranges::all_of(computed, is_constant);
        (shared ? program_.constants : plan_.known[frame.id])[&node] = computed;
      } else {
        for (const Value& input : inputs)
          if (input.known) input.known->needed = true;
      }
    }
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      if (node.outputs[k].empty()) continue;
      if (k >= results->size()) unsupported(node.label(), ": its output ", k, " is not computed");
      const Value& result = (*results)[k];
      if (!plan_.is_made || !result.known || result.known->needed) frame.values[node.outputs[k]] = result;
    }
  }
}

std::vector<Value> Interpreter::run_node(const Node& node, const Frame& frame, std::vector<Value> inputs, bool known) {
  try {
    const auto function = program_.proto.functions.find(node.domain + ":" + node.op);
    if (function != program_.proto.functions.end()) return run_function(function->second, node, frame, inputs);
    const auto op = ops().find(node.op);
    if (op == ops().end() || !node.domain.empty()) unsupported("teeny does not have this operation");
    Call call(*this, node, frame, std::move(inputs), known);
    std::vector<Value> results = op->second(call);
    for (Value& result : results) {
      if (!result.tensor.defined()) continue;
      finish(result, call.inputs);
      result.inputs |= call.depends_on();
      if (call.say_if_known() ? !result.known : !call.is_known()) result.known = nullptr;
      else if (!result.known) result.known = std::make_shared<Known>(Known{.constant = call.is_constant()});
      else if (!call.is_constant()) result.known->constant = false;  // how a graph inside ran depends on a shape
    }
    return results;
  } catch (const Unsupported& error) {
    throw Unsupported(text(node.label(), ": ", error.what()));
  } catch (const Error& error) { fail(node.label(), ": ", error.what()); }
}

void Interpreter::finish(Value& result, const std::vector<Value>& inputs) const {
  Tensor& x = result.tensor;
  if (result.type == Type::Undefined) {
    const bool same = !inputs.empty() && inputs[0].tensor.defined() && inputs[0].tensor.dtype() == x.dtype();
    result.type = same ? inputs[0].type : type_of(x.dtype());
    x = cut(x, result.type);
  }
  if (x.numel() > program_.max_bytes / itemsize(x.dtype()))
    fail("a result of ", x.shape(), " has more than ", program_.max_bytes >> 20, " MiB (ModelOptions::max_bytes)");
}

}  // namespace teeny::onnx
