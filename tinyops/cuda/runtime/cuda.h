#pragma once
// What every file of this folder stands on: pointers into the device's memory, and how a kernel is started. nvcc
// compiles these files for a GPU; with `EMULATE=1` the host's compiler takes them, and tests/gpu_emulator runs them.
#include <cuda_runtime.h>

#include <array>
#include <cstring>
#include <mutex>
#include <span>
#include <tuple>

#include "tinyops/cuda/runtime/views.h"
#include "tinyops/device.h"

namespace tinyops::cuda {

// ---- Pointers -------------------------------------------------------------------------------------------------------

#ifdef TINYOPS_ON_HOST
template <class T>
using Global = gpu_emulator::Global<T>;  ///< a T* that checks every access
template <class T, class U>
Global<T> as(Global<U> p) { return {reinterpret_cast<T*>(p.get()), p.range()}; }
inline void* dynamic_shared() { return gpu_emulator::dynamic_shared(); }
template <class Array>
using Shared = gpu_emulator::Shared<Array>;  ///< an Array in shared memory that checks, and counts its banks
#else
template <class T>
using Global = T*;
template <class T, class U>
__device__ __forceinline__ Global<T> as(U* p) { return reinterpret_cast<T*>(p); }
__device__ __forceinline__ void* dynamic_shared() {
  extern __shared__ uint4 whole[];
  return whole;
}
template <class Array>
using Shared = Array;
#endif

/// Neighbours in memory, read or written at once.
template <class T, int n>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Pack {
  T v[n];
};

/// The elements [i, i + sizeof(Vector) / sizeof(T)) of p in one access: it must be aligned to its size.
template <class Vector, class T>
__device__ __forceinline__ auto& vector_at(Global<T> p, int64_t i) {
  using V = std::conditional_t<std::is_const_v<T>, const Vector, Vector>;
  return as<V>(p + i)[0];
}

/// Where an operand's memory is now.
template <class T = char>
T* memory_of(const Operand& operand) { return static_cast<T*>(operand.buffer->data()); }

// ---- The device -----------------------------------------------------------------------------------------------------

/// What the chip is like; asking for it the first time starts CUDA, and ends the program where there is no GPU.
struct Chip {
  std::string name;
  int processors = 0;      ///< streaming multiprocessors
  size_t shared = 0;       ///< bytes of shared memory a block can have
  int architecture = 0;    ///< 75, 80, 90, ...: the newest that it can run and the kernels were compiled for
};
const Chip& chip();

/// All kernels run on one stream, in the order of their launches.
cudaStream_t stream();
cudaStream_t new_stream();
cudaEvent_t new_event();

/// Throws Error, naming what was tried, unless `error` is none.
void check(cudaError_t error, const char* what);

// ---- Launches -------------------------------------------------------------------------------------------------------

struct Grid {
  dim3 blocks, threads;
  size_t shared = 0;  ///< bytes of dynamic shared memory
};

/// How many blocks of `each` cover `all`.
constexpr int64_t blocks_for(int64_t all, int64_t each) { return (all + each - 1) / each; }
/// A thread for each of `count`.
inline Grid grid_for(int64_t count, unsigned threads) { return {unsigned(blocks_for(count, threads)), threads}; }

/// A launch as data, so that it can be kept for a graph.
struct Launch {
  const char* name;
  const void* kernel;
  Grid grid;
  std::span<void*> arguments;
  std::span<const size_t> sizes;  ///< of the arguments, in bytes
};
void launch(const Launch& what);

/// Whether launches are recorded for a graph now; and the end of that: what was recorded is started at once.
bool is_recording();
void finish_recording();
/// Memory that the graph in the making keeps; null when there is none in the making.
BufferRef scratch_of_recording(size_t bytes);

/// Starts kernel<<<grid>>>(arguments...), or records it where a graph is being made. `name` is for errors.
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), const Grid& grid, const A&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A));
  static_assert((std::is_trivially_copyable_v<P> && ...), "arguments travel as bytes");
  std::tuple<std::remove_cv_t<P>...> values{std::remove_cv_t<P>(arguments)...};
  static constexpr std::array<size_t, sizeof...(P)> sizes{sizeof(P)...};
  auto pointers = std::apply([](auto&... v) { return std::array<void*, sizeof...(P)>{&v...}; }, values);
#ifdef TINYOPS_ON_HOST
  gpu_emulator::know(reinterpret_cast<const void*>(kernel), [kernel](void** from) {
    [&]<size_t... i>(std::index_sequence<i...>) { kernel(*static_cast<std::remove_cv_t<P>*>(from[i])...); }
    (std::index_sequence_for<P...>());
  }, {sizes.begin(), sizes.end()});
#endif
  launch(Launch{name, reinterpret_cast<const void*>(kernel), grid, pointers, sizes});
}

/// Memory for the duration of a kernel: given back at the end of the scope, and reused by later kernels only, since all
/// of them run in order. Launches that are recorded for a graph have not begun by then, so it is the graph that keeps
/// theirs. Throws Error where there is none.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : buffer_(scratch_of_recording(bytes)) {
    if (!buffer_) buffer_ = std::make_shared<Buffer>(bytes);
  }
  template <class T>
  T* as() { return static_cast<T*>(buffer_->data()); }
  const BufferRef& buffer() const { return buffer_; }  ///< for an Operand of another kernel

 private:
  BufferRef buffer_;
};

// ---- Errors that kernels find ---------------------------------------------------------------------------------------

/// The first index that was outside, reported by a kernel; `synchronize` and `read` throw it.
struct DeviceError {
  int kernel = 0;       ///< 0: none; else the number of its origin
  int64_t index, size;  ///< the index, and what it should have been below
  int64_t position;     ///< of the index among the kernel's, in row-major order
};
/// Where kernels report them, and the number under which the user of an index in `shape` is known there.
DeviceError* device_errors();
/// Held by the thread of a program that launches kernels, or looks for errors of theirs.
std::recursive_mutex& launching();
void throw_device_error();  ///< waits where one is possible, and throws it
int number_of_origin(const IndexOrigin& origin, const Shape& shape);

/// Reports that `index` is outside, unless there is an error already.
__device__ inline void report_error(Global<DeviceError> to, int kernel, int64_t index, int64_t size, int64_t position) {
  if (atomicCAS(&to[0].kernel, 0, kernel) != 0) return;
  to[0].index = index, to[0].size = size, to[0].position = position;
}

// ---- Views with padding ---------------------------------------------------------------------------------------------

/// The same values without guards: the operand itself where none of its guards matters, else a copy with the padding
/// written out as zeros. Axes along which nothing changes are copied once.
Operand without_guards(const Operand& operand);

// ---- The kernels, one file each -------------------------------------------------------------------------------------

void run_kernel(const RowKernel& kernel);
void run_kernel(const ContractKernel& kernel);
void run_kernel(const GatherKernel& kernel);
void run_kernel(const ScatterKernel& kernel);
void run_kernel(const ScanKernel& kernel);
void run_kernel(const SortKernel& kernel);
void run_kernel(const RandomKernel& kernel);
void run_kernel(const RecurrentKernel& kernel);
void run_kernel(const CollectiveKernel& kernel);

// ---- Ranks ----------------------------------------------------------------------------------------------------------

/// For who waits for the kernels' stream, which may wait for other ranks: throws when TEENY_DIST_TIMEOUT is over, or
/// they are gone.
void wait_for_collectives();
extern const bool kRanksShareGpus;  ///< where a machine has more ranks than GPUs
/// Which of `gpus` GPUs the program sees as rank number `local` of its machine, as CUDA_VISIBLE_DEVICES names them;
/// `visible` is what that is now, empty where it is not set.
std::string gpu_of_rank(int local, const std::string& visible, int gpus, bool shared = kRanksShareGpus);

}  // namespace tinyops::cuda
