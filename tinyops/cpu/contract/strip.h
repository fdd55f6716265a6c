#pragma once
// A rectangle of a product's sums, [column][row], as the inner loop leaves it: what has to be known of it to store it,
// and to read other tensors in the same order.
#include <array>

#include "tinyops/cpu/contract/micro_kernel.h"
#include "tinyops/cpu/contract/packing.h"

namespace tinyops::cpu {

inline constexpr int64_t kStrip = 64;                     // columns whose sums wait together to be stored
inline constexpr int64_t kStripRoom = kStrip + kColumns;  // the inner loop may compute the last of them once more

/// Rows that are side by side in the lanes of a panel, from `lane` on.
struct Span {
  int64_t lane, first_row, rows;
};
struct RowSpans {
  int count = 0;
  std::array<Span, 4> span;
  const Span* begin() const { return span.data(); }
  const Span* end() const { return span.data() + count; }
};

struct Strip {
  int64_t batch;
  RowSpans rows;
  int64_t width, first_column, columns;
  /// Whether a column's rows are all of its lanes.
  bool is_full() const { return rows.count == 1 && rows.span[0].rows == width; }
};

/// Where the first element is of a batch of a tensor that goes with the sums.
template <class T>
T* start_of(const Product& p, const Companion& tensor, int64_t batch) {
  return at_batch(p, static_cast<T*>(tensor.memory) + tensor.offset, tensor.batch, batch);
}

/// How far from there the elements of a strip's rows are, by their lanes.
template <class T>
struct LaneOffsets {
  int64_t at[4 * Packets<T>::lanes];
  LaneOffsets(const Product& p, const Dims& rows, const Strip& strip) {
    for (const Span& s : strip.rows) offsets(p.rows, rows, s.first_row, s.rows, at + s.lane);
  }
};

/// And those of some columns: past the last one, the last once more.
inline void column_offsets(const Product& p, const Dims& columns, int64_t first, int64_t count, int64_t* to) {
  offsets(p.columns, columns, first, count, to);
  std::fill_n(to + count, kColumns, to[count - 1]);
}

/// Whether all rows, or all columns, have the same element.
inline bool stays(const Dims& strides) { return std::ranges::count(strides, 0) == strides.size(); }

template <class T>
void load_spans(const Strip& strip, T* tile, const T* from, const int64_t* lane, const int64_t* column,
                int64_t columns) {
  for (const Span& s : strip.rows)
    load_strip<false>(tile + s.lane, strip.width, from, lane + s.lane, s.rows, column, columns);
}
template <class T, class Out>
void store_spans(const Strip& strip, T* tile, Out* out, const int64_t* lane, const int64_t* column, bool add) {
  for (const Span& s : strip.rows)
    store_strip(tile + s.lane, strip.width, out, lane + s.lane, s.rows, column, strip.columns, add);
}

}  // namespace tinyops::cpu
