#pragma once
// Memory that is given back waits on a shelf for the next request of its size.
//
//   shelf 0   [ ][ ]         sizes are rounded up to a power of two or the half-way point below it: 64, 96, 128, 192, 256,
//   shelf 1   [ ]            384, ...  so that at most a third of a block is unused
//   shelf 2   [ ][ ][ ]
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <mutex>
#include <vector>

namespace tinyops {

/// Takes new blocks from `allocate`, which may return null, and gives them back to `release`.
class CachingAllocator {
 public:
  /// `least` bytes, a power of two, is the smallest block; no more than `most_waiting` bytes wait on all shelves together: a
  /// program that changed its sizes must not keep the old ones.
  CachingAllocator(void* (*allocate)(size_t), void (*release)(void*), size_t least, size_t most_waiting)
      : allocate_(allocate), release_(release), least_(least), most_waiting_(most_waiting) {}

  /// Null when there is no memory, even after everything that waits was released.
  void* take(size_t bytes) {
    const Size size = rounded(bytes);
    {
      std::lock_guard lock(mutex_);
      std::vector<void*>& shelf = shelves_[size_t(size.shelf)];
      if (!shelf.empty()) {
        void* memory = shelf.back();  // the last one given back is the likeliest to be in a cache
        shelf.pop_back();
        waiting_ -= size.bytes;
        return memory;
      }
    }
    if (void* memory = allocate_(size.bytes)) return memory;
    clear();
    return allocate_(size.bytes);
  }

  void give_back(void* memory, size_t bytes) {
    const Size size = rounded(bytes);
    if (waiting_ + size.bytes > most_waiting_) clear();
    std::lock_guard lock(mutex_);
    shelves_[size_t(size.shelf)].push_back(memory);
    waiting_ += size.bytes;
  }

  void clear() {
    std::lock_guard lock(mutex_);
    for (std::vector<void*>& shelf : shelves_) {
      for (void* memory : shelf) release_(memory);
      shelf.clear();
    }
    waiting_ = 0;
  }

 private:
  /// The number of the shelf that `bytes` belong on, and the size of its blocks.
  struct Size {
    int shelf;
    size_t bytes;
  };
  Size rounded(size_t bytes) const {
    if (bytes <= least_) return {0, least_};
    const size_t power = std::bit_ceil(bytes);
    const int shelf = 2 * (std::countr_zero(power) - std::countr_zero(least_));
    return bytes <= power / 4 * 3 ? Size{shelf - 1, power / 4 * 3} : Size{shelf, power};
  }

  void* (*allocate_)(size_t);
  void (*release_)(void*);
  size_t least_, most_waiting_;
  std::mutex mutex_;
  std::array<std::vector<void*>, 128> shelves_;
  std::atomic<size_t> waiting_ = 0;
};

}  // namespace tinyops
