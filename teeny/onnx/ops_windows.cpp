#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_windows(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
