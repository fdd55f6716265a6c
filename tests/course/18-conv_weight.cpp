#include "tests/course/tensors.h"

EXERCISE("18") {
  using namespace course;
  using teeny::ConvOptions, teeny::Shape, teeny::Tensor;
  const auto check = [](const std::string& what, const Shape& image, const Shape& weight,
                        const ConvOptions& options = {}) {
    const Tensor x = numbers(image);
    const auto f = [&](const Tensors& w) {
      return image.size() == 3   ? x.conv1d(w[0], {}, options)
             : image.size() == 4 ? x.conv2d(w[0], {}, options)
                                 : x.conv3d(w[0], {}, options);
    };
    gradients(text("the gradient of conv", image.size() - 2, "d's weights, ", what), f, {numbers(weight)});
  };
  check("2 x 2 taps", {1, 1, 4, 4}, {1, 1, 2, 2});
  check("two images", {2, 1, 4, 3}, {1, 1, 2, 2});
  check("2 to 3 channels", {2, 2, 4, 3}, {3, 2, 2, 2});
  check("stride 2, padding 1", {1, 2, 5, 5}, {2, 2, 3, 3}, {.stride = 2, .padding = 1});
  check("dilation 2", {1, 2, 5, 6}, {2, 2, 2, 3}, {.dilation = 2});
  check("two groups of 2 to 3 channels", {2, 4, 3, 3}, {6, 2, 2, 2}, {.groups = 2});
  check("one dimension", {2, 2, 6}, {3, 2, 3});
  check("three dimensions", {2, 1, 3, 3, 3}, {2, 1, 2, 2, 2});

  const int64_t groups = pick(1, 3), channels = pick(1, 2), filters = pick(1, 2), taps = pick(1, 3);
  const ConvOptions options = {.stride = pick(1, 2), .padding = pick(0, 1), .dilation = pick(1, 2), .groups = groups};
  const Shape image = {pick(1, 2), groups * channels, pick(6, 7), pick(6, 7)},
              weight = {groups * filters, channels, taps, pick(1, 3)};
  check(text(image, " under filters ", weight, ", at random"), image, weight, options);
}
