// An optimiser that is spread over the ranks does what a plain one does, also from a checkpoint of other ranks.
#include "helpers.h"
#include "tests/temporary_directory.h"
#include "tinyops/device.h"

using namespace teeny;
using namespace of_ranks;

namespace {

constexpr int64_t kBatch = 12;  // equal parts for one to four ranks

struct Perceptron {
  nn::Linear up{11, 13}, down{13, 5};
  Tensor operator()(const Tensor& x) const { return down(up(x).tanh()); }
  TEENY_STATE(up, down)
};

/// A model, and the batches that all ranks know: x (12, 11), y (12, 5).
struct Task {
  Perceptron model;
  Task() { dist::broadcast(nn::state_dict(model)); }
  std::vector<Tensor> parameters() const { return nn::parameters(model); }
  static std::pair<Tensor, Tensor> batch(int64_t step) {
    const Tensor x =
        (Tensor::arange(kBatch * 11).reshape({kBatch, 11}).cast(DType::Float32) * (0.37 + 0.01 * double(step))).sin();
    return {x, (x[{ellipsis, slice(0, 5)}] * 2).cos()};
  }
  Tensor loss(const Tensor& x, const Tensor& y) const { return (model(x) - y).square().mean(); }
};

/// The task with a start of its own, the same on all ranks and in every call.
Task new_task() {
  Tensor::manual_seed(7);
  return Task();
}

/// Trains with the whole batch, as one rank would.
template <class Optimizer>
void train_alone(Task& task, Optimizer& optimizer, int64_t first, int64_t last, std::optional<double> max_norm = {}) {
  for (int64_t step = first; step < last; ++step) {
    const auto [x, y] = Task::batch(step);
    optimizer.zero_grad();
    task.loss(x, y).backward();
    if (max_norm) optim::clip_grad_norm(task.parameters(), *max_norm);
    optimizer.step();
  }
}
/// Each rank of the group with its part. The mean loss of each step.
template <class Inner>
std::vector<double> train(Task& task, dist::Sharded<Inner>& optimizer, int64_t first, int64_t last,
                          const dist::Group& among = {}, std::optional<double> max_norm = {}) {
  std::vector<double> losses;
  for (int64_t step = first; step < last; ++step) {
    const auto [x, y] = Task::batch(step);
    optimizer.zero_grad();
    const Tensor loss = task.loss(dist::shard(x, 0, among), dist::shard(y, 0, among)).backward();
    if (max_norm) optimizer.step(*max_norm);
    else optimizer.step();
    losses.push_back((dist::all_reduce(loss.detach(), among) / among.world()).item());
  }
  return losses;
}

template <class Inner>
void check_as_plain(const typename Inner::Options& options, std::optional<double> max_norm = {}) {
  CAPTURE(Inner::kName);
  const Training mode;
  Task alone = new_task(), spread = new_task();
  Inner plain(alone.parameters(), options);
  dist::Sharded<Inner> sharded(spread.parameters(), options);
  train_alone(alone, plain, 0, 10, max_norm);
  train(spread, sharded, 0, 10, {}, max_norm);
  CHECK(distance(spread.parameters(), alone.parameters()) < 1e-5);
  CHECK(same_on_all(hash(spread.parameters())));
  // The whole state has a plain optimiser's names, shapes and values.
  const Inner state = sharded.state();
  const nn::StateDict got = nn::state_dict(state), want = nn::state_dict(plain);
  nn::check_state_dict(want, got);
  REQUIRE(got.size() == want.size());
  std::vector<Tensor> values, wanted;
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].first == want[i].first);
    values.push_back(got[i].second), wanted.push_back(want[i].second);
  }
  CHECK(distance(values, wanted) < 1e-5);
  CHECK(sharded.hyperparameters() == plain.hyperparameters());
}

}  // namespace

TEST_CASE("sharded: the steps of a plain optimiser") {
  check_as_plain<optim::SGD>({.lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3});
  check_as_plain<optim::SGD>({.lr = 0.1});
  check_as_plain<optim::Adam>({.lr = 1e-2, .weight_decay = 1e-2});
  check_as_plain<optim::AdamW>({.lr = 1e-2, .weight_decay = 0.1});
  check_as_plain<optim::NAdam>({.lr = 1e-2});
  check_as_plain<optim::RMSprop>({.lr = 1e-3, .momentum = 0.5, .centered = true});
  check_as_plain<optim::Adagrad>({.lr = 1e-2, .initial_accumulator_value = 0.1});
}

TEST_CASE("sharded: gradients are clipped by the norm over all ranks") {
  check_as_plain<optim::SGD>({.lr = 0.1, .momentum = 0.9}, 0.05);
  check_as_plain<optim::Adam>({.lr = 1e-2}, 0.05);
  const Training mode;
  Task alone = new_task(), spread = new_task();
  const auto [x, y] = Task::batch(0);
  alone.loss(x, y).backward();
  spread.loss(dist::shard(x), dist::shard(y)).backward();
  const double want = optim::clip_grad_norm(alone.parameters(), 1).item();
  dist::Sharded<optim::SGD> sgd(spread.parameters());
  CHECK(sgd.step(1).item() == doctest::Approx(want).epsilon(1e-6));
  CHECK(error_of([&] { sgd.step(-1); }) == "clip_grad_norm: max_norm -1 is negative");
}

TEST_CASE("sharded: groups of parameters have options and dtypes of their own") {
  const Training mode;
  const auto make = [] {
    std::vector<Tensor> params;
    for (const DType dtype : {DType::Float32, DType::Float32, DType::Float64})
      params.push_back((Tensor::arange(7).cast(dtype) / 3).detach().requires_grad_());
    return params;
  };
  const std::vector<Tensor> alone = make(), spread = make();
  const auto groups = [](const std::vector<Tensor>& p) {
    return std::vector<optim::ParamGroup<optim::SGDOptions>>{
        {{p[0]}, {.lr = 0.1, .weight_decay = 0.1}}, {{p[1]}, {.lr = 0.2}}, {{p[2]}, {.lr = 0.3, .momentum = 0.5}}};
  };
  optim::SGD plain(groups(alone));
  dist::Sharded<optim::SGD> sharded(groups(spread));
  optim::LRScheduler rate(plain, optim::StepLR{.lr = 0.1, .step_size = 2});
  optim::LRScheduler sharded_rate(sharded, optim::StepLR{.lr = 0.1, .step_size = 2});
  for (int step = 0; step < 5; ++step) {
    for (size_t i = 0; i < 3; ++i) {
      const Tensor g = Tensor::arange(7).cast(alone[i].dtype()).cos() * (step + 1);
      Tensor(alone[i]).set_grad(g);
      Tensor(spread[i]).set_grad(g * 2 * (dist::rank() + 1) / (dist::world() + 1));  // their mean is g
    }
    plain.step(), sharded.step(), rate.step(), sharded_rate.step();
  }
  for (size_t i = 0; i < 3; ++i) {
    CHECK(sharded.lr(i) == plain.lr(i));
    CHECK(distance({&spread[i], 1}, {&alone[i], 1}) < 1e-6);
  }
  nn::check_state_dict(nn::state_dict(plain), nn::state_dict(sharded.state()));
  CHECK(sharded.hyperparameters() == plain.hyperparameters());
  CHECK(sharded.parameters().size() == 3);
}

TEST_CASE("sharded: 16 bits, with copies of the parameters in 32") {
  const Training mode;
  const auto make = [] { return (Tensor::arange(10).cast(DType::BFloat16) / 3).detach().requires_grad_(); };
  const Tensor alone = make(), spread = make();
  optim::Adam plain({alone}, {.lr = 1e-4, .master_weights = true});
  dist::Sharded<optim::Adam> sharded({spread}, {.lr = 1e-4, .master_weights = true});
  for (int step = 0; step < 100; ++step) {
    const Tensor g = Tensor::ones({10}, DType::BFloat16);
    Tensor(alone).set_grad(g), Tensor(spread).set_grad(g);
    plain.step(), sharded.step();
  }
  CHECK(alone.to_vector() == spread.to_vector());
  CHECK(alone.to_vector()[3] < 1);  // hundred steps of 1e-4 add up
  const Tensor want = nn::find(nn::state_dict(plain), "master.0"),
               got = nn::find(nn::state_dict(sharded.state()), "master.0");
  CHECK(want.to_vector() == got.to_vector());
}

TEST_CASE("sharded: what has no gradient on one rank has the others' mean") {
  const Training mode;
  Tensor p = Tensor::zeros({3}).requires_grad_();
  dist::Sharded<optim::SGD> sgd({p}, {.lr = 1});
  if (dist::rank() == 0) p.set_grad(Tensor::full({3}, 6.0));
  sgd.step();
  CHECK(p.to_vector() == std::vector<float>(3, -6.0f / float(dist::world())));
}

TEST_CASE("sharded: parameters with fewer elements than there are ranks, and without any") {
  const Training mode;
  Tensor one = Tensor::ones({1}).requires_grad_(), none = Tensor::zeros({0, 3}).requires_grad_();
  dist::Sharded<optim::Adam> adam({none, one}, {.lr = 0.5, .eps = 0});  // eps: 0 / 0 in what fills up the parts
  for (int step = 0; step < 2; ++step) {
    one.set_grad(Tensor::ones({1})), none.set_grad(Tensor::zeros({0, 3}));
    CHECK(adam.step(100).item() == 1);
  }
  CHECK(one.item() == doctest::Approx(0));
  const optim::Adam state = adam.state();
  CHECK(nn::find(nn::state_dict(state), "m.0").shape() == Shape{0, 3});
  CHECK(nn::find(nn::state_dict(state), "m.1").item() == doctest::Approx(0.19));
}

TEST_CASE("sharded: a checkpoint of all ranks goes on in any group, in a plain optimiser, and back") {
  const Training mode;
  const SharedDirectory directory;
  const optim::AdamOptions options{.lr = 1e-2};
  const io::Metadata run{{"lr", "0.01"}};

  Task straight = new_task();
  dist::Sharded<optim::Adam> adam(straight.parameters(), options);
  train(straight, adam, 0, 6);
  {
    const optim::Adam state = adam.state();
    if (dist::rank() == 0) io::save_checkpoint(directory / "run", straight.model, state, {.index = 6}, run);
    dist::barrier();
  }
  const std::vector<double> want = train(straight, adam, 6, 12);

  const auto resume = [&](Task& task, dist::Sharded<optim::Adam>& sharded) {
    optim::Adam state = sharded.state();
    CHECK(io::load_checkpoint(directory / "run", task.model, state, run).index == 6);
    sharded.load(state);
  };
  for (int ranks = 1; ranks <= dist::world(); ++ranks) {  // the first so many, and the rest; all make the same steps
    CAPTURE(ranks);
    const dist::Group group = dist::Group().split(dist::rank() < ranks ? 0 : 1);
    Task task = new_task();
    dist::Sharded<optim::Adam> sharded(task.parameters(), options, group);
    resume(task, sharded);
    const std::vector<double> losses = train(task, sharded, 6, 12, group);
    for (size_t i = 0; i < want.size(); ++i) CHECK(losses[i] == doctest::Approx(want[i]).epsilon(1e-5));
    if (ranks == dist::world()) {
      CHECK(losses == want);
      CHECK(hash(task.parameters()) == hash(straight.parameters()));
    }
  }
  {
    Task task = new_task();
    optim::Adam plain(task.parameters(), options);
    io::load_checkpoint(directory / "run", task.model, plain, run);
    train_alone(task, plain, 6, 12);
    CHECK(distance(task.parameters(), straight.parameters()) < 1e-5);
    // And back: its state into the ranks' parts.
    if (dist::rank() == 0) io::save_checkpoint(directory / "plain", task.model, plain, {.index = 12}, run);
    dist::barrier();
    Task again = new_task();
    dist::Sharded<optim::Adam> sharded(again.parameters(), options);
    optim::Adam state = sharded.state();
    io::load_checkpoint(directory / "plain", again.model, state, run);
    sharded.load(state);
    train_alone(task, plain, 12, 15), train(again, sharded, 12, 15);
    CHECK(distance(again.parameters(), task.parameters()) < 1e-5);
  }
  // Of another training nothing is taken.
  Tensor other = Tensor::zeros({4}).requires_grad_();
  const int64_t before = hash(straight.parameters());
  CHECK(error_of([&] { adam.load(optim::Adam({other})); }).starts_with("load_state_dict: "));
  CHECK(hash(straight.parameters()) == before);
}

TEST_CASE("sharded: the same bits with and without a Jit, and overlap") {
  const Training mode;
  int64_t want = 0;
  for (const bool jit : {false, true})
    for (const bool overlap : {true, false}) {
      const ExecutionScope execution({.overlap = overlap});
      Task task = new_task();
      dist::Sharded<optim::Adam> adam(task.parameters(), {.lr = 1e-2});
      Jit recorded([&](const Tensor& x, const Tensor& y) {
        adam.zero_grad();
        const Tensor loss = task.loss(x, y).backward();
        adam.step(0.5);
        return dist::all_reduce(loss.detach());
      });
      for (int64_t step = 0; step < 8; ++step) {
        const auto [x, y] = Task::batch(step);
        const Tensor mine = dist::shard(x).contiguous().realize(), wanted = dist::shard(y).contiguous().realize();
        adam.set_lr(1e-2 / double(step + 1));
        if (jit) recorded(mine, wanted).item();
        else {
          adam.zero_grad();
          task.loss(mine, wanted).backward();
          adam.step(0.5);
        }
      }
      if (jit) CHECK(recorded.replays() == 6);
      if (want == 0) want = hash(task.parameters());
      CHECK(hash(task.parameters()) == want);
      CHECK(same_on_all(want));
    }
}

TEST_CASE("sharded: a model that was loaded between two steps counts, also for a Jit that replays") {
  const Training mode;
  for (const bool jit : {false, true}) {
    Tensor p = Tensor::zeros({5}).requires_grad_();
    dist::Sharded<optim::SGD> sgd({p}, {.lr = 1});
    const auto body = [&] {
      p.set_grad(Tensor::ones({5}));
      sgd.step();
      sgd.zero_grad();
    };
    Jit recorded(body);
    for (int step = 0; step < 6; ++step) {
      if (step == 4) {
        const NoGrad guard;
        p.assign(Tensor::full({5}, 100.0));
      }
      if (jit) recorded();
      else body();
    }
    CHECK(p.to_vector() == std::vector<float>(5, 98));
  }
}

TEST_CASE("sharded: a loop that never looks at a value keeps no graph") {
  const Training mode;
  Task task = new_task();
  dist::Sharded<optim::Adam> adam(task.parameters());
  train(task, adam, 0, 2);
  const int64_t live = int64_t(tinyops::memory_use().live);
  for (int64_t step = 0; step < 100; ++step) {
    const auto [x, y] = Task::batch(step);
    adam.zero_grad();
    task.loss(dist::shard(x), dist::shard(y)).backward();
    adam.step();
  }
  CHECK(context.effects.size() <= 4);
  hash(task.parameters());
  adam.zero_grad();
  CHECK(int64_t(tinyops::memory_use().live) <= live + 40000);
}

TEST_CASE("sharded: the moments and the part itself, 3 P / n") {
  const Training mode;
  Tensor a = Tensor::ones({1000, 1000}).contiguous().requires_grad_(),
         b = Tensor::ones({50003}).contiguous().requires_grad_();
  realize(std::vector<Tensor>{a, b});
  const double bytes = 4.0 * double(a.numel() + b.numel());
  const auto live = [] { return double(tinyops::memory_use().live); };
  const auto one_step = [&](optim::Optimizer& optimizer) {
    a.set_grad(Tensor::ones({1000, 1000})), b.set_grad(Tensor::ones({50003}));
    optimizer.step(), optimizer.zero_grad();
    realize(std::vector<Tensor>{a, b});
  };
  const double before = live();
  double plain = 0, spread = 0;
  {
    optim::Adam adam({a, b});
    one_step(adam), one_step(adam);
    plain = live() - before;
  }
  CHECK(live() == before);
  {
    dist::Sharded<optim::Adam> adam({a, b});
    one_step(adam), one_step(adam);
    spread = live() - before;
  }
  if (dist::rank() == 0)
    MESSAGE("parameters ", bytes / 0x1p20, " MiB, Adam ", plain / 0x1p20, " MiB, of ", dist::world(), " ranks ",
            spread / 0x1p20, " MiB");
  CHECK(plain == doctest::Approx(2 * bytes).epsilon(0.02));
  CHECK(spread == doctest::Approx(3 * bytes / dist::world()).epsilon(0.02));
}

TEST_CASE("sharded: what it refuses") {
  Tensor p = Tensor::zeros({3}).requires_grad_(), q = Tensor::zeros({3}, DType::Float64).requires_grad_();
  using Adam = dist::Sharded<optim::Adam>;
  CHECK(error_of([&] {
          Adam({p, q});
        }) == "Sharded: parameters of float32 and of float64; give each dtype a group of its own");
  CHECK(error_of([&] { Adam({p, p}); }) == "adam: parameters 0 and 1 of (3,) are the same tensor");
  CHECK(error_of([&] { Adam({p * 2}); }) == "adam: parameter 0 of (3,) is the result of an operation, not a leaf");
  CHECK(error_of([&] { Adam({Tensor::zeros({3})}); }) == "adam: parameter 0 of (3,) float32 requires no gradient");
  CHECK(error_of([&] { Adam(std::vector<Tensor>()); }) ==
        "adam: no parameters to train; nn::parameters(model) lists those that require a gradient");
  CHECK(error_of([&] { Adam({p}, {.beta1 = 1}); }) == "adam: beta1 of 1; 0 <= beta1 < 1");
  CHECK(error_of([&] { Adam({p}).set_lr(-1); }) == "set_lr: lr of -1; 0 <= lr < inf");
}
