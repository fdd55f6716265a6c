#include "teeny/io/safetensors.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "teeny/io/header.h"
#include "teeny/io/replacement.h"
#include "teeny/io/signature.h"
#include "teeny/io/summary.h"
#include "tinyops/base/hash.h"

namespace teeny::io {

namespace {

using data::File;

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

// ---- Checksums -----------------------------------------------------------------------------------------------------

constexpr std::string_view kChecksum = "teeny.checksum:";
constexpr std::string_view kMetadata = "__metadata__";  // a name that no tensor has

std::string key_of(std::string_view name) { return std::string(kChecksum).append(name); }

uint64_t hash_of(std::string_view text) { return tinyops::xxh64(std::as_bytes(std::span(text))); }

std::string hex(uint64_t value) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(value));
  return digits;
}

std::string checksum(const Entry& entry, std::span<const std::byte> elements) {
  std::string kind = std::string(entry.format->name) + " [";
  for (int64_t size : entry.shape) kind += std::to_string(size) + ",";
  if (!entry.shape.empty()) kind.pop_back();
  return hex(tinyops::xxh64(elements, hash_of(kind + "]")));
}

/// Of everything in it but checksums.
std::string checksum(const Metadata& metadata) {
  std::string all;
  for (const auto& [key, value] : metadata)
    if (!key.starts_with(kChecksum)) all += key + '\0' + value + '\0';
  return hex(hash_of(all));
}

/// Takes the checksums out of `metadata`, where a file has any, and compares that of the metadata. Throws where there
/// is none for a tensor, or one for a tensor that is not there.
Metadata take_checksums(const std::string& path, const std::vector<Entry>& entries, Metadata& metadata) {
  Metadata checksums;
  for (auto item = metadata.lower_bound(std::string(kChecksum));
       item != metadata.end() && item->first.starts_with(kChecksum);)
    checksums.insert(metadata.extract(item++));
  if (checksums.empty()) return checksums;
  const auto changed = [&](const auto&... what) {
    fail(path, ": ", what...,
         ": the file is damaged, or another program has changed it and kept the checksums of the old one");
  };
  size_t expected = 1;
  for (const Entry& entry : entries)
    if (checksums.contains(key_of(entry.name))) ++expected;
    else changed("tensor \"", entry.name, "\" has no checksum, and others have");
  if (!checksums.contains(key_of(kMetadata))) changed("the metadata has no checksum, and tensors have");
  if (checksums.size() != expected)
    changed("there are checksums of ", checksums.size() - expected, " tensors that are not there");
  if (checksum(metadata) != checksums[key_of(kMetadata)]) changed("the metadata does not fit its checksum");
  return checksums;
}

// ---- Loading -------------------------------------------------------------------------------------------------------

/// Reads up to the first byte of the elements.
Header load_header(File& file) {
  const std::string& path = file.path();
  const uint64_t size = file.size();
  uint64_t length = 0;
  const std::string start = signature_of(file);
  if (size < sizeof length || (kind_of(start) != Kind::Safetensors && !what_it_is(start).empty()))
    fail_kind(file, "no safetensors file");
  file.read_all(&length, sizeof length);
  if (length > kMaxHeader || length > size - sizeof length)
    fail(path, ": a header of ", length, " bytes in a file of ", size, "; at most ", kMaxHeader);
  std::string json(length, ' ');
  file.read_all(json.data(), length);
  return parse_header(path, json, size - sizeof length - length);
}

std::string no_dtype(std::string_view dtype) { return text("it is ", dtype, ", a dtype that teeny does not have"); }

Safetensors load(const std::string& path, const LoadOptions& options) {
  File file = data::open_to_read(path);
  Header header = load_header(file);
  const uint64_t start = file.place();
  Safetensors result{.tensors = {}, .metadata = std::move(header.metadata)};
  Metadata checksums = take_checksums(path, header.entries, result.metadata);
  for (const Entry& entry : header.entries) {
    const StoredType* type = entry.format->type;
    const std::string what = path + ": tensor \"" + entry.name + "\"";
    if (!type) {
      result.left_out.emplace(entry.name, entry.format->name);
      if (options.left_out) options.left_out->push_back(what + ": " + no_dtype(entry.format->name));
      continue;
    }
    Elements elements = load_elements(file, start + entry.begin, entry.end - entry.begin, type->width, options.map);
    if (options.checksums && !checksums.empty())
      if (checksum(entry, elements.bytes) != checksums[key_of(entry.name)])
        fail(what, " does not fit its checksum: the file is damaged");
    options.unless_left_out(
        [&] { result.tensors.emplace_back(entry.name, to_tensor(std::move(elements), *type, entry.shape, what)); });
  }
  return result;
}

}  // namespace

void save_safetensors(const std::string& path, const nn::StateDict& tensors, const Metadata& metadata) {
  if (tensors.size() + metadata.size() > kMaxMetadata) fail(path, ": ", metadata.size(), " entries of metadata");
  for (const auto& [key, value] : metadata)
    if (key.starts_with(kChecksum)) fail(path, ": metadata \"", key, "\": teeny itself writes those");
  const std::vector<Tensor> all = realize_to_save(path, tensors);

  Header header{.entries = {}, .metadata = metadata};
  const std::string unknown = hex(0);
  header.metadata[key_of(kMetadata)] = checksum(metadata);
  for (const auto& [name, tensor] : tensors) {
    header.entries.push_back({.name = name, .format = &format_of(tensor.dtype()), .shape = tensor.shape()});
    header.metadata[key_of(name)] = unknown;
  }
  // The widest dtypes come first: then each tensor starts at a multiple of its own element size.
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return itemsize(all[a].dtype()) > itemsize(all[b].dtype()); });
  uint64_t end = 0;
  for (size_t i : order) {
    header.entries[i].begin = end;
    header.entries[i].end = end += uint64_t(all[i].numel() * itemsize(all[i].dtype()));
  }

  // The header is written twice: the second time with the checksums, which are known when all elements have passed.
  Replacement replacement(path);
  const auto write = [&] {
    std::string json = write_header(header);
    json.resize((sizeof(uint64_t) + json.size() + 63) / 64 * 64 - sizeof(uint64_t),
                ' ');  // the elements begin in a cache line
    const uint64_t length = json.size();
    if (length > kMaxHeader) fail(path, ": a header of ", length, " bytes; at most ", kMaxHeader);
    replacement.file().seek(0);
    replacement.file().write(&length, sizeof length);
    replacement.file().write(json.data(), length);
  };
  write();
  for (size_t i : order) {
    const std::vector<std::byte> bytes = all[i].to_bytes();
    replacement.file().write(bytes.data(), bytes.size());
    header.metadata[key_of(tensors[i].first)] = checksum(header.entries[i], bytes);
  }
  write();
  replacement.commit();
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
  Header header = load_header(file);
  take_checksums(file.path(), header.entries, header.metadata);
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
