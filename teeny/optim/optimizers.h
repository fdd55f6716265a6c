#pragma once
// Optimisers: what a gradient does to a parameter. The update of a parameter is tensor arithmetic, assigned to the
// parameter and its moments; where it is elementwise (SGD, Adam) it runs as one kernel. Rates and step counts are
// tensors without axes: nothing that changes from step to step is baked into a kernel.
//
//   optim::Adam adam(nn::parameters(model), {.lr = 1e-3});
//   for (auto [x, y] : loader) {
//     adam.zero_grad();
//     model(x).cross_entropy(y).backward();
//     adam.step();
//   }
#include <string_view>
#include <vector>

#include "teeny/nn/nn.h"

namespace teeny::optim {

/// What all optimisers have. Copies of an SGD, an Adam, .. share parameters and state, as tensors do; an Optimizer itself is
/// passed on as a reference.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Changes the parameters that have a gradient.
  virtual void step() = 0;
  void zero_grad();  ///< forgets the gradients; before `backward`, which adds to them
  double lr() const { return lr_.item(); }
  void set_lr(double lr);  ///< from the next step on
  const std::vector<Tensor>& parameters() const { return params_; }

 protected:
  Optimizer(std::string_view name, std::vector<Tensor> params, double lr);
  Optimizer(const Optimizer&) = default;  // not for everyone: a copy of this part alone could not step
  Optimizer& operator=(const Optimizer&) = default;
  /// A zero for each parameter, of its shape and dtype: a moment before the first step.
  std::vector<Tensor> zeros() const;
  /// Computes what the step before left to do. Without this, the graph of a loop that never reads a value would grow
  /// without end.
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
  void step() override;
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
  void step() override;
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

struct LAMBOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-6, weight_decay = 0;
};

/// Adam whose step is as long as the parameter allows, for large batches. You et al., "Large batch optimization for
/// deep learning: training BERT in 76 minutes", 2020, with phi(z) = z and for all parameters alike:
///
///   m, v as in Adam
///   u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p
///   p = p - lr * |p| / |u| * u              lengths over the whole parameter; the ratio is 1 where one of them is 0
class LAMB : public Optimizer {
 public:
  static constexpr std::string_view kName = "lamb";
  explicit LAMB(std::vector<Tensor> params, const LAMBOptions& options = {});
  void step() override;
  TEENY_STATE(lr_, step_, m_, v_)

 private:
  LAMBOptions options_;
  Tensor step_;  ///< t, int64, no axes
  std::vector<Tensor> m_, v_;
};

/// How Muon's rate follows the shape (A, B) of a parameter: times sqrt(max(1, A / B)), as it was published, or times
/// 0.2 sqrt(max(A, B)), so that a step is as large as one of AdamW's and its rate can be taken over.
enum class MuonRate { Original, MatchAdamW };
struct MuonOptions {
  double lr = 1e-3, momentum = 0.95;
  bool nesterov = true;
  double weight_decay = 0.1, eps = 1e-7;
  int iterations = 5;
  MuonRate rate = MuonRate::Original;
};

/// Momentum, orthogonalised: every direction of a matrix is learned at the same rate. For parameters (out, in) only;
/// the others need another optimiser. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, as
/// torch.optim.Muon:
///
///   b = b + (grad - b) * (1 - momentum)
///   u = orthogonal(nesterov ? grad + (b - grad) * momentum : b)
///   p = p * (1 - lr * weight_decay) - lr * (see MuonRate) * u
///
/// orthogonal(x) sets all singular values of x to about 1: x / |x|, and then a few times (Newton & Schulz)
/// x = (3.4445 - 4.775 x x^T + 2.0315 (x x^T)^2) x. It is computed in the parameter's dtype, or in float32 for the
/// 16-bit floats; PyTorch does it in bfloat16, and its u differs from this one by what that costs: some hundredths.
class Muon : public Optimizer {
 public:
  static constexpr std::string_view kName = "muon";
  explicit Muon(std::vector<Tensor> params, const MuonOptions& options = {});
  void step() override;
  TEENY_STATE(lr_, momentum_)

 private:
  MuonOptions options_;
  std::vector<Tensor> momentum_;
};

// ---- Between backward() and step()

/// Makes all gradients together no longer than `max_norm`: each times min(1, max_norm / (norm + 1e-6)), where
/// norm = (sum |g|^norm_type)^(1 / norm_type) over all elements of all gradients, and the largest of them for infinity.
/// Returns the norm, from before. Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent neural networks",
/// 2013; torch.nn.utils.clip_grad_norm_.
Tensor clip_grad_norm(std::span<const Tensor> params, double max_norm, double norm_type = 2);
/// Clamps every element of every gradient to [-limit, limit].
void clip_grad_value(std::span<const Tensor> params, double limit);

}  // namespace teeny::optim
