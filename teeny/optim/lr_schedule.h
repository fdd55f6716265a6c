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

/// Gives an optimiser, which must outlive it, the rate of each step.
class LRScheduler {
 public:
  /// Sets the rate of step `steps` at once; to go on with a training, pass the number of steps it had taken.
  LRScheduler(Optimizer& optimizer, LRSchedule schedule, int64_t steps = 0);
  void step();  ///< after the optimiser's

 private:
  Optimizer& optimizer_;
  LRSchedule schedule_;
  int64_t steps_;
};

}  // namespace teeny::optim
