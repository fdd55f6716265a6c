#include "teeny/tool/graph.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "teeny/tool/print.h"

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

/// `['', 'layer1', 'layer1.0', 'conv']`: quoted names, the last of which is the node's own.
Scope scope_from_list(std::string_view list) {
  Scope quoted = parts_of(list, '\''), scope;
  for (const std::string& part : quoted)
    if (part != "[" && part != "]" && part != ", ") scope.push_back(part);
  if (!scope.empty()) scope.pop_back();
  return scope;
}

Scope scope_of(const Node& node, const std::unordered_set<std::string_view>& weights) {
  if (!node.scopes.empty()) return scope_from_list(node.scopes);
  Scope scope = parts_of(node.name, '/');
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
  std::unordered_set<std::string_view> weights;
  for (const onnx::TensorProto& t : graph.initializers) weights.insert(t.name);
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

constexpr int kLongest = 60;    // of a line
constexpr size_t kMostLines = 14;  // of a box

const std::map<std::string, const char*, std::less<>> kColours = {
    {"windows", "#fbe3c8"},       {"products", "#f9d5c5"},  {"recurrent", "#f6d0dc"}, {"attention", "#f6d0dc"},
    {"normalization", "#e6dcf5"}, {"elementwise", "#dcebfa"}, {"reductions", "#cfe8ea"}, {"shapes", "#ececec"},
    {"indexing", "#e3edd0"},      {"resize", "#fbe3c8"},    {"control", "#fdf3bf"},   {"losses", "#cfe8ea"}};

std::string for_html(const std::string& text) {
  std::string out;
  for (char c : shortened(printable(text), kLongest))
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
  return out;
}

std::string row(const std::string& line, const std::string& colour) {
  return "<tr><td align=\"left\" bgcolor=\"" + colour + "\">" + line + "</td></tr>";
}
std::string table(const std::string& name, const std::string& rows) {
  return "  " + name + " [label=<<table border=\"1\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"3\">" + rows +
         "</table>>];\n";
}

std::string colour_of(const std::string& op) {
  const auto found = kColours.find(onnx::family_of(op));
  return found == kColours.end() ? "#ffffff" : found->second;
}

/// What tells one call of an operation from another: `3x3 stride 2`.
std::string attributes_of(const Node& node) {
  std::string out;
  const auto joined = [](const std::vector<int64_t>& values, const char* between) {
    std::string all;
    for (int64_t v : values) all += text(all.empty() ? "" : between, v);
    return all;
  };
  const auto all_one = [](const std::vector<int64_t>& values) { return std::ranges::all_of(values, [](int64_t v) { return v == 1; }); };
  for (const auto& [name, shown, between] : {std::tuple("kernel_shape", "", "x"), {"strides", "stride ", "x"}, {"dilations", "dilation ", "x"},
                                             {"perm", "", " "}, {"axes", "axes ", " "}, {"pads", "", nullptr}})
    if (const onnx::Attribute* a = node.find(name); a && between && (!all_one(a->ints) || !*shown) && !a->ints.empty())
      out += " " + (shown + joined(a->ints, between));
  if (const onnx::Attribute* a = node.find("group"); a && a->i > 1) out += text(" groups ", a->i);
  if (const onnx::Attribute* a = node.find("axis")) out += text(" axis ", a->i);
  if (const onnx::Attribute* a = node.find("to")) out += " " + onnx::name_of(onnx::Type(a->i));
  return out;
}

using Weights = std::unordered_map<std::string_view, const onnx::TensorProto*>;

int64_t elements_of(const onnx::TensorProto& t) {
  int64_t count = 1;
  for (int64_t size : t.dims)
    if (__builtin_mul_overflow(count, size, &count)) return 0;
  return count;
}

std::string line_of(const Node& node, const Weights& weights) {
  std::string line = "<b>" + for_html(node.op) + "</b>" + for_html(attributes_of(node));
  const onnx::TensorProto* largest = nullptr;
  for (const std::string& name : node.inputs)
    if (const auto found = weights.find(name); found != weights.end() && found->second->dims.size() > 1)
      if (!largest || elements_of(*found->second) > elements_of(*largest)) largest = found->second;
  return largest ? line + "  " + text(Shape(largest->dims.begin(), largest->dims.end())) : line;
}

/// Operations and how many there are of each, from the most frequent; the nodes' own graphs included.
std::vector<std::pair<std::string, size_t>> ops_of(const std::vector<const Node*>& nodes, bool inner_only) {
  std::map<std::string, size_t> count;
  for (const Node* node : nodes)
    each_node(*node, [&](const Node& each) { count[each.op] += !inner_only || &each != node; });
  std::vector<std::pair<std::string, size_t>> ops;
  for (const auto& op : count)
    if (op.second > 0) ops.push_back(op);
  std::ranges::stable_sort(ops, std::greater(), &std::pair<std::string, size_t>::second);
  return ops;
}

std::string rows_of(const Box& box, const Weights& weights) {
  std::vector<std::string> rows;
  const auto add_ops = [&](bool inner_only) {
    for (const auto& [op, count] : ops_of(box.nodes, inner_only))
      rows.push_back(row("  " + text(count) + " " + for_html(op), colour_of(op)));
  };
  if (!box.module.empty()) {
    int64_t elements = 0;
    std::set<std::string> counted;
    for (const Node* node : box.nodes)
      for (const std::string& name : node->inputs)
        if (const auto found = weights.find(name); found != weights.end() && counted.insert(name).second)
          elements += elements_of(*found->second);
    rows.push_back(row("<b>" + for_html(box.module) + "</b>", "#ffffff"));
    add_ops(false);
    if (elements > 0) rows.push_back(row(grouped(elements) + " weights", "#ffffff"));
  } else {
    for (const Node* node : box.nodes) rows.push_back(row(line_of(*node, weights), colour_of(node->op)));
    add_ops(true);
  }
  if (rows.size() > kMostLines + 1) {
    const size_t left = kMostLines / 2;
    rows[left] = row(text("... ", rows.size() - kMostLines, " more"), "#ffffff");
    rows.erase(rows.begin() + ptrdiff_t(left) + 1, rows.end() - ptrdiff_t(kMostLines - left));
  }
  std::string all;
  for (const std::string& each : rows) all += each;
  return all;
}

std::string shape_text(const onnx::ValueInfo& info) {
  std::string out;
  if (!info.shape) return out;
  for (const onnx::Size& size : *info.shape)
    out += (out.empty() ? "" : "x") + (size.value >= 0 ? std::to_string(size.value) : size.name.empty() ? "?" : size.name);
  return out.empty() ? "scalar" : out;
}

std::string legend(const Drawing& drawing) {
  std::set<std::string> families;
  for (const Box& box : drawing.boxes)
    for (const auto& [op, count] : ops_of(box.nodes, false)) families.insert(onnx::family_of(op));
  std::string rows;
  for (const std::string& family : families)
    rows += family.empty() ? row("not in teeny", "#ffffff") : row(family, kColours.find(family)->second);
  return table("legend", rows);
}

}  // namespace

std::string dot_of(const Drawing& drawing, const Graph& graph, const std::map<std::string, onnx::ValueInfo>& values) {
  Weights weights;
  for (const onnx::TensorProto& t : graph.initializers) weights[t.name] = &t;
  std::string out =
      "digraph model {\n  node [shape=plain fontname=\"sans-serif\" fontsize=11];\n"
      "  edge [color=\"#555555\" fontname=\"sans-serif\" fontsize=9 fontcolor=\"#555555\"];\n"
      "  graph [fontname=\"sans-serif\" fontsize=10 color=\"#aaaaaa\" labeljust=l ranksep=0.3 nodesep=0.25];\n" +
      legend(drawing);
  const auto node_of = [](int place, const char* outside) { return place >= 0 ? text('b', place) : text(outside, -1 - place); };
  const auto add_outside = [&](const std::vector<onnx::ValueInfo>& infos, const char* letter, auto end) {
    std::set<int> used;
    for (const auto& [arrow, names] : drawing.arrows)
      if (arrow.*end < 0) used.insert(-1 - arrow.*end);
    for (int k : used) {
      const onnx::ValueInfo& info = infos[size_t(k)];
      out += table(text(letter, k), row("<b>" + for_html(info.name) + "</b>", "#dff2dc") +
                                        row(for_html(onnx::name_of(info.type) + " " + shape_text(info)), "#dff2dc"));
    }
  };
  add_outside(graph.inputs, "in", &Arrow::from);
  add_outside(graph.outputs, "out", &Arrow::to);

  // Boxes in their modules: a tree, written depth first.
  std::map<Scope, std::vector<size_t>> inside;
  for (size_t b = 0; b < drawing.boxes.size(); ++b) inside[drawing.boxes[b].scope].push_back(b);
  Scope open;
  const auto close_to = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back()) out += "  }\n";
  };
  size_t clusters = 0;
  for (const auto& [scope, boxes] : inside) {  // in the order of names, a module comes right before what lies in it
    const size_t shared = size_t(std::ranges::mismatch(open, scope).in1 - open.begin());
    close_to(shared);
    for (size_t k = shared; k < scope.size(); ++k) {
      out += text("  subgraph cluster", clusters++, " { label=<", for_html(scope[k]), ">;\n");
      open.push_back(scope[k]);
    }
    for (size_t b : boxes) out += table(text('b', b), rows_of(drawing.boxes[b], weights));
  }
  close_to(0);

  for (const auto& [arrow, names] : drawing.arrows) {
    std::vector<std::string> shapes;
    for (const std::string& name : names) {
      const auto found = values.find(name);
      const std::string shape = found == values.end() ? "" : for_html(shape_text(found->second));
      if (!shape.empty() && std::ranges::find(shapes, shape) == shapes.end()) shapes.push_back(shape);
    }
    std::string label;
    for (size_t k = 0; k < std::min<size_t>(shapes.size(), 3); ++k) label += (k ? "<br/>" : "") + shapes[k];
    out += text("  ", node_of(arrow.from, "in"), " -> ", node_of(arrow.to, "out"), label.empty() ? "" : " [label=<" + label + ">]", ";\n");
  }
  return out + "}\n";
}

}  // namespace teeny::tool
