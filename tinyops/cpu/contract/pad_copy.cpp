// A padded, windowed or 16-bit operand of a product becomes a plain one: what it sees is copied once.
//
//   a view's axes (oh, kh)          coordinates it really has        memory of the copy
//                                                                    0 0 0 0 0 0
//   address  W * (oh + kh - 1) +..  y = oh + kh - 1, from -1 to H    0 x x x x 0   one place for each y and x, the
//   guard    0 <= oh + kh - 1 < H   x = ow + kw - 1, from -1 to W    0 x x x x 0   windows slide over it as before
//                                                                    0 0 0 0 0 0
//
// Every guard's position is a coordinate; so is every axis without a guard, and axes whose steps interlock (a window
// without padding) share one. If the address is a sum of strides times coordinates, the copy's is too.
#include "tinyops/cpu/contract/pad_copy.h"

#include <algorithm>
#include <cstdlib>

#include "tinyops/base/merge_axes.h"
#include "tinyops/cpu/axis_cursor.h"
#include "tinyops/cpu/parallel.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kPiece = 1 << 14;  // elements that are copied by one task

struct Coordinate {
  Affine position;     ///< over the view's axes
  int64_t stride = 0;  ///< of the original address along it
  int64_t low = 0, high = 0;

  int64_t size() const { return high - low + 1; }
  int last_axis() const {
    int a = position.coef.size() - 1;
    while (a >= 0 && position.coef[a] == 0) --a;
    return a;
  }
  void find_range(const Shape& shape) {
    const Interval reach = interval(position, index_box(shape));
    low = reach.low, high = reach.high;
  }
};

/// Takes the view's address apart, or returns nothing.
std::optional<std::vector<Coordinate>> coordinates(const View& view) {
  std::vector<Coordinate> result;
  const int rank = view.rank();
  Dims left = view.address.coef;
  for (int a = 0; a < rank; ++a)
    if (view.shape[a] == 1) left[a] = 0;
  for (const Guard& guard : view.guards) {
    Coordinate c{guard.position};
    int first = -1;
    for (int a = 0; a < rank; ++a) {
      if (view.shape[a] == 1) c.position.coef[a] = 0;
      if (first < 0 && c.position.coef[a] != 0) first = a;
    }
    if (std::ranges::any_of(result, [&](const Coordinate& o) { return o.position.coef == c.position.coef; })) continue;
    if (first >= 0) c.stride = left[first] / c.position.coef[first];
    for (int a = 0; a < rank; ++a) {
      const bool shared = std::ranges::any_of(result, [&](const Coordinate& o) { return o.position.coef[a] != 0; });
      if (c.position.coef[a] != 0 && (shared || left[a] != c.stride * c.position.coef[a])) return std::nullopt;
    }
    for (int a = 0; a < rank; ++a) left[a] -= c.stride * c.position.coef[a];
    result.push_back(c);
  }
  const size_t guarded = result.size();
  std::vector<int> axes;
  for (int a = 0; a < rank; ++a)
    if (left[a] != 0) axes.push_back(a);
  std::ranges::sort(axes, {}, [&](int a) { return std::abs(left[a]); });
  for (int a : axes) {
    auto interlocks = [&](Coordinate& c) {
      c.find_range(view.shape);
      return left[a] % c.stride == 0 && std::abs(left[a] / c.stride) < c.size();
    };
    auto c = std::find_if(result.begin() + int64_t(guarded), result.end(), interlocks);
    if (c == result.end()) {
      result.push_back({Affine{Dims::filled(rank, 0), 0}, std::abs(left[a])});
      c = result.end() - 1;
    }
    c->position.coef[a] = left[a] / c->stride;
  }
  for (Coordinate& c : result) c.find_range(view.shape);
  return result;
}

/// Copies what `from` sees, in row-major order.
void copy_elements(Operand from, char* to) {
  View& view = from.view;
  std::vector<Dims*> strides{&view.address.coef};
  for (Guard& guard : view.guards) strides.push_back(&guard.position.coef);
  merge_axes(view.shape, strides);
  const int64_t n = view.numel(), size = itemsize(compute_dtype(from.dtype));
  const int64_t piece = compute_dtype(from.dtype) == from.dtype ? kPiece : kTile;
  const AxisCursor all(from, range(0, view.rank()));
  parallel((n + piece - 1) / piece, n, [&] {
    return [&, all = all](int64_t p) mutable {
      all.go_to(row_index(view.shape, p * piece));
      all.read(std::min(piece, n - p * piece), to + p * piece * size);
    };
  });
}

}  // namespace

bool can_pad_copy(const Operand& operand, double multiply_adds) {
  const std::optional<std::vector<Coordinate>> all = coordinates(operand.view);
  if (!all) return false;
  double places = 1;
  for (const Coordinate& c : *all) places *= double(c.size());
  return places <= 4 * double(operand.buffer->bytes()) / double(itemsize(operand.dtype)) + 4096 || places <= multiply_adds / 16;
}

Operand pad_copy(const Operand& operand, DType to) {
  const View& view = operand.view;
  std::vector<Coordinate> all = coordinates(view).value();
  // As in the original; where an axis of size 1 has left two of them one stride, in the order of the view's axes.
  std::ranges::stable_sort(all, [](const Coordinate& x, const Coordinate& y) {
    if (std::abs(x.stride) != std::abs(y.stride)) return std::abs(x.stride) > std::abs(y.stride);
    return x.last_axis() < y.last_axis();
  });

  // The copy is what a view over the coordinates sees: 0 0 x x x 0, from element `first` to before `last` of each.
  Operand source{operand.buffer, operand.dtype, {{}, {{}, view.address.offset}, {}}};
  for (int i = 0; const Coordinate& c : all) {
    int64_t first = 0, last = c.size();
    for (const Guard& guard : view.guards) {
      bool same = true;
      for (int a = 0; a < view.rank(); ++a) same &= view.shape[a] == 1 || c.position.coef[a] == guard.position.coef[a];
      if (!same) continue;
      const int64_t position = c.low - c.position.offset + guard.position.offset;  // of element 0
      first = std::max(first, -position), last = std::min(last, guard.size - position);
    }
    source.view.shape.push_back(c.size()), source.view.address.coef.push_back(c.stride);
    source.view.address.offset += c.stride * (c.low - c.position.offset);
    Guard inside{{Dims::filled(int(all.size()), 0), -first}, last - first};
    inside.position.coef[i++] = 1;
    if (first > 0 || last < c.size()) source.view.guards.push_back(inside);
  }
  const Dims strides = row_major(source.view.shape);
  Operand result{std::make_shared<Buffer>(size_t(source.view.numel() * itemsize(to))), to, {}};
  copy_elements(std::move(source), static_cast<char*>(result.buffer->data()));

  result.view = {view.shape, {Dims::filled(view.rank(), 0), 0}, {}};
  for (int i = 0; i < strides.size(); ++i) {
    const Coordinate& c = all[size_t(i)];
    result.view.address.offset += strides[i] * (c.position.offset - c.low);
    for (int a = 0; a < view.rank(); ++a) result.view.address.coef[a] += strides[i] * c.position.coef[a];
  }
  return result;
}

}  // namespace tinyops::cpu
