#pragma once
// CUDA without a GPU: what tinyops/cuda needs of the language and of the runtime, on the host. With this folder before the
// toolkit's in the include path a .cu file is plain C++, and a kernel runs block by block, each thread a fiber:
//
//   fiber 0   ████▌barrier        ████▌shuffle  ██ end      a fiber runs until it must wait for others: at a barrier for
//   fiber 1       ████▌barrier        ████▌shuffle  ██ end  the block, at a shuffle for its warp. Between two barriers the
//   fiber 2           ████▌barrier         ███▌shuffle      fibers run forwards, backwards or odd ones first, by turns: where
//     ..                                                    a barrier is missing one of the orders gives a wrong result.
//
// It is slow, and exact where a GPU is not: an access outside its buffer, a misaligned vector and a barrier that some
// threads never reach are errors that name the kernel and the thread; memory starts as NaNs. What it cannot show: races
// between blocks, and time. But it counts the 32-byte sectors of memory that each access of a warp touches.
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
#define __shared__ static  // one block at a time, so a static belongs to the block
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline

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

namespace on_host {

// ---- Memory ---------------------------------------------------------------------------------------------------------

/// The allocation an address lies in; an empty range where there is none.
struct Range {
  const char* begin = nullptr;
  const char* end = nullptr;
};
Range allocation_of(const void* address);

/// Throws unless [address, address + bytes) lies in `range` and `address` is a multiple of `bytes`; counts its sectors.
void touch(Range range, const void* address, size_t bytes);

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

  __attribute__((always_inline)) T& operator[](int64_t i) const {
    touch(range_, p_ + i, sizeof(T));
    return p_[i];
  }
  T& operator*() const { return (*this)[0]; }
  Global operator+(int64_t i) const { return {p_ + i, range_}; }
  Global& operator+=(int64_t i) { return p_ += i, *this; }
  explicit operator bool() const { return p_; }
  T* get() const { return p_; }
  Range range() const { return range_; }

 private:
  T* p_ = nullptr;
  Range range_;
};

/// What the accesses of all kernels since the last `traffic() = {}` came to: a warp's access of 32 neighbouring floats is one
/// request of four sectors, and 128 bytes. Counted only while `counting`.
struct Traffic {
  bool counting = false;
  int64_t requests = 0, sectors = 0, bytes = 0;
};
Traffic& traffic();

// ---- Fibers ---------------------------------------------------------------------------------------------------------

/// Waits for the other threads of the block. Returns the number of those that passed a predicate that holds.
int barrier(bool predicate = false);

/// Waits for the lanes in `mask`, then shows what each of them brought, at most 64 bytes.
const void* exchange(unsigned mask, const void* mine, size_t bytes, int lane);
int lane();
void meet(unsigned mask);

/// The block's dynamic shared memory.
void* dynamic_shared();

/// A kernel, by its address: how it is called with arguments from memory, and their sizes.
void know(const void* kernel, std::function<void(void**)> call, std::vector<size_t> sizes);

}  // namespace on_host

// ---- What a kernel calls --------------------------------------------------------------------------------------------

inline void __syncthreads() { on_host::barrier(); }
inline int __syncthreads_count(int predicate) { return on_host::barrier(predicate); }
inline int __syncthreads_or(int predicate) { return on_host::barrier(predicate) > 0; }
inline void __syncwarp(unsigned mask = 0xffffffff) { on_host::meet(mask); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const int me = on_host::lane(), base = me / width * width;
  T result;
  std::memcpy(&result, on_host::exchange(mask, &value, sizeof(T), base + from % width), sizeof(T));
  return result;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return __shfl_sync(mask, value, (on_host::lane() ^ bits) % width, width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int by, int width = 32) {
  const int place = on_host::lane() % width;
  return __shfl_sync(mask, value, place + by < width ? place + by : place, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int by, int width = 32) {
  const int place = on_host::lane() % width;
  return __shfl_sync(mask, value, place >= by ? place - by : place, width);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  unsigned result = 0;
  const bool mine = predicate;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1) {
      bool theirs;
      std::memcpy(&theirs, on_host::exchange(mask, &mine, 1, l), 1);
      result |= unsigned(theirs) << l;
    }
  return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline unsigned __activemask() { return 0xffffffff; }
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

// ---- The runtime: the device is the host, a stream is the order of the calls ------------------------------------------

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2, cudaErrorNoDevice = 100,
                   cudaErrorInsufficientDriver = 35, cudaErrorLaunchFailure = 719 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;
struct cudaDeviceProp {
  char name[64] = "a GPU played by the host";
  int major = 9, minor = 0, multiProcessorCount = 4;
  size_t totalGlobalMem = size_t(1) << 40, sharedMemPerBlockOptin = 99 * 1024;
};
using cudaStream_t = struct on_host_stream*;
using cudaEvent_t = struct on_host_event*;
using cudaGraph_t = struct on_host_graph*;
using cudaGraphExec_t = struct on_host_graph_exec*;
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
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream);

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                                   const cudaKernelNodeParams* parameters);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready);
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters);
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream);
