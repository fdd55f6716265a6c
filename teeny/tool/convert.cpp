// Tensors from one format to another.
#include <algorithm>

#include "teeny/tool/files.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace teeny::tool {

namespace {

struct Options {
  std::string in, out, dtype, under;
  bool skip = false, json = false;
};

std::optional<DType> float_named(const std::string& name) {
  const std::pair<const char*, DType> names[] = {
      {"f16", DType::Float16}, {"bf16", DType::BFloat16}, {"f32", DType::Float32}, {"f64", DType::Float64}};
  for (const auto& [known, dtype] : names)
    if (name == known || name == teeny::name(dtype)) return dtype;
  if (!name.empty()) throw WrongUsage("--dtype " + name + ": must be f16, bf16, f32 or f64");
  return {};
}

int convert(const Options& options) {
  Progress progress;
  const std::optional<DType> dtype = float_named(options.dtype);
  if (format_to_save(options.out).empty()) save_tensors(options.out, {});  // throws, before anything is read
  io::check_can_save(options.out);
  io::FileSummary headers = summary(options.in);
  std::vector<std::string> left_out;
  const auto load = [&] {
    try {
      return load_tensors(options.in, options.skip ? &left_out : nullptr);
    } catch (const io::CannotHold& error) { fail(error.what(), "; --skip leaves out what teeny cannot hold"); }
  };
  nn::StateDict tensors = load();
  std::erase_if(headers.notes, [&](const std::string& note) {  // that the same is left out
    return std::ranges::any_of(left_out, [&](const std::string& line) { return line.ends_with(note); });
  });
  if (!options.under.empty()) tensors = nn::under(tensors, options.under);
  if (tensors.empty())
    fail(options.in, ": there are no tensors", options.under.empty() ? "" : " under " + options.under);
  int64_t bytes = 0, infinite = 0;
  for (auto& [name, x] : tensors) {
    if (dtype && is_float(x.dtype()) && x.dtype() != *dtype) {
      const Tensor before = std::exchange(x, x.cast(*dtype));
      infinite += int64_t((x.isinf().sum() - before.isinf().sum()).item());
    }
    bytes += x.numel() * itemsize(x.dtype());
  }
  progress.show(text("writing ", byte_size(double(bytes))));
  save_tensors(options.out, tensors, headers.metadata);
  progress.clear();
  if (options.json)
    return print({{"in", options.in},
                  {"out", options.out},
                  {"tensors", tensors.size()},
                  {"bytes", bytes},
                  {"became_infinite", infinite},
                  {"left_out", left_out},
                  {"notes", headers.notes}}),
           0;
  for (const std::string& note : headers.notes) std::printf("%s\n", printable(note).c_str());
  for (const std::string& line : left_out) std::printf("left out: %s\n", printable(line).c_str());
  if (infinite > 0)
    std::printf("%s became infinite: too large for %s\n", counted(infinite, "value").c_str(), text(*dtype).c_str());
  std::printf("%s: %s, %s\n", printable(options.out).c_str(), counted(int64_t(tensors.size()), "tensor").c_str(),
              byte_size(double(bytes)).c_str());
  return 0;
}

}  // namespace

void add_convert(CLI::App& app, Action& action) {
  const auto [command, options] = add_command<Options>(
      app, action, "convert", "write the tensors of a file in another format",
      "The ending of OUT says which format: .safetensors, .pt, .npz, or .npy for a single tensor. OUT takes its "
      "place in one step, once all is written. Only tensors are kept: the network of an ONNX or program file is "
      "not.\n\n"
      "  teeny convert checkpoint.pt weights.safetensors --under model --dtype f16\n"
      "  teeny convert net.teeny weights.npz",
      convert);
  command->add_option("IN", options->in, ".onnx, .teeny, .safetensors, .pt, .npz or .npy")->required();
  command->add_option("OUT", options->out, "the new file")->required();
  command->add_option("--dtype", options->dtype, "of all floats; integers stay")->type_name("f16|bf16|f32|f64");
  command->add_option("--under", options->under, "only what is under this name, without it")->type_name("NAME");
  command->add_flag("--skip", options->skip, "leave out tensors that teeny cannot hold");
}

}  // namespace teeny::tool
