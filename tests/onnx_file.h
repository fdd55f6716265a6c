#pragma once
// ONNX files for tests, written message by message; the numbers are those of the fields in onnx.proto.
//
//   onnx_file::Graph graph;
//   graph.node("Add", {"x", "w"}, {"y"}).initializer("w", {2}, {1.f, 2.f}).input("x", {"N", 2}).output("y");
//   directory.write("net.onnx", graph.model());
#include <cstring>
#include <string>
#include <variant>
#include <vector>

namespace onnx_file {

inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += char(128 | (value & 127));
  return bytes += char(value);
}
inline std::string number(int field, int64_t value) { return varint(uint64_t(field) << 3) + varint(uint64_t(value)); }
inline std::string bytes(int field, const std::string& content) {
  return varint(uint64_t(field) << 3 | 2) + varint(content.size()) + content;
}
inline std::string real(int field, float value) {
  std::string four(4, '\0');
  std::memcpy(four.data(), &value, 4);
  return varint(uint64_t(field) << 3 | 5) + four;
}
template <class T>
std::string memory_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
constexpr int type_of() {
  return std::is_same_v<T, float> ? 1 : std::is_same_v<T, int8_t> ? 3 : std::is_same_v<T, double> ? 11 : 7;
}

/// A TensorProto with its elements as they lie in memory.
template <class T>
std::string tensor(const std::string& name, const std::vector<int64_t>& dims, const std::vector<T>& values) {
  std::string message;
  for (int64_t d : dims) message += number(1, d);
  return message + number(2, type_of<T>()) + bytes(8, name) + bytes(9, memory_of(values));
}

inline std::string attribute(const std::string& name, int64_t value) {
  return bytes(5, bytes(1, name) + number(3, value) + number(20, 2));
}
inline std::string attribute(const std::string& name, float value) {
  return bytes(5, bytes(1, name) + real(2, value) + number(20, 1));
}
inline std::string attribute(const std::string& name, const std::string& value) {
  return bytes(5, bytes(1, name) + bytes(4, value) + number(20, 3));
}
inline std::string attribute(const std::string& name, const std::vector<int64_t>& values) {
  std::string message = bytes(1, name);
  for (int64_t v : values) message += number(8, v);
  return bytes(5, message + number(20, 7));
}
inline std::string attribute(const std::string& name, const std::vector<std::string>& values) {
  std::string message = bytes(1, name);
  for (const std::string& v : values) message += bytes(9, v);
  return bytes(5, message + number(20, 8));
}
inline std::string attribute(const std::string& name, const std::vector<float>& values) {
  std::string message = bytes(1, name);
  for (float v : values) message += real(7, v);
  return bytes(5, message + number(20, 6));
}
inline std::string tensor_attribute(const std::string& name, const std::string& tensor) {
  return bytes(5, bytes(1, name) + bytes(5, tensor) + number(20, 4));
}
inline std::string graph_attribute(const std::string& name, const std::string& graph) {
  return bytes(5, bytes(1, name) + bytes(6, graph) + number(20, 5));
}
/// An attribute inside a function that stands for one of its call.
inline std::string reference(const std::string& name, const std::string& of) {
  return bytes(5, bytes(1, name) + bytes(21, of));
}

inline std::string node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& attributes = "",
                        const std::string& domain = "") {
  std::string message;
  for (const auto& name : inputs) message += bytes(1, name);
  for (const auto& name : outputs) message += bytes(2, name);
  return message + bytes(4, op) + attributes + (domain.empty() ? "" : bytes(7, domain));
}

using Size = std::variant<int64_t, std::string>;
inline std::string value_info(const std::string& name, const std::vector<Size>* shape, int type = 1) {
  std::string tensor_type = number(1, type);
  if (shape) {
    std::string sizes;
    for (const Size& size : *shape)
      sizes += bytes(1, size.index() == 0 ? number(1, std::get<0>(size)) : bytes(2, std::get<1>(size)));
    tensor_type += bytes(2, sizes);
  }
  return bytes(1, name) + bytes(2, bytes(1, tensor_type));
}

struct Graph {
  std::string message, functions;

  Graph& node(const std::string& op, const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
              const std::string& attributes = "", const std::string& domain = "") {
    message += bytes(1, onnx_file::node(op, inputs, outputs, attributes, domain));
    return *this;
  }
  template <class T>
  Graph& initializer(const std::string& name, const std::vector<int64_t>& dims, const std::vector<T>& values) {
    message += bytes(5, tensor(name, dims, values));
    return *this;
  }
  Graph& raw_initializer(const std::string& tensor) { return message += bytes(5, tensor), *this; }
  Graph& input(const std::string& name, const std::vector<Size>& shape, int type = 1) {
    message += bytes(11, value_info(name, &shape, type));
    return *this;
  }
  Graph& input(const std::string& name) { return message += bytes(11, value_info(name, nullptr)), *this; }
  Graph& output(const std::string& name, int type = 1) { return message += bytes(12, value_info(name, nullptr, type)), *this; }
  Graph& function(const std::string& domain, const std::string& name, const std::vector<std::string>& inputs,
                  const std::vector<std::string>& outputs, const std::vector<std::string>& nodes) {
    std::string f = bytes(1, name) + bytes(10, domain);
    for (const auto& i : inputs) f += bytes(4, i);
    for (const auto& o : outputs) f += bytes(5, o);
    for (const auto& n : nodes) f += bytes(7, n);
    functions += bytes(25, f);
    return *this;
  }
  std::string model(int64_t opset = 18) const {
    return number(1, 8) + bytes(7, message) + bytes(8, bytes(1, "") + number(2, opset)) + functions;
  }
};

}  // namespace onnx_file
