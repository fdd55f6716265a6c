#include "teeny/dist/sharded.h"

#include <charconv>

#include "teeny/dist/collectives.h"
#include "teeny/dist/flatten.h"
#include "teeny/graph/context.h"
#include "teeny/schedule/schedule.h"

namespace teeny::dist::detail {

namespace {
/// The "0" of "m.0" as a number; no group's where there is none.
size_t number_of(const std::string& name) {
  size_t number = SIZE_MAX;
  const size_t dot = name.rfind('.');
  if (dot != std::string::npos) std::from_chars(name.data() + dot + 1, name.data() + name.size(), number);
  return number;
}
}  // namespace

Partition::Partition(std::vector<std::vector<Tensor>> groups, const Group& among)
    : groups_(std::move(groups)), among_(among) {
  const int64_t ranks = among_.world();
  for (const std::vector<Tensor>& group : groups_) {
    if (group.empty()) fail("Sharded: a group without parameters");
    for (const Tensor& p : group)
      if (p.dtype() != group[0].dtype())
        fail("Sharded: parameters of ", group[0].dtype(), " and of ", p.dtype(),
             "; give each dtype a group of its own");
    const Shape part = {(numel(group) + ranks - 1) / ranks};
    parts_.push_back(Tensor::zeros(part, group[0].dtype()).requires_grad_());
  }
}

Tensor Partition::step(optim::Optimizer& inner, const nn::StateDict& state, std::optional<double> max_norm) const {
  if (max_norm) optim::detail::check_max_norm(*max_norm);
  const NoGrad guard;
  // A parameter may have another value than the last step gave it: a model was loaded. And here the graph of the last
  // step ends, which nobody may have looked at.
  std::vector<LazyBuffer> before;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const int64_t size = parts_[i].numel();
    before.push_back(Tensor(parts_[i]).assign(flatten(groups_[i], among_.rank() * size, size)).lazy());
  }
  for (const auto& [name, tensor] : state) before.push_back(tensor.lazy());
  realize_alone(before);

  for (size_t i = 0; i < parts_.size(); ++i) {
    std::vector<Tensor> grads;
    for (const Tensor& p : groups_[i])
      grads.push_back(p.grad().defined() ? p.grad().cast(p.dtype()) / among_.world() : p.zeros_like());
    const Tensor all = flatten(grads, 0, among_.world() * parts_[i].numel());
    Tensor(parts_[i]).set_grad(reduce_scatter(all, among_));
  }
  const Tensor norm = max_norm ? clip_grad_norm({}, parts_, *max_norm, among_) : Tensor();

  const AssignmentGroup together(true);
  inner.step();
  for (size_t i = 0; i < parts_.size(); ++i) {
    const std::vector<Tensor> values = unflatten(all_gather(parts_[i].detach(), among_), groups_[i]);
    for (size_t k = 0; k < values.size(); ++k) Tensor(groups_[i][k]).assign(values[k]);
    Tensor(parts_[i]).zero_grad();
  }
  return norm;
}

template <class F>
void Partition::for_each_pair(const nn::StateDict& part, const nn::StateDict& whole, F f) const {
  for (const auto& [name, tensor] : part) {
    const size_t group = number_of(name);
    if (group >= groups_.size() || tensor.shape() != parts_[group].shape()) {
      f(groups_.size(), tensor, std::vector<Tensor>{nn::find(whole, name)});
      continue;
    }
    const std::string moment = name.substr(0, name.rfind('.') + 1);
    std::vector<Tensor> of_all;
    size_t first = 0;
    for (size_t before = 0; before < group; ++before) first += groups_[before].size();
    for (size_t i = 0; i < groups_[group].size(); ++i) of_all.push_back(nn::find(whole, text(moment, first + i)));
    f(group, tensor, of_all);
  }
}

void Partition::gather(const nn::StateDict& part, const nn::StateDict& whole) const {
  const NoGrad guard;
  for_each_pair(part, whole, [&](size_t group, const Tensor& mine, const std::vector<Tensor>& all) {
    if (group == groups_.size()) Tensor(all[0]).assign(mine.detach());
    else {
      const std::vector<Tensor> values = unflatten(all_gather(mine.detach(), among_), all);
      for (size_t i = 0; i < all.size(); ++i) Tensor(all[i]).assign(values[i]);
    }
    realize(all);  // now, and on all ranks; and one by one, for the memory
  });
}

void Partition::scatter(const nn::StateDict& whole, const nn::StateDict& part) const {
  const NoGrad guard;
  const AssignmentGroup together;
  for_each_pair(part, whole, [&](size_t group, const Tensor& mine, const std::vector<Tensor>& all) {
    const bool is_moment = group < groups_.size();
    Tensor(mine).assign(is_moment ? flatten(all, among_.rank() * mine.numel(), mine.numel()) : all[0].detach());
  });
}

}  // namespace teeny::dist::detail
