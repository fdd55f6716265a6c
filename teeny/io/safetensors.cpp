#include "teeny/io/safetensors.h"

#include "teeny/files/entries.h"
#include "teeny/files/replacement.h"
#include "teeny/io/summary.h"

namespace teeny::io {

namespace {

using data::File;

std::string no_dtype(std::string_view dtype) { return text("it is ", dtype, ", a dtype that teeny does not have"); }

Safetensors load(const std::string& path, const LoadOptions& options) {
  File file = data::open_to_read(path);
  Header header = read_header(file);
  const uint64_t start = file.place();
  const Metadata checksums = take_checksums(path, header);
  Safetensors result{.tensors = {}, .metadata = std::move(header.metadata)};
  for (const Entry& entry : header.entries) {
    const StoredType* type = entry.format->type;
    const std::string what = path + ": tensor \"" + entry.name + "\"";
    if (!type) {
      result.left_out.emplace(entry.name, entry.format->name);
      if (options.left_out) options.left_out->push_back(what + ": " + no_dtype(entry.format->name));
      continue;
    }
    Elements elements = load_elements(file, start + entry.begin, entry.end - entry.begin, type->width, options.map);
    if (options.checksums) check_elements(checksums, entry, elements.bytes, what);
    options.unless_left_out(
        [&] { result.tensors.emplace_back(entry.name, to_tensor(std::move(elements), *type, entry.shape, what)); });
  }
  return result;
}

}  // namespace

void save_safetensors(const std::string& path, const nn::StateDict& tensors, const Metadata& metadata) {
  const std::vector<Tensor> all = realize_to_save(path, tensors);
  Header header{.entries = {}, .metadata = metadata};
  for (const auto& [name, tensor] : tensors)
    header.entries.push_back({.name = name, .format = &format_of(tensor.dtype()), .shape = tensor.shape()});
  write_file(path, std::move(header), [&](size_t i) { return all[i].to_bytes(); });
}

void check_can_save(const std::string& path) { const Replacement unused(path); }

Safetensors load_safetensors(const std::string& path, const LoadOptions& options) {
  return with_memory(path, [&] { return load(path, options); });
}

namespace {
[[noreturn]] void fail_left_out(const std::string& name, const std::string& dtype) {
  throw CannotHold(text("tensor \"", name, "\" was left out when the file was loaded: ", no_dtype(dtype)));
}
}  // namespace

FileSummary detail::summary_of_safetensors(File& file) {
  Header header = read_header(file);
  take_checksums(file.path(), header);
  FileSummary result{.format = "safetensors", .metadata = std::move(header.metadata)};
  for (const Entry& entry : header.entries)
    result.tensors.push_back({.name = entry.name,
                              .dtype = std::string(entry.format->type ? entry.format->type->name : entry.format->name),
                              .shape = entry.shape,
                              .bytes = entry.end - entry.begin});
  return result;
}

Tensor Safetensors::operator[](const std::string& name) const {
  if (const auto found = left_out.find(name); found != left_out.end()) fail_left_out(name, found->second);
  return nn::find(tensors, name);
}

void check_left_out(const nn::StateDict& into, const Safetensors& from) {
  for (const auto& [name, tensor] : into)
    if (const auto found = from.left_out.find(name); found != from.left_out.end()) fail_left_out(name, found->second);
}

}  // namespace teeny::io
