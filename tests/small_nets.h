#pragma once
// A small network and its optimiser, for the tests that look at all that a training step changes.
#include <cstddef>
#include <type_traits>
#include <vector>

#include "teeny/nn/nn.h"
#include "teeny/optim/optim.h"

namespace teeny::test {

using Bytes = std::vector<std::vector<std::byte>>;

/// A table, matrices, running statistics and dropout: of tokens from 0 to 9, logits of 8 classes.
struct TokenNet {
  nn::Embedding table{10, 6};
  nn::Linear first{6, 8}, second{8, 8};
  nn::BatchNorm1d norm{8};
  nn::Dropout dropout{0.2};
  Tensor operator()(const Tensor& tokens) { return second(dropout(norm(first(table(tokens))).relu())); }
  TEENY_STATE(table, first, second, norm)
};

/// As in examples/mnist.cpp.
struct Convnet {
  nn::Conv2d c1{1, 16, 5}, c2{16, 32, 5};
  nn::Linear head{512, 10};
  Tensor operator()(Tensor x) const {
    x = (x - 0.1307) / 0.3081;
    x = c1(x).relu().max_pool2d();
    x = c2(x).relu().max_pool2d();
    return head(x.flatten(1));
  }
  TEENY_STATE(c1, c2, head)
};

/// A network with the same first values each time, not yet computed. Muon gets the matrices alone.
template <class Net, class Optimizer>
struct Trained {
  Net net = (Tensor::manual_seed(3), Net());
  Optimizer optimizer;

  explicit Trained(const auto&... options) : optimizer(trainable(net), options...) {}

  Tensor step(const Tensor& x, const Tensor& classes) {
    for (Tensor& p : nn::parameters(net)) p.zero_grad();
    const Tensor loss = net(x).cross_entropy(classes).backward();
    optimizer.step();
    return loss;
  }
  nn::StateDict state() const {
    nn::StateDict all = nn::state_dict(net);
    for (const auto& entry : nn::state_dict(optimizer)) all.push_back(entry);
    return all;
  }
  void realize() const {
    std::vector<Tensor> all;
    for (const auto& [name, tensor] : state()) all.push_back(tensor);
    teeny::realize(all);
  }
  Bytes bytes() const {
    Bytes all;
    for (const auto& [name, tensor] : state()) all.push_back(tensor.to_bytes());
    return all;
  }
  /// Empty where there is none.
  Bytes gradients() const {
    Bytes all;
    for (const Tensor& p : nn::parameters(net))
      all.push_back(p.grad().defined() ? p.grad().to_bytes() : std::vector<std::byte>());
    return all;
  }

 private:
  static std::vector<Tensor> trainable(const Net& net) {
    std::vector<Tensor> all = nn::parameters(net);
    if constexpr (std::is_same_v<Optimizer, optim::Muon>)
      std::erase_if(all, [](const Tensor& p) { return p.rank() != 2; });
    return all;
  }
};

}  // namespace teeny::test
