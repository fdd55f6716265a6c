#include "teeny/graph/shape_tracker.h"

#include <algorithm>
#include <utility>

namespace teeny {
namespace {

int64_t floor_div(int64_t a, int64_t b) {
  if (b < 0) a = -a, b = -b;
  return a / b - (a % b < 0);
}

/// The view without the strides of axes of size 1: their index is always 0, and a form that seems to move along them
/// would look like one of several axes.
View without_still_axes(const View& view) {
  View result = view;
  for (int a = 0; a < view.rank(); ++a) {
    if (view.shape[a] != 1) continue;
    result.address.coef[a] = 0;
    for (Guard& guard : result.guards) guard.position.coef[a] = 0;
  }
  return result;
}

/// Where each axis of an index can lie while every guard on that axis alone holds.
std::vector<Interval> valid_box(const View& view) {
  std::vector<Interval> box = index_box(view.shape);
  for (const Guard& guard : view.guards) {
    int axis = -1, used = 0;
    for (int a = 0; a < view.rank(); ++a)
      if (guard.position.coef[a] != 0) axis = a, ++used;
    if (used != 1) continue;
    const int64_t c = guard.position.coef[axis];
    int64_t low = -guard.position.offset, high = guard.size - 1 - guard.position.offset;
    if (c < 0) std::swap(low, high);
    const int64_t first = -floor_div(-low, c), last = floor_div(high, c);
    box[axis].low = std::max(box[axis].low, first);
    box[axis].high = std::min(box[axis].high, last);
  }
  return box;
}

/// Whether `form` stays inside [0, size) wherever the view's guards hold.
bool stays_inside(const Affine& form, int64_t size, const View& view, std::span<const Interval> box) {
  Interval r = interval(form, box);
  for (const Guard& guard : view.guards)
    if (guard.position.coef == form.coef) {
      const int64_t shift = form.offset - guard.position.offset;
      r.low = std::max(r.low, shift);
      r.high = std::min(r.high, shift + guard.size - 1);
    }
  return r.low > r.high || (r.low >= 0 && r.high < size);
}

/// Splits an address in the row-major space of `shape` into one affine form an axis, like digits of a number. An offset
/// can be split in more than one way; `balanced` chooses the one in which the lower digits start at 0 in `box`.
std::vector<Affine> digits(Affine address, const Shape& shape, std::span<const Interval> box, bool balanced) {
  std::vector<Affine> result;
  const Dims places = row_major(shape);
  for (int j = 0; j < shape.size(); ++j) {
    Affine digit{Dims::filled(address.coef.size(), 0), 0};
    for (int a = 0; a < address.coef.size(); ++a) {
      digit.coef[a] = address.coef[a] / places[j];
      address.coef[a] %= places[j];
    }
    const int64_t lowest = balanced ? interval(address, box).low : 0;
    digit.offset = balanced ? floor_div(lowest, places[j]) : address.offset / places[j];
    address.offset -= digit.offset * places[j];
    result.push_back(digit);
  }
  return result;
}

/// `form`, a function of the inner index, with each inner axis replaced by its digit.
Affine substitute(const Affine& form, std::span<const Affine> digit, int rank) {
  Affine result{Dims::filled(rank, 0), form.offset};
  for (int j = 0; j < form.coef.size(); ++j) {
    result.offset += form.coef[j] * digit[j].offset;
    for (int a = 0; a < rank; ++a) result.coef[a] += form.coef[j] * digit[j].coef[a];
  }
  return result;
}

}  // namespace

std::optional<View> compose(const View& strided, const View& inner) {
  if (inner.is_contiguous() || strided.numel() == 0) return strided;
  if (strided.is_contiguous() && strided.shape == inner.shape) return inner;
  const View outer = without_still_axes(strided);
  const std::vector<Interval> box = valid_box(outer);
  for (bool balanced : {true, false}) {
    const std::vector<Affine> digit = digits(outer.address, inner.shape, box, balanced);
    bool carries = false;  // a digit that leaves its axis would spill into the next one
    for (int j = 0; j < inner.rank(); ++j) carries |= !stays_inside(digit[j], inner.shape[j], outer, box);
    if (carries) continue;
    View result{outer.shape, substitute(inner.address, digit, outer.rank()), outer.guards};
    for (const Guard& guard : inner.guards)
      result.guards.push_back({substitute(guard.position, digit, outer.rank()), guard.size});
    return result.simplified();
  }
  return std::nullopt;
}

ShapeTracker ShapeTracker::with(View last) const {
  ShapeTracker result = *this;
  result.views_.back() = std::move(last);
  while (result.views_.size() > 1) {
    std::optional<View> merged = compose(result.views_.back(), result.views_[result.views_.size() - 2]);
    if (!merged) break;
    result.views_.pop_back();
    result.views_.back() = std::move(*merged);
  }
  return result;
}

ShapeTracker ShapeTracker::reshape(const Shape& to) const {
  if (std::optional<View> view = views_.back().reshape(to)) return with(std::move(*view));
  ShapeTracker result = *this;
  result.views_.push_back(View::contiguous(to));
  return result;
}

}  // namespace teeny
