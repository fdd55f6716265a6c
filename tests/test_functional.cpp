// Functions beyond formulas: what looks at values, what draws, gradients of tensors of many elements, and refused
// arguments. Their values and gradients are compared in test_golden_functions.cpp.
#include "teeny/functional/functions.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "teeny/jit/jit.h"
#include "teeny/nn/nn.h"
#include "tests/check.h"
#include "tests/check_close.h"
#include "tests/check_refused.h"

namespace teeny::test {

TEST_CASE("functional: backward and gradient start from a tensor of any shape, with its gradient") {
  const Tensor start = Tensor::of({{1, 10, 100}, {2, 20, 200}});
  Tensor x = Tensor::of({{1, 2, 3}, {4, 5, 6}}).requires_grad_();
  x.square().backward(start);
  CHECK(difference(x.grad(), Tensor::of({{2, 40, 600}, {16, 200, 2400}})) == "");
  CHECK(difference(gradient(x.square(), {x}, start)[0], x.grad()) == "");
  Tensor y = x.exp();
  x.zero_grad();
  y.backward(start, true).backward(start);  // the graph stays: twice the gradient
  CHECK(difference(x.grad(), (x.exp() * start * 2).detach()) == "");
  x.zero_grad();
  x.backward(start);  // of a leaf
  CHECK(difference(x.grad(), start) == "");

  Tensor h = Tensor::of({1, 2}).cast(DType::Float16).contiguous().requires_grad_();
  (h * 3).backward(Tensor::of({1, 2}));
  CHECK(difference(h.grad(), Tensor::of({3, 6}).cast(DType::Float16)) == "");
  check_refused({
      {"backward: a gradient of (3,) for a tensor of (2, 3)", [&] { x.square().backward(Tensor::ones({3})); }},
      {"gradient: a gradient is floats, not int64",
       [&] {
         (void)gradient(x * 2, {x}, Tensor::ones({2, 3}, DType::Int64));
       }},
      {"backward: starts from one element, not from (2, 3); sum() it, or give its gradient",
       [&] { (x * 2).backward(); }},
  });
}

TEST_CASE("functional: a result that retains its gradient has it after backward") {
  Tensor x = Tensor::of({1, 2, 3}).requires_grad_();
  Tensor y = x * 2, same = y, z = (y * y).sum() + y.sum();  // y is used before and after
  y.retain_grad();
  y.retain_grad();
  same.retain_grad();
  z.backward();
  check_close(y.grad(), {5, 9, 13}, 0);
  check_close(same.grad(), {5, 9, 13}, 0);
  check_close(x.grad(), {10, 18, 26}, 0);

  Tensor u = x * 3;
  u.retain_grad();
  u.sum().backward(true);
  u.square().sum().backward();
  check_close(u.grad(), {1 + 6, 1 + 12, 1 + 18}, 0);  // they add up
  x.retain_grad();                                    // a leaf has its gradient anyhow
  Tensor hidden = where(x > 1, (x - 2).sqrt(), 0);    // and what a `where` did not choose stays without a part
  hidden.retain_grad();
  x.zero_grad();
  where(x > 2, hidden, 0).sum().backward();
  check_close(hidden.grad(), {0, 0, 1}, 0);
  check_close(x.grad(), {0, 0, 0.5}, 0);

  check_refused({
      {"retain_grad: this tensor of (3,) requires no gradient", [] { Tensor::ones({3}).retain_grad(); }},
      {"a tensor of (2,) was assigned to after Mul had used it",
       [] {
         Tensor a = Tensor::ones({2}).requires_grad_(), b = Tensor::ones({2}), c = a * b;
         b.assign(b + 1);
         c.retain_grad();
         c.sum().backward();
       }},
  });
}

TEST_CASE("functional: masks pick, and are written through, with a value for each place") {
  const Tensor x = Tensor::arange(12).reshape({3, 4}), mask = x % 5 == 0;
  CHECK(x[mask].to_vector<int64_t>() == std::vector<int64_t>{0, 5, 10});
  Tensor y = x.contiguous();
  y.set({mask}, Tensor::of<int64_t>({7, 8, 9}));
  CHECK(y[mask].to_vector<int64_t>() == std::vector<int64_t>{7, 8, 9});
  CHECK((y != x).sum().item<int64_t>() == 3);
  y.set({slice(), Tensor::of({1, 0, 0, 1}) != 0}, -1);
  CHECK(y.sum(0).to_vector<int64_t>() == std::vector<int64_t>{-3, 1 + 8 + 9, 2 + 6 + 9, -3});

  Tensor w = Tensor::of({1, 2, 3, 4}).requires_grad_();
  w[w > 2].square().sum().backward();
  check_close(w.grad(), {0, 0, 6, 8}, 0);

  Jit step([](Tensor t) { return t[t > 0]; });
  check_refused({
      {"index: how many of (2,) elements are true shows in their values, which a Jit's call may not read; use where()",
       [&] {
         (void)step(Tensor::of({1, -1}));
       }},
      {"masked_select: the mask is int64 and must be bool", [&] { (void)x.masked_select(x); }},
      {"masked_select: (3, 4) and (3,) do not broadcast", [&] { (void)x.masked_select(Tensor::full({3}, true)); }},
      {"set: (2,) and (3,) do not broadcast",
       [&] {
         y.set({mask}, Tensor::of<int64_t>({1, 2}));
       }},
  });
}

TEST_CASE("functional: what was drawn is refused where the probabilities are none") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::string bernoulli = "bernoulli: a probability is NaN, or outside [0, 1]";
  const std::string weights = "multinomial: a weight is negative, NaN or infinite, or ";
  check_refused({
      {bernoulli,
       [] {
         Tensor::of({0.5, 2}).bernoulli().realize();
       }},
      {bernoulli,
       [] {
         Tensor::of({0.5, -0.1}).bernoulli().realize();
       }},
      {bernoulli, [=] { Tensor::of({nan}).cast(DType::Float16).bernoulli().realize(); }},
      {weights + "all of a row are 0",
       [] {
         Tensor::of({{1, 1}, {0, 0}}).multinomial(3, true).realize();
       }},
      {weights + "fewer than the samples are above 0",
       [] {
         Tensor::of({1, 0, 0}).multinomial(2).realize();
       }},
      {weights,
       [=] {
         Tensor::of({1, nan}).multinomial(1).realize();
       }},
      {weights,
       [=] {
         Tensor::of({1, inf}).multinomial(1, true).realize();
       }},
      {weights,
       [] {
         Tensor::of({{1, 1}, {2, -1}}).multinomial(1).realize();
       }},
      {"gumbel_softmax: a temperature of 0", [] { (void)gumbel_softmax(Tensor::ones({3}), 0); }},
      {"gumbel_softmax: needs floats, not int64", [] { (void)gumbel_softmax(Tensor::arange(3)); }},
      {"scaled_dot_product_attention: dropout 2 is outside [0, 1]",
       [] {
         const Tensor q = Tensor::ones({1, 2, 3});
         (void)q.scaled_dot_product_attention(q, q, {.dropout = 2});
       }},
  });
  CHECK(Tensor::zeros({0, 3}).multinomial(2).shape() == Shape{0, 2});
  CHECK(Tensor::of({1, 0, 0}).multinomial(2, true).sum().item<int64_t>() == 0);
  CHECK(Tensor::of({0, 1}).bernoulli().sum().item() == 1);

  // A recorded call checks what it draws from every time.
  Jit draw([](Tensor p) { return p.bernoulli(); });
  for (int i = 0; i < 4; ++i) CHECK(draw(Tensor::of({0, 1})).sum().item() == 1);
  check_refused({{bernoulli, [&] { draw(Tensor::of({0, 3})).to_vector(); }}});
}

TEST_CASE("functional: gumbel_softmax draws classes as often as their logits say") {
  const Tensor logits = Tensor::of({1, 2, 5}).log().expand({8000, 3});
  const Tensor hard = gumbel_softmax(logits, 0.5, true), often = hard.mean(0);
  CHECK(hard.sum(-1).min().item() == 1);
  CHECK(((hard == 0) | (hard == 1)).all().item<bool>());
  check_close(often, {1.0 / 8, 2.0 / 8, 5.0 / 8}, 0.02);
  const Tensor soft = gumbel_softmax(Tensor::randn({5, 4, 3}, DType::Float64), 2, false, 1);
  check_close(soft.sum(1).flatten(), std::vector<double>(15, 1), 1e-12);
  CHECK(gumbel_softmax(Tensor(3.0), 1, true, 0).item() == 1);

  // The hard draw has the soft one's gradient.
  Tensor x = Tensor::of({0.5, -1, 2}).requires_grad_(), weight = Tensor::of({1, 2, 3});
  const auto gradient_of = [&](bool one_hot) {
    Tensor::manual_seed(7);
    return gradient((gumbel_softmax(x, 0.7, one_hot) * weight).sum(), {x})[0];
  };
  CHECK(difference(gradient_of(true), gradient_of(false)) == "");
}

TEST_CASE("functional: dropout in attention leaves weights out while training") {
  const Tensor q = Tensor::randn({1, 4, 6, 8}), k = Tensor::randn({1, 2, 6, 8}), v = Tensor::ones({1, 2, 6, 8});
  const AttentionOptions options{.dropout = 0.5, .enable_gqa = true};
  CHECK(difference(q.scaled_dot_product_attention(k, v, options), Tensor::ones({1, 4, 6, 8})) == "");
  const Training mode;
  Tensor sum = Tensor::zeros({1, 4, 6, 8});
  for (int i = 0; i < 64; ++i) sum += q.scaled_dot_product_attention(k, v, options);
  const Tensor mean = sum / 64;
  CHECK((mean - 1).abs().max().item() > 0.01);
  CHECK(std::abs(mean.mean().item() - 1) < 0.1);
}

TEST_CASE("functional: sizes beyond 63 bits and beyond sixteen axes are refused by who would make them") {
  constexpr int64_t k60 = int64_t(1) << 60, kMax = std::numeric_limits<int64_t>::max();
  const Tensor bytes = Tensor::zeros({1}, DType::UInt8), wide = bytes.expand({k60 / 2}),
               deep = Tensor::ones(Dims::filled(16, 1));
  Shape halves = Dims::filled(16, 1);
  halves[3] = 2;
  const std::vector<Tensor> many(3, wide), most(20, wide);
  check_refused({
      {"expand: (9223372036854775807,) is too large", [] { (void)Tensor::ones({1}).expand({kMax}); }},
      {"cat: (1729382256910270464,) is too large", [&] { (void)Tensor::cat(many); }},
      {"cat: axis 0 is longer than 63 bits can count", [&] { (void)Tensor::cat(most); }},
      {"+: (576460752303423488, 4) is too large", [&] { (void)(wide.unsqueeze(1) + Tensor::ones({4})); }},
      {"where: (576460752303423488, 4) is too large", [&] { (void)where(wide.unsqueeze(1), Tensor::ones({4}), 0); }},
      {"stack: (3, 576460752303423488) is too large", [&] { (void)Tensor::stack(many); }},
      {"repeat_interleave: (576460752303423488, 4) is too large", [&] { (void)wide.repeat_interleave(4, 0); }},
      {"meshgrid: (576460752303423488, 576460752303423488) is too large",
       [&] {
         (void)Tensor::meshgrid({wide, wide});
       }},
      {"pad: (1729382256910270464,) is too large", [&] { (void)wide.pad({k60}, {0}); }},
      {"outer: (576460752303423488, 576460752303423488) is too large", [&] { (void)wide.outer(wide); }},
      {"diag_embed: (576460752303423488, 576460752303423488) is too large", [&] { (void)wide.diag_embed(); }},
      {"unfold: needs 17 axes for (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), and a tensor has at most 16; "
       "reshape()",
       [&] { (void)deep.unfold(0, 1, 1); }},
      {"embedding: needs 17 axes for (1, 1,",
       [&] {
         (void)Tensor::ones({2, 3}).embedding(deep.cast(DType::Int64));
       }},
      {"index: needs 17 axes for (1, 1,", [&] { (void)deep[none]; }},
      {"index: needs 17 axes for (1, 1,",
       [&] {
         (void)deep[{0, none, none}];
       }},
      {"index: needs 17 axes for (1, 1,", [&] { Tensor(deep).set({none}, 1); }},
      {"quantile: needs 17 axes for (1, 1,",
       [&] {
         (void)deep.quantile({0.5, 0.2}, 0, true);
       }},
      {"meshgrid: needs 17 axes", [&] { (void)Tensor::meshgrid(std::vector<Tensor>(17, bytes)); }},
      {"pixel_shuffle: needs 18 axes for (1, 1,", [&] { (void)pixel_shuffle(deep, 1); }},
      {"one_hot: needs 17 axes", [&] { (void)deep.cast(DType::Int64).one_hot(2); }},
      {"stack: needs 17 axes",
       [&] {
         (void)Tensor::stack({deep, deep});
       }},
      {"repeat_interleave: needs 17 axes", [&] { (void)deep.repeat_interleave(2, 0); }},
      {"diag_embed: needs 17 axes", [&] { (void)deep.diag_embed(); }},
      {"unflatten: needs 17 axes",
       [&] {
         (void)deep.unflatten(0, {1, 1});
       }},
      {"repeat: needs 17 axes", [&] { (void)deep.expand(halves).repeat(Dims::filled(16, 2)); }},
      {"index_select: (576460752303423488, 4) is too large",
       [&] {
         (void)Tensor::ones({1, 4}).index_select(0, wide.cast(DType::Int64));
       }},
      {"one_hot: (576460752303423488, 4) is too large", [&] { (void)wide.one_hot(4); }},
      {"scatter_add: needs 17 axes", [&] { (void)deep.scatter_add(0, deep.cast(DType::Int64), deep); }},
      {"scatter: needs 17 axes", [&] { (void)deep.scatter(0, deep.cast(DType::Int64), deep); }},
      {"index_add: needs 17 axes", [&] { (void)deep.index_add(0, Tensor::of<int64_t>({0}), deep); }},
      {"unsqueeze: needs 17 axes", [&] { (void)deep.unsqueeze(-1); }},
      {"einsum: needs 17 axes",
       [&] {
         (void)Tensor::einsum("...,z->...z", {deep, Tensor::ones({2})});
       }},
      {"einsum: needs 17 axes",
       [&] {
         (void)Tensor::einsum("abcdefghijklmnop,z", {deep, Tensor::ones({2})});
       }},
      {"index: needs 17 axes",
       [&] {
         (void)deep[Tensor::zeros({2, 2}, DType::Int64)];
       }},
  });
}

TEST_CASE("functional: sizes beyond 63 bits, of products, windows, draws and layers") {
  constexpr int64_t k31 = int64_t(1) << 31, k59 = int64_t(1) << 59, kMax = std::numeric_limits<int64_t>::max();
  const Tensor one = Tensor::ones({1}), wide = one.expand({k59}), column = wide.unsqueeze(1), row = wide.unsqueeze(0);
  const auto image = [&](int64_t n, int64_t c, int64_t h, int64_t w) {
    return one.reshape({1, 1, 1, 1}).expand({n, c, h, w});
  };
  const std::string square = "(576460752303423488, 576460752303423488";
  check_refused({
      {"expand: (9223372036854775807,) is too large",
       [&] {
         (void)(one.expand({kMax}) * Tensor::ones({2, 1}));
       }},
      {"*: (2, 576460752303423488) is too large",
       [&] {
         (void)(wide * Tensor::ones({2, 1}));
       }},
      {"<: (2, 576460752303423488) is too large",
       [&] {
         (void)(wide < Tensor::ones({2, 1}));
       }},
      {"atan2: " + square, [&] { (void)column.atan2(wide); }},
      {"lerp: " + square, [&] { (void)wide.lerp(wide, column); }},
      {"masked_select: " + square, [&] { (void)wide.masked_select(column > 0); }},
      {"matmul: " + square, [&] { (void)column.matmul(row); }},
      {"linear: " + square, [&] { (void)column.linear(column); }},
      {"einsum: " + square,
       [&] {
         (void)Tensor::einsum("i,j->ij", {wide, wide});
       }},
      {"einsum: (576460752303423488, 1, 576460752303423488",
       [&] {
         (void)Tensor::einsum("ik,jk->ij", {column, column});
       }},
      {"scaled_dot_product_attention: " + square, [&] { (void)column.scaled_dot_product_attention(column, column); }},
      {"pad: (1729382256910270462,) is too large", [&] { (void)wide.pad({k59 - 1}, {k59 - 1}, PadMode::Circular); }},
      {"pad: (1729382256910270462,) is too large", [&] { (void)wide.pad({k59 - 1}, {k59 - 1}, PadMode::Reflect); }},
      {"bitcast: (576460752303423488, 4) is too large", [&] { (void)wide.bitcast(DType::UInt8); }},
      {"embedding: (576460752303423488, 4) is too large",
       [&] {
         (void)Tensor::ones({1, 4}).embedding(wide.cast(DType::Int64));
       }},
      {"conv2d: ", [&] { (void)image(1, 1, k31, k31 / 16).conv2d(image(k31, 1, 1, 1)); }},
      {"conv2d: ", [&] { (void)image(1, k31, k31 / 16, 1).conv2d(image(k31 / 16, k31, 1, 1)); }},
      {"conv_transpose2d: ", [&] { (void)image(1, 1, k31, k31 / 16).conv_transpose2d(image(1, k31, 1, 1)); }},
      {"conv_transpose2d: ", [&] { (void)image(1, k31, k31 / 16, 1).conv_transpose2d(image(k31, k31 / 16, 1, 1)); }},
      {"interpolate: (1, 1, 2147483647, 2147483647) is too large",
       [&] { (void)image(1, 1, 1, 1).interpolate(k31 - 1); }},
      {"Upsample: (2147483647, 576460752303423488) is too large",
       [&] { (void)nn::Upsample{k31 - 1}(image(1, 1, k59, 1)); }},
      {"zeros: (9223372036854775807, 0) is too large",
       [] {
         (void)Tensor::zeros({kMax, 0});
       }},
      {"expand: (4294967296, 4294967296, 0) is too large",
       [] {
         (void)Tensor::zeros({0}).expand({k31 * 2, k31 * 2, 0});
       }},
      {"randn: (9223372036854775807,) is too large", [] { (void)Tensor::randn({kMax}); }},
      {"uniform: (9223372036854775807,) is too large", [] { (void)Tensor::uniform({kMax}, 0, 1); }},
      {"normal: (9223372036854775807,) is too large", [] { (void)Tensor::normal({kMax}, 0, 1); }},
      {"randint: (9223372036854775807,) is too large", [] { (void)Tensor::randint(0, 5, {kMax}); }},
      {"multinomial: (9223372036854775807,) is too large", [&] { (void)one.multinomial(kMax, true); }},
      {"kaiming_uniform: (9223372036854775807, 2) is too large",
       [] {
         (void)Tensor::kaiming_uniform({kMax, 2});
       }},
      {"Linear: (17179869184, 17179869184) is too large", [] { nn::Linear(k31 * 8, k31 * 8); }},
      {"Conv2d: (2147483648, 2147483648, 3, 3) is too large", [] { nn::Conv2d(k31, k31, 3); }},
      {"ConvTranspose1d: (2147483648, 2147483648, 3) is too large", [] { nn::ConvTranspose1d(k31, k31, 3); }},
      {"Embedding: (17179869184, 17179869184) is too large", [] { nn::Embedding(k31 * 8, k31 * 8); }},
      {"LSTMCell: (34359738368, 8589934592) is too large", [] { nn::LSTM(k31 * 4, k31 * 4); }},
      {"LayerNorm: (2147483648, 2147483648) is too large",
       [] {
         nn::LayerNorm({k31, k31});
       }},
      {"BatchNorm2d: a size of 1152921504606846976", [] { nn::BatchNorm2d(k59 * 2); }},
      {"MultiHeadAttention: 2 heads of queries are no multiple of 9223372036854775807 of keys",
       [&] { nn::MultiHeadAttention(4, 2, {.key_heads = kMax}); }},
  });
}

TEST_CASE("functional: what has room in sixteen axes") {
  Shape shape = Dims::filled(16, 1);
  shape[1] = 4, shape[2] = 3, shape[15] = 2;
  const Tensor x = Tensor::randn(shape), flat = x.reshape({1, 4, 3, 2});
  CHECK(difference(nn::GroupNorm(2, 4)(x).reshape({1, 4, 3, 2}), nn::GroupNorm(2, 4)(flat)) == "");
  CHECK(difference(x.quantile(0.5, 2, true).flatten(), flat.quantile(0.5, 2, true).flatten()) == "");
  CHECK(x.quantile(0.5, 2, true).rank() == 16);
  const Tensor bytes = x.bitcast(DType::UInt8);
  CHECK(difference(bytes.reshape({1, 4, 3, 8}), flat.bitcast(DType::UInt8)) == "");
  CHECK(difference(bytes.bitcast(DType::Float32), x) == "");
}

TEST_CASE("functional: sixteen axes are gathered, sorted and picked from") {
  Shape shape = Dims::filled(16, 1);
  shape[3] = 5, shape[7] = 2, shape[15] = 3;
  const Tensor x = Tensor::randn(shape), flat = x.reshape({5, 2, 3});
  const auto same = [](const Tensor& a, const Tensor& b) { return difference(a.flatten(), b.flatten()) == ""; };
  for (const auto& [axis, of_flat] : {std::pair{3, 0}, {7, 1}, {15, 2}}) {
    CHECK(same(x.sort(axis).values, flat.sort(of_flat).values));
    CHECK(same(x.topk(1, axis).indices, flat.topk(1, of_flat).indices));
    CHECK(same(x.cummax(axis).values, flat.cummax(of_flat).values));
    CHECK(same(x.median(axis).values, flat.median(of_flat).values));
    CHECK(same(x.quantile(0.4, axis), flat.quantile(0.4, of_flat)));
    CHECK(same(x.index_select(axis, Tensor::of<int64_t>({1, 0})),
               flat.index_select(of_flat, Tensor::of<int64_t>({1, 0}))));
  }
  CHECK(same(x.repeat(Dims::filled(16, 1)), flat));
  Dims twice = Dims::filled(16, 1);
  twice[0] = 2;  // of size 1
  CHECK(same(x.repeat(twice), flat.unsqueeze(0).repeat({2, 1, 1, 1})));
  CHECK(same(x.matmul(x.transpose()), flat.unsqueeze(-2).matmul(flat.unsqueeze(-1))));
  CHECK(same(x.matmul(Tensor::ones({3})), flat.matmul(Tensor::ones({3}))));
  CHECK(same(Tensor::ones({1}).matmul(x), flat));
  CHECK(same(x.linear(Tensor::ones({2, 3})), flat.linear(Tensor::ones({2, 3}))));
  CHECK(same(x.masked_select(x > 0), flat.masked_select(flat > 0)));
  Tensor a = x.contiguous().requires_grad_(), b = flat.contiguous().requires_grad_();
  (a.sort(3).values * a.cumsum(3)).sum().backward();
  (b.sort(0).values * b.cumsum(0)).sum().backward();
  CHECK(same(a.grad(), b.grad()));
  Shape fewer = shape;
  fewer[3] = 2, fewer[15] = 1;
  const Tensor index = (Tensor::arange(4).reshape(fewer) % 2);
  CHECK(same(x.gather(3, index), flat.gather(0, index.reshape({2, 2, 1}))));
}

TEST_CASE("functional: formulas at the edges of their options and operands") {
  const auto grad = [](std::initializer_list<double> values, auto&& f) {
    Tensor x = Tensor::from(std::vector<double>(values)).cast(DType::Float32).requires_grad_();
    Tensor y = f(x);
    y.sum().backward();
    return x.grad().to_vector();
  };
  const Tensor bytes = Tensor::of<uint8_t>({0, 5, 255});  // whose distances are no bytes
  CHECK(bytes.lerp(bytes.flip(0), 0.5).to_vector() == std::vector<float>{127.5, 5, 127.5});
  CHECK(bytes.lerp(bytes.flip(0), Tensor::of({0.25, 0.5, 0.75})).to_vector() == std::vector<float>{63.75, 5, 63.75});
  const Tensor zero = Tensor::zeros({1});
  for (const DType dtype : {DType::Float16, DType::Float32, DType::Float64})
    CHECK(Tensor::of({200}).cast(dtype).huber_loss(zero.cast(dtype), 1e20).item() == 20000);
  CHECK(Tensor::of({1e-8}).huber_loss(zero, 1e30).item() == doctest::Approx(5e-17));
  CHECK(Tensor::of({1e29}).smooth_l1_loss(zero, 1e30).item() == doctest::Approx(5e27));
  CHECK(grad({3, -0.25}, [](const Tensor& x) { return x.huber_loss(x.zeros_like(), 2, Reduction::Sum); }) ==
        std::vector<float>{2, -0.25});
  CHECK(std::isnan(grad({NAN}, [&](const Tensor& x) { return x.smooth_l1_loss(zero, 1); })[0]));
  CHECK(grad({1.4e-45, -1.4e-45, 0}, [](const Tensor& x) { return x.softplus(0.5); }) == std::vector<float>(3, 0.5));
  CHECK(Tensor::of({2}).softplus(-1).item() == doctest::Approx(-0.126928));
  CHECK(Tensor::of({-2}).softplus(-1).item() == doctest::Approx(-2.126928));
  for (const Rounding rounding : {Rounding::Trunc, Rounding::Floor}) {
    const Tensor divisor = Tensor::of({0, 2, 3});
    CHECK(grad({1, NAN, 7}, [&](const Tensor& x) { return div(x, divisor, rounding); }) == std::vector<float>(3, 0));
    CHECK(grad({0, 2, 3}, [&](const Tensor& y) { return div(divisor + 1, y, rounding); }) == std::vector<float>(3, 0));
  }
  for (const Tensor& x : {Tensor::of({1, 2}), Tensor::of({1, 2}).cast(DType::Float16)})
    for (const Tensor& y : {x.clamp(NAN), x.clamp({}, NAN), x.clamp(0., NAN), x.clamp(NAN, 1.)})
      CHECK(y.isnan().all().item<bool>());
  const Tensor narrow = Tensor::zeros({2, 3, 0}), values = Tensor::ones({2, 3, 6});
  CHECK(narrow.scaled_dot_product_attention(narrow, values).to_vector() == std::vector<float>(36, 1));
  CHECK(Tensor::kaiming_uniform({0, 0}).numel() + Tensor::glorot_uniform({0, 0}).numel() == 0);
  // The windows at 0 and 2 hold padding alone.
  CHECK(grad({5}, [](const Tensor& x) {
          return x.reshape({1, 1, 1}).max_pool1d(2, {.stride = 1, .padding = 1, .dilation = 2});
        }) == std::vector<float>{0});
}

/// The position of a window's element as PyTorch finds it: walks the window, and keeps what is larger than all before,
/// or NaN.
static int64_t position_of_largest(const std::vector<float>& image, int64_t height, int64_t width, int64_t top,
                                   int64_t left, int64_t window, int64_t dilation) {
  int64_t found = -1;
  for (int64_t i = 0; i < window; ++i)
    for (int64_t j = 0; j < window; ++j) {
      const int64_t y = top + i * dilation, x = left + j * dilation, here = y * width + x;
      if (y < 0 || y >= height || x < 0 || x >= width) continue;
      if (found < 0 || image[size_t(here)] > image[size_t(found)] || std::isnan(image[size_t(here)])) found = here;
    }
  return found;
}

TEST_CASE("functional: of equals a maximum's gradient takes the first, of NaNs the last") {
  std::mt19937_64 random(1);
  const float kinds[] = {0, 1, 1, -INFINITY, NAN};
  for (int round = 0; round < 200; ++round) {
    const int64_t window = 2 + int64_t(random() % 6), stride = 1 + int64_t(random() % 3);
    const int64_t padding = int64_t(random() % uint64_t(window / 2 + 1)), dilation = 1 + int64_t(random() % 2);
    const int64_t height = 7 + int64_t(random() % 6), width = 7 + int64_t(random() % 6);
    const int64_t reach = dilation * (window - 1) + 1;
    if (reach > std::min(height, width) + 2 * padding || dilation > std::min(height, width)) continue;
    const uint64_t few = 2 + random() % 4;  // kinds of elements
    std::vector<float> image;
    for (int64_t i = 0; i < height * width; ++i) image.push_back(kinds[random() % few]);
    std::vector<int64_t> want;
    for (int64_t y = -padding; y + reach <= height + padding; y += stride)
      for (int64_t x = -padding; x + reach <= width + padding; x += stride)
        want.push_back(position_of_largest(image, height, width, y, x, window, dilation));
    CAPTURE(window);
    CAPTURE(stride);
    CAPTURE(padding);
    CAPTURE(dilation);
    const PoolOptions options{.stride = stride, .padding = padding, .dilation = dilation};
    const Tensor x = Tensor::from(image, {1, height, width});
    CHECK(max_pool2d_with_indices(x, window, options).indices.to_vector<int64_t>() == want);
  }
}

TEST_CASE("functional: offsets of bags are refused where they are none") {
  nn::EmbeddingBag bag(4, 2);
  const Tensor index = Tensor::of<int64_t>({0, 1, 2});
  const char* message = "EmbeddingBag: the offsets must begin with 0, ascend, and stay within the index";
  for (const std::vector<int64_t>& offsets : std::vector<std::vector<int64_t>>{{0, 5}, {0, -1}, {0, 2, 1}, {1, 2}, {4}})
    for (const nn::BagMode mode : {nn::BagMode::Sum, nn::BagMode::Mean, nn::BagMode::Max}) {
      bag.options.mode = mode;
      CHECK_THROWS_WITH_AS(bag(index, Tensor::from(offsets)).to_vector(), message, Error);
    }
  for (const std::vector<int64_t>& offsets : std::vector<std::vector<int64_t>>{{0}, {0, 0, 3}, {0, 2}})
    CHECK(bag(index, Tensor::from(offsets)).to_vector().size() == offsets.size() * 2);
  CHECK(bag(index, Tensor::zeros({0}, DType::Int64)).shape() == Shape{0, 2});
}

TEST_CASE("functional: an infinite gradient of a mean stays in its window") {
  using Windows = std::pair<int64_t, int64_t>;
  for (const auto& [window, stride] : {Windows{3, 1}, {3, 2}, {4, 2}, {2, 2}, {2, 3}, {5, 2}, {11, 1}}) {
    Tensor x = Tensor::ones({1, 1, 11, 11}).requires_grad_();
    const Tensor y = x.avg_pool2d(window, {.stride = stride});
    const int64_t n = y.size(-1), at = n > 1 ? 1 : 0;
    const Tensor row = Tensor::arange(n) == at, one = row.unsqueeze(1) & row;
    Tensor loss = y;
    loss.backward(where(one, INFINITY, Tensor::zeros({n, n})).expand(y.shape()));
    const std::vector<float> dx = x.grad().to_vector();
    for (int64_t i = 0; i < 121; ++i) {
      const auto inside = [&](int64_t k) { return k >= at * stride && k < at * stride + window; };
      CHECK_MESSAGE(dx[size_t(i)] == (inside(i / 11) && inside(i % 11) ? INFINITY : 0.0f), text(window, ' ', stride));
    }
  }
}

TEST_CASE("functional: interpolation along an axis that float32 cannot count") {
  const int64_t n = (int64_t(1) << 24) + 4;
  const Tensor x = (Tensor::arange(n) % 1000).cast(DType::Float32).reshape({1, 1, n});
  for (const Interpolation mode : {Interpolation::Nearest, Interpolation::NearestExact, Interpolation::Linear})
    CHECK(difference(x.interpolate(n, {.mode = mode})[{0, 0, slice(-4)}], x[{0, 0, slice(-4)}]) == "");
}

TEST_CASE("functional: empty axes give empty results") {
  const auto zeros = [](const Shape& shape) { return Tensor::zeros(shape).requires_grad_(); };
  const Tensor q = zeros({2, 3}), k = zeros({0, 3}), v = zeros({0, 4}), none = Tensor::zeros({0}, DType::Int64);
  const std::vector<std::pair<Tensor, Shape>> results = {
      {q.scaled_dot_product_attention(k, v), {2, 4}},
      {q.scaled_dot_product_attention(k, v, Tensor::full({2, 0}, true)), {2, 4}},
      {zeros({0, 2, 3, 4}).interpolate(5, {.mode = Interpolation::Linear}), {0, 2, 5, 5}},
      {zeros({0, 2, 3, 4}).interpolate(5), {0, 2, 5, 5}},
      {zeros({0, 2, 4, 4}).max_pool2d(), {0, 2, 2, 2}},
      {zeros({0, 2, 4, 4}).avg_pool2d(), {0, 2, 2, 2}},
      {zeros({0, 2, 4, 4}).adaptive_avg_pool2d(2), {0, 2, 2, 2}},
      {zeros({1, 2, 4, 4}).adaptive_avg_pool2d(0), {1, 2, 0, 0}},
      {zeros({2, 4, 4}).adaptive_avg_pool2d({0, 3}), {2, 0, 3}},
      {zeros({0, 2}).norm(-1, 1), {0}},
      {zeros({0, 2, 4, 4}).conv2d(zeros({3, 2, 2, 2}), {}, {.padding = "same"}), {0, 3, 4, 4}},
      {zeros({0, 2, 4, 4}).conv_transpose2d(zeros({2, 3, 2, 2})), {0, 3, 5, 5}},
      {zeros({0, 3}).topk(2).values, {0, 2}},
      {zeros({3, 0}).sort(1).values, {3, 0}},
      {zeros({3, 0}).cummin(1).values, {3, 0}},
      {zeros({0, 3}).logcumsumexp(0), {0, 3}},
      {zeros({0, 3}).diag(), {0}},
      {zeros({0}).diag_embed(), {0, 0}},
      {zeros({0}).scatter_reduce(0, none, zeros({0}), ScatterReduce::Prod), {0}},
      {zeros({2}).scatter_reduce(0, none, zeros({0}), ScatterReduce::Amax, false), {2}},
      {zeros({0, 3}).median(1).values, {0}},
      {grid_sample(zeros({1, 0, 3, 3}), zeros({1, 2, 2, 2})), {1, 0, 2, 2}},
      {grid_sample(zeros({1, 1, 3, 3}), zeros({1, 0, 2, 2})), {1, 1, 0, 2}},
      {unfold(zeros({0, 1, 3, 3}), 2), {0, 4, 4}},
      {fold(zeros({0, 4, 4}), 3, 2), {0, 1, 3, 3}},
      {max_unpool2d(zeros({0, 2, 2, 2}), Tensor::zeros({0, 2, 2, 2}, DType::Int64)), {0, 2, 4, 4}},
      {gumbel_softmax(zeros({0, 3}), 1, true), {0, 3}},
  };
  for (const auto& [result, shape] : results) {
    CHECK(difference(result, Tensor::zeros(shape)) == "");
    Tensor(result).sum().backward();
  }
}

TEST_CASE("functional: refused arguments") {
  const Tensor x = Tensor::ones({2, 3, 4, 5}), bools = Tensor::full({3}, true), at = Tensor::zeros({3}, DType::Int64);
  check_refused({
      {"conv2d: padding \"same\" needs a stride of 1, not (2, 2)",
       [&] {
         (void)x.conv2d(Tensor::ones({1, 3, 2, 2}), {}, {.stride = 2, .padding = "same"});
       }},
      {"conv2d: padding_end beside padding \"same\"",
       [&] {
         (void)x.conv2d(Tensor::ones({1, 3, 2, 2}), {}, {.padding = "same", .padding_end = 1});
       }},
      {"padding is \"same\", \"valid\" or amounts, not \"full\"", [] { (void)ConvOptions{.padding = "full"}; }},
      {"scaled_dot_product_attention: enable_gqa: the heads of queries (2, 3, 4, 5) are not a multiple of those of "
       "keys (2, 2, 4, 5)",
       [&] {
         const Tensor k = Tensor::ones({2, 2, 4, 5});
         (void)x.scaled_dot_product_attention(k, k, {.enable_gqa = true});
       }},
      {"scaled_dot_product_attention: causal beside a mask",
       [&] {
         (void)x.scaled_dot_product_attention(x, x, Tensor::full({4, 4}, true), {.causal = true});
       }},
      {"scatter_reduce: not defined on bools", [&] { (void)bools.scatter_reduce(0, at, bools, ScatterReduce::Prod); }},
      {"scatter_reduce: index 7 at position (0,) is outside 0 <= index < 3",
       [&] {
         const Tensor three = Tensor::ones({3});
         three.scatter_reduce(0, Tensor::of<int64_t>({7, 0, 1}), three, ScatterReduce::Amax).realize();
       }},
      {"index_reduce: the source is float32 (2,) and must be float32 (3,)",
       [&] { (void)Tensor::ones({3}).index_reduce(0, at, Tensor::ones({2}), ScatterReduce::Mean); }},
      {"index_select: 2 positions of a tensor without axes",
       [&] { (void)Tensor(1.0).index_select(0, at[slice(0, 2)]); }},
      {"diag: (2, 3, 4, 5); a vector (n), or a matrix (n, m)", [&] { (void)x.diag(); }},
      {"diag_embed: axes 1 and -4 of (2, 3, 4, 5, 5) are one", [&] { (void)x.diag_embed(0, 1, -4); }},
      {"diag_embed: a tensor without axes", [&] { (void)Tensor(1.0).diag_embed(); }},
      {"median: axis 1 of (2, 0) is empty",
       [] {
         (void)Tensor::zeros({2, 0}).median(1);
       }},
      {"median: not defined on bools", [&] { (void)bools.median(0); }},
      {"median: axis 0 of (0,) is empty", [] { (void)Tensor::zeros({0}, DType::Int64).median(); }},
      {"quantile: 1.5 is outside [0, 1]",
       [&] {
         (void)x.quantile({0.5, 1.5});
       }},
      {"quantile: (2, 0) is empty",
       [] {
         (void)Tensor::zeros({2, 0}).quantile(0.5);
       }},
      {"quantile: needs floats, not int64", [&] { (void)at.quantile(0.5); }},
      {"quantile: axis 4 is outside", [&] { (void)x.quantile(0.5, 4); }},
      {"logcumsumexp: axis 4 is outside", [&] { (void)x.logcumsumexp(4); }},
      {"div: not defined on bools", [&] { (void)div(bools, bools, Rounding::Trunc); }},
      {"div: (3,) and (2, 3, 4, 5) do not broadcast", [&] { (void)div(at, x, Rounding::Trunc); }},
      {"max_unpool2d: indices of (3,) for elements of (2, 3, 4, 5)", [&] { (void)max_unpool2d(x, at); }},
      {"max_unpool2d: index 80 at position", [&] { max_unpool2d(x, x.cast(DType::Int64) + 79).realize(); }},
      {"max_unpool2d: an output_size of (8, 12) is not pooled to (2, 3, 4, 5)",
       [&] {
         (void)max_unpool2d(x, x.cast(DType::Int64), 2, {.output_size = Sizes{8, 12}});
       }},
      {"max_pool2d: padding (1, 1) and (2, 2) is more than half the window (2, 2)",
       [&] { (void)x.max_pool2d(2, {.padding = 1, .padding_end = 2}); }},
      {"pixel_shuffle: (2, 3, 4, 5) with r = 2: (.., C r^2, H, W)", [&] { (void)pixel_shuffle(x, 2); }},
      {"pixel_unshuffle: (2, 3, 4, 5) with r = 2: (.., C, H r, W r)", [&] { (void)pixel_unshuffle(x, 2); }},
      {"unfold: a window of (6, 6), dilation (1, 1), is larger than the padded image (4, 5)",
       [&] { (void)unfold(x, 6); }},
      {"fold: columns of (2, 12, 7) for an image of (3, 4)",
       [] {
         (void)fold(Tensor::ones({2, 12, 7}), {3, 4}, 2);
       }},
      {"grid_sample: an image of (2, 3, 4, 5) and a grid of (3, 4, 4, 2)",
       [&] {
         (void)grid_sample(x, Tensor::ones({3, 4, 4, 2}));
       }},
      {"grid_sample: the mode is Linear, Nearest or Cubic",
       [&] {
         (void)grid_sample(x, Tensor::ones({2, 4, 4, 2}), {Interpolation::NearestExact});
       }},
      {"grid_sample: cubic needs an image (N, C, H, W), not (1, 1, 2, 2, 2)",
       [&] {
         (void)grid_sample(Tensor::ones({1, 1, 2, 2, 2}), Tensor::ones({1, 2, 2, 2, 3}), {Interpolation::Cubic});
       }},
      {"grid_sample: needs floats, not int64",
       [&] {
         (void)grid_sample(x.cast(DType::Int64), Tensor::ones({2, 4, 4, 2}));
       }},
      {"interpolate: a weighted sum needs floats or uint8, not int64",
       [&] { (void)x.cast(DType::Int64).interpolate(3, {.mode = Interpolation::Linear}); }},
      {"interpolate: align_corners is for linear and cubic",
       [&] { (void)x.interpolate(3, {.mode = Interpolation::NearestExact, .align_corners = true}); }},
  });
}

}  // namespace teeny::test
