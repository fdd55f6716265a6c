// Images of another size, and elements at places between others.
#include <optional>

#include "teeny/functional/functional.h"
#include "teeny/functional/functions.h"
#include "teeny/onnx/save_ops.h"

namespace teeny::onnx {

namespace {

/// Which element of an axis of n each of `size` is nearest to: as functional/interpolate.cpp rounds it, or a runtime,
/// which divides by the scale.
Tensor nearest(int64_t n, int64_t size, bool exact, bool divides) {
  const Tensor i = Tensor::arange(size).cast(DType::Float32) + (exact ? 0.5 : 0);
  const double scale = double(size) / double(n);
  const Tensor at = divides ? i / float(scale) : i * (double(n) / double(size));
  return (divides && exact ? at - 0.5 + 0.5 : at).floor().cast(DType::Int64).clamp(0, n - 1);
}
/// Where a runtime would round to another element, the elements are picked from tables.
std::optional<Name> picked(SavedCall& call, const Dims& sizes, bool exact) {
  const Ints shape = call.shape();
  bool same = true;
  for (int a = 0; a < sizes.size(); ++a) {
    const Int n = shape[size_t(2 + a)];
    if (n.is_open()) return {};
    same &= bool((nearest(n[0], sizes[a], exact, false) == nearest(n[0], sizes[a], exact, true)).all().item());
  }
  if (same) return {};
  Name x = call.x();
  for (int a = 0; a < sizes.size(); ++a) {
    const Name table = call.constant(nearest(shape[size_t(2 + a)][0], sizes[a], exact, false), "nearest");
    x = call.node("Gather", {x, table}, {{"axis", 2 + a}});
  }
  return x;
}

/// Places in the input as ONNX calls them; see functional/interpolate.cpp.
Names resize(SavedCall& call) {
  const auto mode = Interpolation(call.integer("mode"));
  const bool corners = call.flag("align_corners");
  const DType type = call.dtype();
  const Dims sizes = call.dims("size");
  if (mode == Interpolation::Nearest || mode == Interpolation::NearestExact)
    if (const auto x = picked(call, sizes, mode == Interpolation::NearestExact)) return *x;
  NodeAttributes attributes{{"axes", range(2, 2 + sizes.size())}};
  const auto say = [&](const char* mode, const char* places) {
    attributes.emplace_back("coordinate_transformation_mode", places);
    attributes.emplace_back("mode", mode);
  };
  const char* places = corners ? "align_corners" : "half_pixel";
  switch (mode) {
    case Interpolation::Nearest:
      say("nearest", "asymmetric");
      attributes.emplace_back("nearest_mode", "floor");
      break;
    case Interpolation::NearestExact:
      say("nearest", "half_pixel");
      attributes.emplace_back("nearest_mode", "round_prefer_ceil");
      break;
    case Interpolation::Linear: say("linear", places); break;
    case Interpolation::Cubic: say("cubic", places); break;  // with a = -0.75, too
  }
  const Name x = call.x(0, DType::Float32);
  const Name result = call.node("Resize", {x, Name(), Name(), call.integers(sizes)}, attributes);
  return type == DType::Float32 ? result : call.cast(result, type);
}

Names grid_sample(SavedCall& call) {
  const int axes = call.rank() - 2;
  const bool named_anew = call.opset() >= 20;
  if (axes == 3 && !named_anew) call.refuse("GridSample has volumes from opset 20 on");
  const auto mode = Interpolation(call.integer("mode"));
  const char* modes[] = {"nearest", "nearest", named_anew ? "linear" : "bilinear", named_anew ? "cubic" : "bicubic"};
  constexpr const char* kPadding[] = {"zeros", "border", "reflection"};
  const DType type = call.result_dtype(), wide = promote(type, DType::Float32);
  const Name result = call.node("GridSample", {call.x(0, wide), call.x(1, wide)},
                                {{"align_corners", call.flag("corners")},
                                 {"mode", modes[int(mode)]},
                                 {"padding_mode", kPadding[call.integer("padding")]}});
  return type == wide ? result : call.cast(result, type);
}

/// DepthToSpace is for (N, C, H, W): axes in front are made one, or one is added.
Names pixel_shuffle(SavedCall& call) {
  const Ints from = call.shape(), to = call.result_shape();
  const size_t front = from.size() - 3;
  const auto with_one = [&](const Ints& shape) {
    Int all = 1;
    for (size_t a = 0; a < front; ++a) all = all * shape[a];
    Ints result{all};
    result.insert(result.end(), shape.end() - 3, shape.end());
    return result;
  };
  const Name x = call.node("DepthToSpace", {call.reshape(call.x(), from, with_one(from))},
                           {{"blocksize", call.integer("r")}, {"mode", "CRD"}});
  return call.reshape(x, with_one(to), to);
}

}  // namespace

void add_save_images(SaveOps& ops) {
  ops["interpolate"] = resize;
  ops["grid_sample"] = grid_sample;
  ops["pixel_shuffle"] = pixel_shuffle;
}

}  // namespace teeny::onnx
