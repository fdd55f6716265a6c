// Random graphs, run twice: fused on this binary's device, and node by node on the reference. Whole numbers must agree
// to the bit; fractions within a bound that follows the magnitude of the terms.
//
// FUZZ=n runs n programs, FUZZ_SEED=n one of them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "random_graph.h"
#include "teeny/schedule.h"

using namespace teeny;
using random_graph::Kind;
using random_graph::Program;

namespace {

/// While it lives, kernels are not fused and run on the reference.
class Judge {
 public:
  Judge() { execution() = {false, tinyops::reference::run}; }
  ~Judge() { execution() = {}; }
};

std::string disagreement(const Program& program) {
  const bool smooth = program.kind == Kind::Smooth;
  const DType dtype = program.kind == Kind::Wrapping ? DType::Int32 : DType::Float32;
  const std::vector<double> got = random_graph::run(program, dtype).value.to_vector<double>();
  std::vector<double> expected, scale;
  {
    const Judge judge;
    const random_graph::Result result = random_graph::run(program, smooth ? DType::Float64 : dtype);
    expected = result.value.to_vector<double>();
    if (smooth) scale = result.scale.to_vector<double>();
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const double allowed = smooth ? 8 * 0x1p-24 * scale[i] + 1e-30 : 0;
    if (!(std::abs(got[i] - expected[i]) <= allowed))
      return text("element ", i, ": got ", got[i], ", expected ", expected[i], ", allowed ", allowed);
  }
  return "";
}

uint64_t number_from(const char* variable, uint64_t otherwise) {
  return std::getenv(variable) ? std::strtoull(std::getenv(variable), nullptr, 10) : otherwise;
}

void check(uint64_t seed) {
  const Program program = random_graph::make(seed, 4 + int(seed % 24));
  std::string said;
  auto fails = [&](const Program& p) {
    try {
      said = disagreement(p);
    } catch (const std::exception& e) {
      said = text("threw: ", e.what());
    }
    return !said.empty();
  };
  if (!fails(program)) return;
  const Program small = random_graph::shrink(program, fails);
  fails(small);
  FAIL_CHECK(random_graph::print(small), said);
}

}  // namespace

TEST_CASE("fuzz: random graphs agree with the reference") {
  if (std::getenv("FUZZ_SEED")) return check(number_from("FUZZ_SEED", 0));
  const uint64_t programs = number_from("FUZZ", 400);
  for (uint64_t seed = 0; seed < programs; ++seed) check(seed);
}

TEST_CASE("fuzz: shrinking finds the step that matters") {
  // A planted fault: programs "fail" when they contain an unfold. What is left is it and its leaf.
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Program program = random_graph::make(seed, 20);
    auto fails = [](const Program& p) { return p.steps.back().op == "unfold"; };
    Program cut = program;
    while (!cut.steps.empty() && cut.steps.back().op != "unfold") cut.steps.pop_back();
    if (cut.steps.empty()) continue;
    CHECK(random_graph::shrink(cut, fails).steps.size() == 2);
  }
}
