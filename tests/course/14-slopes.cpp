#include <cmath>

#include "tests/course/tensors.h"

EXERCISE("14") {
  using namespace course;
  gradients("the gradient of cos", [](const Tensors& x) { return x[0].cos(); }, {numbers({5})});
  gradients("the gradient of tanh", [](const Tensors& x) { return x[0].tanh(); }, {numbers({5})});
  gradients("the gradient of sigmoid", [](const Tensors& x) { return x[0].sigmoid(); }, {numbers({5})});
  gradients("the gradient of sigmoid(tanh(cos(x)))", [](const Tensors& x) { return x[0].cos().tanh().sigmoid(); },
            {numbers({2, 3})});

  // Once more: a rule is tensor arithmetic, so its gradient has one, too.
  teeny::Tensor x = numbers({5}).requires_grad_();
  std::vector<double> cosines, of_tanh, of_sigmoid;
  for (const double v : x.to_vector<double>()) {
    const double t = std::tanh(v), g = 1 / (1 + std::exp(-v));
    cosines.push_back(-std::cos(v)), of_tanh.push_back(-2 * t * (1 - t * t));
    of_sigmoid.push_back(g * (1 - g) * (1 - 2 * g));
  }
  const auto twice = [&](const teeny::Tensor& y) {
    const teeny::Tensor slope = teeny::gradient(y.sum(), Tensors{x})[0];
    return teeny::gradient(slope.sum(), Tensors{x})[0];
  };
  same("the gradient of the gradient of cos", tried("the gradient of cos, twice", [&] { return twice(x.cos()); }),
       cosines, 1e-12);
  same("the gradient of the gradient of tanh", tried("the gradient of tanh, twice", [&] { return twice(x.tanh()); }),
       of_tanh, 1e-12);
  same("the gradient of the gradient of sigmoid",
       tried("the gradient of sigmoid, twice", [&] { return twice(x.sigmoid()); }), of_sigmoid, 1e-12);

  x = teeny::Tensor::of<double>({-800, 800}).requires_grad_();
  x.sigmoid().sum().backward();
  same("the gradient of sigmoid at -800 and 800", x.grad(), {0, 0}, 1e-12);
}
