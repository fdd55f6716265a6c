#pragma once
// The elements of a stored tensor, in the way that all formats share: mapped where that is worth it, else copied; and
// integers that teeny has no dtype for, held in a wider one.
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/data/file.h"
#include "teeny/nn/nn.h"

namespace teeny::io {

/// A part of a file on the host. Mapped, it is read when it is looked at, and what is written to it stays in this
/// program; it is a copy where the file system cannot do that.
struct HostBytes {
  std::shared_ptr<void> owner;
  std::span<std::byte> bytes;
  bool is_mapped = false;
};
HostBytes map_bytes(data::File& file, uint64_t begin, uint64_t size);

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

/// An element type that files have: its name in NumPy and PyTorch, how teeny holds it, and its bytes in a file.
struct StoredType {
  std::string_view name;
  DType dtype;
  int width;
  bool is_signed = true;
  bool is_widened() const { return name != teeny::name(dtype); }
};
inline constexpr StoredType kStoredTypes[] = {
    {"bool", DType::Bool, 1, false},
    {"uint8", DType::UInt8, 1, false},
    {"int32", DType::Int32, 4},
    {"int64", DType::Int64, 8},
    {"float16", DType::Float16, 2},
    {"bfloat16", DType::BFloat16, 2},
    {"float32", DType::Float32, 4},
    {"float64", DType::Float64, 8},
    // Integers of which teeny has the values, in a wider dtype.
    {"int8", DType::Int32, 1},
    {"int16", DType::Int32, 2},
    {"uint16", DType::Int32, 2, false},
    {"uint32", DType::Int64, 4, false},
    {"uint64", DType::Int64, 8, false},
};
/// Null where teeny cannot hold such elements: "complex64".
constexpr const StoredType* stored_type(std::string_view name) {
  for (const StoredType& type : kStoredTypes)
    if (type.name == name) return &type;
  return nullptr;
}

/// The bytes of a tensor of `shape` and elements of `width` bytes. Throws, beginning with `what`, where a size is
/// negative, or they are too many.
uint64_t stored_bytes(const Shape& shape, int width, const std::string& what);

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

/// What a file costs in memory is bounded: so many tensors, with names of so many bytes.
constexpr size_t kMaxTensors = 1 << 17, kMaxName = 1 << 16;

/// The tensors, realized. Throws, naming `path`, where one is undefined or there are too many, and where a name is too
/// long, is there twice, has a zero byte, which some programs would take for its end, or is not UTF-8.
std::vector<Tensor> realize_to_save(const std::string& path, const nn::StateDict& tensors);

bool is_utf8(std::string_view text);

/// What `load` returns. Where there is no memory for it, an Error that names the file.
template <class F>
auto with_memory(const std::string& path, F&& load) {
  try {
    return load();
  } catch (const std::bad_alloc&) { fail(path, ": there is not enough memory to load it"); }
}

/// Text of a file as a message shows it: not too much of it.
std::string shown(std::string_view text);

}  // namespace teeny::io
