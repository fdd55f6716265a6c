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
#include "tinyops/cpu/compact.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "tinyops/cpu/kernels.h"

namespace tinyops::cpu {
namespace {

using teeny::Affine;
using teeny::Dims;
using teeny::Guard;

struct Coordinate {
  Affine position;     ///< over the view's axes
  int64_t stride = 0;  ///< of the original address along it
  int64_t low = 0, high = 0;
  bool last = false;

  int64_t size() const { return high - low + 1; }
  void find_range(const Shape& shape) {
    low = high = position.offset;
    for (int a = 0; a < shape.size(); ++a) {
      const int64_t reach = position.coef[a] * (shape[a] - 1);
      (reach < 0 ? low : high) += reach;
    }
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

std::optional<Operand> compact(const Operand& operand, DType to, const std::vector<bool>& last) {
  const View& view = operand.view;
  std::optional<std::vector<Coordinate>> all = coordinates(view);
  if (!all) return std::nullopt;
  double places = 1;
  for (Coordinate& c : *all) {
    places *= double(c.size());
    for (int a = 0; a < view.rank(); ++a) c.last |= last[size_t(a)] && c.position.coef[a] != 0;
  }
  const double original = double(operand.buffer->bytes()) / double(teeny::itemsize(operand.dtype));
  if (places > 4 * original + 4096 || all->size() > size_t(teeny::kMaxRank)) return std::nullopt;
  std::ranges::stable_sort(*all, [](const Coordinate& x, const Coordinate& y) {
    return x.last != y.last ? y.last : std::abs(x.stride) > std::abs(y.stride);
  });

  // Copy coordinate by coordinate: the read view has the guards, one an axis.
  const int rank = int(all->size());
  View read{{}, {{}, view.address.offset}, {}};
  for (const Coordinate& c : *all) {
    read.shape.push_back(c.size());
    read.address.coef.push_back(c.stride);
    read.address.offset += c.stride * (c.low - c.position.offset);
  }
  for (const Guard& guard : view.guards)
    for (int i = 0; i < rank; ++i) {
      const Coordinate& c = (*all)[size_t(i)];
      bool same = true;
      for (int a = 0; a < view.rank(); ++a)
        same &= view.shape[a] == 1 || c.position.coef[a] == guard.position.coef[a];
      if (!same) continue;
      Guard g{{Dims::filled(rank, 0), c.low - c.position.offset + guard.position.offset}, guard.size};
      g.position.coef[i] = 1;
      read.guards.push_back(g);
      break;
    }
  Operand copy{std::make_shared<Buffer>(size_t(read.numel() * teeny::itemsize(to))), to, View::contiguous(read.shape)};
  run_kernel(RowKernel{read.shape, 0, {Input{Input::Kind::Memory, {operand.buffer, operand.dtype, read}}},
                       {{Load{0}, operand.dtype}, {teeny::UnaryOp::Cast, to, {0, -1, -1}}}, {Output{copy, 1}}});

  const Dims strides = teeny::row_major(read.shape);
  copy.view = {view.shape, {Dims::filled(view.rank(), 0), 0}, {}};
  for (int i = 0; i < rank; ++i) {
    const Coordinate& c = (*all)[size_t(i)];
    copy.view.address.offset += strides[i] * (c.position.offset - c.low);
    for (int a = 0; a < view.rank(); ++a) copy.view.address.coef[a] += strides[i] * c.position.coef[a];
  }
  return copy;
}

}  // namespace tinyops::cpu
