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
// Every index is checked before anything is written.
#include <cstring>

#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/cpu/tile.h"
#include "tinyops/cpu/operand_access.h"

namespace tinyops::cpu {
namespace {

/// The indexed shape as rows of a lane: the last axis that is longer than 1, and the axes before it.
struct Rows {
  Dims axes;  ///< those longer than 1
  Shape shape;
  int64_t lane = 1, count = 1;

  explicit Rows(const Shape& full) : shape(full) {
    for (int a = 0; a < full.size(); ++a)
      if (full[a] != 1) axes.push_back(a);
    if (!axes.empty()) lane = full[int(axes.back())];
    count = lane ? numel(full) / lane : 0;
  }
  /// The index of an element, over all axes.
  Dims at(int64_t row, int64_t i) const {
    Dims index = Dims::filled(shape.size(), 0);
    if (!axes.empty()) index[int(axes.back())] = i;
    for (int j = axes.size() - 2; j >= 0; --j) {
      const int a = int(axes[j]);
      index[a] = row % shape[a], row /= shape[a];
    }
    return index;
  }
};

/// One operand seen along the lane of a row, and, if it has one axis more, along the axis that the index picks from.
class Indexed {
 public:
  Indexed(const Operand& operand, const Rows& rows)
      : view_(operand.view), elements_(int64_t(operand.buffer->bytes()) / itemsize(operand.dtype)),
        lane_axis_(rows.axes.empty() ? -1 : int(rows.axes.back())), rank_(rows.shape.size()),
        at_(1 + view_.guards.size()) {}

  void go_to(const Dims& index) {
    for (size_t f = 0; f < at_.size(); ++f) {
      at_[f] = form(f).offset;
      for (int a = 0; a < rank_; ++a) at_[f] += form(f).coef[a] * index[a];
    }
  }
  int64_t stride() const { return along(0, lane_axis_); }
  bool follows_lane() const {
    for (size_t f = 0; f < at_.size(); ++f)
      if (along(f, lane_axis_) != 0) return true;
    return false;
  }
  /// Narrows [begin, end) of the lane to the elements that exist when the index is `index`; returns the address of the
  /// lane's first.
  int64_t run(int64_t index, int64_t& begin, int64_t& end) const {
    for (size_t f = 1; f < at_.size(); ++f)
      clip(at_[f] + along(f, picked()) * index, along(f, lane_axis_), view_.guards[f - 1].size, begin, end);
    const int64_t address = at_[0] + along(0, picked()) * index;
#ifdef TEENY_CHECKED
    const int64_t first = address + stride() * begin, last = address + stride() * (end - 1);
    if (begin < end && (std::min(first, last) < 0 || std::max(first, last) >= elements_))
      fail("cpu: elements ", first, " to ", last, " are not all inside a buffer of ", elements_);
#endif
    return address;
  }

 private:
  const Affine& form(size_t f) const { return f == 0 ? view_.address : view_.guards[f - 1].position; }
  int64_t along(size_t f, int axis) const { return axis < 0 ? 0 : form(f).coef[axis]; }
  int picked() const { return view_.rank() > rank_ ? rank_ : -1; }

  const View& view_;
  [[maybe_unused]] int64_t elements_;
  int lane_axis_, rank_;
  std::vector<int64_t> at_;  // the forms' values at the row's first element
};

class Indices {
 public:
  Indices(const Operand& operand, const Rows& rows)
      : access_(operand, rows), dtype_(operand.dtype), memory_(operand.buffer->data()) {}

  void go_to(const Dims& index) { access_.go_to(index); }
  bool one_a_row() const { return !access_.follows_lane(); }
  int64_t operator[](int64_t i) const {
    int64_t begin = i, end = i + 1;
    const int64_t address = access_.run(0, begin, end) + access_.stride() * i;
    if (begin >= end) return 0;
    if (dtype_ == DType::Int64) return static_cast<const int64_t*>(memory_)[address];
    if (dtype_ == DType::Int32) return static_cast<const int32_t*>(memory_)[address];
    return static_cast<const uint8_t*>(memory_)[address];
  }

 private:
  Indexed access_;
  DType dtype_;
  const void* memory_;
};

/// Every index lies inside the axis it picks from, or nothing is done.
void check(const Operand& index, const Rows& rows, int64_t size, const char* op) {
  if (is_float(index.dtype)) fail(op, ": an index of dtype ", index.dtype);
  Indices indices(index, rows);
  const int64_t last = indices.one_a_row() ? 1 : rows.lane;
  for (int64_t row = 0; row < rows.count; ++row) {
    indices.go_to(rows.at(row, 0));
    for (int64_t i = 0; i < last; ++i)
      if (indices[i] < 0 || indices[i] >= size)
        fail(op, ": index ", indices[i], " at position ", rows.at(row, i), " is outside 0 <= index < ", size);
  }
}

/// to[begin * stride], ... for the elements of [first, last) that exist, 0 for the others.
template <class T>
void gather_run(T* to, int64_t to_stride, const Indexed& table, const T* memory, int64_t index, int64_t first,
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
void gather(const GatherKernel& k, const Rows& rows) {
  const T* memory = static_cast<const T*>(k.table.buffer->data());
  T* result = static_cast<T*>(k.out.buffer->data());
  constexpr int64_t piece = 8;
  parallel((rows.count + piece - 1) / piece, rows.count * (rows.lane + kStep), [&] {
    return [&, table = Indexed(k.table, rows), out = Indexed(k.out, rows), indices = Indices(k.index, rows)](
               int64_t p) mutable {
      for (int64_t row = p * piece; row < std::min(rows.count, (p + 1) * piece); ++row) {
        const Dims index = rows.at(row, 0);
        table.go_to(index), out.go_to(index), indices.go_to(index);
        int64_t begin = 0, end = rows.lane;
        T* to = result + out.run(0, begin, end);
        if (indices.one_a_row()) gather_run(to, out.stride(), table, memory, indices[0], 0, rows.lane);
        else
          for (int64_t i = 0; i < rows.lane; ++i)
            gather_run(to, out.stride(), table, memory, indices[i], i, i + 1);
      }
    };
  });
}

template <class T>
void scatter(const ScatterKernel& k, const Rows& rows) {
  using C = Compute<T>;
  const BinaryOp op = step(k.op);
  const T* memory = static_cast<const T*>(k.source.buffer->data());
  T* result = static_cast<T*>(k.out.buffer->data());
  const int64_t size = int64_t(k.out.buffer->bytes() / sizeof(T)), steps = size + rows.count * (rows.lane + kStep);
  const int64_t parts = steps < kWorthThreads ? 1 : std::max(1, omp_get_max_threads());
  parallel(parts, steps, [&] {
    return [&, source = Indexed(k.source, rows), out = Indexed(k.out, rows), indices = Indices(k.index, rows)](
               int64_t part) mutable {
      const int64_t first = size * part / parts, last = size * (part + 1) / parts;
      std::fill(result + first, result + last, T(identity<C>(k.op)));
      for (int64_t row = 0; row < rows.count; ++row) {
        const Dims position = rows.at(row, 0);
        source.go_to(position), out.go_to(position), indices.go_to(position);
        int64_t present = 0, present_end = rows.lane;  // where the source's guards hold; elsewhere it adds nothing
        const int64_t from = source.run(0, present, present_end);  // no pointer: of padding alone there is no memory
        auto add = [&](int64_t index, int64_t begin, int64_t end) {
          begin = std::max(begin, present), end = std::min(end, present_end);
          const int64_t address = out.run(index, begin, end);
          clip(address - first, out.stride(), last - first, begin, end);
          for (int64_t i = begin; i < end; ++i) {
            T& sum = result[address + i * out.stride()];
            sum = T(apply<C>(op, C(sum), C(memory[from + i * source.stride()])));
          }
        };
        if (indices.one_a_row()) add(indices[0], 0, rows.lane);
        else
          for (int64_t i = 0; i < rows.lane; ++i) add(indices[i], i, i + 1);
      }
    };
  });
}

}  // namespace

void run_kernel(const GatherKernel& k) {
  const Rows rows(k.out.view.shape);
  if (rows.count == 0) return;
  check(k.index, rows, k.table.view.shape.back(), k.name);
  with_type(k.out.dtype, [&]<class T>(T) { gather<T>(k, rows); });
}

void run_kernel(const ScatterKernel& k) {
  const Rows rows(k.source.view.shape);
  if (rows.count > 0) check(k.index, rows, k.out.view.shape.back(), k.name);
  if (k.out.buffer->bytes() > 0) with_type(k.out.dtype, [&]<class T>(T) { scatter<T>(k, rows); });
}

}  // namespace tinyops::cpu
