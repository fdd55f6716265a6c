#pragma once
// Networks that are saved as ONNX files, with what their graphs consist of.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "teeny/functional/functional.h"
#include "teeny/teeny.h"

namespace teeny::test {

struct SavedNetwork {
  std::string name;
  std::vector<std::vector<Tensor>> inputs;  ///< of calls; the file is saved with the first
  onnx::SaveOptions options;
  std::map<std::string, int64_t> counts;  ///< nodes by operation
  bool equal = true;                      ///< teeny gives the same bits when it opens the file; otherwise nearly so
  std::function<void(const std::string& path, int opset)> save;
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> call;
};

/// All of them, with small random weights.
std::vector<SavedNetwork> saved_networks();
/// ResNet-50 and GPT-2 as large as they are.
std::vector<SavedNetwork> large_saved_networks();

template <class Model>
SavedNetwork saved_network(std::string name, Model model, std::vector<std::vector<Tensor>> inputs,
                           onnx::SaveOptions options, std::map<std::string, int64_t> counts, bool equal = true) {
  const auto shared = std::make_shared<Model>(std::move(model));
  SavedNetwork result{std::move(name), std::move(inputs), std::move(options), std::move(counts), equal, {}, {}};
  result.save = [shared, x = result.inputs[0], options = result.options](const std::string& path, int opset) {
    onnx::SaveOptions changed = options;
    changed.opset = std::max(opset, options.opset);
    onnx::save(path, *shared, x, changed);
  };
  result.call = [shared](const std::vector<Tensor>& x) {
    const NoGrad guard;
    return onnx::saving::call_model(*shared, x);
  };
  return result;
}

}  // namespace teeny::test
