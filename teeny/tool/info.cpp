// What is in a file, without reading an element.
#include <algorithm>
#include <cctype>
#include <filesystem>

#include "teeny/tool/files.h"
#include "teeny/tool/network.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

struct Options {
  std::string file, like;
  bool json = false;
};

struct Total {
  int64_t tensors = 0, elements = 0;
  uint64_t bytes = 0;
};

/// The names that share a storage, where several do.
std::vector<std::vector<std::string>> shared_storages(const std::vector<io::StoredTensor>& tensors) {
  std::map<std::string, std::vector<std::string>> names;
  for (const io::StoredTensor& t : tensors)
    if (!t.storage.empty()) names[t.storage].push_back(t.name);
  std::vector<std::vector<std::string>> shared;
  for (auto& [storage, all] : names)
    if (all.size() > 1) shared.push_back(std::move(all));
  return shared;
}

bool contains(std::string text, std::string part) {  // whatever the case of its letters
  for (std::string* s : {&text, &part})
    for (char& c : *s) c = char(std::tolower(uint8_t(c)));
  return text.find(part) != text.npos;
}

/// `inputs_of`: they are inputs, of this graph.
Json values_json(const std::vector<onnx::ValueInfo>& values, const onnx::Graph* inputs_of = nullptr) {
  Json all = Json::array();
  for (const onnx::ValueInfo& value : values) {
    Json shape;
    if (value.shape) shape = Json::array();
    if (value.shape)
      for (const onnx::Size& size : *value.shape)
        shape.push_back(size.value >= 0 ? Json(size.value) : size.name.empty() ? Json() : Json(size.name));
    all.push_back({{"name", value.name}, {"dtype", onnx::name_of(value.type)}, {"shape", shape}});
    if (inputs_of) all.back()["optional"] = is_optional(*inputs_of, value.name);
  }
  return all;
}

std::string shown(const std::string& op) { return op.starts_with(':') ? op.substr(1) : op; }

void add_model(const onnx::ModelProto& model, Json& json) {
  json["ir_version"] = model.ir_version;
  json["producer"] = model.producer;
  json["producer_version"] = model.producer_version;
  for (const auto& [domain, version] : model.opsets) json["opsets"][domain.empty() ? "ai.onnx" : domain] = version;
  json["inputs"] = values_json(model.graph.inputs, &model.graph);
  json["outputs"] = values_json(model.graph.outputs);
  const auto missing = onnx::missing_ops(model);
  json["ops"] = Json::array();
  for (const auto& [op, count] : onnx::count_ops(model))
    json["ops"].push_back({{"name", shown(op)}, {"count", count}, {"missing", missing.contains(op)}});
}

void print_model(const onnx::ModelProto& model) {
  const auto print_values = [](const char* title, const std::vector<onnx::ValueInfo>& values, const auto& note_of) {
    Table table{{{""}, {""}, {""}}};
    for (const onnx::ValueInfo& value : values)
      table.rows.push_back({printable(value.name), printable(text(value)), note_of(value)});
    std::printf("\n%s\n", title);
    table.print(2);
  };
  print_values("inputs", model.graph.inputs,
               [&](const onnx::ValueInfo& input) { return is_optional(model.graph, input.name) ? "optional" : ""; });
  print_values("outputs", model.graph.outputs, [](const onnx::ValueInfo&) { return ""; });
  const auto missing = onnx::missing_ops(model);
  Table ops{{{""}, {"", true}, {""}}};
  for (const auto& [op, count] : onnx::count_ops(model))
    ops.rows.push_back({printable(shown(op)), grouped(count), missing.contains(op) ? "missing in teeny" : ""});
  std::ranges::stable_sort(ops.rows, std::greater(), [](const auto& row) { return !row[2].empty(); });
  std::printf("\noperations\n");
  ops.print(2);
}

void print_program(const program::Contents& contents) {
  const auto line = [](const char* what, const std::string& text) {
    std::printf("  %-10s %s\n", what, wrapped(printable(text), 13, terminal_width()).c_str());
  };
  size_t number = 0;
  for (const program::Call& call : contents.calls) {
    std::printf("\ncall %zu of %zu\n", ++number, contents.calls.size());
    for (const Port& port : call.inputs) line("input", text(port.name, "  ", port.dtype, ' ', port.shape));
    for (const Port& port : call.outputs) line("output", text(port.name, "  ", port.dtype, ' ', port.shape));
    std::string kinds;
    for (const auto& [kind, count] : kinds_of(call))
      kinds += text(kinds.empty() ? ": " : ", ", kind, ' ', grouped(count));
    line("kernels", grouped(int64_t(call.kernels.size())) + kinds);
    line("work", work_text(call));
    line("memory", byte_size(double(temporary_bytes(call))) + " of temporaries in " +
                       counted(int64_t(call.blocks.size()), "block") + "; " +
                       counted(int64_t(call.slots.size()), "slot") + " in all");
    std::string changes;
    for (const std::string& name : changes_of(contents, call)) changes += (changes.empty() ? "" : ", ") + name;
    constexpr int kLongest = 200;
    if (!changes.empty()) line("changes", shortened(changes, kLongest));
    if (call.words > 0) line("draws", grouped(int64_t(call.words)) + " random words");
  }
}

std::string title_of(const onnx::ModelProto& model) {
  std::string title = text(", IR version ", model.ir_version);
  for (const auto& [domain, version] : model.opsets)
    title += text(", opset ", version, domain.empty() ? "" : " of " + domain);
  if (!model.producer.empty()) title += ", by " + model.producer;
  return title + (model.producer_version.empty() ? "" : " " + model.producer_version);
}

int info(const Options& options) {
  io::FileSummary file = summary(options.file);
  const size_t count = file.tensors.size();
  std::erase_if(file.tensors, [&](const io::StoredTensor& t) { return !contains(t.name, options.like); });
  std::map<std::string, Total> totals;
  for (const io::StoredTensor& t : file.tensors) {
    Total& total = totals[t.dtype];
    ++total.tensors, total.elements += elements_of({t.shape.begin(), t.shape.end()}), total.bytes += t.bytes;
  }
  const auto size = std::filesystem::file_size(options.file);
  const auto shared = shared_storages(file.tensors);
  std::optional<OnnxFile> onnx;
  if (is_onnx(options.file)) onnx.emplace(options.file);
  std::optional<program::Contents> program;
  if (file.format == kProgram) program.emplace(load_program(options.file));

  if (options.json) {
    Json json{{"file", options.file}, {"format", file.format}, {"bytes", size}};
    if (onnx) add_model(onnx->proto, json);
    if (program)
      for (const program::Call& call : program->calls) json["calls"].push_back(json_of(*program, call));
    json["tensors"] = Json::array();
    for (const io::StoredTensor& t : file.tensors)
      json["tensors"].push_back({{"name", t.name},
                                 {"dtype", t.dtype},
                                 {"shape", std::vector(t.shape.begin(), t.shape.end())},
                                 {"bytes", t.bytes}});
    json["totals"] = Json::object();
    for (const auto& [dtype, t] : totals)
      json["totals"][dtype] = {{"tensors", t.tensors}, {"elements", t.elements}, {"bytes", t.bytes}};
    json["shared"] = shared, json["metadata"] = file.metadata, json["notes"] = file.notes;
    return print(json), 0;
  }

  const std::string title = options.file + ": " + file.format + (onnx ? title_of(onnx->proto) : "") + ", ";
  std::printf("%s\n", wrapped(printable(title) + byte_size(double(size)), 0, terminal_width()).c_str());
  if (onnx) print_model(onnx->proto);
  if (program) print_program(*program);
  Table tensors{{{"tensor"}, {"dtype"}, {"shape"}, {"bytes", true}}};
  for (const io::StoredTensor& t : file.tensors)
    tensors.rows.push_back({printable(t.name), printable(t.dtype), text(t.shape), grouped(int64_t(t.bytes))});
  Table sums{{{"in all"}, {"tensors", true}, {"elements", true}, {"bytes", true}}};
  for (const auto& [dtype, t] : totals)
    sums.rows.push_back({printable(dtype), grouped(t.tensors), grouped(t.elements), byte_size(double(t.bytes))});
  for (const Table* table : {&tensors, &sums})
    if (!table->rows.empty()) std::printf("\n"), table->print();
  if (!options.like.empty() && file.tensors.empty()) {
    const std::string none = text("no tensor has \"", options.like, "\" in its name; there ",
                                  count == 1 ? "is " : "are ", grouped(int64_t(count)));
    std::printf("\n%s\n", wrapped(printable(none), 0, terminal_width()).c_str());
  }
  if (!shared.empty()) std::printf("\none storage\n");
  for (const auto& names : shared) {
    std::string line;
    for (const std::string& name : names) line += (line.empty() ? "" : ", ") + printable(name);
    std::printf("  %s\n", wrapped(line, 2, terminal_width()).c_str());
  }
  if (!file.metadata.empty()) std::printf("\nmetadata\n");
  constexpr int kLongest = 200;
  for (const auto& [key, value] : file.metadata)
    std::printf("  %s\n", wrapped(shortened(printable(key + ": " + value), kLongest), 2, terminal_width()).c_str());
  if (!file.notes.empty()) std::printf("\n");
  for (const std::string& note : file.notes) std::printf("%s\n", wrapped(printable(note), 0, terminal_width()).c_str());
  return 0;
}

}  // namespace

void add_info(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "info", "what is in a file",
      "Shows the tensors with their dtypes, shapes and sizes; of an ONNX file its inputs, outputs and operations "
      "too, and which of these teeny does not have; of a program file its calls, once they are verified. Only headers "
      "are read: a large file takes no longer than a small one, unless it is a program.\n\n"
      "  teeny info net.onnx\n"
      "  teeny info weights.safetensors --like conv\n"
      "  teeny info net.onnx --json | jq '.ops[] | select(.missing)'",
      info);
  command->add_option("FILE", options->file, ".onnx, .teeny, .safetensors, .pt, .npz or .npy")->required();
  command->add_option("--like", options->like, "only tensors whose name has this in it")->type_name("TEXT");
}

}  // namespace teeny::tool
