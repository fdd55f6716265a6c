// The contraction without tiles: every sum is added up by itself. For products with next to no rows or columns (a
// matrix times a vector, a dot product, a depthwise convolution), where no element would be used twice, and for
// whatever the tiles of contract_tiles.cu cannot take.
//
//   lanes = 1     thread   0   1   2   3 ..                lanes = 32    warp 0   k k k k k k k k .. ──► shuffles ──► sum 0
//                    k │   │   │   │   │                                 warp 1   k k k k k k k k .. ──► shuffles ──► sum 1
//                      ▼   ▼   ▼   ▼   ▼
//                   sum    0   1   2   3                   neighbours in memory along k: a warp reads 32 at a time
//
// All threads of a block walk the same k: where each k lies is looked up in tables in shared memory, made once a block.
// Memory limits it.
#include "tinyops/cuda/contract/contract.h"

namespace tinyops::cuda {
namespace {

constexpr int kThreads = 256;  // and as many k in a table

/// Where the operands' elements lie along k, relative to where a sum's begin: addresses, then the guards' positions.
struct Tables {
  int64_t address[2][kThreads], position[2][kMostGuards][kThreads];
};

/// The part of an affine form that axes [first, last) have, for element `i` of these.
struct Offsets {
  int64_t a = 0, b = 0, out = 0, in_a[kMostGuards] = {}, in_b[kMostGuards] = {};

  __device__ Offsets(const DirectProduct& p, int first, int last, int64_t i) {
    for_axes(p.axes.sizes, first, last, i, [&](int axis, int64_t along) {
      a += along * p.a.address.strides[axis], b += along * p.b.address.strides[axis],
          out += along * p.out.strides[axis];
#pragma unroll
      for (int g = 0; g < kMostGuards; ++g) {
        if (g < p.a.guards) in_a[g] += along * p.a.guard[g].coef[axis];
        if (g < p.b.guards) in_b[g] += along * p.b.guard[g].coef[axis];
      }
    });
  }
};

/// Whether all guards let the element through.
__device__ bool valid(const DirectOperand& operand, const int64_t (&at)[kMostGuards],
                      const int64_t (&position)[kMostGuards][kThreads], int k) {
  bool result = true;
#pragma unroll
  for (int g = 0; g < kMostGuards; ++g)
    if (g < operand.guards)
      result &= uint64_t(operand.guard[g].offset + at[g] + position[g][k]) < uint64_t(operand.guard[g].size);
  return result;
}

template <class T>
__global__ __launch_bounds__(kThreads, 3) void direct(Global<const T> a, Global<const T> b, Global<T> out,
                                                   const __grid_constant__ DirectProduct p) {
  __shared__ Tables tables;
  const int t = int(threadIdx.x), lane = t % p.lanes, part = int(blockIdx.y);
  const int64_t number = (int64_t(blockIdx.x) * kThreads + t) / p.lanes;
  const Offsets at(p, 0, p.kept, number < p.sums ? number : 0);
  const Global<const T> row = a + (p.a.address.offset + at.a), column = b + (p.b.address.offset + at.b);
  const int64_t first = part * p.k_per_part, last = first + p.k_per_part < p.k ? first + p.k_per_part : p.k;
  Sum<T> sum = 0;
  for (int64_t k = first; k < last; k += kThreads) {
    const int count = last - k < kThreads ? int(last - k) : kThreads;
    __syncthreads();  // the tables before these have been read
    if (t < count) {
      const Offsets along(p, p.kept, p.axes.rank, k + t);
      tables.address[0][t] = along.a, tables.address[1][t] = along.b;
#pragma unroll
      for (int g = 0; g < kMostGuards; ++g) {
        if (g < p.a.guards) tables.position[0][g][t] = along.in_a[g];
        if (g < p.b.guards) tables.position[1][g][t] = along.in_b[g];
      }
    }
    __syncthreads();
    if (number >= p.sums) continue;
#pragma unroll 4
    for (int i = lane; i < count; i += p.lanes) {
      const bool in_a = valid(p.a, at.in_a, tables.position[0], i), in_b = valid(p.b, at.in_b, tables.position[1], i);
      const Sum<T> x = in_a ? Sum<T>(row[tables.address[0][i]]) : Sum<T>(0);
      const Sum<T> y = in_b ? Sum<T>(column[tables.address[1][i]]) : Sum<T>(0);
      multiply_add<T>(sum, x, y);
    }
  }
  for (int by = p.lanes / 2; by > 0; by /= 2) {
    const Sum<T> other = __shfl_xor_sync(0xffffffff, sum, by);
    if constexpr (std::is_same_v<T, bool>) sum |= other;
    else sum += other;
  }
  if (lane != 0 || number >= p.sums) return;
  const int64_t to = p.out.offset + at.out + part * p.part_stride;
  if (p.parts > 1) as<Sum<T>>(out)[to] = sum;
  else out[to] = T(sum);
}

}  // namespace

void multiply_directly(const DirectProduct& p, DType dtype, const Places& places) {
  with_type(dtype, [&]<class T>(T) {
    const Grid grid{dim3(unsigned(blocks_for(p.sums * p.lanes, kThreads)), unsigned(p.parts)), kThreads};
    launch("contract", direct<T>, grid, reinterpret_cast<const T*>(places.a), reinterpret_cast<const T*>(places.b),
           reinterpret_cast<T*>(places.out), p);
  });
}

}  // namespace tinyops::cuda
