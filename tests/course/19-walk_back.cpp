#include <cmath>

#include "teeny/tensor/function.h"
#include "tests/course/tensors.h"

namespace {

using namespace teeny;

int calls = 0;

/// Half of x; it counts how often its gradient is asked for.
struct Half : Function {
  LazyBuffer forward(const LazyBuffer& x) {
    return x.binary(BinaryOp::Mul, LazyBuffer::constant(0.5, x.dtype(), x.shape()));
  }
  Grads backward(const Tensor& grad, const Tensor&) override { return ++calls, Grads{grad * 0.5}; }
};

/// x itself: a long chain of these costs nothing but the walk.
struct Pass : Function {
  LazyBuffer forward(const LazyBuffer& x) { return x; }
  Grads backward(const Tensor& grad, const Tensor&) override { return {grad}; }
};

/// Gives a gradient of another shape than its input's, or one too many.
struct Wrong : Function {
  bool one_too_many;
  explicit Wrong(bool one_too_many) : one_too_many(one_too_many) {}
  LazyBuffer forward(const LazyBuffer& x) { return x; }
  Grads backward(const Tensor& grad, const Tensor&) override {
    return one_too_many ? Grads{grad, grad} : Grads{grad.sum()};
  }
};

/// Lets nothing flow to its input.
struct Nothing : Function {
  LazyBuffer forward(const LazyBuffer& x) { return x; }
  Grads backward(const Tensor&, const Tensor&) override { return {Tensor()}; }
};

Tensor leaf(const std::vector<double>& values) {
  return Tensor::from(values, {int64_t(values.size())}).requires_grad_();
}

void refused(const std::string& what, Tensor loss) {
  try {
    loss.backward();
  } catch (const Error&) { return; }
  course::expect(false, "not refused: " + what);
}

}  // namespace

EXERCISE("19") {
  using namespace course;
  Tensor a = leaf({3}), b = leaf({4});
  (a * b + a).sum().backward();
  expect(a.grad().defined() && b.grad().defined(), "a * b + a: no gradient arrived");
  same("d(a * b + a) by a, at a = 3, b = 4", a.grad(), {5});
  same("d(a * b + a) by b, at a = 3, b = 4", b.grad(), {3});

  Tensor x = leaf({2, -1});
  Tensor middle = x * x, loss = (middle + middle * middle * middle).sum();
  loss.backward();
  same("d(m + m^3) by x, where m = x^2: one way is longer than the other", x.grad(), {2 * 2 + 6 * 32, -2 - 6});
  expect(!middle.grad().defined(),
         "after backward() a tensor between the leaf and the loss holds a gradient; only leaves should");

  x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 10; ++i) y = apply(Half{}, y) + apply(Half{}, apply(Half{}, y)) * 2;  // two ways, one is longer
  calls = 0;
  y.sum().backward();
  same("the gradient through 10 steps y = y/2 + (y/2)/2 * 2", x.grad(), {1}, 1e-12);
  expect(calls == 30,
         text("10 steps y = y/2 + (y/2)/2 * 2: the 30 rules y/2 ran ", calls, " times; each rule runs once"));

  x = leaf({2, -1});
  middle = x * x, loss = (middle * middle).sum();
  const std::vector<Tensor> grads = gradient(loss, std::vector<Tensor>{middle, x});
  same("gradient(loss, {middle}): of a tensor on the way, where loss = m^2, m = x^2", grads[0], {8, 2});
  same("gradient(loss, {middle, x}), by x", grads[1], {32, -4});

  x = leaf({0, 4});
  where(x > 0, x.sqrt(), 0).sum().backward();
  same("d where(x > 0, sqrt(x), 0) by x at 0 and 4: what was not chosen has slope 0, even if it is infinite", x.grad(),
       {0, 0.25});
  x = leaf({0, 4});
  y = x * 1;
  where(x > 0, y.sqrt(), y).sum().backward();
  same("d where(x > 0, sqrt(x), x) by x at 0 and 4", x.grad(), {1, 0.25});

  x = leaf({0, 4});
  where(x > 0, x.sqrt() * 2, 0).sum().backward();
  same("d where(x > 0, sqrt(x) * 2, 0) by x at 0 and 4: two rules behind a where", x.grad(), {0, 0.5});
  x = leaf({0});
  (x.sqrt() * 0).sum().backward();
  same("d sqrt(x) * 0 by x at 0: nobody chose, and 0 times an infinite slope is NaN", x.grad(), {NAN});

  a = leaf({1}), b = leaf({1});
  (b * 2 + (a + b)).sum().backward();
  same("d(b * 2 + (a + b)) by a: one tensor may be the gradient of two inputs", a.grad(), {1});
  same("d(b * 2 + (a + b)) by b", b.grad(), {3});
  x = leaf({2});
  (apply(Nothing{}, x) + x).sum().backward();
  same("a rule that gives no gradient, plus x, by x", x.grad(), {1});
  x = leaf({2});
  const Tensor slope = gradient((x * x * x).sum(), std::vector<Tensor>{x})[0];
  same("the gradient of the gradient of x^3 at 2", gradient(slope.sum(), std::vector<Tensor>{x})[0], {12});

  x = leaf({3});
  y = x * x;
  {
    const NoGrad guard;
    x.assign(x + 1);
  }
  refused("x was assigned to after x * x had used it, and its old value is needed", y.sum());
  refused("a rule gave a gradient of shape () for an input of shape (2,)", apply(Wrong(false), leaf({1, 2})).sum());
  refused("a rule gave two gradients for one input", apply(Wrong(true), leaf({1, 2})).sum());

  trying("60 steps y = y/2 + y/2: 2^60 paths");
  x = leaf({1}), y = x;
  for (int i = 0; i < 60; ++i) y = y * 0.5 + y * 0.5;
  y.sum().backward();
  same("the gradient through 60 steps y = y/2 + y/2", x.grad(), {1}, 1e-12);
  trying("a chain of 100,000 rules: a walk by recursion ends in a crash here");
  x = leaf({1}), y = x;
  for (int i = 0; i < 100000; ++i) y = apply(Pass{}, y);
  y.sum().backward();
  same("the gradient through a chain of 100,000 rules", x.grad(), {1});
}
