// What testing.h says of right and of wrong values and gradients.
#include "teeny/testing.h"

#include <doctest/doctest.h>

#include "teeny/teeny.h"
#include "tests/check_refused.h"

namespace teeny {
namespace {

/// x^3, whose gradient is right if `factor` is 3.
struct Cube : Function {
  double factor;
  explicit Cube(double factor) : factor(factor) {}
  LazyBuffer forward(const LazyBuffer& x) { return x.binary(BinaryOp::Mul, x.binary(BinaryOp::Mul, x)); }
  Grads backward(const Tensor& grad, const Tensor&) override {
    const auto [x] = saved<1>();
    return {grad * factor * x * x};
  }
};

Tensor doubles(const Shape& shape) {
  return (Tensor::arange(numel(shape)).cast(DType::Float64) * 0.3 - 1).reshape(shape);
}

}  // namespace

TEST_CASE("testing: gradcheck finds whether a rule's backward fits its forward") {
  const auto cube_with = [](double factor) { return [=](const Tensor& x) { return apply(Cube(factor), x); }; };
  CHECK(testing::gradcheck(cube_with(3), {doubles({2, 3})}));
  const testing::Report wrong = testing::gradcheck(cube_with(2), {doubles({2, 3})});
  CHECK(!wrong);
  CHECK(wrong.message.find("input 0, element (0, 0): the gradient is 1.08") == 0);
  CHECK(wrong.message.find("and finite differences give 1.62") != wrong.message.npos);

  CHECK(testing::gradcheck([](const Tensor& x, const Tensor& y) { return x.matmul(y); },
                           {doubles({2, 3}), doubles({3, 2})}));
  CHECK(testing::gradcheck([](const Tensor& x, const Tensor& y, const Tensor& z) { return x * y + z; },
                           {doubles({3}), doubles({3}), doubles({3})}));
  CHECK(testing::gradcheck([](const std::vector<Tensor>& xs) { return xs[0] + 1; }, {doubles({3}), doubles({2})}));
  CHECK(testing::gradcheck([](const Tensor& x) { return x.detach(); }, {Tensor::zeros({0}, DType::Float64)}));
  CHECK(testing::gradcheck([](const Tensor& x) { return x + Tensor::rand({3}, DType::Float64); }, {doubles({3})})
            .message == "the function gives other values for the same inputs");
  const auto two = [](const Tensor& x, const Tensor& y) { return x + y; };
  check_refused({
      {"gradcheck: input 0 is float32; finite differences need float64",
       [&] { testing::gradcheck(cube_with(3), {Tensor::ones({2})}); }},
      {"gradcheck: a function of 2 tensors for 1 inputs", [&] { testing::gradcheck(two, {doubles({2})}); }},
  });
}

TEST_CASE("testing: allclose says what differs") {
  const Tensor x = Tensor::of({{1, 2}, {3, 4}});
  CHECK(testing::allclose(x, x + 1e-6));
  CHECK(testing::allclose(x, x + 0.01, 0.1));
  CHECK(testing::allclose(x * NAN, x * NAN));
  CHECK(testing::allclose(x, x + Tensor::of({{0, 0}, {1, 1}})).message ==
        "element (1, 0) is 3 and should be 4; 2 of 4 are wrong (float32 (2, 2))");
  CHECK(testing::allclose(x, x.flatten()).message == "has shape (2, 2) and should have (4,)");
  CHECK(testing::allclose(x, x.cast(DType::Int64)).message == "is float32 and should be int64");
  CHECK(testing::allclose({}, x).message == "is undefined");
  const Tensor large = Tensor::of<int64_t>({int64_t(1) << 60});
  CHECK(testing::allclose(large, large));
  CHECK(!testing::allclose(large, large + 1));
}

}  // namespace teeny
