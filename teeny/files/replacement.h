#pragma once
// A new file that takes the place of another one in a single step.
#include <sys/types.h>

#include <optional>
#include <string>

#include "teeny/files/file.h"

namespace teeny::io {

/// A file beside `path`, which takes its place when all has gone well and is removed when anything has not. A symbolic
/// link is followed: the file that it names is replaced, and the link stays. The new file has the permissions, and as
/// far as the system lets us the owner, of the old one.
///
///   model.safetensors                         what is replaced
///   model.safetensors.tmp-59c1a0e2b7d4f386    what is written, locked by flock(2) as long as its writer lives
///
/// A program that is killed leaves such a file behind, and with it no lock: the next one to write `path` removes it.
/// Process numbers would not do, since in a container every program is number 1.
class Replacement {
 public:
  /// Throws, naming `path`, where it cannot be written to, is read-only, or is no regular file.
  explicit Replacement(const std::string& path);
  ~Replacement();
  Replacement(const Replacement&) = delete;
  data::File& file() { return *file_; }
  /// Returns when the system says that the file is on the disk. Throws: then `path` is what it was, but for one case,
  /// of which the message says that the new file is in place.
  void commit();

 private:
  void remove_leftovers() const;
  void create();

  const std::string path_;
  std::string target_, directory_, temporary_;
  mode_t mode_ = 0666;
  std::optional<std::pair<uid_t, gid_t>> owner_;  ///< of the file that is replaced
  std::optional<data::File> file_;
  bool done_ = false;
};

/// For a signal handler that is about to end the program: removes the file that is being written, if there is one.
void remove_unfinished() noexcept;

}  // namespace teeny::io
