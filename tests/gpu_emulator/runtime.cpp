// The runtime's calls on the host: memory that knows its size, launches, graphs; streams.cpp has the rest.
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>

#include "tests/gpu_emulator/streams.h"
#include "tinyops/base/environment.h"

namespace gpu_emulator {
namespace {

std::mutex mutex;  // of both tables
std::map<const char*, size_t>& allocations() {  // never destroyed: static objects give memory back after main
  static auto* all = new std::map<const char*, size_t>;
  return *all;
}

/// Between two allocations, so that no access a little outside of one lies in another.
constexpr size_t kGap = 256;

/// Bytes of dynamic shared memory that a kernel may have without asking.
constexpr size_t kShared = 48 * 1024;

struct Known {
  std::function<void(void**)> call;
  std::vector<size_t> sizes;
  size_t shared = kShared;  ///< bytes of dynamic shared memory it may have
};
std::unordered_map<const void*, Known>& kernels() {
  static auto* all = new std::unordered_map<const void*, Known>;
  return *all;
}
Known* find(const void* kernel) {
  const std::lock_guard lock(mutex);
  const auto found = kernels().find(kernel);
  return found == kernels().end() ? nullptr : &found->second;  // it stays where it is
}

}  // namespace

Range allocation_of(const void* address) {
  const std::lock_guard lock(mutex);
  const char* p = static_cast<const char*>(address);
  auto after = allocations().upper_bound(p);
  if (after == allocations().begin()) return {};
  --after;
  return p <= after->first + after->second ? Range{after->first, after->first + after->second} : Range{};
}

void know(const void* kernel, std::function<void(void**)> call, std::vector<size_t> sizes) {
  const std::lock_guard lock(mutex);
  kernels().try_emplace(kernel, Known{std::move(call), std::move(sizes)});
}

}  // namespace gpu_emulator

// ---- The runtime ----------------------------------------------------------------------------------------------------

using namespace gpu_emulator;

namespace {
std::atomic<cudaStream_t> of_kernels = nullptr;  ///< where the last launch was
}

std::string& gpu_emulator::last_error() {
  thread_local std::string text;
  return text;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorLaunchFailure: return last_error().c_str();
    default: return "invalid argument";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = tinyops::environment::is_on("TEENY_NO_GPU", false) ? 0 : 1;
  return *count ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = nullptr;
  if (bytes > size_t(1) << 36 || (allocations_left >= 0 && allocations_left-- == 0)) return cudaErrorMemoryAllocation;
  char* block = static_cast<char*>(std::aligned_alloc(256, (bytes + 2 * kGap + 255) / 256 * 256));
  if (!block) return cudaErrorMemoryAllocation;
  std::memset(block + kGap, 0xff, bytes < size_t(1) << 28 ? bytes : 0);  // NaNs: what was never written shows
  const std::lock_guard lock(mutex);
  allocations()[block + kGap] = bytes;
  *memory = block + kGap;
  return cudaSuccess;
}
/// In the order of the kernels, as memory comes back that a GPU's program keeps for later ones: another stream that
/// still uses it, and that they do not wait for, meets memory that is gone.
cudaError_t cudaFree(void* memory) {
  if (!memory) return cudaSuccess;
  return in_order(of_kernels, [memory] {
    const std::lock_guard lock(mutex);
    if (!allocations().erase(static_cast<const char*>(memory))) return cudaErrorInvalidValue;
    std::free(static_cast<char*>(memory) - kGap);
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return (*memory = std::malloc(bytes)) ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { return *free = *total = size_t(1) << 40, cudaSuccess; }
/// Whether [p, p + bytes) lies in one allocation.
static bool is_ours(const void* p, size_t bytes) {
  const Range range = allocation_of(p);
  return range.begin && bytes <= size_t(range.end - static_cast<const char*>(p));
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return in_order(stream, [=] {
    if (kind != cudaMemcpyDeviceToHost && !is_ours(to, bytes)) return cudaErrorInvalidValue;
    if (kind != cudaMemcpyHostToDevice && !is_ours(from, bytes)) return cudaErrorInvalidValue;
    return std::memcpy(to, from, bytes), cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return in_order(stream, [=] {
    if (!is_ours(to, bytes)) return cudaErrorInvalidValue;
    return std::memset(to, value, bytes), cudaSuccess;
  });
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  Known* const known = find(kernel);
  if (!known || size_t(value) > cudaDeviceProp().sharedMemPerBlockOptin) return cudaErrorInvalidValue;
  return known->shared = size_t(value), cudaSuccess;
}

/// A launch, with copies of its arguments, as a GPU's has; in a graph what changes later must be set with `SetParams`.
struct LaunchCopy {
  const void* kernel;
  dim3 grid, block;
  size_t shared;
  std::vector<std::vector<uint64_t>> arguments;

  explicit LaunchCopy(const cudaKernelNodeParams& p)
      : kernel(p.func), grid(p.gridDim), block(p.blockDim), shared(p.sharedMemBytes) {
    const std::vector<size_t>& sizes = find(kernel)->sizes;
    for (size_t i = 0; i < sizes.size(); ++i) {
      arguments.emplace_back(sizes[i] / 8 + 1);
      std::memcpy(arguments[i].data(), p.kernelParams[i], sizes[i]);
    }
  }
  bool fits() const {
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    return threads > 0 && threads <= 1024 && block.z <= 64 && shared <= find(kernel)->shared && grid.x > 0 &&
           grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffff && grid.y <= 0xffff && grid.z <= 0xffff;
  }
  cudaError_t run() {
    if (!fits()) return cudaErrorInvalidValue;
    std::vector<void*> pointers;
    for (std::vector<uint64_t>& argument : arguments) pointers.push_back(argument.data());
    try {
      run_grid(grid, block, shared, [&] { find(kernel)->call(pointers.data()); });
      return cudaSuccess;
    } catch (const std::exception& e) {
      last_error() = e.what();
      return cudaErrorLaunchFailure;
    }
  }
};

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  ++calls.launches, of_kernels = stream;
  if (!find(kernel)) return cudaErrorInvalidValue;
  LaunchCopy launch({const_cast<void*>(kernel), grid, block, unsigned(shared), arguments, nullptr});
  if (!launch.fits()) return cudaErrorInvalidValue;
  return in_order(stream, [launch = std::move(launch)]() mutable { return launch.run(); });
}

struct gpu_emulator_graph {
  std::vector<LaunchCopy> nodes;
};
struct gpu_emulator_graph_exec : gpu_emulator_graph {};

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) { return *graph = new gpu_emulator_graph, cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t*, size_t,
                                   const cudaKernelNodeParams* parameters) {
  if (!find(parameters->func)) return cudaErrorInvalidValue;
  *node = graph->nodes.size();
  graph->nodes.emplace_back(*parameters);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  ++calls.graphs_made;
  return *ready = new gpu_emulator_graph_exec{*graph}, cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) { return delete ready, cudaSuccess; }
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters) {
  ++calls.nodes_updated;
  return ready->nodes.at(node) = LaunchCopy(*parameters), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  ++calls.graphs, of_kernels = stream;
  return in_order(stream, [nodes = ready->nodes]() mutable {
    for (LaunchCopy& node : nodes)
      if (const cudaError_t error = node.run(); error != cudaSuccess) return error;
    return cudaSuccess;
  });
}
