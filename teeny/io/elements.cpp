#include "teeny/io/elements.h"

#include <bit>
#include <cstring>
#include <set>

namespace teeny::io {

namespace {

using data::File;

static_assert(std::endian::native == std::endian::little, "elements are stored as they lie in memory");

constexpr size_t kLeastMapped = 64 << 10;  // a smaller tensor is copied: it is not worth pages of its own

/// Reserves the memory; throws as it says.
void* reserve(tinyops::Buffer& buffer, const std::string& what) {
  try {
    return buffer.data();
  } catch (const Error& error) { fail(what, ": ", error.what()); }
}

template <class Narrow, class Wide>
Tensor widen_as(std::span<const std::byte> bytes, const Shape& shape) {
  std::vector<Wide> wide(bytes.size() / sizeof(Narrow));
  for (size_t i = 0; i < wide.size(); ++i) {
    Narrow value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    wide[i] = Wide(value);
  }
  return Tensor::from(wide, shape);
}

}  // namespace

Elements new_elements(uint64_t size, const std::string& what) {
  Elements result;
  if (tinyops::kHostMemory) {
    result.buffer = std::make_shared<tinyops::Buffer>(size);
    result.bytes = {static_cast<std::byte*>(reserve(*result.buffer, what)), size};
  } else {
    result.copied.resize(size);
    result.bytes = result.copied;
  }
  return result;
}

Elements load_elements(File& file, uint64_t begin, uint64_t size, int width, bool may_map) {
  if (may_map && tinyops::kHostMemory && size >= kLeastMapped && begin % uint64_t(width) == 0)
    if (const HostBytes host = map_bytes(file, begin, size); host.is_mapped)
      return {std::make_shared<tinyops::Buffer>(size, host.owner), {}, host.bytes};
  Elements result = new_elements(size, file.path());
  file.seek(begin);
  file.read_all(result.bytes.data(), size);
  return result;
}

Tensor to_tensor(Elements elements, const StoredType& type, const Shape& shape, const std::string& what) {
  if (type.dtype == DType::Bool)
    for (std::byte b : elements.bytes)
      if (int(b) > 1) fail(what, ": a bool of ", int(b));
  if (type.name == "uint64")
    for (size_t last = 7; last < elements.bytes.size(); last += 8)
      if (int(elements.bytes[last]) > 127)
        throw CannotHold(what + ": a uint64 of 2^63 or more; teeny holds them as int64, which ends there");
  if (type.is_widened()) return widen(elements.bytes, type.width, type.is_signed, shape);
  if (!tinyops::kHostMemory) {
    elements.buffer = std::make_shared<tinyops::Buffer>(elements.bytes.size());
    if (void* device = reserve(*elements.buffer, what))
      tinyops::write(device, elements.bytes.data(), elements.bytes.size());
  }
  return Tensor(LazyBuffer::source(std::move(elements.buffer), type.dtype, shape));
}

Tensor widen(std::span<const std::byte> bytes, int width, bool is_signed, const Shape& shape) {
  if (width == 1 && is_signed) return widen_as<int8_t, int32_t>(bytes, shape);
  if (width == 2 && is_signed) return widen_as<int16_t, int32_t>(bytes, shape);
  if (width == 2) return widen_as<uint16_t, int32_t>(bytes, shape);
  if (width == 4 && !is_signed) return widen_as<uint32_t, int64_t>(bytes, shape);
  if (width == 8 && !is_signed) return widen_as<uint64_t, int64_t>(bytes, shape);
  fail("widen: ", is_signed ? "" : "un", "signed integers of ", width, " bytes are a dtype of teeny's");
}

std::vector<Tensor> realize_to_save(const std::string& path, const nn::StateDict& tensors) {
  std::vector<Tensor> all;
  std::set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) fail(path, ": tensor \"", name, "\" is undefined");
    check_name(path, name);
    if (!names.insert(name).second) fail(path, ": the name \"", name, "\" is taken");
    all.push_back(tensor);
  }
  if (all.size() > kMaxTensors) fail(path, ": ", all.size(), " tensors; a file has at most ", kMaxTensors);
  realize(all);
  return all;
}

}  // namespace teeny::io
