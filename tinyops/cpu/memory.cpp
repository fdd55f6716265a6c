// Memory of the CPU: buffers that are given back wait on a shelf for the next one of their size.
//
//   shelf 0   [ ][ ]         up to 4 KiB, sizes rounded up to a power of two or the half-way point below it:
//   shelf 1   [ ]            64, 96, 128, 192, 256, 384, ...  so that at most a third of a block is unused
//   shelf 2   [ ][ ][ ]
//
// A fresh page costs more than anything an elementwise kernel does with it (the system clears it first), so a training
// step that asks for the same sizes again and again should never see one. Under a sanitizer there is no shelf and no
// rounding: an access one byte past the end must show.
#include <omp.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "tinyops/cpu/packets.h"
#include "tinyops/device.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TINYOPS_EXACT_MEMORY
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TINYOPS_EXACT_MEMORY
#endif
#endif

namespace tinyops {
namespace {

constexpr size_t kAlignment = 64;       // a cache line, and the widest vector register
constexpr size_t kHugePage = 2 << 20;  // blocks of this size and more ask for huge pages: fewer misses of the TLB

#ifdef TINYOPS_EXACT_MEMORY
constexpr size_t kMost = size_t(1) << 39;  // a sanitizer ends the program where it cannot serve a request
#else
constexpr size_t kMost = PTRDIFF_MAX;
#endif

void* system_allocate(size_t bytes) {
  if (bytes > kMost) return nullptr;
  void* memory = nullptr;
  if (posix_memalign(&memory, bytes >= kHugePage ? kHugePage : kAlignment, bytes)) return nullptr;
#if defined(__linux__) && !defined(TINYOPS_EXACT_MEMORY)
  if (bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

#ifndef TINYOPS_EXACT_MEMORY

/// The number of the shelf that `bytes` belong on, and the size of its blocks.
struct Size {
  int shelf;
  size_t bytes;
};
Size rounded(size_t bytes) {
  if (bytes <= kAlignment) return {0, kAlignment};
  const size_t power = std::bit_ceil(bytes);
  const int shelf = 2 * (std::countr_zero(power) - std::countr_zero(kAlignment));
  return bytes <= power / 4 * 3 ? Size{shelf - 1, power / 4 * 3} : Size{shelf, power};
}

/// No more than this waits on all shelves together: a program that changed its sizes must not keep the old ones.
constexpr size_t kMostWaiting = size_t(1) << 30;

class Cache {
 public:
  void* take(size_t bytes) {
    const Size size = rounded(bytes);
    {
      std::lock_guard lock(mutex_);
      std::vector<void*>& shelf = shelves_[size_t(size.shelf)];
      if (!shelf.empty()) {
        void* memory = shelf.back();  // the last one given back is the likeliest to be in the processor's cache
        shelf.pop_back();
        waiting_ -= size.bytes;
        return memory;
      }
    }
    if (void* memory = system_allocate(size.bytes)) return memory;
    clear();
    return system_allocate(size.bytes);
  }

  void give_back(void* memory, size_t bytes) {
    const Size size = rounded(bytes);
    if (waiting_ + size.bytes > kMostWaiting) clear();
    std::lock_guard lock(mutex_);
    shelves_[size_t(size.shelf)].push_back(memory);
    waiting_ += size.bytes;
  }

 private:
  void clear() {
    std::lock_guard lock(mutex_);
    for (std::vector<void*>& shelf : shelves_) {
      for (void* memory : shelf) std::free(memory);
      shelf.clear();
    }
    waiting_ = 0;
  }

  std::mutex mutex_;
  std::array<std::vector<void*>, 128> shelves_;
  std::atomic<size_t> waiting_ = 0;
};

/// Never destroyed: buffers held by static objects come back after main has returned.
Cache& cache() {
  static Cache* shelves = new Cache;
  return *shelves;
}

#endif

}  // namespace

#ifdef TINYOPS_EXACT_MEMORY
void* allocate(size_t bytes) { return system_allocate(bytes); }
void deallocate(void* memory, size_t) { std::free(memory); }
#else
void* allocate(size_t bytes) { return bytes > kMost ? nullptr : cache().take(bytes); }
void deallocate(void* memory, size_t bytes) { if (memory) cache().give_back(memory, bytes); }
#endif

std::string device_name() {
  const int threads = omp_get_max_threads();
  return teeny::text("cpu (", threads, threads == 1 ? " thread, " : " threads, ", cpu::Packets<float>::lanes,
                     " float lanes)");
}
void write(void* to, const void* host, size_t bytes) { if (bytes) std::memcpy(to, host, bytes); }
void read(void* host, const void* from, size_t bytes) { if (bytes) std::memcpy(host, from, bytes); }
void synchronize() {}

}  // namespace tinyops
