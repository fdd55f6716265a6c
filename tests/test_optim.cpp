// What optimisers keep, refuse and cost. Their values are compared with PyTorch's in test_golden_models.cpp.
#include <doctest/doctest.h>

#include <cmath>
#include <optional>

#include "check_close.h"
#include "check_refused.h"
#include "teeny/jit/jit.h"
#include "teeny/optim/lr_schedule.h"
#include "teeny/schedule/schedule.h"

using namespace teeny;

namespace {

Tensor parameter(DType dtype = DType::Float32, const Shape& shape = {2, 3}) {
  return (Tensor::arange(numel(shape)).reshape(shape) - 2.5).cast(dtype).detach().requires_grad_();
}

template <class Optimizer>
void check_keeps(DType dtype) {
  Tensor trained = parameter(dtype), alone = parameter(dtype);
  Optimizer optimizer({trained, alone});
  optimizer.set_lr(0.125);
  CHECK(optimizer.lr() == 0.125);
  trained.set_grad(Tensor::ones({2, 3}, dtype));
  optimizer.step();
  optimizer.step();
  CHECK(trained.dtype() == dtype);
  CHECK((trained != parameter(dtype)).any().item() == 1);
  check_close(alone, parameter(dtype).to_vector<double>(), 0);
  for (const auto& [name, tensor] : nn::state_dict(optimizer)) CHECK(tensor.isfinite().all().item() == 1);
  optimizer.zero_grad();
  CHECK_FALSE(trained.grad().defined());
}

}  // namespace

TEST_CASE("optim: a cycle of one step is at its top") {
  CHECK(optim::OneCycleLR{.max_lr = 3, .total_steps = 1, .pct_start = 1}(0) == 3);
}

TEST_CASE("optim: a dtype stays, and what has no gradient stays") {
  for (const DType dtype : {DType::Float16, DType::BFloat16, DType::Float32, DType::Float64}) {
    check_keeps<optim::SGD>(dtype);
    check_keeps<optim::Adam>(dtype);
    check_keeps<optim::AdamW>(dtype);
    check_keeps<optim::LAMB>(dtype);
    check_keeps<optim::Muon>(dtype);
    check_keeps<optim::RMSprop>(dtype);
    check_keeps<optim::Adagrad>(dtype);
    check_keeps<optim::NAdam>(dtype);
  }
}

namespace {
/// A parameter that was 1, after `steps` of this gradient.
template <class Optimizer, class Options>
double after_steps(const Options& options, DType dtype, double gradient, int steps) {
  Tensor p = Tensor::ones({1}, dtype).requires_grad_();
  Optimizer optimizer({p}, options);
  for (int i = 0; i < steps; ++i) {
    p.set_grad(Tensor::full({1}, gradient, dtype));
    optimizer.step();
  }
  return p.item();
}
/// Gradients whose square, and rates that, 16 bits do not hold.
template <class Optimizer, class Options>
void check_small(const Options& options, double tolerance) {
  for (const double gradient : {1e-3, 1e-4, 6e-5}) {
    CAPTURE(Optimizer::kName);
    CAPTURE(gradient);
    // float16's own rounding of the gradient is no fault of the optimiser's.
    const double rounded = double(float(float16(float(gradient))));
    const double want = after_steps<Optimizer>(options, DType::Float32, rounded, 20);
    CHECK(after_steps<Optimizer>(options, DType::Float16, gradient, 20) == doctest::Approx(want).epsilon(tolerance));
  }
}
}  // namespace

TEST_CASE("optim: parameters of 16 bits have float32 moments and rates") {
  check_small<optim::Adam>(optim::AdamOptions{.lr = 1e-2}, 3e-3);
  check_small<optim::AdamW>(optim::AdamWOptions{.lr = 1e-2}, 3e-3);
  check_small<optim::NAdam>(optim::NAdamOptions{.lr = 1e-2}, 3e-3);
  check_small<optim::LAMB>(optim::LAMBOptions{.lr = 1e-2}, 3e-3);
  check_small<optim::RMSprop>(optim::RMSpropOptions{.lr = 1e-2}, 3e-3);
  check_small<optim::RMSprop>(optim::RMSpropOptions{.lr = 1e-2, .momentum = 0.9, .centered = true}, 3e-3);
  check_small<optim::Adagrad>(optim::AdagradOptions{.lr = 1e-2}, 3e-3);
  check_small<optim::SGD>(optim::SGDOptions{.lr = 50, .momentum = 0.9}, 3e-3);
  // The rate 1e-8 is 0 in float16, and its product with 6e4 is not.
  CHECK(after_steps<optim::SGD>(optim::SGDOptions{.lr = 1e-8}, DType::Float16, 6e4, 1) == 1 - 0x1p-11);
  for (const DType dtype : {DType::Float16, DType::BFloat16, DType::Float64}) {
    Tensor p = Tensor::ones({2}, dtype).requires_grad_();
    for (const auto& [name, tensor] : nn::state_dict(optim::Adam({p})))
      if (name != "lr" && name != "step") CHECK(tensor.dtype() == promote(dtype, DType::Float32));
  }
}

TEST_CASE("optim: master weights add up steps that 16 bits are too short for") {
  const auto steps = [](bool master_weights, DType dtype) {
    return after_steps<optim::SGD>(optim::SGDOptions{.lr = 1e-4, .master_weights = master_weights}, dtype, 1, 1000);
  };
  CHECK(steps(false, DType::BFloat16) == 1);
  CHECK(steps(true, DType::BFloat16) == doctest::Approx(0.9).epsilon(4e-3));
  CHECK(steps(true, DType::Float16) == doctest::Approx(0.9).epsilon(5e-4));
  CHECK(steps(true, DType::Float32) == doctest::Approx(0.9).epsilon(1e-5));

  // What is loaded into the model counts, and the copy is a part of the state.
  Tensor p = Tensor::ones({3}, DType::Float16).requires_grad_();
  optim::SGD sgd({p}, {.lr = 1e-5, .master_weights = true});
  const Tensor copy = nn::find(nn::state_dict(sgd), "master.0");
  CHECK(copy.dtype() == DType::Float32);
  p.assign(Tensor::of({2, 65504, 1}).cast(DType::Float16));
  p.set_grad(p.ones_like());
  sgd.step();
  check_close(copy, {2 - 1e-5, 65504 - 1e-5, 1 - 1e-5}, 1e-7);
  check_close(p, {2, 65504, 1}, 0);
  Tensor single = parameter();
  CHECK(nn::state_dict(optim::SGD({single}, {.master_weights = true})).size() == 1);  // lr
}

TEST_CASE("optim: groups have rates of their own") {
  Tensor a = Tensor::ones({2}).requires_grad_(), b = Tensor::ones({2}).requires_grad_();
  optim::SGD sgd({{{a}, {.lr = 0.5}}, {{b}, {.lr = 0.125, .momentum = 0.5}}});
  CHECK(sgd.groups() == 2);
  CHECK(sgd.parameters().size() == 2);
  a.set_grad(a.ones_like()), b.set_grad(b.ones_like());
  sgd.step();
  check_close(a, {0.5, 0.5}, 0);
  check_close(b, {0.875, 0.875}, 0);
  CHECK(nn::find(nn::state_dict(sgd), "lr").shape() == Shape{2});
  CHECK(nn::find(nn::state_dict(sgd), "momentum.1").shape() == Shape{2});
  CHECK(nn::state_dict(sgd).size() == 2);

  optim::LRScheduler rate(sgd, optim::StepLR{.lr = 0.5, .step_size = 1, .gamma = 0.5});
  rate.step();
  CHECK(sgd.lr() == 0.25);
  CHECK(sgd.lr(1) == 0.0625);
  sgd.set_lr(1, 1);
  CHECK(sgd.lr() == 0.25);
  CHECK(sgd.lr(1) == 1);
  optim::ReduceLROnPlateau plateau(sgd, {.patience = 0, .min_lr = 0.05});
  for (int epoch = 0; epoch < 2; ++epoch) plateau.step(3);
  CHECK(sgd.lr() == 0.05);
  CHECK(sgd.lr(1) == 0.1);

  // Loaded into another one, the state goes on: without an axis in one of one group.
  optim::SGD again({{{a}, {.lr = 0.5}}, {{b}, {.lr = 0.125, .momentum = 0.5}}});
  nn::load_state_dict(again, nn::state_dict(sgd));
  CHECK(again.lr(1) == sgd.lr(1));
  check_close(nn::find(nn::state_dict(again), "momentum.1"), {1, 1}, 0);
  const optim::SGD whole({a, b});
  check_refused({
      {"set_lr: no group 2; this optimiser has 2", [&] { sgd.set_lr(1, 2); }},
      {"lr: no group 1; this optimiser has 1", [&] { whole.lr(1); }},
      {"sgd: parameters 0 and 1 of (2,) are the same tensor",
       [&] {
         optim::SGD({{{a}, {}}, {{a}, {}}});
       }},
      {"sgd: lr of -1",
       [&] {
         optim::SGD({{{a}, {}}, {{b}, {.lr = -1}}});
       }},
      {"set_lr: the first group has a rate of 0 in its options",
       [&] {
         optim::SGD({{{a}, {.lr = 0}}, {{b}, {.lr = 1}}}).set_lr(1);
       }},
      {"lr: shape (2,) wanted, () given",
       [&] {
         nn::load_state_dict(again, nn::state_dict(optim::SGD({a, b})));
       }},
  });
}

TEST_CASE("optim: a plateau is remembered where a training stopped") {
  optim::SGD whole({parameter()}), resumed({parameter()});
  optim::ReduceLROnPlateau all(whole, {.patience = 2}), rest(resumed, {.patience = 2});
  const std::vector<double> losses = {3, 2, 2.5, 2.2, 2.1, 2.4, 1, 1, 1};
  for (size_t epoch = 0; epoch < losses.size(); ++epoch) {
    all.step(losses[epoch]);
    if (epoch == 3) {
      nn::load_state_dict(rest, nn::state_dict(all));
      resumed.set_lr(whole.lr());
    }
    if (epoch > 3) rest.step(losses[epoch]);
  }
  CHECK(whole.lr() == resumed.lr());
  CHECK(whole.lr() == doctest::Approx(1e-4));
}

namespace {
/// The example of optimizers.h.
class SignSGD : public optim::Optimizer {
 public:
  static constexpr std::string_view kName = "sign_sgd";
  SignSGD(std::vector<Tensor> params, double lr) : Optimizer(kName, std::move(params), lr) {}
  void step() override {
    NoGrad guard;
    finish_last_step(nn::state_dict(*this));
    for (const auto& [i, w, g] : trained()) update(i, w - lr_.cast(w.dtype()) * g.sign());
  }
  TEENY_STATE(lr_)
};
}  // namespace

TEST_CASE("optim: an optimiser of one's own") {
  Tensor p = Tensor::of({1, 2, 3}).requires_grad_();
  SignSGD sign({p}, 0.5);
  optim::LRScheduler rate(sign, optim::ExponentialLR{0.5, 0.5});
  (p * Tensor::of({3, 0, -2})).sum().backward();
  sign.step();
  check_close(p, {0.5, 2, 3.5}, 0);
  rate.step();
  sign.step();
  check_close(p, {0.25, 2, 3.75}, 0);
  check_refused({{"sign_sgd: no parameters to train", [] { SignSGD({}, 1); }}});
}

TEST_CASE("optim: LAMB's ratio is 1 where a length is 0") {
  Tensor p = Tensor::zeros({3}, DType::Float64).requires_grad_(), still = parameter(DType::Float64);
  optim::LAMB lamb({p, still}, {.lr = 0.5});
  p.set_grad(Tensor::ones({3}, DType::Float64));
  still.set_grad(still.zeros_like());
  lamb.step();
  check_close(p, {-0.5, -0.5, -0.5}, 1e-5);
  check_close(still, parameter().to_vector<double>(), 0);
}

TEST_CASE("optim: gradients are clipped in their dtype") {
  for (const DType dtype : {DType::Float16, DType::BFloat16, DType::Float32, DType::Float64}) {
    Tensor p = parameter(dtype), scalar = Tensor::full({}, 1, dtype).requires_grad_();
    p.set_grad(Tensor::full({2, 3}, -2, dtype));
    scalar.set_grad(Tensor::full({}, 1, dtype));
    const std::vector<Tensor> params = {p, scalar, parameter()};
    check_close(optim::clip_grad_norm(params, 2.5), {5}, 1e-6);
    check_close(p.grad(), std::vector<double>(6, -1), 1e-3);
    check_close(scalar.grad(), {0.5}, 1e-3);
    optim::clip_grad_value(params, 0.75);
    check_close(p.grad(), std::vector<double>(6, -0.75), 0);
    check_close(scalar.grad(), {0.5}, 1e-3);
    CHECK(p.grad().dtype() == dtype);
    CHECK(scalar.grad().dtype() == dtype);
    CHECK_FALSE(params[2].grad().defined());
  }
  CHECK(optim::clip_grad_norm(std::vector{parameter()}, 1).item() == 0);
  for (const double size : {1e25, 1e-25}) {  // whose squares leave the range of float32
    const std::vector<Tensor> params = {Tensor::zeros({2}).requires_grad_()};
    Tensor(params[0]).set_grad(Tensor::of({3 * size, 4 * size}));
    check_close(optim::clip_grad_norm(params, size), {5 * size}, 1e-6);
    if (size > 1) check_close(params[0].grad(), {0.6 * size, 0.8 * size}, 1e-6);
  }
}

TEST_CASE("optim: what is wrong is said at once") {
  const std::vector<Tensor> some = {parameter()}, vectors = {parameter(DType::Float32, {6})};
  optim::SGD sgd(some);
  const optim::LRSchedule nothing, constant = [](int64_t) { return 0.1; };
  check_refused({
      {"sgd: no parameters to train", [] { optim::SGD(std::vector<Tensor>()); }},
      {"sgd: parameter 1 is undefined",
       [] {
         optim::SGD({parameter(), Tensor()});
       }},
      {"sgd: parameter 0 of (2,) int64 requires no gradient", [] { optim::SGD({Tensor::zeros({2}, DType::Int64)}); }},
      {"adam: parameter 1 of (3,) float32 requires no gradient",
       [] {
         optim::Adam({parameter(), Tensor::zeros({3})});
       }},
      {"sgd: parameter 0 of (2, 3) is the result of an operation, not a leaf", [] { optim::SGD({parameter() * 2}); }},
      {"sgd: parameters 0 and 2 of (2, 3) are the same tensor",
       [&] {
         optim::SGD({some[0], parameter(), some[0]});
       }},
      {"sgd: lr of -1; 0 <= lr < inf", [&] { optim::SGD(some, {.lr = -1}); }},
      {"sgd: momentum of -1", [&] { optim::SGD(some, {.momentum = -1}); }},
      {"sgd: nesterov without momentum", [&] { optim::SGD(some, {.nesterov = true}); }},
      {"adam: beta1 of 1; 0 <= beta1 < 1", [&] { optim::Adam(some, {.beta1 = 1}); }},
      {"adam: weight_decay of nan", [&] { optim::Adam(some, {.weight_decay = NAN}); }},
      {"set_lr: lr of -1", [&] { optim::Adam(some).set_lr(-1); }},
      {"lamb: beta1 of 1; 0 <= beta1 < 1", [&] { optim::LAMB(some, {.beta1 = 1}); }},
      {"lamb: beta2 of -0.5", [&] { optim::LAMB(some, {.beta2 = -0.5}); }},
      {"lamb: eps of -1", [&] { optim::LAMB(some, {.eps = -1}); }},
      {"lamb: weight_decay of -1", [&] { optim::LAMB(some, {.weight_decay = -1}); }},
      {"muon: a parameter of (6,); only matrices (out, in)", [&] { optim::Muon{vectors}; }},
      {"muon: momentum of -1", [&] { optim::Muon(some, {.momentum = -1}); }},
      {"muon: weight_decay of -1", [&] { optim::Muon(some, {.weight_decay = -1}); }},
      {"muon: eps of nan", [&] { optim::Muon(some, {.eps = NAN}); }},
      {"muon: 100 iterations; 0 <= iterations < 100", [&] { optim::Muon(some, {.iterations = 100}); }},
      {"muon: a coefficient of inf",
       [&] {
         optim::Muon(some, {.coefficients = {1, INFINITY, 1}});
       }},
      {"rmsprop: alpha of -1", [&] { optim::RMSprop(some, {.alpha = -1}); }},
      {"rmsprop: eps of -1", [&] { optim::RMSprop(some, {.eps = -1}); }},
      {"rmsprop: momentum of nan", [&] { optim::RMSprop(some, {.momentum = NAN}); }},
      {"adagrad: lr_decay of -1", [&] { optim::Adagrad(some, {.lr_decay = -1}); }},
      {"adagrad: initial_accumulator_value of -1", [&] { optim::Adagrad(some, {.initial_accumulator_value = -1}); }},
      {"adagrad: eps of -1", [&] { optim::Adagrad(some, {.eps = -1}); }},
      {"nadam: beta1 of 1; 0 <= beta1 < 1", [&] { optim::NAdam(some, {.beta1 = 1}); }},
      {"nadam: momentum_decay of -1", [&] { optim::NAdam(some, {.momentum_decay = -1}); }},
      {"ReduceLROnPlateau: a factor of 1; 0 < factor < 1", [&] { optim::ReduceLROnPlateau(sgd, {.factor = 1}); }},
      {"ReduceLROnPlateau: a patience of -1", [&] { optim::ReduceLROnPlateau(sgd, {.patience = -1}); }},
      {"ReduceLROnPlateau: nan as threshold", [&] { optim::ReduceLROnPlateau(sgd, {.threshold = NAN}); }},
      {"clip_grad_norm: max_norm -1 is negative", [&] { optim::clip_grad_norm(some, -1); }},
      {"clip_grad_norm: norm_type 0 is not above 0", [&] { optim::clip_grad_norm(some, 1, 0); }},
      {"clip_grad_value: a limit of -1", [&] { optim::clip_grad_value(some, -1); }},
      {"StepLR: every 0 steps", [] { optim::StepLR{.lr = 1, .step_size = 0}(1); }},
      {"StepLR: step -1 is negative", [] { optim::StepLR{.lr = 1, .step_size = 1}(-1); }},
      {"MultiStepLR: the milestones are not in ascending order: 2 stands behind 3",
       [] {
         optim::MultiStepLR{.lr = 1, .milestones = {3, 2}}(0);
       }},
      {"ExponentialLR: step -1 is negative",
       [] {
         optim::ExponentialLR{1, 0.5}(-1);
       }},
      {"CosineAnnealingLR: in 0 steps", [] { optim::CosineAnnealingLR{.lr = 1, .t_max = 0}(0); }},
      {"Warmup: nothing takes over",
       [] {
         optim::Warmup{5, 0.1, {}}(0);
       }},
      {"Warmup: for -1 steps",
       [&] {
         optim::Warmup{-1, 0.1, constant}(0);
       }},
      {"OneCycleLR: step 1; 0 <= step < 1, its total_steps",
       [] { optim::OneCycleLR{.max_lr = 1, .total_steps = 1, .pct_start = 1}(1); }},
      {"OneCycleLR: step 10; 0 <= step < 10", [] { optim::OneCycleLR{.max_lr = 1, .total_steps = 10}(10); }},
      {"OneCycleLR: pct_start 2 is outside [0, 1]",
       [] { optim::OneCycleLR{.max_lr = 1, .total_steps = 10, .pct_start = 2}(0); }},
      {"LRScheduler: no schedule", [&] { optim::LRScheduler(sgd, nothing); }},
      {"set_lr: lr of nan", [&] { optim::LRScheduler(sgd, [](int64_t) { return NAN; }); }},
  });
  CHECK(sgd.lr() == 1e-3);
}

TEST_CASE("optim: a rate or a seed is not set inside a recording") {
  const Tensor p = parameter();
  optim::SGD sgd({p});
  optim::LRScheduler rate(sgd, optim::ExponentialLR{0.1, 0.5});
  Jit set([&](const Tensor& x) { return sgd.set_lr(0.5), x + 1; });
  Jit step([&](const Tensor& x) { return rate.step(), x + 1; });
  Jit seed([](const Tensor& x) { return Tensor::manual_seed(3), x + 1; });
  const Tensor x = Tensor::ones({2});
  check_refused({
      {"set_lr: inside a Jit's call this rate would be repeated; call it outside", [&] { set(x), set(x); }},
      {"set_lr: inside a Jit's call", [&] { step(x), step(x); }},
      {"manual_seed: inside a Jit's call it would not be repeated; call it outside", [&] { seed(x), seed(x); }},
  });
}

TEST_CASE("optim: a schedule goes on where a training stopped") {
  const optim::CosineAnnealingLR schedule{.lr = 0.1, .t_max = 20};
  optim::SGD whole({parameter()}), resumed({parameter()});
  optim::LRScheduler all(whole, schedule);
  for (int i = 0; i < 12; ++i) all.step();
  optim::LRScheduler rest(resumed, schedule, 7);
  for (int i = 0; i < 5; ++i) rest.step();
  CHECK(whole.lr() == resumed.lr());
  CHECK(whole.lr() == schedule(12));

  // Saved and loaded, again after more steps, and loaded twice with steps in between.
  optim::SGD third({parameter()});
  optim::LRScheduler loaded(third, schedule);
  for (int round = 0; round < 2; ++round) {
    nn::StateDict saved = nn::state_dict(all);
    saved[0].second = saved[0].second.clone().realize();
    const double rate = whole.lr();
    for (int repeat = 0; repeat < 2; ++repeat) {
      nn::load_state_dict(loaded, saved);
      third.set_lr(rate);  // which the optimiser's state holds
      loaded.step(), loaded.step();
      CHECK(third.lr() == schedule(14 + 2 * round));
    }
    all.step(), all.step();
    CHECK(whole.lr() == third.lr());
  }
  CHECK(nn::state_dict(loaded)[0].second.item<int64_t>() == 16);
  CHECK(nn::state_dict(loaded)[0].second.item<int64_t>() == 16);  // looking at it changes nothing
  loaded.step();
  CHECK(nn::state_dict(loaded)[0].second.item<int64_t>() == 17);
}

namespace {
/// Kernels of a step: over the elements of parameters, over scalars (no axes), and products.
struct Kernels {
  int elements = 0, scalars = 0, products = 0;
  bool operator==(const Kernels&) const = default;
} seen;
std::ostream& operator<<(std::ostream& out, const Kernels& k) {
  return out << k.elements << " over elements, " << k.scalars << " over scalars, " << k.products << " products";
}
void count_and_run(const tinyops::Kernel& kernel) {
  const auto* row = std::get_if<tinyops::RowKernel>(&kernel);
  if (!row) ++seen.products;
  else ++(numel(row->shape) == 1 ? seen.scalars : seen.elements);
  tinyops::run(kernel);
}

/// A third step of parameters of these shapes, with and without a Jit.
template <class Optimizer, class Options>
void check_kernels(const Options& options, const std::vector<Shape>& shapes, const Kernels& expected,
                   DType dtype = DType::Float32) {
  for (const bool replayed : {false, true}) {
    std::vector<Tensor> params;
    for (const Shape& shape : shapes) params.push_back(Tensor::ones(shape, dtype).requires_grad_());
    Optimizer optimizer(params, options);
    Jit step([&] { optimizer.step(); });
    for (int i = 0; i < 3; ++i) {
      for (Tensor& p : params) p.set_grad((Tensor::ones(p.shape(), dtype) * 2).contiguous().realize());
      seen = {};
      const ExecutionScope counted({.fuse = true, .run = count_and_run});
      if (replayed) step();
      else optimizer.step(), Tensor::ones({}).contiguous().realize();  // what was assigned goes with anything
    }
    CAPTURE(Optimizer::kName);
    CAPTURE(replayed);
    if (!replayed) --seen.scalars;
    CHECK(seen == expected);
  }
}
}  // namespace

TEST_CASE("optim: one kernel updates a parameter and its moments, whatever its size") {
  const std::vector<Shape> shapes = {{4, 3}, {5}, {300, 200}};
  check_kernels<optim::SGD>(optim::SGDOptions{}, shapes, {3, 1, 0});
  check_kernels<optim::SGD>(optim::SGDOptions{.momentum = 0.9}, shapes, {3, 1, 0});
  check_kernels<optim::SGD>(optim::SGDOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}, shapes,
                            {3, 1, 0});
  check_kernels<optim::Adam>(optim::AdamOptions{}, shapes, {3, 1, 0});
  check_kernels<optim::Adam>(optim::AdamOptions{.weight_decay = 0.1}, shapes, {3, 1, 0});
  check_kernels<optim::AdamW>(optim::AdamWOptions{.weight_decay = 0.1}, shapes, {3, 2, 0});
  check_kernels<optim::RMSprop>(optim::RMSpropOptions{.momentum = 0.9, .centered = true}, shapes, {3, 1, 0});
  check_kernels<optim::Adagrad>(optim::AdagradOptions{.weight_decay = 0.1}, shapes, {3, 1, 0});
  check_kernels<optim::NAdam>(optim::NAdamOptions{}, shapes, {3, 1, 0});
  // Of 16 bits, with the float32 copies.
  check_kernels<optim::SGD>(optim::SGDOptions{.momentum = 0.9}, shapes, {3, 1, 0}, DType::Float16);
  check_kernels<optim::Adam>(optim::AdamOptions{}, shapes, {3, 1, 0}, DType::BFloat16);
  check_kernels<optim::SGD>(optim::SGDOptions{.master_weights = true}, shapes, {3, 1, 0}, DType::BFloat16);
  check_kernels<optim::Adam>(optim::AdamOptions{.master_weights = true}, shapes, {3, 1, 0}, DType::BFloat16);
}

TEST_CASE("optim: LAMB looks twice at a parameter that is longer than a row, Muon as often as its products need") {
  check_kernels<optim::LAMB>(optim::LAMBOptions{.weight_decay = 0.1}, {{4, 3}, {5}, {6}}, {3, 2, 0});
  check_kernels<optim::LAMB>(optim::LAMBOptions{.weight_decay = 0.1}, {{300, 200}}, {2, 2, 0});
  // The moment and its length, the division (in the same kernel for a row), the step; the polynomials follow products,
  // and are part of their kernels.
  check_kernels<optim::Muon>(optim::MuonOptions{.iterations = 5}, {{4, 6}}, {1 + 1, 2, 5 * 3});
  check_kernels<optim::Muon>(optim::MuonOptions{.iterations = 5}, {{200, 300}}, {1 + 1 + 1, 2, 5 * 3});
}

TEST_CASE("optim: a loop that looks at nothing keeps a short graph") {
  const Tensor p = Tensor::ones({3}).requires_grad_();
  optim::SGD sgd({p}, {.lr = 0.5, .momentum = 0.5});
  for (int i = 0; i < 20; ++i) {
    sgd.zero_grad();
    (p * p).sum().backward();
    sgd.step();
    if (i == 10) CHECK(p.lazy().node()->sources.size() > 0);
  }
  int depth = 0;
  for (auto node = p.lazy().node(); !node->sources.empty(); node = node->sources[0].node()) ++depth;
  CHECK(depth < 20);
}

TEST_CASE("optim: clipping and a step compute nothing before a value is read") {
  std::vector<Tensor> params = {parameter(), parameter()};
  optim::Muon muon(params);
  for (int i = 0; i < 3; ++i) {
    for (Tensor& p : params) p.set_grad((Tensor::ones(p.shape()) * 2).contiguous().realize());
    muon.step();
    realize(params);
    realize(std::vector{nn::state_dict(muon)[1].second, nn::state_dict(muon)[2].second});
    seen = {};
    std::optional<ExecutionScope> counted(Execution{.fuse = true, .run = count_and_run});
    const Tensor norm = optim::clip_grad_norm(params, 1);
    optim::clip_grad_value(params, 0.5);
    muon.step();
    CHECK(seen == Kernels{});
    realize(params);
    CHECK(seen.elements > 0);
    counted.reset();
    CHECK(norm.item() > 0);
  }
}

TEST_CASE("optim: any optimiser steps and is destroyed as an Optimizer, and a schedule moves the rate of that one") {
  Tensor p = Tensor::of({1, 2}).requires_grad_();
  const std::unique_ptr<optim::Optimizer> any =
      std::make_unique<optim::Adam>(std::vector{p}, optim::AdamOptions{.lr = 0.5});
  optim::LRScheduler rate(*any, optim::ExponentialLR{0.5, 0.5});
  p.sum().backward();
  any->step();
  rate.step();
  CHECK(any->lr() == 0.25);
  check_close(p, {0.5, 1.5}, 1e-5);
  static_assert(!std::is_copy_constructible_v<optim::Optimizer> && std::is_copy_constructible_v<optim::Adam>);
}

TEST_CASE("optim: totals that nobody reads keep one number of a step, and cost nothing where nobody holds them") {
  nn::Linear layer(4, 1024);
  optim::SGD sgd(nn::parameters(layer));
  const Tensor x = Tensor::rand({32, 4}).realize();
  Tensor losses = Tensor::zeros({}), hits = Tensor::zeros({}, DType::Int64);
  const auto train = [&](bool total) {
    sgd.zero_grad();
    const Tensor y = layer(x), loss = y.square().mean().backward();
    sgd.step();
    if (total) losses = losses + loss.detach(), hits = hits + (y.detach() > 0).sum();
  };
  for (int i = 0; i < 3; ++i) train(true);
  const size_t live = tinyops::memory_use().live;
  for (int i = 0; i < 10; ++i) train(true);
  CHECK(tinyops::memory_use().live < live + 10 * 1024);  // an output has 128 KB
  CHECK(hits.item<int64_t>() > 0);
  CHECK(losses.item() > 0);
  int64_t kernels[2];
  for (const bool known : {true, false})
    for (int i = 0; i < 3; ++i) {
      const int64_t before = context.kernels;
      train(false);
      if (!known) context.totals.clear();
      kernels[known] = context.kernels - before;
    }
  CHECK(kernels[true] == kernels[false]);
}

TEST_CASE("optim: nor do totals of several elements, averages of weights and running statistics keep their steps") {
  nn::Linear layer(64, 64);
  nn::BatchNorm1d norm(64);
  std::vector<Tensor> params = nn::parameters(layer, norm);
  optim::SGD sgd(params);
  const Tensor x = Tensor::rand({512, 64}).realize();
  Tensor by_class = Tensor::zeros({64}), added = Tensor::zeros({64}), average = Tensor::zeros({64, 64});
  Training mode;
  const auto train = [&] {
    sgd.zero_grad();
    const Tensor y = norm(layer(x));
    y.square().mean().backward();
    sgd.step();
    by_class = by_class + (y.detach() > 0).sum(0), added += y.detach().sum(0);
    average.assign(average * 0.9 + layer.weight.detach() * 0.1);
  };
  for (int i = 0; i < 4; ++i) train();
  const size_t live = tinyops::memory_use().live;
  for (int i = 0; i < 10; ++i) train();
  // An output has 128 KB, the weight 16 KB, and the statistics have 512 bytes.
  CHECK(tinyops::memory_use().live < live + 10 * 1024);
  CHECK(norm.num_batches_tracked.item<int64_t>() == 14);
  CHECK(by_class.sum().item() > 0);
  CHECK(std::isfinite(added.sum().item() + average.sum().item() + norm.running_var.sum().item()));
}
