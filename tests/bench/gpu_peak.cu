// What a GPU can do at most: two kernels that do one thing each, as hard as the chip can.
#include <algorithm>
#include <chrono>
#include <functional>

#include "tests/bench/peak.h"
#include "tinyops/cuda/runtime/cuda.h"

using namespace tinyops;
using namespace tinyops::cuda;

namespace {

constexpr int kThreads = 256, kChains = 8;

/// Eight chains a thread that do not wait for each other: with eight blocks of 256 threads a multiprocessor is full.
__global__ void multiply_add(Global<float> out, int rounds) {
  float sum[kChains];
  for (float& s : sum) s = float(threadIdx.x);
  for (int r = 0; r < rounds; ++r)
    for (float& s : sum) s = s * 0.999f + 0.001f;
  float total = 0;
  for (const float s : sum) total += s;
  if (total < 0) out[threadIdx.x] = total;  // never; but the compiler does not know
}

/// 16 bytes of x, of y and of their sum a thread.
__global__ void add(Global<float> out, Global<const float> x, Global<const float> y) {
  const int64_t i = 4 * (int64_t(blockIdx.x) * blockDim.x + threadIdx.x);
  const float4 a = vector_at<float4>(x, i), b = vector_at<float4>(y, i);
  vector_at<float4>(out, i) = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/// Seconds that the fastest of several calls takes.
double best_of(double seconds, const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  work(), synchronize();
  double best = 1e30;
  for (const auto start = Clock::now(); since(start) < seconds || best == 1e30;) {
    const auto begin = Clock::now();
    work(), synchronize();
    best = std::min(best, since(begin));
  }
  return best;
}

}  // namespace

Peak measure_peak(double seconds) {
#ifdef TINYOPS_ON_HOST
  constexpr int rounds = 4;
  constexpr unsigned per_processor = 1;
  constexpr int64_t n = 1 << 12;
  Peak peak{.device = Peak::Device::Emulated};
  seconds = 0;
#else
  constexpr int rounds = 1 << 16;
  constexpr unsigned per_processor = 8;
  constexpr int64_t n = int64_t(1) << 26;  // as add_big's
  Peak peak{.device = Peak::Device::Gpu};
#endif
  Scratch x(n * sizeof(float)), y(n * sizeof(float)), out(n * sizeof(float));
  const unsigned blocks = per_processor * unsigned(chip().processors);
  const double fma = best_of(seconds, [&] {
    launch("multiply_add", multiply_add, Grid{blocks, kThreads}, out.as<float>(), rounds);
  });
  peak.gflops = 1e-9 * 2 * kChains * double(rounds) * kThreads * blocks / fma;
  const double sum = best_of(seconds, [&] {
    launch("add", add, Grid{unsigned(n / 4 / kThreads), kThreads}, out.as<float>(), x.as<const float>(),
           y.as<const float>());
  });
  peak.gb_second = 1e-9 * 12 * double(n) / sum;
  return peak;
}
