// Padding written out, for the kinds of kernels that know nothing of guards: they address memory in straight lines.
//
//   view      0 0 0 0 0      copied by a row kernel, in row-major order      0 0 0 0 0 0 a b c 0 0 d e f 0 0 0 0 0 0
//             0 a b c 0
//             0 d e f 0
//             0 0 0 0 0
#include "tinyops/common/contraction.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {

Operand without_guards(const Operand& operand) {
  const View view = operand.view.simplified();
  if (view.guards.empty()) return {operand.buffer, operand.dtype, view};
  const Shape& shape = view.shape;
  Dims zeros = Dims::filled(shape.size(), 0), once = shape;  // `once`: a repeated axis has one place
  for (int a = 0; a < shape.size(); ++a)
    if (!moves(view, a) && shape[a] > 0) once[a] = 1;
  const Scratch copy(size_t(numel(once) * itemsize(operand.dtype)));
  Operand result{copy.buffer(), operand.dtype, View::contiguous(once)};
  run_kernel(RowKernel{.shape = once,
                       .inputs = {{.operand = {operand.buffer, operand.dtype, view.shrink(zeros, once)}}},
                       .program = {{.op = Load{0}, .dtype = operand.dtype}},
                       .outputs = {{.operand = result, .value = 0}}});
  result.view = result.view.expand(shape);
  return result;
}

}  // namespace tinyops::cuda
