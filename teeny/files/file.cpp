#include "teeny/files/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tinyops/base/error.h"

namespace teeny::data {

using tinyops::fail;

void fail_errno(const std::string& path, const char* doing) { fail(path, ": ", doing, ": ", std::strerror(errno)); }

const char* system_path(const std::string& path) {
  if (const size_t at = path.find('\0'); at != path.npos)
    fail(path.substr(0, at), ": a path with a zero byte behind it, where every program would see the path end");
  return path.c_str();
}

File::File(std::string path, int flags, unsigned mode)
    : path_(std::move(path)), descriptor_(open(system_path(path_), flags | O_CLOEXEC | O_NOCTTY, mode)) {}

File::~File() {
  if (is_open()) close(descriptor_);
}

uint64_t File::size() const {
  struct stat info = {};
  if (fstat(descriptor_, &info) != 0) fail_errno(path_, "cannot read");
  return uint64_t(info.st_size);
}

void File::seek(uint64_t place) {
  if (lseek(descriptor_, off_t(place), SEEK_SET) < 0) fail_errno(path_, "cannot seek");
}

uint64_t File::place() const {
  const off_t place = lseek(descriptor_, 0, SEEK_CUR);
  if (place < 0) fail_errno(path_, "cannot seek");
  return uint64_t(place);
}

uint64_t File::read(void* to, uint64_t count) {
  uint64_t done = 0;
  while (done < count) {
    const ssize_t got = ::read(descriptor_, static_cast<char*>(to) + done, count - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno(path_, "cannot read");
    if (got == 0) break;
    done += uint64_t(got);
  }
  return done;
}

void File::read_all(void* to, uint64_t count) {
  if (read(to, count) < count) fail(path_, ": it got shorter while it was read");
}

void File::write(const void* from, uint64_t count) {
  for (uint64_t done = 0; done < count;) {
    const ssize_t put = ::write(descriptor_, static_cast<const char*>(from) + done, count - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_errno(path_, "cannot write");
    done += uint64_t(put);
  }
}

File open_to_read(const std::string& path) {
  File file(path, O_RDONLY | O_NONBLOCK);  // without the second flag a FIFO would wait for somebody to write to it
  if (!file.is_open()) fail_errno(path, "cannot read");
  struct stat info = {};
  if (fstat(file.descriptor(), &info) != 0) fail_errno(path, "cannot read");
  if (!S_ISREG(info.st_mode)) fail(path, ": not a regular file");
  return file;
}

}  // namespace teeny::data
