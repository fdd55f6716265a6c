#pragma once
// How an operation of teeny is written as nodes of ONNX: one function from a traced call to the values that the nodes
// make, in a table by the operation's name: that of its rule ("Mul"), or of the method that was traced ("softmax", see
// traced.h). The tables stand in save_ops_*.cpp, a file for each family:
//
//   ops["softmax"] = [](SavedCall& call) { return call.node("Softmax", {call.x()}, {{"axis", call.integer("axis")}});
//   };
//
// A graph with an open axis is traced with several sizes. What depends on them, as the sizes of a reshape do, is an
// Int: its value in each trace.
#include <algorithm>
#include <array>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "teeny/mlops/common.h"
#include "teeny/onnx/values.h"

namespace teeny::onnx {

/// An integer of a call: its value in each trace.
class Int {
 public:
  static constexpr int kTraces = 3;  ///< where there are fewer, the rest repeat the first

  Int(int64_t value = 0) { at_.fill(value); }
  int64_t& operator[](size_t trace) { return at_[trace]; }
  int64_t operator[](size_t trace) const { return at_[trace]; }
  bool is_open() const { return at_[1] != at_[0] || at_[2] != at_[0]; }
  bool operator==(const Int& other) const = default;
  auto operator<=>(const Int& other) const = default;  ///< an order for maps
  friend Int operator+(const Int& x, const Int& y) {
    return each(x, y, [](int64_t a, int64_t b) { return a + b; });
  }
  friend Int operator-(const Int& x, const Int& y) {
    return each(x, y, [](int64_t a, int64_t b) { return a - b; });
  }
  friend Int operator*(const Int& x, const Int& y) {
    return each(x, y, [](int64_t a, int64_t b) { return a * b; });
  }

 private:
  template <class F>
  static Int each(Int x, const Int& y, F f) {
    for (size_t t = 0; t < kTraces; ++t) x.at_[t] = f(x.at_[t], y.at_[t]);
    return x;
  }
  std::array<int64_t, kTraces> at_;
};
using Ints = std::vector<Int>;
inline bool is_open(const Ints& ints) {
  return std::any_of(ints.begin(), ints.end(), [](const Int& i) { return i.is_open(); });
}

/// A value of the graph that is written: an input, an initializer, what a node makes. The default: it is left out.
struct Name {
  int id = -1;
  bool operator==(const Name&) const = default;
};
/// What the nodes of a call make, in the order of its results.
struct Names : std::vector<Name> {
  Names(Name name) : vector{name} {}
  Names(std::vector<Name> names) : vector(std::move(names)) {}
  Names(std::initializer_list<Name> names) : vector(names) {}
};

/// The value of a node's attribute.
struct NodeAttribute
    : std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>, std::vector<std::string>> {
  NodeAttribute(std::integral auto value) : variant(int64_t(value)) {}
  NodeAttribute(std::floating_point auto value) : variant(float(value)) {}
  NodeAttribute(const char* value) : variant(std::string(value)) {}
  NodeAttribute(std::string value) : variant(std::move(value)) {}
  NodeAttribute(const Dims& values) : variant(std::vector<int64_t>(values.begin(), values.end())) {}
  NodeAttribute(std::vector<int64_t> values) : variant(std::move(values)) {}
  NodeAttribute(std::vector<float> values) : variant(std::move(values)) {}
  NodeAttribute(std::vector<std::string> values) : variant(std::move(values)) {}
};
using NodeAttributes = std::vector<std::pair<std::string, NodeAttribute>>;

class GraphBuilder;
struct TracedOperation;
class Exporter;

/// A call that is being written: its arguments, attributes and results, and what makes nodes of them.
class SavedCall {
 public:
  SavedCall(Exporter& exporter, int operation) : exporter_(exporter), operation_(operation) {}

  const std::string& op() const;  ///< the name in the table

  // ---- Arguments, counted from 0; an optional one may be missing
  int count() const;
  bool has(int k) const;
  Name x(int k = 0);        ///< throws where it is missing
  Name x(int k, DType as);  ///< cast, where it has another dtype
  Name optional(int k);     ///< the default Name where it is missing
  std::vector<Name> all();  ///< x(0), x(1) ..
  /// x(0), x(1) .. for an operation of ONNX that broadcasts: what only gives an argument the shape of the others
  /// (an Expand, axes of size 1 in front) is left to it, and what has one value everywhere is a scalar.
  std::vector<Name> broadcast();
  Ints shape(int k = 0) const;
  int rank(int k = 0) const;
  DType dtype(int k = 0) const;
  bool is_constant(int k) const;                 ///< it depends on no input and no parameter: the next may be asked for
  std::optional<Scalar> scalar_of(int k) const;  ///< of a constant whose elements are one value, also in an open shape
  /// Whether it is a constant or a parameter: what is made of its values alone can be made now.
  bool is_known(int k) const;
  Tensor constant(int k) const;  ///< its values

  // ---- What made argument k: for a node that stands for several operations
  /// The operation's name; empty where argument k is an input, a parameter or a constant.
  std::string maker(int k = 0) const;
  SavedCall made_by(int k = 0) const;  ///< throws where no operation made it

  // ---- Results
  int results() const;
  bool wants(int r) const;  ///< whether result r is used
  Ints result_shape(int r = 0) const;
  DType result_dtype(int r = 0) const;
  /// The node of the lazy graph that the rule made: its operation, where a rule's name does not say it.
  const NodeOp& node_op() const;

  // ---- Attributes. Throws where there is none of this name, or of another kind; all but `ints` where the traces
  // differ.
  bool has(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;
  bool flag(std::string_view name) const { return integer(name) != 0; }
  Scalar scalar(std::string_view name) const;
  std::string text_of(std::string_view name) const;
  Dims dims(std::string_view name) const;
  Ints ints(std::string_view name) const;

  // ---- What is written
  int opset() const;
  Name node(std::string_view op, std::vector<Name> inputs, NodeAttributes attributes = {});
  std::vector<Name> nodes(std::string_view op, std::vector<Name> inputs, NodeAttributes attributes, int results);
  /// An initializer; one for all constants of the same dtype, shape and elements. `kind` becomes its name.
  Name constant(const Tensor& x, std::string_view kind = "constant");
  Name scalar(Scalar value, DType dtype);
  /// An int64 vector; of open ones the nodes that compute it.
  Name integers(const Ints& values, std::string_view kind = "sizes");
  Name integers(const Dims& values, std::string_view kind = "axes");

  // What many need. `from` is the shape of x.
  Name cast(Name x, DType to);
  Name reshape(Name x, const Ints& from, const Ints& to);  ///< Squeeze, Unsqueeze, Flatten, or Reshape
  Name squeeze(Name x, const Dims& axes);
  Name unsqueeze(Name x, const Dims& axes);
  Name transpose(Name x, const Dims& order);
  Name slice(Name x, const Ints& begin, const Ints& end, const Dims& axes);

  /// Throws: this call has no spelling in ONNX, because of `why`. The call's name and shapes come with it.
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  const TracedOperation& operation(size_t trace = 0) const;
  int argument(int k) const;
  int result(int r) const;
  const teeny::Attribute& attribute(std::string_view name) const;
  template <class T>
  const T& attribute(std::string_view name, const char* kind) const;

  Exporter& exporter_;
  int operation_;
};

/// Of a reshape that drops the axes which a reduction has left with size 1: both as one node.
std::optional<Name> reduce_and_drop(SavedCall& reshape);

/// What an Einsum of tensors of this dtype is computed in.
DType dtype_of_einsum(DType type);

using SaveOp = Names (*)(SavedCall&);
using SaveOps = std::map<std::string, SaveOp, std::less<>>;
/// All of them, by the operation's name.
const SaveOps& save_ops();

// A file each.
void add_save_elementwise(SaveOps& ops);
void add_save_movement(SaveOps& ops);
void add_save_products(SaveOps& ops);
void add_save_windows(SaveOps& ops);
void add_save_normalization(SaveOps& ops);
void add_save_indexing(SaveOps& ops);
void add_save_reductions(SaveOps& ops);
void add_save_recurrent(SaveOps& ops);
void add_save_activations(SaveOps& ops);
void add_save_math(SaveOps& ops);
void add_save_places(SaveOps& ops);
void add_save_scans(SaveOps& ops);
void add_save_images(SaveOps& ops);

}  // namespace teeny::onnx
