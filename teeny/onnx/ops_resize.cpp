#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_resize(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
