// Row kernels of the sizes at which a backend takes another way: rows of every length around what a thread, a warp and
// a block take, rows that do not fit shared memory, few rows that are cut into parts, memory that is not aligned, many
// axes.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "tests/check_reference.h"

namespace teeny::test {
namespace {

/// Integers from -4 to 4: sums and products of few are exact in every dtype.
Tensor whole(const Shape& shape, DType dtype, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<float> values(size_t(numel(shape)));
  for (float& v : values) v = float(int(random() % 9) - 4);
  return Tensor::from(values, shape).cast(dtype).realize();
}
Tensor fractions(const Shape& shape, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<float> values(size_t(numel(shape)));
  for (float& v : values) v = std::uniform_real_distribution<float>(-2, 2)(random);
  return Tensor::from(values, shape).realize();
}

constexpr int64_t kWidths[] = {1, 2, 3, 7, 8, 9, 31, 32, 33, 127, 128, 129, 1000, 1024, 1025, 4097};

}  // namespace

TEST_CASE("rows: sums along both axes, of rows of every length") {
  for (const int64_t width : kWidths)
    for (const int64_t rows : {1, 3, 40}) {
      if (rows * width > 1 << 16) continue;
      const Tensor x = whole({rows, width}, DType::Float32);
      for (const int axis : {0, 1}) {
        CAPTURE(width);
        CAPTURE(rows);
        CAPTURE(axis);
        CHECK(mismatch([&] { return x.sum({axis}); }, true) == "");
        CHECK(mismatch([&] { return x.max({axis}); }, true) == "");
        CHECK(mismatch([&] { return (x * x + x[{0}]).sum({axis}) * 2; }, true) == "");
      }
    }
}

TEST_CASE("rows: what is reduced and then read again") {
  for (const int64_t width : kWidths) {
    const Tensor x = fractions({5, width}), turned = fractions({width, 5}).transpose(0, 1);
    CAPTURE(width);
    CHECK(mismatch([&] { return x.softmax(1); }) == "");
    CHECK(mismatch([&] { return turned.softmax(1); }) == "");
    CHECK(mismatch([&] { return (x - x.mean({1}, true)) * (x.var({1}, 0, true) + 1e-5).rsqrt(); }) == "");
    CHECK(mismatch([&] { return x.log_softmax(1) + x.max({1}, true); }) == "");
  }
  for (const int64_t width : {5000, 16384}) {  // the longest row that may be one kernel, and does not fit every chip
    CAPTURE(width);
    CHECK(mismatch([&] { return fractions({2, width}).softmax(1); }) == "");
    CHECK(mismatch([&] { return fractions({2, width}).cast(DType::Float64).softmax(1); }) == "");
  }
}

TEST_CASE("rows: side by side, few or long ones") {
  struct Case {
    Shape shape;
    int axis;
  };
  for (const auto& [shape, axis] :
       {Case{{1000, 16}, 0}, Case{{700, 65}, 0}, Case{{257, 300}, 0}, Case{{3, 130, 70}, 1}, Case{{40, 33, 5}, 1},
        Case{{6, 50, 2, 9}, 1}, Case{{5, 300, 200}, 1}, Case{{2, 3, 65, 4, 30}, 2}, Case{{2100, 140}, 0}}) {
    CAPTURE(shape);
    CAPTURE(axis);
    const Tensor x = fractions(shape), g = fractions(shape, 2);
    const Shape kept = x.sum({axis}, true).shape();
    for (const Tensor& y : {x, x.cast(DType::Float16).realize(), x.cast(DType::Float64).realize()}) {
      CHECK(mismatch([&] { return y.softmax(axis); }) == "");
      CHECK(mismatch([&] { return y.var({axis}) + y.max({axis}); }) == "");
    }
    CHECK(mismatch([&] { return (x - fractions(kept, 3)).log_softmax(axis) * g; }) == "");
    CHECK(mismatch([&] { return whole(shape, DType::Float32).sum({axis}); }, true) == "");
    CHECK(mismatch([&] { return (whole(shape, DType::Int32) * 3).max({axis}); }, true) == "");
    CHECK(mismatch([&] { return x.transpose(0, -1).softmax(axis); }) == "");
    Shape turned = shape;
    std::swap(turned[0], turned[shape.size() - 1]);
    CHECK(mismatch([&] { return (x + fractions(turned, 4).transpose(0, -1)).softmax(axis); }) == "");
    Dims before = Dims::filled(shape.size(), 0), after = before;
    before[0] = 1, after[shape.size() - 1] = 2, before[axis] += 2;
    CHECK(mismatch([&] { return x.pad(before, after).softmax(axis); }) == "");
    CHECK(mismatch([&] {
      Tensor leaf = x.detach().requires_grad_();
      return gradient((leaf.softmax(axis) * g).sum(), {leaf})[0];
    }) == "");
  }
}

TEST_CASE("rows: a NaN among rows side by side stays in its own") {
  std::vector<float> numbers(100 * 70, 1);
  numbers[57 * 70 + 69] = NAN;
  const Tensor x = Tensor::from(numbers, {100, 70}).realize();
  for (const Tensor& y : {x.max({0}), x.min({0}), x.sum({0})}) {
    const std::vector<float> values = y.to_vector<float>();
    for (int i = 0; i < 70; ++i) CHECK(std::isnan(values[size_t(i)]) == (i == 69));
  }
}

TEST_CASE("rows: few long ones") {
  for (const Shape& shape : {Shape{20011}, Shape{16384}, Shape{2, 16411}, Shape{1009, 37}, Shape{3, 40, 200}})
    for (const DType dtype : {DType::Float32, DType::Float16, DType::Float64, DType::UInt8}) {
      const Tensor x = whole(shape, dtype);
      CAPTURE(shape);
      CAPTURE(dtype);
      CHECK(mismatch([&] { return x.max(); }, true) == "");
      for (int axis = 0; axis < shape.size(); ++axis) {
        CHECK(mismatch([&] { return x.sum({axis}); }, true) == "");
        const auto both = [&] {
          const Tensor f = x.cast(DType::Float32);
          return (f + 1).sum({axis}) * 0.5 + f.min({axis});
        };
        CHECK(mismatch(both, true) == "");
      }
    }
  CHECK(mismatch([&] { return whole({20021}, DType::Bool).any(); }, true) == "");
  CHECK(mismatch([&] { return fractions({20021}).pad({3}, {5}).exp().sum(); }) == "");  // padding counts, as exp(0)
}

TEST_CASE("rows: memory that begins anywhere, and goes anywhere") {
  for (const int64_t n : {5, 64, 1000, 1027}) {
    const Tensor x = fractions({n}), y = fractions({n, 3});
    CAPTURE(n);
    CHECK(mismatch([&] { return x.shrink({1}, {n}) * x.shrink({0}, {n - 1}); }, true) == "");
    CHECK(mismatch([&] { return x.flip({0}) + x; }, true) == "");
    CHECK(mismatch([&] { return y.transpose(0, 1) + x; }, true) == "");
    CHECK(mismatch([&] { return x.reshape({n, 1}).expand({n, 7}) - x[{0}]; }, true) == "");
    CHECK(mismatch([&] { return y.pad({2, 0}, {1, 5}) * 3 + 1; }, true) == "");
    CHECK(mismatch([&] { return y.cast(DType::BFloat16) * 3; }, true) == "");
    CHECK(mismatch([&] { return where(!(x > 0), x, 2); }, true) == "");
  }
}

TEST_CASE("rows: sixteen axes, in another order, padded") {
  Shape shape = Shape::filled(16, 1);
  for (const int axis : {0, 2, 3, 6, 7, 9, 11, 12, 14, 15}) shape[axis] = 2;
  const Tensor x = whole(shape, DType::Float32);
  Dims order;
  for (int a = 0; a < 16; ++a) order.push_back((a * 7 + 3) % 16);
  CHECK(mismatch([&] { return x.permute(order).contiguous() + 1; }, true) == "");
  CHECK(mismatch([&] { return x.permute(order) * x; }, true) == "");
  CHECK(mismatch([&] { return (x.permute(order) + x).sum({0, 3, 7, 12}); }, true) == "");
}

TEST_CASE("rows: sums of squares in float64, whose squares nobody else reads, or somebody does") {
  for (const int64_t width : kWidths) {
    CAPTURE(width);
    const Tensor x = fractions({5, width}) * 1e25, wide = x.cast(DType::Float64);
    CHECK(std::isfinite(wide.square().sum().item<double>()));
    for (const int axis : {0, 1}) {
      CAPTURE(axis);
      CHECK(mismatch([&] { return wide.square().sum({axis}); }) == "");
      CHECK(mismatch([&] { return wide.square() / wide.square().sum({axis}, true); }) == "");
      CHECK(mismatch([&] { return wide.square().sum({axis}, true) * wide; }) == "");
      const Tensor shifted = (x - 1e25).cast(DType::Float64);
      CHECK(mismatch([&] { return shifted.square().sum({axis}) + wide.sum({axis}).square(); }) == "");
    }
  }
}

TEST_CASE("rows: padding around short axes") {
  std::mt19937_64 random(7);
  const auto up_to = [&](int64_t most) { return int64_t(random() % uint64_t(most + 1)); };
  for (int round = 0; round < 300; ++round) {
    const int rank = 1 + int(up_to(4));
    Shape shape;
    Dims before, after, begin, end;
    for (int a = 0; a < rank; ++a) {
      shape.push_back(1 + up_to(a == 0 ? 40 : 8));
      const bool padded = up_to(2) > 0;
      before.push_back(padded ? up_to(3) : 0), after.push_back(padded ? up_to(3) : 0);
      const int64_t size = before[a] + shape[a] + after[a];
      begin.push_back(up_to(size) / 3), end.push_back(size - up_to(size - begin[a]) / 3);
    }
    const DType dtype = std::array{DType::Float32, DType::Float64, DType::BFloat16, DType::UInt8}[size_t(up_to(3))];
    Tensor x = whole(shape, dtype, uint64_t(round));
    if (up_to(3) == 0) x = x.flip({-1});
    if (rank > 1 && up_to(2) == 0) {
      const int other = int(up_to(rank - 2));
      x = x.transpose(other, rank - 1);
      for (Dims* dims : {&before, &after, &begin, &end}) std::swap((*dims)[other], (*dims)[rank - 1]);
    }
    CAPTURE(x.shape());
    CAPTURE(before);
    CAPTURE(after);
    CAPTURE(dtype);
    CHECK(mismatch([&] { return x.pad(before, after); }, true) == "");
    CHECK(mismatch([&] { return x.pad(before, after).shrink(begin, end) + 1; }, true) == "");
    CHECK(mismatch([&] { return x.pad(before, after, 3).flatten() * 2; }, true) == "");
    CHECK(mismatch([&] { return x.pad(before, after).sum({0}); }, true) == "");
  }
}

TEST_CASE("rows: many operands and a long program") {
  std::vector<Tensor> xs;
  for (uint64_t i = 0; i < 14; ++i) xs.push_back(whole({3, 50}, DType::Float32, i));
  const auto mixed = [&] {
    Tensor sum = xs[0];
    for (size_t i = 1; i < xs.size(); ++i) sum = (sum + xs[i]).maximum(xs[i - 1] * 2 - sum);
    for (const Tensor& x : xs) sum = sum - x;  // each is wanted again, so all of them wait in slots
    return sum;
  };
  CHECK(mismatch(mixed, true) == "");
}

}  // namespace teeny::test
