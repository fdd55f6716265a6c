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
#include <cstdint>
#include <span>

namespace tinyops::cpu {

/// An OpenMP region costs a few microseconds: work below about as many simple steps stays on the calling thread.
inline constexpr int64_t kWorthThreads = 1 << 15;

/// OMP_NUM_THREADS may ask for more than a system starts, which libgomp does not survive; no machine has more cores
/// than this.
inline constexpr int kMostThreads = 1024;

/// How many threads share the work that is handed out here.
inline int64_t threads() { return omp_in_parallel() ? 1 : std::min(omp_get_max_threads(), kMostThreads); }

/// The pieces that a thread does, one after the other.
class Pieces {
 public:
  bool next(int64_t& piece) {
    if (at_ == end_ && !take()) return false;
    piece = at_++;
    return true;
  }

 private:
  friend void for_pieces(int64_t count, int64_t team, void* work, void (*do_pieces)(void*, Pieces&));
  struct Share;
  explicit Pieces(int64_t count) : at_(0), end_(count) {}
  Pieces(std::span<Share> shares, size_t own, int64_t chunk) : shares_(shares), own_(own), chunk_(chunk) {}
  bool take();

  int64_t at_ = 0, end_ = 0;
  std::span<Share> shares_ = {};
  size_t own_ = 0, others_ = 0;  ///< the share of this thread, and how many after it are done
  int64_t chunk_ = 0;
};

/// Calls do_pieces(work, pieces) on each of a team of threads; for a team of one it is a plain call.
void for_pieces(int64_t count, int64_t team, void* work, void (*do_pieces)(void*, Pieces&));

/// `setup()` runs once on each thread and returns what is then called with every piece's index. An exception stops
/// the thread it happens on and is thrown again when all are done (it must not cross the region). Within a piece of
/// other work all pieces are done here and now.
template <class Setup>
void parallel(int64_t count, int64_t steps, Setup setup) {
  if (count <= 0) return;
  const auto do_pieces = [](void* given, Pieces& pieces) {
    auto&& work = (*static_cast<Setup*>(given))();
    for (int64_t piece; pieces.next(piece);) work(piece);
  };
  for_pieces(count, count == 1 || steps < kWorthThreads ? 1 : threads(), &setup, do_pieces);
}

}  // namespace tinyops::cpu
