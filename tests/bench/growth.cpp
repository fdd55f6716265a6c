// How cost grows: the points of one curve, a line each, `series x value` or `series x value operations bytes`.
// growth.py runs it for all curves, several times each, and draws what comes out.
//
//   batch, width   milliseconds of an MLP, and the operations and bytes that it needs at least; first a line `peak`
//   nodes          microseconds and bytes a node of a graph that is made, scheduled, run and given back
//   threads        milliseconds of single operations and of a training step, on OMP_NUM_THREADS threads
//   ranks          milliseconds of a data-parallel training step, as one of many ranks
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>

#include "examples/common.h"
#include "teeny/teeny.h"
#include "tests/bench/peak.h"
#include "tinyops/device.h"

using namespace teeny;

/// Bytes that the program holds, but for elements of tensors, and the most since `most_held` was last set.
static thread_local int64_t held = 0, most_held = 0;

void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  held += int64_t(malloc_usable_size(memory));
  most_held = std::max(most_held, held);
  return memory;
}
void operator delete(void* memory) noexcept {
  held -= int64_t(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

using Clock = std::chrono::steady_clock;
static double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Milliseconds of a call: of five runs of many calls, which take `seconds` together, the best. Whoever else uses the
/// machine makes it slower, nothing makes it faster. All ranks make the same calls.
template <class Work>
static double time(double seconds, Work&& work) {
  const auto run = [&](int64_t calls) {
    dist::barrier();  // no rank has worked ahead
    const auto start = Clock::now();
    for (int64_t i = 0; i < calls; ++i) work();
    tinyops::synchronize();
    return milliseconds_since(start) / double(calls);
  };
  run(3);  // a Jit records the second call
  const double once = dist::all_reduce(Tensor(run(1))).item() / dist::world();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 5; ++i) best = std::min(best, run(std::clamp<int64_t>(int64_t(200 * seconds / once), 1, 10000)));
  return best;
}

static void print(const std::string& series, int64_t x, double value, double operations = 0, double bytes = 0) {
  std::printf("%s %lld %.6g", series.c_str(), static_cast<long long>(x), value);
  if (operations > 0) std::printf(" %.6g %.6g", operations, bytes);
  std::printf("\n");
  std::fflush(stdout);
}

static Tensor values(const Shape& shape) { return Tensor::randn(shape).realize(); }

/// Three layers that are as wide as their input.
struct Mlp {
  nn::Linear a, b, c;
  explicit Mlp(int64_t width) : a(width, width), b(width, width), c(width, width) {}
  Tensor operator()(const Tensor& x) const { return c(b(a(x).relu()).relu()); }
  TEENY_STATE(a, b, c)
};

static double inference(double seconds, int64_t batch, int64_t width) {
  const NoGrad guard;
  const Mlp model(width);
  const Tensor x = values({batch, width});
  Jit infer([&](const Tensor& x) { return model(x); });
  return time(seconds, [&] { infer(x); });
}

/// Of many ranks, each has a batch of this size.
static double training(double seconds, int64_t batch, int64_t width) {
  const Mlp model(width);
  optim::Adam adam(nn::parameters(model));
  const Tensor x = values({batch, width}), y = values({batch, width});
  const Training mode;
  Jit step([&](const Tensor& x, const Tensor& y) {
    adam.zero_grad();
    const Tensor loss = model(x).mse_loss(y).backward();
    dist::average_gradients(adam.parameters());
    adam.step();
    return loss;
  });
  return time(seconds, [&] { step(x, y); });
}

/// Both, with what they need at least: three products forward, five back, since nobody asks for the gradient of the
/// input; parameters and examples are read once, and Adam reads and writes the parameters and two moments of each.
static void mlp(double seconds, int64_t x, int64_t batch, int64_t width) {
  const double product = 2.0 * double(batch * width * width), parameters = 3.0 * double(width * width + width);
  const double examples = 2.0 * double(batch * width);
  print("inference", x, inference(seconds, batch, width), 3 * product, 4 * (parameters + examples));
  print("training", x, training(seconds, batch, width), 8 * product, 4 * (6 * parameters + examples));
}

static void print_peak(double seconds) {
  const Peak peak = measure_peak(seconds);
  std::printf("peak %.6g %.6g\n", peak.gflops, peak.gb_second);
}

/// A graph of `n` nodes, many times until `seconds` are over: microseconds a node at best, bytes the last time.
template <class Graph>
static void graph(const std::string& name, double seconds, int64_t n, Graph&& make_and_run) {
  double best = std::numeric_limits<double>::infinity(), bytes = 0;
  const auto start = Clock::now();
  do {
    const int64_t before = most_held = held;
    const auto begin = Clock::now();
    make_and_run(n);
    tinyops::synchronize();
    best = std::min(best, milliseconds_since(begin)), bytes = double(most_held - before);
  } while (milliseconds_since(start) < 1e3 * seconds);
  print(name + "_microseconds", n, 1e3 * best / double(n));
  print(name + "_bytes", n, bytes / double(n));
}

static void nodes(double seconds, int64_t most) {
  const Tensor one = Tensor::ones({16}).contiguous().realize();
  const auto chain = [&](int64_t n) {
    const NoGrad guard;
    Tensor y = one;
    for (int64_t i = 0; i < n; ++i) y = y + one;
    y.realize();
  };
  const auto gradient_too = [&](int64_t n) {  // which has a node for each of the chain
    const Tensor x = one.detach().requires_grad_();
    Tensor y = x;
    for (int64_t i = 0; i < n / 2; ++i) y = y * one;
    const Tensor sum = y.sum();
    realize(std::vector<Tensor>{sum, gradient(sum, {x})[0]});
  };
  const auto wide = [&](int64_t n) {
    const NoGrad guard;
    std::vector<Tensor> ends(size_t(n / 10), one);
    for (Tensor& y : ends)
      for (int i = 0; i < 10; ++i) y = y + one;
    realize(ends);
  };
  for (int64_t n = 10; n <= std::min<int64_t>(most, 1000000); n *= 10) {
    graph("chain", seconds, n, chain);
    graph("gradient", seconds, n, gradient_too);
    graph("wide", seconds, n, wide);
  }
}

static void threads(double seconds) {
  const char* given = std::getenv("OMP_NUM_THREADS");
  const int64_t count = given ? std::atoi(given) : 0;
  if (count < 1) fail("the curve of threads: OMP_NUM_THREADS says how many there are");
  const Tensor x = values({1024, 1024}), y = values({1024, 1024});
  print("product", count, time(seconds, [&] { x.matmul(y).realize(); }));
  const Tensor images = values({128, 32, 24, 24}), kernel = values({32, 32, 5, 5});
  print("convolution", count, time(seconds, [&] { images.conv2d(kernel).realize(); }));
  const Tensor long_x = values({1 << 24}), long_y = values({1 << 24});
  print("addition", count, time(seconds, [&] { (long_x + long_y).realize(); }));
  print("training", count, training(seconds, 128, 512));
}

int main(int argc, char** argv) {
  std::string curve;
  double seconds = 0.2;
  int64_t most = 1000000;
  return examples::run(argc, argv, "Measures how cost grows: the points of one curve.",
                       {{"--curve", &curve, "batch, width, nodes, threads or ranks"},
                        {"--seconds", &seconds, "how long each point is repeated"},
                        {"--most", &most, "no batch, width or number of nodes beyond this", 1}},
                       [&] {
                         examples::print_on_one_rank();
                         if (curve == "batch") {
                           print_peak(seconds);
                           for (int64_t batch = 1; batch <= std::min<int64_t>(most, 4096); batch *= 2)
                             mlp(seconds, batch, batch, 512);
                         } else if (curve == "width") {
                           print_peak(seconds);
                           for (int64_t width = 64; width <= std::min<int64_t>(most, 4096); width *= 2)
                             mlp(seconds, width, 128, width);
                         } else if (curve == "nodes") {
                           nodes(seconds, most);
                         } else if (curve == "threads") {
                           threads(seconds);
                         } else if (curve == "ranks") {
                           print("training", dist::world(), training(seconds, 128, 512));
                         } else {
                           throw examples::WrongOption("--curve is batch, width, nodes, threads or ranks");
                         }
                       });
}
