#pragma once
// Tensor cores: a warp multiplies two small matrices in one instruction, and each lane holds a few elements of them.
//
//   sums (16 x 8)  +=  a (16 x k)  *  b (k x 8)          k = 8 elements of 32 bits (tf32), or 16 of 16 bits
//
// A lane is thread t = lane % 4 of group g = lane / 4. A register is 32 bits: one tf32, or two neighbours along k, the
// first in the lower half; below, a column of `a` and a row of `b` are one register wide (k = 8 or 16 makes 8 of them).
//
//        a    t=0 1 2 3  0 1 2 3              b   g=0 .. 7               sums    t=0   1   2   3
//      g=0   ┌─────────┬─────────┐         t=0 ┌───────────┐           g=0   ┌─────────────────┐
//       ..   │  a[0]   │  a[2]   │          .. │   b[0]    │            ..   │  sums[0], [1]   │   two neighbours along
//        7   ├─────────┼─────────┤           3 ├───────────┤             7   ├─────────────────┤   a row for each t
//      g=0   │  a[1]   │  a[3]   │         t=0 │   b[1]    │           g=0   │  sums[2], [3]   │
//       ..   └─────────┴─────────┘          .. └───────────┘            ..   └─────────────────┘
//        7                                   3                           7
//
// so that a[0] of lane 9 (g = 2, t = 1) is row 2, column 1 as tf32, and row 2, columns 2 and 3 as float16.
// (PTX ISA, "Matrix Fragments for mma.m16n8k8" and "mma.m16n8k16".)
#include <bit>

#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {

// ---- Elements -------------------------------------------------------------------------------------------------------

/// The nearest value with tf32's 10 bits of mantissa, ties away from zero. Without this the tensor core cuts the others
/// off.
__device__ __forceinline__ uint32_t to_tf32(float x) {
#if __CUDA_ARCH__ >= 800 && !defined(TINYOPS_ON_HOST)
  uint32_t result;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(x));
  return result;
#else
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const bool is_finite = (bits & 0x7f800000) != 0x7f800000;
  return is_finite ? (bits + 0x1000) & ~0x1fffu : bits;
#endif
}

// ---- Products -------------------------------------------------------------------------------------------------------

#ifdef TINYOPS_ON_HOST
/// What the instruction does, in loops. `Element` makes a float of the n-th element of a register.
template <int elements, size_t registers_a, size_t registers_b, class Element>
void multiply_fragments(float (&sums)[4], const uint32_t (&a)[registers_a], const uint32_t (&b)[registers_b],
                        Element&& element) {
  struct {
    uint32_t a[registers_a], b[registers_b];
  } fragments;
  std::memcpy(fragments.a, a, sizeof(a)), std::memcpy(fragments.b, b, sizeof(b));
  gpu_emulator::meet(0xffffffff, &fragments, sizeof(fragments));
  const auto of_lane = [](int lane) {
    return *static_cast<const decltype(fragments)*>(gpu_emulator::brought_by(lane));
  };
  const int g = gpu_emulator::lane() / 4, t = gpu_emulator::lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    double sum = sums[i];
    for (int k = 0; k < int(registers_b) * 4 * elements; ++k) {
      const int half = k / (4 * elements), thread = k / elements % 4;
      sum += double(element(of_lane(row % 8 * 4 + thread).a[row / 8 + 2 * half], k % elements)) *
             double(element(of_lane(column * 4 + thread).b[half], k % elements));
    }
    sums[i] = float(sum);
  }
}
template <class T>  // float16 or bfloat16
float element_of_pair(uint32_t pair, int n) {
  T x;
  x.bits = uint16_t(pair >> 16 * n);
  return float(x);
}
#endif

/// sums += a * b, for a of 16 x 8 float16 elements and b of 8 x 8: the left and the upper half of the drawing.
__device__ __forceinline__ void mma_float16_half(float (&sums)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
#ifdef TINYOPS_ON_HOST
  multiply_fragments<2>(sums, a, b, element_of_pair<float16>);
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
#endif
}

/// sums += a * b, for a of 16 x 8 tf32 elements and b of 8 x 8 (T = float), or for a of 16 x 16 elements of 16 bits and
/// b of 16 x 8. From sm_80 on; before, only float16, in two halves.
template <class T>
__device__ __forceinline__ void mma(float (&sums)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef TINYOPS_ON_HOST
  if constexpr (std::is_same_v<T, float>)
    multiply_fragments<1>(sums, a, b, [](uint32_t x, int) { return std::bit_cast<float>(x & ~0x1fffu); });
  else multiply_fragments<2>(sums, a, b, element_of_pair<T>);
#elif __CUDA_ARCH__ >= 800
#define TINYOPS_MMA(kind)                                                                                            \
  asm volatile("mma.sync.aligned." kind " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                     \
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
  if constexpr (std::is_same_v<T, float>) TINYOPS_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
  else if constexpr (std::is_same_v<T, float16>) TINYOPS_MMA("m16n8k16.row.col.f32.f16.f16.f32");
  else TINYOPS_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
#undef TINYOPS_MMA
#else
  if constexpr (std::is_same_v<T, float16>)
    mma_float16_half(sums, {a[0], a[1]}, {b[0]}), mma_float16_half(sums, {a[2], a[3]}, {b[1]});
  else __trap();
#endif
}

}  // namespace tinyops::cuda
