#include "teeny/onnx/onnx.h"

#include <algorithm>
#include <deque>
#include <set>

#include "teeny/io/io.h"
#include "teeny/jit/jit.h"
#include "teeny/onnx/interpreter.h"
#include "teeny/program/format.h"
#include "teeny/tensor/function.h"

namespace teeny::onnx {

namespace {

/// Nothing is recorded by a Jit from here to the end of the block: what is known is no part of its call.
class Unrecorded {
 public:
  Unrecorded()
      : recorder_(std::exchange(context.recorder, nullptr)), scope_(Execution{.fuse = context.execution.fuse}) {}
  ~Unrecorded() { context.recorder = recorder_; }

 private:
  Recorder* recorder_;
  ExecutionScope scope_;
};

constexpr int64_t kNewestOpset = 28;
constexpr JitOptions kJit{.recordings = 2, .first_call_makes = false};

/// Inputs of a call, of which some are undefined: a Jit takes none of these, and what its call looks at are its inputs
/// alone.
class Defined {
 public:
  explicit Defined(std::span<const Tensor> given) {
    for (const Tensor& x : given)
      if (is_defined_.push_back(x.defined()); x.defined()) tensors_.push_back(x);
  }
  std::span<const Tensor> tensors() const { return tensors_; }
  /// The inputs of the call, with these in place of those that are defined.
  std::vector<Tensor> with(std::span<const Tensor> placeholders) const {
    std::vector<Tensor> all;
    size_t next = 0;
    for (bool is : is_defined_) all.push_back(is ? placeholders[next++] : Tensor());
    return all;
  }

 private:
  std::vector<Tensor> tensors_;
  std::vector<bool> is_defined_;
};

struct Shaped {  ///< the plan of a combination of input shapes
  Plan plan;
  bool is_made = false;
  std::vector<bool> decisions = {};  ///< how the conditions that data decides turned out in the last call
  std::map<std::vector<bool>, Replayer> replayers = {};  ///< one for each way in which they did
  Replayer early{kJit};  ///< where nodes look at values, of those that do not depend on them
  int64_t last_call = 0;

  Replayer& replayer() {
    constexpr size_t kMost = 8;
    if (replayers.size() >= kMost && !replayers.contains(decisions)) replayers.clear();
    return replayers.try_emplace(decisions, kJit).first->second;
  }
  /// The decisions were assumed, and turned out so: valid up to the first that is another. Now those of an earlier call
  /// are assumed that agree so far; false: there are none.
  bool assume_after(const std::vector<bool>& turned_out) {
    const auto [wrong, _] = std::ranges::mismatch(turned_out, decisions);
    if (wrong == turned_out.end()) return false;
    const auto agrees = [&](const auto& entry) {
      const auto [end, _] = std::ranges::mismatch(turned_out, entry.first);
      return end > wrong;
    };
    const auto found = std::ranges::find_if(replayers, agrees);
    if (found != replayers.end()) decisions = found->first;
    return found != replayers.end();
  }
};

std::string in_file(const std::string& path, const char* what) { return text(path, ": ", what); }

}  // namespace

struct Model::State {
  Program program;
  ModelOptions options;
  std::map<std::vector<int64_t>, Shaped> plans;
  std::vector<std::pair<Tensor, int64_t>> versions;  ///< of the weights when the plans were made
  uint64_t made_for_values = 0;  ///< inputs, a bit each: nodes look at values that depend on them alone
  bool values_help = true;       ///< with the plans that were made for values, calls could be replayed
  int64_t calls = 0, replays = 0;
  int64_t mistaken = 0;  ///< calls in which conditions turned out as in none that is recorded
  std::string why = "it has not been called";

  struct Recorded {                   ///< for a program file
    std::vector<std::string> inputs;  ///< that are given
    std::deque<Plan> plans = {};      ///< of the calls
    Replayer replayer{{.recordings = INT64_MAX, .first_call_makes = false}};
  };
  std::optional<Recorded> recorded;

  std::vector<Tensor> run(std::span<const Tensor> given);
  std::vector<Tensor> run_checked(std::span<const Tensor> given);
  std::vector<Value> values_of(std::span<const Tensor> given) const;
  std::vector<Tensor> run_in(Interpreter& interpreter, std::span<const Tensor> given);
  std::vector<Tensor> run_in_parts(Shaped& shaped, std::span<const Tensor> given);
  std::vector<Tensor> make_plan(Shaped& shaped, std::span<const Tensor> given);
  std::optional<std::vector<Tensor>> replayed(Shaped& shaped, std::span<const Tensor> given);
  uint64_t small_inputs(std::span<const Tensor> given) const;
  bool weights_changed() const;
  void forget_if_changed();
  template <class Work>
  auto in_this_file(Work&& work);
  void record(std::span<const Tensor> given);
  nn::StateDict named_values();
  void check(std::span<const Tensor> given) const;
  Shaped& plan_of(std::span<const Tensor> given, bool with_history);
};

std::map<std::string, int64_t> missing_ops(const ModelProto& model) {
  std::map<std::string, int64_t> missing = count_ops(model);
  std::erase_if(missing, [](const auto& op) { return op.first[0] == ':' && ops().contains(op.first.substr(1)); });
  return missing;
}

Model::Model(const std::string& path, const ModelOptions& options) : state_(std::make_unique<State>()) {
  Program& program = state_->program;
  state_->options = options;
  program.path = path;
  program.max_bytes = options.max_bytes;
  const size_t slash = path.rfind('/');
  program.folder = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  data::File file = data::open_to_read(path);
  const std::string start = io::signature_of(file);
  if (io::kind_of(start) != io::Kind::Onnx && !io::what_it_is(start).empty()) io::fail_kind(file, "no ONNX network");
  program.file = io::map_bytes(file, 0, file.size());
  try {
    program.proto = parse_model({reinterpret_cast<const char*>(program.file.bytes.data()), program.file.bytes.size()});
    const Graph& graph = program.proto.graph;
    program.weights = weights_of(program.proto);
    const auto& opsets = program.proto.opsets;
    const int64_t opset = opsets.contains("") ? opsets.at("") : 0;
    if (opset > kNewestOpset)
      unsupported("opset ", opset, "; teeny knows those up to ", kNewestOpset, ", which an exporter can be asked for");
    if (const auto missing = missing_ops(program.proto); !missing.empty()) {
      std::string list;
      for (const auto& [name, count] : missing)
        list += text(list.empty() ? "" : ", ", name[0] == ':' ? name.substr(1) : name, " (", count,
                     count == 1 ? " time)" : " times)");
      unsupported("operations that teeny does not have: ", list,
                  opset == 0 ? "" : text("; the file is of opset ", opset));
    }
    for (const auto* values : {&graph.inputs, &graph.outputs})
      for (const ValueInfo& value : *values)
        if (value.type == Type::Undefined)
          unsupported('"', value.name, "\" is no tensor: sequences, maps and optional values are not supported");
        else dtype_of(value.type);
    for (const Weight& weight : program.weights) program.tensor(*weight.tensor);
  } catch (const Unsupported& error) { throw Unsupported(in_file(path, error.what())); } catch (const Error& error) {
    fail(in_file(path, error.what()));
  }
}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;

const std::vector<ValueInfo>& Model::inputs() const { return state_->program.proto.graph.inputs; }
const std::vector<ValueInfo>& Model::outputs() const { return state_->program.proto.graph.outputs; }
const ModelProto& Model::proto() const { return state_->program.proto; }
int64_t Model::replays() const { return state_->replays; }
const std::string& Model::why() const { return state_->why; }

nn::StateDict Model::state() const {
  nn::StateDict dict;
  for (const Weight& weight : state_->program.weights) {
    const Tensor& x = state_->program.tensor(*weight.tensor).tensor;
    if (is_float(x.dtype())) dict.emplace_back(weight.name, x);
  }
  return dict;
}

std::vector<Tensor> Model::operator()(const nn::StateDict& inputs) {
  const std::vector<ValueInfo>& expected = this->inputs();
  std::vector<Tensor> ordered(expected.size());
  for (const auto& [name, x] : inputs) {
    const auto found = std::ranges::find(expected, name, &ValueInfo::name);
    if (found == expected.end()) {
      std::string names;
      for (const ValueInfo& input : expected) names += (names.empty() ? "\"" : ", \"") + input.name + '"';
      fail(state_->program.path, ": no input \"", name, "\"; there are ", names);
    }
    ordered[size_t(found - expected.begin())] = x;
  }
  return (*this)(ordered);
}

std::vector<Tensor> Model::operator()(std::span<const Tensor> inputs) { return state_->run(inputs); }

std::vector<ValueInfo> Model::values(std::span<const Tensor> inputs) {
  struct Outputs {  // all values, for this call
    std::vector<ValueInfo>& place;
    std::vector<ValueInfo> before = {};
    explicit Outputs(Graph& graph) : place(graph.outputs), before(graph.outputs) {
      for (const Node& node : graph.nodes)
        for (const std::string& name : node.outputs)
          if (!name.empty()) place.emplace_back().name = name;
    }
    ~Outputs() { place = std::move(before); }
  };
  Program& program = state_->program;
  state_->check(inputs);
  const Unrecorded guard;
  const Outputs outputs(program.proto.graph);
  std::vector<Value> given;
  for (size_t k = 0; k < inputs.size(); ++k) given.emplace_back(inputs[k], program.proto.graph.inputs[k].type);
  Plan plan;
  const std::vector<Value> values = Interpreter(program, plan).run(given);
  std::vector<ValueInfo> infos = program.proto.graph.outputs;
  for (size_t k = 0; k < values.size(); ++k) {
    infos[k].type = values[k].type;
    if (!values[k].tensor.defined()) continue;
    infos[k].shape.emplace();
    for (int64_t size : values[k].tensor.shape()) infos[k].shape->push_back({.value = size});
  }
  return infos;
}

/// Throws where an input is not as the file says.
void Model::State::check(std::span<const Tensor> given) const {
  const Graph& graph = program.proto.graph;
  const auto refuse = [&](const ValueInfo& input, const auto&... why) {
    fail(program.path, ": input \"", input.name, "\" is ", input, ", ", why...);
  };
  if (given.size() > graph.inputs.size())
    fail(program.path, ": ", given.size(), " inputs, and the model has ", graph.inputs.size());
  // A size's name -> the size, and the first input with it.
  std::map<std::string, std::pair<int64_t, std::string>> named;
  for (size_t k = 0; k < graph.inputs.size(); ++k) {
    const ValueInfo& input = graph.inputs[k];
    if (k >= given.size() || !given[k].defined()) {
      if (std::ranges::find(graph.initializers, input.name, &TensorProto::name) == graph.initializers.end())
        refuse(input, "and is not given");
      continue;
    }
    const Shape& shape = given[k].shape();
    if (given[k].dtype() != dtype_of(input.type))
      refuse(input, input.type == type_of(dtype_of(input.type)) ? "" : text("held as ", dtype_of(input.type), ", "),
             "and is given ", given[k].dtype());
    if (!input.shape) continue;
    if (int(input.shape->size()) != shape.size()) refuse(input, "and is given ", shape);
    for (int axis = 0; axis < shape.size(); ++axis) {
      const Size& size = (*input.shape)[size_t(axis)];
      if (size.value >= 0 && size.value != shape[axis]) refuse(input, "and is given ", shape);
      if (size.value >= 0 || size.name.empty() || size.name == "?") continue;  // some exporters write "?" for any
      const auto [first, is_new] = named.try_emplace(size.name, shape[axis], input.name);
      if (!is_new && first->second.first != shape[axis])
        refuse(input, "and is given ", shape, ": ", size.name, " is ", first->second.first, " in the input \"",
               first->second.second, "\", and ", shape[axis], " here");
    }
  }
}

bool Model::State::weights_changed() const {
  return std::ranges::any_of(versions,
                             [](const auto& v) { return detail::TensorAccess::version(v.first) != v.second; });
}

/// What was made of weights that have been assigned to since.
void Model::State::forget_if_changed() {
  const bool changed = weights_changed();
  if (changed) plans.clear(), recorded.reset(), program.constants.clear();
  if (!plans.empty() || recorded) return;
  versions.clear();
  for (const auto& [place, value] : program.tensors) {
    if (changed) *value.known = {};
    if (is_float(value.tensor.dtype()))
      versions.emplace_back(value.tensor, detail::TensorAccess::version(value.tensor));
  }
}

/// Its plan for these shapes. Where there is no room, the one that was used least recently goes.
Shaped& Model::State::plan_of(std::span<const Tensor> given, bool with_history) {
  forget_if_changed();
  std::vector<int64_t> key{with_history, context.training};
  const uint64_t made_for = made_for_values & small_inputs(given);
  for (size_t k = 0; k < given.size(); ++k) {
    const Tensor& x = given[k];
    key.push_back(x.defined() ? x.rank() : -1);
    if (x.defined()) key.insert(key.end(), x.shape().begin(), x.shape().end());
    if (!(made_for >> k & 1)) continue;
    const std::vector<std::byte> bytes = x.to_bytes();
    key.push_back(int64_t(k));  // of no elements, too
    for (std::byte b : bytes) key.push_back(int64_t(b));
  }
  auto found = plans.find(key);
  if (found == plans.end()) {
    if (int64_t(plans.size()) >= std::max<int64_t>(options.plans, 1))
      plans.erase(std::ranges::min_element(
          plans, [](const auto& a, const auto& b) { return a.second.last_call < b.second.last_call; }));
    found = plans.try_emplace(key).first;
    for (size_t k = 0; k < given.size(); ++k)
      if (made_for >> k & 1) found->second.plan.inputs[k] = std::make_shared<Known>(Known{.constant = false});
  }
  found->second.last_call = calls;
  return found->second;
}

/// The inputs of up to 16 elements that are a choice, as a sampling rate or a number of steps are; a bit each. What is
/// computed with such a choice is known once the plan is made for it. None where the plans of many values did not help.
uint64_t Model::State::small_inputs(std::span<const Tensor> given) const {
  constexpr int64_t kFew = 16;
  uint64_t small = 0;
  if (context.recorder || !values_help) return 0;
  for (size_t k = 0; k < std::min<size_t>(given.size(), 63); ++k)
    if (given[k].defined() && !is_float(given[k].dtype()) && given[k].numel() <= kFew) small |= uint64_t(1) << k;
  return small;
}

/// An Error of what `work` does names the file.
template <class Work>
auto Model::State::in_this_file(Work&& work) try {
  return work();
} catch (const Unsupported& error) {
  const std::string message = error.what();
  throw Unsupported(message.starts_with(program.path) ? message : text(program.path, ": ", message));
} catch (const Error& error) {
  const std::string message = error.what();
  if (message.starts_with(program.path)) throw;
  fail(program.path, ": ", message);
}

std::vector<Tensor> Model::State::run(std::span<const Tensor> given) {
  constexpr int64_t kPatience = 64;
  return in_this_file([&] {
    check(given);
    ++calls;
    values_help = values_help && (calls <= kPatience || replays >= calls / 4);
    for (;;) try {
        return run_checked(given);
      } catch (const MakeForValues& needed) { made_for_values |= needed.inputs; }
  });
}

std::vector<Tensor> Model::State::run_checked(std::span<const Tensor> given) {
  const auto needs_grad = [](const Tensor& x) { return x.defined() && x.requires_grad(); };
  bool with_history = context.grad && std::ranges::any_of(given, needs_grad);
  for (const auto& [place, value] : program.tensors)
    with_history = with_history || (context.grad && needs_grad(value.tensor));
  Shaped& shaped = plan_of(given, with_history);
  const bool is_new = !shaped.is_made;
  const std::vector<Tensor> first = is_new ? make_plan(shaped, given) : std::vector<Tensor>();

  constexpr int64_t kPatience = 32, kWorthReplaying = 8;
  why.clear();
  if (with_history) why = "gradients are recorded";
  else if (context.recorder) why = "another Jit records the call";
  else if (!options.jit) why = "ModelOptions::jit is off";
  else if (!shaped.decisions.empty() && mistaken > kPatience && mistaken > replays)
    why = "conditions that data decides turn out in another way too often";
  if (why.empty() && !shaped.plan.look.empty()) {
    why = shaped.plan.look;
    if (!is_new && shaped.plan.early >= kWorthReplaying) return run_in_parts(shaped, given);
  }
  if (!why.empty()) {
    Interpreter interpreter(program, shaped.plan);
    return is_new && !context.recorder ? first : run_in(interpreter, given);
  }
  const auto computed = [](const std::vector<Tensor>& outputs) { return realize(outputs), outputs; };
  if (is_new) return why = "no call before with these shapes and modes", computed(first);
  if (auto outputs = replayed(shaped, given)) return std::move(*outputs);
  ++mistaken;
  why = "a condition that data decides turned out in another way";
  return computed(make_plan(shaped, given));
}

std::vector<Value> Model::State::values_of(std::span<const Tensor> given) const {
  std::vector<Value> inputs;
  for (size_t k = 0; k < given.size(); ++k) inputs.emplace_back(given[k], program.proto.graph.inputs[k].type);
  return inputs;
}

/// What does not depend on a node that looks at values is replayed.
std::vector<Tensor> Model::State::run_in_parts(Shaped& shaped, std::span<const Tensor> given) {
  const Defined defined(given);
  const std::vector<Tensor> early = shaped.early(defined.tensors(), [&](std::span<const Tensor> placeholders) {
    return Interpreter(program, shaped.plan).run_early(values_of(defined.with(placeholders)));
  });
  std::vector<Tensor> outputs;
  for (const Value& value : Interpreter(program, shaped.plan).run_late(values_of(given), early))
    outputs.push_back(value.tensor);
  return outputs;
}

std::vector<Tensor> Model::State::run_in(Interpreter& interpreter, std::span<const Tensor> given) {
  std::vector<Tensor> outputs;
  for (const Value& value : interpreter.run(values_of(given))) outputs.push_back(value.tensor);
  if (const Tensor conditions = interpreter.conditions(); conditions.defined()) outputs.push_back(conditions);
  return outputs;
}

/// The outputs. What is known is computed and kept, and so are the ways in which conditions turn out.
std::vector<Tensor> Model::State::make_plan(Shaped& shaped, std::span<const Tensor> given) {
  const Unrecorded guard;
  Interpreter interpreter(program, shaped.plan, small_inputs(given));
  std::vector<Tensor> outputs = run_in(interpreter, given);
  interpreter.keep_known();
  shaped.is_made = true;
  shaped.decisions = interpreter.decisions();
  return outputs;
}

/// The outputs of a Jit; nothing where conditions turn out as in none of its recordings.
std::optional<std::vector<Tensor>> Model::State::replayed(Shaped& shaped, std::span<const Tensor> given) {
  const Defined defined(given);
  const auto [seed, counter] = Tensor::random_state();
  for (;;) {
    const std::vector<bool> assumed = shaped.decisions;
    const auto call = [&](std::span<const Tensor> placeholders) {
      Interpreter interpreter(program, shaped.plan, 0, &assumed);
      return run_in(interpreter, defined.with(placeholders));
    };
    Replayer& replayer = shaped.replayer();
    const int64_t before = replayer.replays();
    std::vector<bool> turned_out = assumed;
    try {
      std::vector<Tensor> outputs = replayer(defined.tensors(), call);
      if (!assumed.empty()) turned_out = outputs.back().to_vector<bool>(), outputs.pop_back();
      if (turned_out == assumed) {
        replays += replayer.replays() - before;
        why = replayer.why();
        return outputs;
      }
    } catch (const Error&) {
      if (assumed.empty()) throw;  // otherwise it may be that of a branch that is not to be taken
    }
    Tensor::set_random_state(seed, counter);
    if (!shaped.assume_after(turned_out)) return {};
  }
}

// ---- As a program file ---------------------------------------------------------------------------------------------

void Model::State::record(std::span<const Tensor> given) {
  const NoGrad evaluation;
  const Training off(false);
  check(given);
  forget_if_changed();
  std::vector<std::string> names;
  std::vector<Tensor> own(given.begin(), given.end());  // no two are one
  for (size_t k = 0; k < own.size(); ++k)
    if (own[k].defined()) names.push_back(program.proto.graph.inputs[k].name), own[k] = own[k].detach().clone();
  if (!recorded) recorded.emplace(names);
  if (names != recorded->inputs) fail("a call with other inputs than the one that was recorded before");
  Plan& plan = recorded->plans.emplace_back();
  try {
    Interpreter first(program, plan);  // made for no values, which the inputs of a program may have or not
    try {
      const Unrecorded guard;
      run_in(first, own);
      first.keep_known();
    } catch (const Error&) {
      if (plan.looks.empty()) throw;  // otherwise it may be that of a branch which such values take
    }
    if (!plan.looks.empty()) {
      std::string nodes;
      for (const Node& node : program.proto.graph.nodes)
        if (plan.looks.contains(&node)) nodes += (nodes.empty() ? "" : ", ") + node.label();
      unsupported("cannot be recorded, as a node looks at values that are not there before it runs: ", nodes);
    }
    const Defined defined(own);
    const auto call = [&](std::span<const Tensor> placeholders) {
      Interpreter interpreter(program, plan);
      return run_in(interpreter, defined.with(placeholders));
    };
    constexpr int kCalls = 3;  // what is made on first use is there in the second one
    Replayer& replayer = recorded->replayer;
    const int64_t before = replayer.replays();
    for (int k = 0; k < kCalls && replayer.replays() == before; ++k) realize(replayer(defined.tensors(), call));
    if (replayer.replays() == before) fail("cannot be recorded: ", replayer.why());
  } catch (...) {
    recorded->plans.pop_back();
    throw;
  }
}

/// All that a call may look at: the weights, and what plans have computed of them.
nn::StateDict Model::State::named_values() {
  nn::StateDict all;
  std::set<std::string> taken;
  const auto add = [&](const std::string& name, const Tensor& x) {
    if (name.empty() || !x.defined()) return;
    std::string unique = name;
    for (int k = 2; !taken.insert(unique).second; ++k) unique = text(name, '#', k);
    all.emplace_back(unique, x);
  };
  for (const Weight& weight : program.weights) add(weight.name, program.tensor(*weight.tensor).tensor);
  const auto each = [](const auto& nodes, const auto& use) {  // in an order that is the same in each run of the program
    const std::map sorted(nodes.begin(), nodes.end());
    for (const auto& [key, value] : sorted) use(key, value);
  };
  const auto add_results = [&](const Node* node, const std::vector<Value>& results) {
    for (size_t k = 0; k < std::min(results.size(), node->outputs.size()); ++k)
      add(node->outputs[k], results[k].tensor);
  };
  each(program.constants, add_results);
  for (const Plan& plan : recorded->plans) {
    each(plan.known, [&](int, const auto& nodes) { each(nodes, add_results); });
    each(plan.prepared, [&](int, const auto& nodes) {
      each(nodes, [&](const Node* node, const std::vector<Tensor>& tensors) {
        for (size_t k = 0; k < tensors.size(); ++k) add(text(node->outputs[0], ".prepared", k), tensors[k]);
      });
    });
  }
  return all;
}

namespace {

/// Plans may each have computed the same of the weights: then it is in the file once, for calls of which none has both.
void merge_equal(program::Contents& contents) {
  using program::StateTensor, program::Slot;
  const size_t count = contents.state.size();
  std::vector<std::set<size_t>> calls(count);  // that have it
  for (size_t c = 0; c < contents.calls.size(); ++c)
    for (const Slot& slot : contents.calls[c].slots)
      if (slot.kind == Slot::Kind::State) calls[size_t(slot.number)].insert(c);
  const auto bytes_of = [](const StateTensor& x) {
    std::vector<std::byte> bytes(x.buffer->bytes());
    if (!bytes.empty()) tinyops::read(bytes.data(), x.buffer->data(), bytes.size());
    return bytes;
  };
  std::map<std::string, std::vector<size_t>> same_name;  // without its number
  std::vector<int> number(count);
  std::vector<StateTensor> kept;
  for (size_t i = 0; i < count; ++i) {
    const StateTensor& x = contents.state[i];
    std::vector<size_t>& others = same_name[x.name.substr(0, x.name.rfind('#'))];
    const auto equal = std::ranges::find_if(others, [&](size_t j) {
      const StateTensor& y = contents.state[j];
      return x.frozen && y.frozen && x.dtype == y.dtype && x.shape == y.shape && bytes_of(x) == bytes_of(y) &&
             std::ranges::none_of(calls[i], [&](size_t c) { return calls[j].contains(c); });
    });
    if (equal != others.end()) {
      number[i] = number[*equal], calls[*equal].merge(calls[i]);
      continue;
    }
    others.push_back(i);
    number[i] = int(kept.size()), kept.push_back(x);
  }
  contents.state = std::move(kept);
  for (program::Call& call : contents.calls) {
    for (Slot& slot : call.slots)
      if (slot.kind == Slot::Kind::State) slot.number = number[size_t(slot.number)];
    for (program::Call::Update& update : call.updates) update.state = number[size_t(update.state)];
  }
}

}  // namespace

void Model::record(std::span<const Tensor> inputs) {
  state_->in_this_file([&] { state_->record(inputs); });
}

program::Contents Model::contents() const {
  if (state_->weights_changed())
    fail(state_->program.path, ": a weight was assigned to after `record`; record the calls again");
  if (!state_->recorded) fail(state_->program.path, ": no call is recorded; `record` does that");
  teeny::SaveOptions options{.inputs = state_->recorded->inputs, .state = state_->named_values()};
  for (const ValueInfo& output : outputs()) options.outputs.push_back(output.name);
  const NoGrad evaluation;
  const Training off(false);
  program::Contents contents = state_->recorded->replayer.contents(options);
  merge_equal(contents);
  return contents;
}

void Model::save_program(const std::string& path) const { program::write(path, contents()); }

}  // namespace teeny::onnx
