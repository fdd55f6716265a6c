// Optimisers against their formulas in double precision, and what their steps cost.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "check_close.h"
#include "teeny/nn/optim.h"
#include "teeny/schedule.h"

using namespace teeny;

namespace {

/// What one step does to one number: `p`, with gradient `g` and rate `lr`, at step t = 1, 2, ...
using Rule = std::function<void(double& p, double g, double& m, double& v, double lr, int t)>;

/// Ten steps of `optimizer` on two parameters against `rule`; the rate changes on the way. A third parameter never has
/// a gradient and stays as it is.
template <class Optimizer, class Options>
void check_optimizer(const Options& options, DType dtype, double tolerance, const Rule& rule) {
  const std::vector<double> start = {1, -2, 3, 0.5, -0.25, 0};
  const auto parameter = [&](double scale) {
    return (Tensor::from(start, {2, 3}) * scale).cast(dtype).detach().requires_grad_();
  };
  std::vector<Tensor> params = {parameter(1), parameter(2), parameter(3)};
  Optimizer optimizer(params, options);
  std::vector<double> p(12), m(12), v(12);
  for (size_t i = 0; i < 12; ++i) p[i] = start[i % 6] * (i < 6 ? 1 : 2);

  double lr = options.lr;
  for (int t = 1; t <= 10; ++t) {
    if (t == 6) optimizer.set_lr(lr *= 0.3);
    CHECK(optimizer.lr() == lr);
    std::vector<double> grads;
    for (size_t i = 0; i < 12; ++i) grads.push_back(std::sin(double(t) * 0.7 + double(i)) * double(i + 1) / 4);
    optimizer.zero_grad();
    CHECK_FALSE(params[0].grad().defined());
    for (size_t k = 0; k < 2; ++k) {
      const std::vector<double> part(grads.begin() + long(6 * k), grads.begin() + long(6 * k + 6));
      params[k].set_grad(Tensor::from(part, {2, 3}).cast(dtype));
    }
    optimizer.step();
    for (size_t i = 0; i < 12; ++i) rule(p[i], grads[i], m[i], v[i], lr, t);
  }
  check_close(params[0], {p.begin(), p.begin() + 6}, tolerance);
  check_close(params[1], {p.begin() + 6, p.end()}, tolerance);
  const Tensor untouched = parameter(3);
  check_close(params[2], untouched.to_vector<double>(), 0);
  CHECK(params[0].dtype() == dtype);
}

Rule sgd_rule(const optim::SGDOptions& o) {
  return [o](double& p, double g, double& m, double&, double lr, int) {
    g += o.weight_decay * p;
    if (o.momentum != 0) {
      m = o.momentum * m + g;
      g = o.nesterov ? g + o.momentum * m : m;
    }
    p -= lr * g;
  };
}

template <class Options>
Rule adam_rule(const Options& o, bool decoupled) {
  return [o, decoupled](double& p, double g, double& m, double& v, double lr, int t) {
    if (decoupled) p *= 1 - lr * o.weight_decay;
    else g += o.weight_decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double mean = m / (1 - std::pow(o.beta1, t)), square = v / (1 - std::pow(o.beta2, t));
    p -= lr * mean / (std::sqrt(square) + o.eps);
  };
}

}  // namespace

TEST_CASE("optim: SGD follows its formula") {
  for (const optim::SGDOptions& o : {optim::SGDOptions{.lr = 0.1},
                                     {.lr = 0.1, .weight_decay = 0.2},
                                     {.lr = 0.05, .momentum = 0.9},
                                     {.lr = 0.05, .momentum = 0.8, .weight_decay = 0.1},
                                     {.lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 0.1}}) {
    check_optimizer<optim::SGD>(o, DType::Float64, 1e-12, sgd_rule(o));
    check_optimizer<optim::SGD>(o, DType::Float32, 2e-6, sgd_rule(o));
  }
}

TEST_CASE("optim: Adam and AdamW follow their formulas") {
  for (const optim::AdamOptions& o : {optim::AdamOptions{.lr = 0.1},
                                      {.lr = 0.1, .weight_decay = 0.2},
                                      {.lr = 0.05, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-3}}) {
    check_optimizer<optim::Adam>(o, DType::Float64, 1e-12, adam_rule(o, false));
    check_optimizer<optim::Adam>(o, DType::Float32, 5e-6, adam_rule(o, false));
  }
  for (const optim::AdamWOptions& o : {optim::AdamWOptions{.lr = 0.1}, {.lr = 0.1, .weight_decay = 0.5}}) {
    check_optimizer<optim::AdamW>(o, DType::Float64, 1e-12, adam_rule(o, true));
    check_optimizer<optim::AdamW>(o, DType::Float32, 5e-6, adam_rule(o, true));
  }
}

TEST_CASE("optim: what is wrong is said at once") {
  const std::vector<Tensor> some = {Tensor::ones({2}).requires_grad_()};
  CHECK_THROWS_AS(optim::SGD({}), Error);
  CHECK_THROWS_AS(optim::SGD({Tensor()}), Error);
  CHECK_THROWS_AS(optim::SGD({Tensor::zeros({2}, DType::Int64)}), Error);
  CHECK_THROWS_AS(optim::SGD(some, {.lr = -1}), Error);
  CHECK_THROWS_AS(optim::SGD(some, {.nesterov = true}), Error);
  CHECK_THROWS_AS(optim::Adam(some, {.beta1 = 1}), Error);
  CHECK_THROWS_AS(optim::Adam(some, {.weight_decay = NAN}), Error);
  optim::Adam adam(some);
  CHECK_THROWS_AS(adam.set_lr(-1), Error);
  CHECK(adam.lr() == 1e-3);
}

namespace {
int element_kernels = 0, scalar_kernels = 0;
void count_and_run(const tinyops::Kernel& kernel) {
  const auto* row = std::get_if<tinyops::RowKernel>(&kernel);
  (row && numel(row->shape) == 1 ? scalar_kernels : element_kernels)++;
  tinyops::run(kernel);
}
}  // namespace

TEST_CASE("optim: one kernel updates a parameter and its moments") {
  std::vector<Tensor> params;
  for (int64_t size : {4, 5, 6}) params.push_back(Tensor::ones({size, 3}).requires_grad_());
  optim::AdamW adam(params, {.weight_decay = 0.1});
  const auto step = [&] {
    for (const Tensor& p : params) p.set_grad((Tensor::ones(p.shape()) * 2).contiguous().realize());
    element_kernels = scalar_kernels = 0;
    execution().run = count_and_run;
    adam.step();
    realize(params);
    execution().run = tinyops::run;
  };
  step();
  step();
  CHECK(element_kernels == 3);
  CHECK(scalar_kernels <= 5);
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
