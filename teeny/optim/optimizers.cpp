#include "teeny/optim/optimizers.h"

#include <cmath>
#include <map>

#include "teeny/tensor/function.h"

namespace teeny::optim {

namespace {

Tensor number(double value) { return Tensor::full({}, value, DType::Float64); }

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

void check(std::string_view optimizer, std::string_view option, double value, double below) {
  if (!(value >= 0 && value < below)) fail(optimizer, ": ", option, " of ", value, "; 0 <= ", option, " < ", below);
}

/// The dtype of moments and updates, of lengths and matrix products: nothing of that is for 16 bits.
DType accumulate_dtype(const Tensor& x) { return promote(x.dtype(), DType::Float32); }

/// Weight decay as a gradient, that of weight_decay / 2 * |w|^2.
Tensor with_decay(const Tensor& g, const Tensor& w, double weight_decay) {
  return weight_decay != 0 ? g + w * weight_decay : g;
}

// What Adam, NAdam and LAMB have in common: running means of the gradient and of its square.

template <class Options>
void check_moments(std::string_view optimizer, const Options& options) {
  check(optimizer, "beta1", options.beta1, 1);
  check(optimizer, "beta2", options.beta2, 1);
  check(optimizer, "eps", options.eps, INFINITY);
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

Optimizer::Optimizer(std::string_view name, std::vector<Tensor> params, double lr)
    : Optimizer(name, {{std::move(params), lr}}) {}

Optimizer::Optimizer(std::string_view name, std::vector<Group> groups) : groups_(std::move(groups)) {
  std::vector<double> rates;
  for (Group& group : groups_) {
    check(name, "lr", group.lr, INFINITY);
    check(name, "weight_decay", group.weight_decay, INFINITY);
    rates.push_back(group.lr);
    group.begin = params_.size();
    params_.insert(params_.end(), group.params.begin(), group.params.end());
    group.end = params_.size();
    group.params.clear();
  }
  if (params_.empty()) fail(name, ": no parameters to train");
  lr_ = groups_.size() == 1 ? number(rates[0]) : Tensor::from(rates);
  std::map<const void*, size_t> seen;
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor& p = params_[i];
    if (!p.defined()) fail(name, ": parameter ", i, " is undefined");
    if (!p.is_leaf()) fail(name, ": parameter ", i, " of ", p.shape(), " is the result of an operation, not a leaf");
    if (!p.requires_grad()) fail(name, ": parameter ", i, " of ", p.shape(), ' ', p.dtype(), " requires no gradient");
    const auto [first, is_new] = seen.emplace(detail::TensorAccess::id(p), i);
    if (!is_new) fail(name, ": parameters ", first->second, " and ", i, " of ", p.shape(), " are the same tensor");
  }
  master_.resize(params_.size());
  for (const Group& group : groups_)
    for (size_t i = group.begin; group.master_weights && i < group.end; ++i)
      if (itemsize(params_[i].dtype()) == 2) master_[i] = params_[i].detach().cast(DType::Float32);
}

Hyperparameters Optimizer::hyperparameters() const {
  Hyperparameters all;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const std::string group = groups_.size() == 1 ? "" : std::to_string(i) + ".";
    all[group + "parameters"] = double(groups_[i].end - groups_[i].begin);
    all[group + "weight_decay"] = groups_[i].weight_decay;
    all[group + "master_weights"] = groups_[i].master_weights;
  }
  return all;
}

void Optimizer::zero_grad() {
  for (Tensor& p : params_) p.zero_grad();
}

double Optimizer::lr(size_t group) const {
  if (group >= groups_.size()) fail("lr: no group ", group, "; this optimiser has ", groups_.size());
  return of_group(lr_, group).item();
}

void Optimizer::set_lr(double lr) {
  std::vector<double> rates;
  const double first = groups_[0].lr;
  for (const Group& group : groups_) {
    if (first == 0 && group.lr != 0)
      fail(
          "set_lr: the first group has a rate of 0 in its options, to which the others have no ratio; name the group, "
          "as in ",
          "set_lr(", lr, ", 0)");
    rates.push_back(group.lr == first ? lr : lr * (group.lr / first));
  }
  set_rates(rates);
}

void Optimizer::set_lr(double lr, size_t group) {
  if (group >= groups_.size()) fail("set_lr: no group ", group, "; this optimiser has ", groups_.size());
  std::vector<double> rates(groups_.size(), lr);
  for (size_t other = 0; !context.recorder && other < rates.size(); ++other)
    if (other != group) rates[other] = this->lr(other);
  set_rates(rates);
}

void Optimizer::set_rates(const std::vector<double>& rates) {
  for (double lr : rates) check("set_lr", "lr", lr, INFINITY);
  if (context.recorder) fail("set_lr: inside a Jit's call this rate would be repeated; call it outside");
  NoGrad guard;
  lr_.assign(lr_.rank() == 0 ? number(rates[0]) : Tensor::from(rates));
}

void Optimizer::start(std::vector<Tensor>& moments, size_t group, double value) const {
  moments.resize(params_.size());
  for (size_t i = groups_[group].begin; i < groups_[group].end; ++i)
    moments[i] = Tensor::full(params_[i].shape(), value, accumulate_dtype(params_[i]));
}

void Optimizer::finish_last_step(const nn::StateDict& state) const {
  std::vector<Tensor> pending;
  const auto look = [&pending](const Tensor& x) {
    const Node& node = *x.lazy().node();
    if (!node.realized() && !std::holds_alternative<node::Constant>(node.op)) pending.push_back(x);
  };
  for (const Tensor& p : params_) look(p);
  for (const auto& [name, tensor] : state) look(tensor);
  if (!pending.empty()) realize(pending);
}

std::vector<Optimizer::Trained> Optimizer::trained(size_t group) const {
  std::vector<Trained> result;
  for (size_t i = groups_[group].begin; i < groups_[group].end; ++i) {
    const Tensor g = params_[i].grad();
    if (!g.defined()) continue;
    const DType dtype = accumulate_dtype(params_[i]);
    Tensor w = params_[i].detach().cast(dtype);
    if (const Tensor& master = master_[i]; master.defined()) {
      // Half a unit in the last place is the most that rounding takes from the copy.
      const bool half = params_[i].dtype() == DType::Float16;
      const Tensor most = w.maximum(-w) * (half ? 0x1p-11 : 0x1p-8) + (half ? 0x1p-25 : 0x1p-134), off = master - w;
      w = where(off.maximum(-off) <= most, master, w);
    }
    result.push_back({i, w, g.detach().cast(dtype)});
  }
  return result;
}

void Optimizer::update(size_t index, const Tensor& value) {
  params_[index].assign(value);
  if (master_[index].defined()) master_[index].assign(value);
}

SGD::SGD(const std::vector<ParamGroup<SGDOptions>>& groups)
    : Optimizer(kName, groups_of(groups)), options_(options_of(groups)) {
  for (size_t group = 0; group < groups.size(); ++group) {
    const SGDOptions& o = options_[group];
    check(kName, "momentum", o.momentum, INFINITY);
    if (o.nesterov && o.momentum == 0) fail("sgd: nesterov without momentum");
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
    return {{"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps}, {"decoupled_weight_decay", o.decoupled_weight_decay}};
  });
}

void Adam::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  const Tensor step = step_ + 1, t = step.cast(DType::Float64);
  step_.assign(step);
  for (size_t group = 0; group < groups(); ++group) {
    const AdamOptions& o = options_[group];
    const Tensor lr = of_group(lr_, group);
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
    check(kName, "momentum_decay", options_[group].momentum_decay, INFINITY);
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
    check(kName, "alpha", o.alpha, INFINITY);
    check(kName, "eps", o.eps, INFINITY);
    check(kName, "momentum", o.momentum, INFINITY);
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
    check(kName, "lr_decay", o.lr_decay, INFINITY);
    check(kName, "initial_accumulator_value", o.initial_accumulator_value, INFINITY);
    check(kName, "eps", o.eps, INFINITY);
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
    check(kName, "momentum", o.momentum, INFINITY);
    check(kName, "eps", o.eps, INFINITY);
    if (o.iterations < 0 || o.iterations >= 100) fail(kName, ": ", o.iterations, " iterations; 0 <= iterations < 100");
    for (double coefficient : o.coefficients)
      if (!std::isfinite(coefficient)) fail(kName, ": a coefficient of ", coefficient);
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

Tensor clip_grad_norm(std::span<const Tensor> params, double max_norm, double norm_type) {
  if (!(max_norm >= 0)) fail("clip_grad_norm: max_norm ", max_norm, " is negative");
  if (!(norm_type > 0)) fail("clip_grad_norm: norm_type ", norm_type, " is not above 0");
  NoGrad guard;
  const bool largest = std::isinf(norm_type);
  Tensor total = Tensor::zeros({});
  for (const Tensor& p : params) {
    const Tensor g = p.grad();
    if (!g.defined() || g.numel() == 0) continue;
    const Tensor x = g.cast(accumulate_dtype(g));
    if (largest) total = total.maximum(x.abs().max());
    else total = total + (norm_type == 2 ? x.square() : x.abs().pow(norm_type)).sum();  // a square is cheap
  }
  if (!largest) total = total.pow(1 / norm_type);
  const Tensor scale = (max_norm / (total + 1e-6)).minimum(1);
  for (Tensor p : params)
    if (const Tensor g = p.grad(); g.defined()) p.set_grad((g * scale).cast(g.dtype()));
  return total;
}

void clip_grad_value(std::span<const Tensor> params, double limit) {
  if (!(limit >= 0)) fail("clip_grad_value: a limit of ", limit);
  NoGrad guard;
  for (Tensor p : params)
    if (const Tensor g = p.grad(); g.defined()) p.set_grad(g.clamp(-limit, limit));
}

}  // namespace teeny::optim
