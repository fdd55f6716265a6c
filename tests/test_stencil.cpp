// Windows that slide over images of every size: a filter for each channel, and the largest element of each window. What
// a backend makes of them, with all that follows, beside the reference.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "teeny/teeny.h"
#include "tests/check_reference.h"

namespace teeny::test {
namespace {

using Choices = std::initializer_list<int64_t>;

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  int64_t one_of(Choices choices) { return choices.begin()[random_() % choices.size()]; }
  /// Small integers, whose sums are exact.
  Tensor values(const Shape& shape, DType dtype = DType::Float32) {
    std::vector<float> drawn(size_t(numel(shape)));
    for (float& v : drawn) v = float(int(random_() % 7) - 3);
    return Tensor::from(drawn, shape).cast(dtype).realize();
  }

 private:
  std::mt19937_64 random_;
};

/// Sizes at which packets, tiles and blocks begin and end, under all kinds of windows.
struct Windows {
  Shape image;
  Sizes kernel{}, stride{}, padding{}, dilation{};
  std::string what;

  Windows(Draw& draw, int axes, Choices sizes, bool pooling) {
    while (image.size() < axes) {
      const int64_t size = draw.one_of(sizes), taps = draw.one_of({1, 2, 3, 3, 5, 7});
      const int64_t step = draw.one_of({1, 1, 2, 2, 3, 4}), apart = draw.one_of({1, 1, 1, 2, 3});
      const int64_t beside = pooling ? draw.one_of({0, taps / 2}) : draw.one_of({0, 1, taps / 2, taps - 1, size + 2});
      if (size + 2 * beside <= (taps - 1) * apart) continue;
      image.push_back(size), kernel.list.push_back(taps), stride.list.push_back(step);
      padding.list.push_back(beside), dilation.list.push_back(apart);
      what += text(" ", size, " by ", taps, ", stride ", step, ", padding ", beside, ", dilation ", apart, ";");
    }
  }
};

Shape joined(Choices first, const Dims& rest) {
  Shape shape(first);
  for (int64_t size : rest) shape.push_back(size);
  return shape;
}

}  // namespace

TEST_CASE("stencil: a filter for each channel, or a few, over images of all sizes") {
  Draw draw(1);
  for (int i = 0; i < 160; ++i) {
    const int axes = int(draw.one_of({1, 2, 2, 2, 3}));
    const Choices flat{1, 2, 4, 7, 8, 14, 15, 16, 17, 33}, deep{1, 2, 5, 9};
    const Windows windows(draw, axes, axes == 3 ? deep : flat, false);
    const int64_t batch = draw.one_of({1, 1, 2, 3}), groups = draw.one_of({1, 2, 3, 16, 17});
    const int64_t planes = draw.one_of({1, 1, 1, 2}), filters = draw.one_of({1, 1, 1, 2, 3, 5, 7, 9});
    const DType dtype =
        std::array{DType::Float32, DType::Float64, DType::Float32, DType::Float16, DType::BFloat16}[size_t(i % 5)];
    const Tensor x = draw.values(joined({batch, groups * planes}, windows.image), dtype);
    const Tensor w = draw.values(joined({groups * filters, planes}, windows.kernel.list), dtype);
    const Tensor bias = i % 3 ? draw.values({groups * filters}, dtype) : Tensor();
    const ConvOptions options{windows.stride, windows.padding, windows.dilation, groups, {}};
    INFO(i, ": ", dtype, " ", x.shape(), " with ", w.shape(), ",", windows.what);
    CHECK(mismatch([&] {
      const Tensor y = axes == 1   ? x.conv1d(w, bias, options)
                       : axes == 2 ? x.conv2d(w, bias, options)
                                   : x.conv3d(w, bias, options);
      return i % 4 == 0 ? y.relu() : i % 4 == 1 ? y.hardswish() : y;
    }) == "");
  }
}

TEST_CASE("stencil: windows that see nothing but padding, and not even its end") {
  Draw draw(5);
  for (const int64_t width : {8, 20}) {
    const Tensor x = draw.values({2, 3, 9, 9}), w = draw.values({3, 1, 3, 3});
    const auto corner = [&](int64_t above, int64_t beside) {
      return x.pad({0, 0, above, beside}, {0, 0, 0, width}).shrink({0, 0, 0, 0}, {2, 3, 7, width});
    };
    CHECK(mismatch([&] { return corner(12, 0).conv2d(w, {}, {.groups = 3}); }) == "");
    CHECK(mismatch([&] { return corner(0, width + 4).conv2d(w, {}, {.groups = 3}); }) == "");
    CHECK(mismatch([&] { return corner(12, width + 4).conv2d(w, {}, {.groups = 3}) + 1; }) == "");
  }
}

TEST_CASE("stencil: what follows it reads and writes other memory") {
  Draw draw(2);
  for (const int64_t size : {5, 7, 12, 20, 40})
    for (const int64_t channels : {1, 7, 24, 60}) {
      const Tensor x = draw.values({2, channels, size, size}), w = draw.values({channels, 1, 3, 3});
      const Tensor bias = draw.values({channels}), scale = draw.values({2, channels, 1, 1});
      const Tensor narrow = draw.values({2, channels, size - 2, size - 2});
      const ConvOptions padded{.padding = 1, .groups = channels}, jumping{.stride = 2, .padding = 1, .groups = channels};
      const auto convolved = [&] { return x.conv2d(w, bias, padded); };
      INFO(size, " x ", size, ", ", channels, " channels");
      CHECK(mismatch([&] { return convolved() + x; }) == "");
      CHECK(mismatch([&] { return convolved() * scale; }) == "");
      CHECK(mismatch([&] { return (convolved() + narrow.pad({0, 0, 1, 1}, {0, 0, 1, 1})).relu(); }) == "");
      CHECK(mismatch([&] { return Tensor::cat({x, convolved().relu()}, 1); }) == "");
      CHECK(mismatch([&] { return Tensor::cat({x, convolved().relu()}, 3); }) == "");
      CHECK(mismatch([&] { return convolved().relu().cast(DType::Float16); }) == "");
      CHECK(mismatch([&] { return convolved() > 1; }) == "");
      CHECK(mismatch([&] { return 1 / ((2 - convolved()) * 3 - scale).maximum(scale).clamp(1, 5); }) == "");
      CHECK(mismatch([&] { return x.pad({0, 0, 3, 0}, {0, 0, 1, 2}).conv2d(w, {}, {.groups = channels}); }) == "");
      CHECK(mismatch([&] { return x.flip({2, 3}).conv2d(w, bias, jumping); }) == "");
      CHECK(mismatch([&] { return x.transpose(2, 3).conv2d(w, {}, padded); }) == "");
      CHECK(mismatch([&] { return x.conv2d(w.flip({3}), {}, padded); }) == "");
      const Tensor part = x.shrink({0, 0, 1, 1}, {2, channels, size, size - 1});
      CHECK(mismatch([&] { return part.conv2d(w, {}, {.groups = channels}); }) == "");
      const auto gradients = [&](int which) {
        const Tensor image = x.detach().requires_grad_(), filter = w.detach().requires_grad_();
        return gradient((image.conv2d(filter, {}, jumping).square()).sum(), {image, filter})[size_t(which)];
      };
      CHECK(mismatch([&] { return gradients(0); }) == "");
      CHECK(mismatch([&] { return gradients(1); }) == "");
    }
}

TEST_CASE("stencil: long rows, and images larger than a cache") {
  Draw draw(3);
  const Tensor row = draw.values({1, 3, 5000}), taps = draw.values({3, 1, 4});
  for (const int64_t stride : {1, 2, 3})
    CHECK(mismatch([&] { return row.conv1d(taps, {}, {.stride = stride, .padding = 3, .groups = 3}); }) == "");
  const Tensor image = draw.values({1, 2, 150, 170}), filter = draw.values({2, 1, 5, 3});
  for (const int64_t stride : {1, 2})
    CHECK(mismatch([&] {
      return image.conv2d(filter, {}, {.stride = stride, .padding = 2, .groups = 2}).relu();
    }) == "");
  CHECK(mismatch([&] { return image.max_pool2d(3, {.stride = 2, .padding = 1}); }) == "");
}

TEST_CASE("stencil: the largest of windows that overlap, or do not, over images of all sizes") {
  Draw draw(4);
  const float inf = std::numeric_limits<float>::infinity();
  for (int i = 0; i < 120; ++i) {
    const int axes = int(draw.one_of({1, 2, 2, 3}));
    const Windows windows(draw, axes, axes == 3 ? Choices{1, 3, 6, 9} : Choices{1, 2, 4, 7, 8, 15, 17, 33}, true);
    const DType dtype =
        std::array{DType::Float32, DType::Float64, DType::Float32, DType::Int32, DType::Float16}[size_t(i % 5)];
    const Shape shape = joined({draw.one_of({1, 2}), draw.one_of({1, 3, 20})}, windows.image);
    Tensor x = draw.values(shape, dtype);
    if (is_float(dtype)) {  // all kinds of values, also at the edges
      const Tensor chosen = draw.values(shape);
      x = where(chosen == 3, i % 3 == 0 ? std::nan("") : -inf, where(chosen == -3, inf, x)).realize();
    }
    const PoolOptions options{windows.stride, windows.padding, windows.dilation, {}, i % 2 == 1};
    const auto pool = [&](const Tensor& t) {
      return axes == 1   ? t.max_pool1d(windows.kernel, options)
             : axes == 2 ? t.max_pool2d(windows.kernel, options)
                         : t.max_pool3d(windows.kernel, options);
    };
    INFO(i, ": ", dtype, " ", shape, ",", windows.what);
    CHECK(mismatch([&] { return pool(x); }, true) == "");
    if (i % 4 == 0 && is_float(dtype)) CHECK(mismatch([&] { return pool(x).relu() + 1; }) == "");
    if (i % 4 == 1 && is_float(dtype)) CHECK(mismatch([&] { return pool((x + 1).relu()); }) == "");
  }
}

TEST_CASE("stencil: a convolution's activation is computed once, before windows look at it") {
  Draw draw(5);
  const Tensor x = draw.values({1, 3, 30, 30}), w = draw.values({24, 3, 3, 3}), bias = draw.values({24});
  const auto net = [&] { return x.conv2d(w, bias, {.stride = 2}).relu().max_pool2d(3, {.stride = 2, .padding = 1}); };
  CHECK(mismatch(net) == "");
  if (!context.execution.fuse) return;
  const int64_t before = context.kernels;
  net().realize();
  CHECK(context.kernels - before == 2);
}

}  // namespace teeny::test
