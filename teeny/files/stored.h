#pragma once
// What every format of tensors has: element types, parts of a file on the host, and limits on what is read.
#include <map>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "teeny/files/file.h"
#include "tinyops/base/shape.h"

namespace teeny {

using tinyops::DType, tinyops::fail, tinyops::kMaxRank, tinyops::Shape, tinyops::text;

}  // namespace teeny

namespace teeny::io {

/// A part of a file on the host. Mapped, it is read when it is looked at, and what is written to it stays in this
/// program; it is a copy where the file system cannot do that.
struct HostBytes {
  std::shared_ptr<void> owner;
  std::span<std::byte> bytes;
  bool is_mapped = false;
};
HostBytes map_bytes(data::File& file, uint64_t begin, uint64_t size);

/// Text by key that a file has beside its tensors.
using Metadata = std::map<std::string, std::string>;

/// An element type that files have: its name in NumPy and PyTorch, how teeny holds it, and its bytes in a file.
struct StoredType {
  std::string_view name;
  DType dtype;
  int width;
  bool is_signed = true;
  bool is_widened() const { return name != tinyops::name(dtype); }
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

/// What a file costs in memory is bounded: so many tensors, with names of so many bytes.
constexpr size_t kMaxTensors = 1 << 17, kMaxName = 1 << 16;

bool is_utf8(std::string_view text);

/// Throws, naming `path`, where a tensor's name is too long, has a zero byte, which some programs would take for its
/// end, or is not UTF-8.
void check_name(const std::string& path, const std::string& name);

/// Text of a file as a message shows it: not too much of it.
std::string shown(std::string_view text);

/// What `load` returns. Where there is no memory for it, an Error that names the file.
template <class F>
auto with_memory(const std::string& path, F&& load) {
  try {
    return load();
  } catch (const std::bad_alloc&) { fail(path, ": there is not enough memory to load it"); }
}

}  // namespace teeny::io
