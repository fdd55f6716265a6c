#pragma once
// What all optimisers have: groups of parameters with rates of their own, float32 copies of 16-bit parameters, and the
// walk over what has a gradient. A reader of the update rules (optimizers.h) can leave it for later; whoever writes one
// derives from it.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/nn/nn.h"

namespace teeny::optim {

/// Some of an optimiser's parameters, and its options for them.
template <class Options>
struct ParamGroup {
  std::vector<Tensor> params;
  Options options = {};
};

/// Options by name, as numbers; a switch is 0 or 1. Those of the second of several groups are "1.beta1" and so on.
using Hyperparameters = std::map<std::string, double>;

/// What all optimisers have. Copies of an SGD, an Adam, .. share parameters and state, as tensors do; an Optimizer
/// itself is passed on as a reference. An optimiser of one's own derives from it; the name is for errors and
/// checkpoints, and what TEENY_STATE lists is saved:
///
///   class SignSGD : public optim::Optimizer {
///    public:
///     static constexpr std::string_view kName = "sign_sgd";
///     SignSGD(std::vector<Tensor> params, double lr) : Optimizer(kName, std::move(params), lr) {}
///     void step() override {
///       NoGrad guard;
///       finish_last_step(nn::state_dict(*this));
///       for (const auto& [i, w, g] : trained()) update(i, w - lr_.cast(w.dtype()) * g.sign());
///     }
///     TEENY_STATE(lr_)
///   };
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Changes the parameters that have a gradient.
  virtual void step() = 0;
  void zero_grad();  ///< forgets the gradients; before `backward`, which adds to them
  size_t groups() const { return groups_.size(); }
  double lr(size_t group = 0) const;
  /// The rate of the first group, from the next step on; the rates of the others change with it, in the ratio that
  /// their options have to its.
  void set_lr(double lr);
  void set_lr(double lr, size_t group);  ///< of this group alone
  const std::vector<Tensor>& parameters() const { return params_; }
  /// What a step follows from beside the gradients and what TEENY_STATE lists. A checkpoint remembers it, and is not
  /// loaded where it differs. An optimiser with options of its own adds them to these.
  virtual Hyperparameters hyperparameters() const;

 protected:
  /// What is kept of a group. The parameters are params_[begin] up to params_[end].
  struct Group {
    std::vector<Tensor> params;
    double lr, weight_decay = 0;
    bool master_weights = false;
    size_t begin = 0, end = 0;
  };
  Optimizer(std::string_view name, std::vector<Group> groups);
  Optimizer(std::string_view name, std::vector<Tensor> params, double lr);
  Optimizer(const Optimizer&) = default;  // not for everyone: a copy of this part alone could not step
  Optimizer& operator=(const Optimizer&) = default;
  template <class Options>
  static std::vector<Group> groups_of(const std::vector<ParamGroup<Options>>& groups) {
    std::vector<Group> result;
    for (const auto& [params, o] : groups) result.push_back({params, o.lr, o.weight_decay, o.master_weights});
    return result;
  }
  template <class Options>
  static std::vector<Options> options_of(const std::vector<ParamGroup<Options>>& groups) {
    std::vector<Options> result;
    for (const auto& group : groups) result.push_back(group.options);
    return result;
  }

  /// A moment of a group's parameters before the first step: `value` in the shape of each, in float32 if it has 16
  /// bits. Those of other groups stay as they are.
  void start(std::vector<Tensor>& moments, size_t group, double value = 0) const;
  /// Computes what the step before left to do. Without this, the graph of a loop that never reads a value would grow
  /// without end.
  void finish_last_step(const nn::StateDict& state) const;
  /// The element of a group in a tensor like lr_, without axes.
  Tensor of_group(const Tensor& x, size_t group) const { return x.rank() == 0 ? x : x[int64_t(group)]; }

  /// A parameter that has a gradient: both in the dtype of its moments.
  struct Trained {
    size_t index;
    Tensor value, grad;
  };
  std::vector<Trained> trained(size_t group = 0) const;
  /// Gives params_[index] a new value, rounded to its dtype.
  void update(size_t index, const Tensor& value);

  std::vector<Tensor> params_;
  Tensor lr_;                   ///< float64; without axes, or one element a group if there are several
  std::vector<Tensor> master_;  ///< see `master_weights`; undefined where there is none

 private:
  void set_rates(const std::vector<double>& rates);
  std::vector<Group> groups_;
};

namespace detail {
/// A float64 without axes.
Tensor number(double value);
/// Throws, naming both, unless 0 <= value < below.
void check_option(std::string_view optimizer, std::string_view option, double value, double below);
/// The dtype of moments and updates, of lengths and matrix products: nothing of that is for 16 bits.
DType accumulate_dtype(const Tensor& x);
}  // namespace detail

}  // namespace teeny::optim
