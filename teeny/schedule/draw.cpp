// The lazy graph as Graphviz draws it, each kernel's nodes in one colour.
#include "teeny/schedule/draw.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>

#include "teeny/debug/trace.h"
#include "tinyops/base/environment.h"

namespace teeny {
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
    out << "  // kernel " << s << ": " << debug::label(steps[s].kernel) << '\n';
  out << "}\n";
  size = seen.size();
  return out.str();
}

/// The largest graph so far. Its end is the program's: then it is drawn, and what goes wrong is a line on stderr.
class Drawing {
 public:
  void offer(std::span<const LazyBuffer> targets, std::span<const Step> steps) {
    size_t size = 0;
    std::string source = dot_source(targets, steps, size);
    const std::lock_guard lock(mutex_);
    if (size <= largest_ || size > kMostNodes) return;
    largest_ = size;
    source_ = std::move(source);
  }

  ~Drawing() {
    if (source_.empty()) return;
    if (file_.ends_with(".dot")) {
      std::ofstream file(file_);
      if (!(file << source_).flush()) std::fprintf(stderr, "GRAPH: cannot write %s\n", file_.c_str());
      return;
    }
    std::string quoted;  // the path is one argument, whatever characters it has
    for (char c : file_) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    const std::string command = "dot -T" + file_.substr(file_.find_last_of('.') + 1) + " -o '" + quoted + "'";
    std::FILE* dot = popen(command.c_str(), "w");
    if (dot) std::fwrite(source_.data(), 1, source_.size(), dot);
    if (!dot || pclose(dot) != 0)
      std::fprintf(stderr, "GRAPH: could not draw %s with Graphviz's dot (package graphviz)\n", file_.c_str());
  }

 private:
  const std::string file_ = tinyops::environment::graph();
  std::mutex mutex_;
  size_t largest_ = 0;
  std::string source_;
};

}  // namespace

void draw_at_exit(std::span<const LazyBuffer> targets, std::span<const Step> steps) {
  static Drawing largest_of_the_run;
  largest_of_the_run.offer(targets, steps);
}

}  // namespace teeny
