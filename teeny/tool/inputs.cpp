#include "teeny/tool/inputs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "teeny/onnx/values.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

constexpr int64_t kMostElements = int64_t(1) << 32;

/// NAME and what stands behind the last `=`; a name may have one, too.
std::pair<std::string, std::string> split_at_equals(const std::string& option) {
  const size_t equals = option.rfind('=');
  if (equals == option.npos) return {"", option};
  return {option.substr(0, equals), option.substr(equals + 1)};
}

template <class T>
bool read_all(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Shape shape_from(const std::string& option, const std::string& sizes) {
  Shape shape;
  if (sizes == "scalar") return shape;
  int64_t elements = 1;
  for (size_t begin = 0; begin <= sizes.size();) {
    const size_t end = std::min(sizes.find('x', begin), sizes.size());
    int64_t size = 0;
    if (!read_all(std::string_view(sizes).substr(begin, end - begin), size) || size < 0 ||
        __builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements) || elements > kMostElements)
      throw WrongUsage(option + ": \"" + sizes + "\" is no shape; 1x3x224x224 is one, and `scalar`");
    shape.push_back(size);
    begin = end + 1;
  }
  if (shape.size() > kMaxRank)
    throw WrongUsage(text(option, ": a shape of ", shape.size(), " axes; at most ", kMaxRank));
  return shape;
}

std::vector<Shapes> combinations(const std::vector<std::string>& options) {
  std::vector<Shapes> all(1);
  std::set<std::string> named;  // in this combination
  for (const std::string& option : options)
    for (size_t begin = 0; begin <= option.size();) {
      const size_t end = std::min(option.find(',', begin), option.size());
      const auto [name, sizes] = split_at_equals(option.substr(begin, end - begin));
      if (name.empty()) throw WrongUsage("--shape " + option + ": must be NAME=1x3x224x224");
      const Shape shape = shape_from("--shape " + option, sizes);
      if (!named.insert(name).second) all.push_back(all.back()), named = {name};
      all.back()[name] = shape;
      begin = end + 1;
    }
  return all;
}

Ranges ranges_from(const std::vector<std::string>& options) {
  Ranges ranges;
  for (const std::string& option : options) {
    const auto [name, range] = split_at_equals(option);
    const size_t colon = range.find(':');
    double low = 0, high = 0;
    constexpr double kLargest = 1e15;
    if (colon == range.npos || !read_all(std::string_view(range).substr(0, colon), low) ||
        !read_all(std::string_view(range).substr(colon + 1), high) || !(low <= high) || std::max(-low, high) > kLargest)
      throw WrongUsage("--range " + option + ": must be LOW:HIGH, or NAME=LOW:HIGH");
    ranges[name] = {low, high};
  }
  return ranges;
}

Shape shape_of(const onnx::ValueInfo& input, const Shapes& shapes) {
  if (const auto found = shapes.find(input.name); found != shapes.end()) return found->second;
  const auto refuse = [&](const std::string& what) {
    throw WrongUsage(
        text('"', input.name, "\" is ", input, ": ", what, " is open; give it a shape: ", input.name, "=1x3x224x224"));
  };
  if (!input.shape) refuse("its shape");
  Shape shape;
  for (const onnx::Size& size : *input.shape) {
    const auto named = shapes.find(size.name);
    if (size.value >= 0) shape.push_back(size.value);
    else if (named != shapes.end() && named->second.size() == 1) shape.push_back(named->second[0]);
    else refuse(size.name.empty() ? "an axis" : "the size " + size.name);
  }
  return shape;
}

bool is_optional(const onnx::Graph& graph, const std::string& input) {
  return std::ranges::find(graph.initializers, input, &onnx::TensorProto::name) != graph.initializers.end();
}

Tensor random_input(const onnx::ValueInfo& input, const Shape& shape, const Ranges& ranges) {
  const DType dtype = onnx::dtype_of(input.type);
  auto range = ranges.find(input.name);
  if (range == ranges.end()) range = ranges.find("");
  if (range == ranges.end()) return is_float(dtype) ? Tensor::randn(shape, dtype) : Tensor::zeros(shape, dtype);
  const auto [low, high] = range->second;
  if (is_float(dtype)) return Tensor::uniform(shape, low, high).cast(dtype);
  return Tensor::randint(int64_t(std::ceil(low)), int64_t(std::floor(high)) + 1, shape).cast(dtype);
}

size_t place_of(const std::string& name, const std::vector<onnx::ValueInfo>& inputs) {
  std::string known;
  for (size_t k = 0; k < inputs.size(); ++k)
    if (inputs[k].name == name) return k;
    else known += text(known.empty() ? "" : ", ", '"', inputs[k].name, "\" ", inputs[k]);
  throw WrongUsage(text('"', name, "\": no such input; there are ", known));
}

std::vector<Tensor> random_inputs(const onnx::Graph& graph, const Shapes& shapes, const Ranges& ranges) {
  std::set<std::string> axes{""};
  for (const onnx::ValueInfo& input : graph.inputs)
    if (input.shape)
      for (const onnx::Size& size : *input.shape) axes.insert(size.name);
  for (const auto& [name, shape] : shapes)
    if (!axes.contains(name)) place_of(name, graph.inputs);
  for (const auto& [name, range] : ranges)
    if (!name.empty()) place_of(name, graph.inputs);
  std::vector<Tensor> inputs;
  for (const onnx::ValueInfo& input : graph.inputs)
    inputs.push_back(is_optional(graph, input.name) && !shapes.contains(input.name)
                         ? Tensor()
                         : random_input(input, shape_of(input, shapes), ranges));
  return inputs;
}

}  // namespace teeny::tool
