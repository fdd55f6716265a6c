#pragma once
// CUDA without a GPU: what tinyops/cuda needs of the language and of the runtime, on the host. With this folder before
// the toolkit's in the include path a .cu file is plain C++, and a kernel runs block by block, each thread a fiber:
//
//   warp 0   lane 0   ███▌shuffle    ██▌barrier                     ██ end
//            lane 1      ███▌shuffle   ██▌barrier                     ██ end      a fiber runs until it must wait for others
//   warp 1   lane 0                        ███▌shuffle    ██▌barrier    ██ end
//            lane 1                           ███▌shuffle   ██▌barrier    ██ end                            time ──►
//
// A warp runs until all of its lanes are at a barrier or have returned, then the next one does: no two warps are ever
// in step. Blocks, warps and lanes come forwards, backwards, or the odd ones first, by turns: where a barrier is
// missing, one of the orders gives a wrong result.
//
// It is slow, and exact where a GPU is not. These are errors that name the kernel and the thread: an access outside its
// buffer, a misaligned vector, a barrier that some threads never reach, a shuffle that waits for a lane that does not
// come. Memory, dynamic shared memory and `Shared` arrays start as NaNs; any other array in shared memory only where
// clang compiled it, else it keeps what the block before left there. What it cannot show: blocks that run at the same
// time, a loop that waits for another thread's store, and time. But it counts the 32-byte sectors of memory that each
// access of a warp touches, and the turns that the banks of shared memory take.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define TINYOPS_ON_HOST
#define __CUDA_ARCH__ 900
#define __global__
#define __device__
#define __host__
#ifdef __clang__  // in a section of their own they can be filled before a block starts; GCC cannot do that in templates
#define __shared__ static __attribute__((section("gpu_emulator_shared")))
#else
#define __shared__ static  // one block at a time, so a static belongs to the block
#endif
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))  // an access counts where it is written

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) double2 { double x, y; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace gpu_emulator {

// ---- Memory ---------------------------------------------------------------------------------------------------------

/// The allocation an address lies in; an empty range where there is none.
struct Range {
  const char* begin = nullptr;
  const char* end = nullptr;
};
Range allocation_of(const void* address);

/// What the accesses of all kernels since the last `traffic = {}` came to: a warp's access of 32 neighbouring floats is
/// one request of four sectors, and 128 bytes. There is no cache: what is read twice counts twice. Of `Shared` memory,
/// which has 32 banks of words of 4 bytes, it is one request and one turn; a column, of which all words are in one bank,
/// takes 32 turns. Counted only while `counting`.
struct Traffic {
  bool counting = false;
  int64_t requests = 0, sectors = 0, bytes = 0;
  int64_t shared_requests = 0, shared_turns = 0, shared_bytes = 0;
};
inline Traffic traffic;

/// Throws unless [address, address + bytes) lies in `range` and `address` is a multiple of `alignment`; counts its
/// sectors.
void touch(Range range, const void* address, size_t bytes, size_t alignment);

/// A pointer into the device's memory that knows its allocation. Under nvcc it is a plain pointer.
template <class T>
class Global {
 public:
  Global() = default;
  Global(std::nullptr_t) {}
  Global(T* p) : p_(p), range_(allocation_of(p)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Global(const Global<U>& other) : p_(other.get()), range_(other.range()) {}
  Global(T* p, Range range) : p_(p), range_(range) {}

  __forceinline__ T& operator[](int64_t i) const {
    T* const p = place(i);
    const char* const at = reinterpret_cast<const char*>(p);
    const bool fine =
        at >= range_.begin && at + sizeof(T) <= range_.end && reinterpret_cast<uintptr_t>(at) % alignof(T) == 0;
    if (!fine || traffic.counting) touch(range_, at, sizeof(T), alignof(T));
    return *p;
  }
  __forceinline__ T& operator*() const { return (*this)[0]; }
  Global operator+(int64_t i) const { return {place(i), range_}; }
  Global& operator+=(int64_t i) { return p_ = place(i), *this; }
  explicit operator bool() const { return p_; }
  T* get() const { return p_; }
  Range range() const { return range_; }

 private:
  /// Where element i would be: computed as integers, since it may be anywhere.
  __forceinline__ T* place(int64_t i) const {
    return reinterpret_cast<T*>(reinterpret_cast<intptr_t>(p_) + i * int64_t(sizeof(T)));
  }

  T* p_ = nullptr;
  Range range_;
};

/// The same for an array in shared memory, one that was told of by `declare_shared`: it is filled with NaNs before
/// each block starts.
void touch_shared(const void* address, size_t bytes);
void declare_shared(void* array, size_t bytes);
[[noreturn]] void outside_shared(int64_t index, size_t size);

/// `__shared__ Shared<float[32][33]> tile`: an array that checks and counts. Under nvcc it is the array itself.
template <class A>
class Shared;
template <class T, size_t n>
class Shared<T[n]> {
 public:
  Shared() { declare_shared(values_, sizeof values_); }
  __forceinline__ T& operator[](int64_t i) { return at(values_, i); }

  static __forceinline__ T& at(T* values, int64_t i) {
    if (i < 0 || size_t(i) >= n) outside_shared(i, n);
    if (traffic.counting) touch_shared(values + i, sizeof(T));
    return values[i];
  }

 private:
  alignas(16) T values_[n];
};
template <class T, size_t rows, size_t n>
class Shared<T[rows][n]> {
 public:
  Shared() { declare_shared(values_, sizeof values_); }
  struct Row {
    T* values;
    __forceinline__ T& operator[](int64_t i) const { return Shared<T[n]>::at(values, i); }
  };
  __forceinline__ Row operator[](int64_t r) {
    if (r < 0 || size_t(r) >= rows) outside_shared(r, rows);
    return {values_[r]};
  }

 private:
  alignas(16) T values_[rows][n];
};

// ---- Fibers ---------------------------------------------------------------------------------------------------------

/// Waits for the other threads of the block. Returns the number of those that passed a predicate that holds.
int barrier(bool predicate = false);

/// The lanes in `mask` meet, each with at most 64 bytes. Where they met, and until the lane meets others, `brought_by`
/// shows what one of them brought, and 0xff bytes for a lane that was not there.
void meet(unsigned mask, const void* mine, size_t bytes);
const void* brought_by(int lane);
int lane();

/// The block's dynamic shared memory.
void* dynamic_shared();

/// Runs `body` in every thread of a grid; throws std::runtime_error for the first thing that goes wrong.
void run_grid(const dim3& grid, const dim3& block, size_t shared, const std::function<void()>& body);

/// A kernel, by its address: how it is called with arguments from memory, and their sizes.
void know(const void* kernel, std::function<void(void**)> call, std::vector<size_t> sizes);

}  // namespace gpu_emulator

// ---- What a kernel calls --------------------------------------------------------------------------------------------

inline void __syncthreads() { gpu_emulator::barrier(); }
inline int __syncthreads_count(int predicate) { return gpu_emulator::barrier(predicate); }
inline int __syncthreads_or(int predicate) { return gpu_emulator::barrier(predicate) > 0; }
inline int __syncthreads_and(int predicate) { return gpu_emulator::barrier(!predicate) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffff) { gpu_emulator::meet(mask, nullptr, 0); }
inline void __threadfence() {}

// A warp is cut into segments of `width` lanes. Where there is no lane to read from, a lane gets its own value back.
namespace gpu_emulator {
template <class T>
T shuffle(unsigned mask, const T& value, int from, bool exists) {
  static_assert(std::is_arithmetic_v<T>, "a shuffle moves a number of at most 8 bytes");
  meet(mask, &value, sizeof(T));
  T result;
  std::memcpy(&result, brought_by(exists ? from : lane()), sizeof(T));
  return result;
}
inline int segment(int width) {
  const bool fits = width >= 1 && width <= 32 && (width & (width - 1)) == 0;
  if (!fits) throw std::runtime_error("a shuffle's width is a power of two up to 32");
  return lane() & ~(width - 1);
}
}  // namespace gpu_emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return gpu_emulator::shuffle(mask, value, gpu_emulator::segment(width) + (from & (width - 1)), true);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const int from = gpu_emulator::lane() ^ bits;  // a segment further left can be read
  return gpu_emulator::shuffle(mask, value, from, from < gpu_emulator::segment(width) + width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const int from = gpu_emulator::lane() + int(by);
  return gpu_emulator::shuffle(mask, value, from, from < gpu_emulator::segment(width) + width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  const int from = gpu_emulator::lane() - int(by);
  return gpu_emulator::shuffle(mask, value, from, from >= gpu_emulator::segment(width));
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const char mine = predicate != 0;
  gpu_emulator::meet(mask, &mine, 1);
  unsigned result = 0;
  for (int l = 0; l < 32; ++l) result |= unsigned(*static_cast<const char*>(gpu_emulator::brought_by(l)) == 1) << l;
  return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned(uint64_t(x) * y >> 32); }

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) { return std::exchange(*at, T(*at + value)); }
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) { return std::exchange(*at, value < *at ? value : *at); }
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) { return std::exchange(*at, value > *at ? value : *at); }
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return std::exchange(*at, *at == expected ? value : *at);
}

// ---- The runtime: the device is the host, a stream is the order of the calls (or a queue: streams.cpp) ---------------

namespace gpu_emulator {
/// What the program has asked of it since the last `calls = {}`.
struct Calls {
  int64_t launches = 0;  ///< of single kernels
  int64_t graphs = 0, graphs_made = 0, nodes_updated = 0;
};
inline Calls calls;
inline int64_t allocations_left = -1;  ///< how many succeed before one fails; below zero none does
}  // namespace gpu_emulator

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2, cudaErrorNoDevice = 100,
                   cudaErrorInsufficientDriver = 35, cudaErrorNotReady = 600, cudaErrorLaunchFailure = 719 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;
struct cudaDeviceProp {
  char name[64] = "a GPU played by the host";
  int major = 9, minor = 0, multiProcessorCount = 4;
  // The least of any that can run the kernels.
  size_t totalGlobalMem = size_t(1) << 40, sharedMemPerBlockOptin = 64 * 1024;
};
using cudaStream_t = struct gpu_emulator_stream*;
using cudaEvent_t = struct gpu_emulator_event*;
using cudaGraph_t = struct gpu_emulator_graph*;
using cudaGraphExec_t = struct gpu_emulator_graph_exec*;
using cudaGraphNode_t = size_t;
struct cudaKernelNodeParams {
  void* func;
  dim3 gridDim, blockDim;
  unsigned sharedMemBytes;
  void** kernelParams;
  void** extra;
};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream);

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                   const cudaKernelNodeParams* parameters);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready);
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters);
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream);
