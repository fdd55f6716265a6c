#pragma once
// The teeny side of the golden cases: what PyTorch's expressions of golden/cases.py are called here, one line each.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/check.h"

namespace teeny::test {

/// The tensors of golden/<section>.safetensors.gz.
std::map<std::string, Tensor> load_golden(const std::string& section);
/// What generate.py starts gradients with: 1, 2, 3, 4, 5, 1, 2, ... / 4 in the shape of `out`.
Tensor golden_weights(const Tensor& out);

struct GoldenLine {
  std::string_view name;
  Expression run;
};

// A section of cases.py each.
std::vector<GoldenLine> golden_creation();
std::vector<GoldenLine> golden_unary();
std::vector<GoldenLine> golden_binary();
std::vector<GoldenLine> golden_movement();
std::vector<GoldenLine> golden_indexing();
std::vector<GoldenLine> golden_reductions();
std::vector<GoldenLine> golden_products();
std::vector<GoldenLine> golden_windows();
std::vector<GoldenLine> golden_training();
std::vector<GoldenLine> golden_scan_sort();
std::vector<GoldenLine> golden_setitem();
std::vector<GoldenLine> golden_pytorch_calls();
std::vector<GoldenLine> golden_functions();
/// All of them, by the section's name.
const std::map<std::string, std::vector<GoldenLine> (*)()>& golden_sections();

/// Calls `f` with the name, the line and the inputs of each case of these sections; inputs that it has not are
/// undefined.
template <class F>
void for_each_golden(F&& f) {
  for (const auto& [section, lines] : golden_sections()) {
    const std::map<std::string, Tensor> file = load_golden(section);
    std::map<std::string, Expression> by_name;
    for (const GoldenLine& line : lines()) by_name.emplace(line.name, line.run);
    for (const auto& [key, tensor] : file) {
      if (!key.ends_with(".out")) continue;
      const std::string name = key.substr(0, key.size() - 4);
      std::vector<Tensor> inputs;
      for (const char* letter : {".x", ".y", ".z", ".w"})
        inputs.push_back(file.contains(name + letter) ? file.at(name + letter) : Tensor());
      f(section + "/" + name, by_name.at(name.substr(0, name.find('/'))), inputs);
    }
  }
}

}  // namespace teeny::test
