#include "teeny/tool/graph.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "teeny/tool/dot.h"
#include "teeny/tool/files.h"

namespace teeny::tool {

namespace {

using onnx::Graph, onnx::Node;

void each_node(const Node& node, const std::function<void(const Node&)>& use) {
  use(node);
  for (const onnx::Attribute& a : node.attributes)
    if (a.graph)
      for (const Node& inner : a.graph->nodes) each_node(inner, use);
}

/// Nodes that depend on weights and shapes alone, and are no result.
std::unordered_set<const Node*> nodes_to_leave_out(const Graph& graph) {
  std::unordered_set<std::string_view> known, results;
  for (const onnx::TensorProto& t : graph.initializers) known.insert(t.name);
  for (const onnx::ValueInfo& input : graph.inputs) known.erase(input.name);
  for (const onnx::ValueInfo& output : graph.outputs) results.insert(output.name);
  std::unordered_set<const Node*> left_out;
  for (const Node& node : graph.nodes) {
    bool is_known = true;
    each_node(node, [&](const Node& inner) {
      for (const std::string& name : inner.inputs) is_known = is_known && (name.empty() || known.contains(name));
    });
    if (!is_known && node.op != "Shape" && node.op != "Size") continue;
    for (const std::string& name : node.outputs) known.insert(name);
    if (std::ranges::none_of(node.outputs, [&](const std::string& name) { return results.contains(name); }))
      left_out.insert(&node);
  }
  return left_out;
}

/// Parts between a separator; empty ones are left out.
Scope parts_of(std::string_view text, char separator) {
  Scope parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Scope scope_of(const Node& node, const std::unordered_set<std::string_view>& weights) {
  Scope scope =
      parts_of(node.scopes, '\'');  // ['', 'layer1', 'layer1.0', 'conv1']: the last one is the node's own name
  std::erase_if(scope, [](const std::string& part) { return part.find_first_of("[],") == 0; });
  if (scope.empty()) scope = parts_of(node.name, '/');
  if (scope.size() > 1) return scope.pop_back(), scope;
  for (const std::string& input : node.inputs)
    if (Scope path = parts_of(input, '.'); weights.contains(input) && path.size() > 1) {
      path.pop_back();
      for (size_t k = 1; k < path.size(); ++k) path[k].insert(0, path[k - 1] + ".");
      return path;
    }
  return {};
}

/// Without modules that say nothing: those with all the nodes of the module around them, and those in which no node
/// feeds another, such as an activation that is called twice.
void simplify(std::vector<std::pair<const Node*, Scope>>& nodes) {
  std::map<Scope, size_t> count, arrows;
  std::unordered_map<std::string_view, const Scope*> maker;
  const auto each_prefix = [](const Scope& scope, size_t size, auto use) {
    for (size_t k = 0; k <= size; ++k) use(Scope(scope.begin(), scope.begin() + ptrdiff_t(k)));
  };
  for (const auto& [node, scope] : nodes) {
    each_prefix(scope, scope.size(), [&](const Scope& prefix) { ++count[prefix]; });
    for (const std::string& name : node->outputs) maker[name] = &scope;
    for (const std::string& name : node->inputs)
      if (const auto from = maker.find(name); from != maker.end()) {
        const auto differ = std::ranges::mismatch(scope, *from->second).in1;
        each_prefix(scope, size_t(differ - scope.begin()), [&](const Scope& prefix) { ++arrows[prefix]; });
      }
  }
  for (auto& [node, scope] : nodes) {
    Scope kept, prefix;
    size_t around = nodes.size();
    for (const std::string& module : scope) {
      prefix.push_back(module);
      const size_t inside = count[prefix];
      if (arrows[prefix] > 0 && inside < around) kept.push_back(module);
      around = inside;
    }
    scope = std::move(kept);
  }
}

/// Who makes what in the graph, by boxes.
void connect(Drawing& drawing, const Graph& graph) {
  std::unordered_map<std::string_view, int> maker;
  for (size_t k = 0; k < graph.inputs.size(); ++k) maker[graph.inputs[k].name] = -1 - int(k);
  for (size_t b = 0; b < drawing.boxes.size(); ++b)
    for (const Node* node : drawing.boxes[b].nodes)
      for (const std::string& name : node->outputs) maker[name] = int(b);
  drawing.arrows.clear();
  const auto connect_to = [&](const std::string& name, int to) {
    const auto found = maker.find(name);
    if (name.empty() || found == maker.end() || (found->second == to && to >= 0)) return;
    std::vector<std::string>& values = drawing.arrows[{found->second, to}];
    if (std::ranges::find(values, name) == values.end()) values.push_back(name);
  };
  for (size_t b = 0; b < drawing.boxes.size(); ++b)
    for (const Node* node : drawing.boxes[b].nodes)
      each_node(*node, [&](const Node& inner) {
        for (const std::string& name : inner.inputs) connect_to(name, int(b));
      });
  for (size_t k = 0; k < graph.outputs.size(); ++k) connect_to(graph.outputs[k].name, -1 - int(k));
}

/// One box of two, where the one feeds the other and nothing else, and is fed to by nothing else.
void merge_chains(Drawing& drawing, const Graph& graph) {
  connect(drawing, graph);
  const size_t count = drawing.boxes.size();
  std::vector<int> next(count, -1), sources(count, 0), targets(count, 0);
  for (const auto& [arrow, values] : drawing.arrows) {
    if (arrow.from >= 0) ++targets[size_t(arrow.from)];
    if (arrow.to >= 0) ++sources[size_t(arrow.to)];
    if (arrow.from >= 0 && arrow.to >= 0) next[size_t(arrow.from)] = arrow.to;
  }
  std::vector<Box> merged;
  std::vector<bool> inside(count, false);
  const auto follows = [&](size_t b) {
    if (next[b] < 0 || targets[b] != 1) return false;
    const Box &from = drawing.boxes[b], &to = drawing.boxes[size_t(next[b])];
    return sources[size_t(next[b])] == 1 && from.module.empty() && to.module.empty() && from.scope == to.scope;
  };
  for (size_t b = 0; b < count; ++b)
    if (follows(b)) inside[size_t(next[b])] = true;
  for (size_t b = 0; b < count; ++b) {
    if (inside[b]) continue;
    merged.push_back(drawing.boxes[b]);
    for (size_t at = b; follows(at); at = size_t(next[at]))
      merged.back().nodes.push_back(drawing.boxes[size_t(next[at])].nodes[0]);
  }
  drawing.boxes = std::move(merged);
  connect(drawing, graph);
}

Drawing draw_to_depth(const std::vector<std::pair<const Node*, Scope>>& nodes, const Graph& graph, int depth) {
  Drawing drawing{.depth = depth};
  std::map<Scope, size_t> modules;  // of those that are one box: which
  for (const auto& [node, scope] : nodes) {
    if (int(scope.size()) < depth) {
      drawing.boxes.push_back({scope, "", {node}});
      continue;
    }
    const Scope around(scope.begin(), scope.begin() + (depth - 1)), module(scope.begin(), scope.begin() + depth);
    const auto [found, is_new] = modules.try_emplace(module, drawing.boxes.size());
    if (is_new) drawing.boxes.push_back({around, module.back()});
    drawing.boxes[found->second].nodes.push_back(node);
  }
  merge_chains(drawing, graph);
  return drawing;
}

}  // namespace

Drawing drawing_of(const Graph& graph, int depth, size_t most) {
  const auto left_out = nodes_to_leave_out(graph);
  std::unordered_set<std::string_view> weights;  // not numbers: "scalar_0.5"
  for (const onnx::TensorProto& t : graph.initializers)
    if (!t.dims.empty()) weights.insert(t.name);
  std::vector<std::pair<const Node*, Scope>> nodes;
  for (const Node& node : graph.nodes)
    if (!left_out.contains(&node)) nodes.emplace_back(&node, scope_of(node, weights));
  simplify(nodes);
  int deepest = 0;
  for (const auto& [node, scope] : nodes) deepest = std::max(deepest, int(scope.size()));
  Drawing drawing;
  int at = depth < 0 ? deepest + 1 : std::clamp(depth, 1, deepest + 1);
  do drawing = draw_to_depth(nodes, graph, at);
  while (depth < 0 && drawing.boxes.size() > most && --at >= 1);
  drawing.left_out = left_out.size();
  drawing.deepest = deepest + 1;
  return drawing;
}

// ---- As Graphviz draws it ------------------------------------------------------------------------------------------

namespace {

constexpr size_t kMostLines = 14;  // of a box

const std::map<std::string, const char*> kColours = {
    {"windows", "#fbe3c8"},       {"resize", "#fbe3c8"},      {"sampling", "#fbe3c8"},
    {"spectral", "#e6dcf5"},      {"products", "#f9d5c5"},    {"recurrent", "#f6d0dc"},
    {"attention", "#f6d0dc"},     {"reductions", "#cfe8ea"},  {"losses", "#cfe8ea"},
    {"normalization", "#e6dcf5"}, {"elementwise", "#dcebfa"}, {"shapes", "#ececec"},
    {"indexing", "#e3edd0"},      {"control", "#fdf3bf"},     {"", kPlain}};

std::string colour_of(const std::string& family) {
  const auto found = kColours.find(family);
  return found == kColours.end() ? kPlain : found->second;
}
std::string colour_of(const Node& node) { return colour_of(onnx::family_of(node.op)); }

/// What tells one call of an operation from another: `3×3 stride 2×2`.
std::string attributes_of(const Node& node) {
  std::string out;
  for (const auto& [name, before, between] : {std::tuple("kernel_shape", "", "×"),
                                              {"strides", "stride ", "×"},
                                              {"dilations", "dilation ", "×"},
                                              {"perm", "", " "},
                                              {"axes", "axes ", " "}})
    if (const onnx::Attribute* a = node.find(name); a && !a->ints.empty()) {
      const bool is_usual = *before == 's' || *before == 'd';  // where they are all 1
      if (!is_usual || std::ranges::any_of(a->ints, [](int64_t v) { return v != 1; }))
        out += " " + (before + joined(a->ints, between));
    }
  if (const onnx::Attribute* a = node.find("group"); a && a->i > 1) out += text(" groups ", a->i);
  if (const onnx::Attribute* a = node.find("axis")) out += text(" axis ", a->i);
  if (const onnx::Attribute* a = node.find("to")) out += " " + onnx::name_of(onnx::Type(a->i));
  return out;
}

using Weights = std::map<std::string_view, const onnx::TensorProto*>;

std::string line_of(const Node& node, const Weights& weights) {
  const onnx::TensorProto* largest = nullptr;
  for (const std::string& name : node.inputs)
    if (const auto found = weights.find(name); found != weights.end() && found->second->dims.size() > 1)
      if (!largest || elements_of(found->second->dims) > elements_of(largest->dims)) largest = found->second;
  return "<b>" + for_html(node.op) + "</b>" + for_html(attributes_of(node)) +
         (largest ? "  (" + joined(largest->dims, ", ") + ")" : "");
}

/// A row for each operation, the most frequent ones first. Of the graphs inside of nodes, or of all.
std::vector<std::string> op_rows(const std::vector<const Node*>& nodes, bool inner_only) {
  std::map<std::string, std::pair<int64_t, std::string>> ops;  // how many, minus, and the row's colour
  for (const Node* node : nodes)
    each_node(*node, [&](const Node& each) {
      if ((inner_only && &each == node) || each.op == "Constant") return;
      auto& [count, colour] = ops[each.op];
      --count, colour = colour_of(each);
    });
  std::multimap<int64_t, std::string> rows;
  for (const auto& [op, counted] : ops)
    rows.emplace(counted.first, row(text("  ", -counted.first, ' ', for_html(op)), counted.second));
  std::vector<std::string> sorted;
  for (auto& [count, html] : rows) sorted.push_back(std::move(html));
  return sorted;
}

std::string rows_of(const Box& box, const Weights& weights) {
  const bool is_chain = box.module.empty();
  std::vector<std::string> rows;
  for (const Node* node : box.nodes)
    if (is_chain) rows.push_back(row(line_of(*node, weights), colour_of(*node)));
  for (std::string& each : op_rows(box.nodes, is_chain)) rows.push_back(std::move(each));
  const size_t more = rows.size() > kMostLines + 1 ? rows.size() - kMostLines : 0;
  std::string all = is_chain ? "" : row("<b>" + for_html(box.module) + "</b>", kPlain);
  for (size_t k = 0; k + more < rows.size(); ++k) all += rows[k];
  if (more > 0) all += row(text("... ", more, " more"), kPlain);
  if (is_chain) return all;
  std::set<std::string_view> names;
  int64_t elements = 0;
  for (const Node* node : box.nodes)
    for (const std::string& name : node->inputs)
      if (const auto found = weights.find(name); found != weights.end() && names.insert(name).second)
        elements += elements_of(found->second->dims);
  return all + (elements > 0 ? row(grouped(elements) + " weights", kPlain) : "");
}

std::string shape_text(const onnx::ValueInfo& info) {
  constexpr size_t kLongestName = 12;  // exporters put formulas there
  std::vector<std::string> sizes;
  for (const onnx::Size& size : info.shape.value_or(std::vector<onnx::Size>()))
    sizes.push_back(size.value >= 0                                        ? std::to_string(size.value)
                    : size.name.empty() || size.name.size() > kLongestName ? "?"
                                                                           : size.name);
  return !info.shape ? "" : sizes.empty() ? "scalar" : for_html(joined(sizes, "×"));
}

/// `layer1.0.conv1` inside of `layer1.0` is `conv1`.
std::string name_inside(const std::string& module, const std::string& around) {
  return module.starts_with(around + ".") ? module.substr(around.size() + 1) : module;
}

}  // namespace

std::string dot_of(const Drawing& drawing, const Graph& graph, const std::map<std::string, onnx::ValueInfo>& values) {
  Weights weights;
  for (const onnx::TensorProto& t : graph.initializers) weights[t.name] = &t;
  std::string out = text("digraph model {\n", kGraphStyle);
  std::set<std::string> families;
  for (const Box& box : drawing.boxes)
    for (const Node* node : box.nodes)
      each_node(*node, [&](const Node& each) { families.insert(onnx::family_of(each.op)); });
  std::string legend;
  for (const std::string& family : families) legend += row(family.empty() ? "not in teeny" : family, colour_of(family));
  out += table("legend", legend);

  std::set<std::string> outside;  // inputs and outputs
  const auto place = [&](int at, const char* letter, const std::vector<onnx::ValueInfo>& infos) {
    if (at >= 0) return text('b', at);
    const onnx::ValueInfo& info = infos[size_t(-1 - at)];
    outside.insert(table(text(letter, -1 - at), row("<b>" + for_html(info.name) + "</b>", kOutside) +
                                                    row(onnx::name_of(info.type) + " " + shape_text(info), kOutside)));
    return text(letter, -1 - at);
  };
  for (const auto& [arrow, names] : drawing.arrows) {
    std::set<std::string> shapes;
    for (const std::string& name : names)
      if (const auto found = values.find(name); found != values.end()) shapes.insert(shape_text(found->second));
    out += "  " + place(arrow.from, "in", graph.inputs) + " -> " + place(arrow.to, "out", graph.outputs) + " [label=<" +
           joined(shapes, "<br/>") + " >];\n";
  }
  for (const std::string& each : outside) out += each;

  std::map<Scope, std::vector<size_t>> inside;  // in this order a module comes before what lies in it
  for (size_t b = 0; b < drawing.boxes.size(); ++b) inside[drawing.boxes[b].scope].push_back(b);
  Scope open;
  int clusters = 0;
  for (const auto& [scope, boxes] : inside) {
    const size_t shared = size_t(std::ranges::mismatch(open, scope).in1 - open.begin());
    for (; open.size() > shared; open.pop_back()) out += "  }\n";
    for (; open.size() < scope.size(); open.push_back(scope[open.size()]))
      out += text("  subgraph cluster", clusters++, " { label=<",
                  for_html(name_inside(scope[open.size()], open.empty() ? "" : open.back())), ">;\n");
    for (size_t b : boxes) {
      Box box = drawing.boxes[b];
      if (!open.empty()) box.module = name_inside(box.module, open.back());
      out += table(text('b', b), rows_of(box, weights));
    }
  }
  for (; !open.empty(); open.pop_back()) out += "  }\n";
  return out + "}\n";
}

}  // namespace teeny::tool
