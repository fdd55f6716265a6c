// What ranks cost: measured between hosts, beside what the formulas say. For tests/hosts.sh, one rank a host:
//
//   network names               whether each rank is alone on its host
//   network rate MIB            how long an all_reduce takes
//   network volume STEPS        bytes that a host sends for a step of `mnist`
//   network overlap LAYERS MS   a step whose gradients travel while the backward pass goes on, and one by one
//   network bandwidth MIB       all_reduces of up to so many MiB, in the words of nccl-tests: of the algorithm and the bus
//   network forever             all_reduces until something happens: begins with a line
//
// $RATE is what the hosts' cards do, as 200mbit. The exit status is 1 where a measurement is not as it should be.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>
#include <sstream>
#include <thread>

#include "teeny/teeny.h"
#include "tests/scaling.h"
#include "tinyops/base/decimal.h"
#include "tinyops/ranks.h"

using namespace teeny;

namespace {

constexpr double kClose = 0.25;  // of what the formula says
int failures = 0;

/// A line of the table, on rank 0 alone; all ranks have the same verdict.
void say(bool good, const std::string& line) {
  failures += !good;
  if (dist::rank() == 0) std::printf("%s%s\n", line.c_str(), good ? "" : "   FAILED"), std::fflush(stdout);
}
bool close(double measured, double said) { return std::abs(measured - said) <= kClose * said; }
std::string ms(double seconds) { return tinyops::decimal(1e3 * seconds, 1) + " ms"; }

/// Of all ranks, on all ranks.
std::vector<double> gather(double value) {
  return dist::all_gather(Tensor::full({1}, value, DType::Float64)).to_vector<double>();
}
double most(double value) { return std::ranges::max(gather(value)); }
double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + std::ssize(values) / 2);
  return values[values.size() / 2];
}
/// Seconds until `work` is done on all ranks, which begin together. The median of several times.
double seconds(const std::function<void()>& work, int times = 7) {
  std::vector<double> taken;
  for (int i = -1; i < times; ++i) {  // the first one also makes connections
    dist::barrier();
    const auto start = std::chrono::steady_clock::now();
    work();
    taken.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return most(median({taken.begin() + 1, taken.end()}));
}

/// Bytes a second of $RATE.
double rate() {
  const char* given = std::getenv("RATE");
  if (!given || !std::string_view(given).ends_with("mbit")) fail("RATE=, as 200mbit, says what the cards do");
  return std::atof(given) * 1e6 / 8;
}
double in_a_ring(double bytes) { return scaling::ring_seconds(dist::world(), bytes, {0, rate()}); }

void check_names() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0) fail("gethostname: ", std::strerror(errno));
  const int rank = dist::rank();
  const bool good = name == text("host", rank + 1) && tinyops::ranks::local() == 0;
  std::printf("rank %d of %d: %s, number %d of those on this machine\n", rank, dist::world(), name,
              tinyops::ranks::local());
  say(most(!good) == 0, "a host for each rank");
}

void measure_rate(int mebibytes) {
  const Tensor x = Tensor::ones({int64_t(mebibytes) << 18}).realize();
  const double taken = seconds([&] { dist::all_reduce(x).realize(); }), said = in_a_ring(mebibytes * 0x1p20);
  say(close(taken, said), text("n = ", dist::world(), ", ", mebibytes, " MiB: ", ms(taken), ", formula ", ms(said)));
}

/// Of the algorithm: bytes of the input a second. Of the bus: those that a rank sends in a ring.
void measure_bandwidth(int most_mebibytes) {
  const int n = dist::world();
  for (int mebibytes = 1; mebibytes <= most_mebibytes; mebibytes *= 4) {
    const Tensor x = Tensor::ones({int64_t(mebibytes) << 18}).realize();
    const double taken = seconds([&] { dist::all_reduce(x).realize(), tinyops::synchronize(); });
    const double gigabytes = mebibytes * 0x1p20 / taken / 1e9;
    say(true, text("n = ", n, ", ", mebibytes, " MiB: ", ms(taken), ", ", tinyops::decimal(gigabytes, 3),
                   " GB/s of the algorithm, ", tinyops::decimal(gigabytes * 2 * (n - 1) / n, 3), " of the bus"));
  }
}

// ---- Volume ---------------------------------------------------------------------------------------------------------

/// What has left this host: of each card but the one to itself, /proc/net/dev counts what came in in eight columns, and
/// then what went out. A segment of up to 64 KB has one header there.
int64_t sent() {
  std::ifstream file("/proc/net/dev");
  int64_t total = 0;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.find("lo:") != std::string::npos) continue;
    std::istringstream columns(line.substr(colon + 1));
    int64_t value = 0;
    for (int i = 0; i <= 8; ++i) columns >> value;
    total += value;
  }
  return total;
}

/// That of examples/mnist.
struct Convnet {
  nn::Conv2d c1{1, 16, 5}, c2{16, 32, 5};
  nn::Linear head{512, 10};
  Tensor operator()(Tensor x) const {
    x = c1(x).relu().max_pool2d();
    x = c2(x).relu().max_pool2d();
    return head(x.flatten(1));
  }
  TEENY_STATE(c1, c2, head)
};

void measure_volume(int steps) {
  const int n = dist::world();
  const Training mode;
  const Convnet model;
  dist::broadcast(nn::state_dict(model));
  const std::vector<Tensor> params = nn::parameters(model);
  double gradients = 0;
  for (const Tensor& p : params) gradients += double(p.numel() * itemsize(p.dtype()));
  const double said = 2 * (n - 1) * gradients / n;
  const Tensor x = Tensor::rand({128 / n, 1, 28, 28}), y = Tensor::zeros({128 / n}, DType::Int64);
  const auto measure = [&](const char* name, double allowed, const std::function<void()>& update) {
    Jit step([&] {
      for (Tensor p : params) p.zero_grad();
      const Tensor loss = model(x).cross_entropy(y).backward();
      update();
      return dist::all_reduce(loss.detach()) / n;
    });
    for (int i = 0; i < 3; ++i) step().item();
    dist::barrier();
    const int64_t before = sent();
    for (int i = 0; i < steps; ++i) step().item();
    // Comparisons, the loss, headers and acknowledgements are included.
    const std::vector<double> hosts = gather(double(sent() - before) / steps);
    const double mean = std::accumulate(hosts.begin(), hosts.end(), 0.0) / n;
    say(mean > said * 0.95 && mean <= said * allowed,
        text("n = ", n, ", ", int64_t(gradients), " bytes of gradients, ", name, ": ", int64_t(mean),
             " bytes a step leave a host, formula ", int64_t(said), " (", tinyops::decimal(100 * (mean / said - 1), 1),
             " %), and one host ", int64_t(std::ranges::max(hosts))));
  };
  optim::Adam adam(params);
  measure("average_gradients", 1.05, [&] { dist::average_gradients(params), adam.step(); });
  dist::Sharded<optim::Adam> sharded(params);
  measure("Sharded<Adam>", 1.3, [&] { sharded.step(); });  // Open MPI's reduce_scatter is not the best one
}

// ---- Overlap --------------------------------------------------------------------------------------------------------

constexpr int64_t kWidth = 512;  // of layers with weights of 1 MiB
double work_seconds = 0;

/// A layer's backward pass takes so long, whatever this machine does in that time.
void run_slowly(const tinyops::Kernel& kernel) {
  const auto* product = std::get_if<tinyops::ContractKernel>(&kernel);
  if (product && product->epilogue.shape == Shape{kWidth, kWidth})  // the gradient of its weights
    std::this_thread::sleep_for(std::chrono::duration<double>(work_seconds));
  tinyops::run(kernel);
}

void measure_overlap(int layers, double milliseconds) {
  work_seconds = milliseconds / 1e3;
  std::vector<Tensor> weights;
  for (int i = 0; i < layers; ++i) weights.push_back((Tensor::randn({kWidth, kWidth}) / 32).realize().requires_grad_());
  const Tensor x = Tensor::randn({4, kWidth}).realize();
  const double bytes = 4 * kWidth * kWidth;
  const auto step = [&](bool overlap, bool average) {
    const ExecutionScope scope({.overlap = overlap, .run = run_slowly});
    for (Tensor& w : weights) w.zero_grad();
    Tensor y = x;
    for (const Tensor& w : weights) y = y.matmul(w);
    y.sum().backward();
    if (average) dist::average_gradients(weights, {.bucket = int64_t(bytes)});
    std::vector<Tensor> gradients;
    for (const Tensor& w : weights) gradients.push_back(w.grad());
    realize(gradients);
  };
  const Tensor one = Tensor::ones({kWidth, kWidth}).realize();
  const double travel = seconds([&] { dist::all_reduce(one).realize(); });
  const double work = seconds([&] { step(true, false); });
  const double one_by_one = seconds([&] { step(false, true); }), overlapped = seconds([&] { step(true, true); });
  const double said_one = work + layers * travel;
  const double said_over = scaling::step_seconds({0, work, layers * bytes, layers}, 1, travel);
  say(close(travel, in_a_ring(bytes)), text("n = ", dist::world(), ", ", layers, " layers of 1 MiB: a collective ",
                                            ms(travel), " (formula ", ms(in_a_ring(bytes)), "), the work ", ms(work)));
  say(close(one_by_one, said_one), text("  one by one ", ms(one_by_one), ", model ", ms(said_one)));
  say(close(overlapped, said_over), text("  overlapped ", ms(overlapped), ", model ", ms(said_over)));
  say(overlapped <= 0.75 * one_by_one,
      text("  overlapped / one by one ", tinyops::decimal(overlapped / one_by_one, 2)));
}

// ---- What goes wrong ------------------------------------------------------------------------------------------------

void run_forever() {
  for (int64_t i = 0;; ++i) {
    dist::all_reduce(Tensor(1.0)).realize();
    if (i == 0) say(true, text("n = ", dist::world(), ", begun"));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "names" && argc == 2) check_names();
  else if (what == "rate" && argc == 3) measure_rate(std::atoi(argv[2]));
  else if (what == "bandwidth" && argc == 3) measure_bandwidth(std::atoi(argv[2]));
  else if (what == "volume" && argc == 3) measure_volume(std::atoi(argv[2]));
  else if (what == "overlap" && argc == 4) measure_overlap(std::atoi(argv[2]), std::atof(argv[3]));
  else if (what == "forever" && argc == 2) run_forever();
  else {
    std::fprintf(stderr, "network names | rate MIB | volume STEPS | overlap LAYERS MS | bandwidth MIB | forever\n");
    return 2;
  }
  return failures ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "network: %s\n", error.what());
  return 1;
}
