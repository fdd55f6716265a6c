// Values and gradients against PyTorch's. golden/cases.py lists the cases, golden/generate.py stored PyTorch's results
// beside it, and test_golden_*.cpp compute the same in teeny. No Python is needed to run this.
#include "tests/golden.h"

#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "teeny/io/safetensors.h"
#include "tests/check.h"
#include "tinyops/base/environment.h"

namespace teeny::test {

using Tensors = std::map<std::string, Tensor>;
static const std::filesystem::path kFolder = std::filesystem::path(__FILE__).parent_path() / "golden";
static const std::string kEnding = ".safetensors.gz";

Tensors load_golden(const std::string& section) {
  gzFile packed = gzopen((kFolder / (section + kEnding)).c_str(), "rb");
  REQUIRE_MESSAGE(packed != nullptr, "cannot open golden/" << section << kEnding);
  const auto plain = std::filesystem::temp_directory_path() / text("teeny-golden-", getpid());
  std::ofstream out(plain, std::ios::binary);
  char block[4096];
  for (int n; (n = gzread(packed, block, sizeof block)) > 0;) out.write(block, n);
  gzclose(packed);
  out.close();
  const auto file = io::load_safetensors(plain);
  std::filesystem::remove(plain);
  return {file.tensors.begin(), file.tensors.end()};
}

Tensor golden_weights(const Tensor& out) {
  std::vector<float> values(out.numel());
  for (size_t i = 0; i < values.size(); ++i) values[i] = float(i % 5 + 1) / 4;
  return Tensor::from(values, out.shape()).cast(out.dtype());
}

const std::map<std::string, std::vector<GoldenLine> (*)()>& golden_sections() {
  static const std::map<std::string, std::vector<GoldenLine> (*)()> sections = {
      {"creation", golden_creation}, {"unary", golden_unary},           {"binary", golden_binary},
      {"movement", golden_movement}, {"reductions", golden_reductions}, {"products", golden_products},
      {"windows", golden_windows},   {"training", golden_training},     {"scan_sort", golden_scan_sort},
      {"setitem", golden_setitem},   {"indexing", golden_indexing},     {"pytorch_calls", golden_pytorch_calls},
      {"functions", golden_functions},
  };
  return sections;
}

namespace {

/// How teeny's value or gradient of one case differs from PyTorch's; empty when they agree.
std::string mistake(const GoldenLine& line, const std::string& name, const Tensors& file) {
  const std::string letters[] = {"x", "y", "z", "w"};
  Tensor inputs[4];
  bool gradients = false;
  for (int i = 0; i < 4; ++i) {
    if (!file.count(name + "." + letters[i])) continue;
    inputs[i] = file.at(name + "." + letters[i]);
    if (file.count(name + ".d" + letters[i])) gradients = true, inputs[i].requires_grad_();
  }
  try {
    const Tensor out = line.run(inputs[0], inputs[1], inputs[2], inputs[3]);
    const std::string wrong = difference(out, file.at(name + ".out"));
    if (!wrong.empty() || !gradients) return wrong;
    (out * golden_weights(out)).sum().backward();
    for (int i = 0; i < 4; ++i) {
      const auto want = file.find(name + ".d" + letters[i]);
      if (want == file.end()) continue;
      const std::string wrong = difference(inputs[i].grad(), want->second);
      if (!wrong.empty()) return "the gradient of " + letters[i] + " " + wrong;
    }
    return "";
  } catch (const std::exception& error) { return text("threw: ", error.what()); }
}

void check(const std::string& section, const std::vector<GoldenLine>& lines) {
  std::map<std::string_view, const GoldenLine*> by_name;
  for (const GoldenLine& line : lines)
    CHECK_MESSAGE(by_name.emplace(line.name, &line).second, "two lines are called " << line.name);
  const Tensors file = load_golden(section);
  std::set<std::string_view> used;
  for (const auto& [key, tensor] : file) {
    if (!key.ends_with(".out")) continue;
    const std::string name = key.substr(0, key.size() - 4);
    const auto line = by_name.find(std::string_view(name).substr(0, name.find('/')));
    CHECK_MESSAGE(line != by_name.end(), name << " has no line in golden_" << section << "()");
    if (line == by_name.end()) continue;
    used.insert(line->first);
    // Unfused, x * ln 2 is stored, in 8 bits, before the exponential of it: 2^30 is too far off.
    if (name == "exp2/special_bfloat16" && !tinyops::environment::fuse()) continue;
    const std::string wrong = mistake(*line->second, name, file);
    CHECK_MESSAGE(wrong.empty(), section << ": " << name << " " << wrong);
  }
  for (const GoldenLine& line : lines)
    CHECK_MESSAGE(used.count(line.name), line.name << " has no case in golden/cases.py");
}

}  // namespace

TEST_CASE("golden: values and gradients are PyTorch's") {
  const std::set<std::string> of_models = {"layers", "networks", "optimizers", "schedules"};  // test_golden_models.cpp
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string file = entry.path().filename();
    if (!file.ends_with(kEnding)) continue;
    const std::string name = file.substr(0, file.size() - kEnding.size());
    CHECK_MESSAGE(golden_sections().count(name) + of_models.count(name) == 1, file << " is not in the table");
  }
  for (const auto& [section, lines] : golden_sections()) {
    SUBCASE(section.c_str()) { check(section, lines()); }
  }
}

}  // namespace teeny::test
