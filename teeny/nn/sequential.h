#pragma once
// Layers in a row, of any types, and functions of a tensor among them:
//
//   nn::Sequential model(nn::Conv2d(1, 8, 5), nn::BatchNorm2d(8), &Tensor::relu,
//                        [](const Tensor& x) { return x.max_pool2d().flatten(1); }, nn::Linear(1152, 10));
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "teeny/nn/state.h"

namespace teeny::nn {

/// Of each layer's type only two things are kept (type erasure): how to run it, and how to list its tensors. Their
/// names begin with the index of the layer, "0.weight", as in PyTorch; functions count, too. Copies share the layers.
class Sequential {
 public:
  template <class... Layers>
  explicit Sequential(Layers... layers) {
    (add(std::move(layers)), ...);
  }
  template <class Layer>
  Sequential& add(Layer layer) & {
    auto held = std::make_shared<Layer>(std::move(layer));
    steps_.push_back({[held](const Tensor& x) { return std::invoke(*held, x); },
                      [held] {
                        if constexpr (HasState<Layer>) return state_dict(*held);
                        else return StateDict();
                      }});
    return *this;
  }
  template <class Layer>
  Sequential add(Layer layer) && {
    return add(std::move(layer));
  }

  Tensor operator()(Tensor x) const {
    for (const Step& step : steps_) x = step.run(x);
    return x;
  }
  size_t size() const { return steps_.size(); }

  StateDict teeny_state() const {
    StateDict dict;
    for (size_t i = 0; i < steps_.size(); ++i) collect(std::to_string(i), steps_[i].state(), dict);
    return dict;
  }

 private:
  struct Step {
    std::function<Tensor(const Tensor&)> run;
    std::function<StateDict()> state;
  };
  std::vector<Step> steps_;
};

}  // namespace teeny::nn
