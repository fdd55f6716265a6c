#pragma once
// What a random program is made of. A line of the table says how an operation's arguments are drawn, what it computes,
// how large the result can be, and what becomes of its arguments' errors.
#include <random>
#include <span>
#include <string_view>

#include "random_graph.h"

namespace random_graph {

inline constexpr int kMostAxes = 8;
inline constexpr int64_t kMostElements = 8000, kMostInLarge = 60000;

/// Makes a program, step by step. The draws choose a step's arguments and parameters, sometimes after steps of their
/// own; the shape and dtype of the result are those of the operation applied to prototypes, which computes nothing.
class Maker {
 public:
  explicit Maker(uint64_t seed);
  Program make(int length);

  // False where nothing fits.
  bool source(Step& step);    ///< no arguments: numbers = shape, more = {a random integer}
  bool unary(Step& step);
  bool unary_of_leaf(Step& step);
  bool binary(Step& step);    ///< two that broadcast
  bool binary_of_leaves(Step& step);
  /// What `draw` makes for one of the operations that op.h lists: more = {its number}.
  template <class Op, bool (Maker::*draw)(Step&)>
  bool any(Step& step) {
    step.more = {pick(0, tinyops::kCount<Op> - 1)};
    return (this->*draw)(step);
  }
  bool select(Step& step);    ///< a condition and two that broadcast
  bool assign(Step& step);    ///< two, of which the second expands to the first
  bool cast(Step& step);
  bool reduce(Step& step);    ///< params = axes
  bool along(Step& step);     ///< params = {axis, a small integer}, terms = its size
  bool matmul(Step& step);
  bool conv(Step& step);      ///< params = {stride, padding, dilation, groups}
  bool gather(Step& step);    ///< params = {axis}; arguments x, index
  bool scatter(Step& step);   ///< params = {axis}; arguments x, index, source
  bool cat(Step& step);       ///< params = {axis}
  bool reshape(Step& step);   ///< params = shape
  bool permute(Step& step);   ///< params = axes
  bool expand(Step& step);    ///< params = shape
  bool repeat(Step& step);    ///< params = times
  bool pad(Step& step);       ///< params, more = amounts
  bool cut(Step& step);       ///< params, more = amounts, some negative
  bool shrink(Step& step);    ///< params, more = begin, end
  bool slice(Step& step);     ///< params = {axis, start, stop, step}
  bool unfold(Step& step);    ///< params = {axis, size, step, dilation}
  bool diagonal(Step& step);  ///< params = two axes

 private:
  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  const Step& at(int i) const { return program_.steps[size_t(i)]; }
  int last() const { return int(program_.steps.size()) - 1; }
  bool add(Step step);
  int leaf(Shape shape, DType dtype, int64_t below = 0);  ///< its position
  int operand();
  int partner(int x);
  int index(const Shape& shape, int64_t below);
  Shape random_shape();
  DType random_dtype();

  std::mt19937_64 random_;
  bool large_ = false;  ///< now and then: for what only happens in large kernels
  Program program_;
  std::vector<Tensor> prototypes_;  ///< zeros, of each step's shape and dtype
};

/// The inputs of an error formula: arguments, their errors, the result, and the relative rounding errors of storing a
/// value (u) and of computing with it (c; the 16-bit floats are computed in float32).
struct ErrorInputs {
  const Step& s;
  Tensor x, y, z, ex, ey, ez, out;
  double u, c;
};

struct Op {
  std::string_view name;
  std::string_view programs;  ///< letters: whole, smooth, gradient
  std::string_view dtypes;    ///< of its arguments together: bool, int, float
  bool (Maker::*draw)(Step&);
  Tensor (*run)(const Step& s, const Tensor& x, const Tensor& y, const Tensor& z);
  /// From the bound of the first argument, of the others, and the number of terms. Null: the first argument's.
  double (*bound)(double a, double b, double n) = nullptr;
  /// Without the rounding of the result itself. Null for what only moves or selects elements: errors move with them.
  Tensor (*error)(const ErrorInputs&) = nullptr;
};

std::span<const Op> operations();
const Op& operation(std::string_view name);

/// The largest integer up to which a dtype holds all of them.
double most_exact(DType dtype);

}  // namespace random_graph
