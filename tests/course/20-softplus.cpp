#include <cmath>

#include "tests/course/tensors.h"

EXERCISE("20") {
  using namespace course;
  using teeny::Tensor;
  const auto softplus = [](double x, double beta) {
    return std::log1p(std::exp(beta * x)) / beta;
  };  // where it is safe
  same("softplus of -1, 0, 2", Tensor::of<double>({-1, 0, 2}).softplus(),
       {softplus(-1, 1), std::log(2), softplus(2, 1)}, 1e-9);
  same("softplus of 1000 and -1000: e^1000 is beyond all floats", Tensor::of<double>({1000, -1000}).softplus(),
       {1000, 0}, 1e-9);
  same("softplus of -40: it is small, and not 0", Tensor::of<double>({-40}).softplus(), {softplus(-40, 1)}, 1e-6, 0);
  same("softplus of 100 and -100 (float32)", Tensor::of<float>({100, -100}).softplus(), {100, 0}, 1e-6);
  same("softplus with beta 3, of 1 and -2", Tensor::of<double>({1, -2}).softplus(3), {softplus(1, 3), softplus(-2, 3)},
       1e-9);
  same("softplus with beta -1, of 1, -2, 1000, -1000", Tensor::of<double>({1, -2, 1000, -1000}).softplus(-1),
       {softplus(1, -1), softplus(-2, -1), 0, -1000}, 1e-9);

  Tensor x = Tensor::of<double>({0, 500, -500, 1000, -1000}).requires_grad_();
  x.softplus().sum().backward();
  same("the gradient of softplus at 0, 500, -500, 1000, -1000", x.grad(), {0.5, 1, 0, 1, 0}, 1e-9);
  const double beta = uniform(0.5, 3);
  gradients(text("the gradient of softplus with beta ", beta), [&](const Tensors& at) { return at[0].softplus(beta); },
            {numbers({5})});
}
