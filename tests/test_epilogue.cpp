// Element-wise work that follows a contraction is part of its kernel, and changes no value.
#include <doctest/doctest.h>

#include "always_fused.h"
#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"

using namespace teeny;

namespace {

Tensor values(const Shape& shape, DType dtype = DType::Float32) { return Tensor::randn(shape).cast(dtype).realize(); }

std::vector<Step> steps_of(const Tensor& x) {
  const LazyBuffer target = x.lazy();
  return schedule(std::span(&target, 1));
}

/// The contraction that is all there is to compute; null when there is more.
const tinyops::ContractKernel* only_contraction(const std::vector<Step>& steps) {
  return steps.size() == 1 ? std::get_if<tinyops::ContractKernel>(&steps[0].kernel) : nullptr;
}

int64_t kernels(const Tensor& x) {
  const int64_t before = context.kernels;
  x.realize();
  return context.kernels - before;
}

/// `product` makes a contraction and `after` something of it, here in one kernel: is this what the reference computes
/// in one kernel, and what comes out when the product is stored first?
template <class Product, class After>
void check_one_kernel(Product&& product, After&& after) {
  const Tensor y = after(product());
  const auto steps = steps_of(y);
  const auto* kernel = only_contraction(steps);
  REQUIRE(kernel);
  CHECK(kernel->epilogue.program.size() > 1);
  CHECK(kernel->epilogue.outputs.size() == 1);
  const Tensor stored = product().realize();
  CHECK(after(product()).to_bytes() == after(stored).to_bytes());
  const ExecutionScope reference({.fuse = true, .run = tinyops::reference::check});
  const Tensor on_reference = product().realize();
  CHECK(after(product()).to_bytes() == after(on_reference).to_bytes());
}

}  // namespace

TEST_CASE("epilogue: a convolution with its bias and activation is one kernel") {
  const AlwaysFused fused;
  const Tensor x = values({2, 3, 9, 9}), w = values({8, 3, 3, 3}), bias = values({8});
  check_one_kernel([&] { return x.conv2d(w); }, [&](const Tensor& y) { return (y + bias.reshape({8, 1, 1})).relu(); });
  CHECK(kernels(x.conv2d(w, bias).relu()) == 1);
  CHECK(kernels(x.conv2d(w, bias, {.padding = {1, 1}}).gelu()) == 1);
  CHECK(kernels(x.conv2d(w, bias).relu().conv2d(values({4, 8, 3, 3})).relu()) == 2);
}

TEST_CASE("epilogue: a convolution takes the batch normalization behind it, and a residual") {
  const AlwaysFused fused;
  const Tensor x = values({1, 8, 9, 9}), w = values({8, 8, 3, 3}), v = values({8}), var = v.square().realize();
  const auto y = [&] { return x.conv2d(w, {}, {.padding = 1}).batchnorm(v, v, v, var); };
  CHECK(kernels(y().relu()) == 2);  // one for a scale a channel
  CHECK(kernels((y() + x).relu()) == 2);
}

TEST_CASE("epilogue: products of all shapes, with what is added to them") {
  const AlwaysFused fused;
  const Tensor x = values({24, 16}), w = values({16, 20}), bias = values({20}), other = values({24, 20});
  const auto xw = [&] { return x.matmul(w); };
  check_one_kernel(xw, [&](const Tensor& y) { return (y + bias).gelu(); });
  check_one_kernel(xw, [&](const Tensor& y) { return (y + other).relu(); });
  check_one_kernel(xw, [&](const Tensor& y) { return (y + other.t().reshape({20, 24}).t()).exp() * 2; });
  check_one_kernel(xw, [&](const Tensor& y) { return y + Tensor::arange(20).cast(DType::Float32); });
  check_one_kernel(xw, [&](const Tensor& y) { return (y + bias.cast(DType::Float16)).cast(DType::Float64); });
  check_one_kernel(xw, [&](const Tensor& y) { return y > bias; });
  check_one_kernel(xw, [&](const Tensor& y) { return y + x[{slice(), slice(0, 1)}]; });  // a factor, once more
  const Tensor a = values({3, 2, 8, 5}), b = values({3, 1, 5, 7}), mask = values({8, 7}) > 0;
  check_one_kernel([&] { return a.matmul(b); }, [&](const Tensor& y) { return where(mask, y * 0.5, -1); });
  const Tensor row = values({16}), column = values({16});
  check_one_kernel([&] { return row.matmul(w); }, [&](const Tensor& y) { return y.tanh() + bias; });
  check_one_kernel([&] { return row.matmul(column); }, [&](const Tensor& y) { return y.exp(); });
  const Tensor i = Tensor::arange(12).reshape({3, 4}).realize(), j = Tensor::arange(20).reshape({4, 5}).realize();
  check_one_kernel([&] { return i.matmul(j); }, [&](const Tensor& y) { return y / 3 + 1; });
  const Tensor none = values({0, 4}), empty = values({4, 0});
  CHECK((none.matmul(values({4, 3})) + 1).shape() == Shape{0, 3});
  CHECK((empty.matmul(values({0, 3})) + 1).to_vector() == std::vector<float>(12, 1));
}

TEST_CASE("epilogue: a sum of 16 bits is rounded before it goes on") {
  const AlwaysFused fused;
  for (DType dtype : {DType::Float16, DType::BFloat16}) {
    const Tensor x = values({33, 40}, dtype), w = values({40, 17}, dtype), bias = values({17}, dtype);
    check_one_kernel([&] { return x.matmul(w); }, [&](const Tensor& y) { return (y * 3 + bias).sigmoid() * y; });
    check_one_kernel([&] { return x.matmul(w); }, [&](const Tensor& y) { return y.cast(DType::Float32) * 3; });
    // A sum so long that it is cut into parts.
    const Tensor longer = values({8, 8192}, dtype), other = values({8192, 8}, dtype);
    check_one_kernel([&] { return longer.matmul(other); }, [&](const Tensor& y) { return y.cast(DType::Float32) + 1; });
  }
}

TEST_CASE("epilogue: a product that is needed later is a second output") {
  const AlwaysFused fused;
  Tensor x = values({32, 24}), w = values({48, 24}), bias = values({48});
  const Tensor product = x.linear(w, bias), y = product.gelu();
  auto steps = steps_of(y);
  const auto* kernel = only_contraction(steps);
  REQUIRE(kernel);
  REQUIRE(kernel->epilogue.outputs.size() == 2);
  steps.clear();
  CHECK(kernels(y) == 1);
  CHECK(kernels(product) == 1);  // the bias is added again
  CHECK(y.to_bytes() == product.gelu().to_bytes());

  w.requires_grad_(), bias.requires_grad_();
  const auto gradients = [&] {
    w.zero_grad(), bias.zero_grad();
    x.linear(w, bias).gelu().square().sum().backward();
    realize(std::vector<Tensor>{w.grad(), bias.grad()});
    return std::pair(w.grad().to_vector(), bias.grad().to_vector());
  };
  const auto together = [&] {
    const AlwaysFused mode;
    return gradients();
  }();
  const ExecutionScope unfused({.fuse = false});
  const auto apart = gradients();
  for (size_t i = 0; i < apart.first.size(); ++i) CHECK(together.first[i] == doctest::Approx(apart.first[i]));
  for (size_t i = 0; i < apart.second.size(); ++i) CHECK(together.second[i] == doctest::Approx(apart.second[i]));
}

TEST_CASE("epilogue: sums that are asked for are stored, whichever way the product goes") {
  for (const int64_t rows : {1, 5, 8, 16, 33, 64, 200})
    for (const int64_t columns : {1, 7, 16, 24, 64, 130})
      for (const int64_t r : {1, 8, 64, 600}) {
        CAPTURE(rows);
        CAPTURE(columns);
        CAPTURE(r);
        const Tensor x = values({rows, r}), w = values({r, columns}), h = values({rows, columns}),
                     b = values({columns});
        const Tensor want = (x.reshape({rows, 1, r}) * w.t()).sum({2}).realize();
        for (int after = 0; after < 3; ++after) {
          const auto follow = [&](const Tensor& y) {
            return after == 0 ? y + h : after == 1 ? (y + b).relu() : y.gelu();
          };
          const Tensor sums = after == 2 ? w.t().matmul(x.t()).t() : x.matmul(w), y = follow(sums);
          realize(std::vector{sums, y});
          CHECK(sums.allclose(want, 1e-4, 1e-4));
          CHECK(y.allclose(follow(want), 1e-4, 1e-4));
        }
      }
  for (const int64_t channels : {3, 16, 40}) {
    const Tensor x = values({2, channels, 14, 14}), w = values({24, channels, 3, 3}),
                 one = values({24, channels, 1, 1});
    for (const Tensor& filter : {w, one}) {
      const Tensor want = x.conv2d(filter).realize(), sums = x.conv2d(filter), y = (sums + 1).relu();
      realize(std::vector{sums, y});
      CHECK(sums.allclose(want, 1e-4, 1e-4));
      CHECK(y.allclose((want + 1).relu(), 1e-4, 1e-4));
    }
  }
}

TEST_CASE("epilogue: without fusion each node is a kernel, with the same values") {
  const Tensor x = values({2, 3, 9, 9}), w = values({8, 3, 3, 3}), bias = values({8});
  const auto y = [&] { return x.conv2d(w, bias).relu() * 2; };
  const auto together = [&] {
    const AlwaysFused mode;
    return y().to_bytes();
  }();
  const ExecutionScope unfused({.fuse = false});
  const int64_t apart = kernels(y());
  const auto bytes = y().to_bytes();
  CHECK(apart == 4);
  CHECK(bytes == together);
}

TEST_CASE("epilogue: what walks other elements, or adds up, starts a kernel") {
  const AlwaysFused fused;
  const Tensor x = values({16, 16}), w = values({16, 16});
  CHECK(kernels(x.matmul(w).t() + x) == 2);
  CHECK(kernels(x.matmul(w) + x.matmul(w).t()) >= 2);
  const Tensor y = x.matmul(w);
  CHECK(kernels(y + y.t()) == 2);
  CHECK(kernels(x.matmul(w).softmax()) == 2);
  CHECK(kernels((x.matmul(w) + 1).sum(1)) == 2);
  // Reading a factor alone is no reason to join.
  const Tensor z = x.matmul(w), other = x * 2;
  const int64_t before = context.kernels;
  realize(std::vector<Tensor>{z, other});
  CHECK(context.kernels - before == 2);
}

TEST_CASE("epilogue: a residual that dies is written over, a factor never") {
  const AlwaysFused fused;
  const Tensor w = values({32, 32});
  Tensor sum = values({32, 32});
  const Tensor x = values({32, 32});
  const Tensor copy = (sum + 0).realize();
  const void* before = sum.lazy().node()->buffer->data();
  sum.assign(x.matmul(w) + sum);
  CHECK(kernels(sum) == 1);
  CHECK(sum.lazy().node()->buffer->data() == before);
  CHECK(sum.to_bytes() == (x.matmul(w) + copy).to_bytes());

  Tensor state = (copy + 0).realize();  // it is a factor, too
  state.assign((state.matmul(w) + state).tanh());
  CHECK(kernels(state) == 1);
  CHECK(state.to_bytes() == (copy.matmul(w) + copy).tanh().to_bytes());

  Tensor turned = (copy + 0).realize();  // it is read through another view, too
  turned.assign(x.matmul(w) * turned + turned.t());
  CHECK(kernels(turned) == 1);
  CHECK(turned.to_bytes() == (x.matmul(w) * copy + copy.t()).to_bytes());

  Tensor first = (copy + 0).realize();  // the product is kept, and the residual dies: two outputs, one of them over it
  const Tensor product = x.matmul(w);
  first.assign(first * 0.5 + product);
  CHECK(kernels(first) == 1);
  CHECK(product.lazy().node()->realized());
  CHECK(first.to_bytes() == (copy * 0.5 + product).to_bytes());
  CHECK(product.to_bytes() == x.matmul(w).to_bytes());
}

TEST_CASE("epilogue: what is written into a place stays right") {
  const Tensor x = values({8, 16}), w = values({16, 8}), bias = values({8});
  const auto y = [&] { return (x.matmul(w) + bias).relu(); };
  const Tensor apart = y().realize();
  CHECK(Tensor::cat({y(), apart}, 1).to_bytes() == Tensor::cat({apart, apart}, 1).to_bytes());
  Tensor whole = values({12, 8}), same = (whole + 0).realize();
  whole.set({slice(2, 10)}, y());
  same.set({slice(2, 10)}, apart);
  CHECK(whole.to_bytes() == same.to_bytes());
}

TEST_CASE("epilogue: the limits of a kernel are kept by cutting") {
  const Tensor x = values({8, 16}), w = values({16, 8});
  std::vector<Tensor> parts;
  for (int i = 0; i < 40; ++i) parts.push_back(values({8, 8}));
  const auto chain = [&](Tensor y) {
    for (int i = 0; i < 40; ++i) y = (y * (1 + 0.01 * i)).tanh() + i;
    return y;
  };
  const auto many = [&](Tensor y) {
    for (const Tensor& part : parts) y = y * 0.5 + part;
    return y + x.matmul(x.t()) * y;
  };
  for (const Tensor& y : {chain(x.matmul(w)), many(x.matmul(w))}) {
    const auto steps = steps_of(y);
    CHECK(steps.size() > 1);
    for (const Step& step : steps)
      if (const auto* k = std::get_if<tinyops::ContractKernel>(&step.kernel)) {
        CHECK(int(k->epilogue.inputs.size()) <= tinyops::kMaxInputs);
        CHECK(int(k->epilogue.outputs.size()) <= tinyops::kMaxOutputs);
        CHECK(int(k->epilogue.program.size()) <= tinyops::kMaxInstructions);
      }
  }
  const Tensor product = x.matmul(w).realize();
  CHECK(chain(x.matmul(w)).to_bytes() == chain(product).to_bytes());
  CHECK(many(x.matmul(w)).to_bytes() == many(product).to_bytes());
}

TEST_CASE("epilogue: a Jit replays it") {
  const AlwaysFused fused;
  const Tensor w = values({8, 3, 3, 3}), bias = values({8});
  Tensor scale = Tensor(1.5).contiguous().realize();
  Jit call([&](const Tensor& x) { return (x.conv2d(w, bias).relu() * scale).realize(); });
  for (int i = 0; i < 5; ++i) {
    const Tensor x = values({2, 3, 9, 9});
    scale.assign(Tensor(1.0 + i));
    const int64_t before = context.kernels;
    const Tensor y = call(x);
    if (i > 2) CHECK(context.kernels - before <= 2);  // the scale, and this
    CHECK(y.to_bytes() == (x.conv2d(w, bias).relu() * scale).to_bytes());
  }
}

TEST_CASE("epilogue: a gradient and the update with it are one kernel, in place") {
  const AlwaysFused fused;
  const Training training;
  nn::Linear layer(24, 16, {.bias = false});
  optim::Adam adam(nn::parameters(layer), {.lr = 1e-2});
  const Tensor x = values({32, 24}), y = values({32, 16});
  Jit step([&](const Tensor& x, const Tensor& y) {
    adam.zero_grad();
    const Tensor loss = layer(x).mse_loss(y).backward();
    adam.step();
    return loss;
  });
  for (int i = 0; i < 3; ++i) step(x, y);
  const void* weight = layer.weight.lazy().node()->buffer->data();
  const int64_t before = context.kernels;
  step(x, y);
  CHECK(context.kernels - before == 5);  // two scalars, forward with the loss' gradient, loss, update
  CHECK(layer.weight.lazy().node()->buffer->data() == weight);
}

TEST_CASE("epilogue: the kernel log shows it") {
  const AlwaysFused fused;
  const Tensor x = values({4, 6}), w = values({6, 5}), bias = values({5});
  const Tensor y = [&] { return (x.matmul(w) + bias).relu(); }();  // nothing holds the intermediate results
  const auto steps = steps_of(y);
  REQUIRE(only_contraction(steps));
  CHECK(debug::label(steps[0].kernel) == "contract (4, 5 | 6) Add Max");
  const std::string listing = debug::listing(steps[0].kernel);
  CHECK(listing.find("the sum") != std::string::npos);
  CHECK(listing.find("= Max %") != std::string::npos);
  CHECK(listing.find("store %") != std::string::npos);
  const debug::Counters work = debug::work(steps[0].kernel);
  CHECK(work.flops == 2 * 4 * 5 * 6 + 2 * 4 * 5);
  CHECK(work.bytes == 4 * (4 * 6 + 6 * 5 + 5 + 4 * 5));
}
