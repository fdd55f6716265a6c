// Cases in the layout of ONNX's backend tests:
//
//   DIR/test_relu/model.onnx
//                 test_data_set_0/input_0.pb ..  output_0.pb ..
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "teeny/onnx/onnx.h"
#include "teeny/onnx/values.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

namespace fs = std::filesystem;

struct Tolerance {
  double rtol = 1e-3, atol = 1e-7, relative = 0;
};

onnx::Value read_case_tensor(const fs::path& path) {
  data::File file = data::open_to_read(path.string());
  const io::HostBytes bytes = io::map_bytes(file, 0, file.size());
  return onnx::read_tensor(
      onnx::parse_tensor({reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()}));
}

/// Throws where `got` is not what the case wants.
void compare(const Tensor& got, const onnx::Value& want, const std::string& name, const Tolerance& tolerance) {
  const Tensor& wanted = want.tensor;
  if (got.shape() != wanted.shape()) fail(name, " has the shape ", got.shape(), ", not ", wanted.shape());
  if (got.dtype() != wanted.dtype()) fail(name, " is ", got.dtype(), ", not ", wanted.dtype());
  const std::vector<double> x = got.to_vector<double>(), y = wanted.to_vector<double>();
  double largest = 0;
  for (double v : y)
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  const double atol = tolerance.atol + tolerance.relative * largest;
  const double rtol = want.type == onnx::Type::BFloat16 ? std::max(tolerance.rtol, std::ldexp(1, -6)) : tolerance.rtol;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    if (!(std::abs(x[i] - y[i]) <= atol + rtol * std::abs(y[i])))
      fail(name, " has ", x[i], " as its element ", i, ", not ", y[i], " (the largest is ", largest, ")");
  }
}

/// Runs the model on each data set of the case; three times, if `jit`, so that the last one is a replay.
void run_case(const fs::path& directory, const Tolerance& tolerance, bool jit) {
  onnx::Model model((directory / "model.onnx").string(), {.jit = jit});
  bool any = false;
  for (int set = 0;; ++set) {
    const fs::path data = directory / ("test_data_set_" + std::to_string(set));
    if (!fs::exists(data)) break;
    std::vector<Tensor> inputs;
    for (size_t k = 0; k < model.inputs().size(); ++k) {
      const fs::path file = data / ("input_" + std::to_string(k) + ".pb");
      inputs.push_back(fs::exists(file) ? read_case_tensor(file).tensor : Tensor());
    }
    for (int call = 0; call < (jit ? 3 : 1); ++call) {
      NoGrad guard;
      const std::vector<Tensor> outputs = model(inputs);
      for (size_t k = 0; k < outputs.size(); ++k) {
        const fs::path file = data / ("output_" + std::to_string(k) + ".pb");
        if (!fs::exists(file)) continue;
        compare(outputs[k], read_case_tensor(file), '"' + model.outputs()[k].name + '"', tolerance);
        any = true;
      }
    }
  }
  if (!any) onnx::unsupported("the case has no plain tensors");
}

std::string op_of(const fs::path& directory) try {
  data::File file = data::open_to_read((directory / "model.onnx").string());
  const io::HostBytes bytes = io::map_bytes(file, 0, file.size());
  const onnx::ModelProto model =
      onnx::parse_model({reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size()});
  return model.graph.nodes.size() == 1 ? model.graph.nodes[0].op : "several";
} catch (const Error&) { return "?"; }

int onnx_test(const std::string& directory, const std::string& only, const Tolerance& tolerance, bool jit) {
  std::vector<fs::path> cases;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (fs::exists(entry.path() / "model.onnx") && entry.path().filename().string().find(only) != std::string::npos)
      cases.push_back(entry.path());
  if (error) fail(directory, ": ", error.message());
  if (cases.empty()) fail(directory, ": no folder in it has a model.onnx");
  std::ranges::sort(cases);
  int passed = 0, failed = 0, unsupported = 0;
  for (const fs::path& path : cases) {
    const std::string name = path.filename().string(), op = op_of(path);
    const auto say = [&](const char* result, std::string why) {
      std::ranges::replace(why, '\n', ' ');
      std::printf("%s %s %s%s%s\n", result, name.c_str(), op.c_str(), why.empty() ? "" : ": ", why.c_str());
    };
    try {
      run_case(path, tolerance, jit);
      say("passed", ""), ++passed;
    } catch (const onnx::Unsupported& e) {
      say("unsupported", e.what()), ++unsupported;
    } catch (const std::exception& e) {
      say("failed", e.what()), ++failed;
    }
  }
  std::printf("passed %d failed %d unsupported %d\n", passed, failed, unsupported);
  return failed == 0 ? 0 : 1;
}

}  // namespace

void add_onnx_test(CLI::App& app, Action& action) {
  struct Options {
    std::string directory, only;
    Tolerance tolerance;
    bool jit = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("onnx-test", "run cases in the layout of ONNX's backend tests");
  command->add_option("DIR", options->directory, "a folder with a folder for each case")->required();
  command->add_option("--only", options->only, "cases whose name has this in it");
  command->add_option("--rtol", options->tolerance.rtol, "of an element")->capture_default_str();
  command->add_option("--atol", options->tolerance.atol, "of each element")->capture_default_str();
  command->add_option("--relative", options->tolerance.relative, "of the largest element, added to --atol")
      ->capture_default_str();
  command->add_flag("--jit", options->jit, "run each data set three times: the third run is a replay");
  command->final_callback([&action, options] {
    action = [options] { return onnx_test(options->directory, options->only, options->tolerance, options->jit); };
  });
}

}  // namespace teeny::tool
