// Training on many ranks is training on one: the same losses, the same parameters on all ranks, a part of the work.
#include <time.h>

#include "helpers.h"
#include "tests/temporary_directory.h"

using namespace teeny;
using namespace of_ranks;

namespace {

/// That of examples/mnist.cpp, or one that is smooth. The largest of four pixels, and whether an element is above 0,
/// now and then change with the last bit of a sum: on more ranks, but on a single one, too, where a bias is disturbed
/// by 1e-6. Then a curve leaves its path, and comes back: notes/ranks.md says how far.
struct Convnet {
  bool smooth;
  nn::Conv2d c1{1, 16, 5}, c2{16, 32, 5};
  nn::Linear head{512, 10};
  Tensor operator()(Tensor x) const {
    const auto layer = [&](const Tensor& y) { return smooth ? y.gelu().avg_pool2d() : y.relu().max_pool2d(); };
    x = (x - 0.1307) / 0.3081;
    return head(layer(c2(layer(c1(x)))).flatten(1));
  }
  TEENY_STATE(c1, c2, head)
};

/// Processor time of this thread, in seconds.
double thread_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

struct Way {
  bool alone = false, sharded = false, jit = true, overlap = true, smooth = false;
  int64_t bucket = 25 << 20;
  size_t steps = 30;
  int64_t batch = 24;  ///< for all ranks together
};
struct Result {
  std::vector<double> losses;
  int64_t hash = 0;
  double seconds = 0;  ///< processor time of the program's thread, of the step that the machine disturbed least
};

/// Trains on MNIST.
Result train(const Way& way, const data::Dataset& images) {
  const Training mode;
  const ExecutionScope execution({.overlap = way.overlap});
  const int rank = way.alone ? 0 : dist::rank(), ranks = way.alone ? 1 : dist::world();
  Tensor::manual_seed(3);
  Convnet model{.smooth = way.smooth};
  if (!way.alone) dist::broadcast(nn::state_dict(model));
  const std::vector<Tensor> params = nn::parameters(model);
  optim::Adam adam(params);
  dist::Sharded<optim::Adam> sharded(params);
  data::DataLoader loader(images, {.batch_size = way.batch, .shuffle = true, .rank = rank, .ranks = ranks});
  const auto body = [&](const Tensor& x, const Tensor& y) {
    adam.zero_grad();
    const Tensor loss = model(x).cross_entropy(y).backward().detach();
    if (way.sharded) sharded.step();
    else {
      if (!way.alone) dist::average_gradients(params, {.bucket = way.bucket});
      adam.step();
    }
    return way.alone ? loss : dist::all_reduce(loss) / ranks;
  };
  Jit recorded(body);
  Result result;
  std::vector<double> times;
  double start = thread_time();
  for (const auto& [x, y] : loader) {
    result.losses.push_back((way.jit ? recorded(x, y) : body(x, y)).item());
    times.push_back(thread_time() - std::exchange(start, thread_time()));
    if (result.losses.size() == way.steps) break;
  }
  result.seconds = std::ranges::min(times);
  result.hash = hash(params);
  return result;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double result = 0;
  for (size_t i = 0; i < a.size(); ++i) result = std::max(result, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return result;
}

}  // namespace

TEST_CASE("training: MNIST has the curve of one process, and the same bits on all ranks [train]") {
  const data::Dataset images = data::mnist().train;
  const auto curve = [&](bool alone, bool sharded) {
    return train({.alone = alone, .sharded = sharded, .smooth = true, .steps = 100}, images);
  };
  const Result alone = curve(true, false), mean = curve(false, false), sharded = curve(false, true);
  for (const Result* result : {&mean, &sharded}) {
    CHECK(largest_difference(result->losses, alone.losses) <= 1e-5);
    CHECK(same_on_all(result->hash));
  }
  if (dist::rank() > 0) return;
  std::string table = text("\n", dist::world(), " ranks\nstep    one rank    average_gradients    Sharded\n");
  for (const size_t step : {0, 4, 10, 50, 99}) {
    const auto digits = [&](const Result& result) { return tinyops::decimal(result.losses[step], 7); };
    table += text(step, "\t", digits(alone), "\t", digits(mean), "\t", digits(sharded), "\n");
  }
  MESSAGE(table, "largest relative difference: ", largest_difference(mean.losses, alone.losses), ", ",
          largest_difference(sharded.losses, alone.losses));
}

TEST_CASE("training: for a number of ranks the bits do not depend on the way [train]") {
  const data::Dataset images = data::mnist().train;
  const int64_t mean = train({}, images).hash, sharded = train({.sharded = true}, images).hash;
  CHECK(same_on_all(mean));
  CHECK(same_on_all(sharded));
  for (const Way& way : {Way{}, Way{.jit = false}, Way{.overlap = false}, Way{.jit = false, .overlap = false}})
    CHECK(train(way, images).hash == mean);
  // In a bucket of another size MPI may add up an element in another order.
  const int64_t buckets = train({.bucket = 1024}, images).hash;
  CHECK(same_on_all(buckets));
  CHECK(train({.jit = false, .overlap = false, .bucket = 1024}, images).hash == buckets);
  CHECK(train({.sharded = true, .jit = false, .overlap = false}, images).hash == sharded);
}

TEST_CASE("training: a part of the work for each rank [train]") {
  const data::Dataset images = data::mnist().train;
  double share = 0;
  for (int attempt = 0; attempt < 3; ++attempt) {  // whoever shares the machine takes its caches, too
    const double alone = train({.alone = true, .batch = 120}, images).seconds,
                 part = train({.batch = 120}, images).seconds;
    share = dist::all_reduce(Tensor(part / alone)).item() / dist::world();
    if (dist::rank() == 0)
      MESSAGE(dist::world(), " ranks: processor time of the program's thread a step: ", 1e3 * alone, " ms alone, ",
              1e3 * part, " ms: ", share);
    if (share <= 1.2 / dist::world()) return;
  }
  CHECK(share <= 1.2 / dist::world());
}

namespace {

struct Perceptron {
  nn::Linear up{11, 13}, down{13, 5};
  Tensor operator()(const Tensor& x) const { return down(up(x).tanh()); }
  TEENY_STATE(up, down)
};
Perceptron new_perceptron() {
  Tensor::manual_seed(7);
  return {};
}
/// Number `index` of several small batches: (12, 11), 12 is a multiple of one to four ranks.
Tensor small_batch(int index) {
  return (Tensor::arange(12 * 11).cast(DType::Float32) * (0.3 + 0.1 * index)).sin().reshape({12, 11});
}
Tensor loss_of(const Perceptron& model, const Tensor& x) {
  return (model(x) - (x[{ellipsis, slice(0, 5)}] * 2).cos()).square().mean();
}

}  // namespace

TEST_CASE("training: gradients that add up over several batches are averaged once, and then clipped") {
  const Training mode;
  for (const bool sharded : {false, true}) {
    CAPTURE(sharded);
    const Perceptron alone = new_perceptron(), model = new_perceptron();
    const std::vector<Tensor> all = nn::parameters(alone), mine = nn::parameters(model);
    optim::Adam plain(all, {.lr = 1e-2}), adam(mine, {.lr = 1e-2});
    dist::Sharded<optim::Adam> spread(mine, {.lr = 1e-2});
    for (int step = 0; step < 5; ++step) {
      plain.zero_grad(), adam.zero_grad();
      for (int part = 0; part < 3; ++part) {
        const Tensor x = small_batch(3 * step + part);
        (loss_of(alone, x) / 3).backward();
        (loss_of(model, dist::shard(x)) / 3).backward();
      }
      const double want = optim::clip_grad_norm(all, 0.1).item();
      plain.step();
      double norm = 0;
      if (sharded) norm = spread.step(0.1).item();
      else {
        dist::average_gradients(mine);
        norm = optim::clip_grad_norm(mine, 0.1).item();
        std::vector<Tensor> grads;
        for (const Tensor& p : mine) grads.push_back(p.grad());
        CHECK(same_on_all(hash(grads)));
        CHECK(distance(grads, std::vector<Tensor>{all[0].grad(), all[1].grad(), all[2].grad(), all[3].grad()}) < 1e-5);
        adam.step();
      }
      CHECK(norm == doctest::Approx(want).epsilon(1e-5));
    }
    CHECK(distance(mine, all) < 1e-5);
    CHECK(same_on_all(hash(mine)));
  }
}

namespace {

/// A training with state of all kinds, by a plain optimiser or one that is spread. The ranks' models differ at first.
struct Run {
  struct Model {
    Perceptron net;
    Tensor bools = Tensor::arange(5) > dist::rank(), halves = Tensor::full({3}, 1.5 + dist::rank(), DType::Float16),
           none = Tensor::zeros({0, 3});
    TEENY_STATE(net, bools, halves, none)
  };
  Model model{.net = (Tensor::manual_seed(20 + uint64_t(dist::rank())), Perceptron())};
  std::vector<Tensor> params = nn::parameters(model);
  optim::Adam adam{params, {.lr = 1e-2}};
  dist::Sharded<optim::Adam> spread{params, {.lr = 1e-2}};
  data::DataLoader loader{Tensor::cat({small_batch(0), small_batch(1), small_batch(2)}),
                          Tensor::arange(36 * 5).cast(DType::Float32).cos().reshape({36, 5}),
                          {.batch_size = 12, .shuffle = true, .rank = dist::rank(), .ranks = dist::world()}};

  /// Whether the same was computed so far, with the same to come.
  int64_t hash_of_all() const {
    std::vector<Tensor> all;
    for (const auto& state : {nn::state_dict(model), nn::state_dict(adam), nn::state_dict(spread.state())})
      for (const auto& [name, x] : state) all.push_back(x);
    const auto [seed, counter] = Tensor::random_state();
    const data::Position at = loader.position();
    all.push_back(Tensor::of<int64_t>({int64_t(seed), int64_t(counter), int64_t(at.seed), at.epoch, at.index}));
    return hash(all);
  }
  /// Calls `save` after step `when`.
  template <class Save>
  void train(bool sharded, int steps, int when, Save save) {
    for (int step = 1; step <= steps;)
      for (const auto& [x, y] : loader) {
        adam.zero_grad();
        (model.net(x + 0.1 * Tensor::randn({11})) - y).square().mean().backward();
        if (sharded) spread.step();
        else dist::average_gradients(params), adam.step();
        if (step == when) save();
        if (step++ == steps) break;
      }
  }
};

}  // namespace

TEST_CASE("training: goes on bit for bit from a checkpoint that only rank 0 can see") {
  const Training mode;
  const SharedDirectory directory;
  const io::Metadata settings{{"lr", "0.01"}};
  for (const bool sharded : {false, true}) {
    CAPTURE(sharded);
    const std::string path =
        directory / (dist::rank() == 0 ? text("run", sharded) : text("no/such/folder/", dist::rank()));
    data::Position saved;
    Run straight;
    dist::broadcast(nn::state_dict(straight.model));
    Tensor::manual_seed(5);
    straight.train(sharded, 7, 4, [&] {
      const optim::Adam whole = sharded ? straight.spread.state() : straight.adam;
      saved = straight.loader.position();
      if (dist::rank() == 0) io::save_checkpoint(path, straight.model, whole, straight.loader, settings);
    });
    CHECK(saved == data::Position{0, 1, 12});

    Run again, third;
    optim::Adam whole = again.spread.state();
    optim::Adam& loaded = sharded ? whole : again.adam;
    dist::load_checkpoint(path, again.model, loaded, again.loader, settings);
    if (sharded) again.spread.load(whole);
    CHECK(again.loader.position() == saved);
    CHECK(same_on_all(again.hash_of_all()));
    again.train(sharded, 3, 0, [] {});
    CHECK(again.hash_of_all() == straight.hash_of_all());
    CHECK(again.model.bools.to_vector<bool>() == std::vector<bool>{false, true, true, true, true});
    CHECK(again.model.halves.to_vector() == std::vector<float>(3, 1.5));

    CHECK(dist::load_checkpoint(path, third.model, third.adam, settings) == saved);
    CHECK(same_on_all(third.hash_of_all()));
  }
}

TEST_CASE("training: ranks that drop other elements go on with the same parameters") {
  const Training mode;
  const Perceptron model = new_perceptron();
  dist::broadcast(nn::state_dict(model));
  const std::vector<Tensor> params = nn::parameters(model);
  optim::SGD sgd(params, {.lr = 0.1});
  Tensor::manual_seed(1 + dist::rank());
  if (dist::world() > 1) CHECK_FALSE(same_on_all(hash(std::vector<Tensor>{Tensor::rand({10})})));
  for (int step = 0; step < 3; ++step) {
    sgd.zero_grad();
    const Tensor x = dist::shard(small_batch(step));
    loss_of(model, x.dropout(0.5)).backward();
    dist::average_gradients(params);
    sgd.step();
  }
  CHECK(same_on_all(hash(params)));
}

TEST_CASE("training: an evaluation in slices counts every sample once") {
  const NoGrad guard;
  const Tensor right = (Tensor::arange(1237) * 7919 % 10 < 7);
  double mine = 0, seen = 0;
  for (int64_t i = 100 * dist::rank(); i < right.size(0); i += 100 * dist::world()) {
    const Tensor part = right[{slice(i, i + 100)}];
    mine += part.sum().item(), seen += double(part.numel());
  }
  const auto total = dist::all_reduce(Tensor::of({mine, seen})).to_vector();
  CHECK(total[0] == right.sum().item());
  CHECK(total[1] == 1237);
}
