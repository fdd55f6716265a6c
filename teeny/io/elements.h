#pragma once
// The elements of a stored tensor, in the way that all formats share: mapped where that is worth it, else copied; and
// integers that teeny has no dtype for, held in a wider one.
#include <memory>
#include <span>
#include <vector>

#include "teeny/data/file.h"
#include "teeny/tensor/tensor.h"

namespace teeny::io {

/// A part of a file on the host. Mapped, it is read when it is looked at, and what is written to it stays in this
/// program; it is a copy where the file system cannot do that.
struct HostBytes {
  std::shared_ptr<void> owner;
  std::span<std::byte> bytes;
  bool is_mapped = false;
};
HostBytes map_bytes(data::File& file, uint64_t begin, uint64_t size);

/// A part of a file in memory, and where the host sees it.
struct Elements {
  tinyops::BufferRef buffer;
  std::vector<std::byte> copied;  ///< empty where the device works in the host's memory
  std::span<const std::byte> bytes;
};

/// `size` bytes of the file, which has them, from `begin`. Where the device works in the host's memory and `may_map`,
/// 64 KiB and more that begin at a multiple of `itemsize` are mapped: they are read when they are looked at, and what
/// is written to them stays in this program.
Elements load_elements(data::File& file, uint64_t begin, uint64_t size, int64_t itemsize, bool may_map);

/// int8, int16 and uint16 as int32; uint32 and uint64 as int64, where a uint64 keeps its bits: one of 2^63 and more
/// shows up negative. `width` is that of an integer in bytes; they are little-endian, and need not be aligned.
Tensor widen(std::span<const std::byte> bytes, int width, bool is_signed, const Shape& shape);

}  // namespace teeny::io
