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

/// Makes a program, step by step. The draws choose a step's arguments and numbers, sometimes after steps of their own;
/// the shape and dtype of the result are asked of the operation itself, which computes nothing for them.
class Maker {
 public:
  explicit Maker(uint64_t seed);
  Program make(int length);

  // False where nothing fits.
  bool source(Step& step);    ///< no arguments: numbers = shape, more = {a random number}
  bool unary(Step& step);
  bool unary_of_leaf(Step& step);
  bool binary(Step& step);    ///< two that broadcast
  bool select(Step& step);    ///< a condition and two that broadcast
  bool assign(Step& step);    ///< two, of which the second expands to the first
  bool cast(Step& step);
  bool reduce(Step& step);    ///< numbers = axes
  bool along(Step& step);     ///< numbers = {axis, a small number}, terms = its size
  bool matmul(Step& step);
  bool conv(Step& step);      ///< numbers = {stride, padding, dilation}
  bool gather(Step& step);    ///< numbers = {axis}; arguments x, index
  bool scatter(Step& step);   ///< numbers = {axis}; arguments x, index, source
  bool cat(Step& step);       ///< numbers = {axis}
  bool reshape(Step& step);   ///< numbers = shape
  bool permute(Step& step);   ///< numbers = axes
  bool expand(Step& step);    ///< numbers = shape
  bool repeat(Step& step);    ///< numbers = times
  bool pad(Step& step);       ///< numbers, more = amounts
  bool cut(Step& step);       ///< numbers, more = amounts, some negative
  bool shrink(Step& step);    ///< numbers, more = begin, end
  bool slice(Step& step);     ///< numbers = {axis, start, stop, step}
  bool unfold(Step& step);    ///< numbers = {axis, size, step, dilation}
  bool diagonal(Step& step);  ///< numbers = two axes

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

/// What an error formula sees: arguments, their errors, the result, and the relative rounding errors of storing a
/// number (u) and of computing with it (c; the 16-bit floats are computed in float32).
struct Judged {
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
  /// Without the rounding of the result itself. Null for what only moves or selects numbers: errors do as they do.
  Tensor (*error)(const Judged&) = nullptr;
};

std::span<const Op> operations();
const Op& operation(std::string_view name);

/// The largest whole number up to which a dtype holds all of them.
double most_exact(DType dtype);

}  // namespace random_graph
