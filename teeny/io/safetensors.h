#pragma once
// Safetensors: tensors by name in one file that every framework reads, and that runs nothing when it is read.
//
//   8 bytes    length of the header, little-endian
//   header     JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
//              "__metadata__": {"key": "value"}}, padded with spaces
//   the rest   the elements, row-major, little-endian; offsets count from here, and leave no byte out
//
// https://github.com/huggingface/safetensors
#include <map>
#include <string>

#include "teeny/nn/nn.h"

namespace teeny::io {

using Metadata = std::map<std::string, std::string>;

struct Safetensors {
  nn::StateDict tensors;  ///< in the order of the header
  Metadata metadata;
  operator const nn::StateDict&() const { return tensors; }  ///< for nn::load_state_dict(model, load_safetensors(path))
};

/// Writes a new file beside `path`, syncs it, and puts it in the place of `path`. Throws, naming the file and the
/// system's reason, when that fails: then `path` is what it was, and nothing else is left behind.
void save_safetensors(const std::string& path, const nn::StateDict& tensors, const Metadata& metadata = {});

template <class Model>
  requires(!std::convertible_to<Model, nn::StateDict>)
void save_safetensors(const std::string& path, const Model& model, const Metadata& metadata = {}) {
  save_safetensors(path, nn::state_dict(model), metadata);
}

/// Reads dtypes BOOL U8 I32 I64 F16 BF16 F32 F64. No file is trusted: throws, naming the file and the tensor, where
/// anything in it is not as the format says.
Safetensors load_safetensors(const std::string& path);

}  // namespace teeny::io
