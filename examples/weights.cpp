#include "examples/weights.h"

#include <algorithm>

#include "teeny/teeny.h"

namespace examples {

using namespace teeny;

nn::StateDict read_weights(const std::string& path) {
  nn::StateDict weights;
  if (path.ends_with(".safetensors")) {
    io::Safetensors file = io::load_safetensors(path);
    if (!file.left_out.empty())
      fail(path, ": ", file.left_out.begin()->first, " is stored as ", file.left_out.begin()->second,
           ", which teeny does not have");
    weights = std::move(file.tensors);
  } else if (path.ends_with(".pt") || path.ends_with(".pth") || path.ends_with(".bin")) {
    weights = io::load_torch(path);
  } else {
    fail(path, ": the ending is .safetensors, .pt, .pth or .bin");
  }
  // A checkpoint has more than the weights; and what DataParallel wraps is called "module".
  for (const char* part : {"state_dict", "model_state_dict", "model", "module"})
    if (nn::StateDict inside = nn::under(weights, part); !inside.empty()) weights = std::move(inside);
  std::vector<Tensor> tensors;
  for (auto& [name, tensor] : weights) {
    if (is_float(tensor.dtype())) tensor = tensor.cast(DType::Float32);
    tensors.push_back(tensor);
  }
  realize(tensors);
  return weights;
}

void assign_weights(const nn::StateDict& model, const nn::StateDict& weights, const std::string& path) {
  const auto named = [](const nn::StateDict& dict, const std::string& name) {
    return std::ranges::find(dict, name, [](const auto& entry) { return entry.first; });
  };
  for (const auto& [name, wanted] : model) {
    const auto given = named(weights, name);
    if (given == weights.end()) fail(path, ": there is no ", name, ", a tensor of ", wanted.shape());
    if (given->second.shape() != wanted.shape())
      fail(path, ": ", name, " is a tensor of ", given->second.shape(), ", and must be one of ", wanted.shape());
  }
  for (const auto& [name, tensor] : weights)
    if (named(model, name) == model.end()) fail(path, ": ", name, " has no place in the network");
  nn::load_state_dict(model, weights);
}

}  // namespace examples
