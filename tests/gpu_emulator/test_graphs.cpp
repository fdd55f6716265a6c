// What a replay asks of the CUDA runtime where there are collectives among its kernels: a graph for each stretch between
// two. The ranks of these tests are one, whose collectives copy, by way of the host's memory as those of many do.
#include <doctest/doctest.h>

#include <functional>

#include "teeny/graph/collective.h"
#include "teeny/graph/context.h"
#include "teeny/teeny.h"
#include "tests/check.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace teeny::test {
namespace {

Tensor all_reduce(const Tensor& x) {
  return Tensor(collective({.what = tinyops::Collective::AllReduce}, x.lazy(), x.shape()));
}

/// The second of two collectives is of what is computed while the first is on its way.
std::pair<Tensor, Tensor> two(const Tensor& x) {
  const Tensor a = all_reduce(x * 2), b = all_reduce(x.sort().values);
  return {a + 1, b / 2};
}
bool is_two(const std::pair<Tensor, Tensor>& got, const Tensor& x) {
  return difference(got.first, x * 2 + 1) + difference(got.second, x.sort().values / 2) == "";
}
Tensor random() { return Tensor::rand({40, 30}).realize(); }

gpu_emulator::Calls calls_of(const std::function<void()>& f) {
  gpu_emulator::calls = {};
  f();
  return std::exchange(gpu_emulator::calls, {});
}

}  // namespace

TEST_CASE("graphs: a replay makes one of each stretch between collectives, and keeps them") {
  for (const bool overlap : {true, false}) {
    const ExecutionScope scope({.overlap = overlap});
    Jit f(two);
    for (int i = 0; i < 7; ++i) {
      const Tensor x = random();
      std::pair<Tensor, Tensor> got;
      const gpu_emulator::Calls calls = calls_of([&] { got = f(x); });
      CHECK(is_two(got, x));
      if (f.replays() == 0) continue;
      CHECK(calls.launches == 0);
      // x * 2, start a, sort x, start b, finish a, a + 1, finish b, b / 2
      CHECK(calls.graphs == (overlap ? 4 : 3));
      CHECK(calls.graphs_made == (f.replays() == 1 ? calls.graphs : 0));
      CHECK(calls.nodes_updated <= 5);  // of x * 2, of two kernels that sort, and of the fresh a + 1 and b / 2
    }
    CHECK(f.replays() == 5);
  }
}

TEST_CASE("graphs: the stretches of a list share their scratch memory") {
  const auto held_by = [](int stretches) {
    Jit f([&](Tensor x) {
      for (int i = 0; i < stretches; ++i) x = all_reduce(x.sort().values);
      return x;
    });
    const Tensor x = Tensor::rand({10000}).realize();
    for (int i = 0; i < 3; ++i) f(x);
    const size_t before = tinyops::memory_use().live;
    for (int i = 0; i < 2; ++i) CHECK(difference(f(x), x.sort().values) == "");
    CHECK(tinyops::memory_use().live == before);
    return before - x.numel() * sizeof(float);
  };
  CHECK(held_by(8) - held_by(1) <= 2 * 10000 * sizeof(float));  // two more tensors, and no more to sort them
}

TEST_CASE("graphs: an index outside, found by a kernel of a replay, is an Error before a collective sends what follows") {
  const Tensor table = Tensor::rand({5, 4}).realize(), x = Tensor::rand({3, 4}).realize();
  Jit f([&](const Tensor& index) {
    const Tensor a = all_reduce(x * 3), b = all_reduce(table.embedding(index));  // a is on its way when b fails
    return a + b;
  });
  const auto is_right = [&](const Tensor& at) {
    const Tensor index = at.contiguous().realize();
    return difference(f(index), x * 3 + table.embedding(index)) == "";
  };
  for (int i = 0; i < 4; ++i) CHECK(is_right(Tensor::of<int64_t>({i, 2, 1})));
  for (int i = 0; i < 3; ++i) {
    CHECK_THROWS_WITH_AS(f(Tensor::of<int64_t>({1, 2, 7}).realize()),
                         "embedding: index 7 at position (2,) is outside 0 <= index < 5", Error);
    CHECK(is_right(Tensor::of<int64_t>({0, i, 4})));
  }
  CHECK(f.replays() == 8);
}

TEST_CASE("graphs: no memory for a kernel, among collectives that are on their way, and then enough") {
  const Tensor x = random();
  bool failed = true;
  int failures = 0;
  for (int64_t n = 0; failed; ++n) {
    Jit f(two);
    f(x), f(x);
    failed = false;
    gpu_emulator::allocations_left = n;
    try {
      f(x);
    } catch (const Error& error) {
      failed = true;
      CHECK(std::string(error.what()).find("out of memory") == 0);
    }
    CHECK(failed == (std::exchange(gpu_emulator::allocations_left, -1) < 0));
    failures += failed;
    for (int i = 0; i < 3; ++i) {
      const Tensor y = random();
      CHECK(is_two(f(y), y));
    }
  }
  CHECK(failures >= 4);  // of two results, and of what sorting needs
}

TEST_CASE("ranks: the GPUs of a machine are taken in turn, or one for each") {
  using tinyops::cuda::gpu_of_rank;
  CHECK(gpu_of_rank(0, "", 4, false) == "0");
  CHECK(gpu_of_rank(3, "", 4, false) == "3");
  CHECK_THROWS_WITH_AS(gpu_of_rank(4, "", 4, false),
                       "rank 0 is number 5 of its machine, where CUDA sees 4 GPUs; NCCL needs one for each rank", Error);
  CHECK(gpu_of_rank(5, "", 4, true) == "1");
  CHECK(gpu_of_rank(1, "3,GPU-1b2c,7", 8, false) == "GPU-1b2c");
  CHECK_THROWS_AS(gpu_of_rank(3, "3,GPU-1b2c,7", 8, false), Error);
  CHECK(gpu_of_rank(5, "3,GPU-1b2c,7", 8, true) == "7");
  CHECK(gpu_of_rank(2, "", 0, false) == "2");  // nobody knows how many there are: CUDA will say
  CHECK(gpu_of_rank(2, "", 0, true) == "");
}

}  // namespace teeny::test
