#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_indexing(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
