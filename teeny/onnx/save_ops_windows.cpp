#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_windows(SaveOps&) {}

}  // namespace teeny::onnx
