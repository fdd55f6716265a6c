#pragma once
// Exercise 36: an optimiser, in a program that includes teeny and changes nothing in it. See
// notes/exercises/36-own_optimizer.md.
#include <string_view>
#include <vector>

#include "teeny/teeny.h"

namespace own {
using namespace teeny;

struct LionOptions {
  double lr = 1e-4, beta1 = 0.9, beta2 = 0.99, weight_decay = 0;
};

/// Every element of a parameter moves by lr, up or down. Chen et al., "Symbolic discovery of optimization algorithms",
/// 2023, with one moment m a parameter, which begins with zeros:
///
///   u = sign(beta1 * m + (1 - beta1) * g)               of the m from before this step
///   p = p - lr * (u + weight_decay * p)
///   m = beta2 * m + (1 - beta2) * g
class Lion : public optim::Optimizer {
 public:
  static constexpr std::string_view kName = "lion";
  explicit Lion(std::vector<Tensor> params, const LionOptions& options = {})
      : Optimizer(kName, std::move(params), options.lr), options_(options) {
    start(m_, 0);
  }

  // [exercise 36
  void step() override {
    const NoGrad guard;
    finish_last_step(nn::state_dict(*this));
    const auto [lr, beta1, beta2, weight_decay] = options_;
    for (const auto& [i, w, g] : trained()) {
      const Tensor rate = lr_.cast(w.dtype()), m = m_[i];
      const Tensor u = (m * beta1 + g * (1 - beta1)).sign();
      update(i, w - rate * (u + w * weight_decay));
      m_[i].assign(m * beta2 + g * (1 - beta2));
    }
  }
  TEENY_STATE(lr_, m_)
  // exercise 36]

 private:
  LionOptions options_;
  std::vector<Tensor> m_;
};

}  // namespace own
