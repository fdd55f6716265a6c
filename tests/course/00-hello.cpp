#include <cmath>

#include "tests/course/own/first.h"
#include "tests/course/own_code.h"

namespace {

using namespace course;
using teeny::Tensor;

struct Column {
  double mean = 0, deviation = 0;
};
/// Of a row-major table, by plain loops.
Column column_of(const std::vector<double>& table, size_t columns, size_t c) {
  const size_t rows = table.size() / columns;
  Column result;
  for (size_t r = 0; r < rows; ++r) result.mean += table[r * columns + c] / double(rows);
  for (size_t r = 0; r < rows; ++r)
    result.deviation += std::pow(table[r * columns + c] - result.mean, 2) / double(rows - 1);
  result.deviation = std::sqrt(result.deviation);
  return result;
}
/// Four digits, and no -0.
double rounded(double x) { return std::round(x * 1e4) / 1e4 + 0.0; }

void check_table(const std::string& what, const Tensor& x) {
  const size_t columns = size_t(x.size(1));
  const Tensor result = attempt(what, [&] { return own::standardize(x); });
  same_shape(what + ": the result", result, x.shape());
  std::vector<double> want = x.to_vector<double>();
  const std::vector<double> table = want, yours = result.to_vector<double>();
  for (size_t c = 0; c < columns; ++c) {
    const Column of_x = column_of(table, columns, c), is = column_of(yours, columns, c);
    expect(std::abs(is.mean) < 1e-4,
           text(what, ": column ", c, " of yours has mean ", rounded(is.mean), ", and should have 0"));
    expect(std::abs(is.deviation - 1) < 1e-4, text(what, ": column ", c, " of yours has standard deviation ",
                                                   rounded(is.deviation), ", and should have 1"));
    for (size_t i = c; i < want.size(); i += columns) want[i] = (want[i] - of_x.mean) / of_x.deviation;
  }
  same(what, result, want, 1e-4);
}

}  // namespace

EXERCISE("00") {
  check_table("x = {{1, 10}, {2, 20}, {3, 60}}", Tensor::of({{1, 10}, {2, 20}, {3, 60}}));
  for (int i = 0; i < 5; ++i) {
    const int64_t rows = pick(3, 9), columns = pick(1, 4);
    std::vector<float> values(size_t(rows * columns));
    for (size_t k = 0; k < values.size(); ++k) {  // features of different sizes, and no two samples alike
      const size_t row = k / size_t(columns), column = k % size_t(columns);
      values[k] = float(std::pow(4.0, double(column)) * (double(row) + uniform(1, 1.9)));
    }
    check_table(text("x (", rows, ", ", columns, ")"), Tensor::from(values, {rows, columns}));
  }

  const Tensor x = Tensor::rand({1000, 20}).realize();
  const int64_t before = teeny::context.kernels;
  own::standardize(x).realize();
  const int64_t kernels = teeny::context.kernels - before;
  report(text("Welcome! For 1000 samples of 20 features your line ran as ", kernels, kernels == 1 ? " loop" : " loops",
              " over memory, a kernel: how is told in notes/06-from-a-graph-to-kernels.md."));
}
