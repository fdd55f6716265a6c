// Threads inside of kernels: the same bits for any number of them, because every kernel cuts its work by shapes alone.
// And threads of a program: each has a context of its own.
#include <doctest/doctest.h>

#include <atomic>
#include <set>
#include <thread>

#include "random_graph.h"
#include "teeny/teeny.h"
#include "tinyops/base/environment.h"

// OpenMP's own, in binaries that have it: the reference backend has no threads to set.
extern "C" __attribute__((weak)) void omp_set_num_threads(int count);
extern "C" __attribute__((weak)) int omp_get_max_threads();

using namespace teeny;

namespace {

/// Runs `f` with 1, 2 and 3 threads, and compares what it gives byte for byte.
template <class F>
void same_for_all_threads(F&& f, const char* call = "") {
  if (!omp_set_num_threads) return;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<std::byte> one = f().to_bytes();
  for (int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const std::vector<std::byte> now = f().to_bytes();
    CHECK_MESSAGE(now == one, std::string(call) << ": " << threads << " threads");
  }
  omp_set_num_threads(before);
}

Tensor values(const Shape& shape) { return Tensor::randn(shape).realize(); }

#define SAME_FOR_ALL_THREADS(...) same_for_all_threads(__VA_ARGS__, #__VA_ARGS__)

}  // namespace

TEST_CASE("threads: large kernels of every kind give the same bits") {
  const Tensor x = values({300, 1000}), y = values({1000, 70}), image = values({6, 8, 20, 20}),
               w = values({16, 8, 3, 3});
  const Tensor index = Tensor::randint(0, 300, {5000}).realize(), rows = values({5000, 40});
  SAME_FOR_ALL_THREADS([&] { return x.sum(); });
  SAME_FOR_ALL_THREADS([&] { return x.sum(0); });
  SAME_FOR_ALL_THREADS([&] { return x.exp().sum(1); });
  SAME_FOR_ALL_THREADS([&] { return x.softmax(); });
  SAME_FOR_ALL_THREADS([&] { return x.softmax(0); });
  SAME_FOR_ALL_THREADS([&] { return x.matmul(y); });
  SAME_FOR_ALL_THREADS([&] { return x.t().matmul(x); });
  SAME_FOR_ALL_THREADS([&] { return image.conv2d(w, {}, {.padding = 1}).relu().max_pool2d(); });
  SAME_FOR_ALL_THREADS([&] {
    return Tensor::zeros({300, 40}).scatter_add(0, index.unsqueeze(1).expand({5000, 40}), rows);
  });
  SAME_FOR_ALL_THREADS([&] { return x.index_select(0, index); });
  SAME_FOR_ALL_THREADS([&] {
    return Tensor::zeros({300, 40}).scatter(0, index.unsqueeze(1).expand({5000, 40}), rows);
  });
  SAME_FOR_ALL_THREADS([&] { return x.cumsum(0); });
  SAME_FOR_ALL_THREADS([&] { return x.cumsum(1); });
  SAME_FOR_ALL_THREADS([&] { return x.flatten().cumsum(0); });
  SAME_FOR_ALL_THREADS([&] { return x.reshape({3, 100000}).cumprod(1); });
  SAME_FOR_ALL_THREADS([&] { return x.sort(0).indices; });
  SAME_FOR_ALL_THREADS([&] { return x.flatten().sort().values; });
  SAME_FOR_ALL_THREADS([&] { return index.sort(-1, true).indices; });
  SAME_FOR_ALL_THREADS([&] { return Tensor::manual_seed(3), Tensor::randn({200, 500}); });
}

TEST_CASE("threads: gradients give the same bits") {
  const Tensor image = values({16, 4, 24, 24}), start = values({8, 4, 5, 5});
  SAME_FOR_ALL_THREADS([&] {
    Tensor x = image.detach().requires_grad_(), w = start.detach().requires_grad_();
    x.conv2d(w).relu().max_pool2d().square().mean().backward();
    return Tensor::cat({x.grad().flatten(), w.grad().flatten()});
  });
}

TEST_CASE("threads: random graphs give the same bits") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    const random_graph::Program program = random_graph::make(seed, 15);
    SAME_FOR_ALL_THREADS([&] {
      std::vector<Tensor> outputs;
      for (const random_graph::Result& result : random_graph::run(program, random_graph::Precision::AsWritten))
        outputs.push_back(result.value.flatten().cast(DType::Float64));
      return Tensor::cat(outputs);
    });
  }
}

namespace {

/// Runs `body(0)` .. `body(count - 1)` on as many threads at once, and hands on what the first of them threw.
template <class F>
void on_threads(int count, F&& body) {
  std::vector<std::exception_ptr> errors{size_t(count)};
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t)
    threads.emplace_back([&, t] {
      try {
        body(t);
      } catch (...) { errors[size_t(t)] = std::current_exception(); }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

/// `make test-all` sets THREAD_STEPS=10000.
const int kSteps = int(tinyops::environment::whole_number("THREAD_STEPS", 200));

struct Net {
  nn::Linear first{8, 16}, second{16, 4};
  Tensor operator()(const Tensor& x) const { return second(first(x).relu()); }
  TEENY_STATE(first, second)
};

}  // namespace

TEST_CASE("threads: each trains a model of its own, and has the losses of a thread that is alone") {
  const auto losses = [](int seed) {
    Tensor::manual_seed(uint64_t(seed));
    Net net;
    optim::Adam adam(nn::parameters(net), {.lr = 1e-2});
    Training mode;
    std::vector<double> result;
    const Tensor x = Tensor::randn({5, 8}).realize(), y = Tensor::arange(5) % 4;
    for (int i = 0; i < kSteps / 10; ++i) {
      adam.zero_grad();
      const Tensor loss = net(x).dropout(0.1).cross_entropy(y).backward();
      adam.step();
      result.push_back(loss.item());
    }
    return result;
  };
  std::vector<std::vector<double>> alone, together(4);
  for (int t = 0; t < 4; ++t) alone.push_back(losses(t));
  on_threads(4, [&](int t) { together[size_t(t)] = losses(t); });
  CHECK(alone == together);
}

TEST_CASE("threads: eight evaluate one realized model") {
  Net net;
  for (const Tensor& p : nn::parameters(net)) p.realize();
  const Tensor x = Tensor::randn({3, 8}).realize();
  std::vector<float> expected;
  {
    NoGrad guard;
    expected = net(x).to_vector();
  }
  std::atomic<int> different = 0;
  on_threads(8, [&](int) {
    NoGrad guard;
    for (int i = 0; i < kSteps; ++i) different += net(x).to_vector() != expected;
  });
  CHECK(different == 0);
}

TEST_CASE("threads: a Jit records its own thread alone") {
  const Tensor shared = Tensor::randn({4, 4}).realize();
  on_threads(4, [&](int t) {
    Tensor total = Tensor::zeros({4, 4}).contiguous().realize();
    Jit step([&](const Tensor& x) {
      total.assign(total + x * shared);
      return (total * t).sum();
    });
    double expected = 0;
    for (int i = 1; i <= kSteps / 4 + 4; ++i) {
      const Tensor x = Tensor::full({4, 4}, i, DType::Float32).contiguous().realize();
      expected = double(t) * i * (i + 1) / 2 * (shared.sum().item());
      const double got = step(x).item();
      if (std::abs(got - expected) > 1e-3 * (1 + std::abs(expected))) fail("thread ", t, ": ", got, ", not ", expected);
    }
  });
}

TEST_CASE("threads: modes, the random stream and the counters belong to a thread") {
  NoGrad guard;
  Training mode;
  Tensor::manual_seed(7);
  const auto before = Tensor::random_state();
  std::vector<uint64_t> seeds(3);
  on_threads(3, [&](int t) {
    if (!GradMode::enabled() || Training::enabled()) fail("a new thread has the modes of another one");
    seeds[size_t(t)] = Tensor::random_state().first;
    (void)Tensor::rand({10}).realize();
  });
  CHECK(Tensor::random_state() == before);
  CHECK(std::set<uint64_t>(seeds.begin(), seeds.end()).size() == 3);
}

TEST_CASE("threads: what two of them cannot share is an Error") {
  const Tensor lazy = Tensor::ones({2, 3}) + 1;
  const auto refuses = [](const char* message, auto body) {
    CHECK_THROWS_WITH_AS(on_threads(1, [&](int) { body(); }), doctest::Contains(message), Error);
  };
  refuses("a tensor of (2, 3) was made by another thread and is not computed yet", [&] { (void)(lazy * 2); });
  refuses("realize: a tensor of (2, 3) was made by another thread", [&] { lazy.realize(); });
  Tensor written = Tensor::zeros({2}).contiguous().realize();
  written.assign(written + 1);
  refuses("assign: another thread has assigned to this tensor of (2,)", [&] { written.assign(Tensor::ones({2})); });
  written.realize(), lazy.realize();
  on_threads(1, [&](int) {
    written.assign(written + lazy.sum());
    written.realize();
  });
  CHECK(written.to_vector() == std::vector<float>{13, 13});
}

TEST_CASE("threads: a transform of the loader may compute with tensors, and draws what follows from its sample") {
  const data::Dataset set{Tensor::arange(12).cast(DType::Float32).reshape({6, 1, 1, 2}), Tensor::arange(6)};
  const auto noisy = [](std::span<float> image, const Shape& shape, std::mt19937_64&) {
    const Tensor x = Tensor::from(std::span<const float>(image), shape);
    const std::vector<float> values = (x * 2 + Tensor::rand(shape)).to_vector();
    std::copy(values.begin(), values.end(), image.begin());
  };
  std::vector<std::vector<float>> epochs;
  for (int run = 0; run < 2; ++run) {
    data::DataLoader loader(set, {.batch_size = 4, .transform = noisy});
    std::vector<float> seen;
    for (auto [x, y] : loader)
      for (float value : x.to_vector()) seen.push_back(value);
    epochs.push_back(seen);
  }
  CHECK(epochs[0] == epochs[1]);
  for (size_t i = 0; i < 12; ++i) CHECK(std::floor(epochs[0][i]) == float(2 * i));
}
