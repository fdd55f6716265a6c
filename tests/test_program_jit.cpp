// What a Jit saves gives the bits that the Jit gives: for networks of every kind, for training, and on every backend.
#include <doctest/doctest.h>

#include <optional>

#include "small_nets.h"
#include "teeny/jit/run_program.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"

using namespace teeny;

namespace {

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensors(std::span<const Tensor>)>;

test::Bytes bytes_of(const Tensors& tensors) {
  test::Bytes all;
  for (const Tensor& x : tensors) all.push_back(x.to_bytes());
  return all;
}

/// Values that are different in each round.
Tensor values(const Shape& shape, int round = 0) {
  return ((Tensor::arange(numel(shape)) * (round + 3) % 23).cast(DType::Float32) / 23 - 0.4).reshape(shape).realize();
}
[[maybe_unused]] Tensor indices(const Shape& shape, int64_t below, int round = 0) {
  return ((Tensor::arange(numel(shape)) * (2 * round + 3) + round) % below).reshape(shape).realize();
}

/// Records the function for the inputs of each shape, saves it, and calls the Jit and the program in turn: outputs,
/// and in the end what `state` names, must be the same. `inputs` makes those of a shape and a round.
void same_as_replayed(const Function& function, int shapes, const std::function<Tensors(int, int)>& inputs,
                      const SaveOptions& options = {}, const JitOptions& jit_options = {}) {
  const TemporaryDirectory directory;
  Replayer jit(jit_options);
  for (int shape = 0; shape < shapes; ++shape)
    for (int round = 0; round < 2; ++round) jit(inputs(shape, round), function);
  jit.save(directory / "net.teeny", options);
  std::optional<Program> program(Program::load(directory / "net.teeny"));
  REQUIRE(program->signatures().size() == size_t(shapes));
  for (int round = 2; round < 5; ++round) {
    for (int shape = 0; shape < shapes; ++shape) {
      CAPTURE(round);
      CAPTURE(shape);
      const Tensors given = inputs(shape, round);
      const test::Bytes wanted = bytes_of(jit(given, function));
      CHECK_MESSAGE(jit.why() == "", jit.why());
      Tensors got = run(*program, given);
      got.resize(std::min(got.size(), wanted.size()));  // those behind are inputs that are assigned to
      CHECK(bytes_of(got) == wanted);
    }
    if (round == 3) {  // the rest from a file of the program's own
      program->save(directory / "later.teeny");
      program.emplace(Program::load(directory / "later.teeny"));
    }
  }
  size_t found = 0;
  const nn::StateDict now = state_dict(*program);
  for (const auto& [name, x] : options.state)
    for (const auto& [other, y] : now)
      if (name == other) CHECK_MESSAGE((++found, x.to_bytes() == y.to_bytes()), name);
  if (!options.state.empty()) CHECK(found > 0);
}

struct Convnet {
  nn::Conv2d first{1, 8, 3}, second{8, 16, 3};
  nn::BatchNorm2d norm{8};
  nn::Linear head{16 * 5 * 5, 10};
  Tensor operator()(const Tensor& x) {
    const Tensor h = norm(first(x)).relu().max_pool2d();
    return head(second(h).relu().max_pool2d().flatten(1));
  }
  TEENY_STATE(first, second, norm, head)
};

}  // namespace

TEST_CASE("program: a convnet, for two batches, with one copy of its weights") {
  Convnet net;
  NoGrad guard;
  same_as_replayed([&](std::span<const Tensor> in) { return Tensors{net(in[0])}; }, 2,
                   [](int shape, int round) { return Tensors{values({3 - shape, 1, 28, 28}, round)}; },
                   {.state = nn::state_dict(net)});
}
