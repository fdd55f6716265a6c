// Sorting and scans at the sizes where a kernel chooses another algorithm, compared with the reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/check_reference.h"

namespace teeny::test {
namespace {

/// Few different values, so that many are equal; among floats both zeros, infinities and NaNs of both signs.
Tensor some(const Shape& shape, DType dtype, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  constexpr double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const double odd[] = {0.0, -0.0, infinity, -infinity, nan, -nan};
  std::vector<double> values(size_t(numel(shape)));
  for (double& v : values)
    v = is_float(dtype) && random() % 8 == 0 ? odd[random() % 6] : double(int64_t(random() % 201)) - 100;
  if (!is_float(dtype)) return (Tensor::from(values, shape).cast(DType::Int64) % 128).cast(dtype).realize();
  return Tensor::from(values, shape).cast(dtype).realize();
}

/// Small integers, whose sums are exact; with `signs` 1 and -1, whose products are.
Tensor small(const Shape& shape, DType dtype, bool signs = false) {
  std::mt19937_64 random(uint64_t(numel(shape)));
  std::vector<int64_t> values(size_t(numel(shape)));
  for (int64_t& v : values) v = signs ? int64_t(random() % 2) * 2 - 1 : int64_t(random() % 3) - 1;
  return Tensor::from(values, shape).cast(dtype).realize();
}

}  // namespace

TEST_CASE("sort: rows of all lengths, both ways, all dtypes") {
  for (const DType dtype : kDTypes)
    for (const int64_t n : {1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300}) {
      const Tensor x = some({3, n}, dtype, uint64_t(n));
      for (const bool descending : {false, true})
        CHECK_MESSAGE(mismatch([&] { return x.argsort(-1, descending); }) == "", text(n, ' ', dtype, descending));
    }
}

TEST_CASE("sort: long rows, many rows, and strided views") {
  for (const int64_t n : {1023, 1024, 1025, 5000}) {
    const Tensor x = some({n}, DType::Float32), wide = some({2, n}, DType::Int64);
    CHECK_MESSAGE(mismatch([&] { return x.argsort(); }) == "", text(n));
    CHECK_MESSAGE(mismatch([&] { return wide.argsort(1, true); }) == "", text(n));
  }
  for (const Shape& shape : {Shape{5, 4, 7}, Shape{1, 70, 3}, Shape{200, 2, 1}}) {
    const Tensor x = some(shape, DType::Float16);
    for (int axis = 0; axis < 3; ++axis)
      for (const Tensor& view :
           {x, x.flip({axis}), x.permute({1, 2, 0}), x.pad({1, 0, 2}, {0, 3, 0}), x[{slice({}, {}, 2)}]}) {
        CHECK_MESSAGE(mismatch([&] { return view.argsort(axis); }) == "", text(view.shape(), axis));
        CHECK_MESSAGE(mismatch([&] { return Tensor::cat({view.argsort(axis), view.argsort(axis, true)}, 1); }) == "",
                      text(view.shape(), axis));
      }
  }
  CHECK(Tensor::zeros({0, 3}).argsort(0).numel() == 0);
  const Tensor equal = Tensor::zeros({777}).realize();
  CHECK(mismatch([&] { return equal.argsort(0, true); }) == "");
}


TEST_CASE("scan: rows of all lengths, all dtypes") {
  for (const DType dtype : kDTypes)
    for (const int64_t n : {1, 2, 31, 32, 33, 127, 128, 129, 300}) {
      const Tensor x = small({3, n}, dtype), signs = small({3, n}, dtype, true), mixed = some({3, n}, dtype);
      CHECK_MESSAGE(mismatch([&] { return x.cumsum(1); }, true) == "", text(n, dtype));
      CHECK_MESSAGE(mismatch([&] { return signs.cumprod(1); }, true) == "", text(n, dtype));
      CHECK_MESSAGE(mismatch([&] { return mixed.cummax(1).values; }) == "", text(n, dtype));
      CHECK_MESSAGE(mismatch([&] { return mixed.cummin(1).indices; }) == "", text(n, dtype));
    }
}

TEST_CASE("scan: long rows, columns, and strided views") {
  const auto check = [](const Tensor& x, int axis) {
    CHECK_MESSAGE(mismatch([&] { return x.cumsum(axis); }, true) == "", text(x.shape(), axis, x.dtype()));
    CHECK_MESSAGE(mismatch([&] { return x.cummax(axis).values; }) == "", text(x.shape(), axis, x.dtype()));
    CHECK_MESSAGE(mismatch([&] { return x.cummin(axis).indices; }) == "", text(x.shape(), axis, x.dtype()));
  };
  for (const DType dtype : {DType::Float32, DType::Int64, DType::BFloat16})
    for (const Shape& shape : {Shape{1023}, Shape{1024}, Shape{1025}, Shape{5000}, Shape{2, 3000}, Shape{2500, 2},
                               Shape{2100, 20}, Shape{70, 40}, Shape{33, 100}, Shape{5, 17, 31}, Shape{3, 9, 64}})
      for (int axis = 0; axis < shape.size(); ++axis) check(small(shape, dtype), axis);
  const Tensor x = small({7, 40, 6}, DType::Float32);
  for (int axis = 0; axis < 3; ++axis)
    for (const Tensor& view :
         {x.flip({axis}), x.permute({1, 2, 0}), x.pad({1, 0, 2}, {0, 3, 0}), x[{slice({}, {}, 2)}]})
      check(view, axis);
  CHECK(Tensor::zeros({0, 3}).cumsum(0).numel() == 0);
}

TEST_CASE("scan: sums of fractions stay near the exact ones") {
  Tensor::manual_seed(4);
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    const Tensor x = Tensor::rand({20000}, dtype).realize();
    CHECK(mismatch([&] { return x.cumsum(0); }) == "");
    CHECK(mismatch([&] { return (x - 0.5).cumsum(0); }) == "");
    CHECK(mismatch([&] { return x.reshape({1000, 20}).cumsum(0); }) == "");
    CHECK(mismatch([&] { return (x + 0.6).reshape({20, 1000}).cumprod(1); }) == "");
  }
}

TEST_CASE("scan: running sums of positive values never decrease") {
  Tensor::manual_seed(5);
  for (const DType dtype : {DType::Float32, DType::Float64}) {
    // Here and there a few that are too small to hide it if a sum begins anew a rounding lower.
    const Tensor x = where(Tensor::arange(100000) % 256 < 4, 1e-30, Tensor::rand({100000}, dtype));
    const std::vector<double> sums = x.cumsum(0).to_vector<double>();
    CHECK(std::is_sorted(sums.begin(), sums.end()));
  }
}

TEST_CASE("scan: logcumsumexp of all lengths, also where terms differ by more than any exponential") {
  Tensor::manual_seed(6);
  for (const int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 64, 1000, 4097})
    for (const double spread : {1.0, 300.0}) {
      const Tensor x = (Tensor::randn({3, n}) * spread).realize();
      const std::vector<double> values = x.to_vector<double>(), got = x.logcumsumexp(1).to_vector<double>();
      double worst = 0, top = 0, sum = 0;  // the sum is exp(top) times `sum`
      for (size_t i = 0; i < values.size(); ++i) {
        const double value = values[i], before = i % size_t(n) ? top : value;
        if (i % size_t(n) == 0) sum = 0;
        top = std::max(before, value);
        sum = sum * std::exp(before - top) + std::exp(value - top);
        const double want = top + std::log(sum);
        const double apart = std::abs(got[i] - want) / std::max(1.0, std::abs(want));
        if (!(apart <= worst)) worst = apart;  // where it is NaN, too
      }
      CHECK_MESSAGE(worst < 1e-6, text(n, " of ", spread, ": ", worst));
      CHECK(difference(x.t().contiguous().logcumsumexp(0).t(), x.logcumsumexp(1)) == "");
    }
}

}  // namespace teeny::test
