// Tiles whose sums are made by tensor cores: of 16-bit values, and, where TEENY_TF32=1 is in the environment, of
// float32 rounded to tf32, which has 10 bits of mantissa.
//
//   a warp's part of a tile      ┌──────┬──────┬──────┬──────┐   one instruction of mma.h adds 16 x 8 sums up over 8 (tf32) or
//   of 64 x 32 sums              │16 x 8│      │      │      │   16 k. Its lanes read two neighbours along k from shared memory
//                                ├──────┼──────┼──────┼──────┤   at once, so there neighbours along k are neighbours; a row's
//                                │      │      │      │      │   pad of 16 bytes lets the 32 lanes of a warp read from 32 banks
//                                       ..
#include "tinyops/base/environment.h"
#include "tinyops/cuda/contract/contract_tiles.h"
#include "tinyops/cuda/contract/mma.h"

namespace tinyops::cuda {
namespace {

template <class T, int rows_, int columns_, int warps_down, int warps_across>
struct Tensor {
  static constexpr int rows = rows_, columns = columns_, depth = 16, run = 2, pad = 16 / int(sizeof(T));
  static constexpr int threads = 32 * warps_down * warps_across, blocks = 512 / threads;
  static constexpr bool k_neighbours = true;
  static constexpr int down = rows / warps_down / 16, across = columns / warps_across / 8;  // instructions of a warp
  using Factor = std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>;  // their bits

  float sums[down][across][4] = {};

  static __device__ Factor factor(T x) {
    if constexpr (sizeof(T) == 4) return to_tf32(x);
    else return x.bits;
  }

  static __device__ int group() { return int(threadIdx.x) % 32 / 4; }
  static __device__ int lane() { return int(threadIdx.x) % 4; }
  static __device__ int first_row() { return int(threadIdx.x) / 32 / warps_across * (rows / warps_down); }
  static __device__ int first_column() { return int(threadIdx.x) / 32 % warps_across * (columns / warps_across); }

  /// The register that begins at a tile's x and word: one tf32, or two neighbours of 16 bits.
  template <class Tile>
  static __device__ uint32_t word(const Tile& tile, int x, int word) {
    return reinterpret_cast<const uint32_t*>(tile[x])[word];
  }

  template <class A, class B>
  __device__ void multiply(const A& a, const B& b) {
    constexpr int words = depth * int(sizeof(T)) / 4;
#pragma unroll
    for (int w = 0; w < words; w += 8) {
      uint32_t x[down][4], y[across][2];
#pragma unroll
      for (int i = 0; i < down; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r)
          x[i][r] = word(a, first_row() + 16 * i + group() + r % 2 * 8, w + lane() + r / 2 * 4);
#pragma unroll
      for (int j = 0; j < across; ++j)
#pragma unroll
        for (int r = 0; r < 2; ++r) y[j][r] = word(b, first_column() + 8 * j + group(), w + lane() + r * 4);
#pragma unroll
      for (int i = 0; i < down; ++i)
#pragma unroll
        for (int j = 0; j < across; ++j) mma<T>(sums[i][j], x[i], y[j]);
    }
  }

  static constexpr int runs = 2 * down * across;
  static __device__ int2 place(int i) {
    return {first_row() + 16 * (i / 2 / across) + 8 * (i % 2) + group(),
            first_column() + 8 * (i / 2 % across) + 2 * lane()};
  }
  __device__ void get(int i, float (&to)[run]) const {
#pragma unroll
    for (int j = 0; j < run; ++j) to[j] = sums[i / 2 / across][i / 2 % across][2 * (i % 2) + j];
  }
};

bool may_use_tf32() {
  static const bool may = environment::tf32();
  return may;
}

}  // namespace

bool on_tensor_cores(DType dtype) {
  if (dtype == DType::Float16) return true;
  return chip().architecture >= 80 && (dtype == DType::BFloat16 || (dtype == DType::Float32 && may_use_tf32()));
}

void multiply_on_tensor_cores(const Tiling& t, DType dtype, const Places& places) {
  with_type(dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<Compute<T>, float>) {
      if (t.shape == 0) return multiply<T, Tensor<T, 128, 128, 2, 4>>(t, places);
      if (t.shape == 1) return multiply<T, Tensor<T, 32, 128, 1, 4>>(t, places);
      multiply<T, Tensor<T, 64, 64, 2, 2>>(t, places);
    }
  });
}

}  // namespace tinyops::cuda
