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
/// The scheduler walks a formula from left to right, and adds to a kernel only what needs nothing newer than it. So these
/// scalars come first in their formulas, and a parameter is assigned before its moments: then the first parameter, too,
/// is one kernel with its moments.
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

// What Adam and LAMB have in common: running means of the gradient and of its square.

template <class Options>
void check_moments(std::string_view optimizer, const Options& options) {
  check(optimizer, "beta1", options.beta1, 1);
  check(optimizer, "beta2", options.beta2, 1);
  check(optimizer, "eps", options.eps, INFINITY);
  check(optimizer, "weight_decay", options.weight_decay, INFINITY);
}

/// The means, moved towards g.
template <class Options>
std::pair<Tensor, Tensor> follow(const Tensor& mean, const Tensor& square, const Tensor& g, const Options& options) {
  return {mean + (g - mean) * (1 - options.beta1), square * options.beta2 + g * g * (1 - options.beta2)};
}

}  // namespace

Optimizer::Optimizer(std::string_view name, std::vector<Tensor> params, double lr)
    : params_(std::move(params)), lr_(number(lr)) {
  check(name, "lr", lr, INFINITY);
  if (params_.empty()) fail(name, ": no parameters to train");
  std::map<const void*, size_t> seen;
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor& p = params_[i];
    if (!p.defined()) fail(name, ": parameter ", i, " is undefined");
    if (!p.is_leaf()) fail(name, ": parameter ", i, " of ", p.shape(), " is the result of an operation, not a leaf");
    if (!p.requires_grad()) fail(name, ": parameter ", i, " of ", p.shape(), ' ', p.dtype(), " requires no gradient");
    const auto [first, is_new] = seen.emplace(detail::TensorAccess::id(p), i);
    if (!is_new) fail(name, ": parameters ", first->second, " and ", i, " of ", p.shape(), " are the same tensor");
  }
}

void Optimizer::zero_grad() {
  for (Tensor& p : params_) p.zero_grad();
}

void Optimizer::set_lr(double lr) {
  check("set_lr", "lr", lr, INFINITY);
  if (context.recorder) fail("set_lr: inside a Jit's call this rate would be repeated; call it outside");
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
    if (!node.realized() && !std::holds_alternative<node::Constant>(node.op)) pending.push_back(x);
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
    Tensor g = p.grad(), b;
    if (!g.defined()) continue;
    if (options_.weight_decay != 0) g = g + p * options_.weight_decay;
    if (options_.momentum != 0) {
      b = momentum_[i] * options_.momentum + g;
      g = options_.nesterov ? g + b * options_.momentum : b;
    }
    p.assign(p - rate.as(p.dtype()) * g);
    if (b.defined()) momentum_[i].assign(b);
  }
}

Adam::Adam(std::string_view name, std::vector<Tensor> params, const AdamOptions& options, bool decoupled)
    : Optimizer(name, std::move(params), options.lr), options_(options), decoupled_(decoupled) {
  check_moments(name, options);
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
    const auto [m, v] = follow(m_[i], v_[i], g, options_);
    p.assign(w - step_size.as(dtype) * m / (second.as(dtype) * v.sqrt() + options_.eps));
    m_[i].assign(m);
    v_[i].assign(v);
  }
}

namespace {
/// Lengths and matrix products are not for 16 bits.
DType accumulate_dtype(const Tensor& x) { return promote(x.dtype(), DType::Float32); }
Tensor length(const Tensor& x) { return x.square().sum().sqrt(); }
}  // namespace

LAMB::LAMB(std::vector<Tensor> params, const LAMBOptions& options)
    : Optimizer(kName, std::move(params), options.lr), options_(options) {
  check_moments(kName, options);
  step_ = Tensor::zeros({}, DType::Int64);
  m_ = zeros();
  v_ = zeros();
}

void LAMB::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  step_.assign(step_ + 1);
  const Tensor t = step_.cast(DType::Float64);
  Shared first((1 - number(options_.beta1).pow(t)).reciprocal());
  Shared second((1 - number(options_.beta2).pow(t)).rsqrt());
  Shared rate(lr_);

  for (size_t i = 0; i < params_.size(); ++i) {
    Tensor& p = params_[i];
    const Tensor g = p.grad();
    if (!g.defined()) continue;
    const auto [m, v] = follow(m_[i], v_[i], g, options_);
    const DType dtype = accumulate_dtype(p);
    const Tensor w = p.cast(dtype), unscaled = first.as(dtype) * m.cast(dtype);
    const Tensor u = unscaled / (second.as(dtype) * v.cast(dtype).sqrt() + options_.eps) + w * options_.weight_decay;
    const Tensor have = length(w), want = length(u);
    const Tensor ratio = where((want > 0) & (have > 0), have / want, 1);
    p.assign((w - rate.as(dtype) * ratio * u).cast(p.dtype()));
    m_[i].assign(m);
    v_[i].assign(v);
  }
}

Muon::Muon(std::vector<Tensor> params, const MuonOptions& options)
    : Optimizer(kName, std::move(params), options.lr), options_(options) {
  check(kName, "momentum", options.momentum, INFINITY);
  check(kName, "weight_decay", options.weight_decay, INFINITY);
  check(kName, "eps", options.eps, INFINITY);
  if (options.iterations < 0 || options.iterations >= 100)
    fail(kName, ": ", options.iterations, " iterations; 0 <= iterations < 100");
  for (const Tensor& p : params_)
    if (p.rank() != 2) fail(kName, ": a parameter of ", p.shape(), "; only matrices (out, in) can be orthogonalised");
  momentum_ = zeros();
}

namespace {
/// About u v^T for x = u s v^T. Each round sends a singular value s to 3.4445 s - 4.775 s^3 + 2.0315 s^5, which takes
/// small ones up fast and keeps those near 1 between 0.7 and 1.2. The smaller of x x^T and x^T x is the one to square.
Tensor orthogonal(const Tensor& matrix, int iterations, double eps) {
  const bool tall = matrix.size(0) > matrix.size(1);
  Tensor x = tall ? matrix.t() : matrix;
  const Tensor one = Tensor::eye(x.size(0)).cast(x.dtype());
  x = x / length(x).maximum(eps);
  for (int round = 0; round < iterations; ++round) {
    const Tensor a = x.matmul(x.t());
    x = (3.4445 * one - 4.775 * a + 2.0315 * a.matmul(a)).matmul(x);
  }
  return tall ? x.t() : x;
}
}  // namespace

void Muon::step() {
  NoGrad guard;
  finish_last_step(nn::state_dict(*this));
  Shared rate(lr_), decay(1 - lr_ * options_.weight_decay);
  for (size_t i = 0; i < params_.size(); ++i) {
    Tensor& p = params_[i];
    const Tensor g = p.grad();
    if (!g.defined()) continue;
    const Tensor b = momentum_[i] + (g - momentum_[i]) * (1 - options_.momentum);
    momentum_[i].assign(b);
    const DType dtype = accumulate_dtype(p);
    const Tensor direction = (options_.nesterov ? g + (b - g) * options_.momentum : b).cast(dtype);
    const double rows = double(p.size(0)), columns = double(p.size(1));
    const double scale = options_.rate == MuonRate::Original ? std::sqrt(std::max(1.0, rows / columns))
                                                             : 0.2 * std::sqrt(std::max(rows, columns));
    const Tensor u = orthogonal(direction, options_.iterations, options_.eps);
    p.assign((p.cast(dtype) * decay.as(dtype) - u * (rate.as(dtype) * scale)).cast(p.dtype()));
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
