// What ONNX's own cases leave open: integers beyond what a dtype has, old opsets, known operands, random elements, and
// models that are wrong.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "tests/onnx_single.h"

using namespace teeny;
using namespace onnx_single;
using onnx_file::attribute;
using test::difference;

TEST_CASE("onnx ops: uint64 beyond int64 is ordered, divided, shifted and converted") {
  const std::vector<uint64_t> some{
      0, 1, 2, 3, 1000, (uint64_t(1) << 63) - 1, uint64_t(1) << 63, ~uint64_t(0) - 7, ~uint64_t(0)};
  std::vector<uint64_t> a, b;
  for (uint64_t x : some)
    for (uint64_t y : some) a.push_back(x), b.push_back(y);
  const auto bits = [](const std::vector<uint64_t>& values) { return ints(Ints(values.begin(), values.end())); };
  const auto check = [&](const std::string& op, auto f, const std::string& attributes = "") {
    CAPTURE(op);
    std::vector<uint64_t> divisors = b, expected;
    if (op == "Div" || op == "Mod")
      for (uint64_t& y : divisors) y = std::max<uint64_t>(y, 1);
    for (size_t k = 0; k < a.size(); ++k) expected.push_back(uint64_t(f(a[k], divisors[k])));
    const Tensor y = run(op, {{bits(a), kUInt64}, {bits(divisors), kUInt64}}, attributes);
    CHECK(y.to_vector<int64_t>() == Ints(expected.begin(), expected.end()));
  };
  check("Less", [](uint64_t x, uint64_t y) { return x < y; });
  check("GreaterOrEqual", [](uint64_t x, uint64_t y) { return x >= y; });
  check("Max", [](uint64_t x, uint64_t y) { return std::max(x, y); });
  check("Min", [](uint64_t x, uint64_t y) { return std::min(x, y); });
  check("Mul", [](uint64_t x, uint64_t y) { return x * y; });
  check("Div", [](uint64_t x, uint64_t y) { return x / y; });
  check("Mod", [](uint64_t x, uint64_t y) { return x % y; });
  check(
      "BitShift", [](uint64_t x, uint64_t y) { return y < 64 ? x >> y : 0; }, attribute("direction", "RIGHT"));
  check(
      "BitShift", [](uint64_t x, uint64_t y) { return y < 64 ? x << y : 0; }, attribute("direction", "LEFT"));
  const Tensor large = bits({5, uint64_t(1) << 63, ~uint64_t(0)});
  CHECK(run("ReduceMax", {{large, kUInt64}}).item<int64_t>() == -1);
  CHECK(run("ArgMin", {{large, kUInt64}}).item<int64_t>() == 0);
  CHECK(run("Clip", {{large, kUInt64}, {}, {ints({-9}), kUInt64}}).to_vector<int64_t>() == Ints{5, INT64_MIN, -9});
  CHECK(run("Cast", {{large, kUInt64}}, attribute("to", int64_t(11))).to_vector<double>() ==
        std::vector<double>{5, 0x1p63, 0x1p64});
  CHECK(run("Cast", {{Tensor::of<double>({5, 0x1p63, 0x1.8p63}), 11}}, attribute("to", int64_t(13)))
            .to_vector<int64_t>() == Ints{5, INT64_MIN, -(int64_t(1) << 62)});
}

TEST_CASE("onnx ops: narrow integers are cut, and begin where their type does") {
  const Tensor six = Tensor::of<int32_t>({6, -6, 1});
  for (int64_t power : {2, 3, 5}) {
    const Tensor y = run("Pow", {{six, kInt8}, in_file(ints({power}), kInt64)});
    const int64_t whole = int64_t(std::pow(6, power)), sign = power % 2 ? -1 : 1;
    CHECK(y.to_vector<int64_t>() == Ints{int8_t(whole), int8_t(sign * whole), 1});
  }
  const Tensor none = Tensor::zeros({2, 0}, DType::Int32), axis = ints({1});
  CHECK(run("ReduceMax", {{none, kInt8}, in_file(axis, kInt64)}).to_vector<int64_t>() == Ints{-128, -128});
  CHECK(run("ReduceMin", {{none, kInt8}, in_file(axis, kInt64)}).to_vector<int64_t>() == Ints{127, 127});
  CHECK(run("ReduceMax", {{Tensor::zeros({2, 0}), kFloat}, in_file(axis, kInt64)}).to_vector<float>() ==
        std::vector<float>{-INFINITY, -INFINITY});
  CHECK(run("BitCast", {{six, kInt8}}, attribute("to", int64_t(kUInt8)), 26).to_vector<int64_t>() == Ints{6, 250, 1});
}

TEST_CASE(
    "onnx ops: before opset 7 an operand has its axes where the node says, before 13 softmax takes all the rest") {
  const Tensor x = Tensor::randn({2, 3, 2}), row = Tensor::of({1, 2, 3});
  CHECK(difference(run("Add", {{x}, {row}}, attribute("broadcast", int64_t(1)) + attribute("axis", int64_t(1)), 6),
                   x + row.reshape({3, 1})) == "");
  CHECK(difference(run("PRelu", {{x}, {row}}, "", 6), where(x < 0, x * row.reshape({3, 1}), x)) == "");
  CHECK(run("Softmax", {{x}}, "", 11).allclose(x.flatten(1).softmax(1).reshape({2, 3, 2})));
  CHECK(run("Softmax", {{x}}, "", 13).allclose(x.softmax(-1)));
  CHECK(difference(run("Clip", {{x}}, attribute("max", 0.5f), 6), x.minimum(0.5)) == "");
}

TEST_CASE("onnx ops: random elements are others in each replay") {
  NoGrad guard;
  const Tensor ones = Tensor::ones({1000});
  const Input half = in_file(Tensor(Scalar(0.5)), kFloat), yes = in_file(Tensor(Scalar(true)), kBool);
  Single drop("Dropout", {{ones}, half, yes}, "", 13, 2);
  std::vector<double> sums;
  for (int call = 0; call < 4; ++call) {
    const std::vector<Tensor> y = drop();
    CHECK(difference(y[0], y[1].cast(DType::Float32) * 2) == "");
    sums.push_back((y[0] * Tensor::arange(1000)).sum().item());
  }
  CHECK(std::set<double>(sums.begin(), sums.end()).size() == 4);
  CHECK(drop.model.replays() == 2);
  CHECK(difference(run("Dropout", {{ones}, half}, "", 13), ones) == "");
  CHECK(difference(run("Dropout", {{ones}}, attribute("ratio", 0.9f), 7), ones) == "");
  Single normal("RandomNormal", {}, attribute("shape", Ints{10000}) + attribute("mean", 3.f) + attribute("scale", 2.f));
  const Tensor x = normal()[0], other = normal()[0];
  CHECK(x.mean().item() == doctest::Approx(3).epsilon(0.05));
  CHECK(x.std().item() == doctest::Approx(2).epsilon(0.05));
  CHECK(difference(x, other) != "");
}

TEST_CASE("onnx ops: determinants, also of what needs an exchange of rows, and their gradients") {
  const Tensor x = Tensor::of({{{0, 2, 1}, {3, 0, 1}, {1, 1, 4}}, {{1, 2, 3}, {2, 4, 6}, {1, 0, 1}}});
  CHECK(run("Det", {{x}}).allclose(Tensor::of({-19, 0}), 1e-5, 1e-5));
  CHECK(run("Det", {{Tensor::zeros({2, 0, 0})}}).to_vector() == std::vector<float>{1, 1});
  Tensor a = Tensor::randn({4, 4}, DType::Float64).requires_grad_();
  Single det("Det", {{a, 11}});
  det()[0].backward();
  const Tensor gradient = a.grad();
  for (int k = 0; k < 16; ++k) {
    const auto at = [&](double step) {
      NoGrad guard;
      const Tensor moved = (a.flatten() + (Tensor::arange(16) == k).cast(DType::Float64) * step).reshape({4, 4});
      return det.model({moved})[0].item();
    };
    CHECK(gradient.flatten()[k].item() == doctest::Approx((at(1e-5) - at(-1e-5)) / 2e-5).epsilon(1e-5));
  }
}

TEST_CASE("onnx ops: scales of blocks, of which the last may be short") {
  const Tensor x = Tensor::of<int32_t>({{1, 2, 3, 4, 5}, {-1, -2, -3, -4, -5}}),
               scale = Tensor::of({{1, 10, 100}, {2, 20, 200}});
  const auto axis_and_block = [](int64_t axis, int64_t size) {
    return attribute("axis", axis) + attribute("block_size", size);
  };
  CHECK(difference(run("DequantizeLinear", {{x, kInt8}, {scale}}, axis_and_block(1, 2), 21),
                   Tensor::of({{1, 2, 30, 40, 500}, {-2, -4, -60, -80, -1000}})) == "");
  CHECK(difference(run("DequantizeLinear", {{x, kInt8}, {Tensor::of({{1, 2, 3, 4, 5}})}},
                       axis_and_block(-2, int64_t(1) << 60), 21),
                   x.cast(DType::Float32) * Tensor::of({1, 2, 3, 4, 5})) == "");
  CHECK(contains(error("DequantizeLinear", {{x, kInt8}, {scale}}, axis_and_block(1, 3), 21),
                 "scales of (2, 3) do not fit"));
  CHECK(contains(error("DequantizeLinear", {{x, kInt8}, {scale}}, axis_and_block(1, -2), 21),
                 "scales of (2, 3) do not fit"));
  CHECK(run("QuantizeLinear", {{Tensor::of({0.5, 1.5, 2.5, -300, 300})},
                               {Tensor(Scalar(1.0))},
                               {Tensor(Scalar(3)).cast(DType::Int32), kInt8}})
            .to_vector<int64_t>() == Ints{3, 5, 5, -128, 127});
}

TEST_CASE("onnx ops: attention with fewer heads of keys, a cache, and queries that see nothing") {
  const Tensor q = Tensor::randn({2, 4, 3, 8}), k = Tensor::randn({2, 2, 5, 8}), v = Tensor::randn({2, 2, 5, 6});
  const Tensor y = run("Attention", {{q}, {k}, {v}}, "", 24);
  CHECK(y.allclose(q.scaled_dot_product_attention(k, v, {.enable_gqa = true}), 1e-5, 1e-6));

  // Token after token, with the keys and values that are past, is all at once.
  const std::string causal = attribute("is_causal", int64_t(1));
  const Tensor key = k[{slice(), slice(), slice(0, 3)}], value = v[{slice(), slice(), slice(0, 3)}];
  const Tensor whole = run("Attention", {{q}, {key}, {value}}, causal, 24);
  Tensor past_key = Tensor::zeros({2, 2, 0, 8}), past_value = Tensor::zeros({2, 2, 0, 6});
  for (int64_t t = 0; t < 3; ++t) {
    const auto at = [t](const Tensor& x) { return x[{slice(), slice(), slice(t, t + 1)}]; };
    Single step("Attention", {{at(q)}, {at(key)}, {at(value)}, {}, {past_key}, {past_value}}, causal, 24, 3);
    const std::vector<Tensor> results = step();
    CHECK(results[0].allclose(at(whole), 1e-5, 1e-6));
    past_key = results[1], past_value = results[2];
  }
  CHECK(difference(past_key, key) == "");

  Tensor seen = Tensor::of<bool>(
      {{true, false, true, true, true}, {false, false, false, false, false}, {true, true, true, true, true}});
  const Tensor masked = run("Attention", {{q}, {k}, {v}, {seen, kBool}}, "", 24);
  CHECK(masked[{slice(), slice(), 1}].abs().max().item() == 0);
  CHECK(difference(masked[{slice(), slice(), 2}], y[{slice(), slice(), 2}]) == "");
  Tensor learned = q.clone().detach().requires_grad_();
  Single trained("Attention", {{learned}, {k}, {v}, {seen, kBool}}, "", 24);
  trained()[0].square().sum().backward();
  CHECK(learned.grad().isfinite().all().item<bool>());
  CHECK(learned.grad()[{slice(), slice(), 1}].abs().max().item() == 0);
  CHECK(learned.grad()[{slice(), slice(), 0}].abs().max().item() > 0);
}

TEST_CASE("onnx ops: what batch normalization prepares of its parameters follows them") {
  const Tensor x = Tensor::randn({2, 3, 4}), scale = Tensor::of({1, 2, 3}), bias = Tensor::of({-1, 0, 1});
  const Tensor mean = Tensor::of({0.5, -0.5, 0}), var = Tensor::of({4, 1, 0.25});
  Single single("BatchNormalization", {{x}, in_file(scale), in_file(bias), in_file(mean), in_file(var)}, "", 15);
  const auto expected = [&](const Tensor& w) { return x.batchnorm(w, bias, mean, var); };
  {
    NoGrad guard;
    for (int call = 0; call < 4; ++call) CHECK(single()[0].allclose(expected(scale), 1e-5, 1e-6));
    CHECK(single.model.replays() == 2);
    single.model.state()[0].second.assign(Tensor::of({5, 6, 7}));
    for (int call = 0; call < 4; ++call) CHECK(single()[0].allclose(expected(Tensor::of({5, 6, 7})), 1e-5, 1e-6));
  }
  Tensor weight = single.model.state()[0].second;
  weight.requires_grad_();
  single()[0].sum().backward();
  CHECK(weight.grad().allclose(expected(Tensor::ones({3})).sum({0, 2}) - bias * 8, 1e-4, 1e-4));
}

TEST_CASE("onnx ops: a number of the file beside a tensor may have axes of its own") {
  const Tensor x = Tensor::randn({2, 3}), one = Tensor::full({1, 1, 1}, 2.0);
  for (const char* op : {"Add", "Mul", "Div", "Pow"}) {
    CAPTURE(op);
    const Tensor y = run(op, {{x.abs()}, in_file(one)});
    CHECK(y.shape() == Shape{1, 2, 3});
    CHECK(difference(y, run(op, {{x.abs()}, {one}})) == "");
    CHECK(run(op, {in_file(one), {x}}).shape() == Shape{1, 2, 3});
  }
  const Tensor hidden = run("Where", {{x > 0, kBool}, {x}, in_file(Tensor::full({}, -INFINITY))});
  CHECK(difference(hidden, where(x > 0, x, -INFINITY)) == "");
  CHECK(difference(run("Max", {{x}, in_file(Tensor::of({0})), {x * 2}}), x.maximum(x * 2).maximum(0)) == "");
}

TEST_CASE("onnx ops: a model that is wrong is told what is wrong") {
  const Tensor x = Tensor::ones({2, 3, 4}), channels = Tensor::ones({3});
  const Input classes{Tensor::full({2, 4}, 5), kInt64};
  const Input tall{Tensor::ones({2, 2, 3, 4})};
  CHECK(contains(error("Softmax", {{x}}, attribute("axis", int64_t(3))), "axis 3 is outside"));
  CHECK(contains(error("Softmax", {{x}}, attribute("axis", int64_t(-4)), 11), "axis -4 of a tensor of rank 3"));
  CHECK(contains(error("ReduceSum", {{x}, in_file(ints({5}), kInt64)}), "axis 5 is outside"));
  CHECK(contains(error("CumSum", {{x}, {ints({0, 1}), kInt64}}), "input 1 of (2,) must have one element"));
  CHECK(contains(error("Add", {{x}, {}}), "input 1 is missing"));
  CHECK(contains(error("Cast", {{x}}), "the attribute to is missing"));
  CHECK(contains(error("Cast", {{x}}, attribute("to", int64_t(8))), "elements of the type string"));
  CHECK(contains(error("BitCast", {{x}}, attribute("to", int64_t(7)), 26), "elements of 4 and 8 bytes"));
  CHECK(contains(error("BitShift", {{x}, {x}}, attribute("direction", "UP")), "direction is \"UP\""));
  CHECK(contains(error("Gelu", {{x}}, attribute("approximate", "wow"), 20), "approximate is \"wow\""));
  CHECK(contains(error("RandomNormal", {}, attribute("shape", Ints{-1})), "negative"));
  CHECK(contains(error("RandomNormal", {}, attribute("shape", Ints{int64_t(1) << 40})), "MiB"));
  CHECK(contains(error("Multinomial", {{channels}}, attribute("sample_size", int64_t(1) << 50)), "MiB"));
  CHECK(contains(error("Gemm", {{x}, {x}}), "input 0 of (2, 3, 4) is no matrix"));
  CHECK(contains(error("Det", {{x}}), "has no square matrices"));
  CHECK(contains(error("BatchNormalization", {{x}, {Tensor::ones({2})}, {channels}, {channels}, {channels}}),
                 "a parameter of (2,) does not fit x of (2, 3, 4)"));
  CHECK(contains(error("GroupNormalization", {{x}, {channels}, {channels}}, attribute("num_groups", int64_t(0))),
                 "no 0 groups"));
  CHECK(contains(error("LayerNormalization", {{x}, {channels}}, attribute("axis", int64_t(5))),
                 "axis 5 of a tensor of rank 3"));
  CHECK(error("LRN", {{x}}, attribute("size", int64_t(1) << 62)) == "");
  CHECK(contains(error("NegativeLogLikelihoodLoss", {{x}, classes}), "5"));
  CHECK(contains(error("NegativeLogLikelihoodLoss", {{x}, classes}, attribute("reduction", "max")),
                 "the reduction is \"max\""));
  CHECK(contains(error("Attention", {{x}, {x}, {x}}, "", 24), "does not divide into 0 heads"));
  CHECK(contains(error("Attention", {tall, tall, tall, {Tensor::ones({7, 7})}}, "", 24), "does not fit scores"));
  CHECK(contains(error("Attention", {tall, tall, tall, {}, tall}, "", 24), "come together"));
  CHECK(contains(error("RotaryEmbedding", {tall, {channels}, {channels}}, "", 23), "does not fit 2 pairs"));
  CHECK(contains(error("Div", {{ints({1}), kInt64}, {ints({0}), kInt64}}), "divided by 0"));
}
