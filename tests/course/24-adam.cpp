#include <cmath>

#include "teeny/graph/context.h"
#include "teeny/optim/optimizers.h"
#include "tests/course/tensors.h"

namespace {

using namespace teeny;

/// Three steps of one parameter, beside doubles.
void three_steps(const std::string& name, const optim::AdamOptions& o, DType dtype = DType::Float64,
                 double tolerance = 1e-9) {
  const size_t n = 4;
  std::vector<double> w, m(n, 0), v(n, 0);
  for (size_t i = 0; i < n; ++i) w.push_back(course::uniform(-2, 2));
  Tensor p = Tensor::from(w, {int64_t(n)}).cast(dtype).realize().requires_grad_();
  optim::Adam adam({p}, o);
  for (int t = 1; t <= 3; ++t) {
    std::vector<double> g = {0};  // of one element the gradient is always 0, if there is no weight decay
    for (size_t i = 1; i < n; ++i) g.push_back(course::uniform(-1, 1));
    p.set_grad(Tensor::from(g, {int64_t(n)}).cast(dtype));
    adam.step();
    for (size_t i = 0; i < n; ++i) {
      double gradient = g[i];
      if (o.decoupled_weight_decay) w[i] *= 1 - o.lr * o.weight_decay;
      else gradient += o.weight_decay * w[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * gradient;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * gradient * gradient;
      w[i] -= o.lr * m[i] / (1 - std::pow(o.beta1, t)) / (std::sqrt(v[i] / (1 - std::pow(o.beta2, t))) + o.eps);
    }
    course::same(text(name, ", the parameter after step ", t), p, w, tolerance);
  }
}

}  // namespace

EXERCISE("24") {
  using namespace course;
  three_steps("Adam, eps 0.1", {.lr = 0.1, .eps = 0.1});
  three_steps("Adam, eps 1e-8", {.lr = 0.1});
  three_steps("Adam, betas 0.5 and 0.7", {.lr = 0.1, .beta1 = 0.5, .beta2 = 0.7});
  three_steps("Adam, weight decay 0.3", {.lr = 0.1, .weight_decay = 0.3});
  three_steps("AdamW, weight decay 0.3", {.lr = 0.1, .weight_decay = 0.3, .decoupled_weight_decay = true});
  three_steps("Adam, float32 (1 - 0.999^t has seven digits only in float64)", {.lr = 0.1}, DType::Float32, 2e-6);

  const auto leaf = [](double value) { return Tensor::of<double>({value}).requires_grad_(); };
  Tensor a = leaf(1), b = leaf(1), still = leaf(1);
  optim::Adam groups({{{a}, {.lr = 0.1}}, {{b, still}, {.lr = 0.3}}});
  for (Tensor* p : {&a, &b}) p->set_grad(Tensor::of<double>({2}));
  groups.step();
  same("two groups, lr 0.1 and 0.3: step 1 is as long as lr", a, {0.9}, 1e-6);
  same("two groups, lr 0.1 and 0.3: step 1 is as long as lr, in the second", b, {0.7}, 1e-6);
  same("a parameter without a gradient stays", still, {1});
  groups.set_lr(0.2, 0);
  for (Tensor* p : {&a, &b}) p->set_grad(Tensor::of<double>({2}));
  groups.step();
  same("step 2, after set_lr(0.2) for the first group", a, {0.7}, 1e-6);

  Tensor large = numbers({100, 100}).realize().requires_grad_();
  optim::Adam adam({large}, {.lr = 0.1});
  large.set_grad(numbers({100, 100}).realize());
  adam.step();
  const int64_t before = context.kernels;
  large.realize();
  report(text("a step of one parameter ran ", context.kernels - before,
              " kernels; two are enough: one for the numbers, one for the parameter and its means"));
}
