// In what two files differ: their tensors, and their networks.
#include <algorithm>
#include <cmath>
#include <limits>

#include "teeny/tool/diff_networks.h"
#include "teeny/tool/files.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

struct Options {
  std::string a, b;
  double atol = 0, rtol = 0;
  bool values = false, json = false;
};

/// The largest |a - b|, and whether each is within the tolerance; NaN equals NaN. A number beside a NaN, or an infinity
/// beside another number, is infinitely far from it.
std::pair<double, bool> compare(const Tensor& a, const Tensor& b, const Options& options) {
  double largest = 0;
  bool close = true;
  const auto note = [&](double difference, double size) {
    largest = std::max(largest, difference);
    close = close && difference <= options.atol + options.rtol * size;
  };
  if (!is_float(a.dtype()) && !is_float(b.dtype())) {  // a double cannot hold all int64
    const std::vector<int64_t> x = a.to_vector<int64_t>(), y = b.to_vector<int64_t>();
    for (size_t i = 0; i < x.size(); ++i)
      if (x[i] != y[i])
        note(double(uint64_t(std::max(x[i], y[i])) - uint64_t(std::min(x[i], y[i]))), std::abs(double(y[i])));
    return {largest, close};
  }
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    const double difference = std::abs(x[i] - y[i]);
    if (std::isfinite(difference)) note(difference, std::abs(y[i]));
    else note(std::numeric_limits<double>::infinity(), 0), close = false;
  }
  return {largest, close};
}

int diff(const Options& options) {
  nn::StateDict a = load_tensors(options.a);
  const nn::StateDict b = load_tensors(options.b);
  const bool have_networks = are_networks(options.a, options.b);
  const std::vector<Difference> network = differences(options.a, options.b);
  if (a.empty() && b.empty() && !have_networks) fail(options.a, " and ", options.b, ": neither has a tensor");
  // The tensor of a .npy file has no name of its own.
  if (summary(options.a).format == "npy" && summary(options.b).format == "npy") a[0].first = b[0].first;
  std::map<std::string, Tensor> left(a.begin(), a.end());
  Json missing = Json::array(), added = Json::array(), changed = Json::array();
  int64_t equal = 0;
  Progress progress;
  Table table{{{"tensor"}, {""}, {"largest difference", true}}};
  for (const auto& [name, y] : b) {
    const auto found = left.find(name);
    if (found == left.end()) {
      added.push_back(name), table.rows.push_back({printable(name), "added", ""});
      continue;
    }
    const Tensor x = found->second;
    left.erase(found);
    progress.show(name);
    std::string how;
    if (x.dtype() != y.dtype() && !options.values) how = text(x.dtype(), " became ", y.dtype());
    std::optional<double> largest;
    if (x.shape() != y.shape()) {
      how = text(x.shape(), " became ", y.shape());
    } else {
      const auto [difference, close] = compare(x, y, options);
      if (how.empty() && close) {
        ++equal;
        continue;
      }
      largest = difference;
      if (how.empty()) how = "changed";
    }
    char shown[32] = "";
    if (largest) std::snprintf(shown, sizeof shown, "%.3g", *largest);
    table.rows.push_back({printable(name), how, shown});
    changed.push_back({{"name", name}, {"how", how}, {"largest_difference", largest ? number(*largest) : Json()}});
  }
  progress.clear();
  for (const auto& [name, x] : a)
    if (left.contains(name)) missing.push_back(name), table.rows.push_back({printable(name), "missing", ""});
  const bool same = table.rows.empty() && network.empty();
  if (options.json) {
    Json json{{"a", options.a},     {"b", options.b}, {"equal", equal},
              {"missing", missing}, {"added", added}, {"changed", changed}};
    if (have_networks) json["network"] = Json::array();
    for (const auto& [name, how] : network) json["network"].push_back({{"name", name}, {"how", how}});
    print(json);
  } else {
    for (const auto& [name, how] : network)
      std::printf("%s\n", wrapped(printable(name + ": " + how), 2, terminal_width()).c_str());
    if (have_networks)
      std::printf("network: %s\n%s", network.empty() ? "equal" : counted(int64_t(network.size()), "difference").c_str(),
                  table.rows.empty() ? "" : "\n");
    table.print();
    const std::string sums = text(have_networks ? "tensors: " : "", grouped(equal), " equal, ", changed.size(),
                                  " changed, ", missing.size(), " missing, ", added.size(), " added");
    std::printf("%s\n", wrapped(sums, 0, terminal_width()).c_str());
  }
  return same ? 0 : 1;
}

}  // namespace

void add_diff(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "diff", "in what two files differ",
      "Compares names, dtypes, shapes and values of the tensors, whatever the formats of the two files. Of two ONNX "
      "files it compares the nodes, too: what they do and what they read, however values between them are named; of "
      "two "
      "program files the calls, with the first kernel that differs. The exit status is 1 where the files differ. NaN "
      "equals NaN.\n\n"
      "  teeny diff before.safetensors after.pt --atol 1e-6\n"
      "  teeny diff weights.pt half.safetensors --values --rtol 1e-3\n"
      "  teeny diff net.onnx exported_again.onnx",
      diff);
  command->add_option("A", options->a, "a file of tensors")->required();
  command->add_option("B", options->b, "another one")->required();
  command->add_option("--atol", options->atol, "how far values may be apart")->type_name("NUMBER")->check(at_least(0));
  command->add_option("--rtol", options->rtol, "and times |b| on top of that")->type_name("NUMBER")->check(at_least(0));
  command->add_flag("--values", options->values, "dtypes may differ");
}

}  // namespace teeny::tool
