// How long a network takes.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <span>

#include "teeny/debug/trace.h"
#include "teeny/graph/context.h"
#include "teeny/tool/files.h"
#include "teeny/tool/network.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"
#include "tinyops/device.h"

namespace teeny::tool {

namespace {

struct Options {
  std::string model;
  std::vector<std::string> shapes, data, ranges;
  double seconds = 2;
  int warmup = 3;
  int64_t seed = 0;
  bool json = false;
};

double milliseconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

/// One run to its end: a device may still work when a call returns.
double run_once(Network& model, std::span<const Tensor> inputs) {
  return milliseconds_of([&] {
    realize(std::span<const Tensor>(model(inputs)));
    tinyops::synchronize();
  });
}

/// What a run's kernels are; of an ONNX file counted in a run in which each of them is looked at.
debug::Counters count_work(Network& model, std::span<const Tensor> inputs) {
  if (!model.calls().empty()) return model.work(inputs);
  thread_local debug::Counters counters;
  counters = {};
  const ExecutionScope counting({.run = [](const tinyops::Kernel& kernel) {
    counters += debug::work(kernel);
    tinyops::run(kernel);
  }});
  run_once(model, inputs);
  return counters;
}

/// The smallest that is not exceeded by `share` of the sorted times.
double percentile(const std::vector<double>& sorted, double share) {
  return sorted[std::min(sorted.size() - 1, size_t(std::max(0.0, std::ceil(share * double(sorted.size())) - 1)))];
}

Json measure(Network& model, const std::vector<Tensor>& inputs, const Options& options, Progress& progress) {
  tinyops::reset_peak();
  Json result;
  result["first_ms"] = run_once(model, inputs);
  for (int k = 0; k < options.warmup; ++k) {
    progress.show(text("run ", k + 2, " of ", options.warmup + 1, " to warm up"));
    run_once(model, inputs);
  }
  const debug::Counters work = count_work(model, inputs);
  const int64_t replays = model.replays(), kernels = context.kernels;
  std::vector<double> times;
  double sum = 0;
  while (sum < options.seconds * 1e3 || times.size() < 3) {
    times.push_back(run_once(model, inputs));
    sum += times.back();
    progress.show(text("run ", times.size(), ", ", decimal(sum / 1e3, 1), " of ", options.seconds, " s"));
  }
  std::ranges::sort(times);
  const double median = (percentile(times, 0.5) + times[times.size() / 2]) / 2, runs = double(times.size());
  result["median_ms"] = median;
  result["p90_ms"] = percentile(times, 0.9);
  result["p99_ms"] = percentile(times, 0.99);
  result["minimum_ms"] = times[0];
  result["runs_per_s"] = runs / sum * 1e3;
  result["runs"] = times.size();
  result["kernels"] = model.calls().empty() ? (context.kernels - kernels) / int64_t(times.size()) : work.kernels;
  result["peak_mb"] = double(tinyops::memory_use().peak) / 1e6;
  result["gflop"] = double(work.flops) / 1e9;
  result["gflops"] = double(work.flops) / median / 1e6;
  result["replayed"] = model.replays() - replays == int64_t(times.size());
  result["why"] = result["replayed"] ? "" : model.why();
  return result;
}

std::vector<Tensor> inputs_in(const std::string& folder, const onnx::Graph& graph) {
  std::vector<Tensor> inputs;
  bool any = false;
  for (size_t k = 0; k < graph.inputs.size(); ++k) {
    const std::string file = text(folder, "/input_", k, ".pb");
    inputs.push_back(std::filesystem::exists(file) ? load_pb(file).tensor : Tensor());
    any = any || inputs.back().defined();
  }
  if (!any && !graph.inputs.empty()) fail(folder, ": there is no input_0.pb");
  return inputs;
}

void print_for_people(const Json& r) {
  const auto line = [](const char* what, const std::string& value) {
    std::printf("  %-10s %s\n", what, wrapped(value, 13, terminal_width()).c_str());
  };
  const auto ms = [&](const char* key) { return decimal(r[key]) + " ms"; };
  line("first run", ms("first_ms"));
  line("median", ms("median_ms") + text("  of ", r["runs"], " runs"));
  line("90 %", ms("p90_ms"));
  line("99 %", ms("p99_ms"));
  line("minimum", ms("minimum_ms"));
  line("runs/s", decimal(r["runs_per_s"], 1));
  line("kernels", text(r["kernels"], " a run", r["replayed"] ? ", replayed" : ""));
  line("work", decimal(r["gflop"]) + " GFLOP, " + decimal(r["gflops"], 1) + " GFLOP/s");
  line("memory", decimal(r["peak_mb"], 1) + " MB at most, without weights that stay in the file");
  if (const std::string why = r["why"]; !why.empty())
    std::printf("  %s\n", wrapped(printable("not replayed: " + why), 2, terminal_width()).c_str());
}

int bench(const Options& options) {
  std::vector<Shapes> combined = combinations(options.shapes);
  const Ranges ranges = ranges_from(options.ranges);
  if (!options.data.empty() && !options.shapes.empty())
    throw WrongUsage("--data has its own shapes; leave out --shape");
  const NoGrad guard;
  std::optional<Network> model;
  const double load_ms = milliseconds_of([&] { model.emplace(options.model); });
  if (options.shapes.empty() && !model->calls().empty()) combined = model->calls();
  const size_t runs = options.data.empty() ? combined.size() : options.data.size();
  const auto inputs_of = [&](size_t k) {
    Tensor::manual_seed(uint64_t(options.seed));
    return options.data.empty() ? random_inputs(model->graph(), combined[k], ranges)
                                : inputs_in(options.data[k], model->graph());
  };
  for (size_t k = 0; k < runs; ++k)
    model->check(inputs_of(k));  // all that is wrong with them is said before anything is measured
  if (!options.json)
    std::printf("%s\n  %-10s %s ms\n",
                wrapped(printable(options.model) + " on " + tinyops::device_name(), 0, terminal_width()).c_str(),
                "load", decimal(load_ms).c_str());
  Progress progress;
  for (size_t k = 0; k < runs; ++k) {
    const std::vector<Tensor> inputs = inputs_of(k);
    Json shapes = Json::object();
    std::string title;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].defined()) continue;
      const Shape& shape = inputs[i].shape();
      const std::string& name = model->graph().inputs[i].name;
      shapes[name] = std::vector(shape.begin(), shape.end());
      title += text(title.empty() ? "" : ", ", name, ' ', shape);
      inputs[i].realize();
    }
    Json result{{"model", options.model}, {"shapes", shapes}, {"load_ms", load_ms}};
    result.update(measure(*model, inputs, options, progress));
    progress.clear();
    if (options.json) print(result, -1);
    else std::printf("\n%s\n", wrapped(printable(title), 0, terminal_width()).c_str()), print_for_people(result);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "bench", "how long a network takes",
      "A --shape for each input whose shape the file leaves open; NAME may also be the name of an open axis. An "
      "input that is named again begins the next combination of shapes, in which the others keep theirs. A program "
      "file needs none: all of its calls are measured.\n\n"
      "  teeny bench net.onnx --shape x=1x3x224x224 --shape x=8x3x224x224\n"
      "  teeny bench bert.onnx --shape ids=1x128,mask=1x128 --shape ids=8x128,mask=8x128\n"
      "  teeny bench bert.onnx --shape batch=1 --shape batch=8\n"
      "  teeny bench net.teeny\n\n"
      "Inputs are random: floats are standard normal, and integers are 0, unless --range says otherwise. Loading "
      "and the first run, which plans and reads the weights, are shown apart from the times of warm runs. With "
      "--json, each combination is a line: load_ms first_ms median_ms p90_ms p99_ms minimum_ms runs_per_s kernels "
      "peak_mb gflops and more. On a machine that others use, compare minima.",
      bench);
  command->add_option("MODEL", options->model, "a .onnx or .teeny file")->required();
  command->add_option("--shape", options->shapes, "of an input")->type_name("NAME=SIZES")->allow_extra_args(false);
  command->add_option("--data", options->data, "a folder with input_0.pb, input_1.pb, ..")
      ->type_name("DIR")
      ->allow_extra_args(false);
  command->add_option("--range", options->ranges, "of random values")
      ->type_name("[NAME=]LOW:HIGH")
      ->allow_extra_args(false);
  command->add_option("--seconds", options->seconds, "how long to measure, for each combination")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->check(at_least(0));
  command->add_option("--warmup", options->warmup, "runs after the first that are not measured")
      ->type_name("COUNT")
      ->capture_default_str()
      ->check(at_least(0));
  command->add_option("--seed", options->seed, "of the random values")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->check(at_least(0));
}

}  // namespace teeny::tool
