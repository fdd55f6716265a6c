// A program from a seed.
#include <algorithm>
#include <limits>

#include "random_graph_ops.h"

namespace random_graph {

using namespace teeny;

namespace {

constexpr double kMostSmooth = 1e6, kMostSmooth16 = 1e4, kMostDifferentiated = 1e3;

/// The largest value of an integer dtype: whatever is computed with integers wraps to that.
double most_integer(DType dtype) {
  switch (dtype) {
    case DType::Bool: return 1;
    case DType::UInt8: return 255;
    case DType::Int32: return 0x1p31;
    default: return 0x1p63;
  }
}

}  // namespace

Maker::Maker(uint64_t seed) : random_(seed), large_(seed % 10 == 9) {
  program_.seed = seed;
  program_.kind = Kind(std::array{0, 0, 0, 1, 1, 1, 2}[size_t(pick(0, 6))]);
}

Program Maker::make(int length) {
  while (int(program_.steps.size()) < length) {
    const Op& op = operations()[size_t(pick(0, int64_t(operations().size()) - 1))];
    Step step;
    step.op = op.name;
    const char letter = "wsg"[int(program_.kind)];
    if (program_.steps.empty() || pick(0, 12) == 0) leaf(random_shape(), random_dtype());
    else if (op.programs.find(letter) != op.programs.npos && (this->*op.draw)(step)) add(std::move(step));
  }
  auto is_output = [&](int i) { return program_.kind == Kind::Whole || is_float(at(i).dtype); };
  for (int64_t wanted = pick(1, 4), tries = 0; tries < 20 && int64_t(program_.outputs.size()) < wanted; ++tries) {
    const int i = int(last() - (tries ? pick(0, last()) : 0));
    if (is_output(i) && !std::ranges::count(program_.outputs, i)) program_.outputs.push_back(i);
  }
  if (program_.outputs.empty()) program_.outputs.push_back(0);  // the first leaf
  return std::move(program_);
}

/// Adds the step if its values stay in the range in which the result is well defined.
bool Maker::add(Step step) {
  const Op& op = operation(step.op);
  const bool whole = program_.kind == Kind::Whole;
  std::vector<Tensor> x(3);
  DType common = DType::Bool;
  double first = 0, others = 0;
  for (size_t i = 0; i < step.args.size(); ++i) {
    const Step& arg = at(step.args[i]);
    x[i] = prototypes_[size_t(step.args[i])];
    common = promote(common, arg.dtype);
    (i ? others : first) = std::max(i ? others : first, arg.bound);
    step.wild |= arg.wild;
  }
  const char letter = common == DType::Bool ? 'b' : is_float(common) ? 'f' : 'i';
  if (!op.dtypes.empty() && op.dtypes.find(letter) == op.dtypes.npos) return false;
  if (whole && is_float(common) && std::max(first, others) > most_exact(common)) return false;

  Tensor result;
  try {
    result = op.run(step, x[0], x[1], x[2]);
  } catch (const Error&) {
    return false;  // shapes or dtypes that do not fit
  }
  step.shape = result.shape(), step.dtype = result.dtype();
  step.bound = op.bound ? op.bound(first, others, double(step.terms)) : first;
  if (numel(step.shape) > (large_ ? kMostInLarge : kMostElements) || step.shape.size() > kMostAxes) return false;
  const bool product = op.draw == &Maker::matmul || op.draw == &Maker::conv;
  if (product && numel(step.shape) * step.terms > 300000) return false;  // the reference is slow
  if (is_float(step.dtype)) {
    const double smooth = program_.kind == Kind::Gradient ? kMostDifferentiated
                          : itemsize(step.dtype) == 2     ? kMostSmooth16
                                                          : kMostSmooth;
    if (!(std::max({first, others, step.bound}) <= (whole ? most_exact(step.dtype) : smooth))) return false;
  } else {
    if (is_float(common) && step.dtype != DType::Bool && (step.wild || step.bound >= most_integer(DType::Int32)))
      return false;
    step.bound = std::min(std::max(step.bound, step.dtype == DType::UInt8 ? 255.0 : 0), most_integer(step.dtype));
    step.wild = false;
  }
  step.held = pick(0, 4) == 0;
  program_.steps.push_back(std::move(step));
  prototypes_.push_back(result.zeros_like());
  return true;
}

int Maker::leaf(Shape shape, DType dtype, int64_t below) {
  while (numel(shape) > kMostElements) shape[int(pick(0, shape.size() - 1))] = 1;  // who wanted all of it goes without
  Step step;
  step.op = "leaf", step.shape = shape, step.dtype = dtype, step.below = below, step.bound = 3;
  if (below) step.bound = double(below - 1);
  else if (!is_float(dtype) && (dtype <= DType::UInt8 || pick(0, 1))) step.bound = most_integer(dtype);
  else step.wild = program_.kind == Kind::Whole && is_float(dtype) && pick(0, 5) == 0;
  step.held = pick(0, 4) == 0;
  program_.steps.push_back(step);
  prototypes_.push_back(Tensor::zeros(shape, dtype));
  return last();
}

// ---- Shapes, dtypes, arguments --------------------------------------------------------------------------------------

Shape Maker::random_shape() {
  // Sizes that fill a vector register or a tile, just miss it, or are nothing at all.
  static constexpr int64_t sizes[] = {1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33};
  static constexpr int64_t long_sizes[] = {63, 64, 65, 127, 129, 255, 257, 1000, 1023, 1025, 2049, 4100};
  Shape shape;
  for (int64_t rank = pick(0, 11) ? pick(0, 4) : pick(5, kMostAxes); rank > 0; --rank) {
    if (pick(0, large_ ? 3 : 9) == 0) shape.push_back(long_sizes[pick(0, std::ssize(long_sizes) - 1)]);
    else shape.push_back(sizes[pick(0, std::ssize(sizes) - 1)]);
    if (numel(shape) > (large_ ? 30000 : 4200)) shape[shape.size() - 1] = 1;
  }
  std::shuffle(shape.begin(), shape.end(), random_);  // or the first axes would be the long ones
  if (!shape.empty() && pick(0, 25) == 0) shape[int(pick(0, shape.size() - 1))] = 0;
  return shape;
}

DType Maker::random_dtype() {
  switch (program_.kind) {
    case Kind::Whole: return kDTypes[pick(0, std::ssize(kDTypes) - 1)];
    case Kind::Smooth: return pick(0, 2) ? DType::Float32 : kDTypes[pick(4, std::ssize(kDTypes) - 1)];
    default: return DType::Float64;
  }
}

/// An earlier step, often a recent one; in smooth programs one of fractions.
int Maker::operand() {
  for (int tries = 0; tries < 20; ++tries) {
    const int i = int(pick(0, 1) ? std::max<int64_t>(last() - pick(0, 3), 0) : pick(0, last()));
    if (program_.kind == Kind::Whole || is_float(at(i).dtype)) return i;
  }
  return 0;  // the first leaf
}

/// Something that broadcasts with step x: an earlier step, or a new leaf with some axes of size 1.
int Maker::partner(int x) {
  const Shape shape = at(x).shape;  // a copy: the steps move when one is added
  for (int tries = 0; tries < 6; ++tries) {
    const int y = operand();
    try {
      broadcast(shape, at(y).shape, "");
      return y;
    } catch (const Error&) {
    }
  }
  Shape other = shape;
  for (int64_t& size : other)
    if (pick(0, 2) == 0) size = 1;
  while (!other.empty() && pick(0, 3) == 0) other.erase(0);
  return leaf(other, pick(0, 2) ? at(x).dtype : random_dtype());
}

/// Integers below `below`, or nothing to pick from: some as they are, some a view.
int Maker::index(const Shape& shape, int64_t below) {
  Shape stored = shape;
  for (int64_t& size : stored)
    if (pick(0, 3) == 0) size = 1;
  const DType narrow = below < 256 && pick(0, 1) ? DType::UInt8 : DType::Int32;
  const int i = leaf(stored, pick(0, 2) ? DType::Int64 : narrow, below);
  Step view;
  view.op = "expand", view.args = {i}, view.params = shape, view.below = below;
  return stored == shape ? i : add(view) ? i + 1 : -1;
}

Program make(uint64_t seed, int length) { return Maker(seed).make(length); }

}  // namespace random_graph
