#pragma once
// The positions of a Gather or a Scatter whose operands have no guards. Every address is then a sum of strides, and the
// step to the next position one addition for each operand:
//
//   index     at[kIndex]  + i * stride            which says, of the picked axis, the element
//   picked    at[kPicked] + i * stride + index * pick       of the table, or of the result that is added to
//   other     at[kOther]  + i * stride            of the result, or of the source
#include <algorithm>
#include <array>
#include <optional>

#include "tinyops/device.h"
#include "tinyops/kernel.h"

namespace tinyops::cpu {

class IndexWalk {
 public:
  enum { kIndex, kPicked, kOther };
  using Addresses = std::array<int64_t, 3>;

  /// Nothing where an operand has guards. `picked` has one axis more than the others, of `size` elements.
  static std::optional<IndexWalk> of(const Operand& index, const Operand& picked, const Operand& other);

  /// The row is the last axis, the longest run of positions with one stride each.
  int64_t rows() const { return rows_; }
  int64_t length() const { return shape_.back(); }
  int64_t pick() const { return pick_; }
  int64_t stride(int operand) const { return strides_[size_t(operand)].back(); }

  /// Calls row(addresses of its first position) for each of the rows [first, last), in their order.
  template <class Row>
  void for_rows(int64_t first, int64_t last, Row&& row) const {
    if (first == last) return;  // an axis without positions says nothing of a row's place
    const int outer = shape_.size() - 1;
    Dims position = Dims::filled(outer, 0);
    Addresses at = begin_;
    int64_t rest = first;
    for (int a = outer - 1; a >= 0; --a) {
      position[a] = rest % shape_[a], rest /= shape_[a];
      for (size_t o = 0; o < 3; ++o) at[o] += position[a] * strides_[o][a];
    }
    for (int64_t r = first; r < last; ++r) {
      row(at);
      for (int a = outer - 1; a >= 0; --a) {
        const bool carries = ++position[a] == shape_[a];
        for (size_t o = 0; o < 3; ++o) at[o] += strides_[o][a] * (carries ? 1 - shape_[a] : 1);
        if (!carries) break;
        position[a] = 0;
      }
    }
  }

  /// An axis whose positions never meet at an address of `picked`, whatever the indices are; the longest one.
  std::optional<int> independent_axis() const;
  /// Whether the positions of an independent axis have equal parts of all `size` elements of `picked` to themselves,
  /// one after the other.
  bool divides(int a, int64_t size) const { return begin_[kPicked] == 0 && strides_[kPicked][a] * shape_[a] == size; }
  /// The part of the walk in which axis a runs over [begin, end).
  IndexWalk part(int a, int64_t begin, int64_t end) const;
  int64_t size(int a) const { return shape_[a]; }

  /// Whether every index lies in the picked axis.
  bool all_inside(const Operand& index) const;

 private:
  Shape shape_;
  std::array<Dims, 3> strides_;
  Addresses begin_;
  int64_t pick_, picked_size_, rows_;
};

/// The indices, whatever integers they are. Where they come as int64, what is done with them is compiled once.
class StoredIndices {
 public:
  explicit StoredIndices(const Operand& index) : memory_(index.buffer->data()), dtype_(index.dtype) {}

  int64_t operator[](int64_t address) const {
    if (dtype_ == DType::Int64) return static_cast<const int64_t*>(memory_)[address];
    if (dtype_ == DType::Int32) return static_cast<const int32_t*>(memory_)[address];
    return static_cast<const uint8_t*>(memory_)[address];
  }

  /// Calls f with where the indices from `address` on are, as the integers they are.
  template <class F>
  void visit(int64_t address, F&& f) const {
    if (dtype_ == DType::Int64) f(static_cast<const int64_t*>(memory_) + address);
    else if (dtype_ == DType::Int32) f(static_cast<const int32_t*>(memory_) + address);
    else f(static_cast<const uint8_t*>(memory_) + address);
  }

  /// Calls f(first, last, indices of these) for pieces of the n at address, address + step, ..
  template <class F>
  void for_pieces(int64_t address, int64_t step, int64_t n, F&& f) const {
    if (dtype_ == DType::Int64 && step == 1) return f(int64_t{0}, n, static_cast<const int64_t*>(memory_) + address);
    std::array<int64_t, 256> piece;
    for (int64_t first = 0, last; first < n; first = last) {
      last = std::min(first + int64_t(piece.size()), n);
      read(address + first * step, step, last - first, piece.data());
      f(first, last, static_cast<const int64_t*>(piece.data()));
    }
  }

 private:
  void read(int64_t address, int64_t step, int64_t n, int64_t* to) const;

  const void* memory_;
  DType dtype_;
};

}  // namespace tinyops::cpu
