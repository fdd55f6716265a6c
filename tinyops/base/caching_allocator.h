#pragma once
// Memory that is given back is kept for the next request of its size class.
//
//   class 0   [ ][ ]         sizes are rounded up to a power of two or the half-way point below it: 64, 96, 128, 192, 256,
//   class 1   [ ]            384, ...  so that at most a third of a block is unused
//   class 2   [ ][ ][ ]
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

namespace tinyops {

/// Takes new blocks from `allocate`, which may return null, and gives them back to `release`.
class CachingAllocator {
 public:
  /// `least` bytes, a power of two, is the smallest block; no more than `most_waiting` bytes wait in all classes
  /// together: a program that changed its sizes must not keep the old ones.
  CachingAllocator(void* (*allocate)(size_t), void (*release)(void*), size_t least, size_t most_waiting)
      : allocate_(allocate), release_(release), least_(least), most_waiting_(most_waiting) {}

  /// Null when there is no memory, even after everything that waits was released.
  void* take(size_t bytes) {
    const Size size = rounded(bytes);
    {
      std::lock_guard lock(mutex_);
      std::vector<void*>& blocks = free_[size_t(size.size_class)];
      if (!blocks.empty()) {
        void* memory = blocks.back();  // the last one given back is the likeliest to be in a cache
        blocks.pop_back();
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
    try {
      free_[size_t(size.size_class)].push_back(memory);
      waiting_ += size.bytes;
    } catch (const std::bad_alloc&) { release_(memory); }  // a destructor gives it back, and must not throw
  }

  void clear() {
    std::lock_guard lock(mutex_);
    for (std::vector<void*>& blocks : free_) {
      for (void* memory : blocks) release_(memory);
      blocks.clear();
    }
    waiting_ = 0;
  }

 private:
  /// The size class of `bytes`, and the size of its blocks.
  struct Size {
    int size_class;
    size_t bytes;
  };
  Size rounded(size_t bytes) const {
    if (bytes <= least_) return {0, least_};
    const size_t power = std::bit_ceil(bytes);
    const int size_class = 2 * (std::countr_zero(power) - std::countr_zero(least_));
    return bytes <= power / 4 * 3 ? Size{size_class - 1, power / 4 * 3} : Size{size_class, power};
  }

  void* (*allocate_)(size_t);
  void (*release_)(void*);
  size_t least_, most_waiting_;
  std::mutex mutex_;
  std::array<std::vector<void*>, 128> free_;
  std::atomic<size_t> waiting_ = 0;
};

}  // namespace tinyops
