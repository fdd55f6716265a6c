#include "tinyops/cpu/axis_cursor.h"

namespace tinyops::cpu {

AxisCursor::AxisCursor(const Operand& operand, const Dims& axes, int picked)
    : view_(&operand.view), axes_(axes), itemsize_(itemsize(operand.dtype)),
      elements_(int64_t(operand.buffer->bytes()) / itemsize_), memory_(static_cast<char*>(operand.buffer->data())),
      widen_(conversion(operand.dtype, true)), round_(conversion(operand.dtype, false)), at_(1 + view_->guards.size()) {
  if (at_.size() > size_t(kMaxForms)) fail("cpu: a view with ", view_->guards.size(), " guards");
  auto along = [&](const Dims& values, int64_t without_axes) {
    Dims result;
    for (int64_t a : axes) result.push_back(values[int(a)]);
    if (axes.empty()) result.push_back(without_axes);
    return result;
  };
  auto add = [&](const Affine& form, int64_t size) {
    forms_.push_back({along(form.coef, 0), {picked < 0 ? 0 : form.coef[picked]}, 0, size});
  };
  add(view_->address, 0);
  for (const Guard& guard : view_->guards) add(guard.position, guard.size);
  region_.lanes = along(view_->shape, 1);
  region_.start = Dims::filled(region_.lanes.size(), 0);
  if (forms_.size() == 1) block_ = Block(forms_.data(), 1, region_.lanes);
}

void AxisCursor::go_to(const Dims& index) {
  at_[0] = view_->address.at(index);
  for (size_t g = 0; g < view_->guards.size(); ++g) at_[g + 1] = view_->guards[g].position.at(index);
  for (int i = 0; i < axes_.size(); ++i) region_.start[i] = index[int(axes_[i])];
}

void AxisCursor::read(int64_t n, void* tile) {
  uint16_t stored[kTile];
  region_.n = n;
  gather(access(), at_.data(), region_, itemsize_, widen_ ? stored : tile);
  if (widen_) widen_(n, tile, stored, nullptr, nullptr);
}

void AxisCursor::write(int64_t n, const void* tile) {
  uint16_t stored[kTile];
  region_.n = n;
  if (round_) round_(n, stored, tile, nullptr, nullptr);
  scatter(access(), at_.data(), region_, itemsize_, round_ ? stored : tile, false);
}

bool AxisCursor::moves() const {
  return std::ranges::any_of(forms_, [](const AffineForm& form) { return form.lane.back() != 0; });
}

int64_t AxisCursor::run(int64_t pick, int64_t& begin, int64_t& end) const {
  auto value = [&](size_t f) { return at_[f] + forms_[f].fixed[0] * pick; };
  for (size_t f = 1; f < forms_.size(); ++f) clip(value(f), forms_[f].lane[0], forms_[f].size, begin, end);
  const int64_t address = value(0);
  if (begin < end) check_inside(address + stride() * begin, address + stride() * (end - 1), elements_);
  return address;
}

Dims row_index(const Shape& shape, int64_t row, int axis, int other) {
  Dims index = Dims::filled(shape.size(), 0);
  for (int a = shape.size() - 1; a >= 0; --a) {
    if (a == axis || a == other) continue;
    index[a] = row % shape[a];
    row /= shape[a];
  }
  return index;
}

}  // namespace tinyops::cpu
