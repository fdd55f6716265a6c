#include "tests/course/own/optimizer.h"
#include "tests/course/own_code.h"

namespace {

using namespace course;
using teeny::Shape, teeny::Tensor;
using Doubles = std::vector<double>;

/// The same optimiser beside doubles.
struct ByHand {
  own::LionOptions options;
  std::vector<Doubles> p, m;
  void step(size_t k, const Doubles& g) {
    m.resize(p.size());
    m[k].resize(p[k].size(), 0);
    for (size_t i = 0; i < g.size(); ++i) {
      const double u = m[k][i] * options.beta1 + g[i] * (1 - options.beta1);
      p[k][i] -= options.lr * ((u > 0) - (u < 0) + options.weight_decay * p[k][i]);
      m[k][i] = m[k][i] * options.beta2 + g[i] * (1 - options.beta2);
    }
  }
};

const std::vector<Shape> shapes = {{6, 8}, {9}};

std::vector<Tensor> parameters() {
  std::vector<Tensor> result;
  for (const Shape& shape : shapes) result.push_back(numbers(shape).realize().requires_grad_());
  return result;
}
void give_gradients(std::vector<Tensor>& params) {
  for (Tensor& p : params) p.set_grad(numbers(p.shape()));
}

void beside_doubles(double weight_decay) {
  const own::LionOptions options{.lr = 0.1, .beta1 = 0.7, .beta2 = 0.4, .weight_decay = weight_decay};
  std::vector<Tensor> params = parameters();
  own::Lion lion(params, options);
  ByHand by_hand{options, {}, {}};
  for (const Tensor& p : params) by_hand.p.push_back(p.to_vector<double>());
  for (int t = 1; t <= 5; ++t) {
    give_gradients(params);
    std::string what = text("weight_decay ", weight_decay, ", after step ", t);
    if (t == 1) params[0].set_grad(params[0].grad() * 0);
    if (t == 3) params[1].zero_grad(), what += " (in which parameter 1 had no gradient)";
    if (t == 4) lion.set_lr(0.02), by_hand.options.lr = 0.02;
    if (t >= 4) what += " (set_lr(0.02) came before step 4)";
    for (size_t k = 0; k < params.size(); ++k)
      if (params[k].grad().defined()) by_hand.step(k, params[k].grad().to_vector<double>());
    attempt(what, [&] { lion.step(); });
    for (size_t k = 0; k < params.size(); ++k) same(text(what, ": parameter ", k), params[k], by_hand.p[k], 1e-9);
  }
}

/// A training that is stopped and goes on: another optimiser takes over the state.
void goes_on() {
  std::vector<Tensor> params = parameters(), copies;
  own::Lion lion(params, {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.9});
  give_gradients(params);
  lion.step();
  lion.set_lr(0.05);
  for (const Tensor& p : params) copies.push_back((p.detach() + 0).realize().requires_grad_());
  own::Lion resumed(copies, {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.9});
  attempt("what TEENY_STATE lists, loaded into another Lion",
          [&] { teeny::nn::load_state_dict(resumed, teeny::nn::state_dict(lion)); });
  for (size_t k = 0; k < params.size(); ++k) {
    params[k].set_grad(numbers(params[k].shape(), -1, 1));
    copies[k].set_grad(params[k].grad());
  }
  lion.step(), resumed.step();
  for (size_t k = 0; k < params.size(); ++k)
    same(text("a training goes on with what TEENY_STATE lists: parameter ", k, " after its next step"), copies[k],
         params[k].to_vector<double>());
}

/// A loop that reads nothing may not pile up work.
void nobody_reads() {
  std::vector<Tensor> params = parameters();
  own::Lion lion(params);
  int depth = 0;
  for (int t = 1; t <= 20; ++t) {
    give_gradients(params);
    lion.step();
    if (t == 5) depth = params[0].lazy().node()->depth;
  }
  const int now = params[0].lazy().node()->depth;
  expect(now <= depth,
         text("nobody reads a value: after 5 steps a chain of ", depth, " nodes waits to be computed, after 20 one of ",
              now, "; begin a step with finish_last_step(nn::state_dict(*this))"));
}

}  // namespace

EXERCISE("36") {
  beside_doubles(0);
  beside_doubles(0.5);
  goes_on();
  nobody_reads();

  std::vector<Tensor> params = parameters();
  own::Lion lion(params, {.weight_decay = 0.1});
  give_gradients(params);
  const int64_t before = teeny::context.kernels;
  lion.step();
  teeny::realize(std::span<const Tensor>(params));
  const int64_t kernels = teeny::context.kernels - before;
  expect(kernels <= 2, text("a step of two parameters ran ", kernels, " kernels; one a parameter is enough"));
  report(text("a step of two parameters ran as ", kernels, " kernels"));
}
