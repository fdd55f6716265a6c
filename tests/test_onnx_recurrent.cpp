// LSTM, GRU and RNN, and Fourier transforms, where ONNX's own cases do not look.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/onnx_single.h"

using namespace teeny;
using namespace onnx_single;
using onnx_file::attribute;
using test::difference;
using Names = std::vector<std::string>;

namespace {

constexpr int64_t kSteps = 5, kBatch = 3, kIn = 4, kHidden = 6;

/// The inputs of a node of two directions.
struct Weights {
  bool lstm, peepholes;
  Tensor x, w, r, b, h, c, p;
  Weights(bool lstm, int64_t gates, bool peepholes)
      : lstm(lstm),
        peepholes(peepholes),
        x(values({kSteps, kBatch, kIn})),
        w(values({2, gates * kHidden, kIn})),
        r(values({2, gates * kHidden, kHidden})),
        b(values({2, 2 * gates * kHidden})),
        h(values({2, kBatch, kHidden})),
        c(values({2, kBatch, kHidden})),
        p(values({2, 3 * kHidden})) {}
  static Tensor values(const Shape& shape) { return (Tensor::randn(shape) * 0.5).realize(); }

  std::vector<Input> all(const Tensor& lengths) const {
    std::vector<Input> inputs{{x}, in_file(w), in_file(r), in_file(b), {lengths, 6}, {h}};
    if (lstm) inputs.push_back({c});
    if (lstm && peepholes) inputs.push_back(in_file(p));
    return inputs;
  }
  /// Of one direction, the first steps of one sequence.
  std::vector<Input> part(int64_t d, int64_t n, int64_t steps) const {
    const auto of = [&](const Tensor& t) { return in_file(t[{slice(d, d + 1)}].contiguous().realize()); };
    const auto state = [&](const Tensor& t) {
      return Input{t[{slice(d, d + 1), slice(n, n + 1)}].contiguous().realize()};
    };
    const Tensor sequence = x[{slice(0, steps), slice(n, n + 1)}].contiguous().realize();
    std::vector<Input> inputs{{sequence}, of(w), of(r), of(b), {}, state(h)};
    if (lstm) inputs.push_back(state(c));
    if (lstm && peepholes) inputs.push_back(of(p));
    return inputs;
  }
};

/// All results; a replay must give the same.
std::vector<Tensor> results(const std::string& op, const std::vector<Input>& inputs, const std::string& attributes) {
  NoGrad guard;
  Single single(op, inputs, attributes, 22, op == "LSTM" ? 3 : 2);
  const std::vector<Tensor> first = single();
  for (int call = 0; call < 2; ++call) {
    const std::vector<Tensor> again = single();
    for (size_t k = 0; k < first.size(); ++k) CHECK(difference(again[k], first[k]) == "");
  }
  return first;
}

/// Both directions over sequences of several lengths are each direction over each sequence.
void check_parts(const std::string& op, int64_t gates, const Names& forward, const Names& reverse,
                 const std::string& attributes, bool peepholes = true) {
  CAPTURE(op);
  CAPTURE(attributes);
  const Weights weights(op == "LSTM", gates, peepholes);
  const Ints lengths{5, 2, 3};
  const auto said = [&](const char* direction, const Names& activations) {
    return attributes + attribute("direction", direction) +
           (activations.empty() ? "" : attribute("activations", activations));
  };
  Names both = forward;
  both.insert(both.end(), reverse.begin(), reverse.end());
  const std::vector<Tensor> got =
      results(op, weights.all(ints(lengths).cast(DType::Int32).realize()), said("bidirectional", both));
  CHECK(got[0].shape() == Shape{kSteps, 2, kBatch, kHidden});
  for (int64_t d = 0; d < 2; ++d)
    for (int64_t n = 0; n < kBatch; ++n) {
      const int64_t steps = lengths[size_t(n)];
      const std::vector<Tensor> want =
          results(op, weights.part(d, n, steps), d == 0 ? said("forward", forward) : said("reverse", reverse));
      const Tensor y = got[0][{slice(), d, n}];
      CHECK(difference(y[slice(0, steps)], want[0][{slice(), 0, 0}]) == "");
      CHECK(y[slice(steps)].abs().sum().item() == 0);
      for (size_t k = 1; k < got.size(); ++k) CHECK(difference(got[k][{d, n}], want[k][{0, 0}]) == "");
    }
}

}  // namespace

TEST_CASE("onnx recurrent: two directions and several lengths are as many runs of one") {
  Tensor::manual_seed(1);
  const std::string coupled = attribute("input_forget", int64_t(1));
  const std::string first = attribute("linear_before_reset", int64_t(1));
  check_parts("LSTM", 4, {}, {}, "");
  check_parts("LSTM", 4, {}, {}, "", false);
  check_parts("LSTM", 4, {"Sigmoid", "Tanh", "Softsign"}, {"HardSigmoid", "Tanh", "Tanh"}, attribute("clip", 0.8f));
  check_parts("LSTM", 4, {}, {}, coupled);
  check_parts("GRU", 3, {}, {}, first);
  check_parts("GRU", 3, {"HardSigmoid", "Elu"}, {"Sigmoid", "Relu"}, "");
  check_parts("RNN", 1, {"Softplus"}, {"LeakyRelu"}, "");
  check_parts("RNN", 1, {"Relu"}, {"Relu"}, "");
}

TEST_CASE("onnx recurrent: a sequence of no steps ends where it began") {
  const Weights weights(true, 4, false);
  const std::vector<Tensor> y = results("LSTM", weights.all(ints({0, 5, 0}).cast(DType::Int32).realize()),
                                        attribute("direction", "bidirectional"));
  for (int64_t n : {0, 2}) {
    CHECK(y[0][{slice(), slice(), n}].abs().sum().item() == 0);
    CHECK(difference(y[1][{slice(), n}], weights.h[{slice(), n}]) == "");
    CHECK(difference(y[2][{slice(), n}], weights.c[{slice(), n}]) == "");
  }
}

TEST_CASE("onnx recurrent: alphas and betas belong to the activations that take one") {
  const Tensor x = Tensor::full({1, 1, 1}, -2.0), one = Tensor::ones({2, 1, 1});
  const std::string attributes =
      attribute("direction", "bidirectional") + attribute("activations", Names{"Tanh", "Affine"}) +
      attribute("activation_alpha", std::vector<float>{3}) + attribute("activation_beta", std::vector<float>{0.5});
  const Tensor y = run("RNN", {{x}, in_file(one), in_file(one)}, attributes);
  CHECK(y.to_vector<double>()[0] == doctest::Approx(std::tanh(-2.)));
  CHECK(y.to_vector<double>()[1] == doctest::Approx(-5.5));
}

TEST_CASE("onnx recurrent: a clip cuts what is summed up, not the state") {
  const Tensor fives = Tensor::full({1, 4, 1}, 5.0), x = Tensor::ones({3, 1, 1});
  const Tensor y = run("LSTM", {{x}, in_file(fives), in_file(Tensor::zeros({1, 4, 1}))}, attribute("clip", 1.f));
  const double gate = 1 / (1 + std::exp(-1.));
  double c = 0;
  for (int64_t t = 0; t < 3; ++t) {
    c = gate * c + gate * std::tanh(1.);
    CHECK(y[t].item() == doctest::Approx(gate * std::tanh(c)));
  }
  CHECK(c > 1);
}

TEST_CASE("onnx recurrent: a layer of many steps is a few kernels, and gives what its steps give") {
  Tensor::manual_seed(2);
  constexpr int64_t steps = 40;
  for (const std::string direction : {"forward", "reverse", "bidirectional"})
    for (const bool batch_first : {false, true})
      for (const auto& [op, gates, outputs] :
           {std::tuple{std::string("LSTM"), int64_t(4), 3}, {"GRU", int64_t(3), 2}, {"RNN", int64_t(1), 2}}) {
        CAPTURE(direction);
        CAPTURE(op);
        const int64_t d = direction == "bidirectional" ? 2 : 1;
        const auto in_order = [&](const Tensor& x) {
          return batch_first ? x.transpose(0, 1).contiguous().realize() : x;
        };
        const Tensor x = in_order(Weights::values({steps, kBatch, kIn}));
        const std::vector<Input> inputs{{x},
                                        in_file(Weights::values({d, gates * kHidden, kIn})),
                                        in_file(Weights::values({d, gates * kHidden, kHidden})),
                                        in_file(Weights::values({d, 2 * gates * kHidden})),
                                        {},
                                        {in_order(Weights::values({d, kBatch, kHidden}))}};
        Single single(op, inputs,
                      attribute("direction", direction) + attribute("layout", int64_t(batch_first)) +
                          attribute("linear_before_reset", int64_t(1)),
                      22, outputs);
        std::vector<Tensor> one, many;
        {
          NoGrad guard;
          const int64_t before = context.kernels;
          one = single();
          realize(one);
          CHECK(context.kernels - before < steps);
        }
        single.given[0] = x.detach().requires_grad_();  // now the steps are needed one by one
        many = single();
        for (size_t k = 0; k < one.size(); ++k) CHECK(difference(many[k].detach(), one[k]) == "");
        many[0].square().sum().backward();
        const Tensor slope = single.given[0].grad();  // that of a difference along it
        NoGrad guard;
        const auto loss = [&](double by) {
          return single.model({(x + slope * by).realize(), single.given[1]})[0].square().sum().item();
        };
        const double e = 1e-2 / slope.square().sum().sqrt().item();
        CHECK((loss(e) - loss(-e)) / (2 * e) == doctest::Approx(slope.square().sum().item()).epsilon(0.01));
      }
}

TEST_CASE("onnx recurrent: what is wrong is said") {
  const Tensor x = Tensor::ones({2, 1, 3}), w = Tensor::ones({1, 8, 3}), r = Tensor::ones({1, 8, 2});
  const auto said = [&](const std::vector<Input>& inputs, const std::string& attributes) {
    return error("LSTM", inputs, attributes);
  };
  CHECK(contains(said({{x}, {w}, {w}}, ""), "W of (1, 8, 3); (1, 12, 3) wanted"));
  CHECK(contains(said({{x}, {w}, {r}, {Tensor::ones({1, 8})}}, ""), "B of (1, 8); (1, 16) wanted"));
  CHECK(contains(said({{x}, {w}, {r}}, attribute("direction", "both")), "direction \"both\""));
  CHECK(contains(said({{x}, {w}, {r}}, attribute("hidden_size", int64_t(3))), "hidden_size 3"));
  CHECK(contains(said({{x}, {w}, {r}}, attribute("activations", Names{"Tanh"})), "1 activations, not 3"));
  CHECK(contains(said({{x}, {w}, {r}}, attribute("activations", Names{"Tanh", "Tanh", "Sine"})), "\"Sine\""));
  const Input late = in_file(ints({3}).cast(DType::Int32), 6);
  CHECK(contains(said({{x}, {w}, {r}, {}, late}, ""), "a sequence of 3 steps; X has 2"));
}

TEST_CASE("onnx spectral: transforms and back, of any length") {
  const auto dft = [](const Tensor& x, int64_t length, const std::string& attributes) {
    const Input axis = in_file(ints({-2}).reshape({}), kInt64), size = in_file(ints({length}).reshape({}), kInt64);
    return run("DFT", {{x.contiguous().realize()}, size, axis}, attributes, 20);
  };
  const std::string inverse = attribute("inverse", int64_t(1)), half = attribute("onesided", int64_t(1));
  for (int64_t n : {1, 2, 5, 12}) {
    CAPTURE(n);
    const Tensor x = Tensor::randn({2, n, 2}).realize(), real = Tensor::randn({2, n, 1}).realize();
    CHECK(difference(dft(dft(x, n, ""), n, inverse), x) == "");
    CHECK(difference(dft(dft(real, n, half), n, half + inverse), real) == "");
    CHECK(difference(dft(real, n, half), dft(real, n, "")[{slice(), slice(0, n / 2 + 1)}]) == "");
    const Tensor padded = real.pad({0, 0, 0}, {0, 3, 0});
    CHECK(difference(dft(real, n + 3, ""), dft(padded, n + 3, "")) == "");
    CHECK(difference(dft(padded, n, ""), dft(real, n, "")) == "");
  }
  const Tensor signal = Tensor::randn({2, 20, 1}).realize(), window = Tensor::randn({6}).realize();
  const Tensor y = run("STFT", {{signal}, in_file(ints({4}).reshape({}), kInt64), in_file(window)}, "", 17);
  CHECK(y.shape() == Shape{2, 4, 4, 2});
  for (int64_t k = 0; k < 4; ++k) {
    const Tensor part = signal[{slice(), slice(4 * k, 4 * k + 6)}] * window.unsqueeze(-1);
    CHECK(difference(y[{slice(), k}], dft(part, 6, half)) == "");
  }
  CHECK(contains(error("DFT", {{signal}}, half + attribute("axis", int64_t(2)), 17), "axis 2 of (2, 20, 1)"));
  CHECK(contains(error("HannWindow", {in_file(ints({-1}).reshape({}), kInt64)}, "", 17), "a window of -1"));
}
