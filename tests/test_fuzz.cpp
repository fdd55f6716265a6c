// Random graphs, run twice: fused on this binary's device, and node by node on the reference. Integers must agree to
// the bit; fractions within a bound that adds up the roundings of all steps.
//
// FUZZ=n runs n programs, FUZZ_SEED=n one of them, or n from there.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "random_graph.h"
#include "teeny/schedule/schedule.h"
#include "tinyops/base/environment.h"

using namespace teeny;
using random_graph::Precision;
using random_graph::Program;
using random_graph::Result;

namespace {

/// While it lives, kernels are not fused and run on the reference.
struct Reference : ExecutionScope {
  Reference() : ExecutionScope({.fuse = false, .run = tinyops::reference::check}) {}
};

/// The device, after a check that no kernel is larger than kernel.h allows.
void run_within_limits(const tinyops::Kernel& kernel) {
  const auto* k = std::get_if<tinyops::RowKernel>(&kernel);
  if (const auto* contraction = std::get_if<tinyops::ContractKernel>(&kernel)) k = &contraction->epilogue;
  if (k && (int(k->inputs.size()) > tinyops::kMaxInputs || int(k->program.size()) > tinyops::kMaxInstructions ||
            int(k->outputs.size()) > tinyops::kMaxOutputs))
    fail("a kernel of ", k->inputs.size(), " inputs, ", k->program.size(), " instructions and ", k->outputs.size(),
         " outputs is more than a backend takes");
  tinyops::run(kernel);
}
struct Fused : ExecutionScope {
  Fused() : ExecutionScope({.fuse = true, .run = run_within_limits}) {}
};

/// All elements as they are stored.
struct Elements {
  std::string name;
  DType dtype;
  std::vector<std::byte> bytes, errors;

  explicit Elements(const Result& result)
      : name(result.name), dtype(result.value.dtype()), bytes(result.value.to_bytes()) {
    if (result.error.defined()) errors = result.error.to_bytes();
  }
  template <class T>
  T at(size_t i) const {
    T value;
    std::memcpy(&value, &bytes[i * sizeof(T)], sizeof(T));
    return value;
  }
  double error(size_t i) const {
    double value;
    std::memcpy(&value, &errors[i * sizeof(double)], sizeof(double));
    return value;
  }
};

std::vector<Elements> elements_of(const Program& program, Precision precision) {
  std::vector<Elements> elements;
  for (const Result& result : random_graph::run(program, precision)) elements.emplace_back(result);
  return elements;
}

/// Where two results differ; nothing where they agree.
std::string difference(const Elements& got, const Elements& expected) {
  return with_type(got.dtype, [&]<class T>(T) -> std::string {
    for (size_t i = 0; i < got.bytes.size() / sizeof(T); ++i) {
      const T g = got.at<T>(i);
      if (expected.errors.empty()) {
        const T e = expected.at<T>(i);
        if (!(g == e) && !(g != g && e != e)) return text("element ", i, ": got ", +g, ", expected ", +e);
      } else {
        const double e = expected.at<double>(i), allowed = expected.error(i);
        if (!(std::abs(double(g) - e) <= allowed))
          return text("element ", i, ": got ", double(g), ", expected ", e, ", allowed ", allowed);
      }
    }
    return "";
  });
}

std::string disagreement(const Program& program) {
  const std::vector<Elements> got = [&] {
    const Fused device;
    return elements_of(program, Precision::AsWritten);
  }();
  const Reference reference;
  const std::vector<Elements> expected = elements_of(program, Precision::Exact);
  for (size_t i = 0; i < got.size(); ++i)
    if (const std::string said = difference(got[i], expected[i]); !said.empty())
      return text(got[i].name, ' ', got[i].dtype, ", ", said);
  return "";
}

void check(uint64_t seed) {
  const Program program = random_graph::make(seed, 4 + int(seed % 36));
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
  using tinyops::environment::whole_number;
  const uint64_t only = whole_number("FUZZ_SEED", UINT64_MAX), first = only == UINT64_MAX ? 0 : only;
  const uint64_t programs = whole_number("FUZZ", only == UINT64_MAX ? 400 : 1);
  for (uint64_t seed = first; seed < first + programs; ++seed) check(seed);
}

TEST_CASE("fuzz: shrinking finds the step that matters") {
  // A planted fault: programs "fail" when they contain an unfold. What is left is it and its leaf.
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Program program = random_graph::make(seed, 20);
    auto fails = [](const Program& p) { return p.steps.back().op == "unfold"; };
    Program cut = program;
    while (!cut.steps.empty() && cut.steps.back().op != "unfold") cut.steps.pop_back();
    if (cut.steps.empty()) continue;
    cut.outputs = {int(cut.steps.size()) - 1};
    CHECK(random_graph::shrink(cut, fails).steps.size() == 2);
  }
}
