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
#include <cstring>

#include "tinyops/common/contraction.h"
#include "tinyops/cpu/row/row.h"

namespace tinyops::cpu {
namespace {

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

}  // namespace

bool can_pad_copy(const Operand& operand) {
  const std::optional<std::vector<Coordinate>> all = coordinates(operand.view);
  if (!all) return false;
  double places = 1, seen = 1;
  for (const Coordinate& c : *all) places *= double(c.size());
  for (int a = 0; a < operand.view.rank(); ++a)
    if (moves(operand.view, a)) seen *= double(operand.view.shape[a]);
  return places <= 4 * seen + 4096;
}

Operand pad_copy(const Operand& operand, DType to) {
  const View& view = operand.view;
  std::vector<Coordinate> all = coordinates(view).value();
  // As in the original; where an axis of size 1 has left two of them one stride, in the order of the view's axes.
  std::ranges::stable_sort(all, [](const Coordinate& x, const Coordinate& y) {
    if (std::abs(x.stride) != std::abs(y.stride)) return std::abs(x.stride) > std::abs(y.stride);
    return x.last_axis() < y.last_axis();
  });

  // From element `first` to before `last` of each coordinate there is an image, all around it zeros: 0 0 x x x 0.
  Shape sizes;
  for (const Coordinate& c : all) sizes.push_back(c.size());
  const Dims strides = row_major(sizes);
  Operand result{std::make_shared<Buffer>(size_t(numel(sizes) * itemsize(to))), to, {}};
  Operand source{operand.buffer, operand.dtype, {{}, {{}, view.address.offset}, {}}}, inside = result;
  for (int i = 0; const Coordinate& c : all) {
    int64_t first = 0, last = c.size();
    for (const Guard& guard : view.guards) {
      bool same = true;
      for (int a = 0; a < view.rank(); ++a) same &= view.shape[a] == 1 || c.position.coef[a] == guard.position.coef[a];
      if (!same) continue;
      const int64_t position = c.low - c.position.offset + guard.position.offset;  // of element 0
      first = std::max(first, -position), last = std::min(last, guard.size - position);
    }
    source.view.shape.push_back(std::max<int64_t>(last - first, 0)), source.view.address.coef.push_back(c.stride);
    source.view.address.offset += c.stride * (c.low - c.position.offset + first);
    inside.view.address.coef.push_back(strides[i]), inside.view.address.offset += strides[i++] * first;
  }
  inside.view.shape = source.view.shape;
  if (inside.view.shape != sizes) std::memset(result.buffer->data(), 0, result.buffer->bytes());
  if (inside.view.numel() > 0)
    run_kernel(RowKernel{inside.view.shape,
                         0,
                         {{Input::Kind::Memory, source}},
                         {{Load{0}, operand.dtype}, {UnaryOp::Cast, to, {0, -1, -1}}},
                         {{inside, to == operand.dtype ? 0 : 1}}});

  result.view = {view.shape, {Dims::filled(view.rank(), 0), 0}, {}};
  for (int i = 0; i < strides.size(); ++i) {
    const Coordinate& c = all[size_t(i)];
    result.view.address.offset += strides[i] * (c.position.offset - c.low);
    for (int a = 0; a < view.rank(); ++a) result.view.address.coef[a] += strides[i] * c.position.coef[a];
  }
  return result;
}

}  // namespace tinyops::cpu
