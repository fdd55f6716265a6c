#include <chrono>
#include <cstdio>
#include <limits>
#include <thread>

#include "tests/course/check.h"
#include "tinyops/cpu/contract/micro_kernel.h"

namespace {

using namespace tinyops::cpu;
using course::text;

/// A packed panel, columns somewhere in memory, and rows of sums with something else around each of them.
template <class T, int packets, int columns, Columns kind>
struct Tile {
  static constexpr int width = packets * Packets<T>::lanes, around = 3;
  static constexpr bool near = kind == Columns::Near;
  static constexpr T nothing = std::numeric_limits<T>::quiet_NaN();

  int64_t n;
  std::vector<T> panel, memory, sums;
  std::vector<int64_t> r_offset;
  const T* column[columns];
  const T* next[columns];
  T* to[columns];

  explicit Tile(int64_t n_) : n(n_) {
    const auto some = [](size_t count) {
      std::vector<T> result(count);
      for (T& x : result) x = T(course::pick(-9, 9));
      return result;
    };
    panel = some(size_t(n * width));
    memory = some(size_t(3 * (n + columns) * columns + 99));
    sums = some(size_t(columns * (width + around) + around));
    for (int64_t r = 0; r < n; ++r) r_offset.push_back(course::pick(0, 2 * n));
    // Of neighbours only the first has a pointer, and only fresh columns have a next one.
    for (int j = 0; j < columns; ++j) {
      column[j] = near && j > 0 ? nullptr : memory.data() + course::pick(0, int64_t(n * columns));
      next[j] = kind == Columns::Fresh ? memory.data() : nullptr;
      to[j] = sums.data() + around + j * (width + around);
    }
  }

  void run(bool add) {
    micro_kernel<T, packets, columns, kind>(n, panel.data(), column, next, r_offset.data(), to, add);
  }

  std::vector<double> product(int j) const {
    std::vector<double> result(size_t(width), 0);
    for (int64_t r = 0; r < n; ++r)
      for (int i = 0; i < width; ++i)
        result[size_t(i)] +=
            double(panel[size_t(r * width + i)]) * double((near ? column[0] + j : column[j])[r_offset[size_t(r)]]);
    return result;
  }
};

template <class T, int packets, int columns, Columns kind>
void same_sums(int64_t n) {
  using tinyops::text;
  const char* const which = kind == Columns::Near ? "neighbouring" : kind == Columns::Far ? "far" : "fresh";
  for (const bool add : {false, true}) {
    Tile<T, packets, columns, kind> tile(n);
    const std::vector<T> before = tile.sums;
    if (!add)
      for (T* row : tile.to) std::fill_n(row, tile.width, tile.nothing);
    const std::vector<T> around = tile.sums;
    const std::string what =
        text(packets, packets == 1 ? " packet" : " packets", " x ", columns, ' ', which,
             columns == 1 ? " column" : " columns", ", ", n, n == 1 ? " value of r" : " values of r",
             add ? ", added to what is there" : ", stored over NaNs");
    std::vector<std::vector<double>> products;  // first: a body may not change what it reads
    for (int j = 0; j < columns; ++j) products.push_back(tile.product(j));
    tile.run(add);
    std::vector<double> yours(tile.sums.begin(), tile.sums.end()), want(around.begin(), around.end());
    for (int j = 0; j < columns; ++j) {
      const size_t first = size_t(tile.to[j] - tile.sums.data());
      const std::vector<double>& product = products[size_t(j)];
      for (size_t i = 0; i < product.size(); ++i) want[first + i] = product[i] + (add ? double(before[first + i]) : 0);
      const auto row = [&](const std::vector<double>& all) {
        return std::vector<double>(all.begin() + int64_t(first), all.begin() + int64_t(first + product.size()));
      };
      course::same(text(what, ": column ", j), row(yours), row(want));
    }
    course::same(what + ": what is around the sums must stay", yours, want);
  }
}

/// What the stub does.
template <class T, int packets, int columns>
[[gnu::noinline]] void three_loops(const Tile<T, packets, columns, Columns::Far>& tile) {
  for (int j = 0; j < columns; ++j)
    for (int i = 0; i < tile.width; ++i) {
      T sum = 0;
      for (int64_t r = 0; r < tile.n; ++r)
        sum += tile.panel[size_t(r * tile.width + i)] * tile.column[j][tile.r_offset[size_t(r)]];
      tile.to[j][i] = sum;
    }
}

/// Nanoseconds of the fastest of 20 runs, or of `least`.
template <class F>
double nanoseconds(double least, F&& f) {
  using Clock = std::chrono::steady_clock;
  for (int run = 0; run < 20; ++run) {
    const auto start = Clock::now();
    f();
    least = std::min(least, std::chrono::duration<double, std::nano>(Clock::now() - start).count());
  }
  return least;
}

}  // namespace

EXERCISE("29") {
  for (const int64_t n : {1, 2, 7, 64, 0}) {
    same_sums<float, 1, 1, Columns::Far>(n);
    same_sums<float, 2, 3, Columns::Far>(n);
    same_sums<float, 3, max_far(3), Columns::Fresh>(n);
    same_sums<float, 2, max_near(2), Columns::Near>(n);
    same_sums<float, 1, 5, Columns::Near>(n);
    same_sums<double, 2, max_far(2), Columns::Far>(n);
    same_sums<double, 3, max_near(3), Columns::Near>(n);
  }

  constexpr int aim = Packets<float>::lanes >= 8 ? 8 : 4;
  Tile<float, 3, max_far(3), Columns::Far> tile(256);
  const double flops = 2. * 256 * tile.width * max_far(3);
  double loops = 1e9, yours = 1e9;
  for (int round = 0; round < 10 && loops < aim * yours; ++round) {  // somebody else may have been at work
    if (round) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    loops = nanoseconds(loops, [&] { three_loops(tile); });
    yours = nanoseconds(yours, [&] { tile.run(false); });
  }
  char figures[99];
  std::snprintf(figures, sizeof figures, "%.1f GFLOP/s, the loops %.1f: %.1f times", flops / yours, flops / loops,
                loops / yours);
  course::expect(loops >= aim * yours, text("3 packets x ", max_far(3), " columns: ", figures, "\n    ", aim,
                                            " times is the aim: a multiply-add of packets a cycle or two, and nothing "
                                            "goes to memory between them"));
  course::report(figures);
}
