#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_products(SaveOps&) {}

}  // namespace teeny::onnx
