#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/course/tensors.h"

namespace {

using namespace course;
using teeny::DType, teeny::Dims, teeny::Tensor;

/// y.pad(before, after), made by hand: `pad` is another exercise.
Tensor padded(const Tensor& y, const Dims& before, const Dims& after) {
  teeny::View view = teeny::View::contiguous(y.shape());
  for (int a = 0; a < view.rank(); ++a) {
    view.shape[a] += before[a] + after[a];
    view.address.offset -= view.address.coef[a] * before[a];
    if (before[a] + after[a] == 0) continue;
    view.guards.push_back({{Dims::filled(view.rank(), 0), -before[a]}, y.shape()[a]});
    view.guards.back().position.coef[a] = 1;
  }
  return Tensor(teeny::LazyBuffer(y.lazy().node(), teeny::ShapeTracker(view)));
}

/// What is wrong with the program, whatever it computes; empty where nothing is.
std::string mistake(const tinyops::RowKernel& kernel) {
  const auto& program = kernel.program;
  for (size_t i = 0; i < program.size(); ++i) {
    const tinyops::Instruction& step = program[i];
    if (const auto* load = std::get_if<tinyops::Load>(&step.op)) {
      const teeny::Shape& shape = kernel.inputs[size_t(load->input)].operand.view.shape;
      if (shape != kernel.shape)
        return text("input ", load->input, " is seen as ", shape, ", and the kernel walks ", kernel.shape);
    }
    bool read = false, all_of_row = true;
    for (const int arg : step.args) {
      if (arg < 0) continue;
      if (arg >= int(i)) return text("%", i, " is made of %", arg, ", which is not there by then");
      read = true, all_of_row &= program[size_t(arg)].per_row;
      if (step.per_row && !program[size_t(arg)].per_row && !std::holds_alternative<tinyops::Reduce>(step.op))
        return text("%", i, " belongs to the row, and %", arg, ", which it reads, to each element");
    }
    if (!std::holds_alternative<tinyops::TernaryOp>(step.op)) continue;
    if (read && all_of_row && !step.per_row)
      return text("%", i, " belongs to each element, and all that it reads to the row");
    if (program[size_t(step.args[0])].dtype != DType::Bool) return text("the condition of %", i, " is no bool");
    for (const int branch : {step.args[1], step.args[2]})
      if (program[size_t(branch)].dtype != step.dtype)
        return text("%", i, " is ", step.dtype, ", and %", branch, " is ", program[size_t(branch)].dtype);
  }
  return "";
}

/// Compares the elements of `x`, which one kernel computes; where they differ, with its program.
void masked(const std::string& what, const Tensor& x, const std::vector<double>& want) {
  const Tensor y = x.contiguous();
  const teeny::LazyBuffer target = y.lazy();
  const std::vector<teeny::Step> steps = teeny::schedule_fused({&target, 1});
  const auto& rows = std::get<tinyops::RowKernel>(steps.at(0).kernel);
  const std::string wrong = mistake(rows);
  std::vector<double> yours;
  if (wrong.empty()) yours = y.to_vector<double>();
  if (!wrong.empty() || yours != want) {
    std::string listing = teeny::debug::listing(rows);
    while (listing.ends_with('\n')) listing.pop_back();
    for (size_t at = 0; (at = listing.find('\n', at)) != std::string::npos; at += 3) listing.replace(at, 1, "\n  ");
    trying(text(what, "; your program:\n    ", listing));
  }
  expect(wrong.empty(), what + ": " + wrong);
  same(what, yours, want, 0, y.shape());
}

}  // namespace

EXERCISE("12") {
  const Tensor x = Tensor::of<double>({1, 2}).realize();
  masked("x <= 5 for x = 1 2, padded on each side", padded(x <= 5, {1}, {1}), {0, 1, 1, 0});
  masked("x == 0 for x = 1 2, padded on each side", padded(x == 0, {1}, {1}), {0, 0, 0, 0});
  masked("1 / x for x = 1 2, padded in front, without the last", padded(x.reciprocal(), {1}, {0}).shrink({0}, {2}),
         {0, 1});

  // In a row kernel, whose axes may have another order than those of what is padded.
  const Tensor m = Tensor::of<double>({1, 2, 3, 4, 5, 6}).reshape({2, 3}).realize();
  const Tensor small = (m <= 4).cast(DType::Float64);
  masked("m <= 4 for m = 1 2 3, 4 5 6, with a column on the left", padded(small, {0, 1}, {0, 0}),
         {0, 1, 1, 1, 0, 1, 0, 0});
  masked("m <= 4 with a row on top and a column on the left", padded(small, {1, 1}, {0, 0}),
         {0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0});
  masked("m <= 4 with a column on the left: its column sums", padded(small, {0, 1}, {0, 0}).sum(0), {0, 2, 1, 1});
  masked("m <= 4 with a column on the left: its row sums", padded(small, {0, 1}, {0, 0}).sum(1), {3, 1});
  masked("m <= 4 with a row on top: its row sums", padded(small, {1, 0}, {0, 0}).sum(1), {0, 3, 1});
  const Tensor four = Tensor::full({4, 2}, 10.0).contiguous().realize();
  masked("the row sums of a (4, 2) of tens, plus (x <= 5 for x = 1 2, padded on each side)",
         four.sum(1) + padded(x <= 5, {1}, {1}).cast(DType::Float64), {20, 21, 21, 20});
}
