#pragma once
// The header of a safetensors file: parses and checks the text, gives a list of tensors. Nothing here touches a file.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/io/safetensors.h"

namespace teeny::io {

struct Entry {
  std::string name;
  DType dtype = DType::Float32;
  Shape shape = {};
  uint64_t begin = 0, end = 0;  ///< bytes, from the end of the header
};

struct Header {
  std::vector<Entry> entries;  ///< in the order of the text
  Metadata metadata;
};

/// Throws, naming `file`, unless `json` is a header whose tensors cover exactly `data_size` bytes, without overlaps.
Header parse_header(const std::string& file, std::string_view json, uint64_t data_size);

/// The JSON text, without padding.
std::string write_header(const Header& header);

}  // namespace teeny::io
