// A program from a seed.
#include <algorithm>
#include <limits>

#include "random_graph_ops.h"

namespace random_graph {

using namespace teeny;

namespace {

constexpr double kMostSmooth = 1e6, kMostSmooth16 = 1e4, kMostDifferentiated = 1e3;
constexpr int kMostAxes = 8;
constexpr int64_t kMostElements = 8000, kMostElementsInLarge = 60000;

/// The largest number an integer dtype holds: whatever is computed with integers wraps to that.
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

/// Takes the step in if its numbers stay where they have one meaning.
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
  if (numel(step.shape) > (large_ ? kMostElementsInLarge : kMostElements) || step.shape.size() > kMostAxes) return false;
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
  }
  while (numel(shape) > (large_ ? 30000 : 4200)) shape[int(pick(0, shape.size() - 1))] = 1;
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
  const int i = leaf(stored, pick(0, 2) ? DType::Int64 : below < 256 && pick(0, 1) ? DType::UInt8 : DType::Int32, below);
  Step view;
  view.op = "expand", view.args = {i}, view.numbers = shape, view.below = below;
  return stored == shape ? i : add(view) ? i + 1 : -1;
}

// ---- The draws ------------------------------------------------------------------------------------------------------

bool Maker::source(Step& step) {
  step.numbers = random_shape();
  step.terms = numel(step.numbers);
  step.more = {pick(0, 1 << 20)};
  step.dtype = random_dtype();
  return step.terms < 1100 || large_;
}

bool Maker::unary(Step& step) {
  step.args = {operand()};
  return true;
}

bool Maker::unary_of_leaf(Step& step) { return unary(step) && at(step.args[0]).op == "leaf"; }

bool Maker::binary(Step& step) {
  const int x = operand(), y = pick(0, 5) == 0 ? x : partner(x);
  step.args = {x, y};
  if (pick(0, 1)) std::swap(step.args[0], step.args[1]);
  return true;
}

/// Smooth programs compare leaves only: rounding must not decide a branch.
bool Maker::select(Step& step) {
  const int x = operand(), y = partner(x);
  int condition = partner(x);
  if (program_.kind != Kind::Whole) {
    const Shape shape = broadcast(at(x).shape, at(y).shape, "");
    if (numel(shape) > kMostElements) return false;
    condition = leaf(shape, DType::Bool);
  }
  step.args = {condition, x, y};
  return true;
}

bool Maker::assign(Step& step) {
  const int x = operand();
  step.args = {x, partner(x)};
  return true;
}

bool Maker::cast(Step& step) {
  step.dtype = random_dtype();
  return unary(step) && at(step.args[0]).dtype != step.dtype;
}

bool Maker::reduce(Step& step) {
  unary(step);
  const Shape& shape = at(step.args[0]).shape;
  for (int a = 0; a < shape.size(); ++a)
    if (pick(0, 1)) step.numbers.push_back(a), step.terms *= shape[a];
  step.terms = std::max<int64_t>(step.terms, 1);
  return true;
}

bool Maker::along(Step& step) {
  unary(step);
  const Shape& shape = at(step.args[0]).shape;
  if (shape.empty()) return false;
  step.numbers = {pick(0, shape.size() - 1), pick(-5, 5)};
  step.terms = std::max<int64_t>(shape[int(step.numbers[0])], 1);
  return true;
}

/// x with something that fits: an earlier step, or a new leaf as it is or transposed.
bool Maker::matmul(Step& step) {
  const int x = operand();
  Shape shape = at(x).shape;
  if (shape.empty()) return false;
  step.terms = std::max<int64_t>(shape.back(), 1);
  int y = -1;
  for (int tries = 0; tries < 4 && y < 0; ++tries) {
    const int other = operand(), rank = at(other).shape.size();
    if (rank > 0 && at(other).shape[std::max(rank - 2, 0)] == shape.back()) y = other;
  }
  if (y < 0) {
    const int64_t inner = shape.back();
    while (shape.size() > 1 && pick(0, 1)) shape.erase(0);
    for (int64_t& size : shape)
      if (pick(0, 2) == 0) size = 1;
    if (shape.size() > 1) shape.erase(shape.size() - 1);
    shape[shape.size() - 1] = inner;
    const bool transposed = pick(0, 1);
    if (pick(0, 5)) shape.insert(shape.size() - transposed, pick(0, 2) ? pick(1, 9) : pick(10, 70));
    y = leaf(shape, pick(0, 2) ? at(x).dtype : random_dtype());
    Step turn;
    turn.op = "permute", turn.args = {y};
    for (int a = 0; a < shape.size(); ++a) turn.numbers.push_back(a);
    if (transposed && shape.size() > 1) {
      std::swap(turn.numbers[shape.size() - 1], turn.numbers[shape.size() - 2]);
      if (add(turn)) ++y;
    }
  }
  step.args = {x, y};
  return true;
}

/// An image (N, C, W) or (N, C, H, W), whatever the axes were before, and a leaf of weights.
bool Maker::conv(Step& step) {
  int x = operand();
  Shape shape = at(x).shape;
  if (shape.size() > 4) return false;
  if (shape.size() < 3) {
    Step view;
    while (shape.size() < 3) shape.insert(0, 1);
    view.op = "reshape", view.args = {x}, view.numbers = shape;
    if (!add(view)) return false;
    x = last();
  }
  Shape weights{pick(1, 9), shape[1]};
  for (int a = 2; a < shape.size(); ++a) weights.push_back(pick(1, 3));
  step.terms = std::max<int64_t>(numel(weights) / weights[0], 1);
  step.args = {x, leaf(weights, pick(0, 2) ? at(x).dtype : random_dtype())};
  step.numbers = {pick(1, 2), pick(0, 2), pick(1, 2)};
  return true;
}

bool Maker::gather(Step& step) {
  along(step);
  Shape shape = at(step.args[0]).shape;
  if (shape.empty()) return false;
  const int axis = int(step.numbers[0]);
  const int64_t below = shape[axis];
  for (int64_t& size : shape)
    if (pick(0, 2) == 0) size = pick(0, size);
  shape[axis] = pick(0, below ? 7 : 0);
  step.numbers = {axis};
  step.args.push_back(index(shape, std::max<int64_t>(below, 1)));
  return step.args[1] >= 0;
}

bool Maker::scatter(Step& step) {
  if (!gather(step)) return false;
  const Shape shape = at(step.args[1]).shape;
  step.terms = std::max<int64_t>(shape[int(step.numbers[0])], 1);
  step.args.push_back(leaf(shape, at(step.args[0]).dtype));
  return true;
}

bool Maker::cat(Step& step) {
  along(step);
  Shape shape = at(step.args[0]).shape;
  if (shape.empty()) return false;
  shape[int(step.numbers[0])] = pick(0, 4);
  step.args.push_back(leaf(shape, pick(0, 2) ? at(step.args[0]).dtype : random_dtype()));
  return true;
}

bool Maker::reshape(Step& step) {
  unary(step);
  for (int64_t left = numel(at(step.args[0]).shape); left != 1;) {
    int64_t factor = step.numbers.size() == 5 ? left : std::max<int64_t>(pick(0, left), 1);
    while (left % factor) --factor;
    step.numbers.push_back(left == 0 ? 0 : factor);
    left = left == 0 ? 1 : left / factor;
  }
  return true;
}

bool Maker::permute(Step& step) {
  unary(step);
  for (int a = 0; a < at(step.args[0]).shape.size(); ++a) step.numbers.push_back(a);
  std::shuffle(step.numbers.begin(), step.numbers.end(), random_);
  return true;
}

bool Maker::expand(Step& step) {
  unary(step);
  step.numbers = at(step.args[0]).shape;
  for (int64_t& size : step.numbers)
    if (size == 1) size = pick(0, 20) ? pick(1, 9) : pick(0, 40);
  if (pick(0, 3) == 0 && step.numbers.size() < kMostAxes) step.numbers.insert(0, pick(1, 4));
  return true;
}

bool Maker::repeat(Step& step) {
  unary(step);
  for (int a = 0; a < at(step.args[0]).shape.size(); ++a) step.numbers.push_back(pick(0, 2) ? 1 : pick(0, 3));
  return true;
}

bool Maker::pad(Step& step) {
  unary(step);
  step.numbers = step.more = Dims::filled(at(step.args[0]).shape.size(), 0);
  for (int a = 0; a < step.numbers.size(); ++a)
    if (pick(0, 1)) step.numbers[a] = pick(0, 3), step.more[a] = pick(0, 3);
  return true;
}

bool Maker::cut(Step& step) {
  pad(step);
  for (Dims* amounts : {&step.numbers, &step.more})
    for (int64_t& amount : *amounts)
      if (pick(0, 1)) amount = -amount;
  return true;
}

bool Maker::shrink(Step& step) {
  unary(step);
  const Shape& shape = at(step.args[0]).shape;
  step.numbers = Dims::filled(shape.size(), 0), step.more = shape;
  for (int a = 0; a < shape.size(); ++a) {
    if (pick(0, 1)) continue;
    step.numbers[a] = pick(0, shape[a] / 2);
    step.more[a] = pick(0, 9) ? pick((shape[a] + 1) / 2, shape[a]) : step.numbers[a];
  }
  return true;
}

bool Maker::slice(Step& step) {
  if (!along(step)) return false;
  const int64_t n = at(step.args[0]).shape[int(step.numbers[0])], by = pick(-3, 3);
  const int64_t low = pick(-n - 1, n / 2), high = pick(n / 2, n + 1);
  step.numbers = {step.numbers[0], by > 0 ? low : high, by > 0 ? high : low, by};
  return by != 0;
}

bool Maker::unfold(Step& step) {
  if (!along(step)) return false;
  const int64_t n = at(step.args[0]).shape[int(step.numbers[0])];
  if (n < 1) return false;
  const int64_t size = pick(1, std::min<int64_t>(5, n));
  const int64_t dilation = size == 1 ? 1 : pick(1, std::min<int64_t>((n - 1) / (size - 1), 4));
  step.numbers = {step.numbers[0], size, pick(1, 3), dilation};
  return true;
}

/// Of two axes that have equal sizes, or get them.
bool Maker::diagonal(Step& step) {
  if (!along(step)) return false;
  const Shape& shape = at(step.args[0]).shape;
  const int a = int(step.numbers[0]), b = int(pick(0, shape.size() - 1));
  if (a == b) return false;
  if (shape[a] != shape[b]) {
    Step cut;
    cut.op = "shrink", cut.args = step.args, cut.numbers = Dims::filled(shape.size(), 0), cut.more = shape;
    cut.more[a] = cut.more[b] = std::min(shape[a], shape[b]);
    if (!add(cut)) return false;
    step.args = {last()};
  }
  step.numbers = {a, b};
  return true;
}

Program make(uint64_t seed, int length) { return Maker(seed).make(length); }

}  // namespace random_graph
