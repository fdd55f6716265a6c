#include "tests/bench/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

// One vector register of the processor this is compiled for, and its multiply-add.
#if defined(__AVX512F__)
using Vector = __m512;
constexpr int kLanes = 16;
Vector fill(float x) { return _mm512_set1_ps(x); }
Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
float first(Vector x) { return _mm512_cvtss_f32(x); }
#elif defined(__AVX__) && defined(__FMA__)
using Vector = __m256;
constexpr int kLanes = 8;
Vector fill(float x) { return _mm256_set1_ps(x); }
Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
float first(Vector x) { return _mm256_cvtss_f32(x); }
#elif defined(__SSE2__)
using Vector = __m128;
constexpr int kLanes = 4;
Vector fill(float x) { return _mm_set1_ps(x); }
Vector fma(Vector a, Vector b, Vector c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
float first(Vector x) { return _mm_cvtss_f32(x); }
#else
using Vector = float;
constexpr int kLanes = 1;
Vector fill(float x) { return x; }
Vector fma(Vector a, Vector b, Vector c) { return a * b + c; }
float first(Vector x) { return x; }
#endif

int thread_count() {
  const char* given = std::getenv("OMP_NUM_THREADS");
  const int count = given ? std::atoi(given) : int(std::thread::hardware_concurrency());
  return std::max(count, 1);
}

/// Runs `work(thread)` on all threads at once; the seconds until the last is done.
double on_all_threads(const std::function<void(int)>& work) {
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int t = 1; t < thread_count(); ++t) threads.emplace_back(work, t);
  work(0);
  for (std::thread& thread : threads) thread.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The best of as many runs as fit into `seconds`: whoever else uses the machine makes it slower, nothing makes it
/// faster.
template <class Run>
double best_of(double seconds, Run&& run) {
  double best = run();
  for (const auto start = Clock::now(); std::chrono::duration<double>(Clock::now() - start).count() < seconds;)
    best = std::min(best, run());
  return best;
}

/// Twelve chains that do not wait for each other: enough for two units with a latency of four.
float multiply_add(int64_t rounds) {
  constexpr int chains = 12;
  const Vector x = fill(0.999f), y = fill(0.001f);
  Vector sum[chains];
  for (Vector& s : sum) s = y;
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = fma(sum[i], x, y);
  }
  float total = 0;
  for (const Vector& s : sum) total += first(s);
  return total;
}

void add(float* out, const float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
#if defined(__AVX512F__)
    _mm512_stream_ps(out + i, _mm512_add_ps(_mm512_load_ps(x + i), _mm512_load_ps(y + i)));
#elif defined(__AVX__)
    _mm256_stream_ps(out + i, _mm256_add_ps(_mm256_load_ps(x + i), _mm256_load_ps(y + i)));
#elif defined(__SSE2__)
    _mm_stream_ps(out + i, _mm_add_ps(_mm_load_ps(x + i), _mm_load_ps(y + i)));
#else
    for (int j = 0; j < kLanes; ++j) out[i + j] = x[i + j] + y[i + j];
#endif
  }
}

}  // namespace

Peak measure_peak(double seconds) {
  Peak peak;
  const int threads = thread_count();
  constexpr int64_t rounds = 1 << 20;
  volatile float keep = 0;
  const double fma = best_of(seconds, [&] { return on_all_threads([&](int) { keep = multiply_add(rounds); }); });
  peak.gflops = 1e-9 * 2 * 12 * kLanes * double(rounds) * threads / fma;

  constexpr int64_t n = 1 << 24;  // as add_big's
  const auto array = [] { return static_cast<float*>(std::aligned_alloc(64, n * sizeof(float))); };
  float *x = array(), *y = array(), *out = array();
  std::fill_n(x, n, 1.f), std::fill_n(y, n, 2.f), std::fill_n(out, n, 0.f);
  const double sum = best_of(seconds, [&] {
    return on_all_threads([&](int t) {
      const int64_t part = n / threads / kLanes * kLanes, begin = t * part;
      add(out + begin, x + begin, y + begin, part);
    });
  });
  peak.gb_second = 1e-9 * 12 * double(n / threads / kLanes * kLanes * threads) / sum;
  std::free(x), std::free(y), std::free(out);
  return peak;
}
