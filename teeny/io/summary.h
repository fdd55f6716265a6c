#pragma once
// What is in a file of tensors, read off its headers: no element is looked at, whatever the size of the file.
#include <cstdint>
#include <string>
#include <vector>

#include "teeny/io/safetensors.h"

namespace teeny::io {

struct StoredTensor {
  std::string name;
  std::string dtype = {};  ///< NumPy's and PyTorch's name, "int16"; the file's own where teeny cannot hold it
  Shape shape = {};
  uint64_t bytes = 0;        ///< of its elements in the file, had it a storage of its own
  std::string storage = {};  ///< in .pt: equal where tensors share their elements; else empty
};

struct FileSummary {
  std::string format;  ///< "safetensors", "torch", "torch (before 1.6)", "npz", "npy"
  Metadata metadata = {};
  std::vector<StoredTensor> tensors = {};  ///< in the order of the file
  std::vector<std::string> notes = {};     ///< what is special about it, a line each
};

/// The format is told by the first bytes, not by the path's ending. Throws where the file is none of these, and where
/// the format's loader would throw before it looks at elements.
FileSummary summary(const std::string& path);

namespace detail {
FileSummary summary_of_safetensors(data::File& file);
FileSummary summary_of_torch(data::File& file);
FileSummary summary_of_npz(data::File& file);
FileSummary summary_of_npy(data::File& file);
}  // namespace detail

}  // namespace teeny::io
