#pragma once
// A file as the system sees it. What a path names is not trusted: opening never waits, and only a regular file is read.
#include <fcntl.h>

#include <cstdint>
#include <string>
#include <utility>

namespace teeny::data {

/// Throws `path: doing: ` and the system's reason, which is in errno.
[[noreturn]] void fail_errno(const std::string& path, const char* doing);

/// The path for a call of the system, which would take a zero byte for its end: throws where there is one.
const char* system_path(const std::string& path);

/// A file descriptor that closes itself. The functions throw an Error that names the path and the system's reason.
class File {
 public:
  /// `flags` are those of open(2). Look at `is_open` (the reason is in errno), or use `open_to_read`.
  File(std::string path, int flags, unsigned mode = 0666);
  ~File();
  File(File&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }

  uint64_t size() const;      ///< in bytes
  void seek(uint64_t place);  ///< where the next byte is read or written
  uint64_t place() const;
  uint64_t read(void* to, uint64_t count);  ///< up to `count` bytes, fewer only at the end; returns how many
  void read_all(void* to, uint64_t count);  ///< throws when the file ends before
  void write(const void* from, uint64_t count);

 private:
  std::string path_;
  int descriptor_;
};

/// A regular file to be read. A FIFO that nobody writes to, a directory and a device are Errors at once.
File open_to_read(const std::string& path);

}  // namespace teeny::data
