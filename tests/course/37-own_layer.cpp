#include <cmath>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/course/own/layer.h"
#include "tests/course/own_code.h"
#include "tests/temporary_directory.h"

namespace {

using namespace course;
using teeny::DType, teeny::Shape, teeny::Tensor;
using Doubles = std::vector<double>;

constexpr double kTolerance = 1e-5;  // of a float32

Tensor floats(const Shape& shape) { return numbers(shape).cast(DType::Float32).realize(); }

/// row-major x (rows, in) times the transpose of w (out, in)
Doubles product(const Doubles& x, const Doubles& w, size_t in) {
  Doubles result;
  for (size_t r = 0; r < x.size() / in; ++r)
    for (size_t o = 0; o < w.size() / in; ++o) {
      double sum = 0;
      for (size_t i = 0; i < in; ++i) sum += x[r * in + i] * w[o * in + i];
      result.push_back(sum);
    }
  return result;
}

void values(int64_t in, int64_t out, int64_t rank, double alpha, bool bias, const Shape& batch) {
  const std::string what = text("in ", in, ", out ", out, ", rank ", rank, ", alpha ", alpha, bias ? "" : ", no bias");
  const teeny::nn::Linear trained(in, out, {.bias = bias});
  own::LowRankLinear layer = attempt(what, [&] { return own::LowRankLinear(trained, rank, alpha); });
  expect(layer.a.defined() && layer.b.defined(), what + ": after the constructor a and b are defined");
  same_shape(what + ": a", layer.a, {rank, in});
  same_shape(what + ": b", layer.b, {out, rank});

  Shape shape = batch;
  shape.push_back(in);
  const Tensor x = floats(shape);
  const auto y = [&](const std::string& when) { return attempt(when, [&] { return layer(x); }); };
  same(what + ": before it has learned anything it is the layer that it was given", y(what),
       trained(x).to_vector<double>(), kTolerance);

  layer.a.assign(floats(layer.a.shape())), layer.b.assign(floats(layer.b.shape()));
  Doubles want = trained(x).to_vector<double>();
  const Doubles low = product(x.to_vector<double>(), layer.a.to_vector<double>(), size_t(in));
  const Doubles change = product(low, layer.b.to_vector<double>(), size_t(rank));
  for (size_t i = 0; i < want.size(); ++i) want[i] += alpha / double(rank) * change[i];
  const std::string with = text(what, ", x ", shape, ", with other a and b");
  same(with, y(with), want, kTolerance, 10);
}

std::string names(const teeny::nn::StateDict& dict) {
  std::string result;
  for (const auto& [name, tensor] : dict) result += " " + name;
  return result.empty() ? " nothing" : result;
}

void parts() {
  own::LowRankLinear layer(teeny::nn::Linear(6, 5), 2, 4);
  const teeny::nn::StateDict state = teeny::nn::state_dict(layer);
  const std::string found = "nn::state_dict finds" + names(state);
  for (const char* name : {"base.weight", "base.bias", "a", "b"})
    expect(std::any_of(state.begin(), state.end(), [&](const auto& part) { return part.first == name; }),
           text(found, ", and no ", name));
  expect(state.size() == 4, found + ", where base.weight, base.bias, a and b are enough");
  std::string trained;
  for (const auto& [name, tensor] : state)
    if (tensor.requires_grad()) trained += " " + name;
  expect(trained == " a b", text("nn::parameters finds", trained.empty() ? " nothing" : trained,
                                 "; a and b are trained, the rest is frozen"));
}

void learns() {
  own::LowRankLinear layer(teeny::nn::Linear(6, 5), 2, 4);
  const Tensor x = floats({16, 6}), target = floats({16, 5});
  const Doubles weight = layer.base.weight.to_vector<double>(), a = layer.a.to_vector<double>();
  teeny::optim::SGD sgd(teeny::nn::parameters(layer), {.lr = 0.05});
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    sgd.zero_grad();
    const Tensor loss = layer(x).mse_loss(target).backward();
    sgd.step();
    last = loss.item();
    if (step == 0) first = last;
  }
  expect(std::isfinite(last) && last < first,
         text("20 steps of SGD bring the loss from ", first, " to ", last, ": it does not learn"));
  expect(layer.a.to_vector<double>() != a, "after 20 steps a is what it was: no gradient arrives there");
  same("after 20 steps the weight of the layer that is frozen", layer.base.weight, weight);

  const TemporaryDirectory folder;
  const std::string file = folder / "layer.safetensors";
  teeny::io::save_safetensors(file, layer);
  own::LowRankLinear other(teeny::nn::Linear(6, 5), 2, 4);
  attempt("saved, and loaded into another LowRankLinear",
          [&] { teeny::nn::load_state_dict(other, teeny::io::load_safetensors(file)); });
  same("saved, and loaded into another LowRankLinear: what it makes of x", other(x), layer(x).to_vector<double>());
}

int64_t operations(const std::function<Tensor()>& f) {
  teeny::debug::Counters work;
  const teeny::ExecutionScope watched(
      {.on_step = [&](const teeny::Step& step) { work += teeny::debug::work(step.kernel); }});
  f().realize();
  return work.flops;
}

void costs_little() {
  const teeny::nn::Linear trained(256, 256);
  const own::LowRankLinear layer(trained, 2, 2);
  const Tensor x = floats({4, 256});
  layer.a.realize(), layer.b.realize(), trained(x).realize();
  const int64_t alone = operations([&] { return trained(x); }), both = operations([&] { return layer(x); });
  const double ratio = std::round(100 * double(both) / double(alone)) / 100;
  const std::string took = text("x (4, 256) and rank 2 take ", ratio, " times the arithmetic of the layer alone");
  expect(ratio < 1.2, took + "; multiply x by one small matrix, and the result by the other");
  report(took);
}

}  // namespace

EXERCISE("37") {
  values(4, 3, 2, 2, true, {2});
  values(3, 5, 2, 6, true, {3});
  values(4, 3, 4, 1, true, {2});
  values(pick(1, 5), pick(1, 5), pick(1, 4), double(pick(1, 8)), false, {2, pick(1, 3)});
  parts();
  learns();
  costs_little();
}
