#include "teeny/onnx/values.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "teeny/onnx/wire.h"

namespace teeny::onnx {

namespace {

constexpr size_t kLeastShared = 64 << 10;  // bytes: a smaller tensor is copied out of the file

/// Elements that are stored in `width` bytes each, and that teeny holds in a wider dtype.
struct Narrow {
  int width;
  bool is_signed;
};
std::optional<Narrow> narrow(Type type) {
  switch (type) {
    case Type::Int8: return Narrow{1, true};
    case Type::UInt16: return Narrow{2, false};
    case Type::Int16: return Narrow{2, true};
    case Type::UInt32: return Narrow{4, false};
    case Type::UInt64: return Narrow{8, false};
    default: return {};
  }
}

/// Throws unless the product of sizes is one of a tensor.
Shape shape_of(const TensorProto& t) {
  Shape shape(t.dims.begin(), t.dims.end());
  int64_t count = 1;
  for (int64_t size : shape)
    if (size < 0) fail("tensor \"", t.name, "\" has an axis of ", size, " elements");
    else if (__builtin_mul_overflow(count, size, &count) || count > INT64_MAX / 16)
      fail("tensor \"", t.name, "\" of ", shape, " has more elements than memory");
  return shape;
}

/// A path below the model's folder, with no link on the way: a model must not read what its user did not give it.
std::string external_path(const TensorProto& t, const std::string& folder) {
  const auto found = t.external->find("location");
  const std::string location = found == t.external->end() ? "" : found->second;
  const auto refuse = [&](const char* why) {
    fail("tensor \"", t.name, "\" is said to be in the file \"", location.c_str(), "\", ", why);
  };
  if (location.empty()) refuse("which has no name");
  if (location[0] == '/' || location.find('\\') != location.npos || location.find('\0') != location.npos)
    refuse("which is no plain path below the model's folder");
  std::string path = folder;
  for (size_t begin = 0; begin <= location.size();) {
    const size_t end = std::min(location.find('/', begin), location.size());
    const std::string part = location.substr(begin, end - begin);
    begin = end + 1;
    if (part == "." && end < location.size()) continue;  // ./weights.bin
    if (part.empty() || part == "." || part == "..") refuse("which is no plain path below the model's folder");
    path += (path.empty() ? "" : "/") + part;
    struct stat status;
    if (lstat(path.c_str(), &status) != 0) refuse("which is not there; it belongs beside the model");
    if (S_ISLNK(status.st_mode)) refuse("on the way to which there is a symbolic link");
  }
  return path;
}

uint64_t external_number(const TensorProto& t, const char* key, uint64_t otherwise) {
  const auto found = t.external->find(key);
  if (found == t.external->end()) return otherwise;
  const std::string& digits = found->second;
  if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != digits.npos)
    fail("tensor \"", t.name, "\": external data with ", key, " \"", digits, "\", which is no number of bytes");
  return std::stoull(digits);
}

/// Elements as they lie in memory, without a copy where they may stay in the file.
Value from_memory(const TensorProto& t, std::string_view bytes, const Shape& shape, const io::HostBytes* file) {
  const auto held = narrow(t.type);
  const std::span<const std::byte> elements(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
  if (held) return {io::widen(elements, held->width, held->is_signed, shape), t.type};
  const DType dtype = dtype_of(t.type);
  if (dtype == DType::Bool)
    for (std::byte b : elements)
      if (int(b) > 1) fail("tensor \"", t.name, "\": a bool of ", int(b));
  const bool aligned = reinterpret_cast<uintptr_t>(bytes.data()) % size_t(itemsize(dtype)) == 0;
  if (file && file->is_mapped && tinyops::kHostMemory && aligned && bytes.size() >= kLeastShared) {
    const std::shared_ptr<void> inside(file->owner, const_cast<char*>(bytes.data()));
    const auto buffer = std::make_shared<tinyops::Buffer>(bytes.size(), inside);
    return {Tensor(LazyBuffer::source(buffer, dtype, shape)), t.type};
  }
  return {Tensor::from_bytes(elements, dtype, shape), t.type};
}

/// Numbers in the message itself: int32_data carries all small integers, bools and the bits of 16-bit floats.
Value from_numbers(const TensorProto& t, const Shape& shape) {
  std::vector<float> floats;
  std::vector<double> doubles;
  std::vector<int64_t> integers;
  for (Fields field(t.message); field.next();) switch (field.number) {
      case 4: field.append_to(floats); break;
      case 5: case 7: case 11: field.append_to(integers); break;
      case 10: field.append_to(doubles); break;
    }
  const auto count = numel(shape);
  const auto check = [&](size_t found) {
    if (int64_t(found) != count)
      fail("tensor \"", t.name, "\" of ", shape, " has ", found, " elements in the file, not ", count);
  };
  if (t.type == Type::Float32) return check(floats.size()), Value(Tensor::from(floats, shape), t.type);
  if (t.type == Type::Float64) return check(doubles.size()), Value(Tensor::from(doubles, shape), t.type);
  check(integers.size());
  if (t.type == Type::Float16 || t.type == Type::BFloat16) {
    const std::vector<uint16_t> bits(integers.begin(), integers.end());
    return {Tensor::from_bytes(std::as_bytes(std::span(bits)), dtype_of(t.type), shape), t.type};
  }
  return {cut(Tensor::from(integers, shape), t.type).cast(dtype_of(t.type)), t.type};
}

}  // namespace

DType dtype_of(Type type) {
  switch (type) {
    case Type::Bool: return DType::Bool;
    case Type::UInt8: return DType::UInt8;
    case Type::Int8: case Type::Int16: case Type::UInt16: case Type::Int32: return DType::Int32;
    case Type::UInt32: case Type::UInt64: case Type::Int64: return DType::Int64;
    case Type::Float16: return DType::Float16;
    case Type::BFloat16: return DType::BFloat16;
    case Type::Float32: return DType::Float32;
    case Type::Float64: return DType::Float64;
    default: unsupported("elements of the type ", name_of(type));
  }
}

Type type_of(DType dtype) {
  switch (dtype) {
    case DType::Bool: return Type::Bool;
    case DType::UInt8: return Type::UInt8;
    case DType::Int32: return Type::Int32;
    case DType::Int64: return Type::Int64;
    case DType::Float16: return Type::Float16;
    case DType::BFloat16: return Type::BFloat16;
    case DType::Float32: return Type::Float32;
    default: return Type::Float64;
  }
}

int64_t stored_size(Type type) {
  const auto held = narrow(type);
  return held ? held->width : itemsize(dtype_of(type));
}

Range range_of(Type type) {
  const DType dtype = dtype_of(type);
  if (is_float(dtype)) return {-INFINITY, INFINITY};
  if (type == Type::UInt64) return {0, -1};
  const auto held = narrow(type);
  const bool is_signed = held ? held->is_signed : type == Type::Int32 || type == Type::Int64;
  const int bits = dtype == DType::Bool ? 1 : 8 * int(stored_size(type)) - is_signed;
  const int64_t high = int64_t((uint64_t(1) << bits) - 1);
  return {is_signed ? -high - 1 : 0, high};
}

Tensor cut(const Tensor& x, Type type) {
  const auto held = narrow(type);
  if (!held || held->width == 8) return x;
  const int64_t count = int64_t(1) << (8 * held->width);
  if (!held->is_signed) return x & (count - 1);
  return ((x + count / 2) & (count - 1)) - count / 2;
}

Value read_tensor(const TensorProto& t, const io::HostBytes* file, const std::string& folder) {
  dtype_of(t.type);  // a type that is not there is said first
  const Shape shape = shape_of(t);
  const uint64_t size = uint64_t(numel(shape) * stored_size(t.type));
  if (t.external) {
    if (t.raw) fail("tensor \"", t.name, "\" has elements in the file and in another one");
    data::File beside = data::open_to_read(external_path(t, folder));
    const uint64_t offset = external_number(t, "offset", 0), length = external_number(t, "length", size);
    if (length != size)
      fail("tensor \"", t.name, "\" of ", shape, " needs ", size, " bytes, and its external data has ", length);
    if (offset > beside.size() || size > beside.size() - offset)
      fail("tensor \"", t.name, "\": bytes ", offset, " to ", offset + size, " of ", beside.path(), ", which has ",
           beside.size());
    const io::HostBytes bytes = io::map_bytes(beside, offset, size);
    return from_memory(t, {reinterpret_cast<const char*>(bytes.bytes.data()), size}, shape, &bytes);
  }
  if (t.raw) {
    if (t.raw->size() != size)
      fail("tensor \"", t.name, "\" of ", shape, " needs ", size, " bytes, and has ", t.raw->size());
    for (Fields field(t.message); field.next();)
      if (field.number == 4 || field.number == 5 || field.number == 7 || field.number == 10 || field.number == 11)
        fail("tensor \"", t.name, "\" has its elements twice, as bytes and as numbers");
    return from_memory(t, *t.raw, shape, file);
  }
  return from_numbers(t, shape);
}

}  // namespace teeny::onnx
