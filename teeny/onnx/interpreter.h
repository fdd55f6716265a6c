#pragma once
// Runs a graph, node after node. For each combination of input shapes there is a plan: what is known before the inputs
// are is computed once, and a later run takes it from there.
//
//   weights, Constants ──┐
//   Shape(x) ── Gather ──┴─ Concat ── known: computed when the plan is made     ┐
//   x ───────────────────────────────── Reshape ── Conv ── ...  in each run     ┘  what a Jit records
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

/// A model that is loaded: what all its plans share.
struct Program {
  ModelProto proto;
  io::HostBytes file;
  std::string path, folder;
  int64_t max_bytes = int64_t(16) << 30;  ///< of one tensor
  /// Initializers and Constants that have been read, by where in the file they are: a TensorProto may be a copy.
  std::unordered_map<const char*, Value> tensors = {};
  /// Results of the outermost graph's nodes that depend on those alone. They are computed when a plan needs them.
  std::unordered_map<const Node*, std::vector<Value>> constants = {};

  std::vector<Weight> weights = {};  ///< of `proto`

  const Value& tensor(const TensorProto& t);
};

/// Values by name, where a graph or a function is run. A graph sees those around it, a function does not.
struct Frame {
  int id;  ///< the same in each run of a plan
  const Frame* around;
  const Opsets& opsets;
  std::unordered_map<std::string_view, Value> values = {};

  const Value* find(std::string_view name) const;
};

/// What runs with the same input shapes share.
struct Plan {
  /// By frame: the results of the nodes that are known. They are undefined where nothing unknown needs them.
  std::unordered_map<int, std::unordered_map<const Node*, std::vector<Value>>> known;
  /// The same: what nodes that are not known have prepared of inputs that are.
  std::unordered_map<int, std::unordered_map<const Node*, std::vector<Tensor>>> prepared;
  std::map<std::tuple<int, const Node*, int64_t>, int> frames;  ///< ids of inner graphs and of calls of functions
  std::unordered_map<int, std::vector<Node>> bodies;            ///< of those functions
  std::map<size_t, std::shared_ptr<Known>> inputs;              ///< those whose values the plan is made for
  bool is_made = false;  ///< all that is ever needed of what is known has been marked so
  std::string look;      ///< which node looked at values that were not known; empty: a Jit may record the run
  std::unordered_set<const Node*> looks;  ///< nodes of the outermost graph that did, or in which one did

  // Where some did, a Jit may still record what does not depend on them: the early nodes of the outermost graph.
  //
  //   x ── Conv ── Relu ── .. ── Sigmoid ──┬── Greater ── NonZero ── Gather ── boxes
  //              early                     └───────────────────────── late ─────────
  std::unordered_set<const Node*> late;
  int64_t early = 0;                                      ///< how many of the others are not known
  std::vector<std::pair<std::string, Type>> handed_over;  ///< what these compute, and late nodes or the caller need
};

/// Thrown where a node looks at a value that depends on nothing but inputs of a few elements: the plan is made again,
/// for these values of them.
struct MakeForValues {
  uint64_t inputs;
};

class Interpreter {
 public:
  /// `small`: a bit for each of the model's inputs that a plan may be made for the values of. `assumed`: how the
  /// conditions that data decides turn out, so that nobody has to look at them before the run is over.
  Interpreter(Program& program, Plan& plan, uint64_t small = 0, const std::vector<bool>* assumed = nullptr)
      : program_(program), plan_(plan), small_(small), assumed_(assumed) {}

  /// One run; inputs in the graph's order, for an undefined one its initializer stands in.
  std::vector<Value> run(const std::vector<Value>& inputs);
  /// The same in two parts: what the plan hands over, and with it the outputs.
  std::vector<Tensor> run_early(const std::vector<Value>& inputs);
  std::vector<Value> run_late(const std::vector<Value>& inputs, const std::vector<Tensor>& early);
  /// After the first run: computes what is known and needed, and forgets the rest; divides what looks at values.
  void keep_known();
  /// How the conditions that data decides turned out, in the order in which they were met.
  const std::vector<bool>& decisions() const { return decisions_; }
  /// Those that a run was assuming, in one row of bools; undefined: there were none.
  Tensor conditions() const;

  // For Call.
  std::vector<Value> run_graph(const Graph& graph, const Node& owner, const std::vector<Value>& given,
                               const Frame& around, int64_t iteration);
  void look(const Node& node, const Value& value, std::string_view what);
  bool decide(const Node& node, const Value& condition);
  Value tensor(const TensorProto& t);
  const std::vector<Tensor>& prepared(const Node& node, const Frame& frame,
                                      const std::function<std::vector<Tensor>()>& make);
  int64_t max_bytes() const { return program_.max_bytes; }

 private:
  enum class Part { All, Early, Late };
  Frame frame_of(const std::vector<Value>& inputs);  ///< the outermost graph's
  void run_nodes(const std::vector<Node>& nodes, Frame& frame, Part part = Part::All);
  void divide();
  const std::vector<Value>* known_results(const Node& node, const Frame& frame) const;  ///< null: it is to be run
  std::vector<Value> run_node(const Node& node, const Frame& frame, std::vector<Value> inputs, bool known);
  std::vector<Value> run_function(const FunctionProto& function, const Node& node, const Frame& frame,
                                  const std::vector<Value>& inputs);
  std::vector<Value> outputs_of(const std::vector<ValueInfo>& outputs, const Frame& frame);
  bool depends_on_small_inputs(const Value& value) const { return value.inputs != 0 && !(value.inputs & ~small_); }
  int frame_id(const Frame& around, const Node& node, int64_t iteration);
  /// Gives a result its type, and refuses one that is too large before it is computed.
  void finish(Value& result, const std::vector<Value>& inputs) const;

  Program& program_;
  Plan& plan_;
  const uint64_t small_;
  const std::vector<bool>* const assumed_;
  std::vector<bool> decisions_;
  std::vector<Tensor> conditions_;   ///< what the decisions were assumed for
  const Node* outermost_ = nullptr;  ///< that is being run
  int depth_ = 0;
  int64_t runs_ = 0;  ///< of nodes
};

}  // namespace teeny::onnx
