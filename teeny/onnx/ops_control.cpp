#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_control(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
