#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_shapes(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
