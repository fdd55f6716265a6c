#pragma once
// Safetensors: tensors by name in one file that every framework reads, and that runs nothing when it is read.
//
//   8 bytes    length of the header, little-endian
//   header     JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
//              "__metadata__": {"key": "value"}}, padded with spaces
//   the rest   the elements, row-major, little-endian; offsets count from here, and leave no byte out
//
// https://github.com/huggingface/safetensors
//
// Files that are written here have a checksum of each tensor in their metadata, which other readers do not mind:
// "teeny.checksum:NAME" is XXH64 of the elements in hexadecimal digits, with XXH64 of "DTYPE [SIZES]" as its seed, and
// "teeny.checksum:__metadata__" that of all other metadata.
#include <concepts>
#include <map>
#include <string>

#include "teeny/files/stored.h"
#include "teeny/io/elements.h"
#include "teeny/nn/nn.h"

namespace teeny::io {

struct Safetensors {
  nn::StateDict tensors;                             ///< in the order of the header
  Metadata metadata;                                 ///< but for the checksums
  std::map<std::string, std::string> left_out = {};  ///< tensors of dtypes that teeny does not have: name -> "C64"

  /// The tensor of this name. Throws where it was left out, naming its dtype, and where there is none (`nn::find`).
  Tensor operator[](const std::string& name) const;
  operator const nn::StateDict&() const { return tensors; }
};

/// Writes a new file beside `path`, syncs it, and puts it in the place of `path`, whose permissions and symbolic links
/// it keeps (a hard link goes on naming the old file). Throws, naming the file and the system's reason, when that
/// fails: then `path` is what it was, and nothing else is left behind. What an earlier, killed save has left behind is
/// removed.
void save_safetensors(const std::string& path, const nn::StateDict& tensors, const Metadata& metadata = {});

template <class Model>
requires(!std::convertible_to<Model, nn::StateDict>) void save_safetensors(const std::string& path, const Model& model,
                                                                           const Metadata& metadata = {}) {
  save_safetensors(path, nn::state_dict(model), metadata);
}

/// Throws what `save_safetensors` would throw of this place, before there is anything to save: a long training should
/// not end with a wrong path. Room on the disk is not looked at.
void check_can_save(const std::string& path);

/// Reads dtypes BOOL U8 I32 I64 F16 BF16 F32 F64, and wider than they are stored I8 I16 U16 (as int32) and U32 U64 (as
/// int64); tensors of the others are left out. No file is trusted: throws, naming the file and the tensor, where
/// anything in it is not as the format says, or as its checksums say.
///
/// Where the device works in the host's memory, tensors of 64 KiB and more are mapped, not copied: their elements are
/// in memory once, for all programs that have loaded the file, and a page that is written to becomes this program's
/// own. So while such a tensor lives, another program must not write into the file or cut it (the system ends a program
/// that reads what was cut off); to replace it, as `save_safetensors` does, is safe.
Safetensors load_safetensors(const std::string& path, const LoadOptions& options = {});

/// Throws where `into` asks for a tensor that was left out.
void check_left_out(const nn::StateDict& into, const Safetensors& from);

}  // namespace teeny::io

namespace teeny::nn {

// Templates, so that `{}` goes on meaning an empty dictionary.

template <std::same_as<io::Safetensors> File>
Tensor find(const File& file, std::string_view name) {
  return file[std::string(name)];
}

/// As from `file.tensors`; a tensor that the model has and that was left out is named with its dtype.
template <class Model, std::same_as<io::Safetensors> File>
void load_state_dict(Model& model, const File& file) {
  const StateDict into = state_dict(std::as_const(model));
  io::check_left_out(into, file);
  load_state_dict(into, file.tensors);
}

}  // namespace teeny::nn
