// Layers against plain loops in double precision.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "check_close.h"
#include "teeny/teeny.h"

using namespace teeny;

namespace {

/// All numbers within the bounds, and reaching far into both halves.
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
  const nn::Linear layer(100, 30), plain(3, 2, false);
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
  const nn::Conv2d square(3, 8, 5), wide(4, 6, {3, 5}, {.stride = 2, .padding = {1, 2}, .groups = 2}, false);
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
