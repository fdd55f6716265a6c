#pragma once
// From the number of an element to its address, as cheaply as a GPU can: few axes, and no division instruction.
//
//   element 4711 of (2, 30, 40, 5)          the host merges what it can:   (60, 200)
//        │                                  an axis of size 1 goes, and two axes that every operand walks as one are one
//        ├─ 4711 / 200 = 23, left 111       the sizes are known at the launch: a division is a multiplication and a shift
//        ▼
//   address = offset + 23 * stride[0] + 111 * stride[1]
//
// The host's half knows Views and is plain C++; the device's half is Divider, Axes and Strides, which travel as
// arguments. They have no padding: a replay compares the arguments' bytes with those of the time before.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "tinyops/base/merge_axes.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/base/shape.h"

namespace tinyops::cuda {

// ---- Division -------------------------------------------------------------------------------------------------------

/// n / d for one d and many n >= 0. With all n and d below 2^31, as nearly always, it is the upper half of a product:
///
///   n / d = n * m / 2^(31+s)     for s = log2(d), rounded up, and m = 2^(31+s) / d, rounded up, which is below 2^32.
///
/// m is too large by less than 1, the product by less than n < 2^31 <= 2^(31+s) / d: not enough to reach the next
/// integer.
class Divider {
 public:
  Divider() = default;  ///< by 1
  /// By `divisor` > 0, of n below `limit`.
  explicit Divider(int64_t divisor, int64_t limit = INT64_MAX) : divisor_(divisor) {
    constexpr int64_t high = int64_t(1) << 31;
    narrow_ = divisor < high && limit <= high;
    if (!narrow_) return;
    while (int64_t(1) << shift_ < divisor) ++shift_;
    factor_ = uint32_t(((uint64_t(1) << (31 + shift_)) + uint64_t(divisor) - 1) / uint64_t(divisor));
  }

  TINYOPS_HD int64_t divisor() const { return divisor_; }
  TINYOPS_HD int64_t quotient(int64_t n) const {
    if (narrow_) return quotient(int(n));  // the same branch in every thread
    return n / divisor_;
  }
  /// The same where the limit was at most 2^31, unchecked: a division of 64 bits is a call, and a kernel that has one
  /// pays with registers.
  TINYOPS_HD int quotient(int n) const { return int((uint64_t(uint32_t(n) << 1) * factor_ >> 32) >> shift_); }
  /// n / d, and leaves n % d in n.
  TINYOPS_HD int64_t divide(int64_t& n) const {
    const int64_t result = quotient(n);
    n -= result * divisor_;
    return result;
  }

 private:
  int64_t divisor_ = 1;
  uint32_t factor_ = uint32_t(1) << 31;
  uint16_t shift_ = 0, narrow_ = true;
};
static_assert(sizeof(Divider) == 16 && std::has_unique_object_representations_v<Divider>);

// ---- The device: from a number to an address ------------------------------------------------------------------------

/// The sizes of the axes that all operands of a kernel share: 264 bytes.
struct Axes {
  int64_t rank = 0;
  Divider sizes[kMaxRank];

  Axes() = default;
  explicit Axes(const Shape& shape) : rank(shape.size()) {
    const int64_t count = numel(shape);
    for (int a = 0; a < rank; ++a)
      if (shape[a] > 0) sizes[a] = Divider(shape[a], count);
  }
};

/// An affine form over some axes: an address, or a guard's position, which holds where 0 <= position < size.
template <int kAxes>
struct Form {
  int64_t offset = 0, size = 0;
  int64_t coef[kAxes] = {};
};

/// How one operand without guards moves along them: 136 bytes.
struct Strides {
  int64_t offset = 0;
  int64_t strides[kMaxRank] = {};

  Strides() = default;
  Strides(const Dims& coef, int64_t offset_) : offset(offset_) {
    for (int a = 0; a < coef.size(); ++a) strides[a] = coef[a];
  }
  /// Of element `linear` of the axes, in row-major order.
  TINYOPS_HD int64_t address(const Axes& axes, int64_t linear) const;
};
static_assert(sizeof(Axes) == 264 && sizeof(Strides) == 136);

/// The addresses of one element in several operands: the axes are walked once.
template <class... S>
TINYOPS_HD std::array<int64_t, sizeof...(S)> addresses(const Axes& axes, int64_t linear, const S&... operands) {
  std::array<int64_t, sizeof...(S)> result{operands.offset...};
  for (int a = int(axes.rank) - 1; a >= 0; --a) {
    const int64_t left = a > 0 ? axes.sizes[a].divide(linear) : 0;  // linear is the index along a now
    size_t i = 0;
    ((result[i++] += linear * operands.strides[a]), ...);
    linear = left;
  }
  return result;
}

TINYOPS_HD inline int64_t Strides::address(const Axes& axes, int64_t linear) const {
  return addresses(axes, linear, *this)[0];
}

// ---- The host: few axes ---------------------------------------------------------------------------------------------

/// A shape, and the coefficients of several affine forms over it, one list for each form.
struct MergedAxes {
  Shape shape;
  std::vector<Dims> coefs;
  int border = 0;  ///< how many of the axes come from those left of it

  void add_axis(int64_t size, std::initializer_list<int64_t> moves) {
    shape.push_back(size);
    for (size_t f = 0; f < moves.size(); ++f) coefs[f].push_back(moves.begin()[f]);
  }
  /// As few axes as all forms allow: see base/merge_axes.h.
  void merge(int axes_before_border = 0) {
    std::vector<Dims*> strides;
    for (Dims& coef : coefs) strides.push_back(&coef);
    border = tinyops::merge_axes(shape, strides, axes_before_border);
  }
  Axes axes() const { return Axes(shape); }
  Strides strides(size_t form, int64_t offset = 0) const { return {coefs[form], offset}; }
};

/// A form may have axes more, as a table's last, along which an index picks: these are left out.
inline MergedAxes merge_axes(const Shape& shape, const std::vector<const Affine*>& forms, int border = 0) {
  MergedAxes result{shape, {}, 0};
  for (const Affine* form : forms)
    result.coefs.emplace_back(form->coef.begin(), form->coef.begin() + std::min(shape.size(), form->coef.size()));
  result.merge(border);
  return result;
}

/// The address of a view and the positions of its guards, added to `forms`: what `merge_axes` must not tear apart.
inline void add_forms(const View& view, std::vector<const Affine*>& forms) {
  forms.push_back(&view.address);
  for (const Guard& guard : view.guards) forms.push_back(&guard.position);
}

}  // namespace tinyops::cuda
