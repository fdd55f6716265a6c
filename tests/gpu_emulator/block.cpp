// How the threads of a block take turns, and what each of their accesses is held to.
//
//   home: run_grid ──resume──► fiber 0 ──waits──► home ──resume──► fiber 1 ──waits──► home ──► ..
//
// A fiber is a stack of its own and the place where it stopped. It is entered once with setcontext; from then on
// _setjmp and _longjmp change stacks, which costs some ten nanoseconds where swapcontext would call the system. An
// exception never leaves its fiber: it is noted there, and thrown at home.
#include <algorithm>
#include <csetjmp>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include <sys/mman.h>
#include <ucontext.h>

#include "tests/gpu_emulator/cuda_runtime.h"

// AddressSanitizer must be told of every change of stacks. (Elsewhere these are nothing.)
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define TINYOPS_ADDRESS_SANITIZER
#endif
#endif
#ifndef TINYOPS_ADDRESS_SANITIZER
static void __sanitizer_start_switch_fiber(void**, const void*, size_t) {}
static void __sanitizer_finish_switch_fiber(void*, const void**, size_t*) {}
#endif

// Where clang puts the static arrays in shared memory, of all kernels.
extern "C" [[gnu::weak]] char __start_gpu_emulator_shared[], __stop_gpu_emulator_shared[];

namespace gpu_emulator {
namespace {

[[noreturn]] void wrong(const std::string& what) { throw std::runtime_error(what); }

enum class At { Running, Barrier, Meeting, End };

struct Fiber {
  std::jmp_buf context;
  bool entered = false;
  char* stack = nullptr;
  void* sanitizer = nullptr;
  At at = At::End;
  size_t number = 0;
  uint3 index;
  bool predicate = false;                 // at a barrier
  unsigned mask = 0;                      // at a meeting: of the lanes it waits for,
  size_t bytes = 0;                       //   what it brought, and what it showed when they met
  char brought[64], shown[64];
  std::unordered_map<const void*, int> visits;  // how often it came by each access, while traffic is counted
};

constexpr size_t kStack = 256 * 1024, kPage = 4096;  // reserved; only what is touched takes memory
constexpr size_t kFence = 1024;                      // behind the dynamic shared memory
constexpr char kUntouched = char(0xa5);

struct alignas(128) Line {
  char bytes[128];
};

struct Machine {
  std::mutex mutex;                       // one grid at a time
  std::jmp_buf home;
  void* home_sanitizer = nullptr;
  const void* home_stack = nullptr;
  size_t home_size = 0;
  std::vector<Fiber> fibers{1024};
  size_t count = 0;                       // of this block's threads
  Fiber* now = nullptr;
  const std::function<void()>* body = nullptr;
  std::string error;
  int passed = 0;                         // of the last barrier
  uint32_t grids = 0, blocks = 0;         // that were started; choose the orders
  std::vector<Line> shared;
  /// The sectors, or words of shared memory, of each access of a warp: the same access is the same place in the code and
  /// the same number of visits.
  using Requests = std::map<std::tuple<const void*, size_t, int>, std::vector<uintptr_t>>;
  Requests requests, shared_requests;
  std::vector<std::pair<void*, size_t>> shared_arrays;
};
Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

std::string name_of(const Fiber* f) {
  const auto three = [](const auto& i) {
    return std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z);
  };
  return f ? "thread " + three(f->index) + " of block " + three(blockIdx) : "the host";
}

// ---- Turns ----------------------------------------------------------------------------------------------------------

enum class Order { Forwards, Backwards, OddFirst };

/// Even, and never in step with a program that repeats itself: fractions of multiples of the golden ratio.
uint32_t scattered(uint32_t number) { return number * 2654435761u; }
Order order_of(uint32_t number) { return Order(uint64_t(scattered(number)) * 3 >> 32); }

/// The i-th of n.
size_t turn(Order order, size_t i, size_t n) {
  if (order == Order::Forwards) return i;
  if (order == Order::Backwards) return n - 1 - i;
  return i < n / 2 ? 2 * i + 1 : 2 * (i - n / 2);
}

void wait_at(At at) {
  Machine& m = machine();
  m.now->at = at;
  __sanitizer_start_switch_fiber(&m.now->sanitizer, m.home_stack, m.home_size);
  if (!_setjmp(m.now->context)) _longjmp(m.home, 1);
  __sanitizer_finish_switch_fiber(machine().now->sanitizer, &machine().home_stack, &machine().home_size);
}

/// What a fiber does for ever: one thread of one block after the other.
void fiber_main() {
  __sanitizer_finish_switch_fiber(nullptr, &machine().home_stack, &machine().home_size);
  for (;;) {
    try {
      (*machine().body)();
    } catch (const std::exception& e) {
      machine().error = e.what();
    }
    wait_at(At::End);
  }
}

/// Goes on with fiber `f` until it waits.
void resume(Fiber& f) {
  Machine& m = machine();
  m.now = &f;
  threadIdx = f.index;
  if (!f.stack) {
    constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    f.stack = static_cast<char*>(mmap(nullptr, kStack, PROT_READ | PROT_WRITE, kFlags, -1, 0));
    mprotect(f.stack, kPage, PROT_NONE);  // a stack that grows too large ends here, and not in the next one
  }
  if (_setjmp(m.home)) {
    __sanitizer_finish_switch_fiber(machine().home_sanitizer, nullptr, nullptr);
    m.now = nullptr;
    if (!m.error.empty()) wrong(m.error);
    return;
  }
  __sanitizer_start_switch_fiber(&m.home_sanitizer, f.stack, kStack);
  if (f.entered) _longjmp(f.context, 1);
  f.entered = true;
  static ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = f.stack;
  start.uc_stack.ss_size = kStack;
  start.uc_link = nullptr;
  makecontext(&start, fiber_main, 0);
  setcontext(&start);
}

/// Lets the lanes go on that all of their mask have come to meet; whether there were any.
bool let_meet(Fiber* warp, size_t lanes) {
  bool met = false;
  for (size_t l = 0; l < lanes; ++l) {
    const Fiber& f = warp[l];
    if (f.at != At::Meeting) continue;
    const unsigned mask = f.mask;
    if (!(mask >> l & 1)) wrong(name_of(&f) + " is not in the mask of its own shuffle");
    bool all = true;
    for (size_t o = 0; o < lanes; ++o) {
      if (!(mask >> o & 1)) continue;
      const Fiber& other = warp[o];
      if (other.at == At::End) wrong(name_of(&f) + " waits at a shuffle for a lane that has returned");
      all &= other.at == At::Meeting && other.mask == mask;
      if (all && other.bytes != f.bytes) wrong(name_of(&f) + " meets a lane that is at another kind of shuffle");
    }
    if (!all) continue;
    met = true;
    for (size_t o = 0; o < lanes; ++o)
      if (mask >> o & 1) std::memcpy(warp[o].shown, warp[o].brought, warp[o].bytes), warp[o].at = At::Running;
  }
  return met;
}

/// Until each of its lanes is at a barrier or has returned.
void run_warp(Fiber* warp, size_t lanes, Order order) {
  do {
    for (size_t i = 0; i < lanes; ++i)
      if (Fiber& f = warp[turn(order, i, lanes)]; f.at == At::Running) resume(f);
  } while (let_meet(warp, lanes));
  for (size_t l = 0; l < lanes; ++l)
    if (warp[l].at == At::Meeting) wrong(name_of(&warp[l]) + " waits for lanes that never reach its shuffle");
}

/// Of the warp's access at this place in the code.
std::vector<uintptr_t>& request_at(Machine::Requests& requests, const void* place) {
  Fiber& f = *machine().now;
  return requests[{place, f.number / 32, f.visits[place]++}];
}

void count_requests() {
  Machine& m = machine();
  for (auto& [key, sectors] : m.requests) {
    std::sort(sectors.begin(), sectors.end());
    traffic.requests += 1;
    traffic.sectors += std::unique(sectors.begin(), sectors.end()) - sectors.begin();
  }
  m.requests.clear();
  for (auto& [key, words] : m.shared_requests) {
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    int64_t of_bank[32] = {};
    for (const uintptr_t word : words) ++of_bank[word % 32];
    traffic.shared_requests += 1;
    traffic.shared_turns += *std::max_element(of_bank, of_bank + 32);
  }
  m.shared_requests.clear();
}

void run_block(size_t shared) {
  Machine& m = machine();
  const uint32_t number = m.blocks++;
  const Order order = order_of(number);
  m.shared.resize((shared + kFence) / sizeof(Line) + 1);
  char* const dynamic = m.shared.data()->bytes;
  char* const fence = dynamic + shared;
  std::memset(dynamic, 0xff, shared);
  std::memset(fence, kUntouched, kFence);
  if (__start_gpu_emulator_shared)
    std::memset(__start_gpu_emulator_shared, 0xff, size_t(__stop_gpu_emulator_shared - __start_gpu_emulator_shared));
  for (const auto& [array, bytes] : m.shared_arrays) std::memset(array, 0xff, bytes);

  for (size_t t = 0; t < m.count; ++t) {
    Fiber& f = m.fibers[t];
    f.at = At::Running;
    f.number = t;
    f.index = {unsigned(t % blockDim.x), unsigned(t / blockDim.x % blockDim.y), unsigned(t / blockDim.x / blockDim.y)};
    f.visits.clear();
  }
  for (size_t ended = 0; ended < m.count;) {
    const size_t warps = (m.count + 31) / 32;
    for (size_t i = 0; i < warps; ++i) {
      const size_t first = 32 * turn(order, i, warps);
      run_warp(&m.fibers[first], std::min<size_t>(32, m.count - first), order);
    }
    m.passed = 0;
    ended = 0;
    for (size_t t = 0; t < m.count; ++t) {
      Fiber& f = m.fibers[t];
      if (f.at == At::End) ++ended;
      else f.at = At::Running, m.passed += f.predicate;
    }
    if (0 < ended && ended < m.count)
      wrong(std::to_string(ended) + " threads of a block returned while " + std::to_string(m.count - ended) +
            " wait at a barrier");
  }
  if (std::any_of(fence, fence + kFence, [](char c) { return c != kUntouched; }))
    wrong("block " + std::to_string(blockIdx.x) + " wrote beyond its " + std::to_string(shared) +
          " bytes of dynamic shared memory");
  count_requests();
}

}  // namespace

void run_grid(const dim3& grid, const dim3& block, size_t shared, const std::function<void()>& body) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  m.count = size_t(block.x) * block.y * block.z;
  m.body = &body;
  m.error.clear();
  gridDim = grid, blockDim = block;
  const Order order = order_of(m.grids++);
  const size_t blocks = size_t(grid.x) * grid.y * grid.z;
  try {
    for (size_t i = 0; i < blocks; ++i) {
      const size_t b = turn(order, i, blocks);
      blockIdx = {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)};
      run_block(shared);
    }
  } catch (...) {
    for (Fiber& f : m.fibers) f.entered = false;  // those that wait are left where they are, and start anew
    m.requests.clear(), m.shared_requests.clear();
    throw;
  }
}

// ---- What a thread can do -------------------------------------------------------------------------------------------

__attribute__((noinline)) void touch(Range range, const void* address, size_t bytes, size_t alignment) {
  const char* const p = static_cast<const char*>(address);
  Machine& m = machine();
  if (p < range.begin || p + bytes > range.end)
    wrong(name_of(m.now) + " touches " +
          (!range.begin ? "memory that is not the device's"
                        : "byte " + std::to_string(p - range.begin) + " of a buffer of " +
                              std::to_string(range.end - range.begin)));
  const uintptr_t at = reinterpret_cast<uintptr_t>(p);
  if (at % alignment)
    wrong(name_of(m.now) + " reads or writes " + std::to_string(bytes) + " bytes at byte " +
          std::to_string(p - range.begin) + " of a buffer: misaligned");
  if (!traffic.counting || !m.now) return;
  std::vector<uintptr_t>& sectors = request_at(m.requests, __builtin_return_address(0));
  for (uintptr_t s = at / 32; s <= (at + bytes - 1) / 32; ++s) sectors.push_back(s);
  traffic.bytes += int64_t(bytes);
}

__attribute__((noinline)) void touch_shared(const void* address, size_t bytes) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  std::vector<uintptr_t>& words = request_at(machine().shared_requests, __builtin_return_address(0));
  for (uintptr_t w = at / 4; w <= (at + bytes - 1) / 4; ++w) words.push_back(w);
  traffic.shared_bytes += int64_t(bytes);
}

void declare_shared(void* array, size_t bytes) {
  machine().shared_arrays.emplace_back(array, bytes);
  std::memset(array, 0xff, bytes);
}

void outside_shared(int64_t index, size_t size) {
  wrong(name_of(machine().now) + " touches element " + std::to_string(index) + " of " + std::to_string(size) +
        " in shared memory");
}

int barrier(bool predicate) {
  machine().now->predicate = predicate;
  wait_at(At::Barrier);
  return machine().passed;
}

int lane() { return int(machine().now->number % 32); }

void meet(unsigned mask, const void* mine, size_t bytes) {
  Fiber& f = *machine().now;
  if (bytes > sizeof(f.brought)) wrong("a meeting of lanes takes at most 64 bytes of each");
  f.mask = mask, f.bytes = bytes;
  if (bytes) std::memcpy(f.brought, mine, bytes);
  wait_at(At::Meeting);
}

const void* brought_by(int lane) {
  static const std::vector<char> nothing(64, char(0xff));
  const Machine& m = machine();
  const size_t number = m.now->number / 32 * 32 + size_t(lane);
  const bool was_there = 0 <= lane && lane < 32 && number < m.count && m.now->mask >> lane & 1;
  return was_there ? m.fibers[number].shown : nothing.data();
}

void* dynamic_shared() { return machine().shared.data(); }

}  // namespace gpu_emulator
