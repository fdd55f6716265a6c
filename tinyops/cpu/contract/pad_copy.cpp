// A padded, windowed or 16-bit operand of a product becomes a plain one: what it sees is copied once.
//
//   a view's axes (oh, kh)          coordinates it really has        memory of the copy
//                                                                    0 0 0 0 0 0
//   address  W * (oh + kh - 1) +..  y = oh + kh - 1, from -1 to H    0 x x x x 0   one place for each y and x, the
//   guard    0 <= oh + kh - 1 < H   x = ow + kw - 1, from -1 to W    0 x x x x 0   windows slide over it as before
//                                                                    0 0 0 0 0 0
//
// The address is a sum of strides times coordinates (coordinates.h), and so is that of the copy.
#include "tinyops/cpu/contract/pad_copy.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "tinyops/common/contraction.h"
#include "tinyops/cpu/coordinates.h"
#include "tinyops/cpu/parallel.h"

namespace tinyops::cpu {
namespace {

constexpr int64_t kMostParts = 8;
constexpr int64_t kChunk = 4096;  // elements that are copied at a time

/// The innermost of the view's axes that move along it.
int last_axis(const Coordinate& c) {
  int a = c.position.coef.size() - 1;
  while (a >= 0 && c.position.coef[a] == 0) --a;
  return a;
}

/// As in the original; where an axis of size 1 has left two of them one stride, in the order of the view's axes.
void sort(std::vector<Coordinate>& all) {
  std::ranges::stable_sort(all, [](const Coordinate& x, const Coordinate& y) {
    if (std::abs(x.stride) != std::abs(y.stride)) return std::abs(x.stride) > std::abs(y.stride);
    return last_axis(x) < last_axis(y);
  });
}

/// How a coordinate is folded, if one axis steps along it and one tap axis, too.
Fold fold_of(const Coordinate& c, const View& view, int taps) {
  Fold fold;
  const int first_tap = view.rank() - taps;
  for (int a = 0; a < view.rank(); ++a) {
    const int64_t coef = view.shape[a] == 1 ? 0 : c.position.coef[a];
    if (coef == 0) continue;
    if (coef < 0 || (a < first_tap ? fold.step > 1 || coef == 1 || coef > kMostParts : fold.axis >= 0)) return {};
    if (a < first_tap) fold.step = coef;
    else fold.axis = a, fold.dilation = coef;
  }
  if (fold.axis < 0 || fold.step == 1) return {};
  fold.part = (c.size() + fold.step - 1) / fold.step;
  return fold;
}

/// The same for the innermost coordinate that can be folded, which becomes the innermost of all.
Fold take_fold(std::vector<Coordinate>& all, const View& view, int taps) {
  for (auto c = all.end(); c-- != all.begin();)
    if (const Fold fold = fold_of(*c, view, taps); fold.step > 1) {
      std::rotate(c, c + 1, all.end());
      return fold;
    }
  return {};
}

/// A coordinate of the copy: elements from `first` to before `last` are there, all around them zeros: 0 0 x x x 0.
struct Side {
  int64_t size, first, last, stride;  ///< of the original
};

/// A line of the innermost coordinate, or what a window's taps see of it, one part behind the other.
template <class From, class To>
void copy_line(const Side& line, const Fold& fold, const From* from, To* to) {
  for (int64_t f = 0; f < fold.step; ++f, from += line.stride, to += fold.part) {
    // Elements f, f + step, f + 2 step .., of which those from `first` on are there.
    const int64_t first = std::max<int64_t>(0, (line.first - f + fold.step - 1) / fold.step);
    const int64_t last = std::max(first, (line.last - f + fold.step - 1) / fold.step), stride = line.stride * fold.step;
    if (std::is_same_v<From, To> && stride == 1)
      std::memcpy(to + first, from + first, size_t(last - first) * sizeof(To));
    else if (stride == 1)
      for (int64_t i = first; i < last; ++i) to[i] = To(from[i]);
    else if (stride == 2)  // packets, too
      for (int64_t i = first; i < last; ++i) to[i] = To(from[2 * i]);
    else
      for (int64_t i = first; i < last; ++i) to[i] = To(from[i * stride]);
  }
}

/// All lines. `from` is where all coordinates are 0, be it there or not.
template <class From, class To>
void copy_lines(const std::vector<Side>& sides, const Fold& fold, const From* from, To* to) {
  const Side& line = sides.back();
  const Side lines = sides.size() > 1 ? sides[sides.size() - 2] : Side{1, 0, 1, 0};  // of a plane
  int64_t planes = 1;
  bool whole = fold.step == 1;
  for (size_t i = 0; i + 2 < sides.size(); ++i) planes *= sides[i].size;
  for (const Side& side : sides) whole &= side.first == 0 && side.last == side.size;
  const int64_t length = fold.step == 1 ? line.size : fold.step * fold.part, all = planes * lines.size;
  const int64_t chunk = std::max<int64_t>(1, kChunk / length);
  parallel((all + chunk - 1) / chunk, all * length, [&] {
    return [&](int64_t piece) {
      const int64_t end = std::min(all, (piece + 1) * chunk);
      int64_t l = piece * chunk;
      if (!whole) std::fill_n(to + l * length, (end - l) * length, To(0));  // the first-level cache holds it
      while (l < end) {
        int64_t start = 0, plane = l / lines.size;
        bool inside = line.first < line.last;
        for (size_t i = sides.size() - 1; i-- > 1; plane /= sides[i - 1].size) {
          const int64_t x = plane % sides[i - 1].size;
          inside &= sides[i - 1].first <= x && x < sides[i - 1].last;
          start += x * sides[i - 1].stride;
        }
        for (int64_t y = l % lines.size; y < lines.size && l < end; ++y, ++l)
          if (inside && lines.first <= y && y < lines.last)
            copy_line(line, fold, from + start + y * lines.stride, to + l * length);
      }
    };
  });
}

}  // namespace

bool can_pad_copy(const Operand& operand) {
  const std::optional<std::vector<Coordinate>> all = find_coordinates(operand.view);
  if (!all) return false;
  double places = 1, seen = 1;
  for (const Coordinate& c : *all) places *= double(c.size());
  for (int a = 0; a < operand.view.rank(); ++a)
    if (moves(operand.view, a)) seen *= double(operand.view.shape[a]);
  return places <= 4 * seen + 4096;
}

bool can_fold(const Operand& operand, int taps) {
  const View& view = operand.view;
  // Most views have no axis that steps: no need to look closer.
  bool any = false;
  for (int a = 0; a < view.rank() - taps; ++a)
    any |= view.shape[a] > 1 && view.address.coef[a] > 1 && view.address.coef[a] <= kMostParts;
  if (!any) return false;
  std::optional<std::vector<Coordinate>> all = find_coordinates(view);
  if (!all || all->empty()) return false;
  sort(*all);
  return take_fold(*all, view, taps).step > 1;
}

Copy pad_copy(const Operand& operand, DType to, int taps) {
  const View& view = operand.view;
  std::vector<Coordinate> all = find_coordinates(view).value();
  sort(all);
  if (all.empty()) all.push_back({Affine{Dims::filled(view.rank(), 0), 0}});  // one element
  const Fold fold = take_fold(all, view, taps);

  Shape sizes;
  std::vector<Side> sides;
  int64_t start = view.address.offset;
  for (const Coordinate& c : all) {
    Side side{c.size(), 0, c.size(), c.stride};
    for (const Guard& guard : view.guards) {
      bool same = true;
      for (int a = 0; a < view.rank(); ++a) same &= view.shape[a] == 1 || c.position.coef[a] == guard.position.coef[a];
      if (!same) continue;
      const int64_t position = c.low - c.position.offset + guard.position.offset;  // of element 0
      side.first = std::max(side.first, -position), side.last = std::min(side.last, guard.size - position);
    }
    sides.push_back(side), sizes.push_back(side.size);
    start += c.stride * (c.low - c.position.offset);
  }
  if (fold.step > 1) sizes[-1] = fold.step * fold.part;
  Operand result{std::make_shared<Buffer>(size_t(numel(sizes) * itemsize(to))), to, {}};
  const auto copy = [&]<class From, class To>(From, To) {
    copy_lines(sides, fold, static_cast<const From*>(operand.buffer->data()) + start,
               static_cast<To*>(result.buffer->data()));
  };
  if (operand.dtype == DType::Float64) copy(double{}, double{});
  else if (operand.dtype == DType::Float32) copy(float{}, float{});
  else if (operand.dtype == DType::Float16) copy(float16{}, float{});
  else copy(bfloat16{}, float{});

  const Dims strides = row_major(sizes);
  result.view = {view.shape, {Dims::filled(view.rank(), 0), 0}, {}};
  for (int i = 0; i < strides.size(); ++i) {
    const Coordinate& c = all[size_t(i)];
    const bool folded = fold.step > 1 && i == strides.size() - 1;
    if (!folded) result.view.address.offset += strides[i] * (c.position.offset - c.low);
    for (int a = 0; a < view.rank(); ++a)
      if (!folded) result.view.address.coef[a] += strides[i] * c.position.coef[a];
      else if (a != fold.axis) result.view.address.coef[a] += c.position.coef[a] / fold.step;
  }
  return {result, fold};
}

}  // namespace tinyops::cpu
