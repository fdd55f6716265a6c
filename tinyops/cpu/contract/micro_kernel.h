#pragma once
// The inner loop of every large product: a tile of sums that stays in registers, while a packed panel of rows and some
// columns go by.
//
//                 column j: one element, in all lanes
//   panel     ┌───┬─────────────────┐
//   [r][row]  │ p │ sums: packets x │      for each r: `packets` packets of the panel, each times an element of every
//   r ──►     │ p │ columns         │      column: packets * columns multiply-adds for packets + columns loads
//             └───┴─────────────────┘
#include <algorithm>

#include "tinyops/cpu/packets.h"

namespace tinyops::cpu {

inline constexpr int kRegisters = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;
inline constexpr int kColumns = kRegisters >= 32 ? 8 : 4;  // columns that are packed together

/// Neighbouring columns whose sums fit the registers, beside the packets of a and one element of b.
constexpr int max_near(int packets) { return (kRegisters - 1 - packets) / packets; }

/// Columns anywhere: each has a pointer, which needs a register as well.
constexpr int max_far(int packets) { return std::min(kColumns, max_near(packets)); }

/// Near columns all follow the first in memory. Fresh ones are read for the first time, and so will be those that come
/// next: these are prefetched meanwhile, an element of each in turn.
enum class Columns { Near, Far, Fresh };

/// to[column][lane] = or += the products of a packed panel and some columns over n values of r. Static, so that one
/// that is called at one place becomes a part of its caller.
template <class T, int packets, int columns, Columns kind>
static void micro_kernel(int64_t n, const T* panel, const T* const* column, const T* const* next,
                         const int64_t* r_offset, T* const* to, bool add) {
  constexpr bool near = kind == Columns::Near;
  using P = Packets<T>;
  constexpr int width = packets * P::lanes;
  // [exercise 29
  typename P::Type sum[columns][packets];  // unrolled to the last, or GCC keeps it in memory
#pragma GCC unroll 32
  for (int j = 0; j < columns; ++j)
    for (int p = 0; p < packets; ++p) sum[j][p] = P::fill(0);
  const T* c[near ? 1 : columns];
  for (int j = 0; j < columns; ++j) {
    if (!near || j == 0) c[j] = column[j];
    // It will be there when it is written.
    for (int p = 0; p < packets; ++p) __builtin_prefetch(to[j] + p * P::lanes, 1);
  }
  for (int64_t r = 0; r < n; ++r, panel += width) {
    const int64_t at = r_offset[r];
    if constexpr (kind == Columns::Fresh) __builtin_prefetch(next[r % columns] + at);
    typename P::Type a[packets];
    for (int p = 0; p < packets; ++p) a[p] = P::load(panel + p * P::lanes);
#pragma GCC unroll 32
    for (int j = 0; j < columns; ++j) {
      const auto b = P::fill(near ? c[0][at + j] : c[near ? 0 : j][at]);
      for (int p = 0; p < packets; ++p) sum[j][p] = pmadd(a[p], b, sum[j][p]);
    }
  }
#pragma GCC unroll 32
  for (int j = 0; j < columns; ++j)
    for (int p = 0; p < packets; ++p) {
      T* out = to[j] + p * P::lanes;
      P::store(out, add ? padd(P::load(out), sum[j][p]) : sum[j][p]);
    }
  // exercise 29]
}

}  // namespace tinyops::cpu
