// The figure and two of the listings of notes/21-networks-of-others.md.
#include <iostream>
#include <map>

#include "examples/bpe.cpp"
#include "examples/unicode.cpp"
#include "teeny/onnx/interpreter.h"
#include "teeny/teeny.h"

using namespace teeny;

/// The first nodes of a network, up to `last`: op, known or not, shape, the values of what is known, inputs, outputs.
void first_nodes(const std::string& path, const std::string& last, const Tensor& x) {
  onnx::Model net(path);
  std::map<std::string, Shape> shapes;
  onnx::Program program;
  data::File file = data::open_to_read(path);
  program.file = io::map_bytes(file, 0, file.size());
  program.proto =
      onnx::parse_model({reinterpret_cast<const char*>(program.file.bytes.data()), program.file.bytes.size()});
  onnx::Plan plan;
  onnx::Interpreter interpreter(program, plan);
  interpreter.run({onnx::Value(x)});
  for (const onnx::ValueInfo& info : net.values(std::vector{x}))
    for (const onnx::Size& size : *info.shape) shapes[info.name].push_back(size.value);
  for (const onnx::Node& node : program.proto.graph.nodes) {
    const auto known = plan.known[0].find(&node), constant = program.constants.find(&node);
    const bool is_known = known != plan.known[0].end(), is_constant = constant != program.constants.end();
    std::cout << node.op << '|'
              << (is_constant ? "constant"
                  : is_known  ? "known"
                              : "run")
              << '|' << shapes[node.outputs[0]] << '|';
    if (is_known || is_constant)
      for (int64_t value : (is_known ? known : constant)->second[0].tensor.to_vector<int64_t>())
        std::cout << value << ' ';
    std::cout << '|';
    for (const std::string& name : node.inputs) std::cout << name << ' ';
    std::cout << '|' << node.outputs[0] << '\n';
    if (node.op == last) break;
  }
}

/// As it is, or a byte that is only a part of a letter by its number.
void print(std::string_view token) {
  for (const char byte : token)
    if (uint8_t(byte) < 128) std::cout << byte;
    else std::cout << '<' << std::hex << int(uint8_t(byte)) << std::dec << '>';
}

void tokens(const examples::Bpe& bpe, const char* text) {
  for (std::string_view word : examples::split_words(text)) {
    std::cout << '"' << word << '"' << std::string(12 - word.size(), ' ');
    for (int64_t token : bpe.encode(word)) {
      std::cout << "  " << token << " \"";
      print(bpe.decode(token));
      std::cout << '"';
    }
    std::cout << '\n';
  }
}

int main() {
  std::cout << "== figure known\n";
  first_nodes("tests/golden/onnx/mixer_script/model.onnx", "LayerNormalization", Tensor::ones({2, 3, 16, 16}));
  std::cout << "== tokens\n";
  tokens({"tests/interop/examples/vocab.json", "tests/interop/examples/merges.txt"}, "I know Straße");
}
