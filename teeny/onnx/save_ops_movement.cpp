// Operations that move elements, and leave their values what they are.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

void add_save_movement(SaveOps& ops) {
  ops["detach"] = ops["Contiguous"] = [](SavedCall& call) -> Names { return call.x(); };
  ops["Reshape"] = [](SavedCall& call) -> Names {
    if (const auto reduced = reduce_and_drop(call)) return *reduced;
    return call.reshape(call.x(), call.shape(), call.result_shape());
  };
  ops["permute"] = [](SavedCall& call) -> Names { return call.transpose(call.x(), call.dims("axes")); };
  ops["Expand"] = [](SavedCall& call) -> Names {
    return call.node("Expand", {call.x(), call.integers(call.result_shape())});
  };
  ops["shrink"] = [](SavedCall& call) -> Names {
    const Ints begin = call.ints("begin"), end = call.ints("end"), shape = call.shape();
    Ints from, to;
    Dims axes;
    for (int a = 0; a < call.rank(); ++a) {
      const size_t i = size_t(a);
      if (begin[i] == Int(0) && end[i] == shape[i]) continue;
      axes.push_back(a), from.push_back(begin[i]);
      to.push_back(end[i] == shape[i] ? Int(INT64_MAX) : end[i]);
    }
    return call.slice(call.x(), from, to, axes);
  };
  ops["flip"] = [](SavedCall& call) -> Names {
    const Dims axes = call.dims("axes");
    const int n = axes.size();
    return call.node("Slice", {call.x(), call.integers(Dims::filled(n, -1), "begin"),
                               call.integers(Dims::filled(n, INT64_MIN), "end"), call.integers(axes),
                               call.integers(Dims::filled(n, -1), "steps")});
  };
  ops["pad"] = [](SavedCall& call) -> Names {
    Ints amounts = call.ints("before");
    for (const Int& after : call.ints("after")) amounts.push_back(after);
    const Scalar value = call.scalar("value");
    const bool zero = value.as<double>() == 0;
    return call.node("Pad",
                     {call.x(), call.integers(amounts, "pads"), zero ? Name() : call.scalar(value, call.dtype())});
  };
}

}  // namespace teeny::onnx
