#pragma once
// The row kernel: element-wise programs and reductions, tile by tile.
#include <memory>
#include <optional>
#include <vector>

#include "tinyops/cpu/stencil/stencil.h"
#include "tinyops/kernel.h"

namespace tinyops::cpu {

void run_kernel(const RowKernel& kernel);

/// A stencil, and what an element-wise kernel makes of its results. Planned once: small images, as at the end of a net,
/// are done in the time that this takes.
class StencilRows {
 public:
  /// The results go to `out`, and are the epilogue's Input::Kind::Sum. If `out` is one of its outputs, too, they only
  /// wait there for what is stored in the end.
  StencilRows(Stencil stencil, std::optional<Operand> weights, Operand image, Operand out, RowKernel epilogue);
  void run() const;

 private:
  void take_steps();

  Stencil stencil_;
  std::optional<Operand> weights_;
  Operand image_, out_;
  std::vector<BufferRef> scalars_;  ///< that the stencil's steps read
  RowKernel epilogue_;              ///< without what they do
};

}  // namespace tinyops::cpu
