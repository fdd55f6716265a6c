#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "tests/course/check.h"
#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/tile.h"

namespace {

using namespace tinyops;
using course::text;

constexpr int kLanes = cpu::Packets<float>::lanes;

const char* name_of(ReduceOp op) { return op == ReduceOp::Sum ? "sum" : op == ReduceOp::Max ? "max" : "min"; }

/// The totals of `count` rows of n elements each.
template <class T>
std::vector<double> totals(ReduceOp op, int64_t count, int64_t n, const T* x) {
  const auto& reduction = cpu::tile_reduction(op, dtype_of<T>());
  std::vector<double> wide(static_cast<size_t>(count));  // eight bytes hold a total of any type
  std::vector<T> result(wide.size());
  reduction.reset(count, wide.data());
  reduction.packed(count, n, wide.data(), x);
  reduction.finish(count, result.data(), wide.data());
  return {result.begin(), result.end()};
}

template <class T>
void same_totals(const std::string& what, ReduceOp op, int64_t count, int64_t n, const std::vector<T>& x) {
  std::vector<double> want;
  for (int64_t r = 0; r < count; ++r) {
    double total = double(x[size_t(r * n)]);
    for (int64_t i = 1; i < n; ++i) {
      const double next = double(x[size_t(r * n + i)]);
      if (op == ReduceOp::Sum) total += next;
      else if (total == total && (next != next || (op == ReduceOp::Max ? next > total : next < total))) total = next;
    }
    want.push_back(total);
  }
  course::same(text(name_of(op), " of ", what), totals(op, count, n, x.data()), want);
}

/// Small whole numbers, whose sums are exact in any order.
template <class T>
std::vector<T> whole_numbers(int64_t count, int64_t low, int64_t high) {
  std::vector<T> result;
  for (; count > 0; --count) result.push_back(T(course::pick(low, high)));
  return result;
}

/// What the stub does: each addition waits for the one before it.
[[gnu::noinline]] float one_total(int64_t n, const float* x) {
  using P = cpu::Packets<float>;
  auto total = P::fill(0);
  for (int64_t i = 0; i < n; i += kLanes) total = cpu::padd(total, P::load(x + i));
  return cpu::predux(total);
}

/// Nanoseconds of the fastest of 20 runs, or of `least`.
template <class F>
double nanoseconds(double least, F&& f) {
  using Clock = std::chrono::steady_clock;
  constexpr int times = 100;
  for (int run = 0; run < 20; ++run) {
    const auto start = Clock::now();
    for (int i = 0; i < times; ++i) f();
    least = std::min(least, std::chrono::duration<double, std::nano>(Clock::now() - start).count() / times);
  }
  return least;
}

}  // namespace

EXERCISE("28") {
  constexpr ReduceOp kOps[] = {ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min};
  for (int64_t n = 1; n <= 9 * kLanes; ++n)
    for (const ReduceOp op : kOps) {
      same_totals(text("a row of ", n, " float32"), op, 1, n, whole_numbers<float>(n, 1, 99));
      same_totals(text("a row of ", n, " float32, all below 0"), op, 1, n, whole_numbers<float>(n, -99, -1));
      same_totals(text("a row of ", n, " float64"), op, 1, n, whole_numbers<double>(n, -99, 99));
    }
  for (int i = 0; i < 50; ++i) {
    const int64_t count = course::pick(1, 40), n = course::pick(1, 200);
    for (const ReduceOp op : kOps)
      same_totals(text(count, " rows of ", n), op, count, n, whole_numbers<float>(count * n, -99, 99));
  }
  for (const ReduceOp op : kOps)
    for (const int64_t n : {kLanes, 3 * kLanes, 8 * kLanes + 1})
      for (int64_t i = 0; i < n; ++i) {
        std::vector<float> x = whole_numbers<float>(n, -9, 9);
        x[size_t(i)] = std::numeric_limits<float>::quiet_NaN();
        same_totals(text("a row of ", n, " with a NaN at ", i), op, 1, n, x);
      }

  constexpr int64_t n = 4096;  // they stay in the first-level cache
  alignas(64) static float x[n + 1];
  for (float& v : x) v = float(course::uniform(0, 1));
  const auto& sum = cpu::tile_reduction(ReduceOp::Sum, DType::Float32);
  double total = 0, further = 0;
  sum.packed(1, n, &total, x);
  std::memmove(x + 1, x, n * sizeof(float));
  sum.packed(1, n, &further, x + 1);
  course::expect(total == further,
                 "the same row, four bytes further on, has another sum: the order must depend on n alone");

  volatile float sink = 0;
  double one = 1e9, yours = 1e9;
  for (int round = 0; round < 10 && one < 2 * yours; ++round) {  // somebody else may have been at work
    if (round) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    one = nanoseconds(one, [&] { sink = one_total(n, x); });
    yours = nanoseconds(yours, [&] { sum.packed(1, n, &total, x); });
  }
  char figures[99];
  std::snprintf(figures, sizeof figures, "%.0f GB/s, one total %.0f: %.1f times", 4 * n / yours, 4 * n / one,
                one / yours);
  course::expect(one >= 2 * yours,
                 text("a row of ", n, " float32: ", figures,
                      "\n    2 times is the aim: an addition takes some four cycles, and the next one "
                      "waits for it"));
  course::report(figures);
}
