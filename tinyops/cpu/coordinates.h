#pragma once
// What a view of windows was before: an image, whose rows and columns several axes of the view move along together.
//
//   a view's axes (oh, kh)          coordinates it really has
//
//   address  W * (oh + kh - 1) +..  y = oh + kh - 1, from -1 to H
//   guard    0 <= oh + kh - 1 < H   x = ow + kw - 1, from -1 to W
//
// Every guard's position is a coordinate; so is every axis without a guard, and axes whose steps interlock (a window
// without padding) share one. The address is a sum of strides times coordinates.
#include <optional>
#include <vector>

#include "tinyops/base/shape.h"

namespace tinyops::cpu {

struct Coordinate {
  Affine position;     ///< over the view's axes
  int64_t stride = 0;  ///< of the original address along it
  int64_t low = 0, high = 0;

  int64_t size() const { return high - low + 1; }
};

/// Takes the view's address apart into coordinates, or returns nothing. Every guard's position is one, but for its
/// offset; no axis moves along two of them.
std::optional<std::vector<Coordinate>> find_coordinates(const View& view);

}  // namespace tinyops::cpu
