#include "teeny/files/replacement.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <system_error>

#include "tinyops/base/error.h"

namespace teeny::io {

namespace {

namespace fs = std::filesystem;
using data::fail_errno, data::File;
using tinyops::fail;

/// The file that `path` names, behind all symbolic links; it need not be there.
fs::path follow_links(const std::string& path) {
  fs::path target = data::system_path(path);
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    const fs::path next = fs::read_symlink(target, error);
    if (error || links == 40) fail(path, ": cannot write: ", error ? error.message() : "too many symbolic links");
    target = target.parent_path() / next;
  }
  return target;
}

constexpr std::string_view kMark = ".tmp-";
constexpr size_t kDigits = 16;

/// What the temporary names for `target` begin with; shorter than the target's where that name fills what a name may
/// have.
std::string beginning(const std::string& target) {
  return fs::path(target).filename().string().substr(0, 255 - kMark.size() - kDigits) + std::string(kMark);
}

/// Whether the file has been given another name, or none, since it was opened.
bool is_removed(const File& file) {
  struct stat info = {};
  return fstat(file.descriptor(), &info) != 0 || info.st_nlink == 0;
}

/// The temporary that was created last and is not in its place yet.
std::atomic<const char*> unfinished = nullptr;

}  // namespace

void remove_unfinished() noexcept {
  if (const char* path = unfinished.exchange(nullptr)) unlink(path);
}

Replacement::Replacement(const std::string& path) : path_(path) {
  const fs::path target = follow_links(path);
  target_ = target.string();
  directory_ = target.has_parent_path() ? target.parent_path().string() : ".";
  struct stat info = {};
  if (stat(target_.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) fail(path_, ": not a regular file");
    const bool nobody_may = (info.st_mode & 0222) == 0;  // asked for itself, because the superuser may always
    if (nobody_may || faccessat(AT_FDCWD, target_.c_str(), W_OK, AT_EACCESS) != 0)
      fail(path_, ": cannot write: it is read-only; chmod u+w, or choose another name");
    mode_ = info.st_mode & 07777;
    owner_ = {info.st_uid, info.st_gid};
  } else if (errno != ENOENT) {
    fail_errno(path_, "cannot write");
  }
  remove_leftovers();
  create();
}

Replacement::~Replacement() {
  if (!done_) unlink(temporary_.c_str());
  unfinished = nullptr;
}

/// Those of programs that have ended. Nothing here is an error: what cannot be removed stays.
void Replacement::remove_leftovers() const {
  const std::string begin = beginning(target_);
  // Not std::filesystem's iterator, which ends the program when there is no memory.
  const std::unique_ptr<DIR, void (*)(DIR*)> entries(opendir(directory_.c_str()), [](DIR* open) { closedir(open); });
  while (const dirent* entry = entries ? readdir(entries.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(begin) || name.size() != begin.size() + kDigits ||
        name.find_first_not_of("0123456789abcdef", begin.size()) != name.npos)
      continue;
    const std::string path = directory_ + "/" + entry->d_name;
    const File leftover(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat info = {};
    if (leftover.is_open() && fstat(leftover.descriptor(), &info) == 0 && S_ISREG(info.st_mode) &&
        flock(leftover.descriptor(), LOCK_EX | LOCK_NB) == 0)
      unlink(path.c_str());
  }
}

/// After the file is there nothing throws: the destructor of what is not constructed could not remove it.
void Replacement::create() {
  std::random_device random;
  for (int attempt = 0; attempt < 100; ++attempt) {
    unfinished = nullptr;
    char digits[kDigits + 1];
    std::snprintf(digits, sizeof digits, "%08x%08x", unsigned(random()), unsigned(random()));
    temporary_ = (fs::path(directory_) / (beginning(target_) + digits)).string();
    unfinished = temporary_.c_str();  // before it is there: a signal may come right after
    File file(temporary_, O_WRONLY | O_CREAT | O_EXCL, mode_ & 0777);
    if (!file.is_open()) {
      unfinished = nullptr;
      if (errno == EEXIST) continue;
      fail_errno(path_, "cannot write");
    }
    // Between these two lines somebody may have taken the new file for a leftover: then it is made again. A file system
    // without locks goes on without them, and nobody can take its files for leftovers either.
    if (flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
    if (is_removed(file)) continue;
    file_.emplace(std::move(file));
    return;
  }
  unfinished = nullptr;
  fail(path_, ": cannot write: no temporary name is free");
}

void Replacement::commit() {
  if (owner_) {
    // Only the superuser may give a file away; its group may be any of the user's. Who may not keep them has a file of
    // his own.
    [[maybe_unused]] int refused = fchown(file().descriptor(), owner_->first, gid_t(-1));
    refused = fchown(file().descriptor(), uid_t(-1), owner_->second);
    if (fchmod(file().descriptor(), mode_) != 0) fail_errno(path_, "cannot write");
  }
  if (fsync(file().descriptor()) != 0) fail_errno(path_, "cannot write");
  const File directory(directory_, O_RDONLY | O_DIRECTORY);
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail_errno(path_, "cannot write");
  done_ = true;
  // The new name lies in the directory, which is synced for itself. Some file systems cannot, and need not; and one in
  // a directory that its user may write to and not read cannot be opened.
  if (directory.is_open() && fsync(directory.descriptor()) != 0 && errno != EINVAL && errno != ENOTSUP)
    fail_errno(path_, "the new file is in place, but its directory cannot be synced");
}

}  // namespace teeny::io
