// The digit page: what every layer of a trained network makes of a drawing. The page puts numbers into memory, and
// calls the two functions at the end.
#include <emscripten.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "notes/widgets/convnet.h"

using namespace teeny;
using nlohmann::json;

namespace {
std::optional<Convnet> network;
std::vector<float> values;  ///< of all layers, one after the other
}  // namespace

extern "C" {

/// The parameters, in the order of the state dict, as float16. How many bytes it has read.
EMSCRIPTEN_KEEPALIVE int digit_load(const std::byte* weights) {
  network.emplace();
  const std::byte* at = weights;
  nn::StateDict state = nn::state_dict(*network);
  for (auto& [name, x] : state) {
    const std::span bytes(at, size_t(x.numel()) * 2);
    x = Tensor::from_bytes(bytes, DType::Float16, x.shape()).cast(DType::Float32).realize();
    at += bytes.size();
  }
  nn::load_state_dict(*network, state);
  return int(at - weights);
}

/// 28 x 28 pixels, black 0 to white 1. The layers as JSON: name, shape, and where the values lie in memory.
EMSCRIPTEN_KEEPALIVE const char* digit_run(const float* pixels) {
  static std::string result;
  try {
    const Tensor image = Tensor::from(std::span(pixels, 28 * 28), {1, 1, 28, 28});
    json layers = json::array();
    values.clear();
    for (const Layer& layer : network->layers(image)) {
      const Shape& shape = layer.values.shape();
      layers.push_back(
          {{"name", layer.name}, {"shape", std::vector(shape.begin() + 1, shape.end())}, {"from", values.size()}});
      const std::vector<float> own = layer.values.to_vector();
      values.insert(values.end(), own.begin(), own.end());
    }
    result = json{{"layers", layers}, {"values", reinterpret_cast<uintptr_t>(values.data())}}.dump();
  } catch (const std::exception& e) { result = json{{"error", e.what()}}.dump(); }
  return result.c_str();
}

}  // extern "C"
