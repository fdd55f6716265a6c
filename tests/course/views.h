#pragma once
// For checks of views: where in its buffer each element lies.
#include <string>
#include <vector>

#include "tests/course/check.h"

namespace course {

/// The address of each element in row-major order; -1 where a guard says that there is none.
inline std::vector<int64_t> addresses(const tinyops::View& v) {
  std::vector<int64_t> result;
  tinyops::Dims i = tinyops::Dims::filled(v.rank(), 0);
  for (int64_t left = v.numel(); left > 0; --left) {
    result.push_back(v.valid(i) ? v.address.at(i) : -1);
    for (int a = v.rank() - 1; a >= 0 && ++i[a] == v.shape[a]; --a) i[a] = 0;
  }
  return result;
}

/// The addresses of a view of shape `to` that shows at index i what `x` shows at from(i); outside of `x` there is none.
template <class F>
std::vector<int64_t> moved(const tinyops::View& x, const tinyops::Shape& to, F from) {
  std::vector<int64_t> result;
  tinyops::Dims i = tinyops::Dims::filled(to.size(), 0);
  for (int64_t left = tinyops::numel(to); left > 0; --left) {
    const tinyops::Dims at = from(i);
    bool inside = true;
    for (int a = 0; a < at.size(); ++a) inside &= 0 <= at[a] && at[a] < x.shape[a];
    result.push_back(inside && x.valid(at) ? x.address.at(at) : -1);
    for (int a = to.size() - 1; a >= 0 && ++i[a] == to[a]; --a) i[a] = 0;
  }
  return result;
}

/// Strides, an offset and perhaps a guard, made by hand: no movement that a student writes has a part in it.
inline tinyops::View random_view() {
  tinyops::Shape shape;
  for (int64_t rank = pick(1, 3); rank > 0; --rank) shape.push_back(pick(1, 4));
  tinyops::View v = tinyops::View::contiguous(shape);
  v.address.offset = pick(0, 5);
  for (int a = 0; a < v.rank(); ++a) v.address.coef[a] = v.address.coef[a] * pick(1, 3) + pick(0, 1);
  if (pick(0, 1)) {
    tinyops::Guard guard{{tinyops::Dims::filled(v.rank(), 0), -1}, shape[0]};
    guard.position.coef[0] = 1;
    v.guards.push_back(guard);
  }
  return v;
}

/// As `same`, with the buffer drawn once between the wanted view and the student's, and an arrow from each element of
/// a row to its place.
void same_view(const std::string& what, const tinyops::View& yours, const std::vector<int64_t>& want);

}  // namespace course
