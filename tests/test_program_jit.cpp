// What a Jit saves gives the bits that the Jit gives: for networks of every kind, for training, and on every backend.
//
// PROGRAMS=folder: a build that finds a program there runs that one instead of its own, one that finds none puts it
// there. So a build for the CPU and then one for another backend say whether a file runs on both.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "random_graph.h"
#include "small_nets.h"
#include "teeny/jit/run_program.h"
#include "teeny/program/format.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"
#include "tinyops/base/environment.h"

using namespace teeny;
namespace fs = std::filesystem;

namespace {

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensors(std::span<const Tensor>)>;

test::Bytes bytes_of(const Tensors& tensors) {
  test::Bytes all;
  for (const Tensor& x : tensors) all.push_back(x.to_bytes());
  return all;
}

/// Values that are others in each round.
Tensor values(const Shape& shape, int round = 0) {
  return ((Tensor::arange(numel(shape)) * (round + 3) % 23).cast(DType::Float32) / 23 - 0.4).reshape(shape).realize();
}
Tensor indices(const Shape& shape, int64_t below, int round = 0) {
  return ((Tensor::arange(numel(shape)) * (2 * round + 3) + round) % below).reshape(shape).realize();
}

/// The file of another build with this name, whose values and random stream the tensors of `state` get.
std::optional<std::string> of_another_build(const std::string& name, const std::string& own,
                                            const nn::StateDict& state) {
  const char* folder = std::getenv("PROGRAMS");
  if (!folder || name.empty()) return {};
  const std::string path = (fs::path(folder) / (name + ".teeny")).string();
  if (!fs::exists(path)) return fs::copy_file(own, path), std::nullopt;
  const nn::StateDict saved = state_dict(Program::load(path));
  for (auto [tensor_name, x] : state)
    for (const auto& [other, y] : saved)
      if (tensor_name == other) x.assign(y).realize();
  const program::Contents contents = program::read(path);
  Tensor::set_random_state(contents.seed, contents.counter);
  return path;
}

/// Records the function for the inputs of each shape, saves it, and calls the Jit and the program in turn: outputs,
/// and in the end what `state` names, must be the same. `inputs` makes those of a shape and a round.
void same_as_replayed(const std::string& name, const Function& function, int shapes,
                      const std::function<Tensors(int, int)>& inputs, const SaveOptions& options = {}) {
  CAPTURE(name);
  const TemporaryDirectory directory;
  Replayer jit(JitOptions{});
  for (int shape = 0; shape < shapes; ++shape)
    for (int round = 0; round < 2; ++round) jit(inputs(shape, round), function);
  jit.save(directory / "net.teeny", options);
  const auto other = of_another_build(name, directory / "net.teeny", options.state);
  std::optional<Program> program(Program::load(other.value_or(directory / "net.teeny")));
  REQUIRE(program->signatures().size() == size_t(shapes));
  for (int round = 2; round < 5; ++round) {
    for (int shape = 0; shape < shapes; ++shape) {
      CAPTURE(round);
      CAPTURE(shape);
      const Tensors given = inputs(shape, round);
      Tensors got = run(*program, given);  // before the Jit, which may assign to the inputs
      const test::Bytes wanted = bytes_of(jit(given, function));
      CHECK_MESSAGE(jit.why() == "", jit.why());
      CHECK(got.size() >= wanted.size());
      for (size_t k = wanted.size(); k < got.size(); ++k) {
        const std::string& port = program->signatures()[size_t(shape)].outputs[k].name;
        CHECK(port.ends_with(".assigned"));
      }
      got.resize(wanted.size());
      CHECK(bytes_of(got) == wanted);
    }
    if (round == 3) {  // the rest from a file of the program's own
      program->save(directory / "later.teeny");
      program.emplace(Program::load(directory / "later.teeny"));
    }
  }
  size_t found = 0;
  const nn::StateDict now = state_dict(*program);
  for (const auto& [tensor_name, x] : options.state)
    for (const auto& [other_name, y] : now)
      if (tensor_name == other_name) CHECK_MESSAGE((++found, x.to_bytes() == y.to_bytes()), tensor_name);
  if (!options.state.empty()) CHECK(found > 0);
}
/// A network with one input, for batches of two sizes.
template <class Net, class Inputs>
void same_in_evaluation(const std::string& name, Net& net, const Inputs& inputs) {
  NoGrad guard;
  same_as_replayed(
      name, [&](std::span<const Tensor> in) { return Tensors{net(in[0])}; }, 2,
      [&](int shape, int round) { return Tensors{inputs(3 - shape, round)}; }, {.state = nn::state_dict(net)});
}

struct Convnet {
  nn::Conv2d first{1, 8, 3}, second{8, 16, 3};
  nn::BatchNorm2d norm{8};
  nn::Dropout dropout{0.3};
  nn::Linear head{16 * 5 * 5, 10};
  Tensor operator()(const Tensor& x) {
    const Tensor h = norm(first(x)).relu().max_pool2d();
    return head(dropout(second(h).relu().max_pool2d().flatten(1)));
  }
  TEENY_STATE(first, second, norm, head)
};
Tensor digits(int64_t batch, int round) { return values({batch, 1, 28, 28}, round); }

/// As examples/gpt.cpp has it, with dropout.
struct Gpt {
  nn::Embedding tokens{16, 12}, positions{8, 12};
  std::vector<nn::TransformerEncoderLayer> blocks;
  nn::Linear head{12, 16, {.bias = false}};
  Gpt() {
    for (int i = 0; i < 2; ++i)
      blocks.emplace_back(12, 3, nn::TransformerEncoderOptions{.feedforward = 24, .dropout = 0.2, .norm_first = true});
  }
  Tensor operator()(const Tensor& bytes) {
    Tensor x = tokens(bytes) + positions.weight[{slice(0, bytes.size(1))}];
    for (const auto& block : blocks) x = block(x, AttentionOptions{.causal = true});
    return head(x);
  }
  TEENY_STATE(tokens, positions, blocks, head)
};

/// All steps in the recurrent kernel, and a cell step by step.
struct Recurrent {
  nn::LSTM lstm{5, 6, {.layers = 2, .bidirectional = true}};
  nn::GRU gru{12, 7};
  nn::LSTMCell cell{7, 4};
  Tensor operator()(const Tensor& x) {
    const Tensor y = gru(lstm(x).y).y;
    nn::LSTMCell::State state = cell(y[0]);
    for (int64_t t = 1; t < y.size(0); ++t) state = cell(y[t], state);
    return state.h;
  }
  TEENY_STATE(lstm, gru, cell)
};

template <class Net, class Optimizer, class Options>
void same_in_training(const std::string& name, const Options& options, const std::function<Tensors(int, int)>& inputs,
                      int shapes = 1) {
  const Training mode;
  test::Trained<Net, Optimizer> trained(options);
  const auto step = [&](std::span<const Tensor> in) {
    for (Tensor& p : nn::parameters(trained.net)) p.zero_grad();
    const Tensor logits = trained.net(in[0]);
    const Tensor loss = logits.reshape({-1, logits.size(-1)}).cross_entropy(in[1].flatten()).backward();
    trained.optimizer.step();
    return Tensors{loss};
  };
  step(inputs(0, 0));  // which makes moments
  nn::StateDict state = nn::state_dict(trained.net);
  for (const auto& [tensor_name, x] : nn::state_dict(trained.optimizer))
    state.emplace_back("optimizer." + tensor_name, x);
  same_as_replayed(name, step, shapes, inputs, {.inputs = {"x", "classes"}, .outputs = {"loss"}, .state = state});
}

}  // namespace

TEST_CASE("program: a convnet, a transformer, recurrent networks: the bits of the Jit, for two batches") {
  Convnet convnet;
  Gpt gpt;
  Recurrent recurrent;
  test::TokenNet token_net;
  same_in_evaluation("convnet", convnet, digits);
  same_in_evaluation("gpt", gpt, [](int64_t batch, int round) { return indices({batch, 7}, 16, round); });
  same_in_evaluation("recurrent", recurrent, [](int64_t batch, int round) { return values({4, batch, 5}, round); });
  same_in_evaluation("token_net", token_net, [](int64_t batch, int round) { return indices({batch}, 10, round); });
}

TEST_CASE("program: attention with a mask, gathers, scatters, sorts and scans") {
  nn::MultiHeadAttention attention(8, 2);
  NoGrad guard;
  same_as_replayed(
      "attention", [&](std::span<const Tensor> in) { return Tensors{attention(in[0], in[1], in[1], in[2])}; }, 1,
      [](int, int round) {
        return Tensors{values({2, 3, 8}, round), values({2, 5, 8}, round + 1),
                       (indices({3, 5}, 4, round) != 0).realize()};
      },
      {.inputs = {"query", "key", "mask"}, .state = nn::state_dict(attention)});
  same_as_replayed(
      "indices",
      [](std::span<const Tensor> in) {
        const Tensor &x = in[0], &i = in[1];
        const auto sorted = x.sort(1, true);
        return Tensors{sorted.values,
                       sorted.indices,
                       x.argsort(0),
                       x.cumsum(1),
                       x.cumprod(0),
                       x.gather(1, i),
                       x.zeros_like().scatter_add(1, i, x),
                       x.logcumsumexp(1),
                       x.index_select(0, i[0][{slice(0, 2)}]),
                       x.topk(2).indices,
                       x.softmax() + x.var(0)};
      },
      2,
      [](int shape, int round) {
        const Shape s{3 + shape, 4};
        return Tensors{values(s, round), indices(s, 3, round)};
      });
  same_as_replayed(
      "random",  // without inputs
      [](std::span<const Tensor>) {
        return Tensors{Tensor::rand({5}), Tensor::rand({3}, DType::Float64), Tensor::rand({2, 2}) + 1};
      },
      1, [](int, int) { return Tensors(); });
}

TEST_CASE("program: training steps go on from a file bit for bit") {
  const auto images = [](int shape, int round) {
    return Tensors{digits(4 + shape, round), indices({4 + shape}, 10, round)};
  };
  const auto bytes = [](int, int round) { return Tensors{indices({2, 6}, 16, round), indices({2, 6}, 16, round + 1)}; };
  same_in_training<Convnet, optim::Adam>("train_convnet", optim::AdamOptions{.lr = 0.01}, images, 2);
  same_in_training<Gpt, optim::AdamW>("train_gpt", optim::AdamWOptions{.lr = 0.01}, bytes);
  same_in_training<Convnet, optim::SGD>("", optim::SGDOptions{.lr = 0.05, .momentum = 0.9}, images);
  same_in_training<test::TokenNet, optim::LAMB>("", optim::LAMBOptions{.lr = 0.01}, [](int, int round) {
    return Tensors{indices({6}, 10, round), indices({6}, 8, round)};
  });
}

TEST_CASE("program: results that are views, constants, inputs, variables, or one another") {
  Tensor total = Tensor::zeros({2, 3}).contiguous().realize(), last = values({2, 3}).realize();
  const nn::StateDict state = {{"total", total}, {"last", last}};
  const auto inputs = [](int, int round) { return Tensors{values({2, 3}, round), values({3, 2}, round)}; };
  NoGrad guard;
  same_as_replayed("results",
                   [&](std::span<const Tensor> in) {
                     const Tensor before = last.detach(), both = in[0] + in[1].t();
                     total += both;
                     last.assign(in[0]);
                     return Tensors{in[0],
                                    in[0].t(),
                                    both,
                                    both.t(),
                                    both.pad({1, 0}, {0, 1}),
                                    both.flip({0}),
                                    both,
                                    Tensor::ones({2, 2}),
                                    Tensor::arange(4),
                                    Tensor::of({1, 2}),
                                    total,
                                    total.t(),
                                    before,
                                    last,
                                    Tensor::zeros({0, 3}),
                                    both[{slice(0, 0)}],
                                    both.expand({2, 2, 3}),
                                    both + Tensor::rand({2, 3})};
                   },
                   1, inputs, {.state = state});
  Tensor twice = values({4}).realize(), same = values({4}, 1).realize();
  same_as_replayed(
      "assigned",
      [&](std::span<const Tensor> in) {
        Tensor x = in[0], here = Tensor::of({1, 2, 3, 4});
        here += x;  // of the host, and written over
        twice.assign(x * 2), same.assign(twice);
        twice.set({slice(0, 2)}, here[{slice(1, 3)}]);
        x.assign(x + same);
        return Tensors{here, twice.sum()};
      },
      1, [](int, int round) { return Tensors{values({4}, round)}; }, {.state = {{"twice", twice}, {"same", same}}});
}

TEST_CASE("program: random graphs") {
  const uint64_t programs = tinyops::environment::whole_number("FUZZ", 60);
  uint64_t saved = 0;
  for (uint64_t seed = 0; seed < programs; ++seed) {
    CAPTURE(seed);
    const random_graph::Program graph = random_graph::make(seed, 12);
    try {  // some seed the random stream
      const NoGrad guard;
      Replayer(JitOptions{})({}, [&](auto) { return run(graph, random_graph::Precision::AsWritten), Tensors(); });
    } catch (const Error&) { continue; }
    same_as_replayed(
        "",
        [&](std::span<const Tensor>) {
          Tensors results;
          for (const random_graph::Result& result : random_graph::run(graph, random_graph::Precision::AsWritten))
            results.push_back(result.value);
          return results;
        },
        1, [](int, int) { return Tensors(); });
    ++saved;
  }
  CHECK(saved > programs / 2);
}

TEST_CASE("program: several shapes share the weights") {
  const TemporaryDirectory directory;
  nn::Linear net(64, 64);
  NoGrad guard;
  Jit jit([&](Tensor x) { return net(x) * Tensor::of({2}); });
  for (int64_t batch = 1; batch <= 3; ++batch) {
    for (int i = 0; i < 2; ++i) jit(values({batch, 64}));
    jit.save(directory / text(batch, ".teeny"), {.state = nn::state_dict(net)});
  }
  CHECK(fs::file_size(directory / "1.teeny") > 64 * 65 * 4);
  CHECK(fs::file_size(directory / "3.teeny") < fs::file_size(directory / "1.teeny") + 8192);
  std::vector<std::string> names;
  for (const auto& [name, x] : state_dict(Program::load(directory / "3.teeny"))) names.push_back(name);
  std::ranges::sort(names);
  CHECK(names == std::vector<std::string>{"bias", "constant.0", "weight"});
  CHECK(io::load_safetensors(directory / "3.teeny").tensors.size() == 3);
}

TEST_CASE("program: names of inputs, outputs and state tensors") {
  const TemporaryDirectory directory;
  const std::string path = directory / "net.teeny";
  Tensor a = values({2, 2}), b = values({2, 2}, 1), transposed = values({2, 3}, 2).t(), counted = values({1});
  const auto signature = [&](const Jit<std::function<Tensors(Tensor, Tensor)>>& jit, const SaveOptions& options) {
    jit.save(path, options);
    return Program::load(path).signatures().at(0);
  };
  Jit<std::function<Tensors(Tensor, Tensor)>> jit([&](Tensor x, Tensor y) {
    NoGrad guard;
    counted += 1;
    return Tensors{x + a, y * b + counted, transposed.matmul(x)};
  });
  for (int i = 0; i < 2; ++i) jit(values({2, 2}), values({2, 2}, 3));
  const auto names = [](const std::vector<Port>& ports) {
    std::vector<std::string> all;
    for (const Port& port : ports) all.push_back(port.name);
    return all;
  };
  const Signature plain = signature(jit, {});
  CHECK(names(plain.inputs) == std::vector<std::string>{"input_0", "input_1"});
  CHECK(names(plain.outputs) == std::vector<std::string>{"output_0", "output_1", "output_2"});
  const Signature given =
      signature(jit, {.inputs = {"x", "y"}, .outputs = {"p", "q", "r"}, .state = {{"a", a}, {"t", transposed}}});
  CHECK(names(given.inputs) == std::vector<std::string>{"x", "y"});
  CHECK(names(given.outputs) == std::vector<std::string>{"p", "q", "r"});
  std::vector<std::string> state;
  for (const auto& [name, x] : state_dict(Program::load(path))) state.push_back(name);
  std::ranges::sort(state);
  CHECK(state == std::vector<std::string>{"a", "constant.0", "t.memory", "variable.0"});
  CHECK(error_of([&] { jit.save(path, {.inputs = {"x"}}); }) == "Jit: save: 1 names of inputs, and there are 2");
  CHECK(error_of([&] {
          jit.save(path, {.state = {{"a", a}, {"a", b}}});
        }) == "Jit: save: two tensors have the name a in SaveOptions::state");
}

TEST_CASE("program: a Jit that cannot be saved says what to do, and leaves the file alone") {
  const TemporaryDirectory directory;
  const std::string path = directory.write("net.teeny", "what was there");
  Tensor w = values({3}).realize().requires_grad_();
  Jit jit([&](Tensor x) { return (w * x).dropout(0.5); });
  const auto why = [&] { return error_of([&] { jit.save(path); }); };
  const auto has = [](const std::string& message, const std::string& part) {
    return message.find(part) != message.npos;
  };
  CHECK(has(why(), "call it twice with each combination of input shapes"));
  jit(values({3}));
  CHECK(has(why(), "nothing is recorded"));
  jit(values({3}));
  {
    const Training mode;
    CHECK(has(why(), "save inside of a `Training mode(false)`"));
  }
  CHECK(error_of([&] { jit.save(directory / "none/net.teeny"); }) != "");
  CHECK(contents(path) == "what was there");
  CHECK(directory.files() == 1);
  w = values({3}, 1).realize().requires_grad_();
  CHECK(has(why(), "is out of date"));
  CHECK(contents(path) == "what was there");
}

TEST_CASE("program: an index outside is an Error, and then nothing has changed") {
  const TemporaryDirectory directory;
  Tensor table = values({4, 2}).realize(), count = values({1}).realize();
  NoGrad guard;
  Jit jit([&](Tensor i) {
    count += 1;
    return table.index_select(0, i);
  });
  for (int i = 0; i < 2; ++i) jit(Tensor::of<int64_t>({3, 0}));
  jit.save(directory / "net.teeny", {.state = {{"table", table}, {"count", count}}});
  Program program = Program::load(directory / "net.teeny");
  const auto before = nn::find(state_dict(program), "count").to_bytes();
  CHECK(error_of([&] {
          run(program, {Tensor::of<int64_t>({4, 0})})[0].to_bytes();
        }).find("index_select") != std::string::npos);
  CHECK(nn::find(state_dict(program), "count").to_bytes() == before);
  CHECK(run(program, {Tensor::of<int64_t>({1, 2})})[0].to_bytes() == jit(Tensor::of<int64_t>({1, 2})).to_bytes());
}
