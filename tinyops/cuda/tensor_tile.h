#pragma once
// A tile of a product on tensor cores: 128 x 128 sums of a block of 8 warps, each of which keeps 64 x 32 in registers.
//
//                         columns of b: 4 x 32                  shared memory holds both operands k by k:
//                    ┌───────┬───────┬───────┬───────┐
//                    │       │       │       │       │            a[k][row]        b[k][column]
//   rows of a:  64   │ warp 0│ warp 1│ warp 2│ warp 3│
//                    ├───────┼───────┼───────┼───────┤          in rows of 128 + 8 numbers. The 8 move each k on by 4 banks
//               64   │ warp 4│ warp 5│ warp 6│ warp 7│          of 32 (16-bit numbers) or 8 (tf32), so that what a warp
//                    └───────┴───────┴───────┴───────┘          reads at once, 8 k by 16 bytes or 4 k by 8 numbers, lies in
//                                                               all banks once.
//
// For 16 of k a warp reads 64 + 32 columns of shared memory and multiplies 4 x 4 fragments of 16 x 8: 16 instructions of 2048
// multiply-adds for 6 reads (16-bit numbers), so that the tensor cores are what it waits for.
#include "tinyops/cuda/mma.h"

namespace tinyops::cuda {

/// T: float16, bfloat16, or float, which is multiplied as tf32 and must have been rounded to that (`to_tf32`). float16 from
/// sm_75 on, the others from sm_80 on.
template <class T>
struct TensorTile {
  static constexpr int rows = 128, columns = 128, threads = 256;
  static constexpr int step = 32 / sizeof(T);  ///< the k of one instruction
  static_assert(rows == columns);

  static constexpr int warp_rows = 64, warp_columns = 32, down = warp_rows / 16, across = warp_columns / 8;
  float sums[down][across][4] = {};

  __device__ static int warp() { return int(threadIdx.x) / 32; }
  __device__ static int lane() { return int(threadIdx.x) % 32; }
  __device__ static int first_row() { return warp() / (columns / warp_columns) * warp_rows; }
  __device__ static int first_column() { return warp() % (columns / warp_columns) * warp_columns; }

  /// Adds the product of `depth` k, a multiple of `step`, of a and b. All threads of the block.
  template <int depth>
  __device__ __forceinline__ void multiply(const T (&a)[depth][rows + 8], const T (&b)[depth][columns + 8]) {
    static_assert(depth % step == 0);
#pragma unroll
    for (int k = 0; k < depth; k += step) {
      uint32_t of_a[down][4], of_b[across][2];
      load(of_a, of_b, a + k, b + k);
#pragma unroll
      for (int i = 0; i < down; ++i)
#pragma unroll
        for (int j = 0; j < across; ++j) multiply_fragment(sums[i][j], of_a[i], of_b[j]);
    }
  }

  /// Calls visit(row, column, sum, next): two neighbours along a row, of the 128 x 128.
  template <class Visit>
  __device__ __forceinline__ void for_each_pair(Visit&& visit) const {
#pragma unroll
    for (int i = 0; i < down; ++i)
#pragma unroll
      for (int j = 0; j < across; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          visit(first_row() + 16 * i + 8 * half + lane() / 4, first_column() + 8 * j + lane() % 4 * 2, sums[i][j][2 * half],
                sums[i][j][2 * half + 1]);
  }

 private:
  using Row = const T[rows + 8];

  __device__ static __forceinline__ void multiply_fragment(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if constexpr (std::is_same_v<T, float>) mma_tf32(sums, a, b);
    else if constexpr (std::is_same_v<T, teeny::float16>) mma_float16(sums, a, b);
    else mma_bfloat16(sums, a, b);
  }

  /// The fragments of this warp, for the k from a[0] and b[0] on.
  __device__ static __forceinline__ void load(uint32_t (&of_a)[down][4], uint32_t (&of_b)[across][2], Row* a, Row* b) {
    if constexpr (sizeof(T) == 2) {
      // Turned matrices of 8 k by 8 rows: upper left, lower left, upper right, lower right of an `a`; and the same order of
      // matrices of 8 k by 8 columns is (k, k + 8) of one fragment of `b` and of the next.
      const int matrix = lane() / 8, line = lane() % 8;
#pragma unroll
      for (int i = 0; i < down; ++i)
        load_matrices_turned(of_a[i], &a[line + matrix / 2 * 8][first_row() + 16 * i + matrix % 2 * 8]);
#pragma unroll
      for (int j = 0; j < across; j += 2) {
        uint32_t two[4];
        load_matrices_turned(two, &b[line + matrix % 2 * 8][first_column() + 8 * j + matrix / 2 * 8]);
        of_b[j][0] = two[0], of_b[j][1] = two[1], of_b[j + 1][0] = two[2], of_b[j + 1][1] = two[3];
      }
    } else {
      const int g = lane() / 4, t = lane() % 4;
#pragma unroll
      for (int i = 0; i < down; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r)
          of_a[i][r] = std::bit_cast<uint32_t>(a[t + r / 2 * 4][first_row() + 16 * i + r % 2 * 8 + g]);
#pragma unroll
      for (int j = 0; j < across; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) of_b[j][r] = std::bit_cast<uint32_t>(b[t + 4 * r][first_column() + 8 * j + g]);
    }
  }
};

}  // namespace tinyops::cuda
