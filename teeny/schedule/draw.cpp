// GRAPH=file.svg: the lazy graph as Graphviz draws it, each kernel's nodes in one colour.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "teeny/debug/trace.h"

namespace teeny::debug {
namespace {

constexpr size_t kMostNodes = 2000;  ///< Graphviz takes minutes beyond that

std::string dot_source(std::span<const LazyBuffer> targets, std::span<const Step> steps, size_t& size) {
  // A kernel's results, and everything computed in place on the way to them. What serves two kernels shows the first.
  std::map<const Node*, size_t> kernel_of;
  for (size_t s = 0; s < steps.size(); ++s)
    for (const Step::Result& result : steps[s].results) kernel_of[result.node.get()] = s;
  for (size_t s = 0; s < steps.size(); ++s) {
    std::vector<const Node*> inside;
    for (const Step::Result& result : steps[s].results) inside.push_back(result.node.get());
    while (!inside.empty()) {
      const Node* node = inside.back();
      inside.pop_back();
      for (const LazyBuffer& source : node->sources)
        if (!source.node()->realized() && kernel_of.try_emplace(source.node().get(), s).second)
          inside.push_back(source.node().get());
    }
  }

  std::ostringstream out;
  out << "digraph teeny {\n  rankdir=LR; node [shape=box style=filled fillcolor=white fontname=\"sans-serif\"];\n";
  std::set<const Node*> seen;
  std::vector<const Node*> stack;
  for (const LazyBuffer& target : targets) stack.push_back(target.node().get());
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (!seen.insert(node).second) continue;
    out << "  n" << node << " [label=\"" << name(node->op) << "\\n" << node->dtype << ' ' << node->shape << '"';
    if (const auto kernel = kernel_of.find(node); kernel != kernel_of.end())
      out << " fillcolor=\"" << double(kernel->second * 61 % 100) / 100 << " 0.25 1.0\" xlabel=\"kernel "
          << kernel->second << '"';
    else if (node->realized()) out << " fillcolor=lightgrey";
    out << "];\n";
    for (const LazyBuffer& source : node->sources) {
      out << "  n" << source.node().get() << " -> n" << node;
      if (!source.views().is_contiguous()) out << " [label=\"" << source.shape() << "\" style=dashed]";
      out << ";\n";
      stack.push_back(source.node().get());
    }
  }
  for (size_t s = 0; s < steps.size(); ++s)
    out << "  // kernel " << s << ": " << label(steps[s].kernel) << '\n';
  out << "}\n";
  size = seen.size();
  return out.str();
}

}  // namespace

void draw_graph(std::span<const LazyBuffer> targets, std::span<const Step> steps) {
  static const char* path = std::getenv("GRAPH");
  static size_t largest = 0;
  if (!path) return;
  size_t size = 0;
  const std::string source = dot_source(targets, steps, size);
  if (size <= largest || size > kMostNodes) return;
  largest = size;

  const std::string file = path;
  if (file.ends_with(".dot")) {
    std::ofstream(file) << source;
    return;
  }
  const std::string kind = file.substr(file.find_last_of('.') + 1);
  if (kind != "svg" && kind != "png" && kind != "pdf") fail("GRAPH: ", file, " must end in .svg, .png, .pdf or .dot");
  std::string quoted;  // the path is one argument, whatever characters it has
  for (char c : file) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  std::FILE* dot = popen(("dot -T" + kind + " -o '" + quoted + "'").c_str(), "w");
  if (dot) std::fwrite(source.data(), 1, source.size(), dot);
  if (!dot || pclose(dot) != 0) fail("GRAPH: could not draw ", file, " with Graphviz's dot (package graphviz)");
}

}  // namespace teeny::debug
