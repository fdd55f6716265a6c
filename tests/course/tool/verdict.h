#pragma once
// Building and running the check of an exercise, and what it said.
#include <string>
#include <vector>

#include "child.h"
#include "exercise.h"

namespace course {

struct Verdict {
  bool right = false, built = true;
  std::string output;                           // of the check, or of the compiler
  double build_seconds = 0, check_seconds = 0;  // of processor time
};

/// The program that has the exercise's check.
std::string program_of(const Exercise& e);

enum class Progress { Silent, Shown };

/// The files of all these exercises whose holes are not as they were shipped: they are compiled apart.
std::string open_files(const std::vector<Exercise>& all, const fs::path& root = ".");

/// Builds the program of checks of the exercise's configuration. `open` as of open_files; each compiler has these
/// limits.
Verdict build_checks(const Exercise& e, const std::string& open, Progress progress, const fs::path& root = ".",
                     const Limits& limits = {});
/// Runs the check in a program that is built.
Verdict run_check(const Exercise& e, const std::string& seed, const fs::path& root = ".");
/// Both, one window at a time.
Verdict check(const Exercise& e, const std::vector<Exercise>& all, const std::string& seed, Progress progress,
              const fs::path& root = ".");

/// Seconds with two digits.
std::string text_of(double seconds);

/// A verdict is kept with the checksum of the body that it was about: change the body, and it is gone.
void remember(const Exercise& e, const std::string& verdict);
std::string remembered(const Exercise& e);

/// While it lives, no other window builds or changes a hole; says so when it has to wait.
class Lock {
 public:
  explicit Lock(const fs::path& root = ".");
  Lock(const Lock&) = delete;
  ~Lock();

 private:
  int file;
};

}  // namespace course
