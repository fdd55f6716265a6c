// How the arguments and parameters of a step are chosen, one kind of operation after the other.
#include <algorithm>

#include "random_graph_ops.h"

namespace random_graph {

using namespace teeny;

bool Maker::source(Step& step) {
  step.params = random_shape();
  step.terms = numel(step.params);
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

/// Of one dtype, so that neither is rounded to that of the other.
bool Maker::binary_of_leaves(Step& step) {
  if (!unary_of_leaf(step)) return false;
  const Step first = at(step.args[0]);
  step.args.push_back(leaf(first.shape, first.dtype));
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
    if (pick(0, 1)) step.params.push_back(a), step.terms *= shape[a];
  step.terms = std::max<int64_t>(step.terms, 1);
  return true;
}

bool Maker::along(Step& step) {
  unary(step);
  const Shape& shape = at(step.args[0]).shape;
  if (shape.empty()) return false;
  step.params = {pick(0, shape.size() - 1), pick(-5, 5)};
  step.terms = std::max<int64_t>(shape[int(step.params[0])], 1);
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
    for (int a = 0; a < shape.size(); ++a) turn.params.push_back(a);
    if (transposed && shape.size() > 1) {
      std::swap(turn.params[shape.size() - 1], turn.params[shape.size() - 2]);
      if (add(turn)) ++y;
    }
  }
  step.args = {x, y};
  return true;
}

/// An image (N, C, W) or (N, C, H, W), whatever the axes were before, and a leaf of weights: of all channels, or of one
/// or two for each. Some windows see nothing but padding.
bool Maker::conv(Step& step) {
  int x = operand();
  Shape shape = at(x).shape;
  if (shape.size() > 4) return false;
  if (shape.size() < 3) {
    Step view;
    while (shape.size() < 3) shape.insert(0, 1);
    view.op = "reshape", view.args = {x}, view.params = shape;
    if (!add(view)) return false;
    x = last();
  }
  const int64_t groups = pick(0, 1) ? std::max<int64_t>(shape[1], 1) : 1;
  Shape weights{groups > 1 ? groups * pick(1, 2) : pick(1, 9), shape[1] / groups};
  for (int a = 2; a < shape.size(); ++a) weights.push_back(pick(1, 3));
  step.terms = std::max<int64_t>(numel(weights) / weights[0], 1);
  step.args = {x, leaf(weights, pick(0, 2) ? at(x).dtype : random_dtype())};
  step.params = {pick(1, 2), pick(0, 4), pick(1, 2), groups};
  return true;
}

bool Maker::gather(Step& step) {
  along(step);
  Shape shape = at(step.args[0]).shape;
  if (shape.empty()) return false;
  const int axis = int(step.params[0]);
  const int64_t below = shape[axis];
  for (int64_t& size : shape)
    if (pick(0, 2) == 0) size = pick(0, size);
  shape[axis] = pick(0, below ? 7 : 0);
  step.params = {axis};
  step.args.push_back(index(shape, std::max<int64_t>(below, 1)));
  return step.args[1] >= 0;
}

bool Maker::scatter(Step& step) {
  if (!gather(step)) return false;
  const Shape shape = at(step.args[1]).shape;
  step.terms = std::max<int64_t>(shape[int(step.params[0])], 1);
  step.args.push_back(leaf(shape, at(step.args[0]).dtype));
  return true;
}

bool Maker::cat(Step& step) {
  along(step);
  Shape shape = at(step.args[0]).shape;
  if (shape.empty()) return false;
  shape[int(step.params[0])] = pick(0, 4);
  step.args.push_back(leaf(shape, pick(0, 2) ? at(step.args[0]).dtype : random_dtype()));
  return true;
}

bool Maker::reshape(Step& step) {
  unary(step);
  for (int64_t left = numel(at(step.args[0]).shape); left != 1;) {
    int64_t factor = step.params.size() == 5 ? left : std::max<int64_t>(pick(0, left), 1);
    while (left % factor) --factor;
    step.params.push_back(left == 0 ? 0 : factor);
    left = left == 0 ? 1 : left / factor;
  }
  return true;
}

bool Maker::permute(Step& step) {
  unary(step);
  for (int a = 0; a < at(step.args[0]).shape.size(); ++a) step.params.push_back(a);
  std::shuffle(step.params.begin(), step.params.end(), random_);
  return true;
}

bool Maker::expand(Step& step) {
  unary(step);
  step.params = at(step.args[0]).shape;
  for (int64_t& size : step.params)
    if (size == 1) size = pick(0, 20) ? pick(1, 9) : pick(0, 40);
  if (pick(0, 3) == 0 && step.params.size() < kMostAxes) step.params.insert(0, pick(1, 4));
  return true;
}

bool Maker::repeat(Step& step) {
  unary(step);
  for (int a = 0; a < at(step.args[0]).shape.size(); ++a) step.params.push_back(pick(0, 2) ? 1 : pick(0, 3));
  return true;
}

bool Maker::pad(Step& step) {
  unary(step);
  step.params = step.more = Dims::filled(at(step.args[0]).shape.size(), 0);
  for (int a = 0; a < step.params.size(); ++a)
    if (pick(0, 1)) step.params[a] = pick(0, 3), step.more[a] = pick(0, 3);
  return true;
}

bool Maker::cut(Step& step) {
  pad(step);
  for (Dims* amounts : {&step.params, &step.more})
    for (int64_t& amount : *amounts)
      if (pick(0, 1)) amount = -amount;
  return true;
}

bool Maker::shrink(Step& step) {
  unary(step);
  const Shape& shape = at(step.args[0]).shape;
  step.params = Dims::filled(shape.size(), 0), step.more = shape;
  for (int a = 0; a < shape.size(); ++a) {
    if (pick(0, 1)) continue;
    step.params[a] = pick(0, shape[a] / 2);
    step.more[a] = pick(0, 9) ? pick((shape[a] + 1) / 2, shape[a]) : step.params[a];
  }
  return true;
}

bool Maker::slice(Step& step) {
  if (!along(step)) return false;
  const int64_t n = at(step.args[0]).shape[int(step.params[0])], by = pick(-3, 3);
  const int64_t low = pick(-n - 1, n / 2), high = pick(n / 2, n + 1);
  step.params = {step.params[0], by > 0 ? low : high, by > 0 ? high : low, by};
  return by != 0;
}

bool Maker::unfold(Step& step) {
  if (!along(step)) return false;
  const int64_t n = at(step.args[0]).shape[int(step.params[0])];
  if (n < 1) return false;
  const int64_t size = pick(1, std::min<int64_t>(5, n));
  const int64_t dilation = size == 1 ? 1 : pick(1, std::min<int64_t>((n - 1) / (size - 1), 4));
  step.params = {step.params[0], size, pick(1, 3), dilation};
  return true;
}

/// Of two axes that have equal sizes, or get them.
bool Maker::diagonal(Step& step) {
  if (!along(step)) return false;
  const Shape& shape = at(step.args[0]).shape;
  const int a = int(step.params[0]), b = int(pick(0, shape.size() - 1));
  if (a == b) return false;
  if (shape[a] != shape[b]) {
    Step cut;
    cut.op = "shrink", cut.args = step.args, cut.params = Dims::filled(shape.size(), 0), cut.more = shape;
    cut.more[a] = cut.more[b] = std::min(shape[a], shape[b]);
    if (!add(cut)) return false;
    step.args = {last()};
  }
  step.params = {a, b};
  return true;
}

}  // namespace random_graph
