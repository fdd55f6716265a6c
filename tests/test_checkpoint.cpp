// checkpoint(f, x): the same gradients bit for bit, in less memory.
#include <doctest/doctest.h>

#include "teeny/functional/functions.h"
#include "teeny/jit/jit.h"
#include "teeny/nn/nn.h"
#include "teeny/optim/optim.h"
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

}  // namespace teeny::test
