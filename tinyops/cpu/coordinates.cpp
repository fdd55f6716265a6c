#include "tinyops/cpu/coordinates.h"

#include <algorithm>
#include <cstdlib>

namespace tinyops::cpu {

static void find_range(Coordinate& c, const Shape& shape) {
  const Interval reach = interval(c.position, index_box(shape));
  c.low = reach.low, c.high = reach.high;
}

std::optional<std::vector<Coordinate>> find_coordinates(const View& view) {
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
      find_range(c, view.shape);
      return left[a] % c.stride == 0 && std::abs(left[a] / c.stride) < c.size();
    };
    auto c = std::find_if(result.begin() + int64_t(guarded), result.end(), interlocks);
    if (c == result.end()) {
      result.push_back({Affine{Dims::filled(rank, 0), 0}, std::abs(left[a])});
      c = result.end() - 1;
    }
    c->position.coef[a] = left[a] / c->stride;
  }
  for (Coordinate& c : result) find_range(c, view.shape);
  return result;
}

}  // namespace tinyops::cpu
