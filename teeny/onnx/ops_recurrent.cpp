#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_recurrent(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
