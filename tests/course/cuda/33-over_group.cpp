#include <cmath>

#include "tests/course/cuda/device.h"
#include "tinyops/cuda/row/row_plan.h"

// None of the kernels below is one of these: the program links without their files, if no other check brings them.
namespace tinyops::cuda {
[[gnu::weak]] bool run_elementwise(const RowKernel&) { return false; }
[[gnu::weak]] bool run_transpose(const RowKernel&) { return false; }
}  // namespace tinyops::cuda

namespace {

using namespace course;
using tinyops::Load, tinyops::Reduce, tinyops::ReduceOp, tinyops::RowKernel;

template <class T>
struct Rows {
  int64_t rows, n;
  std::vector<T> values;

  double at(int64_t row, int64_t i) const { return double(values[size_t(row * n + i)]); }
  Shape shape() const { return {rows, n}; }
  RowKernel kernel() const {
    return {.shape = shape(),
            .inner = 1,
            .inputs = {{.operand = on_device(shape(), values)}},
            .program = {{.op = Load{0}, .dtype = tinyops::dtype_of<T>()}},
            .outputs = {}};
  }
};

/// One value a row, as its kernel sees it.
template <class T>
Operand a_value_a_row(const Rows<T>& x) {
  Operand out = on_device<T>({x.rows});
  out.view = {x.shape(), {{1, 0}, 0}, {}};
  return out;
}

template <class T>
void reduction(const Rows<T>& x, ReduceOp op) {
  RowKernel k = x.kernel();
  k.program.push_back({.op = Reduce{op}, .dtype = tinyops::dtype_of<T>(), .args = {0, -1, -1}, .per_row = true});
  k.outputs = {{.operand = a_value_a_row(x), .value = 1}};
  std::vector<double> want;
  for (int64_t r = 0; r < x.rows; ++r) {
    double total = x.at(r, 0);
    for (int64_t i = 1; i < x.n; ++i) total = op == ReduceOp::Sum ? total + x.at(r, i) : std::max(total, x.at(r, i));
    want.push_back(total);
  }
  const std::string what = text(op == ReduceOp::Sum ? "sums" : "maxima", " of ", x.rows, " rows of ", x.n,
                                sizeof(T) == 8 ? ", float64" : "");
  traffic_of(what, [&] { tinyops::cuda::run_kernel(k); });
  Operand flat = k.outputs[0].operand;
  flat.view = View::contiguous({x.rows});
  same(what, from_device<T>(flat), want);
}

void softmax(const Rows<float>& x) {
  RowKernel k = x.kernel();
  const auto add = [&](auto op, int a, int b = -1, bool per_row = false) {
    k.program.push_back({.op = op, .dtype = DType::Float32, .args = {a, b, -1}, .per_row = per_row});
    return int(k.program.size()) - 1;
  };
  const int most = add(Reduce{ReduceOp::Max}, 0, -1, true);
  const int power = add(UnaryOp::Exp, add(BinaryOp::Sub, 0, most));
  const int sum = add(Reduce{ReduceOp::Sum}, power, -1, true);
  const int result = add(BinaryOp::Div, power, sum);
  k.outputs = {{.operand = on_device<float>(x.shape()), .value = result}};
  std::vector<double> want;
  for (int64_t r = 0; r < x.rows; ++r) {
    double total = 0;
    for (int64_t i = 0; i < x.n; ++i) total += std::exp(x.at(r, i));
    for (int64_t i = 0; i < x.n; ++i) want.push_back(std::exp(x.at(r, i)) / total);
  }
  const std::string what =
      text("softmax of ", x.rows, " rows of ", x.n, ": a maximum, then a sum, which every element needs");
  traffic_of(what, [&] { tinyops::cuda::run_kernel(k); });
  same(what, from_device<float>(k.outputs[0].operand), want, 1e-4, x.shape(), 0);
}

template <class T>
Rows<T> some(int64_t rows, int64_t n, int64_t most = 9) {
  return {rows, n, whole_numbers<T>(rows * n, -most, most)};
}

}  // namespace

EXERCISE("33") {
  for (const int64_t n : {8, 16, 64, 100, 256, 300, 512, 1024, 1500}) {
    reduction(some<float>(5, n), ReduceOp::Sum);
    reduction(some<float>(5, n), ReduceOp::Max);
    softmax(some<float>(5, n, 1));
  }
  reduction(some<double>(5, 100), ReduceOp::Sum);
  reduction(some<double>(5, 1024), ReduceOp::Max);
  const int64_t rows = pick(6, 20), n = pick(8, 2000);
  reduction(some<float>(rows, n), ReduceOp::Sum);
  softmax(some<float>(rows, n, 1));
}
