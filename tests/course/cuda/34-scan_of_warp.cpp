#include <cstdio>

#include "tests/course/cuda/device.h"

// Nothing is padded here: the program links without the file of this, if no other check brings it.
namespace tinyops::cuda {
[[gnu::weak]] Operand without_guards(const Operand& operand) { return operand; }
}  // namespace tinyops::cuda

namespace {

using namespace course;
using tinyops::ReduceOp;

template <class T>
std::vector<double> scan(const std::string& what, ReduceOp op, const Shape& shape, const std::vector<T>& values) {
  const tinyops::ScanKernel k{.op = op, .in = on_device(shape, values), .out = on_device<T>(shape)};
  traffic_of(what, [&] { tinyops::cuda::run_kernel(k); });
  return from_device<T>(k.out);
}

template <class T>
void same_scan(ReduceOp op, int64_t n) {
  const std::vector<T> values = whole_numbers<T>(2 * n, op == ReduceOp::Max ? -99 : 1, op == ReduceOp::Max ? 99 : 5);
  std::vector<double> want(values.begin(), values.end());
  for (size_t i = 0; i < want.size(); ++i)
    if (int64_t(i) % n) want[i] = op == ReduceOp::Max ? std::max(want[i - 1], want[i]) : want[i - 1] + want[i];
  const std::string what = text(op == ReduceOp::Max ? "running maxima" : "running sums", " of rows of ", n,
                                tinyops::is_float(tinyops::dtype_of<T>()) ? "" : ", int64");
  same(what, scan(what, op, {2, n}, values), want, 0, {2, n});
}

}  // namespace

EXERCISE("34") {
  for (const int64_t n : {5, 32, 33, 64, 100, 300, 1000}) {
    same_scan<float>(ReduceOp::Sum, n);
    same_scan<float>(ReduceOp::Max, n);
    same_scan<int64_t>(ReduceOp::Sum, n);
  }
  same_scan<float>(ReduceOp::Sum, pick(1, 500));

  // Between large numbers small ones, which decide nothing but how the sum is rounded.
  constexpr int64_t rows = 60, n = 32;
  std::vector<float> values;
  for (int64_t i = 0; i < rows * n; ++i) values.push_back(float(uniform(0, pick(0, 2) ? 1e-7 : 1)));
  const std::string what = "running sums of rows of 32 numbers above 0";
  const std::vector<double> sums = scan(what, ReduceOp::Sum, {rows, n}, values);
  for (size_t i = 0; i < sums.size(); ++i)
    if (i % n && sums[i] < sums[i - 1]) {
      char figures[99];
      std::snprintf(figures, sizeof figures, "%.9g, and element %d is %.9g", sums[i - 1], int(i % n), sums[i]);
      expect(false, text(what, ": they fall. Element ", i % n - 1, " is ", figures,
                         "\n    two neighbours were rounded in different ways: they must be sums of the same sums"));
    }
  report("sums of numbers above 0 never fall, whatever is rounded");
}
