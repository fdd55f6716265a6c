// Sorting by radix: the values become unsigned keys of the same order, and places move by one byte of the key at a
// time, from the lowest to the highest. Equal bytes keep their order, so after the last byte all is in order.
//
//   key          key & ff       key >> 8
//   0x0302       0x0201  a      0x0102  b
//   0x0102  ──►  0x0302  b ──►  0x0201  c        two passes for a two-byte key
//   0x0201       0x0102         0x0302
//
// Rows are sorted by different threads. A long row is cut into parts: each thread counts the bytes of its part, the
// counts say where in the output the part's elements of each byte begin, and the parts are moved at the same time.
#include <utility>

#include "tinyops/common/sort_key.h"
#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/axis_cursor.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kPart = 1 << 15;     ///< of a long row
constexpr int64_t kShortRow = 128;     ///< below, comparing is faster than counting
constexpr int kBuckets = 256;

template <class Key>
struct Entry {
  Key key;
  int64_t place;
};

template <class Key>
using Entries = std::vector<Entry<Key>>;

/// Moves `from` to `to`, ordered by byte `byte` of the keys. Returns false, and moves nothing, if all have the same.
template <class Key>
bool move_by_byte(const Entries<Key>& from, Entries<Key>& to, int byte) {
  const int64_t n = int64_t(from.size()), parts = (n + kPart - 1) / kPart;
  std::vector<std::array<int64_t, kBuckets>> begin(static_cast<size_t>(parts));
  auto bucket = [&](const Entry<Key>& e) { return size_t(e.key >> (8 * byte) & 0xff); };
  parallel(parts, n, [&] {
    return [&](int64_t p) {
      begin[size_t(p)].fill(0);
      for (int64_t i = p * kPart; i < std::min(n, (p + 1) * kPart); ++i) ++begin[size_t(p)][bucket(from[size_t(i)])];
    };
  });
  int64_t position = 0;
  for (size_t b = 0; b < kBuckets; ++b) {
    const int64_t before = position;
    for (auto& counts : begin) position += std::exchange(counts[b], position);
    if (position - before == n) return false;
  }
  parallel(parts, 2 * n, [&] {
    return [&](int64_t p) {
      auto& next = begin[size_t(p)];
      for (int64_t i = p * kPart; i < std::min(n, (p + 1) * kPart); ++i)
        to[size_t(next[bucket(from[size_t(i)])]++)] = from[size_t(i)];
    };
  });
  return true;
}

template <class Key>
void sort_entries(Entries<Key>& entries, Entries<Key>& spare) {
  if (int64_t(entries.size()) < kShortRow) {
    std::ranges::stable_sort(entries, {}, &Entry<Key>::key);
    return;
  }
  spare.resize(entries.size());
  for (int byte = 0; byte < int(sizeof(Key)); ++byte)
    if (move_by_byte(entries, spare, byte)) std::swap(entries, spare);
}

template <class T>
void sort(const SortKernel& k) {
  using Key = std::conditional_t<sizeof(T) == 1, uint8_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>;
  const Shape& shape = k.in.view.shape;
  const int axis = shape.size() - 1;
  const int64_t n = shape.back(), rows = numel(shape) / n;

  const AxisCursor first_in(k.in, {axis}), first_out(k.out, {axis});
  auto sort_rows = [&](int64_t first, int64_t last) {
    AxisCursor in = first_in, out = first_out;
    Entries<Key> entries(static_cast<size_t>(n)), spare;
    InTile<T> values[kTile];
    int64_t places[kTile];
    for (int64_t row = first; row < last; ++row) {
      Dims index = row_index(shape, row, axis);
      for (index[axis] = 0; index[axis] < n; index[axis] += kTile) {
        const int64_t count = std::min(kTile, n - index[axis]);
        in.go_to(index), in.read(count, values);
        for (int64_t i = 0; i < count; ++i) {
          const Key key = sort_key<Key>(values[i]);
          entries[size_t(index[axis] + i)] = {k.descending ? Key(~key) : key, index[axis] + i};
        }
      }
      sort_entries(entries, spare);
      for (index[axis] = 0; index[axis] < n; index[axis] += kTile) {
        const int64_t count = std::min(kTile, n - index[axis]);
        for (int64_t i = 0; i < count; ++i) places[i] = entries[size_t(index[axis] + i)].place;
        out.go_to(index), out.write(count, places);
      }
    }
  };
  // Few long rows one after the other, all threads on one; else some rows to each thread.
  if (n > 2 * kPart) return sort_rows(0, rows);
  const int64_t together = std::max<int64_t>(1, kTile / n), pieces = (rows + together - 1) / together;
  parallel(pieces, 16 * n * rows, [&] {
    return [&](int64_t p) { sort_rows(p * together, std::min(rows, (p + 1) * together)); };
  });
}

}  // namespace

void run_kernel(const SortKernel& k) {
  if (k.in.view.numel() == 0) return;
  with_compute(k.in.dtype, [&]<class T>(T) { sort<T>(k); });
}

}  // namespace tinyops::cpu
