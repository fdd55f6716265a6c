// Functions of one element, or of two in the same place.
#include "teeny/onnx/ops.h"

namespace teeny::onnx {

void add_elementwise(Ops& ops) {
  ops["Relu"] = [](Call& call) { return call.x().relu(); };
  ops["Add"] = [](Call& call) { return call.x() + call.x(1); };
}

}  // namespace teeny::onnx
