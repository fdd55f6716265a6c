// Tiles whose sums are made by the processors' ordinary arithmetic, one multiply-add after the other.
//
//   a thread has 8 x 8 sums     ┌──┐     ┌──┐   in groups of four neighbours along rows and columns, the groups far apart:
//   (or fewer)                  └──┘ ..  └──┘   a warp, 4 threads down and 8 across, reads shared memory without conflicts
//                                .        .
//                               ┌──┐     ┌──┐
//                               └──┘     └──┘
//
// With 8 x 8 it does 64 multiply-adds for every 4 vectors from shared memory, and arithmetic limits it.
#include "tinyops/cuda/contract/contract_tiles.h"

namespace tinyops::cuda {
namespace {

template <class T, int rows_, int columns_, int depth_, int thread_rows, int thread_columns>
struct Plain {
  static constexpr int rows = rows_, columns = columns_, depth = depth_, run = 4, pad = 4;
  static constexpr int threads = rows * columns / (thread_rows * thread_columns), blocks = 512 / threads;
  static constexpr bool k_neighbours = false;
  using Factor = Sum<T>;
  using Four = Pack<Factor, 4>;

  Factor sums[thread_rows][thread_columns] = {};

  static __device__ Factor factor(T x) { return Factor(x); }

  /// The first of this thread's i-th four rows, and columns.
  static __device__ int row(int i) {
    constexpr int warps_across = columns / thread_columns / 8;
    return (int(threadIdx.x) / 32 / warps_across * 4 + int(threadIdx.x) % 32 / 8) * 4 + i * (4 * rows / thread_rows);
  }
  static __device__ int column(int i) {
    constexpr int warps_across = columns / thread_columns / 8;
    return (int(threadIdx.x) / 32 % warps_across * 8 + int(threadIdx.x) % 8) * 4 + i * (4 * columns / thread_columns);
  }

  template <class A, class B>
  __device__ void multiply(const A& a, const B& b) {
#pragma unroll
    for (int k = 0; k < depth; ++k) {
      Four x[thread_rows / 4], y[thread_columns / 4];
#pragma unroll
      for (int i = 0; i < thread_rows / 4; ++i) x[i] = reinterpret_cast<const Four&>(a[k][row(i)]);
#pragma unroll
      for (int j = 0; j < thread_columns / 4; ++j) y[j] = reinterpret_cast<const Four&>(b[k][column(j)]);
#pragma unroll
      for (int i = 0; i < thread_rows; ++i)
#pragma unroll
        for (int j = 0; j < thread_columns; ++j) multiply_add<T>(sums[i][j], x[i / 4].v[i % 4], y[j / 4].v[j % 4]);
    }
  }

  static constexpr int runs = thread_rows * thread_columns / run;
  static __device__ int2 place(int i) {
    constexpr int in_row = thread_columns / run;
    return {row(i / in_row / 4) + i / in_row % 4, column(i % in_row)};
  }
  __device__ void get(int i, Factor (&to)[run]) const {
#pragma unroll
    for (int j = 0; j < run; ++j) to[j] = sums[i * run / thread_columns][i * run % thread_columns + j];
  }
};

}  // namespace

void multiply_tiles(const Tiling& t, DType dtype, const Places& places) {
  if (on_tensor_cores(dtype)) return multiply_on_tensor_cores(t, dtype, places);
  with_type(dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, float>) {
      if (t.shape == 0) return multiply<T, Plain<T, 128, 128, 8, 8, 8>>(t, places);
      if (t.shape == 1) return multiply<T, Plain<T, 32, 128, 16, 8, 4>>(t, places);
    }
    if constexpr (!std::is_same_v<T, float16>)  // which every GPU's tensor cores take
      multiply<T, Plain<T, 64, 64, 16, sizeof(T) == 8 ? 4 : 8, 4>>(t, places);  // 64 bits need twice the registers
  });
}

}  // namespace tinyops::cuda
