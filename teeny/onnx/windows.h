#pragma once
// Windows that slide over an image (N, C, ..): what the node's attributes say of them.
#include <algorithm>
#include <string>

#include "teeny/onnx/ops.h"

namespace teeny::onnx {

inline constexpr int64_t kMost = 1 << 30;  // of sizes and amounts: their products can be added up

/// The sizes of an image behind (N, C).
inline Dims spatial(const Tensor& x) {
  if (x.rank() < 3) fail("an image of ", x.shape(), " has no axes behind (N, C)");
  if (x.rank() > 5) unsupported("an image of ", x.shape(), " has more than three axes behind (N, C)");
  for (int64_t size : x.shape())
    if (size > kMost) fail("an image of ", x.shape(), " has a longer axis than 30 bits can count");
  return {x.shape().begin() + 2, x.shape().end()};
}

/// An attribute of `count` integers, none below `least`; `otherwise` each, where the node has none.
inline Dims amounts(const Call& call, const char* name, int count, int64_t otherwise, int64_t least) {
  if (!call.has(name)) return Dims::filled(count, otherwise);
  const Dims list = call.dims(name);
  if (list.size() != count) fail(name, ' ', list, " must have ", count, " values");
  for (int64_t value : list)
    if (value < least || value > kMost) fail(name, ' ', list, " must be at least ", least, " and at most ", kMost);
  return list;
}

/// One size for each axis, as the functions take them.
inline Sizes sizes(const Dims& each) {
  Sizes result = 1;
  result.list = each;
  return result;
}

/// What is added to each axis at its ends, or cut from them.
struct Pads {
  Dims before, after;

  Pads() = default;
  /// As `pads` says, or `auto_pad`: SAME_UPPER and SAME_LOWER give both ends of an axis `same` together, an odd element
  /// to the end or to the beginning.
  Pads(const Call& call, const Dims& same) {
    const std::string rule = call.text("auto_pad", "NOTSET");
    if (rule != "NOTSET" && rule != "VALID" && rule != "SAME_UPPER" && rule != "SAME_LOWER")
      fail("auto_pad \"", rule, "\" must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
    const int axes = same.size();
    const Dims both = amounts(call, "pads", 2 * axes, 0, 0);
    for (int a = 0; a < axes; ++a) {
      if (rule == "NOTSET") before.push_back(both[a]), after.push_back(both[axes + a]);
      else add(rule == "VALID" ? 0 : same[a], rule == "SAME_UPPER");
    }
  }
  void add(int64_t total, bool odd_at_end) {
    total = std::max<int64_t>(total, 0);
    before.push_back(odd_at_end ? total / 2 : total - total / 2);
    after.push_back(total - before.back());
  }
};

/// Where windows lie along each spatial axis.
struct Windows {
  Dims size, stride, dilation;
  Pads pads;

  Windows(const Call& call, const Dims& image, const Dims& kernel)
      : size(kernel),
        stride(amounts(call, "strides", kernel.size(), 1, 1)),
        dilation(amounts(call, "dilations", kernel.size(), 1, 1)) {
    Dims same;  // there are ceil(image / stride) windows
    for (int a = 0; a < axes(); ++a)
      same.push_back((image[a] + stride[a] - 1) / stride[a] * stride[a] - stride[a] + reach(a) - image[a]);
    pads = Pads(call, same);
  }
  int axes() const { return size.size(); }
  int64_t reach(int a) const { return (size[a] - 1) * dilation[a] + 1; }
};

/// The sizes of a kernel, which stand in its weight (O, C, ..) and maybe in the node.
inline Dims kernel_of(const Call& call, const Tensor& x, const Tensor& weight) {
  if (weight.rank() != x.rank()) fail("a weight of ", weight.shape(), " for an image of ", x.shape());
  const Dims kernel = spatial(weight);
  if (call.has("kernel_shape") && call.dims("kernel_shape") != kernel)
    fail("kernel_shape ", call.dims("kernel_shape"), " is not that of the weight ", weight.shape());
  return kernel;
}

}  // namespace teeny::onnx
