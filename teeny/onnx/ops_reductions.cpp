// Along axes: reductions, positions of extremes, running sums, softmax.
#include <cmath>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

namespace {

/// `axes`, of old opsets an attribute; where none are named they are all or, if the node says so, none.
Axes reduced_axes(const Call& call) {
  const auto axes = call.integers("axes", 1);
  if (axes && !axes->empty()) return Dims(axes->begin(), axes->end());
  return call.flag("noop_with_empty_axes") ? Axes(Dims()) : Axes();
}

/// f of the input, whose 16-bit floats are summed as float32; the result has the input's type.
Op reduce(Tensor (*f)(const Tensor& x, const Axes& axes, bool keepdims)) {
  return [f](Call& call) {
    const Tensor x = is_float(call.x().dtype()) ? to_accumulate_dtype(call.x()) : call.x();
    return as_type(f(x, reduced_axes(call), call.flag("keepdims", true)), call.type());
  };
}

/// Of integers cut towards zero, and 0 of none.
Tensor mean(const Tensor& x, const Axes& axes, bool keepdims) {
  if (is_float(x.dtype())) return x.mean(axes, keepdims);
  const Tensor sum = x.sum(axes, keepdims);
  return x.numel() == 0 ? sum : div(sum, x.numel() / sum.numel(), Rounding::Trunc);
}

/// The largest or the smallest; of nothing what the type begins with at the other end.
Op extreme(bool largest) {
  return [largest](Call& call) -> Outputs {
    const Tensor& x = call.x();
    const Axes axes = reduced_axes(call);
    const bool keepdims = call.flag("keepdims", true);
    if (x.dtype() == DType::Bool) return largest ? x.any(axes, keepdims) : x.all(axes, keepdims);
    if (x.numel() == 0) {
      const Range range = range_of(call.type());
      return Tensor::full(x.sum(axes, keepdims).shape(), largest ? range.low : range.high, x.dtype());
    }
    const Tensor y = ordered(x, call.type());
    return ordered(largest ? y.max(axes, keepdims) : y.min(axes, keepdims), call.type());
  };
}

/// Where the largest or the smallest is: the first of equals, or the last.
Op position(bool largest) {
  return [largest](Call& call) {
    Tensor x = ordered(call.x(), call.type());
    const int64_t axis = call.integer("axis", 0);
    const bool keepdims = call.flag("keepdims", true), last = call.flag("select_last_index");
    if (last) x = x.flip(axis);
    const Tensor at = largest ? x.argmax(axis, keepdims) : x.argmin(axis, keepdims);
    return indices(last ? x.size(axis) - 1 - at : at);
  };
}

/// out[i] of the elements up to i; `exclusive`: without i; `reverse`: from the other end.
Op running(Tensor (Tensor::*scan)(int64_t) const, int64_t start) {
  return [scan, start](Call& call) {
    const int axis = call.axis(call.integer(1), call.x().rank());
    const bool reverse = call.flag("reverse");
    Tensor y = reverse ? call.x().flip(axis) : call.x();
    y = (y.*scan)(axis);
    if (call.flag("exclusive")) {
      const Dims none = Dims::filled(y.rank(), 0);
      Dims one = none;
      one[axis] = 1;
      y = y.pad(one, none, start).shrink(none, y.shape());
    }
    return as_type(reverse ? y.flip(axis) : y, call.type());
  };
}

/// 1 where the largest is, the first of equals, and 0 everywhere else.
Tensor hardmax(const Tensor& x, int64_t axis) {
  const int a = x.axis_index(axis, "hardmax");
  if (x.size(a) == 0) return x;
  return (reshape_to_axis(Tensor::arange(x.size(a)), a, x.rank()) == x.argmax(a, true)).cast(x.dtype());
}

/// Along `axis`; before opset 13 along all axes from there on, as if they were one.
Op soft(Tensor (*f)(const Tensor& x, int64_t axis)) {
  return [f](Call& call) {
    const Tensor& x = call.x();
    if (call.opset >= 13) return f(x, call.integer("axis", -1));
    const int axis = call.axis("axis", 1, x.rank());
    return axis == x.rank() - 1 ? f(x, axis) : f(x.flatten(axis), axis).reshape(x.shape());
  };
}

}  // namespace

void add_reductions(Ops& ops) {
  ops["ReduceSum"] = reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.sum(axes, keep); });
  ops["ReduceProd"] = reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.prod(axes, keep); });
  ops["ReduceMean"] = reduce(mean);
  ops["ReduceMax"] = extreme(true);
  ops["ReduceMin"] = extreme(false);
  ops["ReduceL1"] = reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.abs().sum(axes, keep); });
  ops["ReduceL2"] =
      reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.square().sum(axes, keep).sqrt(); });
  ops["ReduceSumSquare"] =
      reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.square().sum(axes, keep); });
  ops["ReduceLogSum"] = reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.sum(axes, keep).log(); });
  ops["ReduceLogSumExp"] = reduce([](const Tensor& x, const Axes& axes, bool keep) { return x.logsumexp(axes, keep); });
  ops["ArgMax"] = position(true);
  ops["ArgMin"] = position(false);
  ops["CumSum"] = running(&Tensor::cumsum, 0);
  ops["CumProd"] = running(&Tensor::cumprod, 1);
  ops["Softmax"] = soft([](const Tensor& x, int64_t axis) { return x.softmax(axis); });
  ops["LogSoftmax"] = soft([](const Tensor& x, int64_t axis) { return x.log_softmax(axis); });
  ops["Hardmax"] = soft(hardmax);
}

}  // namespace teeny::onnx
