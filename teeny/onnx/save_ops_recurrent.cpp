#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_recurrent(SaveOps&) {}

}  // namespace teeny::onnx
