// A picture of a network, by Graphviz.
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "teeny/files/replacement.h"
#include "teeny/tool/files.h"
#include "teeny/tool/graph.h"
#include "teeny/tool/network.h"
#include "teeny/tool/print.h"
#include "teeny/tool/program_graph.h"
#include "teeny/tool/tool.h"

extern char** environ;

namespace teeny::tool {

namespace {

struct Options {
  std::string model, out;
  std::vector<std::string> shapes;
  int depth = -1;
  bool json = false;
};

constexpr size_t kMostBoxes = 150;   // that are easy to read
constexpr size_t kMostDrawn = 1500;  // Graphviz takes minutes beyond that

/// Has dot read `source` and write to the file. Throws where it cannot.
void run_dot(const std::string& source, const std::string& format, data::File& to) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(std::tmpfile(), std::fclose);
  if (!from || std::fwrite(source.data(), 1, source.size(), from.get()) != source.size() ||
      std::fflush(from.get()) != 0)
    fail("cannot write a temporary file: ", std::strerror(errno));
  std::rewind(from.get());
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, fileno(from.get()), 0);
  posix_spawn_file_actions_adddup2(&files, to.descriptor(), 1);
  std::string program = "dot", option = "-T" + format;
  char* arguments[] = {program.data(), option.data(), nullptr};
  pid_t dot = 0;
  const int error = posix_spawnp(&dot, "dot", &files, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&files);
  if (error == ENOENT)
    fail("Graphviz's dot is missing: install the package graphviz; a file that ends in .dot needs none");
  if (error != 0) fail("cannot run dot: ", std::strerror(error));
  int status = 0;
  while (waitpid(dot, &status, 0) < 0 && errno == EINTR) {}
  if (status != 0)
    fail("Graphviz's dot cannot draw it: it ended with status ", WIFEXITED(status) ? WEXITSTATUS(status) : status);
}

/// Types and shapes: what the file says, and for known shapes of the inputs those of all values.
std::map<std::string, onnx::ValueInfo> values_of(const onnx::ModelProto& model, const Options& options) {
  std::map<std::string, onnx::ValueInfo> values;
  for (const auto* infos : {&model.graph.values, &model.graph.inputs, &model.graph.outputs})
    for (const onnx::ValueInfo& info : *infos) values[info.name] = info;
  if (options.shapes.empty()) return values;
  const std::vector<Shapes> combined = combinations(options.shapes);
  if (combined.size() > 1) throw WrongUsage("--shape: an input has two shapes");
  const NoGrad guard;
  const std::vector<Tensor> inputs = random_inputs(model.graph, combined[0], {});
  onnx::Model loaded(options.model);
  for (const onnx::ValueInfo& info : loaded.values(inputs)) values[info.name] = info;
  for (size_t k = 0; k < inputs.size(); ++k)
    if (inputs[k].defined()) {
      auto& shape = values[model.graph.inputs[k].name].shape.emplace();
      for (int64_t size : inputs[k].shape()) shape.push_back({.value = size});
    }
  return values;
}

/// Graphviz's source, or what it makes of it.
void write_picture(const std::string& path, const std::string& format, const std::string& source, size_t boxes,
                   const char* instead) {
  Progress progress;
  if (format != "dot" && boxes > kMostDrawn)
    fail(path, ": ", boxes, " boxes would take Graphviz minutes; ", instead, "a .dot file takes all");
  io::Replacement replacement(path);
  progress.show("Graphviz places " + counted(int64_t(boxes), "box"));
  if (format == "dot") replacement.file().write(source.data(), source.size());
  else run_dot(source, format, replacement.file());
  replacement.commit();
}

/// The call with these shapes, or the first one.
size_t call_to_draw(const program::Contents& contents, const Options& options) {
  if (contents.calls.empty()) fail(options.model, ": a program without a call");
  const std::vector<Shapes> wanted = combinations(options.shapes);
  const auto fits = [&](const program::Call& call) {
    return std::ranges::all_of(wanted[0], [&](const auto& each) {
      const auto port = std::ranges::find(call.inputs, each.first, &Port::name);
      return port != call.inputs.end() && port->shape == each.second;
    });
  };
  const auto call = std::ranges::find_if(contents.calls, fits);
  if (call == contents.calls.end() || wanted.size() > 1) {
    std::string all;
    for (const program::Call& other : contents.calls) all += (all.empty() ? "" : "; ") + text_of(other.inputs);
    throw WrongUsage("--shape: no such call; there are " + all);
  }
  return size_t(call - contents.calls.begin());
}

int draw_program(const Options& options, const std::string& format) {
  if (options.depth >= 0) throw WrongUsage("--depth is for ONNX networks: a program has no modules");
  const program::Contents contents = load_program(options.model);
  const size_t number = call_to_draw(contents, options);
  const program::Call& call = contents.calls[number];
  const ProgramDrawing drawing = drawing_of(contents, call);
  write_picture(options.out, format, drawing.source, drawing.boxes, "");
  if (options.json)
    return print({{"out", options.out}, {"boxes", drawing.boxes}, {"arrows", drawing.arrows}, {"call", number}}), 0;
  const std::string said =
      text(printable(options.out), ": ", counted(int64_t(call.kernels.size()), "kernel"), ", call ", number + 1, " of ",
           contents.calls.size(), ": ", printable(text_of(call.inputs)));
  std::printf("%s\n", wrapped(said, 0, terminal_width()).c_str());
  return 0;
}

int draw(const Options& options) {
  const size_t point = options.out.rfind('.');
  const std::string format = point == options.out.npos ? "" : options.out.substr(point + 1);
  if (format != "svg" && format != "png" && format != "pdf" && format != "dot")
    throw WrongUsage(options.out + ": an ending .svg, .png, .pdf or .dot says what to write");
  check_network(options.model);
  if (is_program(options.model)) return draw_program(options, format);
  OnnxFile file(options.model);
  onnx::Graph& graph = file.proto.graph;
  const auto values = values_of(file.proto, options);
  for (auto* infos : {&graph.inputs, &graph.outputs})
    for (onnx::ValueInfo& info : *infos) info = values.at(info.name);
  const Drawing drawing = drawing_of(graph, options.depth, kMostBoxes);
  write_picture(options.out, format, dot_of(drawing, graph, values), drawing.boxes.size(), "--depth draws fewer, and ");
  if (options.json)
    return print({{"out", options.out},
                  {"boxes", drawing.boxes.size()},
                  {"arrows", drawing.arrows.size()},
                  {"nodes_left_out", drawing.left_out},
                  {"depth", drawing.depth},
                  {"deepest", drawing.deepest}}),
           0;
  std::string said = text(printable(options.out), ": ", counted(int64_t(drawing.boxes.size()), "box"),
                          ", modules to depth ", drawing.depth, " of ", drawing.deepest);
  if (drawing.left_out == 1) said += "; 1 node that only computes constants or shapes is left out";
  if (drawing.left_out > 1)
    said += text("; ", drawing.left_out, " nodes that only compute constants and shapes are left out");
  std::printf("%s\n", wrapped(said, 0, terminal_width()).c_str());
  return 0;
}

}  // namespace

void add_draw(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "draw", "a picture of a network",
      "Draws the graph with Graphviz: a box for each chain of operations, coloured by their kind, inside of the "
      "modules that the nodes' names tell of. Modules deeper than --depth are a box each; without it, as deep as "
      "stays readable. What only computes constants and shapes is left out. Arrows show shapes where the file says "
      "them, or where --shape gives those of the inputs.\n\n"
      "Of a program file it draws a call, the first one or that with the shapes: a box for each kernel, with the "
      "tensors "
      "that it reads, and arrows for what kernels hand to each other, coloured by the block of memory in which it "
      "lies.\n\n"
      "  teeny draw net.onnx -o net.svg --shape x=1x3x224x224\n"
      "  teeny draw bert.onnx -o bert.pdf --depth 2\n"
      "  teeny draw net.teeny -o net.svg",
      draw);
  command->add_option("MODEL", options->model, "a .onnx or .teeny file")->required();
  command->add_option("-o,--out", options->out, ".svg, .png, .pdf; or .dot, Graphviz's source")
      ->type_name("FILE")
      ->required();
  command->add_option("--shape", options->shapes, "of an input, or the size of an open axis: batch=1")
      ->type_name("NAME=SIZES")
      ->allow_extra_args(false);
  command->add_option("--depth", options->depth, "of modules that are opened; 1: none")
      ->type_name("COUNT")
      ->check(at_least(1));
}

}  // namespace teeny::tool
