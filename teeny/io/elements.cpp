#include "teeny/io/elements.h"

#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <set>

namespace teeny::io {

namespace {

using data::File;

static_assert(std::endian::native == std::endian::little, "elements are stored as they lie in memory");

constexpr size_t kLeastMapped = 64 << 10;  // a smaller tensor is copied: it is not worth pages of its own

/// Reserves the memory; throws as it says.
void* reserve(tinyops::Buffer& buffer, const std::string& what) {
  try {
    return buffer.data();
  } catch (const Error& error) { fail(what, ": ", error.what()); }
}

template <class Narrow, class Wide>
Tensor widen_as(std::span<const std::byte> bytes, const Shape& shape) {
  std::vector<Wide> wide(bytes.size() / sizeof(Narrow));
  for (size_t i = 0; i < wide.size(); ++i) {
    Narrow value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    wide[i] = Wide(value);
  }
  return Tensor::from(wide, shape);
}

}  // namespace

HostBytes map_bytes(File& file, uint64_t begin, uint64_t size) {
  const uint64_t page = uint64_t(sysconf(_SC_PAGESIZE)), before = begin % page, length = before + size;
  void* start = size == 0 ? MAP_FAILED
                          : mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                                 file.descriptor(), off_t(begin - before));
  if (start != MAP_FAILED) {
    const std::shared_ptr<void> pages(start, [length](void* first) { munmap(first, length); });
    std::byte* first = static_cast<std::byte*>(start) + before;
    return {std::shared_ptr<void>(pages, first), {first, size}, true};
  }
  const auto copy = std::make_shared<std::vector<std::byte>>(size);
  file.seek(begin);
  file.read_all(copy->data(), size);
  return {std::shared_ptr<void>(copy, copy->data()), *copy};
}

uint64_t stored_bytes(const Shape& shape, int width, const std::string& what) {
  for (int64_t size : shape)
    if (size < 0) fail(what, ": a size of ", size, " in ", shape);
  return uint64_t(numel(shape, what.c_str()) * width);
}

Elements new_elements(uint64_t size, const std::string& what) {
  Elements result;
  if (tinyops::kHostMemory) {
    result.buffer = std::make_shared<tinyops::Buffer>(size);
    result.bytes = {static_cast<std::byte*>(reserve(*result.buffer, what)), size};
  } else {
    result.copied.resize(size);
    result.bytes = result.copied;
  }
  return result;
}

Elements load_elements(File& file, uint64_t begin, uint64_t size, int width, bool may_map) {
  if (may_map && tinyops::kHostMemory && size >= kLeastMapped && begin % uint64_t(width) == 0)
    if (const HostBytes host = map_bytes(file, begin, size); host.is_mapped)
      return {std::make_shared<tinyops::Buffer>(size, host.owner), {}, host.bytes};
  Elements result = new_elements(size, file.path());
  file.seek(begin);
  file.read_all(result.bytes.data(), size);
  return result;
}

Tensor to_tensor(Elements elements, const StoredType& type, const Shape& shape, const std::string& what) {
  if (type.dtype == DType::Bool)
    for (std::byte b : elements.bytes)
      if (int(b) > 1) fail(what, ": a bool of ", int(b));
  if (type.name == "uint64")
    for (size_t last = 7; last < elements.bytes.size(); last += 8)
      if (int(elements.bytes[last]) > 127)
        throw CannotHold(what + ": a uint64 of 2^63 or more; teeny holds them as int64, which ends there");
  if (type.is_widened()) return widen(elements.bytes, type.width, type.is_signed, shape);
  if (!tinyops::kHostMemory) {
    elements.buffer = std::make_shared<tinyops::Buffer>(elements.bytes.size());
    if (void* device = reserve(*elements.buffer, what))
      tinyops::write(device, elements.bytes.data(), elements.bytes.size());
  }
  return Tensor(LazyBuffer::source(std::move(elements.buffer), type.dtype, shape));
}

Tensor widen(std::span<const std::byte> bytes, int width, bool is_signed, const Shape& shape) {
  if (width == 1 && is_signed) return widen_as<int8_t, int32_t>(bytes, shape);
  if (width == 2 && is_signed) return widen_as<int16_t, int32_t>(bytes, shape);
  if (width == 2) return widen_as<uint16_t, int32_t>(bytes, shape);
  if (width == 4 && !is_signed) return widen_as<uint32_t, int64_t>(bytes, shape);
  if (width == 8 && !is_signed) return widen_as<uint64_t, int64_t>(bytes, shape);
  fail("widen: ", is_signed ? "" : "un", "signed integers of ", width, " bytes are a dtype of teeny's");
}

std::vector<Tensor> realize_to_save(const std::string& path, const nn::StateDict& tensors) {
  std::vector<Tensor> all;
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) fail(path, ": tensor \"", name, "\" is undefined");
    if (name.size() > kMaxName) fail(path, ": a tensor's name of ", name.size(), " bytes; at most ", kMaxName);
    if (!is_utf8(name)) fail(path, ": a tensor's name that is not UTF-8");
    if (name.find('\0') != name.npos) fail(path, ": a tensor's name with a zero byte: \"", name.c_str(), "\"");
    if (!names.insert(name).second) fail(path, ": the name \"", name, "\" is taken");
    all.push_back(tensor);
  }
  if (all.size() > kMaxTensors) fail(path, ": ", all.size(), " tensors; a file has at most ", kMaxTensors);
  realize(all);
  return all;
}

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) { return at < text.size() ? uint32_t(uint8_t(text[at])) : 0; };
    const uint32_t first = byte(i);
    const int more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1;
    if (more < 0) return false;
    uint32_t code = more == 0 ? first : first & (0x3f >> more);
    for (int k = 1; k <= more; ++k) {
      if (byte(i + size_t(k)) >> 6 != 2) return false;
      code = code << 6 | (byte(i + size_t(k)) & 0x3f);
    }
    // What is written longer than it has to be, halves of UTF-16's pairs, and what lies behind the last character.
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) return false;
    i += size_t(more) + 1;
  }
  return true;
}

std::string shown(std::string_view text) {
  std::string result(text.substr(0, 80));
  if (text.size() > result.size()) result += "..";
  return result;
}

}  // namespace teeny::io
