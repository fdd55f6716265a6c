#include "tinyops/cpu/axis_cursor.h"

namespace tinyops::cpu {

AxisCursor::AxisCursor(const Operand& operand, int axis)
    : view_(&operand.view), length_(operand.view.shape[axis]), itemsize_(itemsize(operand.dtype)),
      widen_(widen_op(operand.dtype)), round_(round_op(operand.dtype)) {
  forms_.push_back({{view_->address.coef[axis]}, {}, 0, 0});
  for (const Guard& guard : view_->guards) forms_.push_back({{guard.position.coef[axis]}, {}, 0, guard.size});
  if (forms_.size() > size_t(kMaxForms)) fail("cpu: a view with ", forms_.size() - 1, " guards");
  access_ = {forms_.data(), int(forms_.size()), static_cast<char*>(operand.buffer->data()),
           int64_t(operand.buffer->bytes()) / itemsize_};
}

void AxisCursor::locate(const Dims& index, int64_t* at) const {
  at[0] = view_->address.at(index);
  for (size_t g = 0; g < view_->guards.size(); ++g) at[g + 1] = view_->guards[g].position.at(index);
}

void AxisCursor::read(const Dims& index, int64_t n, void* tile) const {
  int64_t at[kMaxForms];
  locate(index, at);
  const TileRegion region{{length_}, {0}, n};
  if (!widen_) return gather(access_, at, region, itemsize_, tile);
  uint16_t stored[kTile];
  gather(access_, at, region, itemsize_, stored);
  widen_(n, tile, stored, nullptr, nullptr);
}

void AxisCursor::write(const Dims& index, int64_t n, const void* tile) const {
  int64_t at[kMaxForms];
  locate(index, at);
  const TileRegion region{{length_}, {0}, n};
  if (!round_) return scatter(access_, at, region, itemsize_, tile, false);
  uint16_t stored[kTile];
  round_(n, stored, tile, nullptr, nullptr);
  scatter(access_, at, region, itemsize_, stored, false);
}

}  // namespace tinyops::cpu
