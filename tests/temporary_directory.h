#pragma once
// A directory for the files of one test case, gone with everything in it at the end.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "teeny/graph/base.h"

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "teeny-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  /// A new file: over an old one, some file systems write no faster than the disk.
  std::string write(const std::string& name, std::string_view bytes) const {
    std::filesystem::remove(*this / name);
    std::ofstream(*this / name, std::ios::binary) << bytes;
    return *this / name;
  }
  size_t files() const {
    return size_t(std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What `f` throws: the message of a teeny::Error, or "" where it throws none. Anything else escapes, and fails the
/// test.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const teeny::Error& error) { return error.what(); }
  return "";
}
