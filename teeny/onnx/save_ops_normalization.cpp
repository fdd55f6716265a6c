#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_normalization(SaveOps&) {}

}  // namespace teeny::onnx
