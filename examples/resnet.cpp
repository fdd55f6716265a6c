// A ResNet says what is to be seen on a picture. Its weights are not a part of teeny: files of torchvision's ResNet-18,
// 34, 50, 101 and 152, and those that were trained with its code, are given by name.
//
//   resnet --model resnet18.safetensors --labels imagenet_classes.txt dog.png
#include "examples/resnet.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "examples/common.h"
#include "examples/unicode.h"
#include "teeny/files/file.h"
#include "tinyops/base/decimal.h"

using namespace teeny;

/// The names of the classes: a line each, or a list in JSON.
static std::vector<std::string> read_labels(const std::string& path, int64_t classes) {
  data::File file = data::open_to_read(path);
  std::string text(file.size(), '\0');
  file.read_all(text.data(), text.size());
  std::vector<std::string> labels;
  if (text.starts_with('[')) {
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (json.is_discarded()) fail(path, ": no JSON");
    for (const auto& label : json) {
      if (!label.is_string()) fail(path, ": label ", labels.size(), " is no text");
      labels.push_back(label.get<std::string>());
    }
  } else {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
      labels.push_back(line.substr(0, line.find_last_not_of('\r') + 1));
  }
  if (int64_t(labels.size()) != classes)
    fail(path, ": ", labels.size(), " labels, and the network has ", classes, " classes");
  return labels;
}

int main(int argc, char** argv) {
  std::string file, labels_file, picture;
  int64_t top = 5, resized = 256;

  const auto body = [&] {
    if (file.empty()) throw examples::WrongOption("--model is missing: a file with a ResNet's weights");
    if (picture.empty()) throw examples::WrongOption("the picture is missing: a PNG or PPM");
    const NoGrad guard;
    examples::ResNet model = examples::load_resnet(file);
    const int64_t classes = model.fc.weight.size(0);
    std::vector<std::string> labels;
    if (!labels_file.empty()) labels = read_labels(labels_file, classes);
    const Tensor x = examples::preprocess(examples::read_image(picture), resized);
    const auto [chances, best] = model(x).softmax().flatten().topk(std::min(top, classes));
    const auto chance = chances.to_vector();
    const auto number = best.to_vector<int64_t>();
    for (size_t i = 0; i < chance.size(); ++i) {
      const std::string label = labels.empty() ? text("class ", number[i]) : labels[size_t(number[i])];
      const int bar = std::clamp(examples::columns() - 40, 0, 20);
      std::printf("%5s %% %s %s\n", tinyops::decimal(100 * chance[i], 1).c_str(), examples::bar(chance[i], bar).c_str(),
                  examples::printable(label, std::max(examples::columns() - bar - 10, 8)).c_str());
    }
  };
  return examples::run(argc, argv, "Says what a picture shows, with the weights of a ResNet.",
                       {{"--model", &file, "the weights: .safetensors, or PyTorch's .pt, .pth or .bin"},
                        {"--labels", &labels_file, "names of the classes: a line each, or a list in JSON"},
                        {"picture", &picture, "a PNG or PPM"},
                        {"--top", &top, "how many classes to show", 1},
                        {"--resize", &resized, "pixels of the shorter side, of which 224 are cut out", 224, 100'000}},
                       body);
}
