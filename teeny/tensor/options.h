#pragma once
// The options of operations, as structs whose fields are named where they are given: x.conv2d(w, {}, {.stride = 2}).
#include <concepts>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "teeny/graph/base.h"

namespace teeny {

/// Which axes a reduction runs over: none named means all. Negative axes count from the end.
struct Axes {
  std::optional<Dims> list;
  Axes() = default;
  Axes(std::integral auto axis) : list(Dims{int64_t(axis)}) {}
  Axes(std::initializer_list<int64_t> axes) : list(Dims(axes)) {}
  Axes(const Dims& axes) : list(axes) {}
};

/// What may stand in the braces of `Tensor::of`: constants, or lists of lists of them, all of one shape.
template <class T>
struct Nested {
  std::vector<T> values;
  Shape shape;
  template <class U>
  requires(std::same_as<U, T> || (std::is_arithmetic_v<U> && (std::integral<U> || !std::integral<T>))) Nested(U value)
      : values{T(value)} {}
  Nested(std::initializer_list<Nested> parts) : shape{int64_t(parts.size())} {
    for (const Nested& part : parts) {
      if (part.shape != parts.begin()->shape)
        fail("Tensor::of: a list of ", parts.begin()->shape, " beside one of ", part.shape, "; all must be alike");
      values.insert(values.end(), part.values.begin(), part.values.end());
    }
    if (parts.size() > 0)
      for (int64_t size : parts.begin()->shape) shape.push_back(size);
  }
};

/// Sizes along the spatial axes: one for all of them, or one for each.
struct Sizes {
  Dims list;
  Sizes(std::integral auto same) : list{int64_t(same)} {}
  Sizes(std::initializer_list<int64_t> each) : list(each) {}
};
/// Zeros at both ends of every spatial axis: one amount for all axes, or one for each. "same" is as much as leaves the
/// sizes as they are, and where that is odd one more at the end; it needs a stride of 1. "valid" is none.
struct Padding : Sizes {
  bool same = false;
  using Sizes::Sizes;
  Padding(Sizes sizes) : Sizes(std::move(sizes)) {}
  Padding(const char* rule) : Sizes(0), same(std::string_view(rule) == "same") {
    if (!same && std::string_view(rule) != "valid")
      fail("padding is \"same\", \"valid\" or amounts, not \"", rule, '"');
  }
};
struct ConvOptions {
  Sizes stride = 1;
  Padding padding = 0;
  Sizes dilation = 1;
  int64_t groups = 1;
  std::optional<Sizes> padding_end = {};  ///< `padding` is for both ends unless this is given
};
struct ConvTransposeOptions {
  Sizes stride = 1, padding = 0, output_padding = 0, dilation = 1;
  int64_t groups = 1;
  std::optional<Sizes> padding_end = {};  ///< `padding` is for both ends unless this is given
};
struct PoolOptions {
  std::optional<Sizes> stride = {};       ///< the window's size unless given
  Sizes padding = 0, dilation = 1;        ///< an average has no dilation
  std::optional<Sizes> padding_end = {};  ///< `padding` is for both ends unless this is given
  bool ceil_mode = false;                 ///< a last window may hang over the end
  bool count_include_pad = true;          ///< avg_pool: padding counts as zeros, else not at all
};
struct AttentionOptions {
  bool causal = false;               ///< position i sees positions up to i
  double dropout = 0;                ///< a weight is left out with this probability; only while training
  std::optional<double> scale = {};  ///< of the scores: 1 / sqrt(width) unless given
  /// Fewer heads of keys and values than of queries: each serves as many neighbours among them as it must.
  /// Ainslie et al., "GQA: training generalized multi-query transformer models", 2023.
  bool enable_gqa = false;
};
enum class PadMode { Reflect, Replicate, Circular };
enum class Interpolation { Nearest, NearestExact, Linear, Cubic };  ///< Nearest rounds down, as old programs expect
struct InterpolateOptions {
  Interpolation mode = Interpolation::Nearest;
  bool align_corners = false;  ///< the corners' centres, not their borders, lie on each other
};

/// How scatter_reduce and index_reduce combine the elements that meet in one place.
enum class ScatterReduce { Sum, Prod, Mean, Amax, Amin };
/// What a quantile is where it lies between two elements.
enum class QuantileMode { Linear, Lower, Higher, Midpoint, Nearest };

/// What a loss makes of its terms. BatchMean is their sum divided by the first axis' size.
enum class Reduction { None, Mean, Sum, BatchMean };
struct CrossEntropyOptions {
  double label_smoothing = 0;
  std::optional<int64_t> ignore_index = {};  ///< samples of this class count for nothing
  Reduction reduction = Reduction::Mean;
};

}  // namespace teeny
