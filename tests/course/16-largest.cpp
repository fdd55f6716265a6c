#include <algorithm>
#include <cmath>

#include "tests/course/tensors.h"

namespace {

/// Random numbers of which no two are near each other: a finite difference must not change which is the largest.
teeny::Tensor apart(const teeny::Shape& shape) {
  std::vector<double> values(size_t(teeny::numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.3 * double(i) - 2 + course::uniform(0, 0.2);
  std::shuffle(values.begin(), values.end(), course::random());
  return teeny::Tensor::from(values, shape);
}

}  // namespace

EXERCISE("16") {
  using namespace course;
  gradients("the gradient of the largest of each row", [](const Tensors& x) { return x[0].max(1); }, {apart({3, 4})});
  gradients("the gradient of the smallest of each column", [](const Tensors& x) { return x[0].min(0); },
            {apart({3, 4})});
  gradients("the gradient of the largest along axes 0 and 2",
            [](const Tensors& x) {
              return x[0].max({0, 2});
            },
            {apart({2, 3, 4})});

  const auto gradient_of_max = [](const std::vector<double>& values, const teeny::Shape& shape,
                                  const std::vector<double>& grad) {
    teeny::Tensor x = teeny::Tensor::from(values, shape).requires_grad_();
    x.max(1).backward(teeny::Tensor::from(grad, {shape[0]}));
    return x.grad();
  };
  same("the gradient of max: of three equals each has a third", gradient_of_max({1, 5, 5, 5, 2}, {1, 5}, {1}),
       {0, 1 / 3., 1 / 3., 1 / 3., 0}, 1e-9);
  const int64_t rows = pick(2, 4), columns = pick(3, 6);
  std::vector<double> values, grad, want;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t equals = pick(1, columns), first = pick(0, columns - equals);
    grad.push_back(uniform(-2, 2));
    for (int64_t j = 0; j < columns; ++j) {
      const bool chosen = first <= j && j < first + equals;
      values.push_back(chosen ? 3 : uniform(-2, 2)), want.push_back(chosen ? grad.back() / double(equals) : 0);
    }
  }
  same("the gradient of max, some equals in each row", gradient_of_max(values, {rows, columns}, grad), want, 1e-9);
  same("the gradient of max: a NaN is the largest of its row, the other row has its own",
       gradient_of_max({1, NAN, 3, 4, 5, 5}, {2, 3}, {1, 1}), {0, 1, 0, 0, 0.5, 0.5}, 1e-9);
  same("the gradient of max: an infinity is the largest", gradient_of_max({INFINITY, 1}, {1, 2}, {1}), {1, 0});
  same("the gradient of max: 1 and 1.0000001 are not equal", gradient_of_max({1, 1.0000001}, {1, 2}, {1}), {0, 1});
}
