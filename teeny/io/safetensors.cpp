#include "teeny/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "teeny/io/header.h"

namespace teeny::io {

namespace {

static_assert(std::endian::native == std::endian::little, "elements are written as they lie in memory");

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

[[noreturn]] void fail_errno(const std::string& path, const char* doing) {
  fail(path, ": ", doing, ": ", std::strerror(errno));
}

/// A file descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags) : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  bool is_open() const { return fd_ >= 0; }

  uint64_t size() const {
    struct stat info = {};
    if (fstat(fd_, &info) != 0) fail_errno(path_, "cannot read");
    if (!S_ISREG(info.st_mode)) fail(path_, ": not a regular file");
    return uint64_t(info.st_size);
  }
  void read(void* to, uint64_t count) {
    for (auto next = static_cast<std::byte*>(to); count > 0;) {
      const ssize_t got = ::read(fd_, next, count);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_errno(path_, "cannot read");
      if (got == 0) fail(path_, ": it got shorter while it was read");
      next += got;
      count -= uint64_t(got);
    }
  }
  void skip_to(uint64_t place) {
    if (lseek(fd_, off_t(place), SEEK_SET) < 0) fail_errno(path_, "cannot read");
  }
  void write(const void* from, uint64_t count) {
    for (auto next = static_cast<const std::byte*>(from); count > 0;) {
      const ssize_t put = ::write(fd_, next, count);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail_errno(path_, "cannot write");
      next += put;
      count -= uint64_t(put);
    }
  }
  bool sync() { return fsync(fd_) == 0; }

 private:
  std::string path_;
  int fd_;
};

/// A file beside `path`, which takes its place when all has gone well and is removed when anything has not.
class Replacement {
 public:
  /// A directory, or a device such as /dev/null, is not to be replaced by a file.
  static const std::string& check(const std::string& path) {
    struct stat info = {};
    if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) fail(path, ": not a regular file");
    return path;
  }
  explicit Replacement(const std::string& path)
      : path_(check(path)),
        temporary_(text(path, ".tmp-", getpid(), "-", ++count_)),
        file_(temporary_, O_WRONLY | O_CREAT | O_EXCL) {
    if (!file_.is_open()) fail_errno(temporary_, "cannot write");
  }
  ~Replacement() {
    if (!done_) unlink(temporary_.c_str());
  }
  Replacement(const Replacement&) = delete;
  File& file() { return file_; }

  void commit() {
    if (!file_.sync()) fail_errno(path_, "cannot write");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno(path_, "cannot write");
    done_ = true;
    // The new name lies in the directory, which is synced for itself; some file systems cannot, and need not.
    const size_t slash = path_.rfind('/');
    File directory(slash == std::string::npos ? "." : path_.substr(0, slash + 1), O_RDONLY | O_DIRECTORY);
    if (directory.is_open()) directory.sync();
  }

 private:
  static inline std::atomic<int> count_ = 0;
  std::string path_, temporary_;
  File file_;
  bool done_ = false;
};

}  // namespace

void save_safetensors(const std::string& path, const nn::StateDict& tensors, const Metadata& metadata) {
  std::vector<Tensor> all;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) fail(path, ": tensor \"", name, "\" is undefined");
    all.push_back(tensor);
  }
  realize(all);

  // The widest dtypes come first: then each tensor starts at a multiple of its own element size.
  Header header{.entries = {}, .metadata = metadata};
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return itemsize(all[a].dtype()) > itemsize(all[b].dtype()); });
  for (const auto& [name, tensor] : tensors)
    header.entries.push_back({.name = name, .dtype = tensor.dtype(), .shape = tensor.shape()});
  uint64_t end = 0;
  for (size_t i : order) {
    header.entries[i].begin = end;
    header.entries[i].end = end += uint64_t(all[i].numel() * itemsize(all[i].dtype()));
  }

  std::string json = write_header(header);
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const uint64_t length = json.size();
  if (length > kMaxHeader) fail(path, ": a header of ", length, " bytes; at most ", kMaxHeader);
  Replacement replacement(path);
  replacement.file().write(&length, sizeof length);
  replacement.file().write(json.data(), length);
  for (size_t i : order) {
    const std::vector<std::byte> bytes = all[i].to_bytes();
    replacement.file().write(bytes.data(), bytes.size());
  }
  replacement.commit();
}

Safetensors load_safetensors(const std::string& path) {
  File file(path, O_RDONLY);
  if (!file.is_open()) fail_errno(path, "cannot read");
  const uint64_t size = file.size();
  uint64_t length = 0;
  if (size < sizeof length) fail(path, ": no safetensors file: ", size, " bytes");
  file.read(&length, sizeof length);
  if (length > kMaxHeader || length > size - sizeof length)
    fail(path, ": a header of ", length, " bytes in a file of ", size, "; at most ", kMaxHeader);
  std::string json(length, ' ');
  file.read(json.data(), length);
  const uint64_t start = sizeof length + length;
  Header header = parse_header(path, json, size - start);

  Safetensors result{.tensors = {}, .metadata = std::move(header.metadata)};
  for (const Entry& entry : header.entries) {
    std::vector<std::byte> bytes(entry.end - entry.begin);
    file.skip_to(start + entry.begin);
    file.read(bytes.data(), bytes.size());
    if (entry.dtype == DType::Bool)
      for (std::byte b : bytes)
        if (int(b) > 1) fail(path, ": tensor \"", entry.name, "\": a bool of ", int(b));
    result.tensors.emplace_back(entry.name, Tensor::from_bytes(bytes, entry.dtype, entry.shape));
  }
  return result;
}

}  // namespace teeny::io
