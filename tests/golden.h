#pragma once
// The teeny side of the golden cases: what PyTorch's expressions of golden/cases.py are called here, one line each.
#include <string_view>
#include <vector>

#include "tests/check.h"

namespace teeny::test {

struct GoldenLine {
  std::string_view name;
  Expression run;
};

// A section of cases.py each.
std::vector<GoldenLine> golden_creation();
std::vector<GoldenLine> golden_unary();
std::vector<GoldenLine> golden_binary();
std::vector<GoldenLine> golden_movement();
std::vector<GoldenLine> golden_reductions();
std::vector<GoldenLine> golden_products();
std::vector<GoldenLine> golden_windows();
std::vector<GoldenLine> golden_training();
std::vector<GoldenLine> golden_ordering();
std::vector<GoldenLine> golden_writing();

}  // namespace teeny::test
