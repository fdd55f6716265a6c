#include "teeny/io/elements.h"

#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstring>

namespace teeny::io {

namespace {

using data::File;

static_assert(std::endian::native == std::endian::little, "elements are stored as they lie in memory");

constexpr size_t kLeastMapped = 64 << 10;  // a smaller tensor is copied: it is not worth pages of its own

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

Elements load_elements(File& file, uint64_t begin, uint64_t size, int64_t itemsize, bool may_map) {
  Elements result;
  if (may_map && tinyops::kHostMemory && size >= kLeastMapped && begin % uint64_t(itemsize) == 0)
    if (const HostBytes host = map_bytes(file, begin, size); host.is_mapped) {
      result.buffer = std::make_shared<tinyops::Buffer>(size, host.owner);
      result.bytes = host.bytes;
      return result;
    }
  result.buffer = std::make_shared<tinyops::Buffer>(size);
  try {
    result.buffer->data();
  } catch (const Error& error) { fail(file.path(), ": ", error.what()); }
  if (!tinyops::kHostMemory) result.copied.resize(size);
  void* host = tinyops::kHostMemory ? result.buffer->data() : result.copied.data();
  file.seek(begin);
  file.read_all(host, size);
  if (!tinyops::kHostMemory && size > 0) tinyops::write(result.buffer->data(), host, size);
  result.bytes = {static_cast<const std::byte*>(host), size};
  return result;
}

Tensor widen(std::span<const std::byte> bytes, int width, bool is_signed, const Shape& shape) {
  if (width == 1 && is_signed) return widen_as<int8_t, int32_t>(bytes, shape);
  if (width == 2 && is_signed) return widen_as<int16_t, int32_t>(bytes, shape);
  if (width == 2) return widen_as<uint16_t, int32_t>(bytes, shape);
  if (width == 4 && !is_signed) return widen_as<uint32_t, int64_t>(bytes, shape);
  if (width == 8 && !is_signed) return widen_as<uint64_t, int64_t>(bytes, shape);
  fail("widen: teeny has ", is_signed ? "" : "un", "signed integers of ", width, " bytes, or none are known");
}

}  // namespace teeny::io
