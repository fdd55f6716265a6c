#pragma once
// Files of other programs in golden/interop, which golden/interop.py wrote, and what is in them.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "teeny/io/io.h"

namespace teeny::test {

inline std::string golden_file(const std::string& name) {
  return std::filesystem::path(__FILE__).parent_path() / "golden/interop" / name;
}

/// The tensors that are in the file, sorted by name.
inline nn::StateDict golden_of(const std::string& file) {
  nn::StateDict result;
  for (const auto& [name, x] : io::load_safetensors(golden_file("expected.safetensors")).tensors)
    if (name.starts_with(file + "/")) result.emplace_back(name.substr(file.size() + 1), x);
  std::ranges::sort(result, {}, &std::pair<std::string, Tensor>::first);
  return result;
}

/// How many files of those that may hold anything were read, and how many refused.
struct Outcomes {
  size_t read = 0, refused = 0;

  /// Loads the file, and looks at all elements that cost little. An Error must name the file; another exception fails
  /// the test.
  template <class Load>
  void add(const std::string& path, Load&& load) {
    try {
      for (const auto& [name, x] : load())
        if (x.numel() < 1 << 20) x.to_bytes();
      ++read;
    } catch (const Error& error) {
      if (std::string_view(error.what()).find(path) == std::string::npos) FAIL_CHECK(path, ": ", error.what());
      ++refused;
    }
  }
  /// Where nothing was read, or nothing refused, the test has not seen much.
  ~Outcomes() {
    MESSAGE(refused, " files are refused, ", read, " read");
    CHECK(refused > 0);
    CHECK(read > 0);
  }
};

}  // namespace teeny::test
