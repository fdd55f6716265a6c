#include "teeny/onnx/model.h"

#include <algorithm>
#include <functional>
#include <ostream>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "teeny/onnx/wire.h"

namespace teeny::onnx {

namespace {

constexpr int kMaxDepth = 32;              // graphs in graphs
constexpr int64_t kMaxMessages = 4 << 20;  // an empty message is two bytes of a file, and a hundred in memory

/// Calls `use` for each value that the node needs, also from inside of its graphs. A name that a graph inside gives to
/// a value of its own is that value's there, whatever it is outside.
void each_input(const Node& node, const std::function<void(const std::string&)>& use) {
  for (const std::string& name : node.inputs)
    if (!name.empty()) use(name);
  for (const Attribute& a : node.attributes) {
    if (!a.graph) continue;
    std::unordered_set<std::string_view> own;
    for (const ValueInfo& input : a.graph->inputs) own.insert(input.name);
    for (const TensorProto& t : a.graph->initializers) own.insert(t.name);
    for (const Node& inner : a.graph->nodes) own.insert(inner.outputs.begin(), inner.outputs.end());
    const auto use_outer = [&](const std::string& name) {
      if (!own.contains(name)) use(name);
    };
    for (const Node& inner : a.graph->nodes) each_input(inner, use_outer);
    for (const ValueInfo& output : a.graph->outputs) use_outer(output.name);  // it may hand out a value from outside
  }
}

/// Puts each node after those that make its inputs; otherwise they stay in the file's order. Kahn, "Topological
/// sorting of large networks", 1962.
void sort_nodes(std::vector<Node>& nodes) {
  std::unordered_map<std::string_view, size_t> maker;
  for (size_t i = 0; i < nodes.size(); ++i)
    for (const std::string& name : nodes[i].outputs)
      if (!name.empty() && !maker.emplace(name, i).second) fail("two nodes make the value \"", name, '"');
  std::vector<std::vector<size_t>> users(nodes.size());
  std::vector<size_t> missing(nodes.size());
  bool sorted = true;
  for (size_t i = 0; i < nodes.size(); ++i)
    each_input(nodes[i], [&](const std::string& name) {
      const auto found = maker.find(name);
      if (found == maker.end()) return;
      users[found->second].push_back(i), ++missing[i];
      sorted = sorted && found->second < i;
    });
  if (sorted) return;
  std::vector<size_t> order;  // grows while it is walked
  for (size_t i = 0; i < nodes.size(); ++i)
    if (missing[i] == 0) order.push_back(i);
  for (size_t next = 0; next < order.size(); ++next)
    for (size_t user : users[order[next]])
      if (--missing[user] == 0) order.push_back(user);
  if (order.size() < nodes.size())
    for (size_t i = 0; i < nodes.size(); ++i)
      if (missing[i] > 0) fail(nodes[i].label(), " needs its own result");
  std::vector<Node> result;
  for (size_t i : order) result.push_back(std::move(nodes[i]));
  nodes = std::move(result);
}

/// Reads messages; each method is one message of the format, and each `case` the number of a field.
class Parser {
 public:
  TensorProto tensor(std::string_view message) {
    TensorProto t;
    t.message = message;
    for (Fields field = begin(message); field.next();) switch (field.number) {
        case 1: field.append_to(t.dims); break;
        case 2: t.type = Type(field.integer()); break;
        case 8: t.name = field.text(); break;
        case 9: t.raw = field.bytes(); break;
        case 13: {
          if (!t.external) t.external.emplace();
          t.external->insert(pair(field.bytes()));
          break;
        }
        case 14:
          if (field.integer() == 1 && !t.external) t.external.emplace();
          break;
      }
    if (t.dims.size() > kMaxRank) fail("tensor \"", t.name, "\" has ", t.dims.size(), " axes; at most ", kMaxRank);
    return t;
  }

  ModelProto model(std::string_view message) {
    ModelProto m;
    for (Fields field = begin(message); field.next();) switch (field.number) {
        case 1: m.ir_version = field.integer(); break;
        case 2: m.producer = field.text(); break;
        case 3: m.producer_version = field.text(); break;
        case 7: m.graph = graph(field.bytes()); break;
        case 8: m.opsets.insert(opset(field.bytes())); break;
        case 14: m.metadata.insert(pair(field.bytes())); break;
        case 25: function(field.bytes(), m.functions); break;
      }
    return m;
  }

 private:
  Fields begin(std::string_view message) {
    if (++messages_ > kMaxMessages) fail("more than ", kMaxMessages, " nodes, attributes and tensors");
    return Fields(message);
  }

  std::pair<std::string, std::string> pair(std::string_view message) {
    std::pair<std::string, std::string> p;
    for (Fields field = begin(message); field.next();)
      if (field.number == 1) p.first = field.text();
      else if (field.number == 2) p.second = field.text();
    return p;
  }

  std::pair<std::string, int64_t> opset(std::string_view message) {
    std::pair<std::string, int64_t> o{"", 1};
    for (Fields field = begin(message); field.next();)
      if (field.number == 1) o.first = field.text();
      else if (field.number == 2) o.second = field.integer();
    if (o.first == "ai.onnx") o.first.clear();
    return o;
  }

  Graph graph(std::string_view message) {
    if (++depth_ > kMaxDepth) fail("graphs are nested deeper than ", kMaxDepth);
    Graph g;
    for (Fields field = begin(message); field.next();) switch (field.number) {
        case 1: g.nodes.push_back(node(field.bytes())); break;
        case 2: g.name = field.text(); break;
        case 5: g.initializers.push_back(tensor(field.bytes())); break;
        case 11: g.inputs.push_back(value_info(field.bytes())); break;
        case 12: g.outputs.push_back(value_info(field.bytes())); break;
        case 13: g.values.push_back(value_info(field.bytes())); break;
        case 15: unsupported("graph \"", g.name, "\" has sparse initializers; store them as dense ones");
      }
    --depth_;
    sort_nodes(g.nodes);
    return g;
  }

  Node node(std::string_view message) {
    Node n;
    for (Fields field = begin(message); field.next();) switch (field.number) {
        case 1: n.inputs.push_back(field.text()); break;
        case 2: n.outputs.push_back(field.text()); break;
        case 3: n.name = field.text(); break;
        case 4: n.op = field.text(); break;
        case 5: n.attributes.push_back(attribute(field.bytes())); break;
        case 7: n.domain = field.text(); break;
        case 9: {
          auto [key, value] = pair(field.bytes());
          if (key == "pkg.torch.onnx.name_scopes") n.scopes = std::move(value);
          break;
        }
      }
    if (n.domain == "ai.onnx") n.domain.clear();
    return n;
  }

  Attribute attribute(std::string_view message) {
    Attribute a;
    for (Fields field = begin(message); field.next();) switch (field.number) {
        case 1: a.name = field.text(); break;
        case 2: a.f = field.real(); break;
        case 3: a.i = field.integer(); break;
        case 4: a.s = field.text(); break;
        case 5: a.tensor = tensor(field.bytes()); break;
        case 6: a.graph = std::make_shared<const Graph>(graph(field.bytes())); break;
        case 7: field.append_to(a.floats); break;
        case 8: field.append_to(a.ints); break;
        case 9: a.strings.push_back(field.text()); break;
        case 20: a.kind = Attribute::Kind(field.integer()); break;
        case 21: a.reference = field.text(); break;
      }
    return a;
  }

  ValueInfo value_info(std::string_view message) {
    ValueInfo info;
    for (Fields field = begin(message); field.next();)
      if (field.number == 1) info.name = field.text();
      else if (field.number == 2)
        for (Fields type = begin(field.bytes()); type.next();)
          if (type.number == 1) tensor_type(type.bytes(), info);
    return info;
  }

  void tensor_type(std::string_view message, ValueInfo& info) {
    for (Fields field = begin(message); field.next();)
      if (field.number == 1) info.type = Type(field.integer());
      else if (field.number == 2) {
        info.shape.emplace();
        for (Fields shape = begin(field.bytes()); shape.next();)
          if (shape.number == 1) info.shape->push_back(size(shape.bytes()));
      }
  }

  Size size(std::string_view message) {
    Size s;
    for (Fields field = begin(message); field.next();)
      if (field.number == 1) s.value = field.integer();
      else if (field.number == 2) s.name = field.text();
    return s;
  }

  void function(std::string_view message, std::map<std::string, FunctionProto>& into) {
    FunctionProto f;
    std::string name, domain;
    for (Fields field = begin(message); field.next();) switch (field.number) {
        case 1: name = field.text(); break;
        case 4: f.inputs.push_back(field.text()); break;
        case 5: f.outputs.push_back(field.text()); break;
        case 7: f.nodes.push_back(node(field.bytes())); break;
        case 9: f.opsets.insert(opset(field.bytes())); break;
        case 10: domain = field.text(); break;
        case 11: f.defaults.push_back(attribute(field.bytes())); break;
      }
    sort_nodes(f.nodes);
    into.insert_or_assign((domain == "ai.onnx" ? "" : domain) + ":" + name, std::move(f));
  }

  int depth_ = 0;
  int64_t messages_ = 0;
};

void count(const std::vector<Node>& nodes, std::map<std::string, int64_t>& into) {
  for (const Node& node : nodes) {
    ++into[node.domain + ":" + node.op];
    for (const Attribute& a : node.attributes)
      if (a.graph) count(a.graph->nodes, into);
  }
}

}  // namespace

std::string name_of(Type type) {
  constexpr std::string_view names[] = {
      "undefined", "float32",    "uint8",      "int8",         "uint16",         "int16",      "int32",
      "int64",     "string",     "bool",       "float16",      "float64",        "uint32",     "uint64",
      "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
      "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"};
  if (size_t(type) < std::size(names)) return std::string(names[size_t(type)]);
  return text("type ", int(type));
}

const Attribute* Node::find(std::string_view attribute) const {
  for (const Attribute& a : attributes)
    if (a.name == attribute) return &a;
  return nullptr;
}

const Attribute* Node::find(std::string_view attribute, Attribute::Kind kind) const {
  constexpr const char* names[] = {"nothing", "a float", "an integer", "a string", "a tensor",
                                   "a graph", "floats",  "integers",   "strings"};
  const Attribute* const a = find(attribute);
  if (!a || a->kind == kind || a->kind == Attribute::Kind::Undefined) return a;
  fail("the attribute ", attribute, " is ",
       size_t(a->kind) < std::size(names) ? names[size_t(a->kind)] : "something else", ", and must be ",
       names[size_t(kind)]);
}

std::string Node::label() const {
  return name.empty() ? op + (outputs.empty() ? "" : " of \"" + outputs[0] + '"') : op + " \"" + name + '"';
}

std::ostream& operator<<(std::ostream& out, const ValueInfo& info) {
  if (info.type == Type::Undefined) return out << "no tensor";
  out << name_of(info.type);
  if (!info.shape) return out << " of any shape";
  out << " (";
  const char* separator = "";
  for (const Size& size : *info.shape) {
    out << std::exchange(separator, ", ");
    if (size.value >= 0) out << size.value;
    else out << (size.name.empty() ? "?" : size.name);
  }
  return out << (info.shape->size() == 1 ? ",)" : ")");
}

ModelProto parse_model(std::string_view bytes) {
  ModelProto model = Parser().model(bytes);
  if (model.graph.nodes.empty() && model.graph.outputs.empty()) fail("no ONNX model: there is no graph in it");
  return model;
}

TensorProto parse_tensor(std::string_view bytes) { return Parser().tensor(bytes); }

std::vector<Weight> weights_of(const ModelProto& model) {
  std::vector<Weight> all;
  std::unordered_set<std::string> taken;
  const auto add = [&](const std::string& name, const TensorProto& t) {
    std::string unique = name;
    for (int k = 2; !taken.insert(unique).second; ++k) unique = text(name, '_', k);
    all.push_back({unique, &t});
  };
  const auto add_all = [&](const auto& self, const std::vector<Node>& nodes) -> void {
    for (const Node& node : nodes)
      for (const Attribute& a : node.attributes) {
        if (a.graph) {
          for (const TensorProto& t : a.graph->initializers) add(t.name, t);
          self(self, a.graph->nodes);
        }
        if (!a.tensor || node.op != "Constant" || node.outputs.empty() || a.tensor->type == Type::Int64) continue;
        if (std::ranges::any_of(a.tensor->dims, [](int64_t size) { return size != 1; }))
          add(node.outputs[0], *a.tensor);
      }
  };
  for (const TensorProto& t : model.graph.initializers) add(t.name, t);
  add_all(add_all, model.graph.nodes);
  for (const auto& [name, function] : model.functions) add_all(add_all, function.nodes);
  return all;
}

std::map<std::string, int64_t> count_ops(const ModelProto& model) {
  std::map<std::string, int64_t> counts;
  count(model.graph.nodes, counts);
  for (const auto& [name, function] : model.functions) count(function.nodes, counts);
  for (const auto& [name, function] : model.functions) counts.erase(name);
  return counts;
}

}  // namespace teeny::onnx
