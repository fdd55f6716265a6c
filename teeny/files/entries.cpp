#include "teeny/files/entries.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "teeny/files/replacement.h"
#include "teeny/files/signature.h"
#include "tinyops/base/hash.h"

namespace teeny::io {

namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

/// Throws where a header of `length` bytes does not fit into a file of `size`, or is longer than the format allows.
void check_length(const std::string& file, uint64_t length, uint64_t size) {
  if (length > kMaxHeader || length > size - sizeof length)
    fail(file, ": a header of ", length, " bytes in a file of ", size, "; at most ", kMaxHeader);
}

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

}  // namespace

Header read_header(data::File& file) {
  const uint64_t size = file.size();
  uint64_t length = 0;
  const std::string start = signature_of(file);
  if (size < sizeof length || (kind_of(start) != Kind::Safetensors && !what_it_is(start).empty()))
    fail_kind(file, "no safetensors file");
  file.read_all(&length, sizeof length);
  check_length(file.path(), length, size);
  std::string json(length, ' ');
  file.read_all(json.data(), length);
  return parse_header(file.path(), json, size - sizeof length - length);
}

Header read_header(const std::string& file, std::span<std::byte>& bytes) {
  uint64_t length = 0;
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string_view start = all.substr(0, kSignature);
  if (all.size() < sizeof length || (kind_of(start) != Kind::Safetensors && !what_it_is(start).empty())) {
    const std::string what = what_it_is(start);
    fail(file, ": no safetensors file", what.empty() ? "" : ": it is " + what);
  }
  std::memcpy(&length, all.data(), sizeof length);
  check_length(file, length, all.size());
  bytes = bytes.subspan(sizeof length + length);
  // A copy: of a file that is mapped another program may change the bytes while they are looked at.
  return parse_header(file, std::string(all.substr(sizeof length, length)), bytes.size());
}

Metadata take_checksums(const std::string& file, Header& header) {
  Metadata& metadata = header.metadata;
  Metadata checksums;
  for (auto item = metadata.lower_bound(std::string(kChecksum));
       item != metadata.end() && item->first.starts_with(kChecksum);)
    checksums.insert(metadata.extract(item++));
  if (checksums.empty()) return checksums;
  const auto changed = [&](const auto&... what) {
    fail(file, ": ", what...,
         ": the file is damaged, or another program has changed it and kept the checksums of the old one");
  };
  size_t expected = 1;
  for (const Entry& entry : header.entries)
    if (checksums.contains(key_of(entry.name))) ++expected;
    else changed("tensor \"", entry.name, "\" has no checksum, and others have");
  if (!checksums.contains(key_of(kMetadata))) changed("the metadata has no checksum, and tensors have");
  if (checksums.size() != expected)
    changed("there are checksums of ", checksums.size() - expected, " tensors that are not there");
  if (checksum(metadata) != checksums[key_of(kMetadata)]) changed("the metadata does not fit its checksum");
  return checksums;
}

void check_elements(const Metadata& checksums, const Entry& entry, std::span<const std::byte> elements,
                    const std::string& what) {
  if (!checksums.empty() && checksum(entry, elements) != checksums.at(key_of(entry.name)))
    fail(what, " does not fit its checksum: the file is damaged");
}

void write_file(const std::string& path, Header header, const std::function<std::vector<std::byte>(size_t)>& bytes) {
  const size_t given = header.metadata.size();
  if (header.entries.size() + given > kMaxMetadata) fail(path, ": ", given, " entries of metadata");
  for (const auto& [key, value] : header.metadata)
    if (key.starts_with(kChecksum)) fail(path, ": metadata \"", key, "\": teeny itself writes those");
  const std::string unknown = hex(0), of_metadata = checksum(header.metadata);
  header.metadata[key_of(kMetadata)] = of_metadata;
  for (const Entry& entry : header.entries) header.metadata[key_of(entry.name)] = unknown;

  // The widest dtypes come first: then each tensor starts at a multiple of its own element size.
  std::vector<size_t> order(header.entries.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return header.entries[a].format->bits > header.entries[b].format->bits; });
  uint64_t end = 0;
  for (size_t i : order) {
    Entry& entry = header.entries[i];
    entry.begin = end;
    entry.end = end += uint64_t(tinyops::numel(entry.shape)) * uint64_t(entry.format->bits) / 8;
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
    const std::vector<std::byte> elements = bytes(i);
    replacement.file().write(elements.data(), elements.size());
    header.metadata[key_of(header.entries[i].name)] = checksum(header.entries[i], elements);
  }
  write();
  replacement.commit();
}

}  // namespace teeny::io
