// Products and convolutions of the sizes at which a backend takes another way: few rows, short rows of images, sums
// longer than a block, columns far apart, padding. Compared with the reference on integers: there is one right answer.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "teeny/graph/lazy.h"
#include "teeny/schedule/schedule.h"
#include "teeny/tensor/tensor.h"
#include "tests/check.h"

namespace teeny::test {
namespace {

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  int64_t operator()(std::initializer_list<int64_t> from) { return from.begin()[random_() % from.size()]; }
  DType dtype() {
    const DType all[] = {DType::Float32, DType::Float32, DType::Float64, DType::Float16, DType::BFloat16};
    return all[random_() % 5];
  }
  /// Integers from -2 to 2, most of them 0, in memory of this order.
  Tensor values(const Shape& shape, DType dtype, bool turned = false) {
    std::vector<float> values(size_t(numel(shape)));
    for (float& v : values) v = random_() % 4 ? 0 : float(int(random_() % 5) - 2);
    Shape stored = shape;
    if (turned) std::swap(stored[-1], stored[-2]);
    const Tensor x = Tensor::from(values, stored).cast(dtype).realize();
    return turned ? x.transpose(-1, -2) : x;
  }

 private:
  std::mt19937_64 random_;
};

/// `f` on this binary's device and on the reference.
template <class F>
void same_as_reference(F&& f, const std::string& what) {
  const std::vector<std::byte> got = f().to_bytes();
  const ExecutionScope reference({.fuse = false, .run = tinyops::reference::check});
  const std::vector<std::byte> expected = f().to_bytes();
  CHECK_MESSAGE(got == expected, what);
}

}  // namespace

TEST_CASE("contract: matrix products of all kinds of sizes") {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Draw draw(seed);
    const int64_t batch = draw({1, 1, 1, 2, 5}), m = draw({1, 2, 3, 4, 15, 17, 33, 49, 70, 130});
    int64_t n = draw({1, 2, 3, 5, 8, 14, 27, 65, 90}), r = draw({1, 2, 7, 16, 31, 64, 100, 1600, 4096});
    while (batch * m * n * r > 1 << 20) (r > 100 && n < 9 && m < 60 ? r : n > 2 ? n : r) /= 2;
    const DType dtype = draw.dtype();
    const bool x_turned = draw({0, 1}), y_turned = draw({0, 1}), out_turned = draw({0, 1});
    const Tensor x = draw.values({batch, m, r}, dtype, x_turned), y = draw.values({batch, r, n}, dtype, y_turned);
    same_as_reference([&] { return out_turned ? y.transpose(1, 2).matmul(x.transpose(1, 2)) : x.matmul(y); },
                      text("seed ", seed, ": ", batch, " times ", m, " x ", n, " sums of ", r, ", ", dtype));
  }
}

TEST_CASE("contract: long sums over several blocks") {
  Draw draw(1);
  for (const auto& [m, n] : {std::pair<int64_t, int64_t>{50, 10}, {3, 20}, {20, 3}, {1, 30}, {9, 70}})
    for (const DType dtype : {DType::Float32, DType::Float16})
      for (const bool turned : {false, true})
        for (const int64_t r : {1537, 2049}) {
          const Tensor x = draw.values({m, r}, dtype, turned), y = draw.values({r, n}, dtype, !turned);
          same_as_reference([&] { return x.matmul(y); }, text(m, " x ", n, " sums of ", r, ", ", dtype, turned));
        }
}

TEST_CASE("contract: convolutions and their gradients of all kinds of sizes") {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Draw draw(seed);
    const int64_t groups = draw({1, 1, 2, 3}), kernel = draw({1, 2, 3, 5});
    const int64_t c = groups * draw({1, 1, 2, 5}), o = groups * draw({1, 1, 3, 4, 17});
    const int64_t stride = draw({1, 1, 2}), padding = draw({0, 1, 2, 4}), dilation = draw({1, 1, 2});
    const ConvOptions options{.stride = stride, .padding = padding, .dilation = dilation, .groups = groups};
    const int64_t h = draw({9, 10, 13}), w = draw({9, 12, 17, 20, 33});
    int64_t images = draw({1, 2, 3, 30});
    while (images > 1 && images * c * o / groups * h * w * kernel * kernel > 1 << 19) images /= 2;
    const DType dtype = draw.dtype();
    Tensor x = draw.values({images, c, h, w}, dtype), weight = draw.values({o, c / groups, kernel, kernel}, dtype);
    x.requires_grad_(), weight.requires_grad_();
    const std::string what = text("seed ", seed, ": ", x.shape(), " with ", weight.shape(), ", ", groups, " groups, ",
                                  "stride ", stride, ", padding ", padding, ", dilation ", dilation, ", ", dtype);
    const Tensor y = x.conv2d(weight, {}, options), grad = draw.values(y.shape(), dtype);
    same_as_reference([&] { return x.conv2d(weight, {}, options); }, what);
    auto sum = [&] { return (x.conv2d(weight, {}, options) * grad).sum(); };
    same_as_reference([&] { return gradient(sum(), {x})[0]; }, what + ", dx");
    same_as_reference([&] { return gradient(sum(), {weight})[0]; }, what + ", dw");
  }
}

TEST_CASE("contract: kernels as wide as their image, and as a packet") {
  Draw draw(3);
  for (const int64_t images : {1, 2})
    for (const int64_t channels : {1, 2, 5})
      for (const int64_t w : {2, 4, 8, 16, 18})
        for (const int64_t kernel : {4, 8, 16})
          for (const int64_t padding : {0, 1, 2}) {
            if (w + 2 * padding < kernel) continue;
            Tensor x = draw.values({images, channels, 2, w}, DType::Float32);
            Tensor weight = draw.values({3, channels, 1, kernel}, DType::Float32);
            x.requires_grad_(), weight.requires_grad_();
            const Tensor grad = draw.values(x.conv2d(weight, {}, {.padding = padding}).shape(), DType::Float32);
            auto sum = [&] { return (x.conv2d(weight, {}, {.padding = padding}) * grad).sum(); };
            const std::string what = text(x.shape(), " with ", weight.shape(), ", padding ", padding);
            same_as_reference([&] { return gradient(sum(), {x})[0]; }, what + ", dx");
            same_as_reference([&] { return gradient(sum(), {weight})[0]; }, what + ", dw");
          }
}

TEST_CASE("contract: many products too small to fill a packet") {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    Draw draw(seed);
    const int64_t batch = draw({8, 15, 16, 17, 40, 70}), m = draw({1, 2, 3, 5, 9, 19}), n = draw({1, 2, 4, 7, 12, 18});
    const int64_t r = draw({1, 2, 3, 8, 21, 150, 600});
    const DType dtype = draw.dtype();
    const Tensor x = draw.values({batch, m, r}, dtype, draw({0, 1})),
                 y = draw.values({batch, r, n}, dtype, draw({0, 1}));
    same_as_reference([&] { return x.matmul(y); },
                      text("seed ", seed, ": ", batch, " times ", m, " x ", n, " sums of ", r, ", ", dtype));
    same_as_reference([&] { return x.permute({1, 2, 0}).contiguous().permute({2, 0, 1}).matmul(y); },
                      text("seed ", seed, ", turned"));

    const int64_t images = draw({1, 2, 5}), channels = draw({9, 16, 35}), each = draw({1, 1, 2}),
                  size = draw({1, 2, 4, 7, 11});
    const ConvOptions options{
        .stride = draw({1, 1, 2}), .padding = draw({0, 1, 2}), .dilation = draw({1, 1, 2}), .groups = channels};
    const int64_t kernel = size > 4 ? 3 : draw({1, 2});
    if (size + 2 * options.padding.list[0] <= options.dilation.list[0] * (kernel - 1)) continue;
    Tensor image = draw.values({images, channels, size, size}, dtype),
           weight = draw.values({channels * each, 1, kernel, kernel}, dtype);
    image.requires_grad_(), weight.requires_grad_();
    const std::string what = text("seed ", seed, ": ", image.shape(), " with ", weight.shape(), ", ", dtype);
    same_as_reference([&] { return image.conv2d(weight, {}, options).relu(); }, what);
    const Tensor grad = draw.values(image.conv2d(weight, {}, options).shape(), dtype);
    for (const Tensor& wanted : {image, weight})
      same_as_reference([&] { return gradient((image.conv2d(weight, {}, options) * grad).sum(), {wanted})[0]; },
                        what + ", gradient");
  }
}

TEST_CASE("contract: what is worth being copied slab by slab") {
  Draw draw(2);
  for (const DType dtype : {DType::Float32, DType::Float16})
    for (const int64_t groups : {1, 45}) {
      const int64_t inputs = groups == 1 ? 6 : 45, outputs = groups == 1 ? 9 : 45;
      Tensor x = draw.values({31, inputs, 18, 19}, dtype).requires_grad_();
      const Tensor weight = draw.values({outputs, inputs / groups, 3, 3}, dtype);
      const ConvOptions options{.padding = 1, .groups = groups};
      const Tensor grad = draw.values({31, outputs, 18, 19}, dtype);
      same_as_reference([&] { return x.conv2d(weight, {}, options); }, text(groups, " groups, ", dtype));
      same_as_reference([&] { return gradient((x.conv2d(weight, {}, options) * grad).sum(), {x})[0]; },
                        text(groups, " groups, dx, ", dtype));
    }
  const Tensor images = draw.values({24, 32, 9, 9}, DType::Float32),
               many = draw.values({128, 32, 3, 3}, DType::Float32);
  same_as_reference([&] { return images.conv2d(many, {}, {.padding = 1}); }, "several panels");
  const Tensor x = draw.values({17, 64, 70}, DType::BFloat16), y = draw.values({17, 70, 62}, DType::BFloat16, true);
  same_as_reference([&] { return x.matmul(y); }, "a batch of matrices");
  const Tensor long_one = draw.values({1100, 70}, DType::BFloat16);
  same_as_reference([&] { return long_one.matmul(y[{0}]); }, "a long matrix");
}

TEST_CASE("contract: the edges of tiles") {
  Draw draw(3);
  const int64_t sizes[] = {31, 32, 33, 63, 64, 65, 127, 128, 129, 132, 260};
  for (int i = 0; i < 60; ++i) {
    const int64_t m = sizes[i % 11], n = sizes[(i / 11 + i * 3) % 11], r = draw({1, 15, 16, 17, 20, 32, 36, 130});
    const DType dtype = draw({0, 0, 0, 1}) ? draw.dtype() : DType::Float32;
    const Tensor x = draw.values({m, r}, dtype, draw({0, 1})), y = draw.values({r, n}, dtype, draw({0, 1}));
    const std::string what = text(m, " x ", n, " sums of ", r, ", ", dtype);
    same_as_reference([&] { return x.matmul(y); }, what);
    same_as_reference([&] { return y.t().matmul(x.t()).t() + 1; }, what + ", turned, and one more");
    const Tensor wide = draw.values({m + 3, r + 2}, dtype), part = wide[{slice(1, m + 1), slice(1, r + 1)}];
    same_as_reference([&] { return part.matmul(y); }, what + ", of a part of a matrix");
    same_as_reference([&] { return Tensor::cat({x.matmul(y), y[{slice(0, 1)}]}, 0); }, what + ", into a part of one");
  }
  for (const DType dtype : {DType::Int32, DType::Int64, DType::UInt8, DType::Float64})
    for (const Shape& s : {Shape{65, 70, 40}, {1, 40, 300}, {3, 5, 17}, {64, 64, 16}, {1, 1, 900}}) {
      const int64_t m = s[0], n = s[1], r = s[2];
      const Tensor x = draw.values({2, m, r}, dtype), y = draw.values({2, r, n}, dtype, true);
      same_as_reference([&] { return x.matmul(y); }, text(m, " x ", n, " sums of ", r, ", ", dtype));
    }
}

TEST_CASE("contract: padded images in tiles") {
  Draw draw(4);
  for (int i = 0; i < 15; ++i) {
    const int64_t images = draw({1, 3, 6}), inputs = draw({1, 3, 8}), outputs = draw({8, 31, 40, 130});
    const int64_t h = draw({6, 9, 12}), w = draw({7, 8, 13});
    const int64_t kernel = draw({1, 2, 3}), stride = draw({1, 1, 2}), dilation = draw({1, 1, 2});
    const DType dtype = draw({0, 1}) ? DType::Float32 : draw.dtype();
    const ConvOptions options{.stride = stride, .padding = {draw({0, 1, 2}), draw({0, 1})}, .dilation = dilation};
    Tensor x = draw.values({images, inputs, h, w}, dtype).requires_grad_();
    Tensor weight = draw.values({outputs, inputs, kernel, kernel}, dtype).requires_grad_();
    const Tensor grad = draw.values(x.conv2d(weight, {}, options).shape(), dtype);
    const std::string what = text(x.shape(), " with ", weight.shape(), ", stride ", stride, ", ", dtype);
    same_as_reference([&] { return x.conv2d(weight, {}, options); }, what);
    same_as_reference([&] { return gradient((x.conv2d(weight, {}, options) * grad).sum(), {x})[0]; }, what + ", dx");
    same_as_reference([&] { return gradient((x.conv2d(weight, {}, options) * grad).sum(), {weight})[0]; },
                      what + ", dw");
  }
}

TEST_CASE("contract: what follows, at the edges of tiles") {
  Draw draw(5);
  const int64_t sizes[] = {31, 32, 33, 63, 64, 65, 127, 128, 129, 132};
  for (int i = 0; i < 12; ++i) {
    const int64_t batch = draw({1, 1, 2, 3}), m = sizes[i % 10], n = sizes[(i / 10 + i * 3) % 10],
                  r = draw({1, 8, 17, 24, 100});
    const DType dtype = draw.dtype(), other = draw({0, 0, 1}) ? draw.dtype() : dtype;
    const Tensor x = draw.values({batch, m, r}, dtype, draw({0, 1})), w = draw.values({r, n}, dtype, draw({0, 1}));
    const Tensor row = draw.values({n}, other), column = draw.values({m, 1}, other),
                 of_batch = draw.values({batch, 1, 1}, dtype);
    const Tensor all = draw.values({batch, m, n}, dtype, draw({0, 1})), scale = draw.values({}, dtype);
    const Tensor wide = draw.values({batch, m + 1, n + 3}, dtype), part = wide[{slice(), slice(1), slice(2, n + 2)}];
    const std::string what =
        text(i, ": ", batch, " times ", m, " x ", n, " sums of ", r, ", ", dtype, " and ", other, ", ");
    const auto check = [&](const char* name, auto&& after) {
      same_as_reference([&] { return after(x.matmul(w)); }, what + name);
      same_as_reference([&] { return after(w.t().matmul(x.transpose(1, 2)).transpose(1, 2)); },
                        what + name + ", turned");
    };
    check("a row", [&](const Tensor& y) { return (y + row).relu(); });
    check("a column", [&](const Tensor& y) { return (y + column).relu(); });
    check("residuals", [&](const Tensor& y) { return all - y * 2 + part; });
    check("a batch, a scale", [&](const Tensor& y) { return (y - of_batch) * scale; });
    check("a mask", [&](const Tensor& y) { return where(all > 0, y, row); });
    check("used twice", [&](const Tensor& y) { return y * (y + row).minimum(3).maximum(-3) + column; });
    check("another dtype", [&](const Tensor& y) { return y.cast(DType::Float32) * 0.5 + row.cast(DType::Float32); });
    check("into a part", [&](const Tensor& y) { return Tensor::cat({y + column, all}, 2); });
    check("in place", [&](const Tensor& y) {
      Tensor sum = (all + 0).realize();
      sum.assign(y + sum);
      return sum;
    });
    check("two outputs", [&](const Tensor& y) {
      const Tensor kept = y + row, end = kept * kept;
      realize(std::vector<Tensor>{kept, end});
      return Tensor::cat({kept, end}, 0);
    });
    check("two outputs, in place", [&](const Tensor& y) {
      Tensor sum = (all + 0).realize();
      sum.assign(sum * 0.5 + y);
      realize(std::vector<Tensor>{y, sum});
      return Tensor::cat({y, sum}, 0);
    });
  }
}

TEST_CASE("contract: what follows a convolution") {
  Draw draw(6);
  for (int i = 0; i < 15; ++i) {
    const int64_t images = draw({1, 3, 6}), groups = draw({1, 1, 2}), inputs = groups * draw({1, 4}),
                  outputs = groups * draw({8, 31, 65});
    const DType dtype = draw.dtype();
    const ConvOptions options{.stride = draw({1, 1, 2}), .padding = draw({0, 1}), .groups = groups};
    const Tensor x = draw.values({images, inputs, 9, draw({8, 13})}, dtype);
    const Tensor weight = draw.values({outputs, inputs / groups, 3, 3}, dtype), bias = draw.values({outputs}, dtype);
    const Tensor residual = draw.values(x.conv2d(weight, bias, options).shape(), dtype);
    const std::string what = text(i, ": ", x.shape(), " with ", weight.shape(), ", ", groups, " groups, ", dtype);
    same_as_reference([&] { return x.conv2d(weight, bias, options).relu(); }, what);
    same_as_reference([&] { return (x.conv2d(weight, bias, options) + residual).relu(); }, what + ", residual");
    same_as_reference([&] { return x.conv2d(weight, bias, options).permute({0, 2, 3, 1}).relu().contiguous(); },
                      what + ", turned");
  }
}

TEST_CASE("contract: images in any order of memory, with the usual epilogues") {
  Draw draw(7);
  for (int i = 0; i < 40; ++i) {
    const int64_t images = draw({1, 2}), inputs = draw({1, 3, 16, 40}), outputs = draw({8, 20, 33, 70});
    const int64_t h = draw({5, 14, 16}), w = draw({13, 14, 16, 28, 33}), kernel = draw({1, 1, 2, 3, 5});
    const DType dtype = draw({0, 1}) ? DType::Float32 : draw.dtype();
    const int64_t stride = draw({1, 1, 2, 3}), dilation = draw({1, 1, 2, 3});
    const ConvOptions options{.stride = stride, .padding = draw({0, 1, 2}), .dilation = dilation};
    const auto image = [&](Shape shape) {  // channels first or last
      if (draw({0, 1})) return draw.values(shape, dtype, draw({0, 1}));
      return draw.values({shape[0], shape[2], shape[3], shape[1]}, dtype).permute({0, 3, 1, 2});
    };
    const Tensor x = image({images, inputs, h + 8, w + 8}), weight = draw.values({outputs, inputs, kernel, kernel}, dtype);
    const Tensor bias = draw.values({outputs}, dtype), shift = draw.values({outputs, 1, 1}, dtype);
    if (draw({0, 1})) weight.lazy().node()->buffer->freeze();
    const auto y = [&] { return x.conv2d(weight, bias, options); };
    const Tensor residual = image(y().shape()), one = draw.values({}, dtype);
    const std::string what = text(i, ": ", x.shape(), " with ", weight.shape(), ", stride ", stride, ", dilation ",
                                  dilation, ", ", dtype);
    same_as_reference([&] { return x.conv2d(weight, {}, options); }, what);
    same_as_reference([&] { return y().minimum(2).maximum(-1); }, what + ", clamped");
    same_as_reference([&] { return y().maximum(-1).minimum(2); }, what + ", clamped from below first");
    same_as_reference([&] { return (y() + residual).minimum(1); }, what + ", residual");
    same_as_reference([&] { return (y() + (residual + shift)).relu(); }, what + ", shifted residual");
    same_as_reference([&] { return ((shift + residual) + y()) + one; }, what + ", and one value");
    same_as_reference([&] { return y() + residual + shift; }, what + ", a value last");
  }
}

TEST_CASE("contract: a NaN stays one when it is clamped, and the bound's zero comes") {
  for (const int64_t side : {3, 16, 24}) {
    std::vector<float> values(size_t(side * side), -1.f);
    values[5] = NAN;
    const Tensor x = Tensor::from(values, {1, 1, side, side}), weight = Tensor::ones({9, 1, 1, 1});
    const std::vector<float> y = x.conv2d(weight).relu().to_vector();
    for (int64_t i = 0; i < int64_t(y.size()); ++i)
      if (i % (side * side) == 5) CHECK(std::isnan(y[size_t(i)]));
      else CHECK((y[size_t(i)] == 0 && !std::signbit(y[size_t(i)])));
  }
}

TEST_CASE("contract: an infinity is multiplied by what it meets, and by nothing else") {
  // Runs of 17 and 20: their last packets overlap elements that were counted.
  for (const int64_t n : {17, 20, 33}) {
    std::vector<float> values(size_t(5 * n), 1.f);
    for (int64_t i = 0; i < 5; ++i) values[size_t(i * n + 3)] = INFINITY;
    const Tensor x = Tensor::from(values, {5, n});
    CHECK(x.matmul(Tensor::ones({n})).to_vector() == std::vector<float>(5, INFINITY));
    CHECK(Tensor::ones({5}).matmul(x)[{0}].item() == 5);
    CHECK(x[{0}].matmul(Tensor::ones({9, n}).realize().t()).to_vector() == std::vector<float>(9, INFINITY));
  }
}

}  // namespace teeny::test
