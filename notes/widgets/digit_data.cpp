// digit_data MODEL.safetensors OUT.js: what the digit page knows beforehand. The weights in half precision, some images
// of the test set, and the chances that this machine's teeny gives them with these weights: those of the page must be
// equal.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "notes/widgets/convnet.h"
#include "teeny/teeny.h"

using namespace teeny;
using nlohmann::json;

static std::string base64(std::span<const std::byte> bytes) {
  static constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j) three = three << 8 | (i + j < bytes.size() ? uint32_t(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) result += i + j > bytes.size() ? '=' : kLetters[three >> (18 - 6 * j) & 63];
  }
  return result;
}

static void write(const std::string& model, const std::string& out) {
  constexpr size_t kOfEachClass = 3, kWrong = 12;
  Convnet network;
  nn::StateDict state = io::load_safetensors(model);
  std::vector<std::byte> weights;
  for (auto& [name, x] : state) {
    const Tensor half = x.cast(DType::Float16);
    const auto bytes = half.to_bytes();
    weights.insert(weights.end(), bytes.begin(), bytes.end());
    x = half.cast(DType::Float32);
  }
  nn::load_state_dict(network, state);

  const data::Dataset test = data::mnist().test;
  const auto labels = test.labels.to_vector<int64_t>();
  std::vector<json> right(10, json::array());
  json wrong = json::array();
  int64_t count_right = 0;
  for (int64_t begin = 0; begin < test.size(); begin += 1000) {
    const Tensor images = test.images[{slice(begin, begin + 1000)}];
    const auto chances = network.layers(images / 255).back().values.to_vector();
    const auto pixels = images.to_bytes();
    for (size_t i = 0; i < chances.size() / 10; ++i) {
      const std::vector<float> ten(chances.begin() + int64_t(10 * i), chances.begin() + int64_t(10 * i + 10));
      const auto label = size_t(labels[size_t(begin) + i]);
      const bool is_right = size_t(std::max_element(ten.begin(), ten.end()) - ten.begin()) == label;
      count_right += is_right;
      json& kind = is_right ? right[label] : wrong;
      if (kind.size() == (is_right ? kOfEachClass : kWrong)) continue;
      json rounded = json::array();
      for (float chance : ten) rounded.push_back(std::round(double(chance) * 1e6) / 1e6);
      kind.push_back({{"index", begin + int64_t(i)},
                      {"label", label},
                      {"pixels", base64(std::span(pixels).subspan(784 * i, 784))},
                      {"chances", rounded}});
    }
  }
  const double accuracy = 100.0 * double(count_right) / double(test.size());
  const json data = {{"weights", base64(weights)}, {"right", right}, {"wrong", wrong}, {"accuracy", accuracy}};
  std::ofstream file(out);
  if (!(file << "const DIGIT = " << data.dump() << ";\n").flush()) fail("cannot write ", out);
}

int main(int argc, char** argv) try {
  if (argc != 3) fail("usage: digit_data MODEL.safetensors OUT.js");
  write(argv[1], argv[2]);
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
