#include <algorithm>

#include <numbers>

#include "tests/course/own/gradient_check.h"
#include "tests/course/own_code.h"

namespace {

using namespace course;
using teeny::DType, teeny::Function, teeny::Grads, teeny::LazyBuffer, teeny::Shape, teeny::Tensor;

/// A rule whose two halves are given from outside, so that a mistake is a line.
struct Rule : Function {
  using Forward = std::function<Tensor(const Tensors&)>;
  using Backward = std::function<Grads(const Tensors& inputs, const Tensor& grad, const Tensor& out)>;
  Forward compute;
  Backward slopes;
  template <class... Inputs>
  LazyBuffer forward(const Inputs&... inputs) {
    const teeny::NoGrad guard;
    return compute({Tensor(inputs)...}).lazy();
  }
  Grads backward(const Tensor& grad, const Tensor& out) override { return slopes(inputs, grad, out); }
};
own::Formula rule(const Rule::Forward& compute, const Rule::Backward& slopes) {
  return [=](const Tensors& xs) {
    Rule r;
    r.compute = compute, r.slopes = slopes;
    return xs.size() == 1 ? apply(r, xs[0]) : apply(r, xs[0], xs[1]);
  };
}

int accepted = 0, refused = 0;
struct Judged {
  own::Formula f;
  Tensors inputs;
  bool verdict;
};
std::vector<Judged> all_judged;

bool judge(const std::string& what, const own::Formula& f, const Tensors& inputs) {
  std::vector<std::vector<double>> before;
  for (const Tensor& x : inputs) before.push_back(x.to_vector<double>());
  const bool verdict = attempt(what, [&] { return own::gradient_is_right(f, inputs); });
  for (size_t k = 0; k < inputs.size(); ++k)
    same(text(what, ": input ", k, " after your check, which must leave it as it was"), inputs[k], before[k]);
  all_judged.push_back({f, inputs, verdict});
  return verdict;
}
void right(const std::string& what, const own::Formula& f, const Tensors& inputs) {
  expect(judge(what, f, inputs), text("refused a right gradient: ", what,
                                      " (is the difference taken to both sides, h neither too large nor too small, and "
                                      "the tolerance relative where slopes are large?)"));
  ++accepted;
}
/// `missed`: what a check that accepts this one does not do.
void wrong(const std::string& what, const std::string& missed, const own::Formula& f, const Tensors& inputs) {
  expect(!judge(what, f, inputs), text("accepted a wrong gradient: ", what, " (", missed, ")"));
  ++refused;
}

}  // namespace

EXERCISE("38") {
  const int64_t n = pick(2, 3), m = pick(2, 4);

  right("x.sin()", [](const Tensors& xs) { return xs[0].sin(); }, {numbers({n, m})});
  right("x * y, two inputs", [](const Tensors& xs) { return xs[0] * xs[1]; }, {numbers({m}), numbers({m})});
  right("x.matmul(y) by a rule, two inputs of different shapes",
        rule([](const Tensors& xs) { return xs[0].matmul(xs[1]); },
             [](const Tensors& xs, const Tensor& grad, const Tensor&) {
               return Grads{grad.matmul(xs[1].t()), xs[0].t().matmul(grad)};
             }),
        {numbers({n, 3}), numbers({3, m})});
  right("x + y, where y broadcasts", [](const Tensors& xs) { return (xs[0] + xs[1]).exp(); },
        {numbers({n, m}), numbers({m})});
  right("x.softmax()", [](const Tensors& xs) { return xs[0].softmax(); }, {numbers({n, m})});
  right("x.exp() of x between 4 and 6: slopes of some hundred", [](const Tensors& xs) { return xs[0].exp(); },
        {numbers({m}, 4, 6)});
  right("x.exp().exp() of x between 2 and 2.3: slopes of many thousand",
        [](const Tensors& xs) { return xs[0].exp().exp(); }, {numbers({m}, 2, 2.3)});
  right("x.sin() at its top: slopes of almost 0", [](const Tensors& xs) { return xs[0].sin(); },
        {numbers({m}, 1e-9, 1e-8) + std::numbers::pi / 2});
  right("a function that does not use its second input", [](const Tensors& xs) { return xs[0] * xs[0]; },
        {numbers({m}), numbers({2})});
  right("x * x * x by a rule",
        rule([](const Tensors& xs) { return xs[0] * xs[0] * xs[0]; },
             [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{3 * grad * xs[0] * xs[0]}; }),
        {numbers({n, m})});

  const auto sine = [](const Tensors& xs) { return xs[0].sin(); };
  const auto square = [](const Tensors& xs) { return xs[0] * xs[0]; };
  const auto first = [](const Tensor& x) { return (Tensor::arange(x.numel()) == 0).reshape(x.shape()); };

  wrong("the sign of sin's slope is turned", "nothing is compared",
        rule(sine, [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{-grad * xs[0].cos()}; }),
        {numbers({n, m})});
  wrong("x * x has the slope x, half of what it should be", "compare numbers, not signs",
        rule(square, [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{grad * xs[0]}; }),
        {numbers({n, m}, 1, 2)});
  wrong("only the first element's slope is right", "look at every element",
        rule(sine, [first](const Tensors& xs, const Tensor& grad,
                           const Tensor&) { return Grads{where(first(xs[0]), grad * xs[0].cos(), 0)}; }),
        {numbers({n, m}, 0, 1)});
  wrong("only the first element's slope is wrong", "look at every element",
        rule(sine, [first](const Tensors& xs, const Tensor& grad,
                           const Tensor&) { return Grads{where(first(xs[0]), 0, grad * xs[0].cos())}; }),
        {numbers({n, m}, 0, 1)});
  wrong("x * y, where y has the slope of x", "look at every input",
        rule([](const Tensors& xs) { return xs[0] * xs[1]; },
             [](const Tensors& xs, const Tensor& grad, const Tensor&) {
               return Grads{grad * xs[1], grad * xs[1]};
             }),
        {numbers({m}, 1, 2), numbers({m}, -2, -1)});
  wrong("x.matmul(y) of square matrices, where y's gradient is transposed", "look at every element, also of y",
        rule([](const Tensors& xs) { return xs[0].matmul(xs[1]); },
             [](const Tensors& xs, const Tensor& grad, const Tensor&) {
               return Grads{grad.matmul(xs[1].t()), grad.t().matmul(xs[0])};
             }),
        {numbers({3, 3}), numbers({3, 3})});
  wrong("x + y, where y broadcasts, and its gradient is the first row's, not the sum of all rows",
        "look at every input",
        rule([](const Tensors& xs) { return xs[0] + xs[1]; },
             [](const Tensors&, const Tensor& grad, const Tensor&) {
               return Grads{grad, grad[0]};
             }),
        {numbers({n, m}), numbers({m})});
  wrong("x.softmax() with a gradient of zeros",
        "its elements add up to 1, so their plain sum does not change: weigh them differently",
        rule([](const Tensors& xs) { return xs[0].softmax(); },
             [](const Tensors& xs, const Tensor&, const Tensor&) { return Grads{xs[0].zeros_like()}; }),
        {numbers({n, m})});
  wrong("x.t(), whose backward reshapes and does not transpose",
        "a loss that weighs all elements alike does not see it",
        rule([](const Tensors& xs) { return xs[0].t(); },
             [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{grad.reshape(xs[0].shape())}; }),
        {numbers({n, m})});
  wrong("x.exp(), whose backward forgets to multiply by grad", "a loss in which every grad is 1 does not see it",
        rule([](const Tensors& xs) { return xs[0].exp(); },
             [](const Tensors&, const Tensor&, const Tensor& out) { return Grads{out}; }),
        {numbers({n, m}, 0, 1)});
  wrong(
      "sin's slope, 1 % too large", "the tolerance is too wide",
      rule(sine, [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{1.01 * grad * xs[0].cos()}; }),
      {numbers({n, m}, 0, 1)});
  wrong("x * x / 1000 with half of its slope: all slopes are small", "the tolerance is too wide for small slopes",
        rule([](const Tensors& xs) { return xs[0] * xs[0] / 1000; },
             [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{grad * xs[0] / 1000}; }),
        {numbers({n, m}, 1, 2)});
  wrong("a rule that lets nothing flow to its input", "an input without a gradient is not compared",
        rule(sine, [](const Tensors&, const Tensor&, const Tensor&) { return Grads{Tensor()}; }),
        {numbers({n, m}, 0, 1)});
  wrong("a gradient of NaN", "a NaN is larger than no tolerance: ask whether the difference is small",
        rule(square, [](const Tensors& xs, const Tensor& grad, const Tensor&) { return Grads{grad * xs[0] * NAN}; }),
        {numbers({n, m})});

  std::shuffle(all_judged.begin(), all_judged.end(), course::random());
  for (const Judged& j : all_judged)
    expect(own::gradient_is_right(j.f, j.inputs) == j.verdict,
           "asked again, in another order, your check says otherwise");
  report(text("accepted ", accepted, " right gradients, and refused ", refused, " wrong ones"));
}
