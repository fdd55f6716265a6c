#pragma once
// One operand along some of its axes, usually one, while the index along the others stands still: how everything reads
// and writes that is neither a row kernel nor the inner loop of a product.
//
//   axis ──►    index  x x x [ x x x x x ] x x     go_to(index), read(5, tile): five elements from `index` on, as they are
//                                                  computed (16-bit floats widened), 0 where a guard does not hold
#include <vector>

#include "tinyops/cpu/operand_access.h"
#include "tinyops/cpu/tile.h"

namespace tinyops::cpu {

/// Made before the threads start (a buffer's memory is reserved when it is first used), and copied by each of them. The
/// operand is kept by reference. `picked`: of a table that is indexed by data, the axis from which an element is
/// picked.
class AxisCursor {
 public:
  AxisCursor(const Operand& operand, const Dims& axes, int picked = -1);

  /// An index over all axes but perhaps the last, where it is then 0.
  void go_to(const Dims& index);

  /// n elements from there on, in row-major order over the axes; of 16-bit floats at most kTile, and `tile` has room
  /// for whole steps.
  void read(int64_t n, void* tile);
  void write(int64_t n, const void* tile);

  /// Between neighbours along the last of the axes.
  int64_t stride() const { return forms_[0].lane.back(); }
  /// Whether these differ at all.
  bool moves() const;
  /// Of elements [begin, end) along the one axis, narrowed to those that exist: the address of the first one at
  /// `index`, where the table's picked axis has the index `pick`.
  int64_t run(int64_t pick, int64_t& begin, int64_t& end) const;

 private:
  OperandAccess access() const { return {forms_.data(), int(forms_.size()), memory_, elements_, &block_}; }

  const View* view_;
  Dims axes_;
  int64_t itemsize_, elements_;
  char* memory_;
  TileOp widen_, round_;
  std::vector<AffineForm> forms_;  ///< `fixed` is the coefficient along the picked axis
  std::vector<int64_t> at_;        ///< their values at the index
  TileRegion region_;
  Block block_;                    ///< only without guards: what they see differs from index to index
};

/// The index of row `row` over `shape`; 0 along `axis` and `other`, which rows do not count.
Dims row_index(const Shape& shape, int64_t row, int axis = -1, int other = -1);

}  // namespace tinyops::cpu
