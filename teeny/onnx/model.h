#pragma once
// An ONNX file as plain structs, with the names of the format: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
// Nothing is computed here. Elements of tensors stay views of the file, which must live as long as these.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/graph/base.h"

namespace teeny::onnx {

/// What a file needs and teeny does not have: an operation, a type, a mode of an operation. The file may be right.
class Unsupported : public Error {
 public:
  using Error::Error;
};

template <class... Parts>
[[noreturn]] void unsupported(const Parts&... parts) {
  throw Unsupported(text(parts...));
}

/// ONNX's element types, with its numbers.
enum class Type {
  Undefined = 0, Float32 = 1, UInt8 = 2, Int8 = 3, UInt16 = 4, Int16 = 5, Int32 = 6, Int64 = 7, String = 8, Bool = 9,
  Float16 = 10, Float64 = 11, UInt32 = 12, UInt64 = 13, Complex64 = 14, Complex128 = 15, BFloat16 = 16,
};
std::string name_of(Type type);  ///< "int8", also of types that have no name here: "float8e4m3fn", "type 99"

struct TensorProto {
  std::string name;
  Type type = Type::Undefined;
  std::vector<int64_t> dims;
  std::optional<std::string_view> raw;  ///< elements as they lie in memory; otherwise they are numbers in the message
  std::string_view message;             ///< all of it: numbers are read when they are needed
  std::optional<std::map<std::string, std::string>> external;  ///< location, offset, length: elements in a file beside
};

struct Graph;

struct Attribute {
  /// AttributeProto's numbers. Undefined: the file is older than they are.
  enum class Kind { Undefined, Float, Int, String, Tensor, Graph, Floats, Ints, Strings };

  std::string name;
  std::string reference;  ///< inside a function: the attribute of the call that stands in for this one
  int64_t i = 0;
  float f = 0;
  std::string s;
  std::vector<int64_t> ints;
  std::vector<float> floats;
  std::vector<std::string> strings;
  std::optional<TensorProto> tensor;
  std::shared_ptr<const Graph> graph;
  Kind kind = Kind::Undefined;
};

struct Node {
  std::string op, name, domain;
  std::vector<std::string> inputs, outputs;  ///< an empty name: this one is left out
  std::vector<Attribute> attributes;
  std::string scopes;  ///< the modules that it belongs to, as PyTorch writes them: "['', 'layer1', 'layer1.0', ..]"

  const Attribute* find(std::string_view attribute) const;
  const Attribute* find(std::string_view attribute, Attribute::Kind kind) const;  ///< throws where it is another kind
  std::string label() const;  ///< `Conv "conv1"`
};

/// The size of an axis: a number; a name, where it is open, and axes of one name are alike; or neither.
struct Size {
  int64_t value = -1;
  std::string name = {};
};

struct ValueInfo {
  std::string name;
  Type type = Type::Undefined;  ///< undefined: no tensor, but a sequence or something else
  std::optional<std::vector<Size>> shape;
};
std::ostream& operator<<(std::ostream& out, const ValueInfo& info);  ///< float32 (batch, 3, 224, 224)

struct Graph {
  std::string name;
  std::vector<Node> nodes;  ///< each after those whose results it needs, also where the file has them in another order
  std::vector<TensorProto> initializers;
  std::vector<ValueInfo> inputs, outputs;
  std::vector<ValueInfo> values;  ///< what the file says of others
};

using Opsets = std::map<std::string, int64_t>;  ///< domain -> version; "" is ONNX's own domain

struct FunctionProto {
  std::vector<std::string> inputs, outputs;
  std::vector<Attribute> defaults;
  std::vector<Node> nodes;
  Opsets opsets;
};

struct ModelProto {
  int64_t ir_version = 0;
  std::string producer, producer_version;
  Opsets opsets;
  Graph graph;
  std::map<std::string, FunctionProto> functions;  ///< by "domain:name"
  std::map<std::string, std::string> metadata;
};

/// Throws where `bytes` are no ONNX model: cut off, nested deeper than 32 graphs, a value that two nodes make or that
/// needs itself, more than four million nodes, attributes and tensors.
ModelProto parse_model(std::string_view bytes);

/// A tensor in a file of its own, as ONNX's test cases have them.
TensorProto parse_tensor(std::string_view bytes);

/// A tensor that a model brings along, by a name that no other one has.
struct Weight {
  std::string name;
  const TensorProto* tensor;
};
/// Initializers, and what Constants hold, also in the graphs inside of nodes and in functions. Left out are Constants of
/// one element or of int64: numbers, shapes and places.
std::vector<Weight> weights_of(const ModelProto& model);

/// "domain:name" -> how often the model calls it, its functions and inner graphs included.
std::map<std::string, int64_t> count_ops(const ModelProto& model);

}  // namespace teeny::onnx
