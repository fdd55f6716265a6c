#pragma once
// Shared by the tests of state dictionaries and of files.
#include <string>
#include <string_view>
#include <vector>

#include "teeny/nn/state.h"

inline std::vector<std::string> names(const teeny::nn::StateDict& dict) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : dict) result.push_back(name);
  return result;
}

inline bool has(const std::string& message, std::string_view part) { return message.find(part) != std::string::npos; }

inline bool same_bits(const teeny::nn::StateDict& a, const teeny::nn::StateDict& b) {
  if (names(a) != names(b)) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const teeny::Tensor &x = a[i].second, &y = b[i].second;
    if (x.dtype() != y.dtype() || x.shape() != y.shape() || x.to_bytes() != y.to_bytes()) return false;
  }
  return true;
}
