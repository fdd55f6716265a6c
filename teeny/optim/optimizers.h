#pragma once
// Optimisers: what a gradient does to a parameter. The update of a parameter is tensor arithmetic, assigned to the
// parameter and its moments; where it is elementwise (all but LAMB and Muon) it runs as one kernel. Rates and step
// counts are tensors: nothing that changes from step to step is baked into a kernel. Parameters of 16 bits are updated
// in float32, with float32 moments, and rounded once: the square of a gradient of 1e-4 is 0 in float16.
//
//   optim::Adam adam(nn::parameters(model), {.lr = 1e-3});
//   for (auto [x, y] : loader) {
//     adam.zero_grad();
//     model(x).cross_entropy(y).backward();
//     adam.step();
//   }
//
// Groups of parameters have options of their own:
//
//   optim::SGD sgd({{weights, {.lr = 0.1, .weight_decay = 1e-4}}, {biases, {.lr = 0.2}}});
#include <array>
#include <vector>

#include "teeny/optim/optimizer.h"

namespace teeny::optim {

// All optimisers have the option `master_weights`: a float32 copy of each parameter of 16 bits, in which the updates
// add up. Without it a bfloat16 stands still where an update is below 1/512 of it. Where a parameter was given another
// value in the meantime (a model was loaded), that value counts. Micikevicius et al., "Mixed precision training", 2018.

struct SGDOptions {
  double lr = 1e-3, momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  bool master_weights = false;
};

/// Stochastic gradient descent, as torch.optim.SGD:
///
///   g = grad + weight_decay * p
///   b = momentum * b + g,  g = nesterov ? g + momentum * b : b     where there is momentum
///   p = p - lr * g
class SGD : public Optimizer {
 public:
  static constexpr std::string_view kName = "sgd";
  using Options = SGDOptions;
  explicit SGD(std::vector<Tensor> params, const SGDOptions& options = {}) : SGD({{std::move(params), options}}) {}
  explicit SGD(const std::vector<ParamGroup<SGDOptions>>& groups);
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, master_, momentum_)

 private:
  std::vector<SGDOptions> options_;  ///< one a group, as in the others
  std::vector<Tensor> momentum_;     ///< one a parameter; undefined without momentum
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled_weight_decay = false, master_weights = false;
};

/// Kingma, Ba: "Adam: a method for stochastic optimization", 2015, as torch.optim.Adam:
///
///   g = grad + weight_decay * p                     or, decoupled, p = p * (1 - lr * weight_decay)
///   m = m + (g - m) * (1 - beta1)                   running mean of the gradient
///   v = beta2 * v + (1 - beta2) * g^2               running mean of its square
///   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)       t = 1, 2, ...
///
/// One t counts for all parameters, also for one that had no gradient in some step.
class Adam : public Optimizer {
 public:
  static constexpr std::string_view kName = "adam";
  using Options = AdamOptions;
  explicit Adam(std::vector<Tensor> params, const AdamOptions& options = {}) : Adam({{std::move(params), options}}) {}
  explicit Adam(const std::vector<ParamGroup<AdamOptions>>& groups) : Adam(kName, groups) {}
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, step_, master_, m_, v_)

 protected:
  Adam(std::string_view name, const std::vector<ParamGroup<AdamOptions>>& groups);

 private:
  std::vector<AdamOptions> options_;
  Tensor step_;  ///< t, int64, no axes
  std::vector<Tensor> m_, v_;
};

struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  bool master_weights = false;
};

/// Adam whose weight decay is decoupled: it does not pass through the moments. Loshchilov, Hutter: "Decoupled weight
/// decay regularization", 2019, as torch.optim.AdamW.
class AdamW : public Adam {
 public:
  static constexpr std::string_view kName = "adamw";
  using Options = AdamWOptions;
  explicit AdamW(std::vector<Tensor> params, const AdamWOptions& options = {})
      : AdamW({{std::move(params), options}}) {}
  explicit AdamW(const std::vector<ParamGroup<AdamWOptions>>& groups);
};

struct NAdamOptions {
  double lr = 2e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0, momentum_decay = 4e-3;
  bool decoupled_weight_decay = false, master_weights = false;
};

/// Adam with Nesterov's momentum. Dozat, "Incorporating Nesterov momentum into Adam", 2016, as torch.optim.NAdam:
///
///   m, v as in Adam
///   mu(t) = beta1 * (1 - 0.96^(t * momentum_decay) / 2),  M(t) = mu(1) * ... * mu(t)
///   u = (1 - mu(t)) / (1 - M(t)) * g + mu(t + 1) / (1 - M(t + 1)) * m
///   p = p - lr * u / (sqrt(v / (1 - beta2^t)) + eps)
class NAdam : public Optimizer {
 public:
  static constexpr std::string_view kName = "nadam";
  using Options = NAdamOptions;
  explicit NAdam(std::vector<Tensor> params, const NAdamOptions& options = {})
      : NAdam({{std::move(params), options}}) {}
  explicit NAdam(const std::vector<ParamGroup<NAdamOptions>>& groups);
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, step_, mu_product_, master_, m_, v_)

 private:
  std::vector<NAdamOptions> options_;
  Tensor step_, mu_product_;  ///< M(t) of each group, like lr_
  std::vector<Tensor> m_, v_;
};

struct RMSpropOptions {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0;
  bool centered = false, master_weights = false;
};

/// The gradient divided by its root mean square. Tieleman, Hinton: "Lecture 6.5: rmsprop", 2012; centered: Graves,
/// "Generating sequences with recurrent neural networks", 2013. As torch.optim.RMSprop:
///
///   g = grad + weight_decay * p
///   v = alpha * v + (1 - alpha) * g^2
///   a = a + (g - a) * (1 - alpha)                   where it is centered, else 0
///   b = momentum * b + g / (sqrt(v - a^2) + eps)
///   p = p - lr * b
class RMSprop : public Optimizer {
 public:
  static constexpr std::string_view kName = "rmsprop";
  using Options = RMSpropOptions;
  explicit RMSprop(std::vector<Tensor> params, const RMSpropOptions& options = {})
      : RMSprop({{std::move(params), options}}) {}
  explicit RMSprop(const std::vector<ParamGroup<RMSpropOptions>>& groups);
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, master_, square_, mean_, momentum_)

 private:
  std::vector<RMSpropOptions> options_;
  std::vector<Tensor> square_, mean_, momentum_;  ///< the last two undefined where they are not used
};

struct AdagradOptions {
  double lr = 1e-2, lr_decay = 0, weight_decay = 0, initial_accumulator_value = 0, eps = 1e-10;
  bool master_weights = false;
};

/// Duchi, Hazan, Singer: "Adaptive subgradient methods for online learning and stochastic optimization", 2011, as
/// torch.optim.Adagrad:
///
///   g = grad + weight_decay * p
///   s = s + g^2
///   p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)                 t = 1, 2, ...
class Adagrad : public Optimizer {
 public:
  static constexpr std::string_view kName = "adagrad";
  using Options = AdagradOptions;
  explicit Adagrad(std::vector<Tensor> params, const AdagradOptions& options = {})
      : Adagrad({{std::move(params), options}}) {}
  explicit Adagrad(const std::vector<ParamGroup<AdagradOptions>>& groups);
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, step_, master_, sum_)

 private:
  std::vector<AdagradOptions> options_;
  Tensor step_;  ///< t, int64, no axes
  std::vector<Tensor> sum_;
};

struct LAMBOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-6, weight_decay = 0;
  bool master_weights = false;
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
  using Options = LAMBOptions;
  explicit LAMB(std::vector<Tensor> params, const LAMBOptions& options = {}) : LAMB({{std::move(params), options}}) {}
  explicit LAMB(const std::vector<ParamGroup<LAMBOptions>>& groups);
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, step_, master_, m_, v_)

 private:
  std::vector<LAMBOptions> options_;
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
  std::array<double, 3> coefficients = {3.4445, -4.775, 2.0315};  ///< of the polynomial
  MuonRate rate = MuonRate::Original;
  bool master_weights = false;
};

/// Momentum, orthogonalised: every direction of a matrix is learned at the same rate. For parameters (out, in) only;
/// the others need another optimiser. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
/// as torch.optim.Muon:
///
///   b = b + (grad - b) * (1 - momentum)
///   u = orthogonal(nesterov ? grad + (b - grad) * momentum : b)
///   p = p * (1 - lr * weight_decay) - lr * (see MuonRate) * u
///
/// orthogonal(x) sets all singular values of x to about 1: x / |x|, and then a few times (Newton & Schulz)
/// x = (a + b x x^T + c (x x^T)^2) x with the coefficients a, b, c. It is computed in the parameter's dtype, or in
/// float32 for the 16-bit floats; PyTorch does it in bfloat16, and its u differs from this one by what that costs: some
/// hundredths.
class Muon : public Optimizer {
 public:
  static constexpr std::string_view kName = "muon";
  using Options = MuonOptions;
  explicit Muon(std::vector<Tensor> params, const MuonOptions& options = {}) : Muon({{std::move(params), options}}) {}
  explicit Muon(const std::vector<ParamGroup<MuonOptions>>& groups);
  void step() override;
  Hyperparameters hyperparameters() const override;
  TEENY_STATE(lr_, master_, momentum_)

 private:
  std::vector<MuonOptions> options_;
  std::vector<Tensor> momentum_;
};

// ---- Between backward() and step()

/// Makes all gradients together no longer than `max_norm`: each times min(1, max_norm / (norm + 1e-6)), where
/// norm = (sum |g|^norm_type)^(1 / norm_type) over all elements of all gradients, and the largest of them for infinity.
/// Returns the norm, from before. Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent neural networks",
/// 2013; torch.nn.utils.clip_grad_norm_.
Tensor clip_grad_norm(std::span<const Tensor> params, double max_norm, double norm_type = 2);
namespace detail {
void check_max_norm(double max_norm);
/// The sum of |g|^norm_type over all elements of all gradients, or the largest |g|; float64.
Tensor sum_of_powers(std::span<const Tensor> params, double norm_type = 2);
/// Clips gradients that are a part of those with this norm, float64. Returns it in their dtype.
Tensor clip_grads_with_norm(std::span<const Tensor> params, double max_norm, const Tensor& norm);
}  // namespace detail
/// Clamps every element of every gradient to [-limit, limit].
void clip_grad_value(std::span<const Tensor> params, double limit);

}  // namespace teeny::optim
