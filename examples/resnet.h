#pragma once
// ResNet (He et al., "Deep residual learning for image recognition", 2015), with the names and shapes of torchvision's
// weights, and what is done to a picture before it.
#include <array>
#include <map>
#include <optional>
#include <string>

#include "examples/image.h"
#include "examples/weights.h"
#include "teeny/teeny.h"

namespace examples {

using teeny::Tensor;
namespace nn = teeny::nn;

/// What a block computes is added to its input: two convolutions of 3 x 3, or (a bottleneck) one of 3 x 3 on a quarter
/// of the channels. Where sizes change, the input takes a short cut through a convolution of 1 x 1.
struct ResNetBlock {
  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  nn::Conv2d conv2;
  nn::BatchNorm2d bn2;
  std::optional<nn::Conv2d> conv3;
  std::optional<nn::BatchNorm2d> bn3;
  std::optional<nn::Sequential> downsample;

  static nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1) {
    return {in, out, kernel, {.stride = stride, .padding = kernel / 2}, {.bias = false}};
  }
  ResNetBlock(int64_t in, int64_t width, int64_t out, int64_t stride)
      : conv1(width == out ? conv(in, width, 3, stride) : conv(in, width, 1)),
        bn1(width),
        conv2(width == out ? conv(width, width, 3) : conv(width, width, 3, stride)),
        bn2(width) {
    if (width != out) conv3 = conv(width, out, 1), bn3.emplace(out);
    if (in != out || stride != 1) downsample.emplace(conv(in, out, 1, stride), nn::BatchNorm2d(out));
  }

  Tensor operator()(const Tensor& x) {
    Tensor y = bn2(conv2(bn1(conv1(x)).relu()));
    if (conv3) y = (*bn3)((*conv3)(y.relu()));
    return (y + (downsample ? (*downsample)(x) : x)).relu();
  }
  TEENY_STATE(conv1, bn1, conv2, bn2, conv3, bn3, downsample)
};

struct ResNetConfig {  ///< of ResNet-18
  std::array<int64_t, 4> blocks = {2, 2, 2, 2};
  bool bottleneck = false;
  int64_t width = 64, classes = 1000;
};

struct ResNet {
  nn::Conv2d conv1;
  nn::BatchNorm2d bn1;
  std::vector<ResNetBlock> layer1, layer2, layer3, layer4;
  nn::Linear fc;

  explicit ResNet(const ResNetConfig& c)
      : conv1(ResNetBlock::conv(3, c.width, 7, 2)), bn1(c.width), fc(c.width * (c.bottleneck ? 32 : 8), c.classes) {
    int64_t in = c.width, width = c.width, i = 0;
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4}) {
      const int64_t out = c.bottleneck ? 4 * width : width;
      for (int64_t block = 0; block < c.blocks[size_t(i)]; ++block, in = out)
        layer->emplace_back(in, width, out, i > 0 && block == 0 ? 2 : 1);
      width *= 2, ++i;
    }
  }

  /// Logits (N, classes) of pictures (N, 3, H, W).
  Tensor operator()(Tensor x) {
    x = bn1(conv1(x)).relu().max_pool2d(3, {.stride = 2, .padding = 1});
    for (auto* layer : {&layer1, &layer2, &layer3, &layer4})
      for (ResNetBlock& block : *layer) x = block(x);
    return fc(x.mean({2, 3}));
  }
  TEENY_STATE(conv1, bn1, layer1, layer2, layer3, layer4, fc)
};

/// The network of a file, whose tensors say how deep and how wide it is.
inline ResNet load_resnet(const std::string& path) {
  nn::StateDict weights = read_weights(path);
  // How many batches were seen in training, which the oldest files do not say.
  const auto counts_batches = [](const auto& entry) { return entry.first.ends_with(".num_batches_tracked"); };
  std::erase_if(weights, counts_batches);
  const std::map<std::string, Tensor> by_name(weights.begin(), weights.end());
  const auto size = [&](const char* name, int rank) {
    const auto found = by_name.find(name);
    if (found == by_name.end() || found->second.rank() != rank || found->second.numel() == 0)
      teeny::fail(path, ": no weights of a ResNet, which have ", name, " with ", rank, " axes");
    return found->second.size(0);
  };
  ResNetConfig config{{}, by_name.count("layer1.0.conv3.weight") > 0, size("conv1.weight", 4), size("fc.weight", 2)};
  for (size_t i = 0; i < 4; ++i)
    while (by_name.count(teeny::text("layer", i + 1, '.', config.blocks[i], ".conv1.weight"))) ++config.blocks[i];
  ResNet model(config);
  nn::StateDict wanted = nn::state_dict(model);
  std::erase_if(wanted, counts_batches);
  assign_weights(wanted, weights, path);
  return model;
}

/// The picture as ResNet wants it (1, 3, side, side): its shorter side brought to `resized` pixels, the middle cut out,
/// and each colour with mean 0 and deviation 1 over all of ImageNet. As torchvision's ImageClassification does.
inline Tensor preprocess(const Image& image, int64_t resized = 256, int64_t side = 224) {
  const int64_t shorter = std::min(image.width, image.height);
  const auto scaled = [&](int64_t length) { return int64_t(double(resized * length) / double(shorter)); };
  const Image small = resize(image, scaled(image.width), scaled(image.height));
  const auto middle = [&](int64_t length) { return std::lrint(double(length - side) / 2); };  // halves to even
  const Image part = crop(small, middle(small.width), middle(small.height), side, side);
  const Tensor colours =
      Tensor::from(part.pixels, {side, side, 3}).permute({2, 0, 1}).cast(teeny::DType::Float32) / 255;
  const Tensor mean = Tensor::of({0.485, 0.456, 0.406}), deviation = Tensor::of({0.229, 0.224, 0.225});
  return ((colours - mean.reshape({3, 1, 1})) / deviation.reshape({3, 1, 1})).unsqueeze(0);
}

}  // namespace examples
