#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_indexing(SaveOps&) {}

}  // namespace teeny::onnx
