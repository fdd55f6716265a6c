#pragma once
// One operand along one of its axes, while the index along the others stands still: how kernels that are neither rows
// nor products read and write.
//
//   axis ──►    index  x x x [ x x x x x ] x x     read(index, 5, tile): five elements from `index` on, as they are
//                                                  computed (16-bit floats widened), 0 where a guard says no
#include <vector>

#include "tinyops/cpu/tile.h"
#include "tinyops/cpu/operand_access.h"

namespace tinyops::cpu {

/// Made before the threads start (a buffer's memory is reserved when it is first asked for), and used by all of them.
class AxisCursor {
 public:
  AxisCursor(const Operand& operand, int axis);

  /// At most kTile elements from `index` on; `tile` has room for whole steps.
  void read(const Dims& index, int64_t n, void* tile) const;
  void write(const Dims& index, int64_t n, const void* tile) const;

 private:
  /// Sets `at` to the forms' values at `index`.
  void locate(const Dims& index, int64_t* at) const;

  const View* view_;
  int64_t length_, itemsize_;
  TileOp widen_, round_;
  std::vector<AffineForm> forms_;
  OperandAccess access_;
};

}  // namespace tinyops::cpu
