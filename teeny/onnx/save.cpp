#include "teeny/onnx/save.h"

#include <algorithm>
#include <optional>

#include "teeny/files/replacement.h"
#include "teeny/onnx/exporter.h"
#include "teeny/version.h"

namespace teeny::onnx {

namespace {

constexpr int kLeastOpset = 18, kMostOpset = 23;
int64_t ir_version(int opset) { return opset >= 23 ? 11 : opset >= 21 ? 10 : opset >= 19 ? 9 : 8; }

/// `given`, or `kind`, or `kind`_0 ..
std::vector<std::string> names(const std::vector<std::string>& given, const char* kind, size_t count) {
  if (!given.empty() && given.size() != count)
    fail("onnx::save: ", given.size(), " names of ", kind, "s for ", count, " of them");
  std::vector<std::string> result = given;
  for (size_t i = result.size(); i < count; ++i) result.push_back(count == 1 ? text(kind) : text(kind, '_', i));
  for (const std::string& name : result)
    if (name.empty()) fail("onnx::save: an empty name for an ", kind);
  return result;
}

/// Sizes that an open axis is tried with, neither 1 nor each other. They stay below the one that was given, where there
/// is room: tables of positions have an end. Each axis has other proportions, so that no size of one, or half of it, is
/// taken for that of another: where `others` are multiples of each other and a rest, the next are tried.
Int sizes_to_try(int64_t given, int64_t step, const std::vector<Symbol>& others) {
  const int64_t whole = given / step;
  for (int64_t k = int64_t(others.size());; ++k) {
    Int size(std::max<int64_t>(whole, whole * step == 1 ? 2 : 1));
    const bool has_room = whole >= 8 + 8 * k;
    size[1] = has_room ? whole * (8 + k) / 16 + 1 : size[0] + 1 + k;
    size[2] = has_room ? whole * (24 + 3 * k) / 32 + k : size[0] + 3 + 5 * k;
    size = size * step;
    const auto apart = [&](const Symbol& other) {
      const Int a = size - Int(size[0]), b = other.size - Int(other.size[0]);
      return a[1] * b[2] != a[2] * b[1];
    };
    if (size[1] != size[2] && std::all_of(others.begin(), others.end(), apart)) return size;
  }
}

std::vector<Symbol> symbols_of(std::span<const Tensor> inputs, const std::vector<OpenAxis>& dynamic) {
  std::vector<Symbol> symbols;
  for (const OpenAxis& open : dynamic) {
    if (open.input < 0 || size_t(open.input) >= inputs.size())
      fail("onnx::save: an open axis of input ", open.input, "; there are ", inputs.size(), " inputs");
    if (open.name.empty()) fail("onnx::save: an open axis of input ", open.input, " has no name");
    const Tensor& x = inputs[size_t(open.input)];
    const int axis = x.axis_index(open.axis, "onnx::save");
    if (open.multiple_of < 1 || x.size(axis) % open.multiple_of != 0)
      fail("onnx::save: the open axis \"", open.name, "\" has ", x.size(axis), " elements in input ", open.input,
           ", no multiple of ", open.multiple_of);
    const auto known =
        std::find_if(symbols.begin(), symbols.end(), [&](const Symbol& s) { return s.name == open.name; });
    if (known == symbols.end())
      symbols.push_back({open.name, sizes_to_try(x.size(axis), open.multiple_of, symbols), open.input, axis});
    else if (inputs[size_t(known->input)].size(known->axis) != x.size(axis))
      fail("onnx::save: the open axis \"", open.name, "\" has ", inputs[size_t(known->input)].size(known->axis),
           " elements in input ", known->input, " and ", x.size(axis), " in input ", open.input);
  }
  return symbols;
}

/// make(); an Error of the call itself says with which sizes it was called, since these are not the user's.
Trace trace_with(const std::vector<Symbol>& symbols, size_t t, const auto& make) {
  try {
    return make();
  } catch (const Error& error) {
    if (symbols.empty() || std::string_view(error.what()).starts_with("onnx::save: ")) throw;
    std::string sizes;
    for (const Symbol& s : symbols) sizes += text(sizes.empty() ? "" : ", ", s.name, " = ", s.size[t]);
    fail("onnx::save: the call was tried with ", sizes, ", and throws ", error.what(),
         "; see OpenAxis::multiple_of, or leave the axis closed");
  }
}

Message model_message(Message graph, const SaveOptions& options) {
  Message opset, model;
  opset.text(1, "").integer(2, options.opset);
  model.integer(1, ir_version(options.opset)).text(2, "teeny").text(3, kVersion);
  if (!options.doc.empty()) model.text(6, options.doc);
  return std::move(model.message(7, std::move(graph)).message(8, std::move(opset)));
}

void write(const std::string& path, const GraphBuilder& graph, const SaveOptions& options) {
  std::vector<GraphBuilder::ExternalElements> external;
  const bool beside = graph.initializer_bytes() > options.external_above;
  const std::string location = path.substr(path.rfind('/') + 1) + ".data";
  const Message model = model_message(graph.message(options.name, location, beside ? &external : nullptr), options);
  if (model.size() > INT32_MAX)
    fail("onnx::save: a message of ", model.size(),
         " bytes, and none may have 2 GiB; lower SaveOptions::external_above");
  const auto into = [](data::File& file) { return [&](const void* from, size_t n) { file.write(from, n); }; };
  std::optional<io::Replacement> elements;
  if (!external.empty()) {
    elements.emplace(path + ".data");
    for (const auto& [begin, made] : external) {
      elements->file().seek(begin);
      const std::vector<std::byte> bytes = made.make();
      elements->file().write(bytes.data(), bytes.size());
    }
  }
  io::Replacement file(path);
  model.write_to(into(file.file()));
  if (elements) elements->commit();
  file.commit();
}

}  // namespace

void saving::save(const std::string& path, const TensorCall& call, std::span<const Tensor> inputs,
                  const nn::StateDict& model_state, const SaveOptions& options) {
  try {
    if (options.opset < kLeastOpset || options.opset > kMostOpset)
      fail("onnx::save: opset ", options.opset, "; ", kLeastOpset, " to ", kMostOpset, " are written");
    if (context.recorder) fail("onnx::save: a Jit that records cannot call it");
    nn::StateDict state = model_state;
    state.insert(state.end(), options.state.begin(), options.state.end());

    const std::vector<std::string> input_names = names(options.inputs, "input", inputs.size());
    const std::vector<Symbol> symbols = symbols_of(inputs, options.dynamic);
    std::vector<Placeholder> placeholders;
    for (size_t i = 0; i < inputs.size(); ++i)
      placeholders.push_back({input_names[i], inputs[i].dtype(), inputs[i].shape()});
    std::vector<Trace> traces;
    for (size_t t = 0; t < (symbols.empty() ? 1 : size_t(Int::kTraces)); ++t) {
      for (const OpenAxis& open : options.dynamic)
        for (const Symbol& s : symbols)
          if (s.name == open.name)
            placeholders[size_t(open.input)].shape[inputs[size_t(open.input)].axis_index(open.axis, "onnx::save")] =
                s.size[t];
      traces.push_back(trace_with(symbols, t, [&] { return trace(call, placeholders, state); }));
    }
    const std::vector<std::string> output_names = names(options.outputs, "output", traces[0].results.size());
    Exporter exporter(std::move(traces), symbols, state, options.opset);
    write(path, exporter.write(placeholders, output_names), options);
  } catch (const Error& error) {
    if (std::string_view(error.what()).find(path) != std::string_view::npos) throw;
    fail(path, ": ", error.what());
  }
}

}  // namespace teeny::onnx
