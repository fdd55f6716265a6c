#include "teeny/files/stored.h"

#include <sys/mman.h>
#include <unistd.h>

#include <vector>

namespace teeny::io {

using data::File;

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
  return uint64_t(tinyops::numel(shape, what.c_str()) * width);
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

void check_name(const std::string& path, const std::string& name) {
  if (name.size() > kMaxName) fail(path, ": a tensor's name of ", name.size(), " bytes; at most ", kMaxName);
  if (!is_utf8(name)) fail(path, ": a tensor's name that is not UTF-8");
  if (name.find('\0') != name.npos) fail(path, ": a tensor's name with a zero byte: \"", name.c_str(), "\"");
}

std::string shown(std::string_view text) {
  std::string result(text.substr(0, 80));
  if (text.size() > result.size()) result += "..";
  return result;
}

}  // namespace teeny::io
