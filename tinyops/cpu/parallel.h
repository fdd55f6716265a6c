#pragma once
// Work spread over OpenMP's threads: `count` independent pieces, a share of neighbours for each thread, who takes a
// chunk of them at a time, and, when his are done, of others' that are not. Which thread does a piece must not change
// its result; every caller cuts its pieces by the shape alone.
//
//   pieces   0 1 2 3 4 5 6 7 | 8 9 10 ...        thread 0: setup(), then pieces 0-3, 4-7, and what is left of 8, 9, ..
//            share 0         | share 1           thread 1: setup(), then pieces 8-11, ...
//
// Shares are the same from one kernel to the next, and so is, mostly, where in memory they lie: what a thread reads, and
// what it writes over, is still in the cache of its own core. A cache line that another core has written last costs as
// much as a hundred multiply-adds of packets.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <vector>

namespace tinyops::cpu {

/// An OpenMP region costs a few microseconds: work below about as many simple steps stays on the calling thread.
inline constexpr int64_t kWorthThreads = 1 << 15;

/// OMP_NUM_THREADS may ask for more than a system starts, which libgomp does not survive; no machine has more cores
/// than this.
inline constexpr int kMostThreads = 1024;

/// How many threads share the work that is handed out here.
inline int64_t threads() { return omp_in_parallel() ? 1 : std::min(omp_get_max_threads(), kMostThreads); }

/// `setup()` runs once on each thread and returns what is then called with every piece's index. An exception stops
/// the thread it happens on and is thrown again when all are done (it must not cross the region). Within a piece of
/// other work all pieces are done here and now.
template <class Setup>
void parallel(int64_t count, int64_t steps, Setup&& setup) {
  if (count <= 0) return;
  if (count == 1 || steps < kWorthThreads || threads() == 1) {
    auto&& work = setup();
    for (int64_t piece = 0; piece < count; ++piece) work(piece);
    return;
  }
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
  };
  const int64_t chunk = std::max<int64_t>(1, count / 64), team = threads();
  std::vector<Share> shares(static_cast<size_t>(team));
  for (int64_t t = 0; t < team; ++t) {
    shares[size_t(t)].next = t * count / team;
    shares[size_t(t)].end = (t + 1) * count / team;
  }
  std::exception_ptr thrown;
#pragma omp parallel num_threads(int(team))
  {
    try {
      auto&& work = setup();
      for (int64_t t = 0; t < team; ++t) {
        Share& share = shares[size_t((omp_get_thread_num() + t) % team)];
        for (int64_t first; (first = share.next.fetch_add(chunk)) < share.end;)
          for (int64_t piece = first; piece < std::min(first + chunk, share.end); ++piece) work(piece);
      }
    } catch (...) {
#pragma omp critical(tinyops_thrown)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace tinyops::cpu
