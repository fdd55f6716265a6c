#pragma once
// The tensor of stored elements, in the way that all formats share: mapped where that is worth it, else copied; and
// integers that teeny has no dtype for, held in a wider one.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "teeny/files/stored.h"
#include "teeny/nn/nn.h"

namespace teeny::io {

/// A file is as it should be, and has something that teeny cannot hold: complex numbers, text.
struct CannotHold : Error {
  using Error::Error;
};

struct LoadOptions {
  bool map = true;        ///< large tensors stay in the file until they are used
  bool checksums = true;  ///< compares the checksums, where there are any, which reads the whole file
  /// Tensors that teeny cannot hold are left out, and what would be the error is added here; null: they are errors.
  std::vector<std::string>* left_out = nullptr;

  /// Calls `load`, which throws CannotHold where there is such a tensor.
  template <class F>
  void unless_left_out(F&& load) const {
    try {
      load();
    } catch (const CannotHold& error) {
      if (!left_out) throw;
      left_out->push_back(error.what());
    }
  }
};

/// Bytes where the host sees them. On a device that works in the host's memory they are a buffer already.
struct Elements {
  tinyops::BufferRef buffer;
  std::vector<std::byte> copied;
  std::span<std::byte> bytes;
};
/// Not set to anything. Throws, beginning with `what`, where there is no memory.
Elements new_elements(uint64_t size, const std::string& what);
/// `size` bytes from `begin`, which the file must have. Where the device works in the host's memory and `may_map`, 64
/// KiB and more that begin at a multiple of `width` are mapped: they are read when they are looked at, and what is
/// written to them stays in this program.
Elements load_elements(data::File& file, uint64_t begin, uint64_t size, int width, bool may_map);
/// Throws, beginning with `what`, where a bool is neither 0 nor 1, and where int64 cannot hold a uint64.
Tensor to_tensor(Elements elements, const StoredType& type, const Shape& shape, const std::string& what);

/// int8, int16 and uint16 as int32; uint32 and uint64 as int64, where a uint64 keeps its bits: one of 2^63 and more
/// shows up negative. `width` is that of an integer in bytes; they are little-endian, and need not be aligned.
Tensor widen(std::span<const std::byte> bytes, int width, bool is_signed, const Shape& shape);

/// The tensors, realized. Throws, naming `path`, where one is undefined or there are too many, and where a name is there
/// twice or no name for a file (`check_name`).
std::vector<Tensor> realize_to_save(const std::string& path, const nn::StateDict& tensors);

}  // namespace teeny::io
