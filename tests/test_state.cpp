// State dictionaries, and resuming from a checkpoint.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>

#include "state_helpers.h"
#include "teeny/teeny.h"
#include "temporary_directory.h"

using namespace teeny;

namespace {

struct Attention {
  nn::Linear qkv{4, 12}, out{4, 4, {.bias = false}};
  TEENY_STATE(qkv, out)
};
struct Block {
  Attention attn;
  nn::LayerNorm norm{4};
  TEENY_STATE(attn, norm)
};
class Network {
 public:
  nn::Embedding table{3, 4};
  std::vector<Block> blocks{2};
  std::array<Tensor, 2> scale = {Tensor::ones({1}).requires_grad_(), Tensor::zeros({1})};
  std::optional<nn::Linear> head, absent;
  std::unique_ptr<nn::Dropout> drop = std::make_unique<nn::Dropout>();
  TEENY_STATE(table, blocks, scale, head, absent, drop, counter_)
  Network() { head.emplace(4, 2); }

 private:
  Tensor counter_ = Tensor::zeros({}, DType::Int64);
};

}  // namespace

TEST_CASE("state: names are PyTorch's") {
  const Network network;
  CHECK(names(nn::state_dict(network)) ==
        std::vector<std::string>{"table.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias",
                                 "blocks.0.attn.out.weight", "blocks.0.norm.weight", "blocks.0.norm.bias",
                                 "blocks.1.attn.qkv.weight", "blocks.1.attn.qkv.bias", "blocks.1.attn.out.weight",
                                 "blocks.1.norm.weight", "blocks.1.norm.bias", "scale.0", "scale.1", "head.weight",
                                 "head.bias", "counter"});
  CHECK(nn::parameters(network).size() == 14);
  const nn::BatchNorm2d norm(2);
  CHECK(names(nn::state_dict(norm)) ==
        std::vector<std::string>{"weight", "bias", "running_mean", "running_var", "num_batches_tracked"});
  CHECK(nn::parameters(norm).size() == 2);
  CHECK(nn::state_dict(nn::Dropout()).empty());
}

TEST_CASE("state: a tensor that two layers share is one parameter") {
  Block block;
  block.attn.out.weight = block.norm.weight;
  CHECK(nn::state_dict(block).size() == 5);
  CHECK(nn::parameters(block).size() == 4);
}

TEST_CASE("state: a name, and what stands below one") {
  const nn::StateDict dict = nn::state_dict(Network());
  CHECK(nn::find(dict, "blocks.0.attn.qkv.bias").same(dict[2].second));
  CHECK(error_of([&] { nn::find(dict, "block.0.norm.weight"); }) ==
        "find: no \"block.0.norm.weight\" among 16 tensors; near it: blocks.0.norm.weight, blocks.1.norm.weight, "
        "blocks.0.norm.bias");
  CHECK(error_of([&] { nn::find({}, "weight"); }) == "find: no \"weight\" among 0 tensors");
  CHECK(names(nn::under(dict, "blocks.1.attn")) == std::vector<std::string>{"qkv.weight", "qkv.bias", "out.weight"});
  CHECK(names(nn::under(dict, "head")) == std::vector<std::string>{"weight", "bias"});
  CHECK(nn::under(dict, "hea").empty());
  CHECK(nn::under(dict, "head.weight").empty());
}

TEST_CASE("state: parameters of several models, each once") {
  Block a, b;
  a.norm.weight = b.norm.weight;
  CHECK(nn::parameters(a, b).size() == 9);
  CHECK(nn::parameters(nn::state_dict(a)).size() == 5);
  CHECK(nn::parameters(a, nn::state_dict(a), std::vector<Block>{b}).size() == 9);
}

TEST_CASE("state: load_state_dict assigns to every handle") {
  nn::Linear a(3, 2), b(3, 2);
  const Tensor handle = a.weight;
  nn::load_state_dict(a, nn::state_dict(b));
  CHECK(same_bits(nn::state_dict(a), nn::state_dict(b)));
  CHECK(handle.same(a.weight));
  CHECK_FALSE(a.weight.same(b.weight));
  CHECK(a.weight.requires_grad());
  // From now on they go their own ways.
  b.weight.assign(Tensor::zeros({2, 3}));
  CHECK(handle.square().sum().item() > 0);
}

TEST_CASE("state: load_state_dict lists everything that does not fit, and changes nothing") {
  nn::Linear a(3, 2);
  const nn::StateDict before = {{"weight", Tensor::from(a.weight.to_vector(), {2, 3})},
                                {"bias", Tensor::from(a.bias.to_vector(), {2})}};
  const auto load = [&a](const nn::StateDict& dict) { return error_of([&] { nn::load_state_dict(a, dict); }); };
  const Tensor weight = Tensor::zeros({2, 3}), bias = Tensor::zeros({2});
  CHECK(has(load({{"weight", weight}}), "1 problem\n  missing: bias (2,) float32"));
  CHECK(has(load({{"weight", weight}, {"bias", bias}, {"extra", bias}}), "unexpected: extra"));
  CHECK(has(load({{"weight", weight}, {"bias", bias}, {"bias", bias}}), "given twice: bias"));
  CHECK(has(load({{"weight", weight.t()}, {"bias", bias}}), "weight: shape (2, 3) wanted, (3, 2) given"));
  CHECK(has(load({{"weight", weight}, {"bias", bias.cast(DType::Float16)}}),
            "bias: dtype float32 wanted, float16 given"));
  CHECK(has(load({{"weight", weight}, {"bias", Tensor()}}), "bias: the tensor given is undefined"));
  const std::string many = load({{"weight", bias}, {"a", bias}, {"b", bias}});
  CHECK(has(many, "load_state_dict: 4 problems"));
  for (const char* part : {"weight: shape", "missing: bias", "unexpected: a", "unexpected: b"}) CHECK(has(many, part));
  CHECK(same_bits(nn::state_dict(a), before));
  CHECK(load({{"bias", bias}, {"weight", weight}}) == "");  // any order will do
  CHECK(a.weight.square().sum().item() == 0);
}

namespace {

struct Mlp {
  nn::Linear in{12, 16}, out{16, 3};
  nn::Dropout drop{0.3};
  Tensor operator()(const Tensor& x) const { return out(drop(in(x.flatten(1)).relu())); }
  TEENY_STATE(in, out, drop)
};

data::Dataset noise() {
  Tensor::manual_seed(11);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 20; ++i) labels.push_back(i % 3);
  return {Tensor::randint(0, 256, {20, 1, 3, 4}).cast(DType::UInt8).realize(), Tensor::from(labels)};
}

/// Trains until `epochs` are over or `stop(steps)`, from wherever the loader stands.
template <class Optimizer>
void train(
    const Mlp& model, Optimizer& optimizer, data::DataLoader& loader, int64_t epochs,
    const std::function<bool(int)>& stop = [](int) { return false; }) {
  Training guard;
  int steps = 0;
  for (int64_t epoch = loader.position().epoch; epoch < epochs; ++epoch)
    for (auto [x, y] : loader) {
      optimizer.zero_grad();
      model(x).cross_entropy(y).backward();
      optimizer.step();
      if (stop(++steps)) return;
    }
}

template <class Optimizer>
void check_resumes(const std::function<Optimizer(const Mlp&)>& make, int stop_after) {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  const data::LoaderOptions options{.batch_size = 6, .shuffle = true, .seed = 0xfedcba9876543210};
  const data::Dataset dataset = noise();

  Mlp model;
  Optimizer optimizer = make(model);
  optimizer.set_lr(0.0123456789);
  data::DataLoader loader(dataset, options);
  train(model, optimizer, loader, 3, [&](int steps) {
    if (steps == stop_after) io::save_checkpoint(path, model, optimizer, loader.position());
    return false;
  });

  Tensor::manual_seed(99);
  Mlp again;
  Optimizer resumed = make(again);
  data::DataLoader second(dataset, {.batch_size = 6, .shuffle = true, .seed = 1});
  second.set_position(io::load_checkpoint(path, again, resumed));
  CHECK(second.position().seed == options.seed);
  train(again, resumed, second, 3);
  CHECK(same_bits(io::training_state(again, resumed), io::training_state(model, optimizer)));
}

}  // namespace

TEST_CASE("checkpoint: training goes on bit for bit") {
  for (int stop_after : {1, 4, 6}) {  // within an epoch, at its end (four batches), in the next
    check_resumes<optim::Adam>([](const Mlp& m) { return optim::Adam(nn::parameters(m)); }, stop_after);
    check_resumes<optim::SGD>([](const Mlp& m) { return optim::SGD(nn::parameters(m), {.momentum = 0.9}); },
                              stop_after);
  }
}

TEST_CASE("checkpoint: what is in it, and what it refuses") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  Mlp model;
  optim::AdamW adam(nn::parameters(model));
  Tensor::set_random_state(0xffffffffffffff01, 0x8000000000000003);
  io::save_checkpoint(path, model, adam, {.seed = 0xffffffffffffffff, .epoch = int64_t(1) << 60, .index = 3});
  CHECK(names(io::load_safetensors(path).tensors) ==
        std::vector<std::string>{"model.in.weight", "model.in.bias", "model.out.weight", "model.out.bias", "adamw.lr",
                                 "adamw.step", "adamw.m.0", "adamw.m.1", "adamw.m.2", "adamw.m.3", "adamw.v.0",
                                 "adamw.v.1", "adamw.v.2", "adamw.v.3", "random", "position"});
  Tensor::manual_seed(1);
  CHECK(io::load_checkpoint(path, model, adam) == data::Position{0xffffffffffffffff, int64_t(1) << 60, 3});
  CHECK(Tensor::random_state() == std::pair<uint64_t, uint64_t>(0xffffffffffffff01, 0x8000000000000003));

  Tensor::manual_seed(5);
  optim::SGD sgd(nn::parameters(model));
  const auto before = model.in.weight.to_bytes();
  model.in.weight.assign(model.in.weight);
  const std::string error = error_of([&] { io::load_checkpoint(path, model, sgd); });
  CHECK(error.starts_with("load_checkpoint: " + path + " is of a training with adamw, and this optimiser is sgd;"));
  CHECK(model.in.weight.to_bytes() == before);
  CHECK(Tensor::random_state().first == 5);
  Tensor::manual_seed(0);
}

TEST_CASE("checkpoint: a run with other options, another dataset or other batches is refused, and nothing changes") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  const data::Dataset dataset = noise();
  const data::LoaderOptions options{.batch_size = 6, .shuffle = true};
  Mlp saved;
  optim::Adam adam(nn::parameters(saved), {.beta1 = 0.8, .weight_decay = 0.1});
  data::DataLoader loader(dataset, options);
  train(saved, adam, loader, 1);
  adam.set_lr(0.25);
  io::save_checkpoint(path, saved, adam, loader);

  Mlp model;
  const auto before = nn::state_dict(model)[0].second.to_bytes();
  const auto load = [&](const optim::AdamOptions& chosen, const data::Dataset& from, const data::LoaderOptions& how) {
    optim::Adam other(nn::parameters(model), chosen);
    data::DataLoader resumed(from, how);
    const auto random = Tensor::random_state();
    const std::string error = error_of([&] { io::load_checkpoint(path, model, other, resumed); });
    if (error.empty()) return error;
    CHECK(has(error, path));
    CHECK(model.in.weight.to_bytes() == before);
    CHECK(other.lr() == chosen.lr);
    CHECK(resumed.position() == data::Position{});
    CHECK(Tensor::random_state() == random);
    return error;
  };
  const optim::AdamOptions same{.beta1 = 0.8, .weight_decay = 0.1};
  CHECK(load({.beta1 = 0.9, .weight_decay = 0.1}, dataset, options) ==
        "load_checkpoint: " + path + " is of a training with other settings:\n  adam.beta1: 0.8 in the file, 0.9 here");
  CHECK(
      has(load({.beta1 = 0.8, .weight_decay = 0.2}, dataset, options), "adam.weight_decay: 0.1 in the file, 0.2 here"));
  CHECK(has(load({.beta1 = 0.8, .eps = 1e-7, .weight_decay = 0.1}, dataset, options), "adam.eps: 1e-08"));
  CHECK(has(load(same, dataset, {.batch_size = 5, .shuffle = true}), "loader.batch_size: 6 in the file, 5 here"));
  CHECK(has(load(same, dataset, {.batch_size = 6}), "loader.shuffle: true in the file, false here"));
  CHECK(has(load(same, dataset, {.batch_size = 6, .shuffle = true, .drop_last = true}), "loader.drop_last"));
  CHECK(has(load(same, dataset, {.batch_size = 6, .shuffle = true, .mean = {0.5}}),
            "loader.mean: 0 in the file, 0.5 here"));
  const auto part = slice(0, 19);
  const std::string fewer = load(same, {dataset.images[{part}], dataset.labels[{part}]}, options);
  CHECK(has(fewer, "loader.samples: 20 in the file, 19 here"));
  CHECK(has(load(same, {dataset.images, dataset.labels.flip({0})}, options), "loader.elements"));
  // The rate is a part of the state.
  CHECK(load({.lr = 0.5, .beta1 = 0.8, .weight_decay = 0.1}, dataset, options) == "");

  // Without a loader nothing is known of it; an optimiser of another kind is refused by its name.
  optim::Adam again(nn::parameters(model), same);
  CHECK(io::load_checkpoint(path, model, again) == data::Position{0, 1, 0});
  CHECK(again.lr() == 0.25);
}

namespace {
struct Run {
  Mlp& model;
  optim::LRScheduler& rate;
  optim::ReduceLROnPlateau& plateau;
  TEENY_STATE(model, rate, plateau)
};
}  // namespace

TEST_CASE("checkpoint: a schedule of the rate goes on where it was, also where its maker forgets how far it had come") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  const optim::CosineAnnealingLR schedule{.lr = 0.1, .t_max = 20};
  Mlp model, again;
  optim::Adam adam(nn::parameters(model)), other(nn::parameters(again));
  optim::LRScheduler rate(adam, schedule), resumed(other, schedule);
  optim::ReduceLROnPlateau plateau(adam), other_plateau(other);
  for (int i = 0; i < 7; ++i) rate.step();
  plateau.step(0.25);
  io::save_checkpoint(path, Run{model, rate, plateau}, adam);
  Run run{again, resumed, other_plateau};
  io::load_checkpoint(path, run, other);
  CHECK(other.lr() == schedule(7));
  resumed.step();
  CHECK(other.lr() == schedule(8));
  CHECK(nn::find(nn::state_dict(other_plateau), "best").item() == 0.25);
  CHECK(again.in.weight.to_bytes() == model.in.weight.to_bytes());
}

TEST_CASE("checkpoint: values that no training has are refused before anything changes") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  Mlp model;
  optim::Adam adam(nn::parameters(model));
  data::DataLoader loader(noise(), {.batch_size = 6});
  io::save_checkpoint(path, model, adam, loader);
  const io::Safetensors good = io::load_safetensors(path, {.map = false});
  const auto load = [&](const std::string& name, const Tensor& value) {
    nn::StateDict changed = good.tensors;
    for (auto& [key, tensor] : changed)
      if (key == "model.in.bias") tensor = tensor + 1;
      else if (key == name) tensor = value;
    io::save_safetensors(path, changed, good.metadata);
    const auto before = model.in.bias.to_bytes();
    const std::string error = error_of([&] { io::load_checkpoint(path, model, adam, loader); });
    CHECK(model.in.bias.to_bytes() == before);
    CHECK(loader.position() == data::Position{});
    return error;
  };
  const auto at = [](int64_t epoch, int64_t index) { return Tensor::of<int64_t>({0, epoch, index}); };
  CHECK(has(load("adam.lr", Tensor::full({}, NAN, DType::Float64)), "adam.lr is nan"));
  CHECK(has(load("adam.lr", Tensor::full({}, -1, DType::Float64)), "adam.lr is -1"));
  CHECK(has(load("adam.lr", Tensor::full({}, INFINITY, DType::Float64)), "adam.lr is inf"));
  CHECK(has(load("adam.step", Tensor::full({}, -3, DType::Int64)), "adam.step is -3"));
  for (int64_t steps : {int64_t(1) << 53, INT64_MAX})
    CHECK(has(load("adam.step", Tensor::full({}, steps, DType::Int64)), "it is 0 or more, and less than 2^53"));
  CHECK(has(load("position", at(-5, 0)), "epoch -5"));
  CHECK(has(load("position", at(INT64_MAX, 0)), "epoch 9223372036854775807"));
  CHECK(has(load("position", at(0, -1)), "sample -1"));
  CHECK(has(load("position", at(0, 21)), "sample 21 of epoch 0 in a dataset of 20"));
  CHECK(has(load("position", Tensor::of<int64_t>({1})), "position: shape (3,) wanted, (1,) given"));
  CHECK(has(error_of([&] { io::save_checkpoint(path, model, adam, {.epoch = -5}); }), "save_checkpoint: epoch -5"));
}

namespace {

struct Forgetful {
  nn::Linear in{3, 2};
  Tensor mask = Tensor::ones({2});  // needs no gradient, and need not be listed
  std::vector<Block> blocks;
  std::optional<nn::Linear> head;
  Tensor scale;
  std::function<Tensor(Tensor)> activation;
  const Forgetful* other = nullptr;  // its members are not this struct's
  TEENY_STATE(in)
};
struct Around {
  Forgetful inner;
  struct {
    Tensor weight;
  } plain;
  TEENY_STATE(inner)
};
class Inside {  // not a plain struct, but with one
 public:
  std::vector<Forgetful> parts{1};
  TEENY_STATE(parts)
  explicit Inside(const Tensor& scale) { parts[0].scale = scale; }
};
struct Arrays {  // a struct with an array is not looked into
  Tensor weight, more[2];
  TEENY_STATE(weight)
};
struct Tied {
  nn::Linear in{3, 2};
  Tensor again = in.weight;
  TEENY_STATE(in)
};
struct Private : nn::Linear {
  Private() : nn::Linear(3, 2) {}
  Tensor weight_of_its_own = Tensor::ones({2}).requires_grad_();
};

}  // namespace

TEST_CASE("state: a parameter that TEENY_STATE forgets is noticed in a plain struct") {
  Forgetful model;
  CHECK(nn::parameters(model).size() == 2);
  const auto error = [](const auto& model) { return error_of([&] { nn::parameters(model); }); };
  const Tensor weight = Tensor::ones({4, 3}).requires_grad_();
  model.scale = weight;
  CHECK(error(model) ==
        "TEENY_STATE(in) forgets a member with a parameter of (4, 3) float32: it would be neither trained nor saved; "
        "list it, or give it no gradient");
  CHECK(has(error_of([&] { nn::state_dict(model); }), "TEENY_STATE(in) forgets"));
  CHECK(has(error_of([&] { nn::load_state_dict(model, nn::StateDict{}); }), "TEENY_STATE(in) forgets"));
  CHECK(has(error(std::vector<Around>(1, Around{.inner = model, .plain = {}})), "TEENY_STATE(in) forgets"));
  CHECK(has(error(Inside(weight)), "TEENY_STATE(in) forgets"));
  CHECK(error(Inside({})) == "");
  Forgetful pointing;
  pointing.other = &model;
  CHECK(error(pointing) == "");
  model.scale = weight * 2;  // a result is no parameter
  CHECK(error(model) == "");
  model.head.emplace(2, 2);
  CHECK(has(error(model), "a parameter of (2, 2)"));
  model.head.reset();
  model.blocks.resize(1);
  CHECK(has(error(model), "a parameter of (12, 4)"));
  CHECK(has(error(Around{.inner = {}, .plain = {weight}}),
            "TEENY_STATE(inner) forgets a member with a parameter of (4, 3)"));
  CHECK(error(Tied()) == "");
  CHECK(error(Arrays()) == "");
  CHECK(error(Private()) == "");
}

TEST_CASE("state: a struct inside a function") {
  struct Local {
    nn::Linear in{3, 2};
    std::vector<nn::Linear> more;
    TEENY_STATE(in, more)
  } local;
  local.more.emplace_back(2, 2);
  CHECK(names(nn::state_dict(local)) ==
        std::vector<std::string>{"in.weight", "in.bias", "more.0.weight", "more.0.bias"});
}

TEST_CASE("state: of many problems the first few are named") {
  const nn::StateDict one = {{"a", Tensor::ones({1})}};
  nn::StateDict many;
  for (int i = 0; i < 60; ++i) many.emplace_back(text("w", i), Tensor::ones({1}));
  const std::string error = error_of([&] { nn::load_state_dict(one, many); });
  CHECK(has(error, "load_state_dict: 61 problems\n  missing: a (1,) float32\n  unexpected: w0\n"));
  CHECK(has(error, "\n  and 53 more"));
  CHECK(std::count(error.begin(), error.end(), '\n') == 9);
}
