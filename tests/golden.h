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

}  // namespace teeny::test
