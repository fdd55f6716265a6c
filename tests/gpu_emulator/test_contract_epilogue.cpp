// What follows a contraction in its tiles: no more memory is touched than what is read with the sums, and written.
// Whether the values are right is tested on every backend, by test_contract.cpp.
#include <doctest/doctest.h>

#include <string>

#include "teeny/tensor/tensor.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace teeny::test {
namespace {

/// The bytes that the kernels of `f` read and write.
template <class F>
int64_t bytes_of(F&& f) {
  gpu_emulator::traffic = {.counting = true};
  Tensor(f()).realize();
  tinyops::synchronize();
  return std::exchange(gpu_emulator::traffic, {}).bytes;
}

}  // namespace

TEST_CASE("contract epilogue: the sums stay in registers") {
  constexpr int64_t m = 130, n = 140, k = 24, sums = m * n;
  for (const DType dtype : {DType::Float32, DType::Float16, DType::BFloat16}) {
    const auto random = [&](const Shape& shape) { return Tensor::rand(shape).cast(dtype).realize(); };
    const Tensor x = random({m, k}), w = random({k, n}), row = random({n}), column = random({m, 1}),
                 all = random({m, n});
    const int64_t size = itemsize(dtype), alone = bytes_of([&] { return x.matmul(w); });
    const auto more = [&](auto&& after) { return bytes_of([&] { return after(x.matmul(w)); }) - alone; };
    CHECK(more([](const Tensor& y) { return y.relu(); }) == 0);
    CHECK(more([](const Tensor& y) { return y * 3 + 1; }) == 0);
    CHECK(more([](const Tensor& y) { return y.gelu(); }) == 0);
    CHECK(more([](const Tensor& y) { return y.silu(); }) == 0);
    CHECK(more([&](const Tensor& y) { return (y + row).relu(); }) == sums * size);
    CHECK(more([&](const Tensor& y) { return (y + column).relu(); }) == sums * size);
    CHECK(more([&](const Tensor& y) { return (y + row + column).gelu() + all; }) == 3 * sums * size);
    CHECK(more([&](const Tensor& y) { return where(all > 0, y, 0); }) == sums * size);
    CHECK(more([&](const Tensor& y) { return y.cast(DType::Float32) * 0.5; }) == sums * (4 - size));
  }
}

TEST_CASE("contract epilogue: what tiles cannot do is left to a row kernel") {
  const Tensor x = Tensor::rand({130, 24}).realize(), w = Tensor::rand({24, 140}).realize();
  const int64_t sums = 130 * 140, alone = bytes_of([&] { return x.matmul(w); });
  CHECK(bytes_of([&] { return x.matmul(w).sin(); }) == alone + 2 * 4 * sums);
  CHECK(bytes_of([&] { return x.matmul(w) > 6; }) == alone + 5 * sums);
}

}  // namespace teeny::test
