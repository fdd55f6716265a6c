// checkpoint(f, x): the same gradients bit for bit, in less memory.
#include <doctest/doctest.h>

#include "teeny/functional/functions.h"
#include "teeny/jit/jit.h"
#include "teeny/nn/nn.h"
#include "teeny/optim/optim.h"
#include "tests/always_fused.h"
#include "tests/check.h"
#include "tests/check_close.h"
#include "tests/check_refused.h"

namespace teeny::test {
namespace {

struct Block {
  nn::Linear up{32, 128}, down{128, 32};
  nn::BatchNorm1d norm{32};
  Tensor operator()(const Tensor& x) { return x + down(up(norm(x)).gelu().dropout(0.1)); }
  TEENY_STATE(up, down, norm)
};

/// Four blocks, each called by `call`.
template <class Call>
Tensor loss_of(std::vector<Block>& blocks, Tensor x, const Call& call) {
  for (Block& block : blocks) x = call(block, x);
  return x.square().mean();
}
const auto plainly = [](Block& block, const Tensor& x) { return block(x); };
const auto again = [](Block& block, const Tensor& x) {
  return checkpoint([&](const Tensor& x) { return block(x); }, x);
};

std::vector<std::byte> bits(const std::vector<Tensor>& tensors) {
  std::vector<std::byte> all;
  for (const Tensor& x : tensors)
    for (const std::byte b : x.to_bytes()) all.push_back(b);
  return all;
}

}  // namespace

TEST_CASE("checkpoint: the gradients of inputs and of captured parameters are the same bit for bit") {
  std::vector<Block> blocks(4);
  std::vector<Tensor> state;
  for (const auto& [name, x] : nn::state_dict(blocks)) state.push_back(x);
  realize(state);
  const Training training;
  const Tensor x = Tensor::randn({16, 32}).realize();
  std::vector<std::vector<std::byte>> seen;
  for (const bool checkpointed : {false, true}) {
    Tensor::set_random_state(7, 0);
    Tensor in = x.detach().requires_grad_();
    std::vector<Block> net(4);
    for (size_t i = 0; const auto& [name, y] : nn::state_dict(net)) Tensor(y).assign(state[i++]);
    Tensor::set_random_state(7, 0);
    Tensor loss = checkpointed ? loss_of(net, in, again) : loss_of(net, in, plainly);
    loss.backward();
    std::vector<Tensor> found{loss, in.grad()};
    for (const Tensor& p : nn::parameters(net)) found.push_back(p.grad());
    for (const auto& [name, y] : nn::state_dict(net)) found.push_back(y);  // running statistics: moved once
    found.push_back(Tensor::rand({3}));                                    // the stream goes on as if nothing had been
    seen.push_back(bits(found));
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("checkpoint: in a Jit, with an optimiser") {
  const Training training;
  const Tensor x = Tensor::randn({16, 32}).realize();
  std::vector<std::vector<std::byte>> seen;
  for (const bool checkpointed : {false, true})
    for (const bool replayed : {false, true}) {
      Tensor::set_random_state(7, 0);
      std::vector<Block> net(4);
      optim::Adam adam(nn::parameters(net), {.lr = 1e-3});
      const auto step = [&](const Tensor& x) {
        adam.zero_grad();
        const Tensor loss = (checkpointed ? loss_of(net, x, again) : loss_of(net, x, plainly)).backward();
        adam.step();
        return loss;
      };
      Jit jit(step);
      for (int i = 0; i < 5; ++i) (replayed ? jit(x) : step(x)).realize();
      CHECK(jit.replays() == (replayed ? 3 : 0));
      std::vector<Tensor> found{Tensor::rand({3})};
      for (const auto& [name, y] : nn::state_dict(net)) found.push_back(y);
      seen.push_back(bits(found));
    }
  for (const auto& other : seen) CHECK(other == seen[0]);
}

TEST_CASE("checkpoint: several inputs and results, one in another, and derivatives of derivatives") {
  const Tensor a = Tensor::of({1, 2, 3}).requires_grad_(), b = Tensor::of({4, 5, 6}).requires_grad_();
  const Tensor c = Tensor::of({0.5, 0.25, 2}).requires_grad_(), index = Tensor::of({2, 0, 1}).cast(DType::Int64);
  const auto f = [&](const Tensor& a, const Tensor& b, const Tensor& index) {
    const Tensor inner = checkpoint([&](const Tensor& a) { return (a * c).sin(); }, a);
    return std::vector<Tensor>{inner * b, a.index_select(0, index).exp() * inner, index + 1, b * b};
  };
  std::vector<std::vector<Tensor>> found;
  for (const bool checkpointed : {false, true}) {
    const std::vector<Tensor> y = checkpointed ? checkpoint(f, a, b, index) : f(a, b, index);
    CHECK(y.size() == 4);
    CHECK(!y[2].requires_grad());
    const Tensor loss = (y[0] * y[1]).sum() + y[1].sum();  // nothing flows to y[3]
    std::vector<Tensor> all = gradient(loss, {a, b, c});
    const Tensor second = all[0].square().sum() + (all[1] * all[2]).sum();
    for (const Tensor& g : gradient(second, {a, b, c})) all.push_back(g);
    found.push_back(all);
  }
  for (size_t i = 0; i < found[0].size(); ++i) CHECK(difference(found[1][i], found[0][i]) == "");

  Tensor x = a.detach().requires_grad_();
  checkpoint([](const Tensor& x) { return x; }, x).sum().backward();  // an input itself
  check_close(x.grad(), {1, 1, 1}, 0);
  const Tensor scalar = Tensor(3.0).requires_grad_();
  CHECK(gradient(checkpoint([](const Tensor& x) { return x * x; }, scalar), {scalar})[0].item() == 6);
}

TEST_CASE("checkpoint: a plain call where no gradient is recorded, and two Errors") {
  const Tensor x = Tensor::of({1, 2}).requires_grad_();
  int calls = 0;
  const auto f = [&](const Tensor& x) { return ++calls, x.exp(); };
  {
    const NoGrad guard;
    CHECK(!checkpoint(f, x).requires_grad());
  }
  CHECK(!checkpoint(f, x.detach()).requires_grad());
  checkpoint(f, x).sum().backward();
  CHECK(calls == 4);
  const auto changes = [&](const Tensor& x) { return ++calls % 2 == 0 ? x.exp() : x.sum(); };
  const Tensor state = Tensor::randn({2}).realize();
  const auto stream = Tensor::random_state();
  check_refused({
      {"checkpoint: this tensor is undefined", [&] { (void)checkpoint(f, Tensor()); }},
      {"checkpoint: the function gave (2,) and gives () when it is called again",
       [&] { calls = 1, checkpoint(changes, x).sum().backward(); }},
      {"a tensor of (2,) was assigned to after Checkpoint had used it",
       [&] {
         Tensor w = Tensor::of({1, 1}).requires_grad_();
         Tensor y = checkpoint([&](const Tensor& x) { return x * w; }, x).sum();
         const NoGrad guard;
         w.assign(w + 1);
         y.backward();
       }},
  });
  CHECK(Tensor::random_state() == stream);
}

TEST_CASE("checkpoint: what a block computes on the way is gone until its turn comes, with an optimiser, too [train]") {
  const AlwaysFused fused;
  const Training training;
  struct Layer {
    nn::Linear up{64, 256}, down{256, 64};
    TEENY_STATE(up, down)
  };
  std::vector<Layer> net(8);
  const Tensor x = Tensor::randn({1024, 64}).realize();
  for (const bool stepped : {false, true})
    for (const bool replayed : {false, true}) {
      double peak[2];
      for (const bool checkpointed : {false, true}) {
        optim::SGD sgd(nn::parameters(net), {.lr = 1e-3});
        const auto step = [&](const Tensor& x) {
          sgd.zero_grad();
          Tensor y = x;
          for (const Layer& layer : net) {
            const auto block = [&](const Tensor& x) { return x + layer.down(layer.up(x).gelu()); };
            y = checkpointed ? checkpoint(block, y) : block(y);
          }
          Tensor loss = y.square().mean().backward();
          if (stepped) sgd.step();
          return loss;
        };
        const size_t before = tinyops::memory_use().live;
        tinyops::reset_peak();
        Jit jit(step);
        for (int i = 0; i < 3; ++i) {
          std::vector<Tensor> all{replayed ? jit(x) : step(x)};
          for (const Tensor& p : nn::parameters(net)) all.push_back(p.grad());
          realize(all);
        }
        peak[checkpointed] = double(tinyops::memory_use().peak - before);
      }
      CAPTURE(stepped);
      CAPTURE(replayed);
      CAPTURE(peak[0]);
      CAPTURE(peak[1]);
      CHECK(peak[1] <= 0.5 * peak[0]);
    }
}

}  // namespace teeny::test
