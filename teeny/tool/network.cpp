#include "teeny/tool/network.h"

#include <algorithm>
#include <numeric>

#include "teeny/tool/files.h"

namespace teeny::tool {

namespace {

onnx::ValueInfo info_of(const Port& port) {
  onnx::ValueInfo info{.name = port.name, .type = onnx::type_of(port.dtype), .shape = {}};
  info.shape.emplace();
  for (int64_t size : port.shape) info.shape->push_back({.value = size});
  return info;
}

/// Sizes that differ become open ones; so does all of the shape where the ranks do.
void merge(onnx::ValueInfo& info, const Port& port) {
  if (!info.shape || int(info.shape->size()) != port.shape.size()) return info.shape.reset();
  for (int a = 0; a < port.shape.size(); ++a)
    if (onnx::Size& size = (*info.shape)[size_t(a)]; size.value != port.shape[a]) size.value = -1;
}

/// Inputs and outputs of all calls, by name.
onnx::Graph graph_of(const program::Contents& contents) {
  onnx::Graph graph;
  std::map<std::string, size_t> calls;  // that have this input
  for (const program::Call& call : contents.calls) {
    const auto add = [&](std::vector<onnx::ValueInfo>& infos, const Port& port) {
      const auto known = std::ranges::find(infos, port.name, &onnx::ValueInfo::name);
      if (known == infos.end()) infos.push_back(info_of(port));
      else merge(*known, port);
    };
    for (const Port& port : call.inputs) add(graph.inputs, port), ++calls[port.name];
    for (const Port& port : call.outputs) add(graph.outputs, port);
  }
  for (const auto& [name, count] : calls)
    if (count < contents.calls.size()) graph.initializers.emplace_back().name = name;
  return graph;
}

}  // namespace

Network::Network(const std::string& path, const onnx::ModelOptions& options) : path_(path) {
  check_network(path);
  if (!is_program(path)) {
    model_.emplace(path, options);
    return;
  }
  program_.emplace(Program::load(path));
  graph_ = graph_of(program_->contents());
  if (program_->contents().calls.empty()) fail(path, ": a program without a call");
}

std::vector<Shapes> Network::calls() const {
  std::vector<Shapes> all;
  if (!program_) return all;
  for (const program::Call& call : program_->contents().calls)
    for (all.emplace_back(); const Port& port : call.inputs) all.back()[port.name] = port.shape;
  return all;
}

const program::Call& Network::call_of(std::span<const Tensor> inputs) const {
  std::vector<Port> given;
  for (size_t k = 0; k < inputs.size(); ++k)
    if (inputs[k].defined()) given.push_back({graph_.inputs[k].name, inputs[k].dtype(), inputs[k].shape()});
  const auto call = std::ranges::find(program_->contents().calls, given, &program::Call::inputs);
  if (call != program_->contents().calls.end()) return *call;
  std::string known;
  for (const program::Call& other : program_->contents().calls) known += (known.empty() ? "" : "; ") + text_of(other.inputs);
  fail(path_, ": no call with ", given.empty() ? "no inputs" : text_of(given), "; there ",
       program_->contents().calls.size() == 1 ? "is " : "are ", known);
}

std::vector<Tensor> Network::operator()(std::span<const Tensor> inputs) {
  if (model_) return (*model_)(inputs);
  std::vector<Tensor> given;
  for (const Tensor& x : inputs)
    if (x.defined()) given.push_back(x);
  call_of(inputs);
  ++runs_;
  return teeny::run(*program_, given);
}

void Network::check(std::span<const Tensor> inputs) const {
  if (program_) call_of(inputs);
}

std::vector<std::string> Network::output_names(std::span<const Tensor> inputs) const {
  std::vector<std::string> names;
  if (model_)
    for (const onnx::ValueInfo& output : model_->outputs()) names.push_back(output.name);
  else
    for (const Port& output : call_of(inputs).outputs) names.push_back(output.name);
  return names;
}

debug::Counters Network::work(std::span<const Tensor> inputs) const { return work_of(call_of(inputs)); }

std::string Network::keeps(std::span<const Tensor> inputs) const {
  if (!program_) return "";
  const program::Call& call = call_of(inputs);
  const size_t changed = call.updates.size();
  std::string what = changed > 0 ? counted(int64_t(changed), "tensor") : "";
  if (call.words > 0) what += text(changed > 0 ? " and " : "", "the random stream");
  return what.empty() ? "" : "the call changes " + what + " for the next one; the file stays as it is";
}

std::string text_of(const std::vector<Port>& ports) {
  std::string all;
  for (const Port& port : ports)
    all += text(all.empty() ? "" : ", ", port.name, ' ', port.dtype == DType::Float32 ? "" : text(port.dtype, ' '),
                port.shape);
  return all;
}

std::map<std::string, int64_t> kinds_of(const program::Call& call) {
  std::map<std::string, int64_t> kinds;
  for (const tinyops::Kernel& kernel : call.kernels) {
    const std::string label = debug::label(kernel);
    ++kinds[label.substr(0, label.find(' '))];
  }
  return kinds;
}

debug::Counters work_of(const program::Call& call) {
  debug::Counters work;
  for (const tinyops::Kernel& kernel : call.kernels) work += debug::work(kernel);
  return work;
}

std::string work_text(const program::Call& call) {
  std::string size = byte_size(double(work_of(call).flops));
  return size.replace(size.size() - 1, 1, "FLOP");
}

int64_t temporary_bytes(const program::Call& call) {
  return std::accumulate(call.blocks.begin(), call.blocks.end(), int64_t(0));
}

std::vector<std::string> changes_of(const program::Contents& contents, const program::Call& call) {
  std::vector<std::string> names;
  for (const program::Call::Update& update : call.updates) names.push_back(contents.state[size_t(update.state)].name);
  return names;
}

Json json_of(const program::Contents& contents, const program::Call& call) {
  const auto ports = [](const std::vector<Port>& ports) {
    Json all = Json::array();
    for (const auto& [name, dtype, shape] : ports)
      all.push_back(
          {{"name", name}, {"dtype", teeny::name(dtype)}, {"shape", std::vector(shape.begin(), shape.end())}});
    return all;
  };
  return {{"inputs", ports(call.inputs)},
          {"outputs", ports(call.outputs)},
          {"kernels", call.kernels.size()},
          {"kinds", kinds_of(call)},
          {"gflop", double(work_of(call).flops) / 1e9},
          {"slots", call.slots.size()},
          {"blocks", call.blocks},
          {"temporary_bytes", temporary_bytes(call)},
          {"changes", changes_of(contents, call)},
          {"random_words", call.words}};
}

}  // namespace teeny::tool
