#pragma once
// What an ONNX operation is here: one function from a call to its results, in a table by name. Which opset changed what
// is decided in the function. The tables stand in ops_*.cpp, a file for each family:
//
//   ops["Relu"] = [](Call& call) { return call.x().relu(); };
//
// The functions compute with Tensors, so every shape is known when they run, and no value is: what an operation must
// know on the host (axes, sizes, pads) it asks for with `call.integers(..)`. That works for what is known before the
// inputs are, and makes the model unfit for a Jit where it is not; `call.look` says so for a Tensor that is read.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"
#include "teeny/onnx/values.h"

namespace teeny::onnx {

class Interpreter;
struct Frame;

/// The results of a call, in the node's order; what a node does not name may be left out at the end.
struct Outputs : std::vector<Value> {
  Outputs() = default;
  Outputs(Tensor x) : vector{Value(std::move(x))} {}
  Outputs(Value x) : vector{std::move(x)} {}
  Outputs(std::initializer_list<Value> values) : vector(values) {}
  Outputs(const std::vector<Tensor>& tensors) : vector(tensors.begin(), tensors.end()) {}
};

/// A node that is being run: its inputs and attributes.
class Call {
 public:
  Call(Interpreter& interpreter, const Node& node, const Frame& frame, std::vector<Value> inputs, bool known);

  const Node& node;
  const int opset;
  const std::vector<Value> inputs;

  // ---- Inputs. Counted from 0; an optional one may be missing.
  int count() const { return int(inputs.size()); }
  bool has(int k) const { return k < count() && inputs[size_t(k)].tensor.defined(); }
  const Tensor& x(int k = 0) const;  ///< throws where it is missing
  Type type(int k = 0) const { return x(k), inputs[size_t(k)].type; }
  std::vector<Tensor> tensors() const;  ///< all of them

  /// The elements of input k on the host, in a row.
  std::vector<int64_t> integers(int k) const;
  std::vector<double> reals(int k) const;
  int64_t integer(int k) const;  ///< of an input of one element
  double real(int k) const;
  /// Announces that what follows reads values of input k, and makes `bytes` on the host for each of them: where they are
  /// unknown, no Jit can record the run. Throws where that is too much.
  void look(int k, int64_t bytes = sizeof(int64_t)) const;
  int64_t max_bytes() const;  ///< of one tensor, also of one that the host makes

  // ---- Attributes, and what stands in where the node has none
  bool has(std::string_view name) const { return node.find(name); }
  int64_t integer(std::string_view name, int64_t otherwise) const;
  double real(std::string_view name, double otherwise) const;
  bool flag(std::string_view name, bool otherwise = false) const { return integer(name, otherwise) != 0; }
  std::string text(std::string_view name, std::string otherwise) const;
  Dims dims(std::string_view name, const Dims& otherwise = {}) const;
  std::vector<std::string> texts(std::string_view name) const;
  Type type(std::string_view name, Type otherwise) const;  ///< an integer that names a type
  Value tensor(std::string_view name) const;               ///< throws where the node has none
  /// Of old opsets an attribute, of new ones input k: empty where the node has neither.
  std::optional<std::vector<int64_t>> integers(std::string_view name, int k) const;
  /// `axis`, or the attribute `name`, counted from either end, as 0 <= axis < rank. Throws, naming the node.
  int axis(int64_t axis, int rank) const;
  int axis(std::string_view name, int64_t otherwise, int rank) const { return axis(integer(name, otherwise), rank); }

  // ---- Results
  /// What `make` computes of inputs `from` alone, attributes and shapes: where these inputs are known or missing, it is
  /// made once. A node does this once.
  std::vector<Tensor> prepared(std::initializer_list<int> from, const std::function<std::vector<Tensor>()>& make) const;
  void depends_on_shapes_alone() { known_ = true, constant_ = false; }  ///< known, whether or not the inputs are
  void is_random() { known_ = false; }                                  ///< each run has others
  bool is_known() const { return known_; }
  bool is_constant() const { return known_ && constant_; }
  uint64_t depends_on() const { return depends_on_; }  ///< inputs of the model, as Value::inputs
  /// A result is known where its Value says so. Otherwise the results are so together.
  void results_say_if_known() { say_if_known_ = true; }
  bool say_if_known() const { return say_if_known_; }

  const Graph& graph(std::string_view name) const;  ///< an attribute; throws where the node has none
  /// Runs a graph of the node with these inputs; it sees the values around the node, too. `iteration` tells apart runs
  /// of the same graph, as in a loop. Where something it gives is unknown, so are this call's results.
  std::vector<Value> run(const Graph& graph, const std::vector<Value>& given, int64_t iteration = 0);
  /// Reads a condition that such a run has given.
  bool decide(const Value& condition);

 private:
  Interpreter& interpreter_;
  const Frame& frame_;
  bool known_, constant_ = true, say_if_known_ = false;
  uint64_t depends_on_ = 0;
};

using Op = std::function<Outputs(Call&)>;
using Ops = std::map<std::string, Op, std::less<>>;

/// All of them, by ONNX's name.
const Ops& ops();

// A file each.
void add_elementwise(Ops& ops);
void add_reductions(Ops& ops);
void add_shapes(Ops& ops);
void add_indexing(Ops& ops);
void add_products(Ops& ops);
void add_windows(Ops& ops);
void add_normalization(Ops& ops);
void add_resize(Ops& ops);
void add_sampling(Ops& ops);
void add_spectral(Ops& ops);
void add_recurrent(Ops& ops);
void add_attention(Ops& ops);
void add_control(Ops& ops);
void add_losses(Ops& ops);

/// A result of this type: cast to what holds it, and cut.
inline Value as_type(const Tensor& x, Type type) { return {cut(x.cast(dtype_of(type)), type), type}; }
/// int64, whatever the inputs are.
inline Value indices(const Tensor& x) { return as_type(x, Type::Int64); }
/// Elements of the call's first input, in other places: they need not be cut to its type again.
inline Value moved(const Call& call, Tensor x) { return {std::move(x), call.type()}; }
/// x with [begin, end) of one axis.
inline Tensor part(const Tensor& x, int axis, int64_t begin, int64_t end) {
  Dims from = Dims::filled(x.rank(), 0), to = x.shape();
  from[axis] = begin, to[axis] = end;
  return x.shrink(from, to);
}

}  // namespace teeny::onnx
