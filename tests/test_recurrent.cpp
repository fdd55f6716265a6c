// The kernel of recurrent layers, with its cells written out once more.
#include <doctest/doctest.h>

#include <cmath>

#include "teeny/functional/functional.h"
#include "teeny/teeny.h"
#include "tests/check.h"

namespace teeny::test {

namespace {

using Cell = tinyops::RecurrentCell;
using Values = std::vector<double>;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

struct Layers {
  Cell cell;
  int64_t forward, steps, layers, batch, hidden;
  DType dtype;
  int64_t gates = gates_of(cell), states = states_of(cell);

  Tensor values(const Shape& shape) const { return (Tensor::randn(shape) * 0.5).cast(dtype).realize(); }
  Tensor in = values({steps, layers, batch, gates*hidden}), weight = values({layers, hidden + 1, gates*hidden}),
         first = values({layers, batch, states*hidden});

  Tensor states_of_all() const { return recurrent_states(cell, forward, in, weight, first); }

  Tensor expected() const {
    const Values x = in.to_vector<double>(), w = weight.to_vector<double>(), start = first.to_vector<double>();
    Values out(size_t(steps * layers * batch * states * hidden));
    for (int64_t d = 0; d < layers; ++d)
      for (int64_t b = 0; b < batch; ++b) {
        const int64_t row = (d * batch + b) * states * hidden;
        Values state(start.begin() + row, start.begin() + row + states * hidden);
        for (int64_t s = 0; s < steps; ++s) {
          const int64_t t = d < forward ? s : steps - 1 - s;
          const Values before = state;
          for (int64_t j = 0; j < hidden; ++j) {
            Values of_x, of_h;
            for (int64_t g = 0; g < gates; ++g) {
              const int64_t column = g * hidden + j;
              of_x.push_back(x[size_t(((t * layers + d) * batch + b) * gates * hidden + column)]);
              double sum = 0;
              for (int64_t r = 0; r <= hidden; ++r)
                sum +=
                    w[size_t((d * (hidden + 1) + r) * gates * hidden + column)] * (r == hidden ? 1 : before[size_t(r)]);
              of_h.push_back(sum);
            }
            next(of_x, of_h, state, j);
          }
          std::copy(state.begin(), state.end(), out.begin() + ((t * layers + d) * batch + b) * states * hidden);
        }
      }
    return Tensor::from(out, {steps, layers, batch, states * hidden}).cast(dtype);
  }

 private:
  void next(const Values& x, const Values& s, Values& state, int64_t j) const {
    double& h = state[size_t(j)];
    const auto sum = [&](size_t g) { return x[g] + s[g]; };
    if (cell == Cell::Tanh) h = std::tanh(sum(0));
    if (cell == Cell::Relu) h = std::max(sum(0), 0.);
    if (cell == Cell::Gru) {
      const double z = sigmoid(sum(1));
      h = z * h + (1 - z) * std::tanh(x[2] + sigmoid(sum(0)) * s[2]);
    }
    if (cell == Cell::Lstm) {
      double& c = state[size_t(hidden + j)];
      c = sigmoid(sum(1)) * c + sigmoid(sum(0)) * std::tanh(sum(2));
      h = sigmoid(sum(3)) * std::tanh(c);
    }
  }
};

}  // namespace

TEST_CASE("recurrent: every cell, in any number of layers and sequences, to either side") {
  Tensor::manual_seed(3);
  for (const DType dtype : {DType::Float32, DType::Float64})
    for (const Cell cell : {Cell::Tanh, Cell::Relu, Cell::Gru, Cell::Lstm})
      for (const int64_t hidden : {1, 3, 8, 21, 50})
        for (const int64_t batch : {1, 2, 7})
          for (const int64_t forward : {0, 1, 2}) {
            CAPTURE(int(cell));
            CAPTURE(hidden);
            CAPTURE(batch);
            CAPTURE(forward);
            const Layers layers{cell, forward, 3, 2, batch, hidden, dtype};
            CHECK(difference(layers.states_of_all(), layers.expected()) == "");
          }
}

TEST_CASE("recurrent: threads share long sequences, and nothing is read beside the operands") {
  Tensor::manual_seed(4);
  for (const int64_t batch : {1, 3, 6, 9}) {
    CAPTURE(batch);
    const Layers layers{Cell::Lstm, 1, 60, 2, batch, 20, DType::Float32};
    CHECK(difference(layers.states_of_all(), layers.expected()) == "");
  }
  // Operands that are a part of a buffer, lie in another order, or are constants.
  Layers layers{Cell::Gru, 1, 4, 1, 3, 6, DType::Float32};
  const Tensor want = layers.expected();
  layers.in = Tensor::cat({layers.in, layers.in}).realize()[slice(4)];
  layers.weight = layers.weight.transpose(1, 2).contiguous().realize().transpose(1, 2);
  CHECK(difference(layers.states_of_all(), want) == "");
  layers.in = layers.in * 1, layers.weight = layers.weight + 0;
  CHECK(difference(layers.states_of_all(), want) == "");
  Layers one{Cell::Tanh, 1, 1, 1, 1, 1, DType::Float32};
  one.first = Tensor::zeros({1, 1, 1}), one.in = Tensor::zeros({1, 1, 1, 1}), one.weight = Tensor::ones({1, 2, 1});
  CHECK(one.states_of_all().item() == doctest::Approx(std::tanh(1.)));
}

TEST_CASE("recurrent: no steps, no sequences") {
  CHECK(Layers{Cell::Lstm, 1, 0, 1, 2, 3, DType::Float32}.states_of_all().to_vector<float>().empty());
  CHECK(Layers{Cell::Gru, 1, 3, 1, 0, 3, DType::Float32}.states_of_all().to_vector<float>().empty());
}

TEST_CASE("recurrent: a replay reads the input of its own call, and what is not a number goes on") {
  NoGrad guard;
  Tensor::manual_seed(5);
  Layers layers{Cell::Lstm, 1, 5, 2, 2, 17, DType::Float32};
  Jit replay([&](Tensor in) {
    return recurrent_states(layers.cell, layers.forward, in, layers.weight, layers.first) * 2;
  });
  for (int call = 0; call < 4; ++call) {
    layers.in = layers.values(layers.in.shape());
    CHECK(difference(replay(layers.in), layers.expected() * 2) == "");
  }
  Layers relu{Cell::Relu, 1, 3, 1, 1, 4, DType::Float32};
  relu.first = Tensor::full({1, 1, 4}, NAN).realize();
  for (const float value : relu.states_of_all().to_vector<float>()) CHECK(std::isnan(value));
}

TEST_CASE("recurrent: one kernel where nobody asks for a gradient, the elements are floats and the weight is small") {
  const Tensor x = Tensor::ones({2});
  Tensor learned = Tensor::ones({2}).requires_grad_();
  CHECK(is_one_kernel(Cell::Lstm, 64, {x, x}));
  CHECK(is_one_kernel(Cell::Lstm, 256, {x}));
  CHECK_FALSE(is_one_kernel(Cell::Lstm, 257, {x}));
  CHECK_FALSE(is_one_kernel(Cell::Tanh, 513, {x}));
  CHECK_FALSE(is_one_kernel(Cell::Gru, 64, {x, learned}));
  CHECK_FALSE(is_one_kernel(Cell::Gru, 64, {x, x.cast(DType::Float64)}));
  CHECK_FALSE(is_one_kernel(Cell::Gru, 64, {x.cast(DType::Float16)}));
  NoGrad guard;
  CHECK(is_one_kernel(Cell::Gru, 64, {x, learned}));
}

}  // namespace teeny::test
