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
      : cursor_(rows.cursor(operand)), dtype_(operand.dtype), memory_(operand.buffer->data()) {}

  void go_to(const Dims& index) { cursor_.go_to(index); }
  bool one_a_row() const { return !cursor_.moves(); }
  int64_t operator[](int64_t i) const {
    int64_t begin = i, end = i + 1;
    const int64_t address = cursor_.run(0, begin, end) + cursor_.stride() * i;
    if (begin >= end) return 0;
    if (dtype_ == DType::Int64) return static_cast<const int64_t*>(memory_)[address];
    if (dtype_ == DType::Int32) return static_cast<const int32_t*>(memory_)[address];
    return static_cast<const uint8_t*>(memory_)[address];
  }

 private:
  AxisCursor cursor_;
  DType dtype_;
  const void* memory_;
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
  with_indices(k.index, [&](const auto* indices) {
    const auto row = [=](const IndexWalk::Addresses& at) {
      const auto* index = indices + at[IndexWalk::kIndex];
      const T* from = table + at[IndexWalk::kPicked];
      T* to = result + at[IndexWalk::kOther];
      if (step != 0)
        for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step + index[i * step] * pick];
      else if (from += *index * pick; from_step == 1 && to_step == 1) std::memcpy(to, from, size_t(n) * sizeof(T));
      else
        for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
    };
    const int64_t pieces = std::min<int64_t>(walk.rows(), 256);
    parallel(pieces, walk.rows() * (n + kStep), [&] {
      return [&](int64_t p) { walk.for_rows(walk.rows() * p / pieces, walk.rows() * (p + 1) / pieces, row); };
    });
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

/// Adds what falls into [first, last) of the result to `totals`, which are of this part. `for_rows` walks the rows.
template <class T, ReduceOp op, class W, class Rows>
void scatter(const ScatterKernel& k, const IndexWalk& walk, Rows&& for_rows, W* totals, int64_t first, int64_t last) {
  const T* memory = static_cast<const T*>(k.source.buffer->data());
  const int64_t n = walk.length(), pick = walk.pick(), step = walk.stride(IndexWalk::kIndex);
  const int64_t to_step = walk.stride(IndexWalk::kPicked), from_step = walk.stride(IndexWalk::kOther);
  with_indices(k.index, [&](const auto* indices) {
    for_rows([&](const IndexWalk::Addresses& at) {
      const auto* index = indices + at[IndexWalk::kIndex];
      const T* from = memory + at[IndexWalk::kOther];
      const int64_t to = at[IndexWalk::kPicked];
      const auto add = [&](int64_t address, int64_t i) {
        W& total = totals[address - first];
        total = apply<W>(tinyops::step(op), total, W(from[i * from_step]));
      };
      if (step == 0) {
        int64_t begin = 0, end = n;
        const int64_t row = to + *index * pick;
        clip(row - first, to_step, last - first, begin, end);
        for (int64_t i = begin; i < end; ++i) add(row + i * to_step, i);
        return;
      }
      for (int64_t i = 0; i < n; ++i)
        if (const int64_t address = to + i * to_step + index[i * step] * pick; address >= first && address < last)
          add(address, i);
    });
  });
}

template <class T, ReduceOp op, class W>
void scatter(const ScatterKernel& k, const IndexWalk& walk, W* totals, int64_t first, int64_t last) {
  scatter<T, op>(k, walk, [&](auto&& row) { walk.for_rows(0, walk.rows(), row); }, totals, first, last);
}

/// Elements [first, last) of the result: its totals, in `room` if the result itself is too narrow for them, and rounded.
template <class T, ReduceOp op, class Rows>
void scatter_part(const ScatterKernel& k, const IndexWalk& walk, Rows&& for_rows, std::vector<Total<T, op>>& room,
                  int64_t first, int64_t last) {
  using W = Total<T, op>;
  T* result = static_cast<T*>(k.out.buffer->data()) + first;
  W* totals;
  if constexpr (std::is_same_v<T, W>) totals = result;
  else room.resize(size_t(last - first)), totals = room.data();
  std::fill_n(totals, last - first, identity<W>(op));
  scatter<T, op>(k, walk, for_rows, totals, first, last);
  if constexpr (!std::is_same_v<T, W>)
    std::transform(totals, totals + (last - first), result, [](W x) { return T(x); });
}

using RowsOfParts = std::vector<std::vector<IndexWalk::Addresses>>;

/// Where a row has one index, the rows that fall into each of the parts [0, length), [length, 2 length), .. of a result
/// of `size` elements. Nothing if a row falls into two.
std::optional<RowsOfParts> rows_of_parts(const ScatterKernel& k, const IndexWalk& walk, int64_t size, int64_t length) {
  RowsOfParts result(size_t((size + length - 1) / length));
  const int64_t reach = (walk.length() - 1) * walk.stride(IndexWalk::kPicked);
  bool apart = true;
  with_indices(k.index, [&](const auto* indices) {
    walk.for_rows(0, walk.rows(), [&](const IndexWalk::Addresses& at) {
      const int64_t begin = at[IndexWalk::kPicked] + indices[at[IndexWalk::kIndex]] * walk.pick();
      apart &= begin / length == (begin + reach) / length;
      result[size_t(begin / length)].push_back(at);
    });
  });
  if (!apart) return std::nullopt;
  return result;
}

/// The threads share an axis whose positions never meet. Where there is none, each walks everything for a part of the
/// result.
/// Totals that the result itself is too narrow for wait in memory of their own: in that of a thread, a part after the
/// other that fits its cache, where positions of the axis, or rows, have parts of the result to themselves.
template <class T, ReduceOp op>
void scatter(const ScatterKernel& k, const IndexWalk& walk) {
  using W = Total<T, op>;
  constexpr bool is_wide = !std::is_same_v<T, W>;
  constexpr int64_t kPart = (128 << 10) / sizeof(W);
  T* result = static_cast<T*>(k.out.buffer->data());
  const int64_t size = int64_t(k.out.buffer->bytes() / sizeof(T)), steps = size + walk.rows() * (walk.length() + kStep);
  const int64_t parts = steps < kWorthThreads ? 1 : threads();
  const std::optional<int> axis = walk.independent_axis();
  if (axis && walk.size(*axis) >= parts && walk.divides(*axis, size)) {
    const int64_t n = walk.size(*axis), pieces = std::min(n, std::max(parts, size / kPart));
    return parallel(pieces, steps, [&] {
      return [&, n, pieces, room = std::vector<W>()](int64_t p) mutable {
        const int64_t begin = n * p / pieces, end = n * (p + 1) / pieces;
        const IndexWalk part = walk.part(*axis, begin, end);
        const auto for_rows = [&](auto&& row) { part.for_rows(0, part.rows(), row); };
        scatter_part<T, op>(k, part, for_rows, room, size / n * begin, size / n * end);
      };
    });
  }
  const int64_t length = std::max<int64_t>(1, kPart / std::max<int64_t>(walk.pick(), 1)) * walk.pick();
  if constexpr (is_wide)
    if (size > kPart && length > 0 && walk.stride(IndexWalk::kIndex) == 0)
      if (const auto rows = rows_of_parts(k, walk, size, length))
        return parallel(int64_t(rows->size()), steps, [&] {
          return [&, room = std::vector<W>()](int64_t p) mutable {
            const auto for_rows = [&](auto&& row) { std::ranges::for_each((*rows)[size_t(p)], row); };
            scatter_part<T, op>(k, walk, for_rows, room, p * length, std::min(size, (p + 1) * length));
          };
        });
  Buffer wide(is_wide ? size_t(size) * sizeof(W) : 0);
  W* totals = reinterpret_cast<W*>(is_wide ? wide.data() : static_cast<void*>(result));
  const auto in_parts = [&](auto&& part_of) {
    parallel(parts, steps, [&] { return [&](int64_t p) { part_of(size * p / parts, size * (p + 1) / parts, p); }; });
  };
  in_parts([&](int64_t first, int64_t last, int64_t) { std::fill(totals + first, totals + last, identity<W>(op)); });
  if (axis && walk.size(*axis) >= parts)
    in_parts([&](int64_t, int64_t, int64_t p) {
      const int64_t n = walk.size(*axis);
      scatter<T, op>(k, walk.part(*axis, n * p / parts, n * (p + 1) / parts), totals, 0, size);
    });
  else in_parts([&](int64_t first, int64_t last, int64_t) { scatter<T, op>(k, walk, totals + first, first, last); });
  if constexpr (is_wide)
    in_parts([&](int64_t first, int64_t last, int64_t) {
      std::transform(totals + first, totals + last, result + first, [](W x) { return T(x); });
    });
}

template <class T, ReduceOp op>
void scatter(const ScatterKernel& k, const IndexedRows& rows) {
  using W = Total<T, op>;
  const T* memory = static_cast<const T*>(k.source.buffer->data());
  T* result = static_cast<T*>(k.out.buffer->data());
  const int64_t size = int64_t(k.out.buffer->bytes() / sizeof(T)), steps = size + rows.count * (rows.length + kStep);
  Buffer wide(std::is_same_v<T, W> ? 0 : size_t(size) * sizeof(W));  // totals that the result itself is too narrow for
  W* totals = reinterpret_cast<W*>(std::is_same_v<T, W> ? static_cast<void*>(result) : wide.data());
  const int64_t parts = steps < kWorthThreads ? 1 : threads();
  parallel(parts, steps, [&] {
    return [&, source = rows.cursor(k.source), out = rows.cursor(k.out), indices = Indices(k.index, rows)](
               int64_t part) mutable {
      const int64_t first = size * part / parts, last = size * (part + 1) / parts;
      std::fill(totals + first, totals + last, identity<W>(op));
      for (int64_t row = 0; row < rows.count; ++row) {
        const Dims position = rows.at(row, 0);
        source.go_to(position), out.go_to(position), indices.go_to(position);
        int64_t present = 0, present_end = rows.length;  // where the source's guards hold; elsewhere it adds nothing
        const int64_t from = source.run(0, present, present_end);  // no pointer: of padding alone there is no memory
        auto add = [&](int64_t index, int64_t begin, int64_t end) {
          begin = std::max(begin, present), end = std::min(end, present_end);
          const int64_t address = out.run(index, begin, end);
          clip(address - first, out.stride(), last - first, begin, end);
          for (int64_t i = begin; i < end; ++i) {
            W& total = totals[address + i * out.stride()];
            total = apply<W>(step(op), total, W(memory[from + i * source.stride()]));
          }
        };
        if (indices.one_a_row()) add(indices[0], 0, rows.length);
        else
          for (int64_t i = 0; i < rows.length; ++i) add(indices[i], i, i + 1);
      }
      if constexpr (!std::is_same_v<T, W>)
        std::transform(totals + first, totals + last, result + first, [](W x) { return T(x); });
    };
  });
}

}  // namespace

void run_kernel(const GatherKernel& k) {
  const IndexedRows rows(k.out.view.shape);
  if (rows.count == 0) return;
  const std::optional<IndexWalk> walk = is_float(k.index.dtype) ? std::nullopt : IndexWalk::of(k.index, k.table, k.out);
  if (!walk || !walk->all_inside(k.index)) check(k.index, rows, k.table.view.shape.back(), k.origin);
  with_type(k.out.dtype, [&]<class T>(T) { walk ? gather<T>(k, *walk) : gather<T>(k, rows); });
}

void run_kernel(const ScatterKernel& k) {
  const IndexedRows rows(k.source.view.shape);
  const std::optional<IndexWalk> walk =
      is_float(k.index.dtype) ? std::nullopt : IndexWalk::of(k.index, k.out, k.source);
  if (rows.count > 0 && (!walk || !walk->all_inside(k.index))) check(k.index, rows, k.out.view.shape.back(), k.origin);
  if (k.out.buffer->bytes() == 0) return;
  with_type(k.out.dtype, [&]<class T>(T) {
    with_op(k.op, [&](auto op) { walk ? scatter<T, op>(k, *walk) : scatter<T, op>(k, rows); });
  });
}

}  // namespace tinyops::cpu
