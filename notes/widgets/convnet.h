#pragma once
// The network of examples/mnist.cpp, layer by layer. The page runs it, and the program that writes its data.
#include <string>
#include <vector>

#include "teeny/nn/nn.h"
#include "teeny/tensor/modes.h"
#include "teeny/tensor/tensor.h"

struct Layer {
  std::string name;
  teeny::Tensor values;
};

struct Convnet {
  teeny::nn::Conv2d c1{1, 16, 5}, c2{16, 32, 5};
  teeny::nn::Linear head{512, 10};

  /// What each layer makes of images (N, 1, 28, 28), black 0 to white 1; the last are the ten chances.
  std::vector<Layer> layers(const teeny::Tensor& images) const {
    const teeny::NoGrad guard;
    std::vector<Layer> result;
    const auto keep = [&](const char* name, const teeny::Tensor& x) {
      result.push_back({name, x.realize()});
      return x;
    };
    teeny::Tensor x = (images - 0.1307) / 0.3081;
    x = keep("c1(x).relu()", c1(x).relu());
    x = keep(".max_pool2d()", x.max_pool2d());
    x = keep("c2(x).relu()", c2(x).relu());
    x = keep(".max_pool2d()", x.max_pool2d());
    x = keep("head(x.flatten(1))", head(x.flatten(1)));
    keep(".softmax()", x.softmax());
    return result;
  }
  TEENY_STATE(c1, c2, head)
};
