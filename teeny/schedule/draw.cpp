// The kernels of a graph as Graphviz draws them: a box each, with an arrow from whatever wrote what it reads.
#include "teeny/schedule/draw.h"

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "teeny/debug/trace.h"
#include "tinyops/base/environment.h"

namespace teeny {
namespace {

using tinyops::Buffer, tinyops::Kernel, tinyops::Operand;

constexpr size_t kMostKernels = 500;  ///< Graphviz takes minutes beyond that
constexpr size_t kMostLines = 10;     ///< of a kernel's program

/// How much a picture has to show: the kernels and what they compute.
size_t size_of(std::span<const Step> steps) {
  size_t size = 0;
  for (const Step& step : steps) {
    const auto* contract = std::get_if<tinyops::ContractKernel>(&step.kernel);
    const auto* rows = contract ? &contract->epilogue : std::get_if<tinyops::RowKernel>(&step.kernel);
    size += 1 + (rows ? rows->program.size() : 0);
  }
  return size;
}

/// The nodes of a graph that are in memory, by their buffers.
std::map<const Buffer*, const Node*> inputs_of(std::span<const LazyBuffer> targets) {
  std::map<const Buffer*, const Node*> inputs;
  std::set<const Node*> seen;
  std::vector<const Node*> stack;
  for (const LazyBuffer& target : targets) stack.push_back(target.node().get());
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (!seen.insert(node).second) continue;
    if (node->realized()) inputs[node->buffer.get()] = node;
    for (const LazyBuffer& source : node->sources) stack.push_back(source.node().get());
  }
  return inputs;
}

constexpr const char *kInputColour = "#e8e8e8", *kRowsColour = "#dcebfa", *kContractColour = "#fbe3c8",
                     *kOtherColour = "#dff2dc";

/// A line of a box. Graphviz reads a part of HTML.
std::string table_row(const std::string& line, const char* colour, bool bold = false) {
  std::string escaped;
  for (char c : line) escaped += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  if (bold) escaped = "<b>" + escaped + "</b>";
  return text("<tr><td align=\"left\" bgcolor=\"", colour, "\">", escaped, "</td></tr>");
}

std::string node(const std::string& name, const std::string& rows) {
  return text("  ", name, " [label=<<table border=\"1\" cellborder=\"0\" cellspacing=\"0\" cellpadding=\"2\">", rows,
              "</table>>];\n");
}

std::string box(const std::string& name, const std::vector<std::string>& lines, const char* colour) {
  std::string rows;
  for (size_t i = 0; i < lines.size(); ++i) rows += table_row(lines[i], colour, i == 0);
  return node(name, rows);
}

std::string legend(size_t kernels) {
  return node("legend",
              table_row(text(kernels, kernels == 1 ? " kernel" : " kernels, numbered as they run"), "white", true) +
                  table_row("input: in memory before they run", kInputColour) +
                  table_row("rows (outer | inner): element by element; reduce: over the inner axes", kRowsColour) +
                  table_row("contract (outer | summed): sum of a * b, and what is made of it", kContractColour) +
                  table_row("gather, scatter, scan, sort, random", kOtherColour) +
                  table_row("stores: for other kernels; result: for the program", "white"));
}

const char* colour_of(const Kernel& kernel) {
  if (std::holds_alternative<tinyops::ContractKernel>(kernel)) return kContractColour;
  return std::holds_alternative<tinyops::RowKernel>(kernel) ? kRowsColour : kOtherColour;
}

/// What the program of a kernel computes: `%4 = Mul a 0.5`, where a to p are its inputs.
std::vector<std::string> program_lines(const tinyops::RowKernel& k) {
  std::vector<std::string> values, lines;
  for (size_t i = 0; i < k.program.size(); ++i) {
    const tinyops::Instruction& instruction = k.program[i];
    if (const auto* load = std::get_if<tinyops::Load>(&instruction.op)) {
      const tinyops::Input& input = k.inputs[size_t(load->input)];
      values.push_back(input.kind == tinyops::Input::Kind::Sum        ? "sum"
                       : input.kind == tinyops::Input::Kind::Address  ? "position"
                       : input.kind == tinyops::Input::Kind::Constant ? text(input.constant, " inside")
                                                                      : std::string(1, char('a' + load->input)));
    } else if (const auto* constant = std::get_if<tinyops::Constant>(&instruction.op)) {
      values.push_back(text(constant->value));
    } else {
      std::string line = text('%', i, " = ", debug::op_name(instruction));
      for (int arg : instruction.args)
        if (arg >= 0) line += " " + values[size_t(arg)];
      lines.push_back(line);
      values.push_back(text('%', i));
    }
  }
  if (lines.size() > kMostLines + 1) {
    const size_t more = lines.size() - kMostLines;
    lines.resize(kMostLines);
    lines.push_back(text("... ", more, " more"));
  }
  return lines;
}

std::string dot_source(std::span<const LazyBuffer> targets, std::span<const Step> steps) {
  std::string out =
      "digraph teeny {\n  node [shape=plain fontname=\"sans-serif\" fontsize=11]; edge [color=\"#555555\"];\n"
      "  ranksep=0.3; nodesep=0.2;\n" +
      legend(steps.size());
  const auto inputs = inputs_of(targets);
  std::map<const Buffer*, size_t> input_number, writer;  // the kernel that wrote to a buffer last
  for (size_t s = 0; s < steps.size(); ++s) {
    const Step& step = steps[s];
    const std::string label = debug::label(step.kernel);  // without its program
    std::vector<std::string> lines{text(s, "  ", label.substr(0, label.find(')') + 1))};
    std::set<std::string> arrows;
    char letter = 'a';
    std::string last;
    tinyops::for_each_operand(step.kernel, [&](const Operand& operand, bool written) {
      const Buffer* buffer = operand.buffer.get();
      if (written) return;
      std::string from;
      if (const auto kernel = writer.find(buffer); kernel != writer.end()) {
        from = text("kernel ", kernel->second);
        arrows.insert(text("k", kernel->second));
      } else {
        const auto [input, is_new] = input_number.try_emplace(buffer, input_number.size());
        from = text("input ", input->second);
        arrows.insert(text("i", input->second));
        if (is_new) {
          const auto node = inputs.find(buffer);
          const std::string shape = node == inputs.end() ? "" : text(' ', node->second->shape());
          out += box(text("i", input->second), {from, text(operand.dtype, shape)}, kInputColour);
        }
      }
      if (from == last) lines.back().insert(lines.back().find(" = "), text(", ", letter++));  // a, b, c = kernel 6
      else lines.push_back(text(letter++, " = ", from));
      last = from;
    });
    if (const auto* contract = std::get_if<tinyops::ContractKernel>(&step.kernel)) {
      for (std::string& line : program_lines(contract->epilogue)) lines.push_back(std::move(line));
    } else if (const auto* rows = std::get_if<tinyops::RowKernel>(&step.kernel)) {
      for (std::string& line : program_lines(*rows)) lines.push_back(std::move(line));
    }
    for (const Step::Result& result : step.results) {
      const bool kept =
          std::ranges::any_of(targets, [&](const LazyBuffer& target) { return target.node() == result.node; });
      lines.push_back(text(kept ? "result " : "stores ", result.node->dtype, ' ', result.node->shape()));
      writer[result.buffer.get()] = s;
    }
    out += box(text("k", s), lines, colour_of(step.kernel));
    for (const std::string& from : arrows) out += text("  ", from, " -> k", s, ";\n");
  }
  return out + "}\n";
}

/// The largest graph so far. Its end is the program's: then it is drawn. What goes wrong there is a line on stderr, and
/// the program ends as it would have.
class Drawing {
 public:
  void offer(std::span<const LazyBuffer> targets, std::span<const Step> steps) {
    const std::lock_guard lock(mutex_);
    if (!file_.ends_with(".dot") && steps.size() > kMostKernels) {
      left_out_ = std::max(left_out_, steps.size());
      return;
    }
    const size_t size = size_of(steps);
    if (size <= largest_) return;
    source_ = dot_source(targets, steps);
    largest_ = size;
  }

  ~Drawing() {
    if (const std::string problem = draw(); !problem.empty()) std::fprintf(stderr, "%s\n", problem.c_str());
  }

  /// Draws it, once. Returns why it cannot; that there is no Graphviz is only a line on stderr.
  std::string draw() {
    const std::lock_guard lock(mutex_);
    const std::string source = std::exchange(source_, "");
    if (const size_t kernels = std::exchange(left_out_, 0))
      std::fprintf(
          stderr,
          "GRAPH: a graph of %zu kernels is not drawn, Graphviz would take minutes; a .dot file takes all sizes\n",
          kernels);
    if (source.empty()) return "";
    if (file_.ends_with(".dot")) {
      std::ofstream out(file_);
      return (out << source).flush() ? "" : text("GRAPH: cannot write ", file_, ": ", std::strerror(errno));
    }
    switch (const int status = run_dot(source)) {
      case 0: return "";
      case kNoDot:
        std::fprintf(stderr,
                     "GRAPH: %s is not drawn: Graphviz's dot is missing (package graphviz); a .dot file needs none\n",
                     file_.c_str());
        return "";
      default: return text("GRAPH: ", file_, " is not drawn: Graphviz's dot ended with status ", status);
    }
  }

 private:
  static constexpr int kNoDot = 127;  ///< a shell's answer to a command that is not there

  /// The status with which dot ends.
  int run_dot(const std::string& source) const {
    std::string quoted;  // the path is one argument, whatever characters it has
    for (char c : file_) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    const std::string command = text("command -v dot > /dev/null || exit ", kNoDot, "; exec dot -T",
                                     file_.substr(file_.find_last_of('.') + 1), " -o '", quoted, "'");
    const auto before =
        std::signal(SIGPIPE, SIG_IGN);  // where dot ends before it has read everything, that is no reason to die
    std::FILE* dot = popen(command.c_str(), "w");
    if (dot) std::fwrite(source.data(), 1, source.size(), dot);
    const int status = dot ? pclose(dot) : -1;
    std::signal(SIGPIPE, before);
    return WIFEXITED(status) ? WEXITSTATUS(status) : status;
  }

  const std::string file_ = debug::of_this_rank(tinyops::environment::graph());
  std::mutex mutex_;
  size_t largest_ = 0, left_out_ = 0;
  std::string source_;
};

Drawing& largest_of_the_run() {
  static Drawing drawing;
  return drawing;
}

}  // namespace

void draw_at_exit(std::span<const LazyBuffer> targets, std::span<const Step> steps) {
  largest_of_the_run().offer(targets, steps);
}

void end_traces() {
  if (const std::string problem = largest_of_the_run().draw(); !problem.empty()) fail(problem);
  debug::end_timeline();
}

}  // namespace teeny
