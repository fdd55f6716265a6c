#pragma once
// A graph of ONNX while it is made. Nodes are appended, each behind those whose results it needs; in the end what no
// output needs is dropped, and what is left gets its names: that of the layer whose parameter a node reads
// ("layer1.0.conv1"), or the operation's and a counter ("softmax_3"). The same calls make the same bytes.
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/onnx/save_ops.h"
#include "teeny/onnx/wire_write.h"

namespace teeny::onnx {

class GraphBuilder {
 public:
  Name input(const std::string& name, DType dtype, std::vector<Size> shape);
  void output(const std::string& name, Name value, DType dtype, std::vector<Size> shape);
  /// An initializer of this name.
  Name parameter(const std::string& name, const Tensor& x);
  /// An initializer; constants of a kind with the same dtype, shape and elements are one. Its name is the kind with the
  /// elements, where they are few, or a counter.
  Name constant(const Tensor& x, std::string_view kind);
  /// A node, and what it makes. The same node again, with the same inputs, is the one that is there.
  std::vector<Name> nodes(std::string_view op, std::vector<Name> inputs, NodeAttributes attributes, int results);

  /// Drops what no output needs, and names the rest.
  void finish();
  /// The bytes of all initializers.
  int64_t initializer_bytes() const;
  /// The graph, as GraphProto. Where initializers lie in another file, `location` is its name, and `external` gets them
  /// with the places where each begins; otherwise it is null.
  struct ExternalElements {
    uint64_t begin;
    Message::Elements elements;
  };
  Message message(const std::string& name, const std::string& location, std::vector<ExternalElements>* external) const;
  size_t count_nodes() const { return nodes_.size(); }

 private:
  struct Value {
    std::string name;
    int node = -1, initializer = -1;
  };
  struct Initializer {
    Name value;
    Tensor x;
    bool is_parameter;
  };
  struct Node {
    std::string op, name;
    std::vector<Name> inputs, outputs;
    NodeAttributes attributes;
  };
  struct Interface {
    Name value;
    DType dtype;
    std::vector<Size> shape;
  };
  Name add(std::string name);
  std::string unique(const std::string& base);
  std::string layer_of(const Node& node) const;
  std::string node_name(const Node& node);
  std::string constant_name(const Initializer& constant);

  std::vector<Value> values_;
  std::vector<Initializer> initializers_;
  std::vector<Node> nodes_;
  std::vector<Interface> inputs_, outputs_;
  std::map<std::string, Name> constants_;  ///< by dtype, shape and elements
  std::map<std::string, Name> by_key_;     ///< first results of nodes by all that they are
  std::set<std::string> taken_;            ///< names
  std::map<std::string, int> counters_, repeated_;
};

}  // namespace teeny::onnx
