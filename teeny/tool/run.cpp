// Runs a network, or a call of a program, on inputs from files.
#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>

#include "teeny/graph/context.h"
#include "teeny/tool/files.h"
#include "teeny/tool/network.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string model, out, labels;
  std::vector<std::string> inputs, random, ranges;
  int64_t top = 0, seed = 0;
  bool cast = false, json = false;
};

Tensor single_tensor(const std::string& path) {
  if (path.ends_with(".pb")) return load_pb(path).tensor;
  const nn::StateDict tensors = load_tensors(path);
  if (tensors.size() == 1) return tensors[0].second;
  fail(path, ": has ", tensors.size(), " tensors; without NAME= before it, each is the input of its own name");
}

/// In the graph's order. A single tensor without a name is the first input that has nothing yet.
std::vector<Tensor> read_inputs(const onnx::Graph& graph, const Options& options) {
  const std::vector<onnx::ValueInfo>& infos = graph.inputs;
  const Ranges ranges = ranges_from(options.ranges);
  nn::StateDict given;
  std::vector<Tensor> nameless;
  for (const std::string& argument : options.inputs) {
    std::error_code unknown;
    const size_t equals = fs::exists(argument, unknown) ? argument.npos : argument.find('=');
    if (equals != argument.npos)
      given.emplace_back(argument.substr(0, equals), single_tensor(argument.substr(equals + 1)));
    else if (argument.ends_with(".npy") || argument.ends_with(".pb")) nameless.push_back(single_tensor(argument));
    else
      for (const auto& tensor : load_tensors(argument)) given.push_back(tensor);
  }
  std::set<std::string> named;
  for (const std::string& random : options.random) {
    const size_t equals = random.rfind('=');
    named.insert(random.substr(0, equals));
    const onnx::ValueInfo& info = infos[place_of(random.substr(0, equals), infos)];
    Shapes shapes;
    if (equals != random.npos) shapes[info.name] = shape_from("--random " + random, random.substr(equals + 1));
    given.emplace_back(info.name, random_input(info, shape_of(info, shapes), ranges));
  }
  for (const auto& [name, range] : ranges) {
    if (!name.empty()) place_of(name, infos);
    if (name.empty() ? named.empty() : !named.contains(name))
      throw WrongUsage("--range " + name + (name.empty() ? "" : ": ") + "is for an input that --random names");
  }
  std::set<std::string> taken;
  for (auto& [name, x] : given) {
    const onnx::ValueInfo& info = infos[place_of(name, infos)];
    if (!taken.insert(name).second) throw WrongUsage("the input \"" + name + "\" is given twice");
    if (options.cast) x = x.cast(onnx::dtype_of(info.type));
  }
  for (const onnx::TensorProto& t : graph.initializers) taken.insert(t.name);
  size_t next = 0;
  for (const onnx::ValueInfo& info : infos)
    if (next < nameless.size() && taken.insert(info.name).second) {
      const Tensor& x = nameless[next++];
      given.emplace_back(info.name, options.cast ? x.cast(onnx::dtype_of(info.type)) : x);
    }
  if (next < nameless.size())
    throw WrongUsage("there are more files than inputs; NAME=FILE gives one that has a value already");
  std::vector<Tensor> ordered(infos.size());
  for (const auto& [name, x] : given) ordered[place_of(name, infos)] = x;
  return ordered;
}

/// A name from the model as that of a file: no folders, nothing hidden, no other one's.
std::string file_name(const std::string& name, std::set<std::string>& taken) {
  std::string safe = name.substr(0, 200);
  for (char& c : safe)
    if (!std::isalnum(uint8_t(c)) && c != '_' && c != '-' && c != '.') c = '_';
  if (safe.empty() || safe[0] == '.') safe.insert(0, "_");
  std::string unique = safe;
  for (int k = 2; !taken.insert(unique).second; ++k) unique = text(safe, "_", k);
  return unique + ".npy";
}

/// Throws what can be known of --out before there is anything to save.
void check_out(const std::string& out, size_t outputs) {
  std::error_code unknown;
  if (const std::string format = format_to_save(out); !format.empty()) {
    if (format == "npy" && outputs != 1)
      throw WrongUsage(text(out, ": a .npy file holds one tensor, and there are ", outputs, "; .npz holds all"));
    return io::check_can_save(out);
  }
  if (fs::is_directory(out, unknown)) return;
  if (fs::exists(out, unknown))
    fail(out, ": a file, and no folder; a file to save to ends in .npz, .safetensors or .pt");
  if (fs::path(out).has_extension())
    throw WrongUsage(out + ": an ending .npz, .safetensors, .pt or .npy says what to write; for a folder add a /");
}

void save(const std::string& out, const nn::StateDict& outputs) {
  if (!format_to_save(out).empty()) return save_tensors(out, outputs);
  std::error_code error;
  fs::create_directories(out, error);
  if (error) fail(out, ": cannot make the folder: ", error.message());
  std::set<std::string> taken;
  for (const auto& [name, x] : outputs) io::save_npy((fs::path(out) / file_name(name, taken)).string(), x);
}

std::vector<std::string> lines_of(const std::string& path) {
  data::File file = data::open_to_read(path);
  std::string all(file.size(), '\0');
  file.read_all(all.data(), all.size());
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find('\n', begin), all.size());
    lines.push_back(all.substr(begin, end - begin - (end > begin && all[end - 1] == '\r')));
    begin = end + 1;
  }
  return lines;
}

/// Of a double beside int64_t: not all of these are doubles.
template <class T>
Json json_of(T x) {
  if constexpr (std::is_same_v<T, double>) return number(x);
  else return x;
}

/// The `count` largest elements of each row along the last axis.
template <class T>
Json top_of(const Tensor& x, int64_t count, const std::vector<std::string>& labels) {
  if (x.rank() == 0) return Json::array();
  const std::vector<T> values = x.to_vector<T>();
  const size_t size = size_t(x.shape().back()), kept = std::min(size, size_t(count));
  Json rows = Json::array();
  std::vector<size_t> order(size);
  for (size_t begin = 0; size > 0 && begin < values.size(); begin += size) {
    std::iota(order.begin(), order.end(), size_t(0));
    std::ranges::partial_sort(order, order.begin() + ptrdiff_t(kept), [&](size_t a, size_t b) {
      const T x = values[begin + a], y = values[begin + b];  // a NaN is unequal to itself
      return x != y && x == x ? y != y || x > y : x == y && a < b;
    });
    Json row = Json::array();
    for (size_t i : std::span(order).first(kept))
      row.push_back({{"index", i},
                     {"value", json_of(values[begin + i])},
                     {"label", i < labels.size() ? Json(labels[i]) : Json()}});
    rows.push_back(row);
  }
  return rows;
}

/// Name, dtype, shape, and of its elements the extremes, the mean, and all where they are few.
template <class T>
Json described(const std::string& name, const Tensor& x) {
  constexpr int64_t kFew = 1000;
  const std::vector<T> values = x.to_vector<T>();
  Json json{
      {"name", name}, {"dtype", teeny::name(x.dtype())}, {"shape", std::vector(x.shape().begin(), x.shape().end())}};
  if (values.empty()) return json;
  T least = values[0], most = values[0];
  double sum = 0;
  for (T v : values) {
    least = v < least || v != v ? v : least, most = v > most || v != v ? v : most;
    sum += double(v);
  }
  json["minimum"] = json_of(least), json["maximum"] = json_of(most), json["mean"] = number(sum / double(values.size()));
  if (x.numel() > kFew) return json;
  for (T v : values) json["values"].push_back(json_of(v));
  return json;
}

std::string short_number(const Json& x) {
  char out[32];
  if (!x.is_number()) return x.is_string() ? std::string(x) : "";
  if (x.is_number_integer()) return x.dump();
  std::snprintf(out, sizeof out, "%.6g", double(x));
  return out;
}

void print_for_people(const Json& outputs, const Json& top) {
  Table table{{{"output"}, {"dtype"}, {"shape"}, {"minimum", true}, {"maximum", true}, {"mean", true}}};
  for (const Json& y : outputs) {
    const std::vector<int64_t> sizes = y["shape"];
    table.rows.push_back({printable(std::string(y["name"])), y["dtype"], text(Shape(sizes.begin(), sizes.end()))});
    for (const char* key : {"minimum", "maximum", "mean"})
      table.rows.back().push_back(short_number(y.value(key, Json())));
  }
  table.print();
  constexpr size_t kFew = 16;
  for (const Json& y : outputs) {
    std::string line = printable(std::string(y["name"])) + ":";
    if (!y.contains("values") || y["values"].size() > kFew) continue;
    for (const Json& v : y["values"]) line += " " + short_number(v);
    std::printf("%s\n", wrapped(line, 0, terminal_width()).c_str());
  }
  for (size_t row = 0; row < top.size(); ++row) {
    Table best{{{top.size() > 1 ? text("row ", row) : "", true}, {"", true}, {""}}};
    for (const Json& each : top[row])
      best.rows.push_back({short_number(each["value"]), text(each["index"]),
                           each["label"].is_string() ? printable(std::string(each["label"])) : ""});
    std::printf("\n"), best.print();
  }
}

/// Throws unless there is a label for each element of the last axis.
void check_labels(const Options& options, size_t labels, const Tensor& x) {
  if (const int64_t size = x.rank() > 0 ? x.shape().back() : 1; size != int64_t(labels))
    fail(options.labels, ": ", counted(int64_t(labels), "label"), ", and the last axis of the output ", x.shape(),
         " has ", counted(size, "element"));
}

int run(const Options& options) {
  if (!options.labels.empty() && options.top == 0) throw WrongUsage("--labels names what --top shows; give --top, too");
  check_network(options.model);
  const std::vector<std::string> labels =
      options.labels.empty() ? std::vector<std::string>() : lines_of(options.labels);
  const NoGrad guard;
  Progress progress;
  Network network(options.model, {.jit = false});
  if (!options.out.empty()) check_out(options.out, network.graph().outputs.size());
  Tensor::manual_seed(uint64_t(options.seed));
  const std::vector<Tensor> inputs = read_inputs(network.graph(), options);
  std::vector<Tensor> results;
  {
    const ExecutionScope counting({.on_step = [&, kernels = 0](const Step&) mutable {
      progress.show(text("kernel ", grouped(++kernels), ".."));
    }});
    results = network(inputs);
    realize(results);
  }
  if (!options.labels.empty() && !results.empty()) check_labels(options, labels.size(), results[0]);
  progress.show("reading the results");
  nn::StateDict outputs;
  const std::vector<std::string> names = network.output_names(inputs);
  const std::string keeps = network.keeps(inputs);
  Json json{{"model", options.model}, {"outputs", Json::array()}};
  if (!keeps.empty()) json["keeps"] = keeps;
  for (size_t k = 0; k < results.size(); ++k) {
    outputs.emplace_back(names[k], results[k]);
    const auto describe = is_float(results[k].dtype()) ? described<double> : described<int64_t>;
    json["outputs"].push_back(describe(outputs.back().first, results[k]));
  }
  progress.clear();
  if (options.top > 0 && !results.empty())
    json["top"] = (is_float(results[0].dtype()) ? top_of<double> : top_of<int64_t>)(results[0], options.top, labels);
  if (!options.out.empty()) save(options.out, outputs), json["out"] = options.out;
  if (options.json) print(json);
  else print_for_people(json["outputs"], json.value("top", Json::array()));
  if (!options.json && !keeps.empty()) std::printf("\n%s\n", wrapped(keeps, 0, terminal_width()).c_str());
  return 0;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "run", "run a network",
      "Inputs are .npy files, or tensors of .npz, .safetensors and .pt files that have the "
      "inputs' names. Without a name before it, a .npy file is the first input that has "
      "nothing yet. Shows each output's shape and values; --out saves them. Of a program file the call with such "
      "inputs is run.\n\n"
      "  teeny run net.onnx image.npy --top 5 --labels labels.txt\n"
      "  teeny run bert.onnx ids=ids.npy mask=mask.npy --out results.npz\n"
      "  teeny run net.teeny --random x=1x3x224x224",
      run);
  command->add_option("MODEL", options->model, "a .onnx or .teeny file")->required();
  command->add_option("IN", options->inputs, "inputs: FILE, or NAME=FILE");
  command
      ->add_option("-o,--out", options->out, "a .npz, .safetensors or .pt file; or a folder, for a .npy of each output")
      ->type_name("FILE|DIR");
  command->add_option("--top", options->top, "show the largest of the first output, along its last axis")
      ->type_name("COUNT")
      ->check(at_least(0));
  command->add_option("--labels", options->labels, "their names, a line each")->type_name("FILE");
  command->add_option("--random", options->random, "an input of random values: floats are standard normal, integers 0")
      ->type_name("NAME[=SIZES]")
      ->allow_extra_args(false);
  command->add_option("--range", options->ranges, "where random values lie instead")
      ->type_name("[NAME=]LOW:HIGH")
      ->allow_extra_args(false);
  command->add_option("--seed", options->seed, "of random values")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->check(at_least(0));
  command->add_flag("--cast", options->cast, "cast inputs to the dtypes that the network wants");
}

}  // namespace teeny::tool
