#pragma once
// An optimiser whose state is spread over the ranks: each keeps the moments of its part of all parameters, makes the
// step of this part, and is told the others'. It averages the gradients itself, and sends about as much as
// average_gradients would. Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models",
// 2020, stage 1.
//
//   dist::Sharded<optim::Adam> adam(nn::parameters(model), {.lr = 1e-3});
//   for (auto [x, y] : loader) {
//     adam.zero_grad();
//     model(x).cross_entropy(y).backward();
//     adam.step();                                           instead of average_gradients and a step
//   }
//
// A checkpoint has the state of a plain optimiser, so it fits any number of ranks:
//
//   optim::Adam whole = adam.state();                                                           on all ranks
//   if (dist::rank() == 0) io::save_checkpoint("run.safetensors", model, whole, loader);
//
//   optim::Adam whole = adam.state();                                                           on all ranks
//   dist::load_checkpoint("run.safetensors", model, whole, loader);                             from rank 0's file
//   adam.load(whole);
#include <concepts>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "teeny/dist/group.h"
#include "teeny/optim/optim.h"

namespace teeny::dist {

namespace detail {
/// Groups of parameters, each cut into equal parts, one a rank. They lie one after the other, zeros behind them; a part
/// knows nothing of where one parameter ends and the next begins.
///
///   ranks   0           1           2
///           w0 w0 w0 w0 w0 w0 w1 w1 w2 w2 w2 0
class Partition {
 public:
  Partition(std::vector<std::vector<Tensor>> groups, const Group& among);
  /// This rank's part of each group, for an optimiser.
  const std::vector<Tensor>& parts() const { return parts_; }
  /// A step of the optimiser of these parts, which has this state, and of all ranks'. The norm of all gradients, where
  /// it is limited.
  Tensor step(optim::Optimizer& inner, const nn::StateDict& state, std::optional<double> max_norm) const;
  /// From the state of the parts' optimiser to that of one of all parameters, and back.
  void gather(const nn::StateDict& part, const nn::StateDict& whole) const;
  void scatter(const nn::StateDict& whole, const nn::StateDict& part) const;

 private:
  /// Calls f(group, part, whole) for what belongs together: the moments of a group, or a tensor that both have.
  template <class F>
  void for_each_pair(const nn::StateDict& part, const nn::StateDict& whole, F f) const;

  std::vector<std::vector<Tensor>> groups_;
  std::vector<Tensor> parts_;
  Group among_;
};
}  // namespace detail

/// Of an elementwise optimiser that names its `Options`. A parameter without a gradient counts as one of zeros.
template <class Inner>
class Sharded : public optim::Optimizer {
  static_assert(
      !std::derived_from<Inner, optim::LAMB> && !std::derived_from<Inner, optim::Muon>,
      "LAMB needs the length of a whole parameter, and Muon its matrix: no rank has more than a part of both");

 public:
  using Options = typename Inner::Options;
  using Groups = std::vector<optim::ParamGroup<Options>>;
  static constexpr std::string_view kName = Inner::kName;

  /// The parameters of a group have one dtype.
  explicit Sharded(std::vector<Tensor> params, const Options& options = {}, const dist::Group& among = {})
      : Sharded(Groups{{std::move(params), options}}, among) {}
  explicit Sharded(const Groups& groups, const dist::Group& among = {})
      : Optimizer(kName, groups_of(groups)),
        groups_(groups),
        partition_(params_of(groups), among),
        inner_(of_parts(groups, partition_)) {
    lr_ = nn::find(nn::state_dict(inner_), "lr");  // there is one rate: this one's is inner_'s
    master_.clear();
  }

  void step() override { partition_.step(inner_, nn::state_dict(inner_), {}); }
  /// The gradients of all ranks are clipped before: see optim::clip_grad_norm. Returns their norm from before that.
  Tensor step(double max_norm) { return partition_.step(inner_, nn::state_dict(inner_), max_norm); }

  optim::Hyperparameters hyperparameters() const override { return Inner(groups_).hyperparameters(); }
  /// The optimiser that a single rank would have, with a copy of the whole state. All ranks call it.
  Inner state() const {
    Inner whole(groups_);
    partition_.gather(nn::state_dict(inner_), nn::state_dict(whole));
    return whole;
  }
  /// Takes this rank's part of the state of another one over such parameters.
  void load(const Inner& whole) {
    nn::check_state_dict(nn::state_dict(Inner(groups_)), nn::state_dict(whole));
    partition_.scatter(nn::state_dict(whole), nn::state_dict(inner_));
  }

 private:
  static std::vector<std::vector<Tensor>> params_of(const Groups& groups) {
    std::vector<std::vector<Tensor>> result;
    for (const auto& group : groups) result.push_back(group.params);
    return result;
  }
  static Inner of_parts(Groups groups, const detail::Partition& partition) {
    for (size_t i = 0; i < groups.size(); ++i) groups[i].params = {partition.parts()[i]};
    return Inner(groups);
  }

  Groups groups_;
  detail::Partition partition_;
  Inner inner_;
};

}  // namespace teeny::dist
