#pragma once
// The element operations of one tile: about a thousand elements that stay in the first-level cache while a program runs
// over them, one instruction after the other.
//
//   tile of a value   x x x x x x x x x x x x x x x x | x x x x ......... x . . .     a whole number of steps;
//                     <--------- one step --------->                      n  ^        what stands beyond n is
//                                                                            padding  computed and never looked at
//
// Whole steps, because a packet's exp and a single element's exp may differ in the last bit: no element ever takes the
// other path, wherever a tile begins or ends.
#include "tinyops/device.h"
#include "tinyops/base/scalar_ops.h"

namespace tinyops::cpu {

inline constexpr int64_t kTile = 1024;
inline constexpr int64_t kStep = 16;

inline int64_t whole_steps(int64_t n) { return (n + kStep - 1) / kStep * kStep; }

/// How a value lies in a tile: as it is computed. A bool is a byte, 0 or 1.
template <class T>
using InTile = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;

/// out[i] = f(a[i], b[i], c[i]) for n elements, n a whole number of steps. `out` may be one of the arguments if their
/// elements have one size.
using TileOp = void (*)(int64_t n, void* out, const void* a, const void* b, const void* c);

/// The operation of an instruction whose arguments have dtype `from` (for `Where`, its branches). Not for Load,
/// Constant and Reduce. Where bit i of `single` is set, argument i is one scalar for all elements: of a binary
/// operation one of the two may be, of `Where` the branches.
TileOp tile_op(const Instruction& instruction, DType from, unsigned single = 0);

/// Between memory and a tile: widening or rounding of the 16-bit floats, of any n; null where the bytes are the same.
TileOp conversion(DType stored, bool widen);

/// Each of `count` values `length` times: a a a b b b. Of one value, `to` may be `values`.
void spread_tile(DType dtype, void* to, int64_t count, int64_t length, const void* values);

// The total of a sum or a product of floats is a double, any other has the type of its elements; eight bytes hold it.
//
//   one row       x x x x x x x x  ->  t       the elements of a tile into one total
//   packed rows   x x x x | x x x x      ->  t t   each row of a tile into a total of its own
//   many rows     x x x x x x x x              element i of each of the tile's pieces into total i
//                 x x x x x x x x
//                 t t t t t t t t
//
// The order of the additions in a row depends on n alone, so the same values give the same bits at any address.
// n may be any number.
struct TileReduction {
  void (*reset)(int64_t n, void* totals);
  void (*packed)(int64_t count, int64_t n, void* totals, const void* values);  ///< `count` rows of n; one is a row
  void (*rows)(int64_t count, int64_t n, void* totals, const void* values);    ///< `count` elements of n rows
  void (*combine)(int64_t n, void* totals, const void* others);  ///< totals of two parts of a row
  void (*finish)(int64_t n, void* values, const void* totals);
};
const TileReduction& tile_reduction(ReduceOp op, DType dtype);

/// The same of the squares of float32 elements, each squared and added up in double: norms and variances ask for these,
/// as a float's square may leave its range.
const TileReduction& tile_sum_of_squares();

}  // namespace tinyops::cpu
