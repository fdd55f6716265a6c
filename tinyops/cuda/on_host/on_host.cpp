// How the fibers of a block take turns, and the runtime's calls on the host.
#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>

#include "tinyops/cuda/on_host/cuda_runtime.h"

namespace on_host {
namespace {

// ---- Memory ---------------------------------------------------------------------------------------------------------

std::mutex memory_mutex;
std::map<const char*, size_t>& allocations() {  // never destroyed: static objects give memory back after main
  static auto* all = new std::map<const char*, size_t>;
  return *all;
}

/// Between two allocations, so that no access a little outside of one lies in another.
constexpr size_t kGap = 256;

// ---- Fibers ---------------------------------------------------------------------------------------------------------

enum class At { Running, Barrier, Exchange, End };

struct Fiber {
  std::jmp_buf context;
  bool entered = false;
  char* stack = nullptr;
  At at = At::Running;
  uint3 index;
  unsigned mask = 0;         ///< of the lanes it waits for
  char brought[64], seen[64 * 32];
  bool predicate = false;
  std::unordered_map<const void*, int> visits;  ///< how often it came by each access, while traffic is counted
};

constexpr size_t kStack = 256 * 1024;  // reserved; only what is touched takes memory

struct Machine {
  std::mutex mutex;
  std::jmp_buf home;
  std::deque<Fiber> fibers;
  size_t count = 0;          ///< of this block's threads
  Fiber* now = nullptr;
  std::function<void()> body;
  std::string error;
  int passed = 0;            ///< of the last barrier
  int64_t blocks = 0;        ///< that have run; chooses the order
  std::vector<uint64_t> shared;
  std::map<std::pair<const void*, std::pair<size_t, int>>, std::map<uintptr_t, int>> requests;

  size_t number_of(const Fiber* f) const {
    return f->index.x + blockDim.x * (f->index.y + size_t(blockDim.y) * f->index.z);
  }
};
Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

void wait_at(At at) {
  Machine& m = machine();
  m.now->at = at;
  if (!_setjmp(m.now->context)) _longjmp(m.home, 1);
}

/// What a fiber does for ever: one thread of one block after the other.
void fiber_main() {
  for (;;) {
    try {
      machine().body();
    } catch (const std::exception& e) {
      if (machine().error.empty()) machine().error = e.what();
    }
    wait_at(At::End);
  }
}

/// Goes on with fiber `f` until it waits.
void resume(Fiber& f) {
  Machine& m = machine();
  m.now = &f;
  threadIdx = f.index;
  if (_setjmp(m.home)) return;
  if (f.entered) _longjmp(f.context, 1);
  f.entered = true;
  if (!f.stack) f.stack = static_cast<char*>(mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  static ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = f.stack;
  start.uc_stack.ss_size = kStack;
  start.uc_link = nullptr;
  makecontext(&start, fiber_main, 0);
  setcontext(&start);
}

std::string thread_name(const Fiber& f) {
  const auto three = [](const auto& i) {
    return std::to_string(i.x) + "," + std::to_string(i.y) + "," + std::to_string(i.z);
  };
  return "thread " + three(f.index) + " of block " + three(blockIdx);
}

/// Lets the lanes of a warp go on that all of them are waited for; whether there were any.
bool meet_lanes(size_t first) {
  Machine& m = machine();
  const size_t lanes = std::min<size_t>(32, m.count - first);
  bool met = false;
  for (size_t l = 0; l < lanes; ++l) {
    const Fiber& f = m.fibers[first + l];
    if (f.at != At::Exchange) continue;
    const unsigned there = lanes == 32 ? ~0u : (1u << lanes) - 1, mask = f.mask & there;
    if (!(mask >> l & 1)) throw std::runtime_error(thread_name(f) + " is not in the mask of its own shuffle");
    bool all = true;
    for (size_t o = 0; o < lanes; ++o) {
      const Fiber& other = m.fibers[first + o];
      if (!(mask >> o & 1)) continue;
      if (other.at == At::End) throw std::runtime_error(thread_name(f) + " waits for a lane that has returned");
      all &= other.at == At::Exchange && other.mask == f.mask;
    }
    if (!all) continue;
    met = true;
    const unsigned whole = f.mask;
    for (size_t o = 0; o < lanes; ++o)
      for (size_t s = 0; s < 32 && mask >> o & 1; ++s) {
        const bool brought = s < lanes && whole >> s & 1;
        char* const to = m.fibers[first + o].seen + 64 * s;
        brought ? std::memcpy(to, m.fibers[first + s].brought, 64) : std::memset(to, 0xff, 64);
      }
    for (size_t o = 0; o < lanes; ++o)
      if (mask >> o & 1) m.fibers[first + o].at = At::Running;
  }
  return met;
}

void run_block() {
  Machine& m = machine();
  const int64_t order = m.blocks++ % 3;  // forwards, backwards, odd ones first
  const size_t n = m.count;
  for (size_t t = 0; t < n; ++t) {
    Fiber& f = m.fibers[t];
    f.at = At::Running;
    f.index = {unsigned(t % blockDim.x), unsigned(t / blockDim.x % blockDim.y), unsigned(t / blockDim.x / blockDim.y)};
    f.visits.clear();
  }
  for (;;) {
    for (size_t i = 0; i < n; ++i) {
      const size_t t = order == 0 ? i : order == 1 ? n - 1 - i : 2 * i + 1 < n ? 2 * i + 1 : 2 * (i - n / 2);
      if (m.fibers[t].at == At::Running) resume(m.fibers[t]);
      if (!m.error.empty()) throw std::runtime_error(m.error);
    }
    bool met = false;
    for (size_t first = 0; first < n; first += 32) met |= meet_lanes(first);
    if (met) continue;
    size_t waiting = 0, ended = 0, passed = 0;
    const Fiber* someone = nullptr;
    for (size_t t = 0; t < n; ++t) {
      const Fiber& f = m.fibers[t];
      if (f.at == At::Barrier) ++waiting, passed += f.predicate;
      else if (f.at == At::End) ++ended;
      else someone = &f;
    }
    if (someone) throw std::runtime_error(thread_name(*someone) + " waits for lanes that never reach its shuffle");
    if (ended == n) break;
    if (ended) throw std::runtime_error(std::to_string(ended) + " threads of a block returned while " +
                                        std::to_string(waiting) + " wait at a barrier");
    m.passed = int(passed);
    for (size_t t = 0; t < n; ++t) m.fibers[t].at = At::Running;
  }
  for (const auto& [key, sectors] : m.requests) traffic().requests += 1, traffic().sectors += int64_t(sectors.size());
  m.requests.clear();
}

struct Known {
  std::function<void(void**)> call;
  std::vector<size_t> sizes;
};
std::unordered_map<const void*, Known>& kernels() {
  static auto* all = new std::unordered_map<const void*, Known>;
  return *all;
}

}  // namespace

Range allocation_of(const void* address) {
  const std::lock_guard lock(memory_mutex);
  const char* p = static_cast<const char*>(address);
  auto after = allocations().upper_bound(p);
  if (after == allocations().begin()) return {};
  --after;
  return p <= after->first + after->second ? Range{after->first, after->first + after->second} : Range{};
}

Traffic& traffic() {
  static Traffic all;
  return all;
}

__attribute__((noinline)) void touch(Range range, const void* address, size_t bytes) {
  const char* p = static_cast<const char*>(address);
  Machine& m = machine();
  if (p < range.begin || p + bytes > range.end) {
    const std::string place = range.begin ? "byte " + std::to_string(p - range.begin) + " of a buffer of " +
                                                std::to_string(range.end - range.begin)
                                          : "memory that is not the device's";
    throw std::runtime_error((m.now ? thread_name(*m.now) : "the host") + " touches " + place);
  }
  if (reinterpret_cast<uintptr_t>(p) % bytes)
    throw std::runtime_error(thread_name(*m.now) + " reads or writes " + std::to_string(bytes) + " bytes at byte " +
                             std::to_string(p - range.begin) + " of a buffer: misaligned");
  if (!traffic().counting || !m.now) return;
  // The same access is the same place in the code, the same number of visits.
  const void* place = __builtin_return_address(0);
  auto& sectors = m.requests[{place, {m.number_of(m.now) / 32, m.now->visits[place]++}}];
  const uintptr_t at = reinterpret_cast<uintptr_t>(p);
  for (uintptr_t s = at / 32; s <= (at + bytes - 1) / 32; ++s) ++sectors[s];
  traffic().bytes += int64_t(bytes);
}

int barrier(bool predicate) {
  machine().now->predicate = predicate;
  wait_at(At::Barrier);
  return machine().passed;
}

int lane() { return int(machine().number_of(machine().now) % 32); }

const void* exchange(unsigned mask, const void* mine, size_t bytes, int from) {
  Fiber& f = *machine().now;
  f.mask = mask;
  std::memcpy(f.brought, mine, bytes);
  wait_at(At::Exchange);
  return f.seen + 64 * from;
}

void meet(unsigned mask) {
  const char nothing = 0;
  exchange(mask, &nothing, 1, 0);
}

void* dynamic_shared() { return machine().shared.data(); }

void know(const void* kernel, std::function<void(void**)> call, std::vector<size_t> sizes) {
  const std::lock_guard lock(machine().mutex);
  kernels().try_emplace(kernel, Known{std::move(call), std::move(sizes)});
}

}  // namespace on_host

// ---- The runtime ----------------------------------------------------------------------------------------------------

using namespace on_host;

namespace {
/// What the last failed launch had to say; on a GPU a launch fails later, and less clearly.
thread_local std::string last_error;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure: return last_error.c_str();
    default: return "invalid argument";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = std::getenv("TEENY_NO_GPU") ? 0 : 1;
  return *count ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = nullptr;
  if (bytes > size_t(1) << 36) return cudaErrorMemoryAllocation;
  char* block = static_cast<char*>(std::aligned_alloc(256, (bytes + 2 * kGap + 255) / 256 * 256));
  if (!block) return cudaErrorMemoryAllocation;
  std::memset(block + kGap, 0xff, bytes < size_t(1) << 28 ? bytes : 0);  // NaNs: what was never written shows
  const std::lock_guard lock(memory_mutex);
  allocations()[block + kGap] = bytes;
  *memory = block + kGap;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (!memory) return cudaSuccess;
  const std::lock_guard lock(memory_mutex);
  if (!allocations().erase(static_cast<const char*>(memory))) return cudaErrorInvalidValue;
  std::free(static_cast<char*>(memory) - kGap);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return (*memory = std::malloc(bytes)) ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { return *free = *total = size_t(1) << 40, cudaSuccess; }
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  const void* device[2] = {kind == cudaMemcpyDeviceToHost ? nullptr : to, kind == cudaMemcpyHostToDevice ? nullptr : from};
  for (const void* p : device)
    if (const Range r = allocation_of(p); p && static_cast<const char*>(p) + bytes > r.end) return cudaErrorInvalidValue;
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) { return std::memset(to, value, bytes), cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return *stream = nullptr, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = nullptr, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t) {
  Machine& m = machine();
  const std::lock_guard lock(m.mutex);
  const size_t threads = size_t(block.x) * block.y * block.z;
  const auto known = kernels().find(kernel);
  const bool fits = threads > 0 && threads <= 1024 && grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y < 65536 && grid.z < 65536;
  if (known == kernels().end() || !fits || shared > cudaDeviceProp().sharedMemPerBlockOptin) return cudaErrorInvalidValue;
  m.count = threads;
  while (m.fibers.size() < threads) m.fibers.emplace_back();
  m.body = [&] { known->second.call(arguments); };
  m.error.clear();
  gridDim = grid, blockDim = block;
  try {
    for (unsigned z = 0; z < grid.z; ++z)
      for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = 0; x < grid.x; ++x) {
          blockIdx = {x, y, z};
          m.shared.assign(shared / 8 + 1, ~uint64_t(0));
          run_block();
        }
    m.now = nullptr;
  } catch (const std::exception& e) {
    last_error = e.what();
    m.now = nullptr;
    for (Fiber& f : m.fibers) f.entered = false;  // those that wait are left where they are
    return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

/// A graph copies its nodes' arguments, as a GPU's does: what changes later must be told with `SetParams`.
struct GraphNode {
  const void* kernel;
  dim3 grid, block;
  size_t shared;
  std::vector<std::vector<uint64_t>> arguments;

  explicit GraphNode(const cudaKernelNodeParams& p)
      : kernel(p.func), grid(p.gridDim), block(p.blockDim), shared(p.sharedMemBytes) {
    const std::vector<size_t>& sizes = kernels().at(kernel).sizes;
    for (size_t i = 0; i < sizes.size(); ++i) {
      arguments.emplace_back(sizes[i] / 8 + 1);
      std::memcpy(arguments[i].data(), p.kernelParams[i], sizes[i]);
    }
  }
};
struct on_host_graph {
  std::vector<GraphNode> nodes;
};
struct on_host_graph_exec : on_host_graph {};

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) { return *graph = new on_host_graph, cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t*, size_t,
                                   const cudaKernelNodeParams* parameters) {
  *node = graph->nodes.size();
  graph->nodes.emplace_back(*parameters);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  return *ready = new on_host_graph_exec{*graph}, cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) { return delete ready, cudaSuccess; }
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters) {
  return ready->nodes.at(node) = GraphNode(*parameters), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  for (GraphNode& node : ready->nodes) {
    std::vector<void*> arguments;
    for (std::vector<uint64_t>& argument : node.arguments) arguments.push_back(argument.data());
    const cudaError_t error = cudaLaunchKernel(node.kernel, node.grid, node.block, arguments.data(), node.shared, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
