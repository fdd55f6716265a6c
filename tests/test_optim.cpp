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
  }
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
}

TEST_CASE("optim: what is wrong is said at once") {
  const std::vector<Tensor> some = {parameter()}, vectors = {parameter(DType::Float32, {6})};
  optim::SGD sgd(some);
  const optim::LRSchedule nothing, constant = [](int64_t) { return 0.1; };
  check_refused({
      {"sgd: no parameters to train", [] { optim::SGD({}); }},
      {"sgd: parameter 1 is undefined", [] { optim::SGD({parameter(), Tensor()}); }},
      {"sgd: parameter 0 of (2,) int64 requires no gradient", [] { optim::SGD({Tensor::zeros({2}, DType::Int64)}); }},
      {"adam: parameter 1 of (3,) float32 requires no gradient",
       [] { optim::Adam({parameter(), Tensor::zeros({3})}); }},
      {"sgd: parameter 0 of (2, 3) is the result of an operation, not a leaf", [] { optim::SGD({parameter() * 2}); }},
      {"sgd: parameters 0 and 2 of (2, 3) are the same tensor", [&] { optim::SGD({some[0], parameter(), some[0]}); }},
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
      {"clip_grad_norm: max_norm -1 is negative", [&] { optim::clip_grad_norm(some, -1); }},
      {"clip_grad_norm: norm_type 0 is not above 0", [&] { optim::clip_grad_norm(some, 1, 0); }},
      {"clip_grad_value: a limit of -1", [&] { optim::clip_grad_value(some, -1); }},
      {"StepLR: every 0 steps", [] { optim::StepLR{.lr = 1, .step_size = 0}(1); }},
      {"StepLR: step -1 is negative", [] { optim::StepLR{.lr = 1, .step_size = 1}(-1); }},
      {"MultiStepLR: the milestones are not in order", [] { optim::MultiStepLR{.lr = 1, .milestones = {3, 2}}(0); }},
      {"ExponentialLR: step -1 is negative", [] { optim::ExponentialLR{1, 0.5}(-1); }},
      {"CosineAnnealingLR: in 0 steps", [] { optim::CosineAnnealingLR{.lr = 1, .t_max = 0}(0); }},
      {"Warmup: nothing takes over", [] { optim::Warmup{5, 0.1, {}}(0); }},
      {"Warmup: for -1 steps", [&] { optim::Warmup{-1, 0.1, constant}(0); }},
      {"OneCycleLR: step 1 of 1", [] { optim::OneCycleLR{.max_lr = 1, .total_steps = 1, .pct_start = 1}(1); }},
      {"OneCycleLR: step 10 of 10", [] { optim::OneCycleLR{.max_lr = 1, .total_steps = 10}(10); }},
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
void check_kernels(const Options& options, const std::vector<Shape>& shapes, const Kernels& expected) {
  for (const bool replayed : {false, true}) {
    std::vector<Tensor> params;
    for (const Shape& shape : shapes) params.push_back(Tensor::ones(shape).requires_grad_());
    Optimizer optimizer(params, options);
    Jit step([&] { optimizer.step(); });
    for (int i = 0; i < 3; ++i) {
      for (Tensor& p : params) p.set_grad((Tensor::ones(p.shape()) * 2).contiguous().realize());
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
  check_kernels<optim::SGD>(optim::SGDOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 0.1}, shapes, {3, 1, 0});
  check_kernels<optim::Adam>(optim::AdamOptions{}, shapes, {3, 1, 0});
  check_kernels<optim::Adam>(optim::AdamOptions{.weight_decay = 0.1}, shapes, {3, 1, 0});
  check_kernels<optim::AdamW>(optim::AdamWOptions{.weight_decay = 0.1}, shapes, {3, 2, 0});
}

TEST_CASE("optim: LAMB looks twice at a parameter that is longer than a row, Muon as often as its products need") {
  check_kernels<optim::LAMB>(optim::LAMBOptions{.weight_decay = 0.1}, {{4, 3}, {5}, {6}}, {3, 2, 0});
  check_kernels<optim::LAMB>(optim::LAMBOptions{.weight_decay = 0.1}, {{300, 200}}, {2, 2, 0});
  // The moment and its length, the division (in the same kernel for a row), the step; the polynomials follow products, and
  // are part of their kernels.
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
  const std::unique_ptr<optim::Optimizer> any = std::make_unique<optim::Adam>(std::vector{p}, optim::AdamOptions{.lr = 0.5});
  optim::LRScheduler rate(*any, optim::ExponentialLR{0.5, 0.5});
  p.sum().backward();
  any->step();
  rate.step();
  CHECK(any->lr() == 0.25);
  check_close(p, {0.5, 1.5}, 1e-5);
  static_assert(!std::is_copy_constructible_v<optim::Optimizer> && std::is_copy_constructible_v<optim::Adam>);
}
