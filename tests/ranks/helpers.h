#pragma once
// What the tests of many ranks share. All ranks run the same cases in the same order.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "teeny/teeny.h"
#include "tinyops/base/hash.h"

namespace of_ranks {

using namespace teeny;

/// Of all bits of all tensors.
inline int64_t hash(std::span<const Tensor> xs) {
  uint64_t result = 0;
  for (const Tensor& x : xs) result = result * 31 + tinyops::xxh64(x.to_bytes());
  return int64_t(result);
}
/// Whether all ranks have this value.
inline bool same_on_all(int64_t value) {
  for (const int64_t other : dist::all_gather(Tensor::of<int64_t>({value})).to_vector<int64_t>())
    if (other != value) return false;
  return true;
}

/// Rank 0's folder for the files of a test case, gone at the end, when all ranks are there. RANKS_DIRECTORY= is where
/// all hosts see the same files.
class SharedDirectory {
 public:
  SharedDirectory() {
    const char* shared = std::getenv("RANKS_DIRECTORY");
    const std::filesystem::path parent = shared ? shared : std::filesystem::temp_directory_path();
    std::string name = (parent / "teeny-ranks-XXXXXX").string();
    if (dist::rank() == 0 && !mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    Tensor bytes = Tensor::from(std::vector<uint8_t>(name.begin(), name.end()));
    dist::broadcast({{"path", bytes}});
    const auto path = bytes.to_vector<uint8_t>();
    path_ = std::string(path.begin(), path.end());
  }
  ~SharedDirectory() {
    dist::barrier();
    std::error_code ignored;
    if (dist::rank() == 0) std::filesystem::remove_all(path_, ignored);
  }
  SharedDirectory(const SharedDirectory&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// The largest difference of two lists of tensors, beside the largest value; a sum that cancels is no value.
inline double distance(std::span<const Tensor> a, std::span<const Tensor> b) {
  double most = 0, size = 1e-2;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].numel() == 0) continue;
    most = std::max(most, (a[i] - b[i]).abs().cast(DType::Float64).max().item());
    size = std::max(size, b[i].abs().cast(DType::Float64).max().item());
  }
  return most / size;
}

}  // namespace of_ranks
