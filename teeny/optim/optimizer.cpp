#include "teeny/optim/optimizer.h"

#include <cmath>

#include "teeny/schedule/schedule.h"
#include "teeny/tensor/function.h"

namespace teeny::optim {

namespace detail {
Tensor number(double value) { return Tensor::full({}, value, DType::Float64); }

void check_option(std::string_view optimizer, std::string_view option, double value, double below) {
  if (!(value >= 0 && value < below)) fail(optimizer, ": ", option, " of ", value, "; 0 <= ", option, " < ", below);
}

DType accumulate_dtype(const Tensor& x) { return promote(x.dtype(), DType::Float32); }
}  // namespace detail

using detail::accumulate_dtype, detail::number;

Optimizer::Optimizer(std::string_view name, std::vector<Tensor> params, double lr)
    : Optimizer(name, {{std::move(params), lr}}) {}

Optimizer::Optimizer(std::string_view name, std::vector<Group> groups) : groups_(std::move(groups)) {
  std::vector<double> rates;
  for (Group& group : groups_) {
    detail::check_option(name, "lr", group.lr, INFINITY);
    detail::check_option(name, "weight_decay", group.weight_decay, INFINITY);
    rates.push_back(group.lr);
    group.begin = params_.size();
    params_.insert(params_.end(), group.params.begin(), group.params.end());
    group.end = params_.size();
    group.params.clear();
  }
  if (params_.empty())
    fail(name, ": no parameters to train; nn::parameters(model) lists those that require a gradient");
  lr_ = groups_.size() == 1 ? number(rates[0]) : Tensor::from(rates);
  std::map<const void*, size_t> seen;
  for (size_t i = 0; i < params_.size(); ++i) {
    const Tensor& p = params_[i];
    if (!p.defined()) fail(name, ": parameter ", i, " is undefined");
    if (!p.is_leaf()) fail(name, ": parameter ", i, " of ", p.shape(), " is the result of an operation, not a leaf");
    if (!p.requires_grad()) fail(name, ": parameter ", i, " of ", p.shape(), ' ', p.dtype(), " requires no gradient");
    const auto [first, is_new] = seen.emplace(teeny::detail::TensorAccess::id(p), i);
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
  for (double lr : rates) detail::check_option("set_lr", "lr", lr, INFINITY);
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
  std::vector<LazyBuffer> pending;
  const auto look = [&pending](const Tensor& x) {
    const Node& node = *x.lazy().node();
    if (!node.realized() && !std::holds_alternative<node::Constant>(node.op)) pending.push_back(x.lazy());
  };
  for (const Tensor& p : params_) look(p);
  for (const auto& [name, tensor] : state) look(tensor);
  if (!pending.empty()) realize_alone(pending);
  realize_earlier_totals();
}

std::vector<Optimizer::Trained> Optimizer::trained(size_t group) const {
  std::vector<Trained> result;
  for (size_t i = groups_[group].begin; i < groups_[group].end; ++i) {
    const Tensor g = params_[i].grad();
    if (!g.defined()) continue;
    const DType dtype = accumulate_dtype(params_[i]);
    Tensor w = params_[i].detach().cast(dtype);
    if (const Tensor& master = master_[i]; master.defined())  // while it is what the parameter is rounded from
      w = where(master.cast(params_[i].dtype()) == params_[i].detach(), master, w);
    result.push_back({i, w, g.detach().cast(dtype)});
  }
  return result;
}

void Optimizer::update(size_t index, const Tensor& value) {
  params_[index].assign(value);
  if (master_[index].defined()) master_[index].assign(value);
}

}  // namespace teeny::optim
