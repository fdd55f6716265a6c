#pragma once
// Views on views: what a chain of movements makes of a buffer.
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "teeny/graph/base.h"

namespace teeny {

/// `outer` looks at the elements of `inner` in row-major order: the one View that does both, where there is one.
std::optional<View> compose(const View& outer, const View& inner);

/// Views stacked on each other, the first nearest to the buffer: what one View cannot say, several can. They are merged
/// as soon as they can be; a scheduler that meets more than one inserts a copy.
class ShapeTracker {
 public:
  ShapeTracker() : ShapeTracker(Shape{}) {}
  explicit ShapeTracker(const Shape& shape) : views_{View::contiguous(shape)} {}
  explicit ShapeTracker(View view) : views_{std::move(view)} {}
  explicit ShapeTracker(std::span<const View> stack) : views_(stack.begin(), stack.end()) {}

  const Shape& shape() const { return views_.back().shape; }
  std::span<const View> views() const { return views_; }
  bool is_single() const { return views_.size() == 1; }
  const View& view() const { return views_.back(); }  ///< the last, nearest to the user
  bool is_contiguous() const { return is_single() && view().is_contiguous(); }

  ShapeTracker permute(const Dims& axes) const { return with(view().permute(axes)); }
  ShapeTracker expand(const Shape& to) const { return with(view().expand(to)); }
  ShapeTracker pad(const Dims& before, const Dims& after) const { return with(view().pad(before, after)); }
  ShapeTracker shrink(const Dims& begin, const Dims& end) const { return with(view().shrink(begin, end)); }
  ShapeTracker flip(const Dims& axes) const { return with(view().flip(axes)); }
  ShapeTracker diagonal(int a, int b) const { return with(view().diagonal(a, b)); }
  ShapeTracker unfold(int axis, int64_t size, int64_t step, int64_t dilation) const {
    return with(view().unfold(axis, size, step, dilation));
  }
  ShapeTracker reshape(const Shape& to) const;

 private:
  ShapeTracker with(View last) const;
  std::vector<View> views_;
};

}  // namespace teeny
