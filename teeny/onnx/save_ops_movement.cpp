// Operations that move elements, and leave their values what they are.
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// x[k]: an axis is cut to one place, and dropped.
std::optional<Name> take(SavedCall& reshape) {
  if (reshape.maker() != "shrink") return {};
  SavedCall call = reshape.made_by();
  const Ints begin = call.ints("begin"), shape = call.shape(), left = call.result_shape();
  std::optional<size_t> axis;
  for (size_t a = 0; a < shape.size(); ++a)
    if (shape[a] != left[a]) {
      if (axis || left[a] != Int(1) || begin[a].is_open()) return {};
      axis = a;
    }
  Ints kept = shape;
  if (axis) kept.erase(kept.begin() + int(*axis));
  if (!axis || kept != reshape.result_shape()) return {};
  return call.node("Gather", {call.x(), call.scalar(begin[*axis][0], DType::Int64)}, {{"axis", *axis}});
}

}  // namespace

void add_save_movement(SaveOps& ops) {
  ops["detach"] = ops["Contiguous"] = [](SavedCall& call) -> Names { return call.x(); };
  ops["Reshape"] = [](SavedCall& call) -> Names {
    if (const auto reduced = reduce_and_drop(call)) return *reduced;
    if (const auto taken = take(call)) return *taken;
    return call.reshape(call.x(), call.shape(), call.result_shape());
  };
  ops["permute"] = [](SavedCall& call) -> Names {
    Dims axes = call.dims("axes");
    if (call.maker() != "permute") return call.transpose(call.x(), axes);
    SavedCall before = call.made_by();  // both as one
    for (int64_t& axis : axes) axis = before.dims("axes")[int(axis)];
    return call.transpose(before.x(), axes);
  };
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
    if (n == 0) return call.x();
    return call.node("Slice", {call.x(), call.integers(Dims::filled(n, -1), "begin"),
                               call.integers(Dims::filled(n, INT64_MIN), "end"), call.integers(axes),
                               call.integers(Dims::filled(n, -1), "steps")});
  };
  ops["pad"] = [](SavedCall& call) -> Names {
    Ints amounts = call.ints("before");
    for (const Int& after : call.ints("after")) amounts.push_back(after);
    if (amounts == Ints(amounts.size(), 0)) return call.x();
    const Scalar value = call.scalar("value");
    const bool zero = value.as<double>() == 0;
    return call.node("Pad",
                     {call.x(), call.integers(amounts, "pads"), zero ? Name() : call.scalar(value, call.dtype())});
  };
}

}  // namespace teeny::onnx
