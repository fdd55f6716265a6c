#pragma once
// Which elements of a buffer a view touches, found from its numbers alone: what the verifier (verify.cpp) asks. The
// numbers are a file's, so nothing here may overflow; `reach` says whether a form is small enough for the rest.
//
//   a convolution's view of its image                 what is proven
//
//   address  W * (oh + kh - 1) + ow + kw - 1          = W * y + x        with y = oh + kh - 1, x = ow + kw - 1
//   guards   0 <= oh + kh - 1 < H                     0 <= y < H         so 0 <= address <= W * (H - 1) + W - 1
//            0 <= ow + kw - 1 < W                     0 <= x < W
#include <optional>
#include <vector>

#include "tinyops/base/shape.h"

namespace teeny::program {

/// No value of a form that passes `reach` is further from 0 than this.
inline constexpr int64_t kFar = int64_t(1) << 40;

/// |offset| + |coef| * size + .., an upper bound of what the form is at any index, and after any of these moves. The
/// largest int64 where that is not enough.
int64_t reach(const tinyops::Affine& form, const tinyops::Shape& shape);

/// Numbers of elements, of at most `limit`: none if there are more, or a size is negative. Of a shape with a 0, 0, if
/// the others are as few.
std::optional<int64_t> count(const tinyops::Shape& shape, int64_t limit);

/// Between which addresses all elements lie that the view's guards let through, or nothing where they let none through.
/// Also for an index between two whole ones: a backend that copies an image before windows slide over it reads what
/// lies between the windows' steps, too. `box`: the sizes of the axes, none of them 0.
std::optional<tinyops::Interval> addresses(const tinyops::View& view, const tinyops::Shape& box);

/// So many places would a copy have of all that the view's guards look at, padding included: what a backend may set
/// aside for it.
double places(const tinyops::View& view);

/// Elements that are written: runs of `length` neighbours, repeated at each stride of `outer`, the largest first.
///
///   columns 2 to 4 of (3, 6)     . . x x x .     first 2, length 3, outer {(6, 3)}
///                                . . x x x .
///                                . . x x x .
struct Region {
  struct Axis {
    int64_t stride, size;
    bool operator==(const Axis&) const = default;
  };
  int64_t first = 0, length = 1;
  std::vector<Axis> outer = {};

  int64_t last() const;
};

/// What the view, which has elements and no guards, writes to; nothing if it might write twice to one element.
std::optional<Region> written_by(const tinyops::View& view, const tinyops::Shape& box);
/// Whether they surely have no element in common.
bool apart(const Region& a, const Region& b);

/// What of a buffer has been written.
class Coverage {
 public:
  /// `steps` are counted down by the work that this takes.
  void add(Region region, int64_t& steps);
  /// Whether this is surely all of `elements`.
  bool is_whole(int64_t elements) const;

 private:
  std::vector<Region> regions_;
};

}  // namespace teeny::program
