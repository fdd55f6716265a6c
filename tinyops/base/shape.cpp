#include "tinyops/base/shape.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

namespace tinyops {

std::ostream& operator<<(std::ostream& out, const Dims& dims) {
  out << '(';
  for (int i = 0; i < dims.size(); ++i) out << (i ? ", " : "") << std::to_string(dims[i]);  // in no locale
  return out << (dims.size() == 1 ? ",)" : ")");
}

Dims range(int64_t begin, int64_t end) {
  Dims result;
  for (int64_t i = begin; i < end; ++i) result.push_back(i);
  return result;
}

int64_t numel(const Shape& shape, const char* op) {
  int64_t bytes = 8;
  for (int64_t size : shape)
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes))
      fail(op, ": ", shape, " is too large: its bytes are more than 63 bits can count");
  return shape.contains(0) ? 0 : bytes / 8;
}

Dims row_major(const Shape& shape) {
  Dims strides = shape;
  int64_t step = 1;
  for (int a = shape.size() - 1; a >= 0; --a) {
    strides[a] = step;
    step *= std::max<int64_t>(shape[a], 1);
  }
  return strides;
}

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  for (int i = 1; i <= shorter.size(); ++i) {
    const int64_t n = longer[longer.size() - i], m = shorter[shorter.size() - i];
    if (n != m && n != 1 && m != 1)
      fail(op, ": ", a, " and ", b, " do not broadcast: sizes ", a[a.size() - i], " and ", b[b.size() - i],
           " differ and neither is 1");
    result[result.size() - i] = n == 1 ? m : n;
  }
  numel(result, op);
  return result;
}

int64_t Affine::at(const Dims& index) const {
  int64_t value = offset;
  for (int a = 0; a < index.size(); ++a) value += coef[a] * index[a];
  return value;
}

Interval interval(const Affine& form, std::span<const Interval> box) {
  Interval r{form.offset, form.offset};
  for (int a = 0; a < form.coef.size(); ++a) {
    const int64_t c = form.coef[a];
    r.low += c * (c < 0 ? box[a].high : box[a].low);
    r.high += c * (c < 0 ? box[a].low : box[a].high);
  }
  return r;
}

std::vector<Interval> index_box(const Shape& shape) {
  std::vector<Interval> box;
  for (int64_t size : shape) box.push_back({0, size - 1});
  return box;
}

namespace {

/// Every movement is a change of index: it rewrites each affine form of the view alike.
template <class F>
View rewrite(const View& view, Shape shape, F&& change) {
  View result{std::move(shape), change(view.address), {}};
  result.guards.reserve(view.guards.size() + 1);
  for (const Guard& guard : view.guards) result.guards.push_back({change(guard.position), guard.size});
  return result;
}

/// a * b, where it is small enough for a view to add up a few of them; else `op` throws.
int64_t far(int64_t a, int64_t b, const char* op) {
  constexpr int64_t kFar = int64_t(1) << 60;
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product) || product > kFar || product < -kFar)
    fail(op, ": a view that reaches ", a, " * ", b, " elements from where it begins is beyond 63 bits");
  return product;
}

}  // namespace

View View::contiguous(const Shape& shape) { return {shape, {row_major(shape), 0}, {}}; }

bool View::is_contiguous() const {
  if (address.offset != 0 || !guards.empty()) return false;
  const Dims strides = row_major(shape);
  for (int a = 0; a < rank(); ++a)
    if (shape[a] != 1 && address.coef[a] != strides[a]) return false;
  return true;
}

bool View::valid(const Dims& index) const {
  return std::ranges::all_of(guards, [&](const Guard& g) {
    const int64_t position = g.position.at(index);
    return 0 <= position && position < g.size;
  });
}

View View::permute(const Dims& axes) const {
  auto reorder = [&](const Dims& values) {
    Dims result;
    for (int64_t a : axes) result.push_back(values[int(a)]);
    return result;
  };
  return rewrite(*this, reorder(shape), [&](const Affine& f) { return Affine{reorder(f.coef), f.offset}; });
}

View View::expand(const Shape& to) const {
  assert(to.size() == rank());
  return rewrite(*this, to, [&](Affine f) {
    for (int a = 0; a < rank(); ++a)
      if (shape[a] == 1 && to[a] != 1) f.coef[a] = 0;
    return f;
  }).simplified();
}

View View::pad(const Dims& before, const Dims& after) const {
  // [exercise 04
  Shape padded = shape;
  for (int a = 0; a < rank(); ++a) padded[a] += before[a] + after[a];
  View result = rewrite(*this, padded, [&](Affine f) {
    for (int a = 0; a < rank(); ++a) f.offset -= far(f.coef[a], before[a], "pad");
    return f;
  });
  for (int a = 0; a < rank(); ++a) {
    if (before[a] == 0 && after[a] == 0) continue;
    Guard guard{{Dims::filled(rank(), 0), -before[a]}, shape[a]};
    guard.position.coef[a] = 1;
    result.guards.push_back(guard);
  }
  return result.simplified();
  // exercise 04]
}

View View::shrink(const Dims& begin, const Dims& end) const {
  Shape kept = shape;
  for (int a = 0; a < rank(); ++a) kept[a] = end[a] - begin[a];
  return rewrite(*this, kept, [&](Affine f) {
    for (int a = 0; a < rank(); ++a) f.offset += f.coef[a] * begin[a];
    return f;
  }).simplified();
}

View View::flip(const Dims& axes) const {
  // [exercise 03
  return rewrite(*this, shape, [&](Affine f) {
    for (int64_t a : axes) {
      f.offset += f.coef[int(a)] * (shape[int(a)] - 1);
      f.coef[int(a)] = -f.coef[int(a)];
    }
    return f;
  });
  // exercise 03]
}

View View::diagonal(int a, int b) const {
  assert(shape[a] == shape[b]);
  auto merge = [&](Dims values, int64_t both) {
    values.erase(std::max(a, b));
    values.erase(std::min(a, b));
    values.push_back(both);
    return values;
  };
  return rewrite(*this, merge(shape, shape[a]), [&](const Affine& f) {
    return Affine{merge(f.coef, f.coef[a] + f.coef[b]), f.offset};
  }).simplified();
}

View View::unfold(int axis, int64_t size, int64_t step, int64_t dilation) const {
  assert(shape[axis] >= dilation * (size - 1) + 1);
  // [exercise 05
  Shape windows = shape;
  windows[axis] = (shape[axis] - dilation * (size - 1) - 1) / step + 1;
  windows.push_back(size);
  return rewrite(*this, windows, [&](Affine f) {
    f.coef.push_back(far(f.coef[axis], dilation, "unfold"));
    f.coef[axis] = far(f.coef[axis], step, "unfold");
    return f;
  }).simplified();
  // exercise 05]
}

// A reshape regroups axes. Walk both shapes from the left and cut them into the smallest groups of equal size:
//
//   from (4, 6, 5)  to (24, 5)     groups  (4, 6) -> (24)   (5) -> (5)
//
// Inside a group the old axes must follow each other without a gap (coef[a] == shape[a+1] * coef[a+1], in every affine
// form); then the group is one long axis, and a long axis can be cut in any way.
std::optional<View> View::reshape(const Shape& to) const {
  if (tinyops::numel(shape) == 0) return contiguous(to);
  Dims old_axes;  // the axes that matter: those of size 1 have no stride to speak of
  for (int a = 0; a < rank(); ++a)
    if (shape[a] != 1) old_axes.push_back(a);

  struct Group {
    int first, last;    // of old_axes
    int new_first, new_last;
  };
  std::vector<Group> groups;
  for (int i = 0, j = 0; i < old_axes.size();) {
    Group group{i, i, j, j};
    int64_t old_size = shape[int(old_axes[i])], new_size = to[j];
    while (old_size != new_size) {
      if (old_size < new_size) old_size *= shape[int(old_axes[++group.last])];
      else new_size *= to[++group.new_last];
    }
    for (int k = group.first; k < group.last; ++k) {
      const int a = int(old_axes[k]), b = int(old_axes[k + 1]);
      auto gap = [&](const Affine& f) { return f.coef[a] != shape[b] * f.coef[b]; };
      if (gap(address) || std::ranges::any_of(guards, gap, &Guard::position)) return std::nullopt;
    }
    groups.push_back(group);
    i = group.last + 1, j = group.new_last + 1;
  }
  return rewrite(*this, to, [&](const Affine& f) {
    Affine g{Dims::filled(to.size(), 0), f.offset};
    for (const Group& group : groups) {
      int64_t step = f.coef[int(old_axes[group.last])];
      for (int a = group.new_last; a >= group.new_first; step *= to[a--]) g.coef[a] = step;
    }
    return g;
  });
}

View View::simplified() const {
  if (guards.empty() || tinyops::numel(shape) == 0) return *this;
  View result{shape, address, {}};
  const std::vector<Interval> box = index_box(shape);
  for (const Guard& guard : guards) {
    const Interval r = interval(guard.position, box);
    const bool always = r.low >= 0 && r.high < guard.size;
    if (!always && std::ranges::find(result.guards, guard) == result.guards.end()) result.guards.push_back(guard);
  }
  return result;
}

// ---- A view of a view -----------------------------------------------------------------------------------------------

namespace {

int64_t floor_div(int64_t a, int64_t b) {
  if (b < 0) a = -a, b = -b;
  return a / b - (a % b < 0);
}

/// The view without the strides of axes of size 1: their index is always 0, and a form that seems to move along them
/// would look like one of several axes.
View without_still_axes(const View& view) {
  View result = view;
  for (int a = 0; a < view.rank(); ++a) {
    if (view.shape[a] != 1) continue;
    result.address.coef[a] = 0;
    for (Guard& guard : result.guards) guard.position.coef[a] = 0;
  }
  return result;
}

/// Where each axis of an index can lie while every guard on that axis alone holds.
std::vector<Interval> valid_box(const View& view) {
  std::vector<Interval> box = index_box(view.shape);
  for (const Guard& guard : view.guards) {
    int axis = -1, used = 0;
    for (int a = 0; a < view.rank(); ++a)
      if (guard.position.coef[a] != 0) axis = a, ++used;
    if (used != 1) continue;
    const int64_t c = guard.position.coef[axis];
    int64_t low = -guard.position.offset, high = guard.size - 1 - guard.position.offset;
    if (c < 0) std::swap(low, high);
    const int64_t first = -floor_div(-low, c), last = floor_div(high, c);
    box[axis].low = std::max(box[axis].low, first);
    box[axis].high = std::min(box[axis].high, last);
  }
  return box;
}

/// Whether `form` stays inside [0, size) wherever the view's guards hold.
bool stays_inside(const Affine& form, int64_t size, const View& view, std::span<const Interval> box) {
  Interval r = interval(form, box);
  for (const Guard& guard : view.guards)
    if (guard.position.coef == form.coef) {
      const int64_t shift = form.offset - guard.position.offset;
      r.low = std::max(r.low, shift);
      r.high = std::min(r.high, shift + guard.size - 1);
    }
  return r.low > r.high || (r.low >= 0 && r.high < size);
}

/// Splits an address in the row-major space of `shape` into one affine form an axis, like digits of a number. An offset
/// can be split in more than one way; `balanced` chooses the one in which the lower digits start at 0 in `box`.
std::vector<Affine> digits(Affine address, const Shape& shape, std::span<const Interval> box, bool balanced) {
  std::vector<Affine> result;
  const Dims places = row_major(shape);
  for (int j = 0; j < shape.size(); ++j) {
    Affine digit{Dims::filled(address.coef.size(), 0), 0};
    for (int a = 0; a < address.coef.size(); ++a) {
      digit.coef[a] = address.coef[a] / places[j];
      address.coef[a] %= places[j];
    }
    const int64_t lowest = balanced ? interval(address, box).low : 0;
    digit.offset = balanced ? floor_div(lowest, places[j]) : address.offset / places[j];
    address.offset -= digit.offset * places[j];
    result.push_back(digit);
  }
  return result;
}

/// `form`, a function of the inner index, with each inner axis replaced by its digit.
Affine substitute(const Affine& form, std::span<const Affine> digit, int rank) {
  Affine result{Dims::filled(rank, 0), form.offset};
  for (int j = 0; j < form.coef.size(); ++j) {
    result.offset += form.coef[j] * digit[j].offset;
    for (int a = 0; a < rank; ++a) result.coef[a] += form.coef[j] * digit[j].coef[a];
  }
  return result;
}

}  // namespace

std::optional<View> compose(const View& strided, const View& inner) {
  if (inner.is_contiguous() || strided.numel() == 0) return strided;
  if (strided.is_contiguous() && strided.shape == inner.shape) return inner;
  const View outer = without_still_axes(strided);
  const std::vector<Interval> box = valid_box(outer);
  // [exercise 06
  for (bool balanced : {true, false}) {
    const std::vector<Affine> digit = digits(outer.address, inner.shape, box, balanced);
    bool carries = false;  // a digit that leaves its axis would spill into the next one
    for (int j = 0; j < inner.rank(); ++j) carries |= !stays_inside(digit[j], inner.shape[j], outer, box);
    if (carries) continue;
    View result{outer.shape, substitute(inner.address, digit, outer.rank()), outer.guards};
    for (const Guard& guard : inner.guards)
      result.guards.push_back({substitute(guard.position, digit, outer.rank()), guard.size});
    return result.simplified();
  }
  return std::nullopt;
  // exercise 06]
}

std::ostream& operator<<(std::ostream& out, const View& view) {
  out << view.shape << '*' << view.address.coef;
  if (const int64_t offset = view.address.offset) out << (offset < 0 ? "" : "+") << offset;
  for (const Guard& g : view.guards)
    out << " if 0<=" << g.position.coef << (g.position.offset < 0 ? "" : "+") << g.position.offset << '<' << g.size;
  return out;
}

}  // namespace tinyops
