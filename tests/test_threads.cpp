// The same bits for any number of threads: every kernel cuts its work by shapes alone.
#include <doctest/doctest.h>

#include "random_graph.h"
#include "teeny/tensor.h"

// OpenMP's own, in binaries that have it: the reference backend has no threads to set.
extern "C" __attribute__((weak)) void omp_set_num_threads(int count);
extern "C" __attribute__((weak)) int omp_get_max_threads();

using namespace teeny;

namespace {

/// Runs `f` with 1, 2 and 3 threads, and compares what it gives byte for byte.
template <class F>
void same_for_all_threads(F&& f) {
  if (!omp_set_num_threads) return;
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<std::byte> one = f().to_bytes();
  for (int threads : {2, 3}) {
    omp_set_num_threads(threads);
    CHECK(f().to_bytes() == one);
  }
  omp_set_num_threads(before);
}

Tensor numbers(const Shape& shape) { return Tensor::randn(shape).realize(); }

}  // namespace

TEST_CASE("threads: large kernels of every kind give the same bits") {
  const Tensor x = numbers({300, 1000}), y = numbers({1000, 70}), image = numbers({6, 8, 20, 20}), w = numbers({16, 8, 3, 3});
  const Tensor index = Tensor::randint(0, 300, {5000}).realize(), rows = numbers({5000, 40});
  same_for_all_threads([&] { return x.sum(); });
  same_for_all_threads([&] { return x.sum(0); });
  same_for_all_threads([&] { return x.exp().sum(1); });
  same_for_all_threads([&] { return x.softmax(); });
  same_for_all_threads([&] { return x.softmax(0); });
  same_for_all_threads([&] { return x.matmul(y); });
  same_for_all_threads([&] { return x.t().matmul(x); });
  same_for_all_threads([&] { return image.conv2d(w, {}, {.padding = 1}).relu().max_pool2d(); });
  same_for_all_threads([&] { return Tensor::zeros({300, 40}).scatter_add(0, index.unsqueeze(1).expand({5000, 40}), rows); });
  same_for_all_threads([&] { return x.index_select(0, index); });
  same_for_all_threads([&] { return Tensor::zeros({300, 40}).scatter(0, index.unsqueeze(1).expand({5000, 40}), rows); });
  same_for_all_threads([&] { return x.cumsum(0); });
  same_for_all_threads([&] { return x.cumsum(1); });
  same_for_all_threads([&] { return x.flatten().cumsum(0); });
  same_for_all_threads([&] { return x.reshape({3, 100000}).cumprod(1); });
  same_for_all_threads([&] { return x.sort(0).indices; });
  same_for_all_threads([&] { return x.flatten().sort().values; });
  same_for_all_threads([&] { return index.sort(-1, true).indices; });
  same_for_all_threads([&] { return Tensor::manual_seed(3), Tensor::randn({200, 500}); });
}

TEST_CASE("threads: gradients give the same bits") {
  const Tensor image = numbers({16, 4, 24, 24}), start = numbers({8, 4, 5, 5});
  same_for_all_threads([&] {
    Tensor x = image.detach().requires_grad_(), w = start.detach().requires_grad_();
    x.conv2d(w).relu().max_pool2d().square().mean().backward();
    return Tensor::cat({x.grad().flatten(), w.grad().flatten()});
  });
}

TEST_CASE("threads: random graphs give the same bits") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    const random_graph::Program program = random_graph::make(seed, 15);
    same_for_all_threads([&] {
      std::vector<Tensor> outputs;
      for (const random_graph::Result& result : random_graph::run(program, random_graph::Precision::AsWritten))
        outputs.push_back(result.value.flatten().cast(DType::Float64));
      return Tensor::cat(outputs);
    });
  }
}
