#include "teeny/optim/optimizers.h"

#include <cmath>
#include <map>

#include "teeny/tensor/function.h"

namespace teeny::optim {

using detail::accumulate_dtype, detail::number;

namespace {

/// A number without axes that the kernels of all parameters read. It is computed in float64 (1 - 0.999^t loses four of
/// float32's seven digits at t = 1) and brought once, in a buffer of its own, to each dtype the parameters have.
///
/// The scheduler walks a formula from left to right, and adds to a kernel only what needs nothing newer than it. So
/// these scalars come first in their formulas, and a parameter is assigned before its moments: then the first
/// parameter, too, is one kernel with its moments.
class Shared {
 public:
  explicit Shared(Tensor value) : value_(std::move(value)) {}
  const Tensor& as(DType dtype) {
    Tensor& cast = casts_[dtype];
    if (!cast.defined()) cast = value_.cast(dtype).contiguous();
    return cast;
  }

 private:
  Tensor value_;
  std::map<DType, Tensor> casts_;
};

/// Weight decay as a gradient, that of weight_decay / 2 * |w|^2.
Tensor with_decay(const Tensor& g, const Tensor& w, double weight_decay) {
  return weight_decay != 0 ? g + w * weight_decay : g;
}

// What Adam, NAdam and LAMB have in common: running means of the gradient and of its square.

template <class Options>
void check_moments(std::string_view optimizer, const Options& options) {
  detail::check_option(optimizer, "beta1", options.beta1, 1);
  detail::check_option(optimizer, "beta2", options.beta2, 1);
  detail::check_option(optimizer, "eps", options.eps, INFINITY);
}

/// The means, moved towards g.
template <class Options>
std::pair<Tensor, Tensor> follow(const Tensor& mean, const Tensor& square, const Tensor& g, const Options& options) {
  return {mean + (g - mean) * (1 - options.beta1), square * options.beta2 + g * g * (1 - options.beta2)};
}

/// `common`, and what `describe` says of the options of each group.
template <class Options, class Describe>
Hyperparameters with_options(Hyperparameters common, const std::vector<Options>& groups, Describe&& describe) {
  for (size_t i = 0; i < groups.size(); ++i)
    for (const auto& [name, value] : Hyperparameters(describe(groups[i])))
      common[groups.size() == 1 ? name : std::to_string(i) + "." + name] = value;
  return common;
}

}  // namespace

SGD::SGD(const std::vector<ParamGroup<SGDOptions>>& groups)
    : Optimizer(kName, groups_of(groups)), options_(options_of(groups)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    const SGDOptions& o = options_[group];
    detail::check_option(kName, "momentum", o.momentum, INFINITY);
    if (o.nesterov && o.momentum == 0) fail("sgd: nesterov without momentum; give it one, as in .momentum = 0.9");
    if (o.momentum != 0) start(momentum_, group);
  }
}

Hyperparameters SGD::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const SGDOptions& o) -> Hyperparameters {
    return {{"momentum", o.momentum}, {"nesterov", o.nesterov}};
  });
}

void SGD::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  for (size_t group = 0; group < groups(); ++group) {
    const SGDOptions& o = options_[group];
    Shared rate(of_group(lr_, group));
    for (const auto& [i, w, grad] : trained(group)) {
      Tensor g = with_decay(grad, w, o.weight_decay), b;
      if (o.momentum != 0) {
        b = momentum_[i] * o.momentum + g;
        g = o.nesterov ? g + b * o.momentum : b;
      }
      update(i, w - rate.as(w.dtype()) * g);
      if (b.defined()) momentum_[i].assign(b);
    }
  }
}

Adam::Adam(std::string_view name, const std::vector<ParamGroup<AdamOptions>>& groups)
    : Optimizer(name, groups_of(groups)), options_(options_of(groups)), step_(Tensor::zeros({}, DType::Int64)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    check_moments(name, options_[group]);
    start(m_, group), start(v_, group);
  }
}

Hyperparameters Adam::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const AdamOptions& o) -> Hyperparameters {
    return {
        {"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps}, {"decoupled_weight_decay", o.decoupled_weight_decay}};
  });
}

void Adam::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  const Tensor step = step_ + 1, t = step.cast(DType::Float64);
  step_.assign(step);
  for (size_t group = 0; group < groups(); ++group) {
    const AdamOptions& o = options_[group];
    const Tensor lr = of_group(lr_, group);
    // [exercise 24
    Shared step_size(lr / (1 - number(o.beta1).pow(t)));
    Shared second((1 - number(o.beta2).pow(t)).rsqrt());
    Shared decay(1 - lr * o.weight_decay);
    const bool decoupled = o.decoupled_weight_decay && o.weight_decay != 0;
    for (const auto& [i, w, grad] : trained(group)) {
      const DType dtype = w.dtype();
      const Tensor decayed = decoupled ? w * decay.as(dtype) : w;
      const auto [m, v] = follow(m_[i], v_[i], decoupled ? grad : with_decay(grad, w, o.weight_decay), o);
      update(i, decayed - step_size.as(dtype) * m / (second.as(dtype) * v.sqrt() + o.eps));
      m_[i].assign(m);
      v_[i].assign(v);
    }
    // exercise 24]
  }
}

namespace {
std::vector<ParamGroup<AdamOptions>> decoupled(const std::vector<ParamGroup<AdamWOptions>>& groups) {
  std::vector<ParamGroup<AdamOptions>> result;
  for (const auto& [params, o] : groups)
    result.push_back({params, {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay, true, o.master_weights}});
  return result;
}
}  // namespace

AdamW::AdamW(const std::vector<ParamGroup<AdamWOptions>>& groups) : Adam(kName, decoupled(groups)) {}

NAdam::NAdam(const std::vector<ParamGroup<NAdamOptions>>& groups)
    : Optimizer(kName, groups_of(groups)),
      options_(options_of(groups)),
      step_(Tensor::zeros({}, DType::Int64)),
      mu_product_(lr_.ones_like()) {
  for (size_t group = 0; group < groups.size(); ++group) {
    check_moments(kName, options_[group]);
    detail::check_option(kName, "momentum_decay", options_[group].momentum_decay, INFINITY);
    start(m_, group), start(v_, group);
  }
}

Hyperparameters NAdam::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const NAdamOptions& o) -> Hyperparameters {
    return {{"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps},
            {"momentum_decay", o.momentum_decay}, {"decoupled_weight_decay", o.decoupled_weight_decay}};
  });
}

void NAdam::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  const Tensor step = step_ + 1, t = step.cast(DType::Float64);
  step_.assign(step);
  std::vector<Tensor> products;
  for (size_t group = 0; group < groups(); ++group) {
    const NAdamOptions& o = options_[group];
    const Tensor lr = of_group(lr_, group);
    const double base = std::pow(0.96, o.momentum_decay);
    const Tensor fading = number(base).pow(t) * (o.beta1 / 2), mu = o.beta1 - fading, next = o.beta1 - fading * base;
    const Tensor product = of_group(mu_product_, group) * mu;
    products.push_back(product);
    Shared of_grad(lr * (1 - mu) / (1 - product)), of_mean(lr * next / (1 - product * next));
    Shared second((1 - number(o.beta2).pow(t)).rsqrt());
    Shared decay(1 - lr * o.weight_decay);
    const bool decoupled = o.decoupled_weight_decay && o.weight_decay != 0;
    for (const auto& [i, w, grad] : trained(group)) {
      const DType dtype = w.dtype();
      const Tensor decayed = decoupled ? w * decay.as(dtype) : w;
      const Tensor g = decoupled ? grad : with_decay(grad, w, o.weight_decay);
      const auto [m, v] = follow(m_[i], v_[i], g, o);
      update(i, decayed - (of_grad.as(dtype) * g + of_mean.as(dtype) * m) / (second.as(dtype) * v.sqrt() + o.eps));
      m_[i].assign(m);
      v_[i].assign(v);
    }
  }
  mu_product_.assign(products.size() == 1 ? products[0] : Tensor::stack(products));
}

RMSprop::RMSprop(const std::vector<ParamGroup<RMSpropOptions>>& groups)
    : Optimizer(kName, groups_of(groups)), options_(options_of(groups)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    const RMSpropOptions& o = options_[group];
    detail::check_option(kName, "alpha", o.alpha, INFINITY);
    detail::check_option(kName, "eps", o.eps, INFINITY);
    detail::check_option(kName, "momentum", o.momentum, INFINITY);
    start(square_, group);
    if (o.centered) start(mean_, group);
    if (o.momentum != 0) start(momentum_, group);
  }
}

Hyperparameters RMSprop::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const RMSpropOptions& o) -> Hyperparameters {
    return {{"alpha", o.alpha}, {"eps", o.eps}, {"momentum", o.momentum}, {"centered", o.centered}};
  });
}

void RMSprop::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  for (size_t group = 0; group < groups(); ++group) {
    const RMSpropOptions& o = options_[group];
    Shared rate(of_group(lr_, group));
    for (const auto& [i, w, grad] : trained(group)) {
      const Tensor g = with_decay(grad, w, o.weight_decay);
      const Tensor v = square_[i] * o.alpha + g * g * (1 - o.alpha);
      const Tensor a = o.centered ? mean_[i] + (g - mean_[i]) * (1 - o.alpha) : Tensor();
      Tensor b = g / ((a.defined() ? v - a * a : v).sqrt() + o.eps);
      if (o.momentum != 0) b = momentum_[i] * o.momentum + b;
      update(i, w - rate.as(w.dtype()) * b);
      square_[i].assign(v);
      if (o.centered) mean_[i].assign(a);
      if (o.momentum != 0) momentum_[i].assign(b);
    }
  }
}

Adagrad::Adagrad(const std::vector<ParamGroup<AdagradOptions>>& groups)
    : Optimizer(kName, groups_of(groups)), options_(options_of(groups)), step_(Tensor::zeros({}, DType::Int64)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    const AdagradOptions& o = options_[group];
    detail::check_option(kName, "lr_decay", o.lr_decay, INFINITY);
    detail::check_option(kName, "initial_accumulator_value", o.initial_accumulator_value, INFINITY);
    detail::check_option(kName, "eps", o.eps, INFINITY);
    start(sum_, group, o.initial_accumulator_value);
  }
}

Hyperparameters Adagrad::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const AdagradOptions& o) -> Hyperparameters {
    return {{"lr_decay", o.lr_decay}, {"eps", o.eps}};
  });
}

void Adagrad::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  const Tensor step = step_ + 1, t = step.cast(DType::Float64);
  step_.assign(step);
  for (size_t group = 0; group < groups(); ++group) {
    const AdagradOptions& o = options_[group];
    Shared rate(of_group(lr_, group) / (1 + (t - 1) * o.lr_decay));
    for (const auto& [i, w, grad] : trained(group)) {
      const Tensor g = with_decay(grad, w, o.weight_decay), sum = sum_[i] + g * g;
      update(i, w - rate.as(w.dtype()) * g / (sum.sqrt() + o.eps));
      sum_[i].assign(sum);
    }
  }
}

namespace {
Tensor length(const Tensor& x) { return x.square().sum().sqrt(); }
}  // namespace

LAMB::LAMB(const std::vector<ParamGroup<LAMBOptions>>& groups)
    : Optimizer(kName, groups_of(groups)), options_(options_of(groups)), step_(Tensor::zeros({}, DType::Int64)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    check_moments(kName, options_[group]);
    start(m_, group), start(v_, group);
  }
}

Hyperparameters LAMB::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const LAMBOptions& o) -> Hyperparameters {
    return {{"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps}};
  });
}

void LAMB::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  const Tensor step = step_ + 1, t = step.cast(DType::Float64);
  step_.assign(step);
  for (size_t group = 0; group < groups(); ++group) {
    const LAMBOptions& o = options_[group];
    Shared first((1 - number(o.beta1).pow(t)).reciprocal());
    Shared second((1 - number(o.beta2).pow(t)).rsqrt());
    Shared rate(of_group(lr_, group));
    for (const auto& [i, w, g] : trained(group)) {
      const DType dtype = w.dtype();
      const auto [m, v] = follow(m_[i], v_[i], g, o);
      const Tensor u = first.as(dtype) * m / (second.as(dtype) * v.sqrt() + o.eps) + w * o.weight_decay;
      const Tensor have = length(w), want = length(u);
      const Tensor ratio = where((want > 0) & (have > 0), have / want, 1);
      update(i, w - rate.as(dtype) * ratio * u);
      m_[i].assign(m);
      v_[i].assign(v);
    }
  }
}

Muon::Muon(const std::vector<ParamGroup<MuonOptions>>& groups)
    : Optimizer(kName, groups_of(groups)), options_(options_of(groups)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    const MuonOptions& o = options_[group];
    detail::check_option(kName, "momentum", o.momentum, INFINITY);
    detail::check_option(kName, "eps", o.eps, INFINITY);
    if (o.iterations < 0 || o.iterations >= 100) fail(kName, ": ", o.iterations, " iterations; 0 <= iterations < 100");
    for (double coefficient : o.coefficients)
      if (!std::isfinite(coefficient)) fail(kName, ": a coefficient of ", coefficient, "; all are finite");
    start(momentum_, group);
  }
  for (const Tensor& p : params_)
    if (p.rank() != 2) fail(kName, ": a parameter of ", p.shape(), "; only matrices (out, in) can be orthogonalised");
}

namespace {
/// About u v^T for x = u s v^T. Each round sends a singular value s to a s + b s^3 + c s^5, which takes small ones up
/// fast and keeps those near 1 between 0.7 and 1.2. The smaller of x x^T and x^T x is the one to square.
Tensor orthogonal(const Tensor& matrix, const MuonOptions& options) {
  const bool tall = matrix.size(0) > matrix.size(1);
  Tensor x = tall ? matrix.t() : matrix;
  const Tensor one = Tensor::eye(x.size(0)).cast(x.dtype());
  x = x / length(x).maximum(options.eps);
  const auto [a, b, c] = options.coefficients;
  for (int round = 0; round < options.iterations; ++round) {
    const Tensor square = x.matmul(x.t());
    x = (a * one + b * square + c * square.matmul(square)).matmul(x);
  }
  return tall ? x.t() : x;
}
}  // namespace

Hyperparameters Muon::hyperparameters() const {
  return with_options(Optimizer::hyperparameters(), options_, [](const MuonOptions& o) -> Hyperparameters {
    return {{"momentum", o.momentum}, {"nesterov", o.nesterov}, {"eps", o.eps},
            {"iterations", double(o.iterations)}, {"rate", double(o.rate)}, {"a", o.coefficients[0]},
            {"b", o.coefficients[1]}, {"c", o.coefficients[2]}};
  });
}

void Muon::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const AssignmentGroup together(true);
  for (size_t group = 0; group < groups(); ++group) {
    const MuonOptions& o = options_[group];
    const Tensor lr = of_group(lr_, group);
    Shared rate(lr), decay(1 - lr * o.weight_decay);
    for (const auto& [i, w, g] : trained(group)) {
      const DType dtype = w.dtype();
      const Tensor b = momentum_[i] + (g - momentum_[i]) * (1 - o.momentum);
      momentum_[i].assign(b);
      const double rows = double(w.size(0)), columns = double(w.size(1));
      const double scale = o.rate == MuonRate::Original ? std::sqrt(std::max(1.0, rows / columns))
                                                        : 0.2 * std::sqrt(std::max(rows, columns));
      const Tensor u = orthogonal(o.nesterov ? g + (b - g) * o.momentum : b, o);
      update(i, w * decay.as(dtype) - u * (rate.as(dtype) * scale));
    }
  }
}

namespace {
/// All gradients become what `f` makes of them, or none.
template <class F>
void set_grads(std::span<const Tensor> params, F&& f) {
  std::vector<Tensor> grads;
  for (const Tensor& p : params) grads.push_back(p.grad().defined() ? f(p.grad()) : Tensor());
  for (size_t i = 0; i < params.size(); ++i)
    if (grads[i].defined()) Tensor(params[i]).set_grad(grads[i]);
}
}  // namespace

void detail::check_max_norm(double max_norm) {
  if (!(max_norm >= 0)) fail("clip_grad_norm: max_norm ", max_norm, " is negative");
}

Tensor detail::sum_of_powers(std::span<const Tensor> params, double norm_type) {
  const bool largest = std::isinf(norm_type);
  Tensor total = Tensor::zeros({}, DType::Float64);  // powers leave a float's range where the norm does not
  for (const Tensor& p : params) {
    const Tensor g = (p.lazy("clip_grad_norm"), p.grad());
    if (!g.defined() || g.numel() == 0) continue;
    const Tensor x = g.cast(DType::Float64);
    if (largest) total = total.maximum(x.abs().max());
    else total = total + (norm_type == 2 ? x.square() : x.abs().pow(norm_type)).sum();  // a square is cheap
  }
  return total;
}

Tensor detail::clip_grads_with_norm(std::span<const Tensor> params, double max_norm, const Tensor& norm) {
  DType dtype = DType::Float32;
  for (const Tensor& p : params)
    if (p.grad().defined()) dtype = promote(dtype, p.grad().dtype());
  const Tensor scale = (max_norm / (norm + 1e-6)).minimum(1);
  set_grads(params, [&](const Tensor& g) { return (g * scale.cast(accumulate_dtype(g))).cast(g.dtype()); });
  return norm.cast(dtype);
}

Tensor clip_grad_norm(std::span<const Tensor> params, double max_norm, double norm_type) {
  detail::check_max_norm(max_norm);
  if (!(norm_type > 0)) fail("clip_grad_norm: norm_type ", norm_type, " is not above 0");
  NoGrad guard;
  const Tensor total = detail::sum_of_powers(params, norm_type);
  return detail::clip_grads_with_norm(params, max_norm, std::isinf(norm_type) ? total : total.pow(1 / norm_type));
}

void clip_grad_value(std::span<const Tensor> params, double limit) {
  if (!(limit >= 0)) fail("clip_grad_value: a limit of ", limit, "; 0 is the least");
  NoGrad guard;
  for (const Tensor& p : params) p.lazy("clip_grad_value");
  set_grads(params, [&](const Tensor& g) { return g.clamp(-limit, limit); });
}

}  // namespace teeny::optim
