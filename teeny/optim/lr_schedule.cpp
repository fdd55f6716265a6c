#include "teeny/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace teeny::optim {

namespace {
/// From a at 0 to b at 1, level at both ends.
double cosine(double a, double b, double part) { return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * part)); }

void check_step(const char* schedule, int64_t step) {
  if (step < 0) fail(schedule, ": step ", step, " is negative");
}
}  // namespace

double StepLR::operator()(int64_t step) const {
  check_step("StepLR", step);
  if (step_size < 1) fail("StepLR: every ", step_size, " steps; 1 is the least");
  return lr * std::pow(gamma, double(step / step_size));
}

double MultiStepLR::operator()(int64_t step) const {
  check_step("MultiStepLR", step);
  if (const auto at = std::is_sorted_until(milestones.begin(), milestones.end()); at != milestones.end())
    fail("MultiStepLR: the milestones are not in ascending order: ", *at, " stands behind ", at[-1]);
  const auto passed = std::upper_bound(milestones.begin(), milestones.end(), step) - milestones.begin();
  return lr * std::pow(gamma, double(passed));
}

double ExponentialLR::operator()(int64_t step) const {
  check_step("ExponentialLR", step);
  return lr * std::pow(gamma, double(step));
}

double CosineAnnealingLR::operator()(int64_t step) const {
  check_step("CosineAnnealingLR", step);
  if (t_max < 1) fail("CosineAnnealingLR: in ", t_max, " steps; 1 is the least");
  return cosine(lr, eta_min, double(step) / double(t_max));
}

double Warmup::operator()(int64_t step) const {
  check_step("Warmup", step);
  if (steps < 0) fail("Warmup: for ", steps, " steps; 0 is the least");
  if (!then) fail("Warmup: nothing takes over; name a schedule as `then`");
  if (step >= steps) return then(step - steps);
  return then(0) * (start_factor + (1 - start_factor) * double(step) / double(steps));
}

double OneCycleLR::operator()(int64_t step) const {
  check_step("OneCycleLR", step);
  if (step >= total_steps) fail("OneCycleLR: step ", step, "; 0 <= step < ", total_steps, ", its total_steps");
  if (!(pct_start >= 0 && pct_start <= 1)) fail("OneCycleLR: pct_start ", pct_start, " is outside [0, 1]");
  const double first = max_lr / div_factor, last = first / final_div_factor;
  const double top = pct_start * double(total_steps) - 1, end = double(total_steps) - 1, now = double(step);
  if (now == top) return max_lr;  // also of a cycle of a single step, which begins and ends there
  if (top > 0 && now <= top) return cosine(first, max_lr, now / top);
  return cosine(max_lr, last, (now - top) / (end - top));
}

LRScheduler::LRScheduler(Optimizer& optimizer, LRSchedule schedule, int64_t steps)
    : optimizer_(optimizer), schedule_(std::move(schedule)), steps_(steps), saved_steps_(Tensor::of<int64_t>(steps)) {
  if (!schedule_) fail("LRScheduler: no schedule; StepLR{..}, or a function of the step");
  optimizer_.set_lr(schedule_(steps_));
}

void LRScheduler::step() {
  const int64_t steps = handed_out_ ? saved_steps_.item<int64_t>() : steps_;
  optimizer_.set_lr(schedule_(steps + 1));
  steps_ = steps + 1, handed_out_ = false;
}

nn::StateDict LRScheduler::teeny_state() const {
  if (!handed_out_) Tensor(saved_steps_).assign(saved_steps_.full_like(steps_));
  handed_out_ = true;
  return {{"steps", saved_steps_}};
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options)
    : optimizer_(optimizer), options_(options) {
  const char* name = "ReduceLROnPlateau";
  if (!(options.factor > 0 && options.factor < 1)) fail(name, ": a factor of ", options.factor, "; 0 < factor < 1");
  if (options.patience < 0 || options.cooldown < 0)
    fail(name, ": a patience of ", options.patience, " and a cooldown of ", options.cooldown,
         " epochs; 0 is the least");
  for (double x : {options.threshold, options.min_lr, options.eps})
    if (!(x >= 0)) fail(name, ": ", x, " as threshold, min_lr or eps; 0 is the least");
  best_ = Tensor::full({}, options.maximize ? -INFINITY : INFINITY, DType::Float64);
  bad_epochs_ = Tensor::zeros({}, DType::Int64);
  cooldown_ = Tensor::zeros({}, DType::Int64);
}

void ReduceLROnPlateau::step(double value) {
  const auto [factor, patience, threshold, relative, maximize, cooldown, min_lr, eps] = options_;
  double best = best_.item();
  int64_t bad_epochs = bad_epochs_.item<int64_t>() + 1, rest = cooldown_.item<int64_t>();
  const double step = maximize ? threshold : -threshold, bound = relative ? best * (1 + step) : best + step;
  if (maximize ? value > bound : value < bound) best = value, bad_epochs = 0;
  if (rest > 0) --rest, bad_epochs = 0;
  if (bad_epochs > patience) {
    for (size_t group = 0; group < optimizer_.groups(); ++group) {
      const double before = optimizer_.lr(group), after = std::max(before * factor, min_lr);
      if (before - after > eps) optimizer_.set_lr(after, group);
    }
    rest = cooldown, bad_epochs = 0;
  }
  best_.assign(best_.full_like(best));
  bad_epochs_.assign(bad_epochs_.full_like(bad_epochs));
  cooldown_.assign(cooldown_.full_like(rest));
}

}  // namespace teeny::optim
