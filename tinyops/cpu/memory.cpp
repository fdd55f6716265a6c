// Memory of the CPU, with a cache of what is given back.
//
// A fresh page costs more than anything an elementwise kernel does with it (the system clears it first), so a training
// step that asks for the same sizes again and again should never see one. Under a sanitizer there is no cache and no
// rounding: an access one byte past the end must show.
#include <omp.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/device.h"
#include "tinyops/base/caching_allocator.h"

namespace tinyops {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kExact = true;
#elif defined(__has_feature)
constexpr bool kExact =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer);
#else
constexpr bool kExact = false;
#endif

constexpr size_t kAlignment = 64;       // a cache line, and the widest vector register
constexpr size_t kHugePage = 2 << 20;  // blocks of this size and more ask for huge pages: fewer misses of the TLB

// A sanitizer ends the program that asks for more than it has.
constexpr size_t kMost = kExact ? size_t(1) << 39 : PTRDIFF_MAX;

void* system_allocate(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, bytes >= kHugePage ? kHugePage : kAlignment, bytes)) return nullptr;
#ifdef __linux__
  if (!kExact && bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return memory;
}

/// Never destroyed: buffers held by static objects come back after main has returned.
CachingAllocator& caching_allocator() {
  static auto* all = [] {
    if (omp_get_max_threads() > cpu::kMostThreads)
      std::fprintf(stderr, "OMP_NUM_THREADS: %d threads are more than teeny starts; it uses %d\n",
                   omp_get_max_threads(), cpu::kMostThreads);
    return new CachingAllocator(system_allocate, std::free, kAlignment, size_t(1) << 30);
  }();
  return *all;
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes > kMost) return nullptr;
  return kExact ? system_allocate(bytes) : caching_allocator().take(bytes);
}
void deallocate(void* memory, size_t bytes) {
  if (kExact) std::free(memory);
  else if (memory) caching_allocator().give_back(memory, bytes);
}

std::string device_name() {
  const auto threads = cpu::threads();
  return text("cpu (", threads, threads == 1 ? " thread, " : " threads, ", cpu::Packets<float>::lanes, " float lanes)");
}
void write(void* to, const void* host, size_t bytes) { if (bytes) std::memcpy(to, host, bytes); }
void read(void* host, const void* from, size_t bytes) { if (bytes) std::memcpy(host, from, bytes); }
void synchronize() {}
const bool kHostMemory = true;

}  // namespace tinyops
