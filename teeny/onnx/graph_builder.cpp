#include "teeny/onnx/graph_builder.h"

#include <algorithm>

#include "teeny/onnx/values.h"
#include "teeny/version.h"
#include "tinyops/base/hash.h"

namespace teeny::onnx {

namespace {

constexpr int64_t kLeastExternal = 1024;  // bytes: a smaller initializer stays in the message
constexpr uint64_t kAlignment = 4096;     // of what lies in the file beside it: a page, so that it can be mapped

int64_t bytes_of(const Tensor& x) { return x.numel() * itemsize(x.dtype()); }

/// "LayerNormalization" -> "layer_normalization", "MatMul" -> "mat_mul", "LSTM" -> "lstm".
std::string snake_case(std::string_view op) {
  std::string result;
  const auto lower = [&](size_t i) { return i < op.size() && op[i] >= 'a' && op[i] <= 'z'; };
  for (size_t i = 0; i < op.size(); ++i) {
    const bool upper = op[i] >= 'A' && op[i] <= 'Z';
    if (upper && i > 0 && lower(i - 1) && lower(i + 1)) result += '_';
    result += upper ? char(op[i] - 'A' + 'a') : op[i];
  }
  return result;
}

Message attribute_message(const std::string& name, const NodeAttribute& attribute) {
  Message m;
  m.text(1, name);
  const auto list = [&](const auto& values, int kind, auto&& append) {
    for (const auto& value : values) append(value);
    m.integer(20, kind);
  };
  std::visit(
      [&]<class T>(const T& value) {
        if constexpr (std::same_as<T, int64_t>) m.integer(3, value).integer(20, 2);
        else if constexpr (std::same_as<T, float>) m.real(2, value).integer(20, 1);
        else if constexpr (std::same_as<T, std::string>) m.text(4, value).integer(20, 3);
        else if constexpr (std::same_as<T, std::vector<int64_t>>) list(value, 7, [&](int64_t v) { m.integer(8, v); });
        else if constexpr (std::same_as<T, std::vector<float>>) list(value, 6, [&](float v) { m.real(7, v); });
        else list(value, 8, [&](const std::string& v) { m.text(9, v); });
      },
      static_cast<const std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                                     std::vector<std::string>>&>(attribute));
  return m;
}

Message value_info(const std::string& name, DType dtype, const std::vector<Size>& shape) {
  Message sizes;
  for (const Size& size : shape) {
    Message one;
    if (size.name.empty()) one.integer(1, size.value);
    else one.text(2, size.name);
    sizes.message(1, std::move(one));
  }
  Message tensor, type, info;
  tensor.integer(1, int64_t(type_of(dtype))).message(2, std::move(sizes));
  type.message(1, std::move(tensor));
  info.text(1, name).message(2, std::move(type));
  return info;
}

/// A node as text: everything but its name and its results.
std::string key_of(std::string_view op, const std::vector<Name>& inputs, const NodeAttributes& attributes,
                   int results) {
  std::string key = text(op, '/', results);
  for (Name input : inputs) key += text(',', input.id);
  for (const auto& [name, value] : attributes) {
    key += ';' + name + '=';
    attribute_message(name, value).write_to([&](const void* from, size_t n) {
      key.append(static_cast<const char*>(from), n);
    });
  }
  return key;
}

}  // namespace

Name GraphBuilder::add(std::string name) {
  values_.push_back({std::move(name)});
  return {int(values_.size()) - 1};
}

std::string GraphBuilder::unique(const std::string& base) {
  std::string name = base;
  while (!taken_.insert(name).second) name = text(base, '_', ++repeated_.try_emplace(base, 1).first->second);
  return name;
}

Name GraphBuilder::input(const std::string& name, DType dtype, std::vector<Size> shape) {
  if (!taken_.insert(name).second) fail("onnx::save: two inputs, outputs or parameters have the name \"", name, '"');
  const Name value = add(name);
  inputs_.push_back({value, dtype, std::move(shape)});
  return value;
}

void GraphBuilder::output(const std::string& name, Name value, DType dtype, std::vector<Size> shape) {
  if (!taken_.insert(name).second) fail("onnx::save: two inputs, outputs or parameters have the name \"", name, '"');
  const bool is_other = std::any_of(outputs_.begin(), outputs_.end(), [&](const auto& o) { return o.value == value; });
  if (values_[size_t(value.id)].node < 0 || is_other) {  // an output is what a node makes, and has one name
    values_.push_back({.name = {}, .node = int(nodes_.size())});
    nodes_.push_back({"Identity", "", {value}, {{int(values_.size()) - 1}}, {}});
    value = nodes_.back().outputs[0];
  }
  values_[size_t(value.id)].name = name;
  outputs_.push_back({value, dtype, std::move(shape)});
}

Name GraphBuilder::parameter(const std::string& name, const Tensor& x) {
  const Name value = add(unique(name));
  values_.back().initializer = int(initializers_.size());
  initializers_.push_back({value, x, true});
  return value;
}

Name GraphBuilder::constant(const Tensor& x, std::string_view kind) {
  const std::vector<std::byte> bytes = x.to_bytes();
  std::string key = text(kind, x.dtype(), x.shape(), tinyops::xxh64(bytes));
  for (; constants_.contains(key); key += '\'') {
    const Name found = constants_[key];
    if (initializers_[size_t(values_[size_t(found.id)].initializer)].x.to_bytes() == bytes) return found;
  }
  const Name value = add(std::string(kind));  // a name of its own follows in finish()
  values_.back().initializer = int(initializers_.size());
  initializers_.push_back({value, Tensor::from_bytes(bytes, x.dtype(), x.shape()), false});
  return constants_[key] = value;
}

std::vector<Name> GraphBuilder::nodes(std::string_view op, std::vector<Name> inputs, NodeAttributes attributes,
                                      int results) {
  while (!inputs.empty() && inputs.back().id < 0) inputs.pop_back();
  const std::string key = key_of(op, inputs, attributes, results);
  if (const auto found = by_key_.find(key); found != by_key_.end())
    return nodes_[size_t(values_[size_t(found->second.id)].node)].outputs;
  std::vector<Name> outputs;
  for (int i = 0; i < results; ++i) {
    outputs.push_back(add(""));
    values_.back().node = int(nodes_.size());
  }
  nodes_.push_back({std::string(op), "", std::move(inputs), outputs, std::move(attributes)});
  by_key_[key] = outputs[0];
  return outputs;
}

/// "layer1.0.conv1" of a node that reads "layer1.0.conv1.weight", or what was made of that alone; empty where it reads
/// no parameter of a layer.
std::string GraphBuilder::layer_of(const Node& node) const {
  for (Name input : node.inputs) {
    if (input.id < 0) continue;
    const Value* from = &values_[size_t(input.id)];
    if (from->node >= 0 && nodes_[size_t(from->node)].inputs.size() == 1)
      from = &values_[size_t(nodes_[size_t(from->node)].inputs[0].id)];
    if (from->initializer < 0 || !initializers_[size_t(from->initializer)].is_parameter) continue;
    if (const size_t dot = from->name.rfind('.'); dot != std::string::npos) return from->name.substr(0, dot);
  }
  return "";
}

/// "axes_0_1", "scalar_0.5", "scalar_int64_1": numbers that a reader of the graph wants to see; "constant_3" where
/// there are many.
std::string GraphBuilder::constant_name(const Initializer& constant) {
  constexpr int64_t kMostNumbers = 6;
  const std::string& kind = values_[size_t(constant.value.id)].name;
  const Tensor& x = constant.x;
  if (x.rank() > (x.dtype() == DType::Int64) || x.numel() > kMostNumbers)
    return unique(text(kind, '_', counters_[kind]++));
  std::string numbers = kind;
  if (x.rank() == 0 && x.dtype() != DType::Float32) numbers += text('_', x.dtype());
  for (double number : x.to_vector<double>())
    numbers += number == 0x1p63 ? "_max" : number == -0x1p63 ? "_min" : text('_', number);
  return unique(numbers);
}

std::string GraphBuilder::node_name(const Node& node) {
  const std::string layer = layer_of(node);
  if (!layer.empty()) return unique(layer + '/' + node.op);
  const std::string kind = snake_case(node.op);
  return unique(text(kind, '_', counters_[kind]++));
}

void GraphBuilder::finish() {
  std::vector<bool> used(values_.size(), false), needed(nodes_.size(), false);
  for (const Interface& output : outputs_) used[size_t(output.value.id)] = true;
  for (size_t n = nodes_.size(); n-- > 0;) {
    needed[n] = std::any_of(nodes_[n].outputs.begin(), nodes_[n].outputs.end(),
                            [&](Name output) { return used[size_t(output.id)]; });
    if (!needed[n]) continue;
    // None of their outputs may be left out.
    if (nodes_[n].op == "TopK" || nodes_[n].op == "Split" || nodes_[n].op == "MaxPool")
      for (Name output : nodes_[n].outputs) used[size_t(output.id)] = true;
    for (Name input : nodes_[n].inputs)
      if (input.id >= 0) used[size_t(input.id)] = true;
  }

  for (Initializer& i : initializers_)
    if (!i.is_parameter && used[size_t(i.value.id)]) values_[size_t(i.value.id)].name = constant_name(i);
  for (size_t n = 0; n < nodes_.size(); ++n)
    if (needed[n]) nodes_[n].name = node_name(nodes_[n]);
  std::vector<Node> kept;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (!needed[n]) continue;
    Node& node = nodes_[n];
    while (node.outputs.size() > 1 && !used[size_t(node.outputs.back().id)]) node.outputs.pop_back();
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      Value& value = values_[size_t(node.outputs[i].id)];
      if (!used[size_t(node.outputs[i].id)]) node.outputs[i] = {};  // left out
      else if (value.name.empty()) value.name = node.outputs.size() == 1 ? node.name : unique(text(node.name, '_', i));
    }
    kept.push_back(std::move(node));
  }
  nodes_ = std::move(kept);
  std::erase_if(initializers_, [&](const Initializer& i) { return !used[size_t(i.value.id)]; });
}

int64_t GraphBuilder::initializer_bytes() const {
  int64_t bytes = 0;
  for (const Initializer& i : initializers_) bytes += bytes_of(i.x);
  return bytes;
}

Message GraphBuilder::message(const std::string& name, const std::string& location,
                              std::vector<ExternalElements>* external) const {
  const auto name_of = [&](Name value) { return value.id < 0 ? std::string() : values_[size_t(value.id)].name; };
  Message graph;
  for (const Node& node : nodes_) {
    Message m;
    for (Name input : node.inputs) m.text(1, name_of(input));
    for (Name output : node.outputs) m.text(2, name_of(output));
    m.text(3, node.name).text(4, node.op);
    for (const auto& [key, value] : node.attributes) m.message(5, attribute_message(key, value));
    graph.message(1, std::move(m));
  }
  graph.text(2, name);
  uint64_t end = 0;
  for (const Initializer& i : initializers_) {
    Message m;
    for (int64_t size : i.x.shape()) m.integer(1, size);
    m.integer(2, int64_t(type_of(i.x.dtype()))).text(8, name_of(i.value));
    Message::Elements elements{size_t(bytes_of(i.x)), [x = i.x] { return x.to_bytes(); }};
    if (!external || bytes_of(i.x) < kLeastExternal) {
      m.elements(9, std::move(elements));
    } else {
      const uint64_t begin = (end + kAlignment - 1) / kAlignment * kAlignment;
      end = begin + elements.size;
      const auto entry = [&](const char* key, const std::string& value) {
        m.message(13, std::move(Message().text(1, key).text(2, value)));
      };
      entry("location", location), entry("offset", text(begin)), entry("length", text(elements.size));
      m.integer(14, 1);
      external->push_back({begin, std::move(elements)});
    }
    graph.message(5, std::move(m));
  }
  for (const Interface& i : inputs_) graph.message(11, value_info(name_of(i.value), i.dtype, i.shape));
  for (const Interface& o : outputs_) graph.message(12, value_info(name_of(o.value), o.dtype, o.shape));
  return graph;
}

}  // namespace teeny::onnx
