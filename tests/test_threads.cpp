// The same bits for any number of threads: every kernel cuts its work by shapes alone.
#include <doctest/doctest.h>

#include "random_graph.h"
#include "teeny/tensor/tensor.h"

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

Tensor numbers(const Shape& shape) { return Tensor::randn(shape).realize(); }

#define SAME_FOR_ALL_THREADS(...) same_for_all_threads(__VA_ARGS__, #__VA_ARGS__)

}  // namespace

TEST_CASE("threads: large kernels of every kind give the same bits") {
  const Tensor x = numbers({300, 1000}), y = numbers({1000, 70}), image = numbers({6, 8, 20, 20}), w = numbers({16, 8, 3, 3});
  const Tensor index = Tensor::randint(0, 300, {5000}).realize(), rows = numbers({5000, 40});
  SAME_FOR_ALL_THREADS([&] { return x.sum(); });
  SAME_FOR_ALL_THREADS([&] { return x.sum(0); });
  SAME_FOR_ALL_THREADS([&] { return x.exp().sum(1); });
  SAME_FOR_ALL_THREADS([&] { return x.softmax(); });
  SAME_FOR_ALL_THREADS([&] { return x.softmax(0); });
  SAME_FOR_ALL_THREADS([&] { return x.matmul(y); });
  SAME_FOR_ALL_THREADS([&] { return x.t().matmul(x); });
  SAME_FOR_ALL_THREADS([&] { return image.conv2d(w, {}, {.padding = 1}).relu().max_pool2d(); });
  SAME_FOR_ALL_THREADS([&] { return Tensor::zeros({300, 40}).scatter_add(0, index.unsqueeze(1).expand({5000, 40}), rows); });
  SAME_FOR_ALL_THREADS([&] { return x.index_select(0, index); });
  SAME_FOR_ALL_THREADS([&] { return Tensor::zeros({300, 40}).scatter(0, index.unsqueeze(1).expand({5000, 40}), rows); });
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
  const Tensor image = numbers({16, 4, 24, 24}), start = numbers({8, 4, 5, 5});
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
