#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_products(Ops& ops) {
  (void)ops;
}

}  // namespace teeny::onnx
