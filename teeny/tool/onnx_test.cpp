// Cases in the layout of ONNX's backend tests:
//
//   DIR/test_relu/model.onnx
//                 test_data_set_0/input_0.pb ..  output_0.pb ..
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "teeny/tool/files.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

namespace fs = std::filesystem;

struct Tolerance {
  double rtol = 1e-3, atol = 1e-7, relative = 0;
};

/// The tensor in a file, for an input or output of the type `type`: in old cases bfloat16 is written as uint16.
onnx::Value read_case_tensor(const fs::path& path, onnx::Type type) {
  const onnx::Value value = load_pb(path.string());
  if (type != onnx::Type::BFloat16 || value.type != onnx::Type::UInt16) return value;
  return {(value.tensor << 16).bitcast(DType::Float32).cast(DType::BFloat16), type};
}

/// Whether `x` has the sizes that the model says: a few old cases contradict themselves.
bool has_sizes(const Tensor& x, const onnx::ValueInfo& input) {
  if (!x.defined() || !input.shape) return true;
  return std::ranges::equal(x.shape(), *input.shape,
                            [](int64_t size, const onnx::Size& said) { return said.value < 0 || said.value == size; });
}

/// Whether each run gives other elements: the model has a random operation, and two runs differ.
bool is_random(onnx::Model& model, const std::vector<Tensor>& inputs) {
  const std::set<std::string> random{":Bernoulli",        ":Dropout",       ":Multinomial",      ":RandomNormal",
                                     ":RandomNormalLike", ":RandomUniform", ":RandomUniformLike"};
  const auto ops = onnx::count_ops(model.proto());
  if (std::ranges::none_of(ops, [&](const auto& op) { return random.contains(op.first); })) return false;
  const std::vector<Tensor> first = model(inputs), second = model(inputs);
  for (size_t k = 0; k < first.size(); ++k)
    if (first[k].to_bytes() != second[k].to_bytes()) return true;
  return false;
}

/// Throws where `got` is not what the case wants.
void compare(const Tensor& got, const onnx::Value& want, const std::string& name, const Tolerance& tolerance,
             bool elements) {
  const Tensor& wanted = want.tensor;
  if (got.shape() != wanted.shape()) fail(name, " has the shape ", got.shape(), ", not ", wanted.shape());
  if (got.dtype() != wanted.dtype()) fail(name, " is ", got.dtype(), ", not ", wanted.dtype());
  if (!elements) return;
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
      const onnx::ValueInfo& input = model.inputs()[k];
      inputs.push_back(fs::exists(file) ? read_case_tensor(file, input.type).tensor : Tensor());
      if (!has_sizes(inputs[k], input))
        onnx::unsupported("the case gives ", inputs[k].shape(), " for its input \"", input.name, "\" ", input);
    }
    const bool random = is_random(model, inputs);
    for (int call = 0; call < (jit ? 3 : 1); ++call) {
      NoGrad guard;
      const std::vector<Tensor> outputs = model(inputs);
      for (size_t k = 0; k < outputs.size(); ++k) {
        const fs::path file = data / ("output_" + std::to_string(k) + ".pb");
        if (!fs::exists(file)) continue;
        const onnx::ValueInfo& output = model.outputs()[k];
        compare(outputs[k], read_case_tensor(file, output.type), '"' + output.name + '"', tolerance, !random);
        any = true;
      }
    }
    const bool looks = model.why().find(" looks at the values of ") != std::string::npos;
    if (jit && !looks && !model.why().empty()) fail("the third run is not replayed: ", model.why());
    if (random) onnx::unsupported("its elements are random, and cannot be those of the case; shapes and dtypes are");
  }
  if (!any) onnx::unsupported("the case has no plain tensors");
}

std::string op_of(const fs::path& directory) try {
  const OnnxFile file((directory / "model.onnx").string());
  return file.proto.graph.nodes.size() == 1 ? file.proto.graph.nodes[0].op : "several";
} catch (const Error&) { return "?"; }

struct Options {
  std::string directory, only;
  Tolerance tolerance;
  bool jit = false, json = false;
};

int onnx_test(const Options& options) {
  std::vector<fs::path> cases;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options.directory, error))
    if (fs::exists(entry.path() / "model.onnx") &&
        entry.path().filename().string().find(options.only) != std::string::npos)
      cases.push_back(entry.path());
  if (error) fail(options.directory, ": ", error.message());
  if (cases.empty()) fail(options.directory, ": no folder in it has a model.onnx");
  std::ranges::sort(cases);
  std::map<std::string, int> counts;
  Json all = Json::array();
  Progress progress;
  for (const fs::path& path : cases) {
    const std::string name = path.filename().string(), op = op_of(path);
    progress.show(text(all.size(), " of ", cases.size(), "  ", name));
    std::string result = "passed", why;
    try {
      run_case(path, options.tolerance, options.jit);
    } catch (const onnx::Unsupported& e) { result = "unsupported", why = e.what(); } catch (const std::exception& e) {
      result = "failed", why = e.what();
    }
    ++counts[result];
    all.push_back({{"name", name}, {"op", op}, {"result", result}, {"why", why}});
    if (options.json) continue;
    progress.clear();
    std::printf("%s %s %s%s%s\n", result.c_str(), printable(name).c_str(), printable(op).c_str(),
                why.empty() ? "" : ": ", printable(why).c_str());
  }
  progress.clear();
  const int passed = counts["passed"], failed = counts["failed"], unsupported = counts["unsupported"];
  if (options.json) print({{"cases", all}, {"passed", passed}, {"failed", failed}, {"unsupported", unsupported}});
  else std::printf("passed %d failed %d unsupported %d\n", passed, failed, unsupported);
  return failed == 0 ? 0 : 1;
}

}  // namespace

void add_onnx_test(CLI::App& app, Action& action) {
  const auto [command, options] =
      add_command<Options>(app, action, "onnx-test", "run cases in the layout of ONNX's backend tests",
                           "Each folder in DIR that has a model.onnx is a case; its test_data_set_0, "
                           "test_data_set_1, .. hold the inputs and what the outputs must be. Prints a line for "
                           "each case, `passed NAME OP`, or `failed` or `unsupported` with the reason, and the "
                           "totals. Unsupported is what teeny does not have, and no failure. dtypes and shapes "
                           "must agree, NaN equals NaN, and bfloat16 may be 2^-6 off.\n\n"
                           "  teeny onnx-test /usr/share/libonnx-testdata/data/node\n"
                           "  teeny onnx-test models --rtol 0 --atol 1e-5 --relative 1e-4",
                           onnx_test);
  command->add_option("DIR", options->directory, "a folder with a folder for each case")->required();
  command->add_option("--only", options->only, "cases whose name has this in it")->type_name("TEXT");
  const auto add_number = [&](const char* name, double& value, const char* what) {
    command->add_option(name, value, what)->type_name("NUMBER")->capture_default_str()->check(at_least(0));
  };
  add_number("--rtol", options->tolerance.rtol, "how far an element may be off, times its size");
  add_number("--atol", options->tolerance.atol, "and on top of that");
  add_number("--relative", options->tolerance.relative, "and times the largest element of the output");
  command->add_flag("--jit", options->jit, "run each data set three times: the third run is a replay");
}

}  // namespace teeny::tool
