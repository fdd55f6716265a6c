#pragma once
// The inner loop of a product of few columns, which would not repay packing the rows: they are read where they stand.
#include <algorithm>

#include "tinyops/cpu/packets.h"

namespace tinyops::cpu {

/// to[j] = sum over r of the packets of neighbours at row[p] + row_offset[r], times the element at column[j] +
/// r_offset[r]. `finish` is called with what calls a function with all sums while they are in registers.
template <class T, int packets, int columns>
static void micro_kernel_in_place(int64_t n, const T* const* row, const int64_t* row_offset, const T* const* column,
                                  const int64_t* r_offset, T* const* to, const auto& finish) {
  using P = Packets<T>;
  typename P::Type sum[columns][packets];
  const auto for_all = [&](auto&& f) {
#pragma GCC unroll 32
    for (int j = 0; j < columns; ++j)
      for (int p = 0; p < packets; ++p) f(sum[j][p], j, p * P::lanes);
  };
  for_all([&](auto& x, int j, int lane) {
    x = P::fill(0);
    __builtin_prefetch(to[j] + lane, 1);
  });
  const T* c[columns];
  const T* a[packets];
  std::copy_n(column, columns, c), std::copy_n(row, packets, a);
  for (int64_t r = 0; r < n; ++r) {
    typename P::Type x[packets];
    for (int p = 0; p < packets; ++p) x[p] = P::load(a[p] + row_offset[r]);
#pragma GCC unroll 32
    for (int j = 0; j < columns; ++j) {
      const auto b = P::fill(c[j][r_offset[r]]);
      for (int p = 0; p < packets; ++p) sum[j][p] = pmadd(x[p], b, sum[j][p]);
    }
  }
  finish(for_all);
  for_all([&](auto& x, int j, int lane) { P::store(to[j] + lane, x); });
}

}  // namespace tinyops::cpu
