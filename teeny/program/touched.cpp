#include "teeny/program/touched.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

namespace teeny::program {

using tinyops::Affine;
using tinyops::Dims;
using tinyops::Guard;
using tinyops::Interval;
using tinyops::Shape;
using tinyops::View;

namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

int64_t magnitude(int64_t x) { return x == std::numeric_limits<int64_t>::min() ? kMost : std::abs(x); }

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }
int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

/// The form without the axes of one element: its index is always 0 there.
Affine without_still_axes(Affine form, const Shape& box) {
  for (int a = 0; a < box.size(); ++a)
    if (box[a] == 1) form.coef[a] = 0;
  return form;
}

/// What all guards that look at one position, but for its offset, say of it together.
struct Coordinate {
  Affine position;
  int64_t low, high;  ///< of position without its offset
  int axes = 0;       ///< along which it moves
};

void narrow(Interval& x, int64_t low, int64_t high) { x = {std::max(x.low, low), std::min(x.high, high)}; }

std::vector<Coordinate> coordinates(const View& view, const Shape& box) {
  std::vector<Coordinate> result;
  for (const Guard& guard : view.guards) {
    const Affine position = without_still_axes(guard.position, box);
    const auto same = [&](const Coordinate& c) { return c.position.coef == position.coef; };
    auto c = std::ranges::find_if(result, same);
    if (c == result.end())
      c = result.insert(
          c, {{position.coef, 0}, -2 * kFar, 2 * kFar, int(std::ranges::count_if(position.coef, [](int64_t step) {
                return step != 0;
              }))});
    c->low = std::max(c->low, -position.offset);
    c->high = std::min(c->high, guard.size - 1 - position.offset);
  }
  return result;
}

}  // namespace

int64_t reach(const Affine& form, const Shape& shape) {
  int64_t sum = magnitude(form.offset);
  for (int a = 0; a < shape.size(); ++a) {
    int64_t part;
    if (__builtin_mul_overflow(magnitude(form.coef[a]), std::max<int64_t>(shape[a], 1), &part) ||
        __builtin_add_overflow(sum, part, &sum))
      return kMost;
  }
  return sum;
}

std::optional<int64_t> count(const Shape& shape, int64_t limit) {
  int64_t elements = 1;
  for (int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements) || elements > limit)
      return std::nullopt;
  return shape.contains(0) ? 0 : elements;
}

// The guards say of each coordinate between which values it lies. The address is taken apart into multiples of these
// and a rest, and each part is as large as it can be on its own:
//
//   address = k1 * y + k2 * x + rest        y, x: by their guards       rest: by the sizes of its axes
//
// Whatever multiples are taken, this holds; the right ones make it exact.
std::optional<Interval> addresses(const View& view, const Shape& box) {
  std::vector<Coordinate> all = coordinates(view, box);
  std::vector<Interval> index = index_box(box);
  for (const Coordinate& c : all) {
    if (c.axes != 1) continue;  // of one axis: a narrower box, which takes in whole indices
    const int a =
        int(std::ranges::find_if(c.position.coef, [](int64_t step) { return step != 0; }) - c.position.coef.begin());
    const int64_t step = c.position.coef[a], low = step > 0 ? c.low : c.high, high = step > 0 ? c.high : c.low;
    narrow(index[size_t(a)], floor_div(low, step), ceil_div(high, step));
    if (index[size_t(a)].low > index[size_t(a)].high) return std::nullopt;
  }
  // A coordinate of many axes takes with it what one of fewer would tear apart.
  std::ranges::stable_sort(all, [](const Coordinate& x, const Coordinate& y) { return x.axes > y.axes; });
  Affine rest = without_still_axes(view.address, box);
  Interval sum{0, 0};
  for (const Coordinate& c : all) {
    Interval y = interval(c.position, index);
    narrow(y, c.low, c.high);
    if (y.low > y.high) return std::nullopt;
    if (c.axes == 0) continue;
    int first = 0;
    while (c.position.coef[first] == 0) ++first;
    const int64_t k = rest.coef[first] / c.position.coef[first];
    bool fits = true;
    for (int a = 0; a < box.size(); ++a) fits &= c.position.coef[a] == 0 || rest.coef[a] == k * c.position.coef[a];
    int64_t low, high;
    if (!fits || __builtin_mul_overflow(k, k > 0 ? y.low : y.high, &low) ||
        __builtin_mul_overflow(k, k > 0 ? y.high : y.low, &high) || __builtin_add_overflow(sum.low, low, &low) ||
        __builtin_add_overflow(sum.high, high, &high))
      continue;
    sum = {low, high};
    for (int a = 0; a < box.size(); ++a)
      if (c.position.coef[a] != 0) rest.coef[a] = 0;
  }
  const Interval left = interval(rest, index);
  if (__builtin_add_overflow(sum.low, left.low, &sum.low) || __builtin_add_overflow(sum.high, left.high, &sum.high))
    return Interval{-kMost, kMost};
  return sum;
}

double places(const View& view) {
  double result = 1;
  Dims left = without_still_axes(view.address, view.shape).coef;
  for (const Coordinate& c : coordinates(view, view.shape)) {
    const Interval y = interval(c.position, index_box(view.shape));
    result *= double(y.high - y.low + 1);
    for (int a = 0; a < left.size(); ++a)
      if (c.position.coef[a] != 0) left[a] = 0;
  }
  // Windows without padding: axes whose steps interlock move along one coordinate.
  std::vector<std::pair<int64_t, double>> unguarded;  // stride, size
  Dims order = tinyops::range(0, left.size());
  std::ranges::sort(order, {}, [&](int64_t a) { return magnitude(left[int(a)]); });
  for (int64_t a : order) {
    const int64_t step = magnitude(left[int(a)]);
    if (step == 0) continue;
    const auto interlocks = [&](const auto& c) { return step % c.first == 0 && double(step / c.first) < c.second; };
    auto c = std::ranges::find_if(unguarded, interlocks);
    if (c == unguarded.end()) c = unguarded.insert(c, {step, 1});
    c->second += double(step / c->first) * double(view.shape[int(a)] - 1);
  }
  for (const auto& [stride, size] : unguarded) result *= size;
  return result;
}

// ---- What is written ------------------------------------------------------------------------------------------------

int64_t Region::last() const {
  int64_t result = first + length - 1;
  for (const Axis& axis : outer) result += axis.stride * (axis.size - 1);
  return result;
}

std::optional<Region> written_by(const View& view, const Shape& box) {
  Region region{view.address.offset};
  for (int a = 0; a < box.size(); ++a) {
    const int64_t step = view.address.coef[a];
    if (box[a] == 1) continue;
    region.first += std::min<int64_t>(step, 0) * (box[a] - 1);
    region.outer.push_back({magnitude(step), box[a]});
  }
  std::ranges::stable_sort(region.outer, [](const auto& x, const auto& y) { return x.stride > y.stride; });
  int64_t extent = 1;  // of the axes behind
  for (size_t a = region.outer.size(); a-- > 0;) {
    Region::Axis& axis = region.outer[a];
    if (axis.stride < extent) return std::nullopt;  // a step could land among these
    extent += axis.stride * (axis.size - 1);
    const bool is_innermost = a + 1 == region.outer.size();
    if (const int64_t below = is_innermost ? region.length : region.outer[a + 1].stride * region.outer[a + 1].size;
        axis.stride != below)
      continue;
    if (is_innermost) region.length = axis.stride * axis.size, region.outer.pop_back();
    else region.outer[a + 1].size *= axis.size, region.outer.erase(region.outer.begin() + int64_t(a));
  }
  return region;
}

bool apart(const Region& a, const Region& b) {
  if (a.last() < b.first || b.last() < a.first) return true;
  const int64_t begin = std::min(a.first, b.first), end = std::max(a.first + a.length, b.first + b.length);
  const bool in_step = a.outer == b.outer && !a.outer.empty() && end - begin <= a.outer.back().stride;
  return in_step && (a.first + a.length <= b.first || b.first + b.length <= a.first);
}

void Coverage::add(Region region, int64_t& steps) {
  // Regions of one pattern whose runs meet become one; it may then meet others.
  const auto meets = [&](const Region& other) {
    --steps;
    return other.outer == region.outer && other.first <= region.first + region.length &&
           region.first <= other.first + other.length;
  };
  for (auto other = regions_.rbegin(); other != regions_.rend();) {
    if (!meets(*other)) {
      ++other;
      continue;
    }
    const int64_t end = std::max(region.first + region.length, other->first + other->length);
    region.first = std::min(region.first, other->first), region.length = end - region.first;
    while (!region.outer.empty() && region.length >= region.outer.back().stride) {  // no gap is left
      region.length += region.outer.back().stride * (region.outer.back().size - 1);
      region.outer.pop_back();
    }
    regions_.erase(std::next(other).base());
    other = regions_.rbegin();
  }
  regions_.push_back(std::move(region));
}

bool Coverage::is_whole(int64_t elements) const {
  return elements == 0 || std::ranges::any_of(regions_, [&](const Region& region) {
           return region.outer.empty() && region.first <= 0 && region.first + region.length >= elements;
         });
}

}  // namespace teeny::program
