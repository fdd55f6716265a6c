#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/course/tensors.h"

namespace {

using namespace course;
using teeny::DType, teeny::Tensor;

/// Compares the elements of `y`, and how many instructions the program of its one kernel has.
void program(const std::string& what, const Tensor& y, size_t length, const std::vector<double>& want) {
  const teeny::LazyBuffer target = y.lazy();
  const std::vector<teeny::Step> steps = teeny::schedule_fused({&target, 1});
  const auto& rows = std::get<tinyops::RowKernel>(steps.at(0).kernel);
  const auto good = [&](bool yes, const std::string& otherwise) {
    if (yes) return;
    std::string listing = teeny::debug::listing(rows);
    while (listing.ends_with('\n')) listing.pop_back();
    for (size_t at = 0; (at = listing.find('\n', at)) != std::string::npos; at += 3) listing.replace(at, 1, "\n  ");
    trying(text(what, "; your program:\n    ", listing));
    expect(false, text(what, ": ", otherwise));
  };
  const auto is_value = [&](int value, size_t before) { return 0 <= value && value < int(before); };
  for (size_t i = 0; i < rows.program.size(); ++i)
    for (const int arg : rows.program[i].args)
      good(arg == -1 || is_value(arg, i), text("%", i, " is made of %", arg, ", which is not there by then"));
  for (const tinyops::Output& output : rows.outputs)
    good(is_value(output.value, rows.program.size()), text("%", output.value, " is stored, and there is none"));
  good(rows.program.size() == length, text(length, " instructions, not ", rows.program.size()));
  same(what, y, want);
}

}  // namespace

EXERCISE("11") {
  const Tensor x = Tensor::of<double>({1.5, 2.5, -3}).realize(), y = Tensor::of<double>({4, 5, 6}).realize();
  program("x * y is 2 loads and a product", x * y, 3, {6, 12.5, -18});
  program("x * x is a load and a product", x * x, 2, {2.25, 6.25, 9});
  program("(x * x) * (x * x) is a load and 2 products", (x * x) * (x * x), 3, {5.0625, 39.0625, 81});
  program("x * 2 * 3 is a load, 2 constants and 2 products", x * 2 * 3, 5, {9, 15, -18});
  program("(x - y) * (y - x) is 2 loads, 2 differences and a product", (x - y) * (y - x), 5, {-6.25, -6.25, -81});
  program("x as float32 plus x as int32, as float32, is a load, 3 casts and a sum",
          x.cast(DType::Float32) + x.cast(DType::Int32), 5, {2.5, 4.5, -6});
  program("the sum of (x * x) * (x * x) is a load, 2 products and a reduction", ((x * x) * (x * x)).sum(), 4,
          {125.125});

  // Of any size.
  Tensor twice = x;
  for (int i = 0; i < 3; ++i) twice = twice + twice;
  program("3 steps y = y + y are a load and 3 sums", twice, 4, {12, 20, -24});
}
