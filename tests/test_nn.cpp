// Layers: initial values, errors, and some compared with plain loops in double precision. Their values are
// compared with PyTorch's in test_golden_models.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "check_close.h"
#include "check_refused.h"
#include "state_helpers.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"

using namespace teeny;

namespace {

/// All elements within the bounds, and reaching far into both halves.
void check_uniform(const Tensor& x, double bound) {
  const auto values = x.to_vector<double>();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  CHECK(*low >= -bound);
  CHECK(*high <= bound);
  CHECK(*low < -0.8 * bound);
  CHECK(*high > 0.8 * bound);
}

}  // namespace

TEST_CASE("nn: Linear") {
  Tensor::manual_seed(1);
  const nn::Linear layer(100, 30), plain(3, 2, {.bias = false});
  CHECK(layer.weight.shape() == Shape{30, 100});
  CHECK(layer.bias.shape() == Shape{30});
  CHECK(layer.weight.requires_grad());
  CHECK(layer.bias.requires_grad());
  CHECK_FALSE(plain.bias.defined());
  check_uniform(layer.weight, 0.1);
  check_uniform(layer.bias, 0.1);

  const Tensor x = Tensor::randn({2, 5, 3});
  const auto in = x.to_vector<double>(), w = plain.weight.to_vector<double>();
  std::vector<double> wanted;
  for (size_t row = 0; row < 10; ++row)
    for (size_t o = 0; o < 2; ++o)
      wanted.push_back(in[3 * row] * w[3 * o] + in[3 * row + 1] * w[3 * o + 1] + in[3 * row + 2] * w[3 * o + 2]);
  CHECK(plain(x).shape() == Shape{2, 5, 2});
  check_close(plain(x), wanted, 1e-5);
  CHECK_THROWS_AS(nn::Linear(-1, 2), Error);
}

TEST_CASE("nn: Conv2d") {
  const nn::Conv2d square(3, 8, 5), wide(4, 6, {3, 5}, {.stride = 2, .padding = {1, 2}, .groups = 2}, {.bias = false});
  CHECK(square.weight.shape() == Shape{8, 3, 5, 5});
  CHECK(square.bias.shape() == Shape{8});
  check_uniform(square.weight, 1 / std::sqrt(75.0));
  CHECK(wide.weight.shape() == Shape{6, 2, 3, 5});
  CHECK_FALSE(wide.bias.defined());
  check_uniform(wide.weight, 1 / std::sqrt(30.0));
  CHECK(square(Tensor::zeros({2, 3, 9, 8})).shape() == Shape{2, 8, 5, 4});
  CHECK(wide(Tensor::zeros({2, 4, 9, 8})).shape() == Shape{2, 6, 5, 4});
  CHECK_THROWS_AS(nn::Conv2d(3, 8, 5, {.groups = 2}), Error);
  CHECK_THROWS_AS(nn::Conv2d(3, 8, {1, 2, 3}), Error);
}

TEST_CASE("nn: a layer without a bias, in both ways of writing") {
  CHECK(nn::Linear(2, 3, {}).bias.defined());
  CHECK(nn::Linear(2, 3, true).bias.defined());
  CHECK_FALSE(nn::Linear(2, 3, false).bias.defined());
  CHECK(nn::Conv2d(2, 3, 1, {}, {}).bias.defined());
  CHECK_FALSE(nn::Conv2d(2, 3, 1, {}, false).bias.defined());
  CHECK_FALSE(nn::Conv1d(2, 3, 1, {.stride = 2}, false).bias.defined());
  CHECK_FALSE(nn::ConvTranspose2d(2, 3, 1, {}, false).bias.defined());
  CHECK(nn::MultiHeadAttention(6, 2, {}).in_proj_bias.defined());
  CHECK_FALSE(nn::MultiHeadAttention(6, 2, {.bias = false}).in_proj_bias.defined());
  CHECK_FALSE(nn::MultiHeadAttention(6, 2, false).out_proj.bias.defined());
  CHECK(nn::LSTMCell(2, 3, {}).bias_ih.defined());
  CHECK_FALSE(nn::LSTMCell(2, 3, false).bias_ih.defined());
  CHECK_FALSE(nn::GRUCell(2, 3, false).bias_hh.defined());
  CHECK_FALSE(nn::RNNCell(2, 3, false, true).bias_hh.defined());
}

TEST_CASE("nn: attention with fewer heads of keys, and with weights that drop") {
  Tensor::manual_seed(3);
  const int64_t d = 3;
  nn::MultiHeadAttention grouped(12, 4, {.key_heads = 2}), whole(12, 4);
  CHECK(grouped.in_proj_weight.shape() == Shape{24, 12});
  // The same weights, with each head of keys and values twice.
  const auto repeated = [&](const Tensor& rows) {
    const auto parts = rows.split(Dims{12, 6, 6}, 0);
    const auto twice = [&](const Tensor& x) { return x.unflatten(0, {2, d}).repeat_interleave(2, 0).flatten(0, 1); };
    return Tensor::cat({parts[0], twice(parts[1]), twice(parts[2])});
  };
  {
    const NoGrad guard;
    grouped.in_proj_bias.assign(Tensor::randn({24}));
    whole.in_proj_weight.assign(repeated(grouped.in_proj_weight));
    whole.in_proj_bias.assign(repeated(grouped.in_proj_bias));
    whole.out_proj.weight.assign(grouped.out_proj.weight);
  }
  const Tensor x = Tensor::randn({2, 5, 12}), memory = Tensor::randn({2, 7, 12}), mask = Tensor::tri(5, 7, 1);
  CHECK(grouped(x, x, x).allclose(whole(x, x, x), 1e-5, 1e-6));
  CHECK(grouped(x, memory, memory, mask).allclose(whole(x, memory, memory, mask), 1e-5, 1e-6));

  nn::MultiHeadAttention dropped(12, 4, {.dropout = 0.5});
  nn::load_state_dict(dropped, nn::state_dict(whole));
  const Tensor calm = whole(x, x, x);
  CHECK(dropped(x, x, x).allclose(calm));
  CHECK(dropped(x, x, x, Tensor::tri(5, 5, 4)).allclose(calm));
  const Training mode;
  CHECK_FALSE(dropped(x, x, x).allclose(calm));
  CHECK_FALSE(dropped(x, x, x, Tensor::tri(5, 5, 4)).allclose(calm));
  // An encoder hands its dropout on.
  CHECK(nn::TransformerEncoderLayer(12, 4, {.dropout = 0.25}).self_attn.options.dropout == 0.25);
}

TEST_CASE("nn: BatchNorm2d follows the batch while training") {
  Tensor::manual_seed(2);
  nn::BatchNorm2d norm(3);
  nn::load_state_dict(norm, {{"weight", Tensor::of<float>({1, 2, -3})},
                             {"bias", Tensor::of<float>({0, 1, 5})},
                             {"running_mean", Tensor::of<float>({0.5, 0, -1})},
                             {"running_var", Tensor::of<float>({1, 2, 3})},
                             {"num_batches_tracked", Tensor::full({}, 7, DType::Int64)}});
  const Tensor x = Tensor::randn({4, 3, 2, 5}) * 2 + 100;
  const auto in = x.to_vector<double>();
  const double weight[] = {1, 2, -3}, bias[] = {0, 1, 5}, mean0[] = {0.5, 0, -1}, var0[] = {1, 2, 3};
  std::vector<double> trained(120), evaluated(120), means, vars;
  for (size_t c = 0; c < 3; ++c) {
    const auto at = [c](size_t n, size_t p) { return 30 * n + 10 * c + p; };
    double mean = 0, var = 0;
    for (size_t n = 0; n < 4; ++n)
      for (size_t p = 0; p < 10; ++p) mean += in[at(n, p)] / 40;
    for (size_t n = 0; n < 4; ++n)
      for (size_t p = 0; p < 10; ++p) var += std::pow(in[at(n, p)] - mean, 2) / 40;
    for (size_t n = 0; n < 4; ++n)
      for (size_t p = 0; p < 10; ++p) {
        trained[at(n, p)] = (in[at(n, p)] - mean) / std::sqrt(var + 1e-5) * weight[c] + bias[c];
        evaluated[at(n, p)] = (in[at(n, p)] - mean0[c]) / std::sqrt(var0[c] + 1e-5) * weight[c] + bias[c];
      }
    means.push_back(0.9 * mean0[c] + 0.1 * mean);
    vars.push_back(0.9 * var0[c] + 0.1 * var * 40 / 39);
  }
  check_close(norm(x), evaluated, 1e-5);
  CHECK(norm.num_batches_tracked.item<int64_t>() == 7);
  {
    Training guard;
    check_close(norm(x), trained, 1e-4);
  }
  check_close(norm.running_mean, means, 1e-6);
  check_close(norm.running_var, vars, 1e-5);
  CHECK(norm.num_batches_tracked.item<int64_t>() == 8);
  CHECK_FALSE(norm.running_mean.requires_grad());
  CHECK_FALSE(norm.running_var.requires_grad());

  Training guard;
  CHECK_THROWS_AS(norm(Tensor::zeros({4, 2, 2, 2})), Error);
  CHECK_THROWS_AS(norm(Tensor::zeros({1, 3, 1, 1})), Error);
}

TEST_CASE("nn: norms of float16 square no element beyond 65504") {
  const Training mode;
  const Tensor x = Tensor::of({{-300, 300}, {300, -300}}).cast(DType::Float16);
  const auto is_one = [](const Tensor& y) { return (y.abs() - 1).abs().max().item() < 1e-3; };
  nn::BatchNorm1d batch(2);
  CHECK(is_one(batch(x)));
  CHECK(batch.running_var.to_vector() == std::vector<float>(2, 0.9f + 0.1f * 180000));
  CHECK(is_one(nn::LayerNorm(2, {.affine = false})(x)));
  CHECK(is_one(nn::GroupNorm(1, 2, {.affine = false})(x)));
  CHECK(is_one(nn::InstanceNorm1d(1)(x.unsqueeze(1))));
  CHECK(nn::GroupNorm(1, 2, {.affine = false})(x).dtype() == DType::Float16);
  for (Tensor* part : {&batch.weight, &batch.bias}) *part = part->detach().cast(DType::Float16);
  CHECK(batch(x).dtype() == DType::Float16);
}

TEST_CASE("nn: BatchNorm2d's gradient, and the gradient of that") {
  Tensor::manual_seed(3);
  Training guard;
  nn::BatchNorm2d norm(2);
  const Tensor k = Tensor::randn({3, 2, 2, 2}, DType::Float64);
  const auto loss = [&](const Tensor& x) { return (norm(x).square() * k).sum(); };
  const auto slope = [&](const Tensor& x) { return (gradient(loss(x), {x})[0] * k).sum(); };
  const std::vector<double> at = Tensor::randn({3, 2, 2, 2}, DType::Float64).to_vector<double>();
  const auto check_gradient = [&](const std::function<Tensor(const Tensor&)>& f) {
    const auto tensor = [](const std::vector<double>& v) { return Tensor::from(v, {3, 2, 2, 2}).requires_grad_(); };
    const Tensor x = tensor(at);
    std::vector<double> numeric;
    for (size_t i = 0; i < at.size(); ++i) {
      auto up = at, down = at;
      up[i] += 1e-5, down[i] -= 1e-5;
      numeric.push_back((f(tensor(up)).item() - f(tensor(down)).item()) / 2e-5);
    }
    check_close(gradient(f(x), {x})[0], numeric, 1e-6);
  };
  check_gradient(loss);
  check_gradient(slope);
}

TEST_CASE("nn: LayerNorm, Embedding, Dropout") {
  Tensor::manual_seed(4);
  const nn::LayerNorm norm(4), whole(Shape{3, 4});
  const Tensor x = Tensor::randn({2, 3, 4}) * 3 + 1;
  const auto in = x.to_vector<double>();
  const auto normalised = [&in](size_t row) {
    std::vector<double> out;
    for (size_t start = 0; start < in.size(); start += row) {
      double mean = 0, var = 0;
      for (size_t i = start; i < start + row; ++i) mean += in[i] / double(row);
      for (size_t i = start; i < start + row; ++i) var += std::pow(in[i] - mean, 2) / double(row);
      for (size_t i = start; i < start + row; ++i) out.push_back((in[i] - mean) / std::sqrt(var + 1e-5));
    }
    return out;
  };
  check_close(norm(x), normalised(4), 1e-5);
  check_close(whole(x), normalised(12), 1e-5);
  CHECK(whole.weight.shape() == Shape{3, 4});

  const nn::Embedding table(5, 3);
  const auto rows = table.weight.to_vector(), picked = table(Tensor::of<int64_t>({4, 0, 4})).to_vector();
  CHECK(table(Tensor::of<int64_t>({{4, 0}})).shape() == Shape{1, 2, 3});
  for (size_t i = 0; i < 3; ++i) {
    CHECK(picked[i] == rows[12 + i]);
    CHECK(picked[3 + i] == rows[i]);
  }

  const nn::Dropout drop(0.25);
  const Tensor ones = Tensor::ones({10000});
  CHECK(drop(ones).sum().item() == 10000);
  Training guard;
  const auto kept = drop(ones).to_vector();
  const auto zeros = std::count(kept.begin(), kept.end(), 0.0f);
  CHECK(zeros > 2200);
  CHECK(zeros < 2800);
  CHECK(std::count(kept.begin(), kept.end(), 1 / 0.75f) == 10000 - zeros);
  CHECK_THROWS_AS(nn::Dropout(1.5), Error);
}

TEST_CASE("nn: Dropout2d drops whole channels, and PReLU starts as a leaky relu") {
  const Tensor x = Tensor::ones({50, 40, 3, 2});
  CHECK(nn::Dropout2d(0.25)(x).sum().item() == 12000);
  const Training mode;
  const Tensor y = nn::Dropout2d(0.25)(x), channels = y.mean({2, 3});
  CHECK(y.flatten(2).var(2).max().item() == 0);
  CHECK(channels.max().item() == 1 / 0.75f);
  const double zeros = (channels == 0).sum().item();
  CHECK(zeros > 420);
  CHECK(zeros < 580);
  const Tensor at = Tensor::of({-4, 0, INFINITY}).requires_grad_();
  const nn::PReLU leaky;
  const Tensor out = leaky(at);
  CHECK(out.to_vector() == std::vector<float>{-1, 0, INFINITY});
  CHECK(gradient(out.sum(), {leaky.weight})[0].item() == -4);
}

TEST_CASE("nn: a transformer layer drops while it trains, and only then") {
  Tensor::manual_seed(6);
  const nn::TransformerEncoderLayer layer(8, 2, {.feedforward = 16, .dropout = 0.5});
  const Tensor x = Tensor::randn({2, 3, 8}).realize();
  CHECK(layer(x).allclose(layer(x)));
  CHECK(names(nn::state_dict(layer)) ==
        std::vector<std::string>{"self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
                                 "self_attn.out_proj.bias", "linear1.weight", "linear1.bias", "linear2.weight",
                                 "linear2.bias", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"});
  const Training mode;
  CHECK_FALSE(layer(x).allclose(layer(x)));
}

TEST_CASE("nn: where parameters start") {
  Tensor::manual_seed(5);
  const nn::Conv1d line(8, 40, 5, {.groups = 2});
  CHECK(line.weight.shape() == Shape{40, 4, 5});
  check_uniform(line.weight, 1 / std::sqrt(20.0));
  check_uniform(line.bias, 1 / std::sqrt(20.0));
  const nn::ConvTranspose2d back(20, 8, {3, 2}, {.groups = 2});
  CHECK(back.weight.shape() == Shape{20, 4, 3, 2});
  CHECK(back.bias.shape() == Shape{8});
  check_uniform(back.weight, 1 / std::sqrt(24.0));  // PyTorch takes axis 1, here the outputs, for the fan-in

  const nn::LSTMCell cell(3, 25);
  for (const Tensor& x : {cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh}) check_uniform(x, 0.2);
  const nn::MultiHeadAttention attention(12, 3);
  check_uniform(attention.in_proj_weight, std::sqrt(6.0 / 48));
  check_uniform(attention.out_proj.weight, 1 / std::sqrt(12.0));
  check_close(attention.in_proj_bias, std::vector<double>(36, 0), 0);
  check_close(attention.out_proj.bias, std::vector<double>(12, 0), 0);
  CHECK(names(nn::state_dict(attention)) ==
        std::vector<std::string>{"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"});
  CHECK(names(nn::state_dict(nn::MultiHeadAttention(4, 2, {.bias = false}))) ==
        std::vector<std::string>{"in_proj_weight", "out_proj.weight"});
  CHECK(nn::parameters(attention).size() == 4);

  const nn::Embedding table(5, 3, 2);
  const auto rows = table.weight.to_vector();
  for (size_t i = 0; i < rows.size(); ++i) CHECK((rows[i] == 0) == (i / 3 == 2));
  CHECK(nn::parameters(table).size() == 1);
  CHECK(nn::parameters(nn::InstanceNorm2d(3)).empty());
  CHECK(nn::parameters(nn::RMSNorm(3)).size() == 1);
}

namespace {

int products = 0, others = 0;
void count_and_run(const tinyops::Kernel& kernel) {
  ++(std::holds_alternative<tinyops::ContractKernel>(kernel) ? products : others);
  tinyops::run(kernel);
}

/// Products and other kernels that each step more takes, forwards or with the gradient.
template <class Layer>
std::pair<double, double> kernels_of_a_step(bool ragged, bool backward) {
  const Layer layer(8, 16);
  const auto count = [&](int64_t steps) {
    const Tensor x = Tensor::randn({steps, 4, 8}).realize(), lengths = Tensor::of<int64_t>({3, 4, 4, 1}).realize();
    realize(nn::parameters(layer));
    const ExecutionScope counted({.fuse = true, .run = count_and_run});
    products = others = 0;
    const Tensor y = layer(x, {}, ragged ? lengths : Tensor()).y;
    if (!backward) y.realize();
    else realize(gradient(y.square().sum(), nn::parameters(layer)));
    return std::pair(products, others);
  };
  const auto few = count(4), many = count(14);
  return {(many.first - few.first) / 10.0, (many.second - few.second) / 10.0};
}

}  // namespace

TEST_CASE("nn: a step of a recurrent layer is a product and one kernel") {
  const auto check = [](const char* layer, std::pair<double, double> kernels, double products, double others) {
    INFO(layer);
    CHECK(kernels.first == products);
    CHECK(kernels.second <= others);
  };
  for (const bool ragged : {false, true}) {
    check("LSTM", kernels_of_a_step<nn::LSTM>(ragged, false), 1, 1);
    check("GRU", kernels_of_a_step<nn::GRU>(ragged, false), 1, 1);
    check("RNN", kernels_of_a_step<nn::RNN>(ragged, false), 1, 1);
    // Backwards the gradients of h and of weight_hh are products, too; those of a masked step are longer formulas.
    check("LSTM, backwards", kernels_of_a_step<nn::LSTM>(ragged, true), 3, ragged ? 8.5 : 3.5);
    check("GRU, backwards", kernels_of_a_step<nn::GRU>(ragged, true), 3, ragged ? 7 : 3.5);
    check("RNN, backwards", kernels_of_a_step<nn::RNN>(ragged, true), 3, 1.5);
  }
}

TEST_CASE("nn: where no gradient is asked for a recurrent layer is one kernel, with the values of its steps") {
  const auto check = [](const auto& layer, int64_t batch, DType dtype, bool given) {
    const Shape shape = batch < 0 ? Shape{6, 5} : Shape{6, batch, 5};
    const Tensor x = Tensor::randn(shape).cast(dtype).realize();
    Shape of_state = {int64_t(layer.cells.size()), batch, layer.hidden};
    if (batch < 0) of_state = {int64_t(layer.cells.size()), layer.hidden};
    using State = typename std::decay_t<decltype(layer)>::State;
    State before;
    const auto some = [&] { return Tensor::randn(of_state).cast(dtype).realize(); };
    if constexpr (std::same_as<State, nn::LSTMCell::State>) {
      if (given) before = {some(), some()};
    } else if (given) before = some();
    const auto run = [&] {
      const auto [y, state] = layer(x, before);
      if constexpr (std::same_as<State, nn::LSTMCell::State>) return std::vector<Tensor>{y, state.h, state.c};
      else return std::vector<Tensor>{y, state};
    };
    const std::vector<Tensor> steps = run();
    realize(steps);
    const NoGrad guard;
    const std::vector<Tensor> once = run();
    for (size_t i = 0; i < once.size(); ++i) {
      CHECK(once[i].dtype() == dtype);
      CHECK(once[i].allclose(steps[i], 1e-5, 1e-5));
    }
  };
  for (const bool bias : {true, false})
    for (const bool both_ways : {false, true})
      for (const int64_t batch : {-1, 1, 3}) {
        CAPTURE(bias);
        CAPTURE(both_ways);
        CAPTURE(batch);
        const nn::RecurrentOptions options{.layers = 2, .bias = bias, .bidirectional = both_ways};
        check(nn::LSTM(5, 7, options), batch, DType::Float32, batch == 3);
        check(nn::GRU(5, 7, options), batch, DType::Float32, batch == 3);
        check(nn::RNN(5, 7, options), batch, DType::Float32, batch == 3);
        check(nn::RNN(5, 7, {.bias = bias, .bidirectional = both_ways, .relu = true}), batch, DType::Float32, false);
      }
  const NoGrad guard;
  CHECK(kernels_of_a_step<nn::LSTM>(false, false) == std::pair(0., 0.));
  CHECK(kernels_of_a_step<nn::GRU>(false, false) == std::pair(0., 0.));
  CHECK(kernels_of_a_step<nn::RNN>(false, false) == std::pair(0., 0.));
  CHECK(nn::LSTM(5, 7)(Tensor::zeros({4, 0, 5})).y.shape() == Shape{4, 0, 7});
}

TEST_CASE("nn: recurrent layers in a Jit, and the names of their parameters") {
  const nn::LSTM layer(3, 4, {.layers = 2, .bidirectional = true});
  CHECK(names(nn::state_dict(layer))[6] == "bias_ih_l0_reverse");
  CHECK(names(nn::state_dict(layer))[12] == "weight_ih_l1_reverse");
  CHECK(layer.cells[2].weight_ih.shape() == Shape{16, 8});
  CHECK(nn::parameters(layer).size() == 16);
  for (const Tensor& x : nn::parameters(layer)) CHECK(x.abs().max().item() <= 0.5);
  // Inside a Jit lengths are not read, and are inputs like others.
  Jit step([&](const Tensor& x, const Tensor& lengths) { return layer(x, {}, lengths).y; });
  for (const int64_t length : {3, 2, 1, 3}) {
    const Tensor x = Tensor::randn({3, 2, 3}).realize(), lengths = Tensor::of<int64_t>({length, 2}).realize();
    CHECK(step(x, lengths).allclose(layer(x, {}, lengths).y));
  }
}

TEST_CASE("nn: Sequential") {
  nn::Sequential inner(nn::Linear(3, 4), [](const Tensor& x) { return x.tanh(); });
  nn::Sequential model(nn::Linear(2, 3), &Tensor::relu, inner);
  model.add(nn::BatchNorm1d(4)).add(nn::Linear(4, 1, {.bias = false}));
  CHECK(model.size() == 5);
  CHECK(names(nn::state_dict(model)) ==
        std::vector<std::string>{"0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.weight", "3.bias", "3.running_mean",
                                 "3.running_var", "3.num_batches_tracked", "4.weight"});
  CHECK(nn::parameters(model).size() == 7);
  const Tensor x = Tensor::randn({6, 2});
  CHECK(nn::Sequential()(x).same(x));
  CHECK(model(x).shape() == Shape{6, 1});

  const nn::Sequential copy = model;  // shares the layers: what one learns, the other knows
  Training guard;
  model(x);
  CHECK(nn::state_dict(copy)[8].second.item<int64_t>() == 1);
  model(x).square().sum().backward();
  for (const Tensor& p : nn::parameters(copy)) CHECK(p.grad().defined());
}

TEST_CASE("nn: a certain prediction has a finite gradient") {
  const Tensor p = Tensor::of<float>({0, 1, 0, 1}).requires_grad_(), target = Tensor::of<float>({0, 1, 1, 0});
  p.binary_cross_entropy(target, Reduction::Sum).backward();
  CHECK(p.grad().isfinite().all().item() == 1);
}

TEST_CASE("nn: what is wrong is said at once") {
  const Tensor x = Tensor::zeros({2, 3}), image = Tensor::zeros({2, 3, 4, 4}), words = Tensor::zeros({2, 5, 6});
  check_refused({
      {"Linear: a size of -1", [] { nn::Linear(-1, 2); }},
      {"Conv2d: 3 and 8 channels do not divide into 2 groups", [] { nn::Conv2d(3, 8, 5, {.groups = 2}); }},
      {"Conv2d: 3 and 8 channels do not divide into 0 groups", [] { nn::Conv2d(3, 8, 5, {.groups = 0}); }},
      {"Conv2d: kernel (1, 2, 3) must have one size, or 2", [] { nn::Conv2d(3, 8, {1, 2, 3}); }},
      {"Conv1d: kernel (1, 2) must have one size, or 1", [] { nn::Conv1d(3, 8, {1, 2}); }},
      {"Conv3d: kernel (0,) must be at least 1", [] { nn::Conv3d(3, 8, 0); }},
      {"Conv2d: a size of -3", [] { nn::Conv2d(-3, 8, 1); }},
      {"ConvTranspose2d: 4 and 3 channels do not divide into 2 groups",
       [] { nn::ConvTranspose2d(4, 3, 1, {.groups = 2}); }},
      {"ConvTranspose1d: kernel (2, 2) must have one size", [] { nn::ConvTranspose1d(4, 3, {2, 2}); }},
      {"Embedding: a size of -1", [] { nn::Embedding(-1, 2); }},
      {"Embedding: the padding 5 is none of 5 rows", [] { nn::Embedding(5, 2, 5); }},
      {"Embedding: the padding -1 is none of 5 rows", [] { nn::Embedding(5, 2, -1); }},
      {"Dropout: a probability of 1.5", [] { nn::Dropout(1.5); }},
      {"BatchNorm2d: a size of -1", [] { nn::BatchNorm2d(-1); }},
      {"BatchNorm2d: eps -1 is negative", [] { nn::BatchNorm2d(3, {.eps = -1}); }},
      {"BatchNorm2d: momentum 2 is outside [0, 1]", [] { nn::BatchNorm2d(3, {.momentum = 2}); }},
      {"BatchNorm: x of shape (2, 3); (N, 4, ...) wanted", [&] { nn::BatchNorm(4)(x); }},
      {"BatchNorm1d: x of shape (2, 3); (N, 4, L) or (N, 4) wanted", [&] { nn::BatchNorm1d(4)(x); }},
      {"BatchNorm1d: x of shape (3,); (N, 3, L) or (N, 3) wanted", [&] { nn::BatchNorm1d(3)(x[0]); }},
      {"BatchNorm1d: x of shape (2, 3, 4, 4); (N, 3, L) or (N, 3) wanted", [&] { nn::BatchNorm1d(3)(image); }},
      {"BatchNorm2d: x of shape (2, 3); (N, 3, H, W) wanted", [&] { nn::BatchNorm2d(3)(x); }},
      {"BatchNorm2d: x of shape (2, 5, 6); (N, 5, H, W) wanted", [&] { nn::BatchNorm2d(5)(words); }},
      {"BatchNorm3d: x of shape (2, 3, 4, 4); (N, 3, D, H, W) wanted", [&] { nn::BatchNorm3d(3)(image); }},
      {"BatchNorm1d: x of shape (1, 3) has one value a channel",
       [&] { nn::BatchNorm1d(3, {.track_running_stats = false})(x[slice(0, 1)]); }},
      {"LayerNorm: over no axes", [] { nn::LayerNorm(Shape{}); }},
      {"LayerNorm: a size in (-3,) is negative", [] { nn::LayerNorm(-3); }},
      {"LayerNorm: eps -1 is negative", [] { nn::LayerNorm(3, {.eps = -1}); }},
      {"LayerNorm: x of (2, 3) does not end in (4,)", [&] { nn::LayerNorm(4)(x); }},
      {"LayerNorm: x of (3,) does not end in (2, 3)", [&] { nn::LayerNorm(Shape{2, 3})(x[0]); }},
      {"RMSNorm: over no axes", [] { nn::RMSNorm(Shape{}); }},
      {"RMSNorm: eps -1 is negative", [] { nn::RMSNorm(3, {.eps = -1}); }},
      {"RMSNorm: x of (2, 3) does not end in (1,)", [&] { nn::RMSNorm(1)(x); }},
      {"GroupNorm: 3 channels do not divide into 2 groups", [] { nn::GroupNorm(2, 3); }},
      {"InstanceNorm1d: 0 channels do not divide into 0 groups", [] { nn::InstanceNorm1d(0); }},
      {"GroupNorm: eps -1 is negative", [] { nn::GroupNorm(1, 3, {.eps = -1}); }},
      {"GroupNorm: x of shape (2, 3, 4, 4); (N, 4, ...) wanted", [&] { nn::GroupNorm(2, 4)(image); }},
      {"InstanceNorm2d: x of shape (2, 3, 4, 4); (N, 4, ...) wanted", [&] { nn::InstanceNorm2d(4)(image); }},
      {"InstanceNorm: x of shape (2, 3) has one value a channel", [&] { nn::InstanceNorm(3)(x); }},
      {"InstanceNorm2d: momentum -1 is outside [0, 1]", [] { nn::InstanceNorm2d(3, {.momentum = -1}); }},
      {"InstanceNorm2d: training moves the running statistics, and this layer is const",
       [&] {
         const nn::InstanceNorm2d norm(3, {.track_running_stats = true});
         const Training mode;
         norm(image);
       }},
      {"InstanceNorm1d: x of shape (2, 3, 4, 4); 3 axes (N, 3, ...) wanted, or without N 2",
       [&] { nn::InstanceNorm1d(3)(image); }},
      {"InstanceNorm2d: x of shape (2, 3); 4 axes (N, 3, ...) wanted, or without N 3",
       [&] { nn::InstanceNorm2d(3)(x); }},
      {"EmbeddingBag: a size of -1", [] { nn::EmbeddingBag(-1, 2); }},
      {"EmbeddingBag: the padding 5 is none of 5 rows", [] { nn::EmbeddingBag(5, 2, {.padding = 5}); }},
      {"EmbeddingBag: index (2, 3) of float32; integers", [&] { nn::EmbeddingBag(5, 2)(x); }},
      {"EmbeddingBag: index (2,) needs offsets (B)", [] { nn::EmbeddingBag(5, 2)(Tensor::of<int64_t>({1, 2})); }},
      {"EmbeddingBag: index (1, 2) is B bags by itself, without offsets",
       [] { nn::EmbeddingBag(5, 2)(Tensor::of<int64_t>({{1, 2}}), Tensor::of<int64_t>({0})); }},
      {"EmbeddingBag: weights (1, 2) for index (1, 2); they have its shape, and need BagMode::Sum",
       [] { nn::EmbeddingBag(5, 2)(Tensor::of<int64_t>({{1, 2}}), {}, Tensor::ones({1, 2})); }},
      {"PReLU: a size of -1", [] { nn::PReLU(-1); }},
      {"PReLU: x of shape (2, 3); (N, 4, ...) wanted", [&] { nn::PReLU(4)(x); }},
      {"Dropout2d: a probability of -1", [] { nn::Dropout2d(-1); }},
      {"Dropout2d: x of shape (3,); (N, C, ...) wanted", [&] { nn::Dropout2d()(x[0]); }},
      {"Upsample: x of shape (2, 3); (N, C, ...) wanted", [&] { nn::Upsample()(x); }},
      {"LSTMCell: a size of -1", [] { nn::LSTMCell(3, -1); }},
      {"LSTMCell: x of (2, 3); (N, 4) or (4,) wanted", [&] { nn::LSTMCell(4, 5)(x); }},
      {"GRUCell: x of (2, 3); (N, 4) or (4,) wanted", [&] { nn::GRUCell(4, 5)(x); }},
      {"RNNCell: a state of (2, 3) for x of (2, 3); (2, 5) wanted", [&] { nn::RNNCell(3, 5)(x, x); }},
      {"LSTM: a size of -1", [] { nn::LSTM(-1, 3); }},
      {"GRU: 0 layers; 1 is the least", [] { nn::GRU(3, 3, {.layers = 0}); }},
      {"RNN: a dropout probability of 2", [] { nn::RNN(3, 3, {.dropout = 2}); }},
      {"LSTM: relu is an option of RNN alone", [] { nn::LSTM(3, 3, {.relu = true}); }},
      {"GRU: projection is an option of LSTM alone", [] { nn::GRU(3, 3, {.projection = 2}); }},
      {"LSTM: a projection of 3; 0 <= projection < 3, the hidden size", [] { nn::LSTM(3, 3, {.projection = 3}); }},
      {"LSTM: a projection of -1", [] { nn::LSTM(3, 3, {.projection = -1}); }},
      {"LSTM: a state of (1, 3, 4) for x of (2, 3, 3); (1, 3, 2) wanted",
       [&] { nn::LSTM(3, 4, {.projection = 2})(Tensor::ones({2, 3, 3}), {Tensor::ones({1, 3, 4}), {}}); }},
      {"LSTM: x of (2, 5, 6); (T, N, 3) or (T, 3) wanted", [&] { nn::LSTM(3, 4)(words); }},
      {"GRU: x of (2, 5, 6); (N, T, 3) or (T, 3) wanted", [&] { nn::GRU(3, 4, {.batch_first = true})(words); }},
      {"RNN: x of (2, 3, 4, 4); (T, N, 4) or (T, 4) wanted", [&] { nn::RNN(4, 4)(image); }},
      {"GRU: x of (0, 5, 6) has no steps", [&] { nn::GRU(6, 4)(words[slice(0, 0)]); }},
      {"LSTM: a state of (1, 5, 6) for x of (2, 5, 6); (2, 5, 4) wanted",
       [&] { nn::LSTM(6, 4, {.layers = 2})(words, {words[slice(0, 1)], {}}); }},
      {"GRU: a state of (2, 4) for x of (2, 3); (1, 4) wanted", [&] { nn::GRU(3, 4)(x, Tensor::zeros({2, 4})); }},
      {"GRU: lengths for x of (2, 3), which has no batch", [&] { nn::GRU(3, 4)(x, {}, Tensor::of<int64_t>({1})); }},
      {"GRU: lengths (2,) of int64; one integer for each of 5 sequences wanted",
       [&] { nn::GRU(6, 4)(words, {}, Tensor::of<int64_t>({1, 1})); }},
      {"GRU: lengths (5,) of float32", [&] { nn::GRU(6, 4)(words, {}, Tensor::ones({5})); }},
      {"GRU: a length of 3; 1 <= length <= 2 steps of x",
       [&] { nn::GRU(6, 4)(words, {}, Tensor::of<int64_t>({1, 2, 3, 1, 1})); }},
      {"GRU: a length of 0; 1 <= length <= 5 steps of x",
       [&] { nn::GRU(6, 4, {.batch_first = true})(words, {}, Tensor::of<int64_t>({1, 0})); }},
      {"LSTMCell: a state of (2, 3) for x of (2, 3); (2, 5) wanted",
       [&] { nn::LSTMCell(3, 5)(x, {x, {}}); }},
      {"MultiHeadAttention: a width of 6 does not divide into 4 heads", [] { nn::MultiHeadAttention(6, 4); }},
      {"MultiHeadAttention: a width of 6 does not divide into 0 heads", [] { nn::MultiHeadAttention(6, 0); }},
      {"MultiHeadAttention: 3 heads of queries are no multiple of 2 of keys",
       [] { nn::MultiHeadAttention(6, 3, {.key_heads = 2}); }},
      {"MultiHeadAttention: 3 heads of queries are no multiple of 0 of keys",
       [] { nn::MultiHeadAttention(6, 3, {.key_heads = 0}); }},
      {"MultiHeadAttention: a dropout probability of 2", [] { nn::MultiHeadAttention(6, 3, {.dropout = 2}); }},
      {"MultiHeadAttention: (2, 3), (2, 3) and (2, 3) must be (N, L, 6) and twice (N, S, 6)",
       [&] { nn::MultiHeadAttention(6, 2)(x, x, x); }},
      {"MultiHeadAttention: keys (2, 5, 6) and values (2, 4, 6) differ",
       [&] { nn::MultiHeadAttention(6, 2)(words, words, words[{slice(), slice(0, 4)}]); }},
      {"TransformerEncoderLayer: a dropout probability of 2",
       [] { nn::TransformerEncoderLayer(4, 2, {.dropout = 2}); }},
      {"TransformerEncoderLayer: no activation", [] { nn::TransformerEncoderLayer(4, 2, {.activation = nullptr}); }},
      {"scaled_dot_product_attention: a mask of (2, 1, 2, 5, 5)",
       [&] { nn::MultiHeadAttention(6, 2)(words, words, words, Tensor::ones({2, 1, 2, 5, 5})); }},
  });
}

namespace {
struct Tagger {
  nn::Embedding words{7, 4};
  nn::LSTM lstm{4, 3, {.batch_first = true, .bidirectional = true}};
  std::vector<nn::Linear> heads{nn::Linear(6, 2)};
  nn::Linear unused{2, 2};
  Tensor gain = Tensor::ones({6}).requires_grad_();
  Tensor operator()(const Tensor& x) const { return heads[0](lstm(words(x)).y * gain).matmul(Tensor::ones({2, 2})); }
  TEENY_STATE(words, lstm, heads, unused, gain)
};
}  // namespace

TEST_CASE("nn: a summary lists layers, shapes, parameters and multiply-adds, and computes nothing") {
  nn::Sequential model(nn::Conv2d(1, 8, 5, {.stride = 2}), nn::BatchNorm2d(8), nn::ReLU(), nn::MaxPool2d(),
                       nn::Flatten(), nn::Linear(288, 10));
  const Tensor x = Tensor::zeros({2, 1, 28, 28});
  const int64_t before = context.kernels;
  CHECK(nn::summary_text(0, model, x) == R"(layer               output          parameters  multiply-adds
0      Conv2d       (2, 8, 12, 12)         208         57,600
1      BatchNorm2d  (2, 8, 12, 12)          16              0
       ReLU         (2, 8, 12, 12)           0              0
       MaxPool2d    (2, 8, 6, 6)             0              0
       Flatten      (2, 288)                 0              0
5      Linear       (2, 10)              2,890          5,760
total                                    3,114         63,360
)");
  CHECK(nn::summary_text(61, model, x) == nn::summary_text(0, model, x));
  const std::string narrow = nn::summary_text(24, model, x);
  CHECK(narrow.starts_with("0 Conv2d\n  (2, 8, 12, 12)\n  208 parameters\n  57,600 multiply-adds\n1 BatchNorm2d\n"));
  CHECK(narrow.ends_with("total\n  3,114 parameters\n  63,360 multiply-adds\n"));
  for (size_t begin = 0, end; (end = narrow.find('\n', begin)) != narrow.npos; begin = end + 1)
    CHECK(end - begin <= 24);
  CHECK(context.kernels == before);
  CHECK(nn::state_dict(model)[6].second.item<int64_t>() == 0);  // evaluated, not trained

  // Inside other structs, and what is used outside of layers, or not at all: 6 + 6 parameters, 2 * 5 * 2 * 2
  // multiply-adds.
  CHECK(nn::summary_text(0, Tagger(), Tensor::zeros({2, 5}, DType::Int64)) ==
        R"(layer                       output     parameters  multiply-adds
words    Embedding          (2, 5, 4)          28              0
lstm     LSTM               (2, 5, 6)         216          1,680
heads.0  Linear             (2, 5, 2)          14            120
         outside of layers                     12             40
total                                         270          1,840
)");
  // Of layers in a layer the innermost counts; one called twice has its parameters once.
  const nn::MultiHeadAttention attention(6, 2);
  const Tensor words = Tensor::zeros({1, 4, 6});
  const std::string twice =
      nn::summary_text(0, [&](const Tensor& x) { return attention(attention(x, x, x), x, x); }, words);
  CHECK(twice.find("out_proj") == twice.npos);  // a function has no state, and its layers no names
  CHECK(twice.find("MultiHeadAttention  (1, 4, 6)         126            624") != twice.npos);
  CHECK(twice.find("MultiHeadAttention  (1, 4, 6)           0            624") != twice.npos);
  CHECK_THROWS_AS(nn::summary_text(0, model, Tensor::zeros({1, 3, 28, 28})), Error);
  CHECK(nn::summary_text(0, model, x) == nn::summary_text(61, model, x));
}
