// The figures of notes/00-one-epoch.md: the first steps of a training, and what the layers say of a test image then.
#include <iostream>

#include "teeny/teeny.h"

using namespace teeny;

struct Convnet {  // examples/mnist.cpp
  nn::Conv2d c1{1, 16, 5}, c2{16, 32, 5};
  nn::Linear head{512, 10};
  TEENY_STATE(c1, c2, head)

  std::vector<Tensor> layers(const Tensor& x) const {
    const Tensor first = c1((x - 0.1307) / 0.3081).relu().max_pool2d(), second = c2(first).relu().max_pool2d();
    return {first, second, head(second.flatten(1))};
  }
};

/// How many tensors there are, how many numbers each of them has a side, and all of them from 0 to 1.
void maps(const char* name, const Tensor& x, int64_t count) {
  std::cout << name << "\t" << x.size(-1) << "\t" << count;
  const Tensor some = x[{slice(0, count)}];
  for (const float v : (some / some.max()).to_vector()) std::cout << " " << v;
  std::cout << "\n";
}

int main() {
  Tensor::manual_seed(1);
  const auto [train, test] = data::mnist();
  const Convnet model;
  {
    const Training mode;
    optim::Adam adam(nn::parameters(model), {.lr = 1e-3});
    data::DataLoader loader(train, {.batch_size = 128, .shuffle = true, .seed = 1});
    int left = 101;
    std::cout << "== figure training\n";
    for (const auto& [x, y] : loader) {
      adam.zero_grad();
      const Tensor logits = model.layers(x).back(), loss = logits.cross_entropy(y).backward();
      adam.step();
      std::cout << loss.item() << " " << (logits.argmax(1) == y).mean().item() << "\n";
      if (--left == 0) break;
    }
  }
  const NoGrad guard;
  const Tensor image = test.images[{slice(0, 1)}] / 255;
  const std::vector<Tensor> layers = model.layers(image);
  std::cout << "== figure digit\n";
  maps("image", image[0], 1), maps("first layer", layers[0][0], 4), maps("second layer", layers[1][0], 8);
  std::cout << "chances\t10\t1";
  for (const float v : layers[2].softmax(1).to_vector()) std::cout << " " << v;
  std::cout << "\n";
}
