// From a network to a program file: its kernels, recorded for shapes of the inputs.
#include <filesystem>

#include "teeny/tool/files.h"
#include "teeny/tool/network.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

struct Options {
  std::string model, out;
  std::vector<std::string> shapes;
  bool json = false;
};

int compile(const Options& options) {
  if (!options.out.ends_with(".teeny")) throw WrongUsage(options.out + ": a program file ends in .teeny");
  const std::vector<Shapes> combined = combinations(options.shapes);
  check_network(options.model);
  if (is_program(options.model))
    fail(options.model, ": a program already; the .onnx file that it was made of is needed");
  io::check_can_save(options.out);
  const NoGrad guard;
  Progress progress;
  onnx::Model model(options.model);
  std::vector<std::vector<Tensor>> calls;
  for (const Shapes& shapes : combined) calls.push_back(random_inputs(model.proto().graph, shapes, {}));
  for (size_t k = 0; k < calls.size(); ++k) {
    progress.show(text("recording call ", k + 1, " of ", calls.size()));
    model.record(calls[k]);
  }
  Tensor::manual_seed(0);  // from which the program draws, if it does
  const program::Contents contents = model.contents();
  progress.show("writing " + options.out);
  program::write(options.out, contents);
  progress.clear();
  int64_t weights = 0;
  for (const program::StateTensor& t : contents.state) weights += numel(t.shape) * itemsize(t.dtype);
  const auto bytes = std::filesystem::file_size(options.out);
  if (options.json) {
    Json json{{"model", options.model},           {"out", options.out},      {"bytes", bytes},
              {"tensors", contents.state.size()}, {"tensor_bytes", weights}, {"calls", Json::array()}};
    for (const program::Call& call : contents.calls) json["calls"].push_back(json_of(contents, call));
    return print(json), 0;
  }
  Table table{{{""}, {"", true}, {"", true}, {"", true}}};
  for (const program::Call& call : contents.calls)
    table.rows.push_back({printable(text_of(call.inputs)), counted(int64_t(call.kernels.size()), "kernel"),
                          work_text(call), byte_size(double(temporary_bytes(call))) + " of temporaries"});
  table.print();
  const std::string said = text(printable(options.out), ": ", byte_size(double(bytes)), ", ",
                                counted(int64_t(contents.state.size()), "tensor"), " of ", byte_size(double(weights)));
  std::printf("%s\n", wrapped(said, 0, terminal_width()).c_str());
  return 0;
}

}  // namespace

void add_compile(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "compile", "make a program file of an ONNX network",
      "The file has the kernels of a call for each combination of input shapes, ready to run, and the weights once. "
      "`teeny run` runs it, and so does a program that links no more than the kernels (teeny/program/program.h). "
      "What depends on weights and shapes alone is computed now. A network in which a node looks at values cannot be "
      "compiled; the error names such nodes. OUT takes its place in one step, once all is written.\n\n"
      "An input that is named again begins the next combination, in which the others keep their shapes; NAME may also "
      "be the name of an open axis:\n\n"
      "  teeny compile net.onnx --shape x=1x3x224x224 --shape x=8x3x224x224 -o net.teeny\n"
      "  teeny compile bert.onnx --shape batch=1,sequence=128 -o bert.teeny",
      compile);
  command->add_option("MODEL", options->model, "an ONNX file")->required();
  command->add_option("-o,--out", options->out, "the program file, .teeny")->type_name("FILE")->required();
  command->add_option("--shape", options->shapes, "of an input, or the size of an open axis: batch=1")
      ->type_name("NAME=SIZES")
      ->allow_extra_args(false);
}

}  // namespace teeny::tool
