#include <cmath>

#include "tests/course/own/activation.h"
#include "tests/course/own_code.h"

namespace {

using namespace course;
using teeny::DType, teeny::Shape, teeny::Tensor;

void values(const Shape& shape, double b) {
  const Tensor x = numbers(shape, -4, 4);
  const std::string what = text("squareplus of x ", shape, ", b = ", b);
  const Tensor y = attempt(what, [&] { return own::squareplus(x, b); });
  same_shape(what, y, shape);
  std::vector<double> want;
  for (double t : x.to_vector<double>()) want.push_back((t + std::sqrt(t * t + b)) / 2);
  same(what, y, want, 1e-12);
}

void derivative(const std::string& what, const std::function<Tensor(const Tensor&)>& f, const Tensor& x) {
  const auto difference = attempt(what, [&] { return teeny::testing::gradcheck(f, {x}); });
  expect(bool(difference), text(what, ": ", difference.message));
}

}  // namespace

EXERCISE("35") {
  values({5}, 4);
  for (int i = 0; i < 3; ++i) values({pick(1, 3), pick(1, 4)}, double(pick(1, 3)));

  const Tensor x32 = Tensor::of({-2, 0, 3});
  const Tensor y32 = attempt("squareplus of float32", [&] { return own::squareplus(x32); });
  expect(y32.dtype() == DType::Float32, text("squareplus of float32 is ", y32.dtype(), "; the dtype stays"));

  const double b = double(pick(1, 3));
  const auto f = [&](const Tensor& x) { return own::squareplus(x, b); };
  derivative("the gradient", f, numbers({2, 3}));
  derivative(
      "the gradient of a formula around it", [&](const Tensor& x) { return f(3 * x) * x; }, numbers({4}));
  // What `backward` returns is an expression like any other, and has a gradient.
  derivative(
      "the gradient of the gradient", [&](const Tensor& x) { return gradient(f(x).sum(), {x})[0]; }, numbers({2, 3}));
}
