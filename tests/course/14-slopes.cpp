#include "tests/course/tensors.h"

EXERCISE("14") {
  using namespace course;
  gradients("the gradient of cos", [](const Tensors& x) { return x[0].cos(); }, {numbers({5})});
  gradients("the gradient of tanh", [](const Tensors& x) { return x[0].tanh(); }, {numbers({5})});
  gradients("the gradient of sigmoid", [](const Tensors& x) { return x[0].sigmoid(); }, {numbers({5})});
  gradients("the gradient of sigmoid(tanh(cos(x)))", [](const Tensors& x) { return x[0].cos().tanh().sigmoid(); },
            {numbers({2, 3})});
}
