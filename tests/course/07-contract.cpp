#include "tests/course/check.h"
#include "tinyops/base/scalar_ops.h"
#include "tinyops/device.h"

namespace {

using namespace course;
using tinyops::BinaryOp, tinyops::Compute, tinyops::DType, tinyops::Dims, tinyops::Operand, tinyops::Shape,
    tinyops::View;
using Numbers = std::vector<double>;

/// The numbers, stored as `dtype` and seen through the view.
Operand operand(const Numbers& numbers, DType dtype, const View& view) {
  return tinyops::with_type(dtype, [&]<class T>(T) {
    const auto stored = std::make_unique<T[]>(numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) stored[i] = T(Compute<T>(numbers[i]));
    const auto buffer = std::make_shared<tinyops::Buffer>(numbers.size() * sizeof(T));
    if (!numbers.empty()) tinyops::write(buffer->data(), stored.get(), numbers.size() * sizeof(T));
    return Operand{buffer, dtype, view};
  });
}

Numbers numbers_of(const Operand& x, int64_t count) {
  return tinyops::with_type(x.dtype, [&]<class T>(T) {
    const auto stored = std::make_unique<T[]>(size_t(count));
    tinyops::read(stored.get(), x.buffer->data(), size_t(count) * sizeof(T));
    Numbers result;
    for (int64_t i = 0; i < count; ++i) result.push_back(double(Compute<T>(stored[size_t(i)])));
    return result;
  });
}

/// Runs the contraction, and compares. What is stored are the sums; or, with `less`, max(sum - less, 0).
void contract(const std::string& what, const Shape& shape, int reduced, const Operand& a, const Operand& b,
              const Numbers& want, const Operand* less = nullptr) {
  const Shape free(shape.begin(), shape.end() - reduced);
  const View whole = View::contiguous(free);
  const Operand out = operand(Numbers(size_t(numel(free)), -999), a.dtype, whole);
  tinyops::RowKernel after{free, 0, {{tinyops::Input::Kind::Sum, {nullptr, a.dtype, whole}}}, {}, {}};
  after.program.push_back({tinyops::Load{0}, a.dtype});
  if (less) {
    after.inputs.push_back({tinyops::Input::Kind::Memory, *less});
    after.program.push_back({tinyops::Load{1}, a.dtype});
    after.program.push_back({BinaryOp::Sub, a.dtype, {0, 1, -1}});
    after.program.push_back({tinyops::Constant{0}, a.dtype});
    after.program.push_back({BinaryOp::Max, a.dtype, {2, 3, -1}});
  }
  after.outputs.push_back({out, int(after.program.size()) - 1});
  try {
    tinyops::reference::check(tinyops::ContractKernel{shape, reduced, a, b, after});
  } catch (const tinyops::Error& error) { expect(false, what + ": " + error.what()); }
  same(what, numbers_of(out, numel(free)), want, 0, free);
}

void product(int64_t m, int64_t n, int64_t k, DType dtype) {
  Numbers a, b, want(size_t(m * n), 0);
  for (int64_t i = 0; i < m * k; ++i) a.push_back(double(pick(-5, 5)));
  for (int64_t i = 0; i < k * n; ++i) b.push_back(double(pick(-5, 5)));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t r = 0; r < k; ++r) want[size_t(i * n + j)] += a[size_t(i * k + r)] * b[size_t(r * n + j)];
  const View rows{{m, n, k}, {{k, 0, 1}, 0}, {}}, columns{{m, n, k}, {{0, 1, n}, 0}, {}};
  contract(text("a (", m, ", ", k, ") times a (", k, ", ", n, "), ", dtype), {m, n, k}, 1, operand(a, dtype, rows),
           operand(b, dtype, columns), want);
}

/// max(sum of a * b - less, 0).
void dot(const std::string& what, const Numbers& a, const Numbers& b, DType dtype, double less, double want) {
  const int64_t k = int64_t(a.size());
  const View along{{1, k}, {{0, 1}, 0}, {}};
  const Operand taken = operand({less}, dtype, {{1}, {{0}, 0}, {}});
  contract(what, {1, k}, 1, operand(a, dtype, along), operand(b, dtype, along), {want}, &taken);
}

}  // namespace

EXERCISE("07") {
  product(2, 2, 3, DType::Float32);
  product(1, 4, 1, DType::Float32);
  product(3, 2, 0, DType::Float32);  // sums of nothing

  const View windows{{4, 3}, {{1, 1}, -1}, {{{{1, 1}, -1}, 4}}}, taps{{4, 3}, {{0, 1}, 0}, {}};
  contract("1 2 3 4, padded by one on each side, under a filter 1 10 100", {4, 3}, 1,
           operand({1, 2, 3, 4}, DType::Float32, windows), operand({1, 10, 100}, DType::Float32, taps),
           {210, 321, 432, 43});
  const View blocks{{2, 2, 2}, {{2, 4, 1}, 0}, {}}, ones{{2, 2, 2}, {{0, 0, 0}, 0}, {}};
  contract("two axes are summed: the blocks (2, 2) of a (2, 4), times 1", {2, 2, 2}, 2,
           operand({0, 1, 2, 3, 4, 5, 6, 7}, DType::Float32, blocks), operand({1}, DType::Float32, ones), {10, 18});

  dot("the epilogue: max(2 * 3 + 4 * 5 - 6, 0)", {2, 4}, {3, 5}, DType::Float32, 6, 20);
  dot("1e8 + 1 - 1e8: float32 is summed in double", {1e8, 1, -1e8}, {1, 1, 1}, DType::Float32, 0, 1);
  const double large = 9007199254740992;  // 2^53: the integer after it is no double
  dot("2^53 + 1 less 2^53: the sum of int64 is exact", {large, 1}, {1, 1}, DType::Int64, large, 1);
  dot("256 + 1, rounded as if it were stored, less 256: bfloat16 has 8 bits", {256, 1}, {1, 1}, DType::BFloat16, 256,
      0);

  for (const DType dtype : {DType::Float32, DType::Float64, DType::Int32, DType::BFloat16})
    product(pick(1, 4), pick(1, 4), pick(1, 3), dtype);
}
