#pragma once
// ONNX models of a single node, made and run in one line.
#include <doctest/doctest.h>

#include "teeny/teeny.h"
#include "tests/check.h"
#include "tests/onnx_file.h"
#include "tests/temporary_directory.h"

namespace onnx_single {

using namespace teeny;
using Ints = std::vector<int64_t>;

constexpr int kFloat = 1, kUInt8 = 2, kInt8 = 3, kInt64 = 7, kBool = 9, kUInt64 = 13;

/// An input of an operation: given in the call, or in the file.
struct Input {
  Tensor x;
  int type = kFloat;
  bool in_file = false;
};
inline Input in_file(Tensor x, int type = kFloat) { return {std::move(x), type, true}; }

/// The model of a single node with inputs "0", "1" .. and outputs "y0" ..; an undefined input is left out.
struct Single {
  TemporaryDirectory directory;
  onnx::Model model;
  std::vector<Tensor> given;

  Single(const std::string& op, const std::vector<Input>& inputs, const std::string& attributes = "",
         int64_t opset = 18, int outputs = 1)
      : model(directory.write("net.onnx", file(op, inputs, attributes, outputs).model(opset))) {
    for (const Input& input : inputs)
      if (input.x.defined() && !input.in_file) given.push_back(input.x);
  }
  std::vector<Tensor> operator()() { return model(given); }

  static onnx_file::Graph file(const std::string& op, const std::vector<Input>& inputs, const std::string& attributes,
                               int outputs) {
    using onnx_file::bytes, onnx_file::number;
    onnx_file::Graph graph;
    std::vector<std::string> names, results;
    for (size_t k = 0; k < inputs.size(); ++k) {
      const Input& input = inputs[k];
      names.push_back(input.x.defined() ? std::to_string(k) : "");
      if (!input.x.defined()) continue;
      if (!input.in_file) {
        graph.input(names[k], {input.x.shape().begin(), input.x.shape().end()}, input.type);
        continue;
      }
      std::string tensor;
      for (int64_t d : input.x.shape()) tensor += number(1, d);
      const std::vector<std::byte> memory = input.x.to_bytes();
      const std::string raw(reinterpret_cast<const char*>(memory.data()), memory.size());
      graph.raw_initializer(tensor + number(2, input.type) + bytes(8, names[k]) + bytes(9, raw));
    }
    for (int k = 0; k < outputs; ++k) results.push_back("y" + std::to_string(k)), graph.output(results.back());
    return graph.node(op, names, results, attributes);
  }
};

/// The first result; also that of two more calls, of which the last is a replay, must be this.
inline Tensor run(const std::string& op, const std::vector<Input>& inputs, const std::string& attributes = "",
                  int64_t opset = 18) {
  NoGrad guard;
  Single single(op, inputs, attributes, opset);
  const Tensor y = single()[0];
  for (int call = 0; call < 2; ++call) CHECK(test::difference(single()[0], y) == "");
  return y;
}

inline std::string error(const std::string& op, const std::vector<Input>& inputs, const std::string& attributes = "",
                         int64_t opset = 18) {
  return error_of([&] {
    Single single(op, inputs, attributes, opset);
    single()[0].to_vector();
  });
}
inline bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

inline Tensor ints(const Ints& values) { return Tensor::from(values); }

}  // namespace onnx_single
