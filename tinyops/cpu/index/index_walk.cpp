#include "tinyops/cpu/index/index_walk.h"

#include <cstdlib>

#include "tinyops/base/merge_axes.h"

namespace tinyops::cpu {

std::optional<IndexWalk> IndexWalk::of(const Operand& index, const Operand& picked, const Operand& other) {
  const View* views[] = {&index.view, &picked.view, &other.view};
  IndexWalk walk;
  walk.shape_ = index.view.shape;
  std::array<Dims*, 3> strides;
  for (size_t o = 0; o < 3; ++o) {
    if (!views[o]->guards.empty()) return std::nullopt;
    walk.begin_[o] = views[o]->address.offset;
    walk.strides_[o] = views[o]->address.coef;
    strides[o] = &walk.strides_[o];
  }
  walk.pick_ = walk.strides_[kPicked].back();
  walk.picked_size_ = picked.view.shape.back();
  walk.strides_[kPicked].erase(walk.shape_.size());
  merge_axes(walk.shape_, strides);
  if (walk.shape_.empty()) {
    walk.shape_ = {1};
    for (Dims* s : strides) *s = {0};
  }
  walk.rows_ = walk.length() ? numel(walk.shape_) / walk.length() : 0;
  return walk;
}

std::optional<int> IndexWalk::independent_axis() const {
  std::optional<int> best;
  const Dims& strides = strides_[kPicked];
  for (int a = 0; a < shape_.size(); ++a) {
    const int64_t step = std::abs(strides[a]), reach = step * shape_[a];
    if (reach == 0 || (best && shape_[a] <= shape_[*best])) continue;
    int64_t below = 0;  // how far the axes of smaller strides go: less than a step
    const auto other = [&](int64_t stride, int64_t size) {
      if (stride >= reach && stride % reach == 0) return;  // whole multiples of all that this axis covers
      below += stride * (size - 1);
    };
    for (int b = 0; b < shape_.size(); ++b)
      if (b != a) other(std::abs(strides[b]), shape_[b]);
    other(std::abs(pick_), picked_size_);
    if (below < step) best = a;
  }
  return best;
}

IndexWalk IndexWalk::part(int a, int64_t begin, int64_t end) const {
  IndexWalk walk = *this;
  for (size_t o = 0; o < 3; ++o) walk.begin_[o] += begin * strides_[o][a];
  walk.shape_[a] = end - begin;
  walk.rows_ = walk.length() ? numel(walk.shape_) / walk.length() : 0;
  return walk;
}

void StoredIndices::read(int64_t address, int64_t step, int64_t n, int64_t* to) const {
  visit(address, [&](const auto* indices) {
    if (step == 1) std::copy_n(indices, n, to);
    else
      for (int64_t i = 0; i < n; ++i) to[i] = indices[i * step];
  });
}

bool IndexWalk::all_inside(const Operand& index) const {
  IndexWalk each = *this;  // along an axis on which the index stands still it is looked at once
  for (int a = 0; a < shape_.size(); ++a)
    if (strides_[kIndex][a] == 0) each = each.part(a, 0, std::min<int64_t>(shape_[a], 1));
  bool outside = false;
  StoredIndices(index).visit(0, [&](const auto* indices) {
    const uint64_t size = uint64_t(picked_size_);
    each.for_rows(0, each.rows(), [&](const Addresses& at) {
      const auto* row = indices + at[kIndex];
      const int64_t step = each.stride(kIndex);
      bool found = false;
      for (int64_t i = 0; i < each.length(); ++i) found |= uint64_t(int64_t(row[i * step])) >= size;
      outside |= found;
    });
  });
  return !outside;
}

}  // namespace tinyops::cpu
