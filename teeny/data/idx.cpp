#include "teeny/data/idx.h"

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace teeny::data {

namespace {

/// A file read through zlib, which unpacks a gzipped one and passes any other through.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0) fail(path, ": ", std::strerror(errno));
    if (!S_ISREG(info.st_mode)) fail(path, ": not a regular file");
    size_ = info.st_size;
    file_ = gzopen(path.c_str(), "rb");
    if (!file_) fail(path, ": ", errno ? std::strerror(errno) : "out of memory");
  }
  ~Reader() { gzclose_r(file_); }
  Reader(const Reader&) = delete;

  /// The most that can come out: deflate packs at best 1032 to 1.
  int64_t most() const { return gzdirect(file_) ? size_ : size_ * 1032; }

  /// Appends up to `count` bytes to `to`, a piece at a time: a header with sizes beyond the file's length costs no memory.
  void append(int64_t count, std::vector<std::byte>& to) {
    constexpr int64_t piece = 1 << 20;
    while (count > 0) {
      const size_t before = to.size();
      const int64_t wanted = std::min(count, piece);
      to.resize(before + size_t(wanted));
      const int got = gzread(file_, to.data() + before, unsigned(wanted));
      to.resize(before + size_t(std::max(got, 0)));
      check(got);
      if (got < wanted) fail(path_, ": truncated: ", count - got, " more bytes expected");
      count -= got;
    }
  }

  /// Reading past the end also makes zlib compare the checksum, which follows the last byte.
  void expect_end() {
    std::byte next;
    const int got = gzread(file_, &next, 1);
    check(got);
    if (got > 0) fail(path_, ": longer than its header says");
  }

 private:
  void check(int got) {
    int error = Z_OK;
    const char* message = gzerror(file_, &error);
    if (got < 0 || (error != Z_OK && error != Z_STREAM_END))
      fail(path_, ": ", error == Z_ERRNO ? std::strerror(errno) : message);
  }

  std::string path_;
  int64_t size_ = 0;
  gzFile file_ = nullptr;
};

DType element_type(const std::string& path, int code) {
  switch (code) {
    case 0x08: return DType::UInt8;
    case 0x0C: return DType::Int32;
    case 0x0D: return DType::Float32;
    case 0x0E: return DType::Float64;
    case 0x09: fail(path, ": an IDX file of int8, which teeny does not have");
    case 0x0B: fail(path, ": an IDX file of int16, which teeny does not have");
  }
  fail(path, ": no IDX file: element type ", code);
}

}  // namespace

Tensor read_idx(const std::string& path) {
  Reader file(path);
  std::vector<std::byte> header;
  file.append(4, header);
  if (header[0] != std::byte{0} || header[1] != std::byte{0})
    fail(path, ": no IDX file: it does not start with two zeros");
  const DType dtype = element_type(path, int(header[2]));
  const int rank = int(header[3]);
  if (rank > kMaxRank) fail(path, ": ", rank, " axes; a tensor has at most ", kMaxRank);
  file.append(4 * rank, header);

  Shape shape;
  int64_t bytes = itemsize(dtype);
  for (int axis = 0; axis < rank; ++axis) {
    int64_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | int64_t(header[size_t(4 + 4 * axis + i)]);
    shape.push_back(size);
    if (__builtin_mul_overflow(bytes, size, &bytes)) fail(path, ": sizes ", shape, " have no product");
  }
  if (bytes > file.most()) fail(path, ": truncated: shape ", shape, " needs ", bytes, " bytes");

  std::vector<std::byte> elements;
  file.append(bytes, elements);
  file.expect_end();
  const int64_t width = itemsize(dtype);
  for (auto element = elements.begin(); width > 1 && element != elements.end(); element += width)
    std::reverse(element, element + width);  // to little-endian
  return Tensor::from_bytes(elements, dtype, shape);
}

}  // namespace teeny::data
