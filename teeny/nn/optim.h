#pragma once
// Optimisers: what a gradient does to a parameter. Each update of a parameter is elementwise tensor arithmetic,
// assigned to the parameter and its moments, so it runs as one kernel. Rates and step counts are tensors without axes:
// nothing that changes from step to step is baked into a kernel.
//
//   optim::Adam adam(nn::parameters(model), {.lr = 1e-3});
//   for (auto [x, y] : loader) {
//     adam.zero_grad();
//     model(x).cross_entropy(y).backward();
//     adam.step();
//   }
#include <string_view>
#include <vector>

#include "teeny/nn/state.h"

namespace teeny::optim {

/// What all optimisers have. Copies share parameters and state, as tensors do.
class Optimizer {
 public:
  void zero_grad() const;  ///< forgets the gradients; before `backward`, which adds to them
  double lr() const { return lr_.item(); }
  void set_lr(double lr);  ///< from the next step on
  const std::vector<Tensor>& parameters() const { return params_; }

 protected:
  Optimizer(std::string_view name, std::vector<Tensor> params, double lr);
  /// A zero for each parameter, of its shape and dtype: a moment before the first step.
  std::vector<Tensor> zeros() const;
  /// Computes what the step before left to do. Without this, the graph of a loop that never looks at a number would
  /// grow for ever.
  void finish_last_step(const nn::StateDict& state) const;

  std::vector<Tensor> params_;
  Tensor lr_;  ///< float64, no axes
};

struct SGDOptions {
  double lr = 1e-3, momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
};

/// Stochastic gradient descent, as torch.optim.SGD:
///
///   g = grad + weight_decay * p
///   b = momentum * b + g,  g = nesterov ? g + momentum * b : b     where there is momentum
///   p = p - lr * g
class SGD : public Optimizer {
 public:
  static constexpr std::string_view kName = "sgd";
  explicit SGD(std::vector<Tensor> params, const SGDOptions& options = {});
  /// Changes the parameters that have a gradient.
  void step();
  TEENY_STATE(lr_, momentum_)

 private:
  SGDOptions options_;
  std::vector<Tensor> momentum_;  ///< one a parameter; empty without momentum
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};

/// Kingma, Ba: "Adam: a method for stochastic optimization", 2015, as torch.optim.Adam:
///
///   g = grad + weight_decay * p
///   m = m + (g - m) * (1 - beta1)                   running mean of the gradient
///   v = beta2 * v + (1 - beta2) * g^2               running mean of its square
///   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)       t = 1, 2, ...
///
/// One t counts for all parameters, also for one that had no gradient in some step.
class Adam : public Optimizer {
 public:
  static constexpr std::string_view kName = "adam";
  explicit Adam(std::vector<Tensor> params, const AdamOptions& options = {})
      : Adam(kName, std::move(params), options, false) {}
  /// Changes the parameters that have a gradient.
  void step();
  TEENY_STATE(lr_, step_, m_, v_)

 protected:
  Adam(std::string_view name, std::vector<Tensor> params, const AdamOptions& options, bool decoupled);

 private:
  AdamOptions options_;
  bool decoupled_;
  Tensor step_;  ///< t, int64, no axes
  std::vector<Tensor> m_, v_;
};

struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

/// Adam whose weight decay does not pass through the moments: p = p * (1 - lr * weight_decay) before each update.
/// Loshchilov, Hutter: "Decoupled weight decay regularization", 2019, as torch.optim.AdamW.
class AdamW : public Adam {
 public:
  static constexpr std::string_view kName = "adamw";
  explicit AdamW(std::vector<Tensor> params, const AdamWOptions& o = {})
      : Adam(kName, std::move(params), {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay}, true) {}
};

}  // namespace teeny::optim
