#include "tinyops/cpu/parallel.h"

#include <atomic>
#include <exception>
#include <vector>

namespace tinyops::cpu {

struct alignas(64) Pieces::Share {
  std::atomic<int64_t> next;
  int64_t end;
};

/// The next chunk, of this thread's share or of the first one after it that has some left.
bool Pieces::take() {
  for (; others_ < shares_.size(); ++others_) {
    Share& share = shares_[(own_ + others_) % shares_.size()];
    at_ = share.next.fetch_add(chunk_);
    end_ = std::min(at_ + chunk_, share.end);
    if (at_ < end_) return true;
  }
  at_ = end_;
  return false;
}

void for_pieces(int64_t count, int64_t team, void* work, void (*do_pieces)(void*, Pieces&)) {
  if (team == 1) {
    Pieces all(count);
    return do_pieces(work, all);
  }
  std::vector<Pieces::Share> shares(static_cast<size_t>(team));
  for (int64_t t = 0; t < team; ++t) {
    shares[size_t(t)].next = t * count / team;
    shares[size_t(t)].end = (t + 1) * count / team;
  }
  std::exception_ptr thrown;
#pragma omp parallel num_threads(int(team))
  {
    try {
      Pieces pieces(shares, size_t(omp_get_thread_num()), std::max<int64_t>(1, count / 64));
      do_pieces(work, pieces);
    } catch (...) {
#pragma omp critical(tinyops_thrown)
      thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace tinyops::cpu
