#pragma once
// How a row kernel will be run on this machine, decided once and without looking at the data.
//
// A kernel's axes are outer or inner. One kind becomes the lanes, which tiles are cut from; the other is stepped
// through. Whichever way memory is contiguous makes the lanes:
//
//   lanes = inner                          lanes = outer
//     block: one row, or a tile of short     block: up to a tile of rows, side by side
//            ones, one after the other
//     tile:  a stretch of the row, or all    tile:  one inner element of each of them, or where that is
//            of the short rows                      little, several (deep)
//     a row's value is one scalar            a row's value has one element a lane
//     softmax over the last axis             sum over columns, pooling windows, plain elementwise (one tile a block)
//
// A program with Reduces falls into stages. Stage s first computes the row values that need the totals of stage s-1,
// then walks all tiles of the block:
//
//   softmax     stage 0: m = max(x)    stage 1: e = exp(x - m); s = sum(e)    stage 2: out = e / s
//
// What a later stage reads again is kept for the whole block (e), except what comes straight from memory (x).
#include <vector>

#include "tinyops/common/stages.h"
#include "tinyops/cpu/tile.h"
#include "tinyops/cpu/operand_access.h"

namespace tinyops::cpu {

/// One thing to do with a tile, or with the values of a row.
struct Step {
  enum class Kind { Load, Constant, Op, Accumulate, Finish, Store } kind;
  /// The index of the instruction, which is its result's; of a Store, what it stores.
  int value;
  std::array<int, 3> args{-1, -1, -1};
  TileOp op = nullptr;
  unsigned single = 0;                 ///< bit i: argument i is one scalar, for the whole kernel or for a row
  bool row_by_row = false;             ///< that scalar is a row's, and a tile has several
  int operand = -1;                    ///< of a Load, the input; of a Store, the output; of the other two, which total
  int slot = -1;                       ///< where the result goes; -1: it is kept
  int through = -1;                    ///< the output whose memory the result may be computed straight into
  bool copied = false;                 ///< of a Load: its memory is overwritten while the value is still needed
};

struct PlannedValue {
  DType dtype = DType::Float32;  ///< it is computed in
  bool is_row = false;           ///< one scalar a row
  bool is_fixed = false;         ///< one scalar for the whole kernel
  bool in_lanes = false;         ///< a row's or the kernel's scalar that is needed in every lane
  int wide_slot = -1;            ///< where a row's then is
  int kept = -1;                 ///< where it is kept for later stages; -1: it is not
  int stage = 0;
};

struct PlannedOperand {
  const Operand* operand = nullptr;
  Input::Kind kind = Input::Kind::Memory;
  OperandAccess access;
  Block block;
  int first_form = 0;
  int64_t itemsize = 0;
  TileOp convert = nullptr;  ///< between memory and tile, for the 16-bit floats
};

struct Stage {
  std::vector<Step> rows, tiles;
};

struct RowPlan {
  explicit RowPlan(const RowKernel& kernel);
  /// Of the totals of a block: eight bytes each, in a full tile's lanes.
  int64_t totals_bytes() const { return int64_t(totals.size()) * tile * 8; }
  /// Looks up where the buffers' memory is now.
  void find_memory();

  const RowKernel& kernel;
  std::vector<AffineForm> forms;
  std::vector<AffineForm> row_forms;  ///< the same for what rows load and store: their lanes are the block's rows
  std::vector<PlannedOperand> inputs, outputs;
  std::vector<PlannedValue> values;
  std::vector<const TileReduction*> totals;
  std::vector<Step> constants;  ///< once a thread
  std::vector<Stage> stages;
  int slots = 0, kept = 0;
  int64_t value_bytes = 1;      ///< of the widest value
  bool stream = false;          ///< results are too big to stay in the cache
  bool prefetch = false;        ///< the operands are too big to be in a core's own cache already

  Shape lane_shape, fixed_shape;
  bool lanes_are_inner = false;
  bool packed = false;                     ///< short rows, several in a tile
  int64_t row_length = 0, block_rows = 1;  ///< where they are packed: elements of a row; and rows of a full block
  Dims box;                            ///< where tiles are boxes: their size in the first two lane axes ...
  Dims box_axes;                       ///< ... and which fixed axes count the boxes there
  bool deep = false;                   ///< a box is some inner elements by some rows
  int64_t tile = kTile;                ///< most elements of a tile, a whole number of steps
  int64_t period = 1, per_period = 1;  ///< tiles are cut from stretches of `period` lanes, `per_period` from each
  int64_t blocks = 1, tiles = 1;       ///< and tiles in a block
  int64_t chunks = 1;                  ///< parts of a block whose totals are put together afterwards
  int64_t work = 0;                    ///< roughly, in instructions on elements

  /// Which elements tile `t` of block `b` has. `region` starts with `lane_shape` as its lanes; `at` gets the value of
  /// every form at the tile's first element.
  void place(int64_t b, int64_t t, TileRegion& region, int64_t* at) const;

 private:
  bool is_elementwise() const;
  void plan_values(bool elementwise);
  void plan_axes(bool elementwise);
  void choose_lanes(const Shape& sizes, int outer, bool elementwise);
  void plan_stages();
  int squared(int sum) const;
  unsigned single_arguments(int value) const;
  void plan_slots(const std::vector<Step*>& steps, bool for_kept, SlotPool& pool);
  void plan_tiles(bool elementwise);
  void plan_deep_tiles(int64_t most);
  void plan_chunks(int64_t elements);
  void count_boxes();
  bool is_one_pass() const;
  bool reads_later(int output) const;
};

}  // namespace tinyops::cpu
