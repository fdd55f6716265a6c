#pragma once
// How a tile meets memory. The elements of a tile are a stretch of a few axes, the lanes, taken in row-major order;
// along the last lane axis a view moves in a straight line, so a tile is filled and emptied run by run:
//
//   lanes (3, 5)     a b c d e         tile of 8 from index (0, 3):   d e | f g h i j | k
//                    f g h i j                                        run    run       run
//                    k l m n o
//
// Padding costs nothing an element: each guard is a straight line too, so it leaves of a run one interval [low, high)
// that is read, and zeros before and after it.
#include <algorithm>
#include <vector>

#include "tinyops/device.h"

namespace tinyops::cpu {

/// One affine form of a view, the address or a guard's position, cut into the axes that are lanes and those held fixed
/// while a tile is processed.
struct AffineForm {
  Dims lane, fixed;
  int64_t offset = 0;
  int64_t size = 0;  ///< of a guard: it holds where 0 <= position < size
};

/// What one operand of a kernel looks like to a loop over tiles: its address, then its guards.
struct OperandAccess {
  const AffineForm* forms = nullptr;
  int count = 1;
  char* memory = nullptr;
  int64_t elements = 0;  ///< of the buffer, for the checked build
  const struct Block* block = nullptr;  ///< through which tiles of these lanes are read; perhaps none
};

/// Where a tile is.
struct TileRegion {
  Shape lanes;      ///< the axes it runs over, at least one
  Dims start;       ///< its first element's index in them
  int64_t n = 0;    ///< how many elements it has
};

/// For the checked build: elements `first` and `last`, and so all between them, are inside a buffer of `elements`.
inline void check_inside([[maybe_unused]] int64_t first, [[maybe_unused]] int64_t last,
                         [[maybe_unused]] int64_t elements) {
#ifdef TEENY_CHECKED
  if (std::min(first, last) < 0 || std::max(first, last) >= elements)
    fail("cpu: elements ", first, " to ", last, " are not all inside a buffer of ", elements);
#endif
}

inline constexpr int kMaxForms = 32;  ///< of one operand

inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/// Narrows [low, high) to the i where 0 <= position + step * i < size.
inline void clip(int64_t position, int64_t step, int64_t size, int64_t& low, int64_t& high) {
  // [exercise 27
  if (step == 0) {
    if (position < 0 || position >= size) high = low;
  } else if (step == 1) {
    low = std::max(low, -position);
    high = std::min(high, size - position);
  } else if (step > 0) {
    low = std::max(low, -floor_div(position, step));
    high = std::min(high, floor_div(size - 1 - position, step) + 1);
  } else {
    low = std::max(low, -floor_div(size - 1 - position, -step));
    high = std::min(high, floor_div(position, -step) + 1);
  }
  high = std::max(low, high);
  // exercise 27]
}

/// Calls `run(done, length, low, high, address)` for each run: it fills elements [done, done + length) of the tile, of
/// which only [done + low, done + high) exist; `address` is the (perhaps missing) first one's. `at` has the values of
/// the access's forms at the tile's first element.
template <class Run>
void for_each_run(const OperandAccess& access, const int64_t* at, const TileRegion& region, Run&& run) {
  const int last = region.lanes.size() - 1;
  const AffineForm* forms = access.forms;
  int64_t value[kMaxForms];
  std::copy_n(at, access.count, value);
  Dims index = region.start;
  int64_t begin = index[last];  // of the run in its row
  for (int64_t done = 0;;) {
    // Rows that follow each other along the axis before the last: only positions change, by a step each.
    for (int64_t rows = last > 0 ? region.lanes[last - 1] - index[last - 1] : 1; rows > 0; --rows) {
      const int64_t length = std::min(region.n - done, region.lanes[last] - begin);
      int64_t low = 0, high = length;
      for (int f = 1; f < access.count; ++f) clip(value[f], forms[f].lane[last], forms[f].size, low, high);
      run(done, length, std::min(low, length), std::min(high, length), value[0]);
      done += length;
      if (done == region.n) return;
      for (int f = 0; f < access.count; ++f) value[f] += forms[f].lane[last - 1] - forms[f].lane[last] * begin;
      begin = 0;
    }
    index[last - 1] = region.lanes[last - 1];
    for (int a = last - 1; a > 0 && index[a] == region.lanes[a]; --a) {
      for (int f = 0; f < access.count; ++f) value[f] += forms[f].lane[a - 1] - forms[f].lane[a] * region.lanes[a];
      index[a] = 0, ++index[a - 1];
    }
  }
}

/// The last lane axes, where they are too short to make a run worth its while, and as many rows of them as fit: where
/// each of their elements lies, from the first one. A tile is then a few blocks, each read through this table.
///
///   lanes (.., 9, 3), strides (.., 10, 2)      offset = 0 2 4  10 12 14  20 22 24  ...      a block: any few rows
///   lanes (.., 4, 4), padded by 1 all around   keep   = 0 0 0 0  0 1 1 0  0 1 1 0  0 0 0 0
///
/// Guards along these axes must look the same in every block, so they see no other axis; those along others say of a
/// block as a whole whether it is there.
struct Block {
  static constexpr int64_t kMost = 256, kShort = 16, kShortGuarded = 32;
  int axes = 0;       ///< how many make a row; 0 where runs serve better
  int64_t row = 1;    ///< its elements
  int64_t rows = 1;   ///< at most, in one block
  std::vector<int32_t> offset;  ///< of an element that does not exist, the one of some that does
  std::vector<int32_t> keep;    ///< all bits of it, or none where a guard says no; empty where all exist
  std::vector<int> outside;     ///< the guards along other axes

  Block() = default;
  Block(const AffineForm* forms, int count, const Shape& lanes);

 private:
  bool find_guards(const AffineForm* forms, int count, const Shape& lanes);
};

/// Calls `run(done, length, first, address, present)`: elements [done, done + length) of the tile are the block's
/// elements [first, first + length), and `address` is that of the block's beginning.
template <class Run>
void for_each_block(const Block& block, const OperandAccess& access, const int64_t* at, const TileRegion& region,
                    Run&& run) {
  const int outer = region.lanes.size() - block.axes, last = outer - 1;
  const AffineForm* forms = access.forms;
  Dims index = region.start;
  int64_t first = 0, value[kMaxForms];
  std::copy_n(at, access.count, value);
  const auto move = [&](int a, int64_t steps) {
    value[0] += forms[0].lane[a] * steps;
    for (int f : block.outside) value[f] += forms[f].lane[a] * steps;
  };
  const int64_t *const lanes = region.lanes.begin(), *const start = region.start.begin();
  for (int a = outer; a < region.lanes.size(); ++a) first = first * lanes[a] + start[a], move(a, -start[a]);
  for (int64_t done = 0;;) {
    const int64_t rows = last < 0 ? 1 : std::min(block.rows, region.lanes[last] - index[last]);
    const int64_t length = std::min(region.n - done, rows * block.row - first);
    bool present = true;
    for (int f : block.outside) present &= value[f] >= 0 && value[f] < forms[f].size;
    if (present && access.memory)  // a constant has none
      for (int64_t i = first; i < first + length; ++i)
        check_inside(value[0] + block.offset[size_t(i)], value[0] + block.offset[size_t(i)], access.elements);
    run(done, length, first, value[0], present);
    done += length, first = 0;
    if (done == region.n || last < 0) return;
    index[last] += rows, move(last, rows);
    for (int a = last; a > 0 && index[a] == region.lanes[a]; --a) {
      move(a, -region.lanes[a]), move(a - 1, 1);
      index[a] = 0, ++index[a - 1];
    }
  }
}

/// The tile's elements where they stand in memory, if they stand there one after the other; else null.
char* in_place(const OperandAccess& access, const int64_t* at, const TileRegion& region, int64_t itemsize);

/// Copies the tile's elements, `itemsize` bytes each, to `tile`; 0 where a guard says no.
void gather(const OperandAccess& access, const int64_t* at, const TileRegion& region, int64_t itemsize, void* tile);

/// The reverse. `stream` goes around the processor's cache: for results too big to still be there when they are read.
void scatter(const OperandAccess& access, const int64_t* at, const TileRegion& region, int64_t itemsize,
             const void* tile, bool stream);

/// Makes streamed stores visible to other threads.
void finish_streaming();

}  // namespace tinyops::cpu
