#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_attention(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
