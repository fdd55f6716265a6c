#pragma once
// How a shape looks at memory. A View never touches data: it says where in a buffer the element at an index lies.
#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <vector>

#include "tinyops/base/dtype.h"

namespace tinyops {

/// A short list of integers: a shape, strides, an index, axes. It lives in place, without the heap, so a View is cheap
/// to copy; in exchange no tensor has more than `kMaxRank` axes.
inline constexpr int kMaxRank = 16;

class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> values) : Dims(values.begin(), values.end()) {}
  template <class Iterator>
  Dims(Iterator first, Iterator last) {
    for (; first != last; ++first) push_back(*first);
  }
  /// `size` times the same value.
  static Dims filled(int size, int64_t value) {
    Dims d;
    for (int i = 0; i < size; ++i) d.push_back(value);
    return d;
  }

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  /// Counted from either end: -1 is the last. Throws outside.
  int64_t& operator[](int i) { return values_[at(i)]; }
  int64_t operator[](int i) const { return values_[at(i)]; }
  int64_t back() const { return (*this)[-1]; }
  int64_t* begin() { return values_.data(); }
  int64_t* end() { return values_.data() + size_; }
  const int64_t* begin() const { return values_.data(); }
  const int64_t* end() const { return values_.data() + size_; }

  void push_back(int64_t value) {
    if (size_ == kMaxRank) fail("a tensor has at most ", kMaxRank, " axes; reshape() some of them into one");
    values_[size_++] = value;
  }
  void insert(int at, int64_t value) {
    push_back(value);
    for (int i = size_ - 1; i > at; --i) values_[i] = values_[i - 1];
    values_[at] = value;
  }
  void erase(int at) {
    for (int i = at; i + 1 < size_; ++i) values_[i] = values_[i + 1];
    --size_;
  }
  bool contains(int64_t value) const {
    for (int64_t v : *this) if (v == value) return true;
    return false;
  }
  bool operator==(const Dims& other) const {
    if (size_ != other.size_) return false;
    for (int i = 0; i < size_; ++i) if (values_[i] != other.values_[i]) return false;
    return true;
  }

 private:
  size_t at(int i) const {
    if (unsigned(i) < unsigned(size_)) return size_t(i);
    if (i >= 0 || i < -size_) fail("a list of ", size_, " sizes has none at ", i);
    return size_t(i + size_);
  }

  std::array<int64_t, kMaxRank> values_;
  int size_ = 0;
};

using Shape = Dims;

/// `(2, 3, 4)`, and `(5,)` for one axis.
std::ostream& operator<<(std::ostream& out, const Dims& dims);

/// begin, begin + 1, ... below end: a run of axes.
Dims range(int64_t begin, int64_t end);

/// How many elements; 1 for no axes. Throws, naming `op`, when 63 bits cannot count the bytes, beside a 0 those of the rest.
int64_t numel(const Shape& shape, const char* op = "shape");

/// The strides of row-major order: the last axis moves by 1.
Dims row_major(const Shape& shape);

/// Where two shapes meet, by NumPy's rule: aligned at the end, sizes equal or one of them 1. `op` names the caller in
/// the error.
Shape broadcast(const Shape& a, const Shape& b, const char* op);

/// A number that depends on an index in a straight line: offset + coef[0]*i[0] + coef[1]*i[1] + ...
struct Affine {
  Dims coef;
  int64_t offset = 0;

  int64_t at(const Dims& index) const;
  bool operator==(const Affine&) const = default;
};

/// The values from `low` to `high`, both included.
struct Interval {
  int64_t low, high;
};
/// The values that `form` takes when each axis a of the index runs over box[a].
Interval interval(const Affine& form, std::span<const Interval> box);
/// Every index of `shape`.
std::vector<Interval> index_box(const Shape& shape);

/// One axis of a padded tensor, as seen through whatever came after: the element is real where
/// `0 <= position < size`, and 0 elsewhere. No zero is ever stored.
struct Guard {
  Affine position;
  int64_t size = 0;
  bool operator==(const Guard&) const = default;
};

/// A shape, the address of each of its elements, and the guards that say which of them exist.
///
/// Both are affine in the index, and every movement below is a change of index: so each of them rewrites all the affine
/// forms in the same way, and a window that slides over a padded image is still one View:
///
///   x: (H, W)  pad 1  ->  guard 0 <= h-1 < H          address (h-1)*W + w-1
///              unfold ->  guard 0 <= oh+kh-1 < H      address (oh+kh-1)*W + ow+kw-1
struct View {
  Shape shape;
  Affine address;
  std::vector<Guard> guards;

  static View contiguous(const Shape& shape);

  int rank() const { return shape.size(); }
  int64_t numel() const { return tinyops::numel(shape); }
  /// Whether this is exactly row-major order from the buffer's first element.
  bool is_contiguous() const;
  bool valid(const Dims& index) const;
  bool operator==(const View&) const = default;

  // Movements. The caller has checked its arguments; the checks here are assertions.
  View permute(const Dims& axes) const;
  View expand(const Shape& to) const;                                   ///< axes of size 1 repeat
  View pad(const Dims& before, const Dims& after) const;                ///< with zeros; amounts >= 0
  View shrink(const Dims& begin, const Dims& end) const;                ///< keeps [begin, end) of each axis
  View flip(const Dims& axes) const;
  View diagonal(int a, int b) const;                                    ///< a and b, of equal size, walk together; last
  /// Axis `axis` of size n becomes two: (n - dilation*(size-1) - 1)/step + 1 positions, and `size` taps at each. The
  /// taps come last of all axes.
  View unfold(int axis, int64_t size, int64_t step, int64_t dilation = 1) const;
  /// The same elements in row-major order under another shape; nothing when one View cannot say it.
  std::optional<View> reshape(const Shape& to) const;

  /// This view with the guards that always hold, and repeated ones, left out.
  View simplified() const;
};

/// `outer` looks at the elements of `inner` in row-major order: the one View that does both, where there is one.
std::optional<View> compose(const View& outer, const View& inner);

std::ostream& operator<<(std::ostream& out, const View& view);

class Buffer;  // device.h
using BufferRef = std::shared_ptr<Buffer>;

/// A buffer seen through a View. Where the view's guards say no, it reads as 0.
struct Operand {
  BufferRef buffer;
  DType dtype = DType::Float32;
  View view;
  bool operator==(const Operand&) const = default;
};

}  // namespace tinyops
