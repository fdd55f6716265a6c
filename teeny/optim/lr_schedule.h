#pragma once
// Learning rates over time. A schedule is a function of the number of steps taken so far: it remembers nothing, and can
// be asked for any step. Names and values are those of torch.optim.lr_scheduler.
//
//   optim::LRScheduler rate(adam, optim::Warmup{100, 0.01, optim::CosineAnnealingLR{.lr = 1e-3, .t_max = 900}});
//   for (auto [x, y] : loader) {
//     ... backward
//     adam.step();
//     rate.step();
//   }
#include <functional>
#include <vector>

#include "teeny/optim/optimizers.h"

namespace teeny::optim {

using LRSchedule = std::function<double(int64_t step)>;

/// Times gamma after every `step_size` steps.
struct StepLR {
  double lr;
  int64_t step_size;
  double gamma = 0.1;
  double operator()(int64_t step) const;
};
/// Times gamma at each of `milestones`, which are in ascending order.
struct MultiStepLR {
  double lr;
  std::vector<int64_t> milestones;
  double gamma = 0.1;
  double operator()(int64_t step) const;
};
/// Times gamma after every step.
struct ExponentialLR {
  double lr, gamma;
  double operator()(int64_t step) const;
};
/// From `lr` down to `eta_min` in `t_max` steps along half a cosine, and then up again. Loshchilov, Hutter: "SGDR:
/// stochastic gradient descent with warm restarts", 2017, equation 5.
struct CosineAnnealingLR {
  double lr;
  int64_t t_max;
  double eta_min = 0;
  double operator()(int64_t step) const;
};
/// For `steps` steps on a straight line from `start_factor` times the first rate of `then` up to that rate; there
/// `then` takes over, and counts from 0. PyTorch writes it as SequentialLR of LinearLR and another.
struct Warmup {
  int64_t steps;
  double start_factor;
  LRSchedule then;
  double operator()(int64_t step) const;
};
/// From max_lr / div_factor up to max_lr in the first `pct_start` of the steps, then down to 1 / final_div_factor of
/// where it began, along cosines. PyTorch's also moves the momentum, this one does not. Smith, Topin:
/// "Super-convergence: very fast training of neural networks using large learning rates", 2019.
struct OneCycleLR {
  double max_lr;
  int64_t total_steps;
  double pct_start = 0.3, div_factor = 25, final_div_factor = 1e4;
  double operator()(int64_t step) const;  ///< 0 <= step < total_steps
};

/// Gives an optimiser, which must outlive it, the rate of each step. To go on with a training, save it beside the model
/// (see checkpoint.h) and load both into a new one, or pass it the number of steps that were taken.
class LRScheduler {
 public:
  /// Sets the rate of step `steps` at once. The schedule's is the rate of the first group; the rates of other groups
  /// keep their ratio to it.
  LRScheduler(Optimizer& optimizer, LRSchedule schedule, int64_t steps = 0);
  void step();  ///< after the optimiser's

  /// "steps": how many were taken, int64. A value that is loaded holds from the next `step` on; until then the
  /// optimiser has the rate that it was saved with.
  nn::StateDict teeny_state() const;

 private:
  Optimizer& optimizer_;
  LRSchedule schedule_;
  int64_t steps_;
  // The number as a tensor. It is read only where `teeny_state` has handed it out: reading it in each step would
  // compute what the optimiser's step leaves for later.
  Tensor saved_steps_;
  mutable bool handed_out_ = false;
};

struct ReduceLROnPlateauOptions {
  double factor = 0.1;      ///< in (0, 1)
  int64_t patience = 10;    ///< epochs without progress that are borne
  double threshold = 1e-4;  ///< what counts as progress: as a part of the best value, or if not `relative` by itself
  bool relative = true, maximize = false;
  int64_t cooldown = 0;           ///< epochs after a reduction in which nothing is counted
  double min_lr = 0, eps = 1e-8;  ///< no rate falls below the one, or by less than the other
};

/// Reduces the rate of every group of an optimiser, which must outlive it, when a value (the loss of a validation,
/// after each epoch) has stopped to fall, or to rise. What it remembers is listed by TEENY_STATE, to be saved beside a
/// model.
class ReduceLROnPlateau {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {});
  void step(double value);  ///< of one epoch; a NaN is no progress
  TEENY_STATE(best_, bad_epochs_, cooldown_)

 private:
  Optimizer& optimizer_;
  ReduceLROnPlateauOptions options_;
  Tensor best_;                   ///< float64
  Tensor bad_epochs_, cooldown_;  ///< int64: epochs without progress, and epochs left without a count
};

}  // namespace teeny::optim
