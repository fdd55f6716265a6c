#include "teeny/nn/optim.h"

#include <cmath>
#include <map>

namespace teeny::optim {

namespace {

Tensor number(double value) { return Tensor::full({}, value, DType::Float64); }

/// A number without axes that the kernels of all parameters read. It is computed in float64 (1 - 0.999^t loses four of
/// float32's seven digits at t = 1) and brought once, in a buffer of its own, to each dtype the parameters have.
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

}  // namespace

Optimizer::Optimizer(std::string_view name, std::vector<Tensor> params, double lr)
    : params_(std::move(params)), lr_(number(lr)) {
  check(name, "lr", lr, INFINITY);
  if (params_.empty()) fail(name, ": no parameters to train");
  for (const Tensor& p : params_) {
    if (!p.defined()) fail(name, ": one of the parameters is undefined");
    if (!is_float(p.dtype())) fail(name, ": a parameter of dtype ", p.dtype(), " and shape ", p.shape());
  }
}

void Optimizer::zero_grad() const {
  for (const Tensor& p : params_) p.zero_grad();
}

void Optimizer::set_lr(double lr) {
  check("set_lr", "lr", lr, INFINITY);
  NoGrad guard;
  lr_.assign(number(lr));
}

std::vector<Tensor> Optimizer::zeros() const {
  std::vector<Tensor> result;
  for (const Tensor& p : params_) result.push_back(p.zeros_like());
  return result;
}

void Optimizer::finish_last_step(const nn::StateDict& state) const {
  std::vector<Tensor> pending;
  const auto look = [&pending](const Tensor& x) {
    const Node& node = *x.lazy().node();
    if (!node.realized() && !std::holds_alternative<node::Number>(node.op)) pending.push_back(x);
  };
  for (const Tensor& p : params_) look(p);
  for (const auto& [name, tensor] : state) look(tensor);
  if (!pending.empty()) realize(pending);
}

SGD::SGD(std::vector<Tensor> params, const SGDOptions& options)
    : Optimizer(kName, std::move(params), options.lr), options_(options) {
  check(kName, "momentum", options.momentum, INFINITY);
  check(kName, "weight_decay", options.weight_decay, INFINITY);
  if (options.nesterov && options.momentum == 0) fail("sgd: nesterov without momentum");
  if (options.momentum != 0) momentum_ = zeros();
}

void SGD::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  Shared rate(lr_);
  for (size_t i = 0; i < params_.size(); ++i) {
    Tensor& p = params_[i];
    Tensor g = p.grad();
    if (!g.defined()) continue;
    if (options_.weight_decay != 0) g = g + p * options_.weight_decay;
    if (options_.momentum != 0) {
      const Tensor b = momentum_[i] * options_.momentum + g;
      momentum_[i].assign(b);
      g = options_.nesterov ? g + b * options_.momentum : b;
    }
    p.assign(p - rate.as(p.dtype()) * g);
  }
}

Adam::Adam(std::string_view name, std::vector<Tensor> params, const AdamOptions& options, bool decoupled)
    : Optimizer(name, std::move(params), options.lr), options_(options), decoupled_(decoupled) {
  check(name, "beta1", options.beta1, 1);
  check(name, "beta2", options.beta2, 1);
  check(name, "eps", options.eps, INFINITY);
  check(name, "weight_decay", options.weight_decay, INFINITY);
  step_ = Tensor::zeros({}, DType::Int64);
  m_ = zeros();
  v_ = zeros();
}

void Adam::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  step_.assign(step_ + 1);
  const Tensor t = step_.cast(DType::Float64);
  Shared step_size(lr_ / (1 - number(options_.beta1).pow(t)));
  Shared second((1 - number(options_.beta2).pow(t)).rsqrt());
  Shared decay(1 - lr_ * options_.weight_decay);

  for (size_t i = 0; i < params_.size(); ++i) {
    Tensor& p = params_[i];
    Tensor g = p.grad();
    if (!g.defined()) continue;
    const DType dtype = p.dtype();
    Tensor w = p;
    if (options_.weight_decay != 0) {
      if (decoupled_) w = w * decay.as(dtype);
      else g = g + w * options_.weight_decay;
    }
    const Tensor m = m_[i] + (g - m_[i]) * (1 - options_.beta1);
    const Tensor v = v_[i] * options_.beta2 + g * g * (1 - options_.beta2);
    m_[i].assign(m);
    v_[i].assign(v);
    p.assign(w - step_size.as(dtype) * m / (v.sqrt() * second.as(dtype) + options_.eps));
  }
}

}  // namespace teeny::optim
