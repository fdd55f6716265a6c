#include "teeny/data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <new>
#include <utility>

#include "teeny/files/file.h"

namespace teeny::data {

namespace {

/// The bytes of a file, unpacked where it is gzipped: one gzip stream or several, and nothing else behind them.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(open_to_read(path)), size_(int64_t(file_.size())) {
    refill();
    gzipped_ = stream_.avail_in >= 2 && input_[0] == 0x1f && input_[1] == 0x8b;
    constexpr int gzip_window = 15 + 16;  // the largest window; 16 asks for gzip's header and checksum
    if (gzipped_ && inflateInit2(&stream_, gzip_window) != Z_OK) fail(path, ": no memory to unpack it");
  }
  ~Reader() {
    if (gzipped_) inflateEnd(&stream_);
  }
  Reader(const Reader&) = delete;

  /// The most that can come out: deflate packs at best 1032 to 1.
  int64_t most() const { return gzipped_ ? std::min(size_, INT64_MAX / 1032) * 1032 : size_; }

  /// Appends `count` bytes to `to`, a piece at a time: a header with sizes beyond the file's length costs no memory.
  void append(int64_t count, std::vector<std::byte>& to) {
    constexpr int64_t piece = 1 << 20;
    while (count > 0) {
      const size_t before = to.size(), wanted = size_t(std::min(count, piece));
      to.resize(before + wanted);
      const size_t got = read(to.data() + before, wanted);
      if (got < wanted) fail(file_.path(), ": truncated: ", count - int64_t(got), " more bytes expected");
      count -= int64_t(got);
    }
  }

  /// Reading past the end also compares the checksum of a gzip stream, which follows its last byte.
  void expect_end() {
    std::byte next;
    if (read(&next, 1) > 0) fail(file_.path(), ": longer than its header says");
  }

 private:
  void refill() {
    stream_.next_in = input_.data();
    stream_.avail_in = unsigned(file_.read(input_.data(), input_.size()));
  }

  /// Up to `count` bytes, fewer only at the end.
  size_t read(std::byte* to, size_t count) {
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = unsigned(count);
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0) refill();
      if (stream_.avail_in == 0 && !inside_) break;
      if (gzipped_) unpack();
      else copy();
    }
    return count - stream_.avail_out;
  }

  void copy() {
    const unsigned count = std::min(stream_.avail_in, stream_.avail_out);
    stream_.next_out = std::copy_n(stream_.next_in, count, stream_.next_out);
    stream_.next_in += count, stream_.avail_in -= count, stream_.avail_out -= count;
  }

  void unpack() {
    if (!std::exchange(inside_, true)) inflateReset(&stream_);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_STREAM_END) ++streams_, inside_ = false;
    else if (code == Z_BUF_ERROR) fail(file_.path(), ": truncated: the gzip stream does not end");
    else if (code != Z_OK && streams_ > 0) fail(file_.path(), ": what follows the gzip stream is not another one");
    else if (code != Z_OK)
      fail(file_.path(), ": the gzip stream is damaged: ", stream_.msg ? stream_.msg : zError(code));
  }

  File file_;
  int64_t size_;
  bool gzipped_ = false;
  bool inside_ = false;  ///< a gzip stream has begun and not ended
  int streams_ = 0;      ///< that have ended
  z_stream stream_ = {};
  std::vector<Bytef> input_ = std::vector<Bytef>(1 << 16);
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

Tensor read(const std::string& path, int64_t max_bytes) {
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
  if (bytes > max_bytes) fail(path, ": shape ", shape, " needs ", bytes, " bytes; at most ", max_bytes, " are read");

  std::vector<std::byte> elements;
  file.append(bytes, elements);
  file.expect_end();
  const int64_t width = itemsize(dtype);
  for (auto element = elements.begin(); width > 1 && element != elements.end(); element += width)
    std::reverse(element, element + width);  // to little-endian
  return Tensor::from_bytes(elements, dtype, shape);
}

}  // namespace

Tensor read_idx(const std::string& path, int64_t max_bytes) {
  try {
    return read(path, max_bytes);
  } catch (const std::bad_alloc&) { fail(path, ": there is not enough memory for its elements"); }
}

}  // namespace teeny::data
