// The user's type: reading values, printing, laziness, assignment, histories. What the operations compute is in the
// golden and gradcheck tests; the random stream is in test_random.cpp, the 16-bit floats in test_float16.cpp.
#include <doctest/doctest.h>

#include <limits>
#include <sstream>

#include "always_fused.h"
#include "teeny/nn/nn.h"
#include "teeny/tensor/function.h"
#include "tests/check.h"

namespace teeny::test {
namespace {

std::string printed(const Tensor& x) {
  std::ostringstream out;
  out << x;
  return out.str();
}
std::vector<float> list(const Tensor& x) { return x.to_vector(); }
using Floats = std::vector<float>;

Tensor leaf(std::initializer_list<float> values) { return Tensor::from(std::vector<float>(values)).requires_grad_(); }

}  // namespace

TEST_CASE("tensor: what a method of a temporary returns is a value") {
  const auto t = [] { return Tensor::ones({2}); };
  static_assert(std::same_as<decltype(t().realize()), Tensor> && std::same_as<decltype(t().requires_grad_()), Tensor>);
  static_assert(std::same_as<decltype(t().assign(t())), Tensor> && std::same_as<decltype(t().backward()), Tensor>);
  static_assert(std::same_as<decltype(t().set({0}, 1)), Tensor> && std::same_as<decltype(t().set({0}, t())), Tensor>);
  static_assert(std::same_as<decltype(t().shape()), Shape>);
  static_assert(std::same_as<decltype(std::declval<Tensor&>().assign(t())), Tensor&>);
  static_assert(std::same_as<decltype(std::declval<const Tensor&>().realize()), const Tensor&>);

  const Tensor& kept = (Tensor::ones({2}) * 3).realize();
  CHECK(kept.to_vector() == std::vector<float>{3, 3});
  Tensor x = Tensor::ones({2}).realize().requires_grad_();
  const Tensor& loss = (x * x).sum().backward();
  CHECK(loss.item() == 2);
  CHECK(x.grad().to_vector() == std::vector<float>{2, 2});
  CHECK(Tensor::zeros({2}).set({1}, 5).to_vector() == std::vector<float>{0, 5});
  int64_t sizes = 0;
  for (const int64_t size : (x + Tensor::ones({3, 1})).shape()) sizes = 10 * sizes + size;
  CHECK(sizes == 32);
}

TEST_CASE("tensor: where memory ends, the kernel that needs it is named") {
  const Tensor x = Tensor::ones({1 << 28, 1 << 28}).contiguous();  // more than any address space
  try {
    x.realize();
    FAIL("there was memory");
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK(message.find("out of memory: 288230376151711744 bytes") == 0);
    CHECK(message.find(", for the kernel rows (") != message.npos);
  }
}

TEST_CASE("tensor: a scalar takes its natural dtype") {
  CHECK(difference(Tensor(2.5), Tensor::full({}, 2.5, DType::Float32)) == "");
  CHECK(difference(Tensor(3), Tensor::full({}, 3, DType::Int64)) == "");
  CHECK(difference(Tensor(true), Tensor::full({}, 1, DType::Bool)) == "");
}

TEST_CASE("tensor: values are read in the type that is named") {
  const Tensor x = Tensor::of({0.0f, 1.0f, -2.75f, 300.5f});
  CHECK(x.to_vector<double>() == std::vector<double>{0, 1, -2.75, 300.5});
  CHECK(x.to_vector<int64_t>() == std::vector<int64_t>{0, 1, -2, 300});
  CHECK(x.to_vector<bool>() == std::vector<bool>{false, true, true, true});
  CHECK(x.to_bytes().size() == 16);
  CHECK(x.cast(DType::UInt8).to_bytes().size() == 4);
  CHECK(Tensor::of({7.5f}).item() == 7.5);
  CHECK(Tensor::full({1, 1, 1}, 7).item<int64_t>() == 7);
  CHECK(Tensor::of<int64_t>({int64_t(1) << 60}).item<int64_t>() == int64_t(1) << 60);
  CHECK(Tensor::zeros({0, 4}).to_vector().empty());
}

TEST_CASE("tensor: a tensor owns a copy of the values it is made from") {
  std::vector<int32_t> values{1, 2, 3, 4};
  const Tensor x = Tensor::from(values, {2, 2});
  values[0] = 100;
  CHECK(x.to_vector<int32_t>() == std::vector<int32_t>{1, 2, 3, 4});
  CHECK(x.dtype() == DType::Int32);
  CHECK(Tensor::of<bool>({true, false}).to_vector<bool>() == std::vector<bool>{true, false});
}

TEST_CASE("tensor: sizes are counted from either end") {
  const Tensor x = Tensor::zeros({2, 3, 4});
  CHECK(x.size(0) == 2);
  CHECK(x.size(-1) == 4);
  CHECK(x.rank() == 3);
  CHECK(x.numel() == 24);
  CHECK(Tensor::zeros({}).numel() == 1);
  CHECK(Tensor::zeros({3, 0}).numel() == 0);
}

TEST_CASE("tensor: an undefined tensor says so") {
  Tensor nothing;
  CHECK_FALSE(nothing.defined());
  CHECK_THROWS_WITH_AS(nothing.realize(), doctest::Contains("undefined"), Error);
  CHECK_THROWS_WITH_AS(nothing.to_vector(), doctest::Contains("undefined"), Error);
  CHECK_THROWS_WITH_AS(nothing.backward(), doctest::Contains("undefined"), Error);
}

TEST_CASE("tensor: printing") {
  CHECK(printed(Tensor()) == "Tensor(undefined)");
  CHECK(printed(Tensor(2.5)) == "Tensor() float32\n2.5000");
  CHECK(printed(Tensor::arange(3)) == "Tensor(3,) int64\n[0, 1, 2]");
  CHECK(printed(Tensor::of({{1, -2.5}, {0, 10}})) ==
        "Tensor(2, 2) float32\n[[ 1.0000, -2.5000],\n [ 0.0000, 10.0000]]");
  CHECK(printed(Tensor::of({1e-6, 3e7})) == "Tensor(2,) float32\n[1.0000e-06, 3.0000e+07]");
  CHECK(printed(Tensor::of({NAN, -INFINITY})) == "Tensor(2,) float32\n[ nan, -inf]");
  CHECK(printed(Tensor::arange(2) == 1) == "Tensor(2,) bool\n[false,  true]");
  CHECK(printed(Tensor::ones({1}, DType::BFloat16)) == "Tensor(1,) bfloat16\n[1.0000]");
  CHECK(printed(Tensor::zeros({2, 0})) == "Tensor(2, 0) float32\n[[],\n []]");
  CHECK(printed(Tensor::of<int64_t>({std::numeric_limits<int64_t>::max()})) ==
        "Tensor(1,) int64\n[9223372036854775807]");
}

TEST_CASE("tensor: a large tensor is printed by its corners") {
  CHECK(printed(Tensor::arange(2000).reshape({2, 1000})) ==
        "Tensor(2, 1000) int64\n"
        "[[   0,    1,    2, ...,  997,  998,  999],\n"
        " [1000, 1001, 1002, ..., 1997, 1998, 1999]]");
  CHECK(printed(Tensor::zeros({100, 100, 100})).size() < 3000);
}

TEST_CASE("tensor: nothing runs before a value is read") {
  const Tensor x = Tensor::of({{1, 2}, {3, 4}});
  const int64_t before = context.kernels;
  const Tensor y = (x * 2).exp().matmul(x.t()).sum(0), z = Tensor::rand({4}) + Tensor::arange(4);
  CHECK(context.kernels == before);
  y.realize();
  const int64_t after = context.kernels;
  CHECK(after > before);
  y.realize();
  y.to_vector();
  CHECK(context.kernels == after);
}

TEST_CASE("tensor: movement copies nothing") {
  const Tensor x = Tensor::of({{1, 2}, {3, 4}});
  const Tensor y = x.t().flip(0).pad({1, 0}, {0, 0})[{slice(1, 3), 0}].unsqueeze(0);
  CHECK(y.lazy().node() == x.lazy().node());
  CHECK(list(y) == Floats{2, 1});
}

TEST_CASE("tensor: realize takes several at once") {
  const Tensor x = Tensor::of({1, 2}), both[] = {x + 1, x * x};
  realize(both);
  const int64_t before = context.kernels;
  CHECK(list(both[0]) == Floats{2, 3});
  CHECK(list(both[1]) == Floats{1, 4});
  CHECK(context.kernels == before);
}

TEST_CASE("tensor: more parts than one kernel takes") {
  std::vector<Tensor> parts;
  Tensor sum = Tensor::zeros({2});
  for (int i = 0; i < 40; ++i) {
    parts.push_back(Tensor::full({2}, float(i)).contiguous());
    sum += parts.back() * parts.back();
  }
  CHECK(list(sum) == Floats{20540, 20540});
  CHECK(list(Tensor::cat(parts)[{slice(76)}]) == Floats{38, 38, 39, 39});
  CHECK(list(Tensor::stack(parts, 1).sum(1)) == Floats{780, 780});
}

TEST_CASE("tensor: copies are handles, and += writes for all of them") {
  Tensor x = Tensor::of({1, 2});
  const Tensor handle = x, old = x * 1;
  x += Tensor::of({10, 10});
  x *= 2;
  CHECK(handle.same(x));
  CHECK(list(handle) == Floats{22, 24});
  CHECK(list(old) == Floats{1, 2});
  for (Tensor& p : std::vector<Tensor>{x}) p -= 2, p /= 4;
  CHECK(list(x) == Floats{5, 5.5});
  Tensor i = Tensor::arange(3);
  CHECK_THROWS_WITH_AS(i += 0.5, "+=: the result is float32 and does not fit into int64", Error);
  CHECK_THROWS_AS(i += Tensor::arange(6).reshape({2, 3}), Error);
}

TEST_CASE("tensor: += goes on with a history, and leaves a leaf alone") {
  Tensor w = Tensor::of({3, 4}).requires_grad_();
  Tensor y = w * 2;
  y += w;
  y *= w;
  y.sum().backward();  // of 3 w^2
  CHECK(list(w.grad()) == Floats{18, 24});
  CHECK_THROWS_AS(w += 1, Error);
  const NoGrad guard;
  w += 1;
  CHECK(list(w) == Floats{4, 5});
  CHECK(w.requires_grad());
}

TEST_CASE("tensor: nothing is assigned to a part that is not there") {
  CHECK_FALSE(std::is_assignable_v<decltype(std::declval<Tensor>()[0]), Tensor>);
}

TEST_CASE("gradients: an input that was assigned to between the ways there and back is an error") {
  Tensor w = Tensor::of({3}).requires_grad_();
  Tensor loss = (w * w).sum();
  {
    const NoGrad guard;
    w.assign(Tensor::of({10}));
  }
  CHECK_THROWS_WITH_AS(
      loss.backward(),
      "backward: a tensor of (1,) was assigned to after Mul had used it, and its old values are needed; "
      "assign after backward()",
      Error);
}

TEST_CASE("assign: an error on the way leaves every tensor with its old values") {
  Tensor w = Tensor::of({1, 2}).requires_grad_(), count = Tensor::of({7});
  const Tensor bad = Tensor::of<int64_t>({0, 5});
  for (int step = 0; step < 2; ++step) {
    const Tensor loss = w.index_select(0, step ? Tensor::of<int64_t>({0, 1}) : bad).sum().backward();
    const NoGrad guard;
    w.assign(w - w.grad());
    w.assign(w * 1);
    count.assign(Tensor::of({8}));
    w.zero_grad();
    if (step) loss.realize();
    else CHECK_THROWS_AS(loss.realize(), Error);
    CHECK(list(w) == (step ? Floats{0, 1} : Floats{1, 2}));
    CHECK(list(count) == Floats{8});
  }
}

TEST_CASE("assign: every handle sees the new values, and the dtype stays") {
  Tensor x = Tensor::of({1, 2});
  const Tensor handle = x;
  x.assign(Tensor::of<int64_t>({3, 4}));
  CHECK(list(handle) == Floats{3, 4});
  CHECK(handle.dtype() == DType::Float32);
  x.assign(x * 2).assign(x + 1);
  CHECK(list(handle) == Floats{7, 9});
}

TEST_CASE("assign: results computed from the old values keep them") {
  Tensor x = Tensor::of({1, 2});
  const Tensor doubled = x * 2, first = x[0], flipped = x.flip(0);
  x.assign(x + 10);
  CHECK(list(x) == Floats{11, 12});
  CHECK(list(doubled) == Floats{2, 4});
  CHECK(list(first) == Floats{1});
  CHECK(list(flipped) == Floats{2, 1});
}

TEST_CASE("assign: from a view of itself, and two tensors crosswise") {
  Tensor x = Tensor::of({1, 2, 3}), y = Tensor::of({4, 5, 6});
  x.assign(x.flip(0));
  CHECK(list(x) == Floats{3, 2, 1});
  const Tensor old = x.detach();
  x.assign(y);
  y.assign(old);
  CHECK(list(x) == Floats{4, 5, 6});
  CHECK(list(y) == Floats{3, 2, 1});
}

TEST_CASE("assign: the source and the target stay two tensors") {
  Tensor x = Tensor::of({1, 2}), y = Tensor::zeros({2}), z = Tensor::zeros({2});
  y.assign(x);
  x.assign(x + 1);
  y.assign(y * 10);
  CHECK(list(x) == Floats{2, 3});
  CHECK(list(y) == Floats{10, 20});
  CHECK(list(z) == Floats{0, 0});
}

TEST_CASE("assign: realize of anything computes what was assigned") {
  Tensor x = Tensor::of({1, 2});
  x.assign(x + 1);
  (Tensor::of({5, 6}) * 2).realize();
  const int64_t before = context.kernels;
  CHECK(list(x) == Floats{2, 3});
  CHECK(context.kernels == before);
}

TEST_CASE("assign: a parameter stays a leaf") {
  Tensor x = leaf({1, 2});
  (x * x).sum().backward();
  {
    const NoGrad guard;
    x.assign(x - 0.5 * x.grad());
  }
  CHECK(list(x) == Floats{0, 0});
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
}

TEST_CASE("assign: a result that is assigned to forgets how it was made") {
  const Tensor x = leaf({1, 2});
  Tensor y = x * 2;
  y.assign(Tensor::of({5, 5}));
  CHECK_FALSE(y.requires_grad());
  (y * x).sum().backward();
  CHECK(list(x.grad()) == Floats{5, 5});
}

TEST_CASE("gradients: backward adds to .grad until it is cleared") {
  Tensor x = leaf({1, 2, 3});
  CHECK_FALSE(x.grad().defined());
  (x * x).sum().backward();
  CHECK(list(x.grad()) == Floats{2, 4, 6});
  (x * 10).sum().backward();
  CHECK(list(x.grad()) == Floats{12, 14, 16});
  CHECK_FALSE(x.grad().requires_grad());
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("gradients: every way from the leaf to the loss counts") {
  const Tensor x = leaf({3});
  const Tensor y = x * x, z = y * x + y + x;  // x^3 + x^2 + x
  z.sum().backward();
  CHECK(list(x.grad()) == Floats{3 * 9 + 2 * 3 + 1});
}

TEST_CASE("gradients: only leaves that require one get one, in their own dtype") {
  const Tensor x = leaf({1, 2}), y = Tensor::of({3, 4}), unused = leaf({5}),
               half = leaf({1, 2}).cast(DType::Float16).detach();
  Tensor h = half;
  h.requires_grad_();
  const Tensor product = x * y;
  (product * h).sum().backward();
  CHECK(list(x.grad()) == Floats{3, 8});
  CHECK_FALSE(y.grad().defined());
  CHECK_FALSE(unused.grad().defined());
  CHECK_FALSE(product.grad().defined());
  CHECK(h.grad().dtype() == DType::Float16);
}

TEST_CASE("gradients: the graph is gone after backward, unless it is kept") {
  const Tensor x = leaf({1, 2});
  Tensor loss = (x * x).sum();
  loss.backward(true);
  loss.backward();
  CHECK(list(x.grad()) == Floats{4, 8});
  CHECK_THROWS_WITH_AS(loss.backward(), doctest::Contains("keep_graph"), Error);
}

TEST_CASE("gradients: those that keep their graph are forgotten with their tensors") {
  const auto live = [] { return tinyops::memory_use().live; };
  const size_t before = live();
  Tensor left;
  {
    Tensor a = Tensor::rand({64, 64}).realize().requires_grad_(), b = Tensor::rand({64, 64}).realize().requires_grad_();
    const Tensor copy = a;
    (a * b * a).sum().backward(true);  // each has a history with both in it
    realize(std::vector{a.grad(), b.grad()});
    a = b;
    CHECK(copy.grad().shape() == Shape{64, 64});
    CHECK(copy.grad().sum().item() > 0);
    nn::Linear layer(8, 8);
    layer(Tensor::rand({4, 8})).square().sum().backward(true);
    (layer.weight.grad() * layer.weight).sum().backward(true);
    realize(std::vector{layer.weight.grad(), layer.bias.grad()});
    left = copy.grad();
  }
  // The gradient outlives its tensor, and is a function of it still.
  const Tensor second = gradient(left.sum(), {left})[0];
  CHECK(second.sum().item() == 64 * 64);
  left.sum().backward(true);
  left = Tensor();
  CHECK(live() <= before + 64 * 64 * 4);  // `second`

  // Who had a handle before it was asked for gradients has them, too.
  Tensor w = Tensor::of({1, 2});
  const Tensor early = w;
  w.requires_grad_();
  (w * w).sum().backward(true);
  w = Tensor();
  CHECK(early.grad().to_vector() == std::vector<float>{2, 4});
  Tensor(early).zero_grad();  // ends the circle
}

TEST_CASE("gradients: backward returns its tensor, and reading the loss afterwards works") {
  const Tensor x = leaf({1, 2});
  CHECK((x * x).sum().backward().item() == 5);
}

TEST_CASE("gradients: detach and NoGrad cut the history, guards nest") {
  const Tensor x = leaf({1, 2});
  CHECK_FALSE(x.detach().requires_grad());
  CHECK(list(x.detach()) == Floats{1, 2});
  (x.detach() * x).sum().backward();
  CHECK(list(x.grad()) == Floats{1, 2});
  {
    const NoGrad outer;
    CHECK_FALSE((x * 2).requires_grad());
    {
      const GradMode inner(true);
      CHECK((x * 2).requires_grad());
    }
    CHECK_FALSE((x * 2).requires_grad());
  }
  CHECK((x * 2).requires_grad());
  CHECK_FALSE((x > 1).requires_grad());
  CHECK_FALSE(x.argmax().requires_grad());
}

TEST_CASE("gradients: of inputs that need none, nothing is asked") {
  Tensor x = leaf({1, 2});
  x.requires_grad_(false);
  const Tensor y = leaf({3, 4});
  (x * y).sum().backward();
  CHECK_FALSE(x.grad().defined());
  CHECK(list(y.grad()) == Floats{1, 2});
}

TEST_CASE("gradient(): leaves .grad alone and can be taken again") {
  const Tensor x = leaf({2}), other = leaf({1, 1});
  const Tensor y = x.pow(4).sum();
  const Tensor first = gradient(y, {x})[0], second = gradient(first.sum(), {x})[0],
               third = gradient(second.sum(), {x})[0];
  CHECK(list(first) == Floats{32});
  CHECK(list(second) == Floats{48});
  CHECK(list(third) == Floats{48});
  CHECK_FALSE(x.grad().defined());
  CHECK(list(gradient(y, {other})[0]) == Floats{0, 0});
}

TEST_CASE("gradient(): by a tensor in the middle of the graph") {
  const Tensor x = leaf({1, 2});
  const Tensor middle = x * 3, y = (middle * middle).sum();
  const std::vector<Tensor> grads = gradient(y, {middle, x});
  CHECK(list(grads[0]) == Floats{6, 12});
  CHECK(list(grads[1]) == Floats{18, 36});
}

TEST_CASE("gradients: a rule without one says its name") {
  const Tensor x = leaf({1, 2});
  CHECK_FALSE((x == 1).requires_grad());
  struct Halve : Function {
    LazyBuffer forward(const LazyBuffer& x) { return x; }
  };
  CHECK_THROWS_WITH_AS(apply(Halve{}, x).sum().backward(), "Halve has no gradient", Error);
}

TEST_CASE("tensor: a convolution that sees nothing but padding has gradients, too") {
  Tensor image = Tensor::zeros({2, 1, 0}).requires_grad_(), weight = Tensor::ones({3, 1, 2}).requires_grad_();
  image.conv1d(weight, {}, {.padding = 1}).sum().backward();
  CHECK(image.grad().shape() == Shape{2, 1, 0});
  CHECK(weight.grad().to_vector() == std::vector<float>(6, 0));
}

TEST_CASE("tensor: of what is not computed only the elements are that are read") {
  const AlwaysFused fused;
  const Tensor x = Tensor::arange(1'000'000'000'000) * 2;  // 8 TB, if somebody asked for all
  CHECK(x[{-1}].item<int64_t>() == 1'999'999'999'998);
  CHECK(x[{-1}].item() == 1'999'999'999'998);
  for (int64_t from : {0, 7}) {
    const Tensor part = x[{slice(from, from + 3)}];
    CHECK(part.to_vector<int64_t>() == std::vector<int64_t>{2 * from, 2 * from + 2, 2 * from + 4});
    CHECK(part.to_vector<float>() ==
          std::vector<float>{2.f * float(from), 2.f * float(from) + 2, 2.f * float(from) + 4});
  }
  CHECK(printed(x[{slice(0, 3)}]) == "Tensor(3,) int64\n[0, 2, 4]");

  // What is read whole is kept, whatever type it is read as.
  const Tensor whole = Tensor::arange(6) * 2;
  CHECK(whole.to_vector<double>()[5] == 10);
  CHECK(whole.lazy().node()->realized());
}

}  // namespace teeny::test
