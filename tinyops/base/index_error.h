#pragma once
// The Error for an index outside of the axis that it picks from. It shows when a kernel runs, whose index may lie
// differently than the one the user gave: of labels (N) a kernel over (N, classes) repeats each along the classes.
#include <optional>
#include <string_view>

#include "tinyops/base/shape.h"

namespace tinyops {

/// Whose index a kernel looks up.
struct IndexOrigin {
  /// What the user called. With a colon it is the whole message: of a condition, which picks from one element, and is
  /// outside where it does not hold.
  const char* op;
  std::optional<Shape> given = {};  ///< the shape of the user's index; unset: it is the kernel's
  int axis = -1;                    ///< the kernel's axis along which the elements of `given` lie, or else all

  IndexOrigin(const char* op, std::optional<Shape> given = {}, int axis = -1) : op(op), given(given), axis(axis) {}
  bool operator==(const IndexOrigin& other) const {
    return std::string_view(op) == other.op && given == other.given && axis == other.axis;
  }
};

inline std::ostream& operator<<(std::ostream& out, const IndexOrigin& origin) { return out << origin.op; }

/// The index of element `linear` of `shape`, in row-major order.
inline Dims unravel(int64_t linear, Dims shape) {
  for (int a = shape.size() - 1; a >= 0; --a) {
    const int64_t size = shape[a];
    shape[a] = linear % size, linear /= size;
  }
  return shape;
}

/// What a backend throws for an `index` at `position` of the index in a kernel of `shape`.
[[noreturn]] inline void fail_outside(const IndexOrigin& origin, int64_t index, Dims position, const Shape& shape,
                                      int64_t size) {
  if (std::string_view(origin.op).find(':') != std::string_view::npos) fail(origin);
  if (origin.given) {
    int64_t element = 0;
    for (int a = 0; a < shape.size(); ++a) element = element * shape[a] + position[a];
    position = unravel(origin.axis < 0 ? element : position[origin.axis], *origin.given);
  }
  fail(origin, ": index ", index, " at position ", position, " is outside 0 <= index < ", size);
}

}  // namespace tinyops
