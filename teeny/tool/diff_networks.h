#pragma once
// In what two networks differ, besides their tensors.
#include <string>
#include <vector>

namespace teeny::tool {

struct Difference {
  std::string name;  ///< `Conv "conv1"`, `call x (1, 3)`
  std::string how;   ///< added, missing, `kernel_shape 3×3 became 5×5`
};

/// Of two ONNX files, or of two program files; none of others.
std::vector<Difference> differences(const std::string& a, const std::string& b);
/// Whether it says anything of them.
bool are_networks(const std::string& a, const std::string& b);

}  // namespace teeny::tool
