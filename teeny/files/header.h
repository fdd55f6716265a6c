#pragma once
// The header of a safetensors file: parses and checks the text, gives a list of tensors. Nothing here touches a file.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/files/stored.h"

namespace teeny::io {

/// A dtype of the format: its name, its size, and what it is elsewhere: null where teeny cannot hold it.
struct Format {
  std::string_view name;
  int bits;
  const StoredType* type = nullptr;
};
const Format& format_of(DType dtype);

struct Entry {
  std::string name;
  const Format* format = nullptr;
  Shape shape = {};
  uint64_t begin = 0, end = 0;  ///< bytes, from the end of the header
};

struct Header {
  std::vector<Entry> entries;  ///< in the order of the text
  Metadata metadata;
};

constexpr size_t kMaxMetadata = 2 * kMaxTensors;

/// Throws, naming `file`, unless `json` is a header whose tensors cover exactly `data_size` bytes, without overlaps.
Header parse_header(const std::string& file, std::string_view json, uint64_t data_size);

/// The JSON text, without padding.
std::string write_header(const Header& header);

}  // namespace teeny::io
