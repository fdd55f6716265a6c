// Small networks from both of PyTorch's exporters (tests/interop/export_models.py --small), with onnxruntime's outputs
// for two shapes or sets of values, eager and replayed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "teeny/jit/run_program.h"
#include "teeny/onnx/values.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"
#include "tests/mutate.h"

using namespace teeny;
namespace fs = std::filesystem;

namespace {

Tensor read_pb(const fs::path& path) {
  data::File file = data::open_to_read(path.string());
  const io::HostBytes bytes = io::map_bytes(file, 0, file.size());
  return onnx::read_tensor(onnx::parse_tensor({reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()}))
      .tensor;
}

/// How far `got` is from `want`, in parts of what is allowed: 1e-4 of the largest element and 1e-5.
double distance(const Tensor& got, const Tensor& want) {
  if (got.shape() != want.shape() || got.dtype() != want.dtype()) return INFINITY;
  const std::vector<double> x = got.to_vector<double>(), y = want.to_vector<double>();
  double largest = 0, worst = 0;
  for (double v : y) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    if (!std::isfinite(x[i] - y[i])) return INFINITY;
    worst = std::max(worst, std::abs(x[i] - y[i]));
  }
  return worst / (1e-4 * largest + 1e-5);
}

}  // namespace

TEST_CASE("onnx: a damaged exported network is an Error or another network, never anything else") {
  const TemporaryDirectory directory;
  int64_t ran = 0, refused = 0;
  for (const auto& entry : fs::directory_iterator("tests/golden/onnx")) {
    if (!entry.is_directory()) continue;
    CAPTURE(entry.path().filename().string());
    std::vector<Tensor> inputs;
    for (int k = 0; fs::exists(entry.path() / text("test_data_set_0/input_", k, ".pb")); ++k)
      inputs.push_back(read_pb(entry.path() / text("test_data_set_0/input_", k, ".pb")));
    NoGrad guard;
    test::attempt_changes(contents((entry.path() / "model.onnx").string()), 1 + test::mutations() / 20,
                          [&](const std::string& bytes) {
                            try {
                              onnx::Model net(directory.write("net.onnx", bytes), {.max_bytes = 1 << 24, .jit = false});
                              for (const Tensor& y : net(inputs)) y.to_vector<double>();
                              ++ran;
                            } catch (const Error&) { ++refused; }
                          });
  }
  MESSAGE(refused, " files are refused, ", ran, " run");
  CHECK(refused > 0);
  CHECK(ran > 0);
}

TEST_CASE("onnx: exported networks give what onnxruntime gives, eager and replayed") {
  int networks = 0, replayed = 0;
  for (const auto& entry : fs::directory_iterator("tests/golden/onnx")) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    ++networks;
    for (const bool jit : {false, true}) {
      onnx::Model net((entry.path() / "model.onnx").string(), {.jit = jit});
      for (int set = 0; fs::exists(entry.path() / ("test_data_set_" + std::to_string(set))); ++set) {
        const fs::path data = entry.path() / ("test_data_set_" + std::to_string(set));
        std::vector<Tensor> inputs;
        for (size_t k = 0; k < net.inputs().size(); ++k) {
          const fs::path file = data / ("input_" + std::to_string(k) + ".pb");
          inputs.push_back(fs::exists(file) ? read_pb(file) : Tensor());
        }
        NoGrad guard;
        for (int call = 0; call < (jit ? 3 : 1); ++call) {
          const std::vector<Tensor> outputs = net(inputs);
          for (size_t k = 0; k < outputs.size(); ++k)
            CHECK(distance(outputs[k], read_pb(data / ("output_" + std::to_string(k) + ".pb"))) <= 1);
        }
      }
      if (!jit) continue;
      const bool looks = net.why().find(" looks at the values of ") != std::string::npos;
      CHECK((net.replays() > 0) != looks);
      replayed += net.replays() > 0;
    }
  }
  CHECK(networks >= 30);
  CHECK(replayed >= 25);
}

TEST_CASE("onnx: exported networks as program files give the bits of their replays") {
  const TemporaryDirectory directory;
  int saved = 0;
  for (const auto& entry : fs::directory_iterator("tests/golden/onnx")) {
    if (!entry.is_directory()) continue;
    CAPTURE(entry.path().filename().string());
    onnx::Model net((entry.path() / "model.onnx").string());
    NoGrad guard;
    std::vector<std::vector<Tensor>> sets;
    for (int set = 0; fs::exists(entry.path() / text("test_data_set_", set)); ++set) {
      std::vector<Tensor>& inputs = sets.emplace_back();
      for (size_t k = 0; k < net.inputs().size(); ++k) {
        const fs::path file = entry.path() / text("test_data_set_", set) / text("input_", k, ".pb");
        inputs.push_back(fs::exists(file) ? read_pb(file) : Tensor());
      }
    }
    try {
      for (const std::vector<Tensor>& inputs : sets) net.record(inputs);
    } catch (const onnx::Unsupported&) { continue; }  // a node looks at values
    net.save_program(directory / "net.teeny");
    Program program = Program::load(directory / "net.teeny");
    for (std::vector<Tensor>& inputs : sets) {
      for (int call = 0; call < 2; ++call) net(inputs);
      const std::vector<Tensor> wanted = net(inputs);
      std::erase_if(inputs, [](const Tensor& x) { return !x.defined(); });
      const std::vector<Tensor> got = run(program, inputs);
      REQUIRE(got.size() == wanted.size());
      for (size_t k = 0; k < got.size(); ++k) CHECK_MESSAGE(got[k].to_bytes() == wanted[k].to_bytes(), "output ", k);
    }
    ++saved;
  }
  CHECK(saved >= 20);
}
