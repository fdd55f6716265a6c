// Indexing by data: Gather, and its adjoint Scatter.
//
//   table 0 [ . . . . ]      index  2 0 2          gather: one copy for a run of elements that share an index
//         1 [ . . . . ]
//         2 [ . . . . ] ───► out [ row 2 | row 0 | row 2 ]
//
//   out   0 [ . . . . ] ◄─┐  scatter: every thread walks all of the source in order, and adds what falls into its
//         1 [ . . . . ]   │  part of the output. No atomics, and the same order of additions for any number of
//         ----- part -----│  threads. A part is one more guard: 0 <= address - first < size.
//         2 [ . . . . ] ◄─┴─ source
//
// Every index is checked before anything is written. Where no guard asks for more, a position costs a few additions
// (index_walk.h); what follows after that is for padded operands.
#include <cstring>

#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/index/index_walk.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/axis_cursor.h"

namespace tinyops::cpu {
namespace {

/// The indexed shape as rows along its last axis that is longer than 1.
struct IndexedRows {
  Shape shape;
  Dims axis;  ///< that one, or none
  int64_t length = 1, count = 1;

  explicit IndexedRows(const Shape& full) : shape(full) {
    for (int a = 0; a < full.size(); ++a)
      if (full[a] != 1) axis = {a}, length = full[a];
    count = length ? numel(full) / length : 0;
  }
  /// The index of an element, over all axes.
  Dims at(int64_t row, int64_t i) const {
    if (axis.empty()) return Dims::filled(shape.size(), 0);
    Dims index = row_index(shape, row, int(axis[0]));
    index[int(axis[0])] = i;
    return index;
  }
  /// Along a row; `operand` may have one axis more, from which the index picks.
  AxisCursor cursor(const Operand& operand) const {
    return {operand, axis, operand.view.rank() > shape.size() ? shape.size() : -1};
  }
};

class Indices {
 public:
  Indices(const Operand& operand, const IndexedRows& rows)
      : cursor_(rows.cursor(operand)), indices_(operand) {}

  void go_to(const Dims& index) { cursor_.go_to(index); }
  bool one_a_row() const { return !cursor_.moves(); }
  int64_t operator[](int64_t i) const {
    int64_t begin = i, end = i + 1;
    const int64_t address = cursor_.run(0, begin, end) + cursor_.stride() * i;
    return begin < end ? indices_[address] : 0;
  }

 private:
  AxisCursor cursor_;
  StoredIndices indices_;
};

/// Every index lies inside the axis it picks from, or nothing is done.
void check(const Operand& index, const IndexedRows& rows, int64_t size, const IndexOrigin& origin) {
  if (is_float(index.dtype)) fail(origin.op, ": an index of dtype ", index.dtype);
  Indices indices(index, rows);
  const int64_t last = indices.one_a_row() ? 1 : rows.length;
  for (int64_t row = 0; row < rows.count; ++row) {
    indices.go_to(rows.at(row, 0));
    for (int64_t i = 0; i < last; ++i)
      if (indices[i] < 0 || indices[i] >= size)
        fail_outside(origin, indices[i], rows.at(row, i), index.view.shape, size);
  }
}

/// to[begin * stride], ... for the elements of [first, last) that exist, 0 for the others.
template <class T>
void gather_run(T* to, int64_t to_stride, const AxisCursor& table, const T* memory, int64_t index, int64_t first,
                int64_t last) {
  int64_t begin = first, end = last;
  const int64_t address = table.run(index, begin, end);
  begin = std::min(begin, last), end = std::min(end, last);
  const T* from = begin < end ? memory + address : nullptr;  // an empty table has no memory to point into
  for (int64_t i = first; i < begin; ++i) to[i * to_stride] = T();
  if (to_stride == 1 && table.stride() == 1 && begin < end)
    std::memcpy(to + begin, from + begin, size_t(end - begin) * sizeof(T));
  else
    for (int64_t i = begin; i < end; ++i) to[i * to_stride] = from[i * table.stride()];
  for (int64_t i = std::max(begin, end); i < last; ++i) to[i * to_stride] = T();
}

template <class T>
void gather(const GatherKernel& k, const IndexWalk& walk) {
  const T* table = static_cast<const T*>(k.table.buffer->data());
  T* result = static_cast<T*>(k.out.buffer->data());
  const int64_t n = walk.length(), pick = walk.pick(), step = walk.stride(IndexWalk::kIndex);
  const int64_t from_step = walk.stride(IndexWalk::kPicked), to_step = walk.stride(IndexWalk::kOther);
  const StoredIndices indices(k.index);
  const auto row = [=](const IndexWalk::Addresses& at) {
    const T* from = table + at[IndexWalk::kPicked];
    T* to = result + at[IndexWalk::kOther];
    if (step != 0)
      return indices.visit(at[IndexWalk::kIndex], [=](const auto* index) {
        for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step + index[i * step] * pick];
      });
    from += indices[at[IndexWalk::kIndex]] * pick;
    if (from_step == 1 && to_step == 1) std::memcpy(to, from, size_t(n) * sizeof(T));
    else
      for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
  };
  const int64_t pieces = std::min<int64_t>(walk.rows(), 256);
  parallel(pieces, walk.rows() * (n + kStep), [&] {
    return [&](int64_t p) { walk.for_rows(walk.rows() * p / pieces, walk.rows() * (p + 1) / pieces, row); };
  });
}

template <class T>
void gather(const GatherKernel& k, const IndexedRows& rows) {
  const T* memory = static_cast<const T*>(k.table.buffer->data());
  T* result = static_cast<T*>(k.out.buffer->data());
  constexpr int64_t piece = 8;
  parallel((rows.count + piece - 1) / piece, rows.count * (rows.length + kStep), [&] {
    return [&, table = rows.cursor(k.table), out = rows.cursor(k.out), indices = Indices(k.index, rows)](
               int64_t p) mutable {
      for (int64_t row = p * piece; row < std::min(rows.count, (p + 1) * piece); ++row) {
        const Dims index = rows.at(row, 0);
        table.go_to(index), out.go_to(index), indices.go_to(index);
        int64_t begin = 0, end = rows.length;
        T* to = result + out.run(0, begin, end);
        if (indices.one_a_row()) gather_run(to, out.stride(), table, memory, indices[0], 0, rows.length);
        else
          for (int64_t i = 0; i < rows.length; ++i)
            gather_run(to, out.stride(), table, memory, indices[i], i, i + 1);
      }
    };
  });
}

/// What of a scatter its dtype and operation decide: all loops over elements. Where they run is the same for all.
struct ScatterLoops {
  bool is_wide;    ///< totals are wider than elements of the result, and have memory of their own
  int64_t total;   ///< bytes of one
  /// Of n totals: what they start from, and their results.
  void (*start)(void* totals, int64_t n);
  void (*round)(const void* totals, void* result, int64_t n);
  /// Adds n elements of `source` to totals that are `to_step` apart.
  void (*add)(void* totals, int64_t to_step, const void* source, int64_t from_step, int64_t n);
  /// Adds element i of `source` to the total at to + i * to_step + index[i] * pick, if that is in [first, last), whose
  /// totals these are.
  void (*add_each)(void* totals, int64_t first, int64_t last, int64_t to, int64_t to_step, const int64_t* index,
                   int64_t pick, const void* source, int64_t from_step, int64_t n);
};

template <class T, ReduceOp op>
ScatterLoops scatter_loops() {
  using W = Total<T, op>;
  return {.is_wide = !std::is_same_v<T, W>,
          .total = sizeof(W),
          .start = [](void* totals, int64_t n) { std::fill_n(static_cast<W*>(totals), n, identity<W>(op)); },
          .round =
              [](const void* totals, void* result, int64_t n) {
                const W* from = static_cast<const W*>(totals);
                std::transform(from, from + n, static_cast<T*>(result), [](W x) { return T(x); });
              },
          .add =
              [](void* totals, int64_t to_step, const void* source, int64_t from_step, int64_t n) {
                W* to = static_cast<W*>(totals);
                const T* from = static_cast<const T*>(source);
                for (int64_t i = 0; i < n; ++i)
                  to[i * to_step] = apply<W>(step(op), to[i * to_step], W(from[i * from_step]));
              },
          .add_each =
              [](void* totals, int64_t first, int64_t last, int64_t to, int64_t to_step, const int64_t* index,
                 int64_t pick, const void* source, int64_t from_step, int64_t n) {
                const T* from = static_cast<const T*>(source);
                for (int64_t i = 0; i < n; ++i)
                  if (const int64_t at = to + i * to_step + index[i] * pick; at >= first && at < last) {
                    W& total = static_cast<W*>(totals)[at - first];
                    total = apply<W>(step(op), total, W(from[i * from_step]));
                  }
              }};
}

using RowsOfParts = std::vector<std::vector<IndexWalk::Addresses>>;

/// Where a row has one index, the rows that fall into each of the parts [0, length), [length, 2 length), .. of a result
/// of `size` elements. Nothing if a row falls into two, or there are too many to note down.
std::optional<RowsOfParts> rows_of_parts(const ScatterKernel& k, const IndexWalk& walk, int64_t size, int64_t length) {
  constexpr int64_t kMostRows = 1 << 24;
  if (walk.rows() > kMostRows) return std::nullopt;
  RowsOfParts result(size_t((size + length - 1) / length));
  const int64_t reach = (walk.length() - 1) * walk.stride(IndexWalk::kPicked);
  bool apart = true;
  const StoredIndices indices(k.index);
  walk.for_rows(0, walk.rows(), [&](const IndexWalk::Addresses& at) {
    const int64_t begin = at[IndexWalk::kPicked] + indices[at[IndexWalk::kIndex]] * walk.pick();
    apart &= begin / length == (begin + reach) / length;
    result[size_t(begin / length)].push_back(at);
  });
  if (!apart) return std::nullopt;
  return result;
}

/// Adds what of a row falls into [first, last) of the result to `totals`, which are of this part.
void scatter_row(const ScatterKernel& k, const ScatterLoops& loops, const StoredIndices& indices, const IndexWalk& walk,
                 const IndexWalk::Addresses& at, char* totals, int64_t first, int64_t last) {
  const int64_t n = walk.length(), pick = walk.pick(), step = walk.stride(IndexWalk::kIndex);
  const int64_t to = at[IndexWalk::kPicked], to_step = walk.stride(IndexWalk::kPicked);
  const int64_t from_step = walk.stride(IndexWalk::kOther);
  const char* const memory = static_cast<const char*>(k.source.buffer->data());
  const auto source = [&](int64_t i) {
    return memory + (at[IndexWalk::kOther] + i * from_step) * itemsize(k.source.dtype);
  };
  if (step == 0) {
    int64_t begin = 0, end = n;
    const int64_t row = to + indices[at[IndexWalk::kIndex]] * pick - first;
    clip(row, to_step, last - first, begin, end);
    if (begin < end)
      loops.add(totals + (row + begin * to_step) * loops.total, to_step, source(begin), from_step, end - begin);
    return;
  }
  indices.for_pieces(at[IndexWalk::kIndex], step, n, [&](int64_t begin, int64_t end, const int64_t* index) {
    loops.add_each(totals, first, last, to + begin * to_step, to_step, index, pick, source(begin), from_step,
                   end - begin);
  });
}

/// The threads share an axis whose positions never meet. Where there is none, each walks everything for a part of the
/// result.
/// Totals that the result itself is too narrow for wait in memory of their own: in that of a thread, a part after the
/// other that fits its cache, where positions of the axis, or rows, have parts of the result to themselves.
void scatter(const ScatterKernel& k, const ScatterLoops& loops, const IndexWalk& walk) {
  const StoredIndices indices(k.index);
  const int64_t part_size = (128 << 10) / loops.total, element = itemsize(k.out.dtype);
  char* const result = static_cast<char*>(k.out.buffer->data());
  const int64_t size = int64_t(k.out.buffer->bytes()) / element, steps = size + walk.rows() * (walk.length() + kStep);
  const int64_t parts = steps < kWorthThreads ? 1 : threads();
  const auto add_row = [&](const IndexWalk& of, const IndexWalk::Addresses& at, char* totals, int64_t first,
                           int64_t last) { scatter_row(k, loops, indices, of, at, totals, first, last); };
  const auto add_rows = [&](const IndexWalk& of, char* totals, int64_t first, int64_t last) {
    of.for_rows(0, of.rows(), [&](const IndexWalk::Addresses& at) { add_row(of, at, totals, first, last); });
  };
  // Elements [first, last) of the result; `add` adds to their totals, which are in `room` if they are wide.
  const auto do_part = [&](std::vector<char>& room, int64_t first, int64_t last, auto&& add) {
    if (loops.is_wide) room.resize(size_t((last - first) * loops.total));
    char* const to = result + first * element;
    char* const totals = loops.is_wide ? room.data() : to;
    loops.start(totals, last - first);
    add(totals);
    if (loops.is_wide) loops.round(totals, to, last - first);
  };
  const std::optional<int> axis = walk.independent_axis();
  if (axis && walk.size(*axis) >= parts && walk.divides(*axis, size)) {
    const int64_t n = walk.size(*axis), pieces = std::min(n, std::max(parts, size / part_size));
    return parallel(pieces, steps, [&] {
      return [&, n, pieces, room = std::vector<char>()](int64_t p) mutable {
        const int64_t begin = n * p / pieces, end = n * (p + 1) / pieces;
        const int64_t first = size / n * begin, last = size / n * end;
        do_part(room, first, last,
                [&](char* totals) { add_rows(walk.part(*axis, begin, end), totals, first, last); });
      };
    });
  }
  const int64_t length = std::max<int64_t>(1, part_size / std::max<int64_t>(walk.pick(), 1)) * walk.pick();
  if (loops.is_wide && size > part_size && length > 0 && walk.stride(IndexWalk::kIndex) == 0)
    if (const auto rows = rows_of_parts(k, walk, size, length))
      return parallel(int64_t(rows->size()), steps, [&] {
        return [&, room = std::vector<char>()](int64_t p) mutable {
          const int64_t first = p * length, last = std::min(size, first + length);
          do_part(room, first, last, [&](char* totals) {
            for (const auto& at : (*rows)[size_t(p)]) add_row(walk, at, totals, first, last);
          });
        };
      });
  Buffer wide(loops.is_wide ? size_t(size * loops.total) : 0);
  char* const totals = loops.is_wide ? static_cast<char*>(wide.data()) : result;
  const auto in_parts = [&](auto&& part_of) {
    parallel(parts, steps, [&] { return [&](int64_t p) { part_of(size * p / parts, size * (p + 1) / parts, p); }; });
  };
  const auto at = [&](int64_t i) { return totals + i * loops.total; };
  in_parts([&](int64_t first, int64_t last, int64_t) { loops.start(at(first), last - first); });
  if (axis && walk.size(*axis) >= parts)
    in_parts([&](int64_t, int64_t, int64_t p) {
      const int64_t n = walk.size(*axis);
      add_rows(walk.part(*axis, n * p / parts, n * (p + 1) / parts), totals, 0, size);
    });
  else in_parts([&](int64_t first, int64_t last, int64_t) { add_rows(walk, at(first), first, last); });
  if (loops.is_wide)
    in_parts([&](int64_t first, int64_t last, int64_t) {
      loops.round(at(first), result + first * element, last - first);
    });
}

void scatter(const ScatterKernel& k, const ScatterLoops& loops, const IndexedRows& rows) {
  const int64_t element = itemsize(k.out.dtype);
  const char* const memory = static_cast<const char*>(k.source.buffer->data());
  char* const result = static_cast<char*>(k.out.buffer->data());
  const int64_t size = int64_t(k.out.buffer->bytes()) / element, steps = size + rows.count * (rows.length + kStep);
  Buffer wide(loops.is_wide ? size_t(size * loops.total) : 0);  // totals that the result itself is too narrow for
  char* const totals = loops.is_wide ? static_cast<char*>(wide.data()) : result;
  const int64_t parts = steps < kWorthThreads ? 1 : threads();
  parallel(parts, steps, [&] {
    return [&, source = rows.cursor(k.source), out = rows.cursor(k.out), indices = Indices(k.index, rows)](
               int64_t part) mutable {
      const int64_t first = size * part / parts, last = size * (part + 1) / parts;
      loops.start(totals + first * loops.total, last - first);
      for (int64_t row = 0; row < rows.count; ++row) {
        const Dims position = rows.at(row, 0);
        source.go_to(position), out.go_to(position), indices.go_to(position);
        int64_t present = 0, present_end = rows.length;  // where the source's guards hold; elsewhere it adds nothing
        const int64_t from = source.run(0, present, present_end);
        auto add = [&](int64_t index, int64_t begin, int64_t end) {
          begin = std::max(begin, present), end = std::min(end, present_end);
          const int64_t address = out.run(index, begin, end);
          clip(address - first, out.stride(), last - first, begin, end);
          if (begin < end)  // of padding alone there is no memory
            loops.add(totals + (address + begin * out.stride()) * loops.total, out.stride(),
                      memory + (from + begin * source.stride()) * element, source.stride(), end - begin);
        };
        if (indices.one_a_row()) add(indices[0], 0, rows.length);
        else
          for (int64_t i = 0; i < rows.length; ++i) add(indices[i], i, i + 1);
      }
      if (loops.is_wide) loops.round(totals + first * loops.total, result + first * element, last - first);
    };
  });
}

/// Calls f with a zero of an integer of this many bytes: elements that only move are bits.
template <class F>
void with_width(int64_t bytes, F&& f) {
  if (bytes == 1) f(uint8_t{});
  else if (bytes == 2) f(uint16_t{});
  else if (bytes == 4) f(uint32_t{});
  else f(uint64_t{});
}

}  // namespace

void run_kernel(const GatherKernel& k) {
  const IndexedRows rows(k.out.view.shape);
  if (rows.count == 0) return;
  const std::optional<IndexWalk> walk = is_float(k.index.dtype) ? std::nullopt : IndexWalk::of(k.index, k.table, k.out);
  if (!walk || !walk->all_inside(k.index)) check(k.index, rows, k.table.view.shape.back(), k.origin);
  with_width(itemsize(k.out.dtype), [&]<class T>(T) { walk ? gather<T>(k, *walk) : gather<T>(k, rows); });
}

void run_kernel(const ScatterKernel& k) {
  const IndexedRows rows(k.source.view.shape);
  const std::optional<IndexWalk> walk =
      is_float(k.index.dtype) ? std::nullopt : IndexWalk::of(k.index, k.out, k.source);
  if (rows.count > 0 && (!walk || !walk->all_inside(k.index))) check(k.index, rows, k.out.view.shape.back(), k.origin);
  if (k.out.buffer->bytes() == 0) return;
  const ScatterLoops loops = with_type(k.out.dtype, [&]<class T>(T) {
    return with_op(k.op, [](auto op) { return scatter_loops<T, op>(); });
  });
  walk ? scatter(k, loops, *walk) : scatter(k, loops, rows);
}

}  // namespace tinyops::cpu
