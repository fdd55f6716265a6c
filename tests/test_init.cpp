// Initial values: their range, mean and spread over ten thousand elements. The bounds leave six standard errors.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "check_refused.h"
#include "teeny/nn/init.h"

using namespace teeny;
namespace init = nn::init;

namespace {

/// Fills a float32 (50, 20, 10) of fan-in 200 and fan-out 500, and checks what came.
void check(const std::function<Tensor&(Tensor&)>& fill, double mean, double std, double low, double high) {
  Tensor x = Tensor::zeros({50, 20, 10}).requires_grad_();
  const Tensor same = x;
  CHECK(fill(x).same(same));
  CHECK(x.requires_grad());
  CHECK(x.is_leaf());
  CHECK(std::abs(x.mean().item() - mean) <= 0.06 * std + 1e-7);
  CHECK(std::abs(x.std().item() - std) <= 0.06 * std);
  CHECK(x.min().item() >= low - 1e-6);
  CHECK(x.max().item() <= high + 1e-6);
}

double share_below(const Tensor& x, double limit) { return (x < limit).cast(DType::Float64).mean().item(); }

}  // namespace

TEST_CASE("init: distributions") {
  Tensor::manual_seed(5);
  const double inf = INFINITY, root = std::sqrt(12.0);
  check([](Tensor& x) -> Tensor& { return init::constant_(x, 0.75); }, 0.75, 0, 0.75, 0.75);
  check([](Tensor& x) -> Tensor& { return init::uniform_(x); }, 0.5, 1 / root, 0, 1);
  check([](Tensor& x) -> Tensor& { return init::uniform_(x, -3, -1); }, -2, 2 / root, -3, -1);
  check([](Tensor& x) -> Tensor& { return init::normal_(x); }, 0, 1, -inf, inf);
  check([](Tensor& x) -> Tensor& { return init::normal_(x, 3, 0.5); }, 3, 0.5, -inf, inf);

  const double glorot = std::sqrt(2.0 / (200 + 500));
  check([](Tensor& x) -> Tensor& { return init::xavier_uniform_(x); }, 0, glorot, -std::sqrt(3) * glorot,
        std::sqrt(3) * glorot);
  check([](Tensor& x) -> Tensor& { return init::xavier_normal_(x, 2); }, 0, 2 * glorot, -inf, inf);
  const double in = std::sqrt(2.0 / 200), out = std::sqrt(2.0 / 500);
  check([](Tensor& x) -> Tensor& { return init::kaiming_uniform_(x); }, 0, in, -std::sqrt(3) * in, std::sqrt(3) * in);
  check([](Tensor& x) -> Tensor& { return init::kaiming_normal_(x, {.fan = init::Fan::Out}); }, 0, out, -inf, inf);
  check([](Tensor& x) -> Tensor& { return init::kaiming_normal_(x, {.slope = 2}); }, 0, in / std::sqrt(5), -inf, inf);
  check([](Tensor& x) -> Tensor& { return init::kaiming_normal_(x, {.nonlinearity = init::Nonlinearity::Linear}); }, 0,
        in / std::sqrt(2), -inf, inf);
}

TEST_CASE("init: a truncated normal distribution is one inside its bounds") {
  Tensor::manual_seed(6);
  // Within two standard deviations: variance 1 - 4 phi(2) / (2 Phi(2) - 1).
  check([](Tensor& x) -> Tensor& { return init::trunc_normal_(x); }, 0, 0.87963, -2, 2);
  check([](Tensor& x) -> Tensor& { return init::trunc_normal_(x, 1, 0.02, -INFINITY, INFINITY); }, 1, 0.02, 0.8, 1.2);
  Tensor x = Tensor::zeros({10000}, DType::Float64);
  init::trunc_normal_(x);
  const double Phi[] = {0.15865525393145707, 0.5, 0.8413447460685429}, end = 0.02275013194817921;
  for (int i = 0; i < 3; ++i) CHECK(std::abs(share_below(x, i - 1) - (Phi[i] - end) / (1 - 2 * end)) < 0.03);
  // Element by element: the distribution function takes each back to the uniform one it came from.
  Tensor::manual_seed(7);
  init::trunc_normal_(x);
  Tensor::manual_seed(7);
  const Tensor u = Tensor::rand(x.shape(), DType::Float64);
  CHECK(((x / std::sqrt(2.0)).erf() / std::erf(std::sqrt(2.0)) - (u * 2 - 1)).abs().max().item() < 1e-9);
  init::trunc_normal_(x, 0, 1, 1, 3);  // all on one side: (Phi(2) - Phi(1)) / (Phi(3) - Phi(1)) are below 2
  CHECK(x.min().item() >= 1);
  CHECK(std::abs(share_below(x, 2) - 0.8641) < 0.03);
  init::trunc_normal_(x, 0, 1, 6, INFINITY);  // as far out as erf still distinguishes neighbouring values
  CHECK(x.min().item() >= 6);
  CHECK(x.max().item() < 9);
}

TEST_CASE("init: a dtype stays") {
  for (const DType dtype : {DType::Float16, DType::BFloat16, DType::Float64}) {
    Tensor x = Tensor::zeros({4, 5}, dtype);
    CHECK(init::trunc_normal_(x).dtype() == dtype);
    CHECK(init::kaiming_uniform_(x).dtype() == dtype);
    CHECK((x != 0).all().item() == 1);
  }
  Tensor fine = Tensor::zeros({100}, DType::Float64);
  init::uniform_(fine);
  CHECK((fine != fine.cast(DType::Float32).cast(DType::Float64)).any().item() == 1);
}

TEST_CASE("init: gains are PyTorch's") {
  using enum init::Nonlinearity;
  CHECK(init::gain(Linear) == 1);
  CHECK(init::gain(Tanh) == 5.0 / 3);
  CHECK(init::gain(Relu) == std::sqrt(2.0));
  CHECK(init::gain(LeakyRelu) == std::sqrt(2 / (1 + 0.01 * 0.01)));
  CHECK(init::gain(LeakyRelu, 0.2) == std::sqrt(2 / (1 + 0.2 * 0.2)));
  CHECK(init::gain(Selu) == 0.75);
}

TEST_CASE("init: what is wrong is said at once") {
  Tensor vector = Tensor::zeros({3}), whole = Tensor::zeros({3, 3}, DType::Int64);
  check_refused({
      {"uniform_: from 1 to 0", [&] { init::uniform_(vector, 1, 0); }},
      {"uniform_: makes floats, not int64", [&] { init::uniform_(whole); }},
      {"normal_: a standard deviation of -1", [&] { init::normal_(vector, 0, -1); }},
      {"normal_: makes floats, not int64", [&] { init::normal_(whole); }},
      {"trunc_normal_: a standard deviation of 0", [&] { init::trunc_normal_(vector, 0, 0); }},
      {"trunc_normal_: from 1 to 0", [&] { init::trunc_normal_(vector, 0, 1, 1, 0); }},
      {"trunc_normal_: from 10 to 11 holds no value of mean 0 and deviation 1",
       [&] { init::trunc_normal_(vector, 0, 1, 10, 11); }},
      {"trunc_normal_: from -1 to nan", [&] { init::trunc_normal_(vector, 0, 1, -1, NAN); }},
      {"trunc_normal_: makes floats, not int64", [&] { init::trunc_normal_(whole); }},
      {"xavier_uniform_: needs weights (out, in, ...), not (3,)", [&] { init::xavier_uniform_(vector); }},
      {"xavier_normal_: needs weights", [&] { init::xavier_normal_(vector); }},
      {"kaiming_uniform_: needs weights", [&] { init::kaiming_uniform_(vector); }},
      {"kaiming_normal_: needs weights", [&] { init::kaiming_normal_(vector); }},
  });
}
