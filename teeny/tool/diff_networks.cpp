#include "teeny/tool/diff_networks.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "teeny/tool/dot.h"
#include "teeny/tool/files.h"
#include "teeny/tool/network.h"

namespace teeny::tool {

namespace {

std::string became(const std::string& a, const std::string& b) { return a + " became " + b; }

// ---- Graphs

std::string key_of(const onnx::Node& node);

/// All that an attribute is; with `shown`, for people.
std::string value_of(const onnx::Attribute& a, bool shown) {
  if (a.tensor && shown) return text(onnx::name_of(a.tensor->type), " (", joined(a.tensor->dims, ", "), ")");
  if (a.tensor) return text(value_of(a, true), ' ', a.tensor->message);
  if (a.graph) {
    std::string all = text("a graph of ", counted(int64_t(a.graph->nodes.size()), "node"));
    if (!shown)
      for (const onnx::Node& node : a.graph->nodes) all += "\n" + key_of(node);
    return all;
  }
  if (!a.ints.empty()) return joined(a.ints, " ");
  if (!a.floats.empty()) return joined(a.floats, " ");
  if (!a.strings.empty()) return joined(a.strings, " ");
  if (!a.s.empty()) return a.s;
  return a.f != 0 ? text(a.f) : text(a.i);
}

std::map<std::string, const onnx::Attribute*> attributes_of(const onnx::Node& node) {
  std::map<std::string, const onnx::Attribute*> all;
  for (const onnx::Attribute& a : node.attributes) all[a.name] = &a;
  return all;
}

std::string key_of(const onnx::Node& node) {
  std::string key = node.domain + ':' + node.op;
  for (const auto& [name, a] : attributes_of(node)) key += '\n' + name + '=' + value_of(*a, false);
  return key;
}

/// Pairs of equal keys in the order of both, as many as there can be; -1: `a`'s has none.
std::vector<int> longest_common(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<int> match(a.size(), -1);
  const size_t begin = size_t(std::ranges::mismatch(a, b).in1 - a.begin());
  size_t end = 0;  // from the back
  while (end < std::min(a.size(), b.size()) - begin && a[a.size() - 1 - end] == b[b.size() - 1 - end]) ++end;
  for (size_t i = 0; i < begin; ++i) match[i] = int(i);
  for (size_t i = 0; i < end; ++i) match[a.size() - 1 - i] = int(b.size() - 1 - i);
  const size_t rows = a.size() - begin - end, columns = b.size() - begin - end;
  constexpr size_t kMost = size_t(1) << 26;
  if (rows > kMost / (columns + 1)) return match;
  std::vector<uint32_t> best((rows + 1) * (columns + 1));  // of what is left of both
  const auto at = [&](size_t i, size_t j) -> uint32_t& { return best[i * (columns + 1) + j]; };
  const auto equal = [&](size_t i, size_t j) { return a[begin + i] == b[begin + j]; };
  for (size_t i = rows; i-- > 0;)
    for (size_t j = columns; j-- > 0;)
      at(i, j) = equal(i, j) ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
  for (size_t i = 0, j = 0; i < rows && j < columns;)
    if (equal(i, j)) match[begin + i++] = int(begin + j++);
    else at(i + 1, j) >= at(i, j + 1) ? ++i : ++j;
  return match;
}

/// Which node of `b` is which of `a`, or -1. First as lines of a text are compared, by what nodes do and which weights
/// they read: exporters number what has no name. Then, of those that do something else now, by their names.
std::vector<int> matched(const onnx::Graph& a, const onnx::Graph& b) {
  const auto keys_of = [](const onnx::Graph& graph) {
    std::set<std::string> weights;
    for (const onnx::TensorProto& t : graph.initializers) weights.insert(t.name);
    std::vector<std::string> keys;
    for (const onnx::Node& node : graph.nodes) {
      keys.push_back(key_of(node));
      for (const std::string& name : node.inputs) keys.back() += weights.contains(name) ? "\n" + name : "\n";
    }
    return keys;
  };
  std::vector<int> match = longest_common(keys_of(a), keys_of(b));
  std::vector<bool> taken(b.nodes.size());
  for (int j : match)
    if (j >= 0) taken[size_t(j)] = true;
  const auto by = [&](const auto& name_of) {
    std::unordered_map<std::string, size_t> places;
    for (size_t j = 0; j < taken.size(); ++j)
      if (const std::string name = name_of(b.nodes[j]); !taken[j] && !name.empty()) places.try_emplace(name, j);
    for (size_t i = 0; i < match.size(); ++i) {
      const auto found = match[i] < 0 ? places.find(name_of(a.nodes[i])) : places.end();
      if (found == places.end() || taken[found->second]) continue;
      match[i] = int(found->second), taken[found->second] = true;
    }
  };
  by([](const onnx::Node& node) { return node.name; });
  by([](const onnx::Node& node) { return node.outputs.empty() ? "" : node.op + ' ' + node.outputs[0]; });
  return match;
}

/// What makes a value: the number of a node in `a` and which of its results it is; or an input or weight, by name.
using Makers = std::unordered_map<std::string, std::string>;
Makers makers_of(const std::vector<onnx::Node>& nodes, const std::vector<int>& number) {
  Makers makers;
  for (size_t n = 0; n < nodes.size(); ++n)
    for (size_t k = 0; k < nodes[n].outputs.size(); ++k)
      makers[nodes[n].outputs[k]] = number[n] < 0 ? text("new ", n, ' ', k) : text(number[n], ' ', k);
  return makers;
}

std::string how_differs(const onnx::Node& x, const onnx::Node& y, const Makers& in_a, const Makers& in_b) {
  std::vector<std::string> all;
  if (x.op != y.op || x.domain != y.domain) all.push_back(became(x.op, y.op));
  const auto before = attributes_of(x), after = attributes_of(y);
  for (const auto& [name, a] : before)
    if (const auto other = after.find(name); other == after.end()) all.push_back("without " + name);
    else if (value_of(*a, false) != value_of(*other->second, false))
      all.push_back(name + ' ' + became(value_of(*a, true), value_of(*other->second, true)));
  for (const auto& [name, a] : after)
    if (!before.contains(name)) all.push_back("with " + name + ' ' + value_of(*a, true));
  const auto quoted = [](const std::string& name) { return name.empty() ? "none" : '"' + name + '"'; };
  const auto maker = [](const Makers& makers, const std::string& value) {
    const auto found = makers.find(value);
    return found == makers.end() ? "value " + value : found->second;
  };
  for (size_t k = 0; k < std::max(x.inputs.size(), y.inputs.size()); ++k) {
    const std::string a = k < x.inputs.size() ? x.inputs[k] : "", b = k < y.inputs.size() ? y.inputs[k] : "";
    if (maker(in_a, a) != maker(in_b, b)) all.push_back(text("input ", k, ' ', became(quoted(a), quoted(b))));
  }
  return joined(all, "; ");
}

std::vector<Difference> differences_of(const onnx::ModelProto& a, const onnx::ModelProto& b) {
  std::vector<Difference> all;
  const auto opsets = [](const onnx::ModelProto& model) {
    std::string out;
    for (const auto& [domain, version] : model.opsets)
      out += text(out.empty() ? "" : ", ", version, domain.empty() ? "" : " of " + domain);
    return out;
  };
  if (a.opsets != b.opsets) all.push_back({"opset", became(opsets(a), opsets(b))});
  const auto compare = [&](const char* what, const auto& before, const auto& after) {
    for (const onnx::ValueInfo& x : before)
      if (const auto y = std::ranges::find(after, x.name, &onnx::ValueInfo::name); y == after.end())
        all.push_back({text(what, " \"", x.name, '"'), "missing"});
      else if (text(x) != text(*y)) all.push_back({text(what, " \"", x.name, '"'), became(text(x), text(*y))});
    for (const onnx::ValueInfo& y : after)
      if (std::ranges::find(before, y.name, &onnx::ValueInfo::name) == before.end())
        all.push_back({text(what, " \"", y.name, '"'), "added"});
  };
  compare("input", a.graph.inputs, b.graph.inputs);
  compare("output", a.graph.outputs, b.graph.outputs);
  const std::vector<onnx::Node>&before = a.graph.nodes, &after = b.graph.nodes;
  const std::vector<int> match = matched(a.graph, b.graph);
  std::vector<int> own(before.size(), -1), number(after.size(), -1);  // in `a`
  for (size_t i = 0; i < before.size(); ++i)
    if (match[i] >= 0) own[i] = int(i), number[size_t(match[i])] = int(i);
  const Makers in_a = makers_of(before, own), in_b = makers_of(after, number);
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string how = match[i] < 0 ? "missing" : how_differs(before[i], after[size_t(match[i])], in_a, in_b);
    if (!how.empty()) all.push_back({before[i].label(), how});
  }
  for (size_t j = 0; j < after.size(); ++j)
    if (number[j] < 0) all.push_back({after[j].label(), "added"});
  return all;
}

// ---- Programs

/// What the file says, once it is verified.
std::pair<program::Contents, Json> program_of(const std::string& path) {
  program::Contents contents = load_program(path);
  const io::Metadata metadata = io::summary(path).metadata;
  return {std::move(contents), Json::parse(metadata.at(std::string(program::kMetadataKey)))};
}

/// Where two kernels, slots and so on differ: `inputs/0/coef [1] became [2]`.
std::string first_difference(const Json& a, const Json& b) {
  const Json changes = Json::diff(a, b);
  const std::string path = changes[0]["path"];
  const auto at = [&](const Json& x) {
    const Json::json_pointer place(path);
    return x.contains(place) ? x[place].dump() : "none";
  };
  return path.substr(1) + ' ' + became(at(a), at(b));
}

std::string how_differs(const program::Call& x, const program::Call& y, const Json& a, const Json& b) {
  if (x.outputs != y.outputs) return became(text_of(x.outputs), text_of(y.outputs));
  const Json &before = a["kernels"], &after = b["kernels"];
  const size_t count = std::min(before.size(), after.size());
  size_t k = 0;
  while (k < count && before[k] == after[k]) ++k;
  const std::string counts = before.size() == after.size() ? "" : text(before.size(), " kernels became ", after.size());
  if (k < count) {
    const std::string one = debug::label(x.kernels[k]), other = debug::label(y.kernels[k]);
    return text(counts, counts.empty() ? "" : "; ", "kernel ", k, " ",
                one != other ? became(one, other) : one + ": " + first_difference(before[k], after[k]));
  }
  if (!counts.empty()) return text(counts, "; the first ", count, " are equal");
  return a == b ? "" : first_difference(a, b);
}

std::vector<Difference> differences_of_programs(const std::string& path_a, const std::string& path_b) {
  const auto [a, json_a] = program_of(path_a);
  const auto [b, json_b] = program_of(path_b);
  std::vector<Difference> all;
  const auto find = [](const program::Contents& contents, const program::Call& call) {
    return size_t(std::ranges::find(contents.calls, call.inputs, &program::Call::inputs) - contents.calls.begin());
  };
  for (size_t i = 0; i < a.calls.size(); ++i) {
    const program::Call& call = a.calls[i];
    const size_t j = find(b, call);
    const std::string how =
        j == b.calls.size() ? "missing" : how_differs(call, b.calls[j], json_a["calls"][i], json_b["calls"][j]);
    if (!how.empty()) all.push_back({"call " + text_of(call.inputs), how});
  }
  for (const program::Call& call : b.calls)
    if (find(a, call) == a.calls.size()) all.push_back({"call " + text_of(call.inputs), "added"});
  for (const char* key : {"random", "frozen"})  // where it is not a part of what was said
    if (all.empty() && json_a[key] != json_b[key]) all.push_back({key, first_difference(json_a[key], json_b[key])});
  return all;
}

}  // namespace

bool are_networks(const std::string& a, const std::string& b) {
  return (is_onnx(a) && is_onnx(b)) || (is_program(a) && is_program(b));
}

std::vector<Difference> differences(const std::string& a, const std::string& b) {
  if (!are_networks(a, b)) return {};
  if (is_program(a)) return differences_of_programs(a, b);
  const OnnxFile before(a), after(b);
  return differences_of(before.proto, after.proto);
}

}  // namespace teeny::tool
