#include "random_graph.h"

#include <algorithm>
#include <random>
#include <sstream>

namespace random_graph {

using namespace teeny;

namespace {

using Random = std::mt19937_64;
constexpr double kMostExact = 1 << 22;  // whole numbers up to 2^24 are exact in float32; keep a margin for sums
constexpr int64_t kMostElements = 4000;

class Maker {
 public:
  Maker(uint64_t seed) : random_(seed) {
    program_.seed = seed;
    program_.kind = Kind(pick(0, 2));
  }

  Program make(int length) {
    while (int(program_.steps.size()) < length || program_.steps.back().is_bool)
      if (!add(choose()) && pick(0, 3) == 0) add({"leaf", {}, {}, {}, random_shape(), false, 3});
    return program_;
  }

 private:
  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  const Step& at(int i) const { return program_.steps[size_t(i)]; }

  bool add(Step step) {
    if (step.op.empty() || numel(step.shape) > kMostElements || step.shape.size() > 8) return false;
    if (program_.kind == Kind::Integers && step.bound > kMostExact) return false;
    if (program_.kind == Kind::Smooth && step.bound > 1e6) return false;
    program_.steps.push_back(std::move(step));
    return true;
  }

  Shape random_shape() {
    // Sizes that fill a vector register, just miss it, or are nothing at all.
    static constexpr int64_t sizes[] = {1, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 0};
    Shape shape;
    for (int64_t rank = pick(0, 4); rank > 0; --rank) shape.push_back(sizes[size_t(pick(0, 40) == 0 ? 12 : pick(0, 11))]);
    while (numel(shape) > 1000) shape[int(pick(0, shape.size() - 1))] = 1;
    return shape;
  }

  /// An earlier step that is not a condition, often a recent one.
  int operand() {
    for (int tries = 0; tries < 20; ++tries) {
      const int64_t last = int64_t(program_.steps.size()) - 1;
      const int i = int(pick(0, 1) ? last - std::min<int64_t>(pick(0, 3), last) : pick(0, last));
      if (!at(i).is_bool) return i;
    }
    return 0;
  }

  Step choose() {
    if (program_.steps.empty()) return {"leaf", {}, {}, {}, random_shape(), false, 3};
    const int x = operand();
    switch (pick(0, 11)) {
      case 0: return {"leaf", {}, {}, {}, random_shape(), false, 3};
      case 1: case 2: case 3: return binary(x);
      case 4: return unary(x);
      case 5: return reduction(x);
      case 6: return product(x);
      case 7: return conditional(x);
      case 8: return cat(x);
      default: return movement(x);
    }
  }

  /// Something that broadcasts with `shape`: an earlier step, or a new leaf with some axes of size 1.
  int partner(const Shape& shape) {
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
    program_.steps.push_back({"leaf", {}, {}, {}, other, false, 3});
    return int(program_.steps.size()) - 1;
  }

  Step binary(int x) {
    static const std::vector<std::string> ops{"add", "sub", "mul", "max", "min"};
    const std::string op = ops[size_t(pick(0, 4))];
    const int y = pick(0, 5) == 0 ? x : partner(at(x).shape);
    const double a = at(x).bound, b = at(y).bound;
    const double bound = op == "mul" ? a * b : op == "add" || op == "sub" ? a + b : std::max(a, b);
    return {op, {x, y}, {}, {}, broadcast(at(x).shape, at(y).shape, ""), false, bound};
  }

  Step unary(int x) {
    const double a = at(x).bound;
    if (program_.kind == Kind::Smooth) {
      switch (pick(0, 4)) {
        case 0: return {"sin", {x}, {}, {}, at(x).shape, false, 1};
        case 1: return {"tanh", {x}, {}, {}, at(x).shape, false, 1};
        case 2: return {"sqrt1", {x}, {}, {}, at(x).shape, false, a + 1};   // sqrt(x^2 + 1)
        case 3: return {"gauss", {x}, {}, {}, at(x).shape, false, 1};       // exp(-x^2 / 2)
        default: return {"recip1", {x}, {}, {}, at(x).shape, false, 1};     // 1 / (x^2 + 1), not 0 where x is padded
      }
    }
    return pick(0, 1) ? Step{"neg", {x}, {}, {}, at(x).shape, false, a} : Step{"plus1", {x}, {}, {}, at(x).shape, false, a + 1};
  }

  Step reduction(int x) {
    Shape shape = at(x).shape;
    Dims axes;
    int64_t count = 1;
    for (int a = 0; a < shape.size(); ++a)
      if (pick(0, 1)) axes.push_back(a), count *= std::exchange(shape[a], 1);
    static const std::vector<std::string> ops{"sum", "sum", "rmax", "rmin"};
    const std::string op = ops[size_t(pick(0, 3))];
    if (op != "sum" && count == 0) return {};
    return {op, {x}, axes, {}, shape, false, op == "sum" ? at(x).bound * double(std::max<int64_t>(count, 1)) : at(x).bound};
  }

  /// matmul of x with something that fits.
  Step product(int x) {
    const Shape a = at(x).shape;  // a copy: the steps move when one is added
    if (a.size() < 2) return {};
    Shape b = a;
    b[a.size() - 2] = a[a.size() - 1];
    b[a.size() - 1] = pick(1, 9);
    int y = -1;
    for (int tries = 0; tries < 4 && y < 0; ++tries)
      if (const int z = operand(); at(z).shape.size() >= 2 && at(z).shape[at(z).shape.size() - 2] == a.back()) y = z;
    if (y < 0) {
      program_.steps.push_back({"leaf", {}, {}, {}, b, false, 3});
      y = int(program_.steps.size()) - 1;
    }
    Shape front(a.begin(), a.end() - 2);
    const Shape other(at(y).shape.begin(), at(y).shape.end() - 2);
    try {
      front = broadcast(front, other, "");
    } catch (const Error&) {
      return {};
    }
    front.push_back(a[a.size() - 2]);
    front.push_back(at(y).shape.back());
    return {"matmul", {x, y}, {}, {}, front, false, at(x).bound * at(y).bound * double(std::max<int64_t>(a.back(), 1))};
  }

  /// where(a < b, x, y). Smooth programs compare leaves only: rounding must not decide a branch.
  Step conditional(int x) {
    const int y = partner(at(x).shape);
    const Shape shape = broadcast(at(x).shape, at(y).shape, "");
    program_.steps.push_back({"leaf", {}, {}, {}, shape, false, 3});
    const int a = int(program_.steps.size()) - 1;
    program_.steps.push_back({pick(0, 1) ? "less" : "equal", {a, a > 0 && at(a - 1).op == "leaf" && at(a - 1).shape == shape ? a - 1 : a}, {}, {}, shape, true, 1});
    return {"where", {a + 1, x, y}, {}, {}, shape, false, std::max(at(x).bound, at(y).bound)};
  }

  Step cat(int x) {
    Shape shape = at(x).shape;
    if (shape.empty()) return {};
    const int axis = int(pick(0, shape.size() - 1));
    Shape other = shape;
    other[axis] = pick(0, 4);
    program_.steps.push_back({"leaf", {}, {}, {}, other, false, 3});
    shape[axis] = 2 * shape[axis] + other[axis];
    const int y = int(program_.steps.size()) - 1;
    return {"cat", {x, y, x}, {axis}, {}, shape, false, std::max(at(x).bound, 3.0)};
  }

  Step movement(int x) {
    const Shape& shape = at(x).shape;
    const int rank = shape.size(), axis = rank ? int(pick(0, rank - 1)) : 0;
    Step step{"", {x}, {}, {}, shape, false, at(x).bound};
    switch (pick(0, rank ? 7 : 0)) {
      case 0: {
        step.op = "reshape";
        step.shape = {};
        for (int64_t left = numel(shape); left != 1;) {
          int64_t factor = step.shape.size() == 5 ? left : std::max<int64_t>(pick(0, left), 1);
          while (left % factor) --factor;
          step.shape.push_back(left == 0 ? 0 : factor);
          left = left == 0 ? 1 : left / factor;
        }
        return step;
      }
      case 1: {
        step.op = "permute";
        for (int a = 0; a < rank; ++a) step.numbers.push_back(a);
        std::shuffle(step.numbers.begin(), step.numbers.end(), random_);
        for (int a = 0; a < rank; ++a) step.shape[a] = shape[int(step.numbers[a])];
        return step;
      }
      case 2:
        step.op = "expand";
        for (int64_t& size : step.shape)
          if (size == 1) size = pick(1, 5);
        return step;
      case 3:
        step.op = "pad";
        step.numbers = step.more = Dims::filled(rank, 0);
        for (int a = 0; a < rank; ++a) {
          if (pick(0, 1)) continue;
          step.numbers[a] = pick(0, 3), step.more[a] = pick(0, 3);
          step.shape[a] += step.numbers[a] + step.more[a];
        }
        return step;
      case 4:
        step.op = "shrink";
        step.numbers = Dims::filled(rank, 0), step.more = shape;
        step.numbers[axis] = pick(0, shape[axis]), step.more[axis] = pick(step.numbers[axis], shape[axis]);
        step.shape[axis] = step.more[axis] - step.numbers[axis];
        return step;
      case 5:
        step.op = "flip";
        step.numbers = {axis};
        return step;
      case 6: {
        if (shape[axis] < 1 || rank > 6) return {};
        const int64_t size = pick(1, std::min<int64_t>(4, shape[axis])), stride = pick(1, 3);
        const int64_t dilation = size == 1 ? 1 : pick(1, (shape[axis] - 1) / (size - 1));
        step.op = "unfold";
        step.numbers = {axis, size, stride, dilation};
        step.shape[axis] = (shape[axis] - dilation * (size - 1) - 1) / stride + 1;
        step.shape.push_back(size);
        return step;
      }
      default: {
        const int other = int(pick(0, rank - 1));
        if (other == axis || shape[other] != shape[axis]) return {};
        step.op = "diagonal";
        step.numbers = {axis, other};
        step.shape.erase(std::max(axis, other));
        step.shape.erase(std::min(axis, other));
        step.shape.push_back(shape[axis]);
        return step;
      }
    }
  }

  Random random_;
  Program program_;
};

/// The numbers of a leaf depend on the program's seed and the leaf's place alone.
Tensor leaf(const Program& program, size_t place, const Shape& shape, DType dtype) {
  Random random(program.seed * 1000 + place);
  std::vector<double> values(size_t(numel(shape)));
  for (double& value : values)
    value = program.kind == Kind::Smooth ? double(float(std::uniform_real_distribution<>(-3, 3)(random)))
                                         : double(std::uniform_int_distribution<>(-3, 3)(random));
  return Tensor::from(values, shape).cast(dtype).realize();
}

/// Movements, reductions of magnitudes and selections do to the scale what they do to the value.
Tensor moved(const Step& step, const std::vector<Tensor>& x) {
  if (step.op == "reshape") return x[0].reshape(step.shape);
  if (step.op == "permute") return x[0].permute(step.numbers);
  if (step.op == "expand") return x[0].expand(step.shape);
  if (step.op == "pad") return x[0].pad(step.numbers, step.more);
  if (step.op == "shrink") return x[0].shrink(step.numbers, step.more);
  if (step.op == "flip") return x[0].flip(step.numbers);
  if (step.op == "unfold") return x[0].unfold(step.numbers[0], step.numbers[1], step.numbers[2], step.numbers[3]);
  if (step.op == "diagonal") return x[0].diagonal(step.numbers[0], step.numbers[1]);
  if (step.op == "cat") return Tensor::cat(x, step.numbers[0]);
  return {};
}

Tensor value_of(const Step& step, const std::vector<Tensor>& x) {
  if (step.op == "add") return x[0] + x[1];
  if (step.op == "sub") return x[0] - x[1];
  if (step.op == "mul") return x[0] * x[1];
  if (step.op == "max") return x[0].maximum(x[1]);
  if (step.op == "min") return x[0].minimum(x[1]);
  if (step.op == "neg") return -x[0];
  if (step.op == "plus1") return x[0] + 1;
  if (step.op == "sin") return x[0].sin();
  if (step.op == "tanh") return x[0].tanh();
  if (step.op == "sqrt1") return (x[0].square() + 1).sqrt();
  if (step.op == "gauss") return (x[0].square() * -0.5).exp();
  if (step.op == "recip1") return (x[0].square() + 1).reciprocal();
  if (step.op == "less") return x[0] < x[1];
  if (step.op == "equal") return x[0] == x[1];
  if (step.op == "where") return where(x[0], x[1], x[2]);
  if (step.op == "matmul") return x[0].matmul(x[1]);
  if (step.op == "sum") return x[0].sum(step.numbers, true).cast(x[0].dtype());
  if (step.op == "rmax") return x[0].max(step.numbers, true);
  if (step.op == "rmin") return x[0].min(step.numbers, true);
  return moved(step, x);
}

/// How rounding errors of size eps * s in the inputs come out, plus what the op itself rounds off.
Tensor scale_of(const Step& step, const std::vector<Tensor>& x, const std::vector<Tensor>& s, const Tensor& value) {
  if (step.op == "add" || step.op == "sub") return s[0] + s[1] + value.abs();
  if (step.op == "mul") return x[0].abs() * s[1] + x[1].abs() * s[0] + value.abs();
  if (step.op == "max" || step.op == "min") return s[0].maximum(s[1]);
  if (step.op == "neg") return s[0];
  if (step.op == "sin" || step.op == "tanh" || step.op == "sqrt1") return s[0] + value.abs() + x[0].abs();
  if (step.op == "gauss" || step.op == "recip1") return s[0] + value.abs() * (x[0].square() + 1);
  if (step.op == "where") return where(x[0], s[1], s[2]);
  if (step.op == "matmul") {
    const Tensor a = x[0].abs(), b = x[1].abs();
    return a.matmul(s[1]) + s[0].matmul(b) + a.matmul(b);
  }
  if (step.op == "sum") return (s[0] + x[0].abs()).sum(step.numbers, true);
  if (step.op == "rmax" || step.op == "rmin") return s[0].max(step.numbers, true);
  return moved(step, s);
}

}  // namespace

Program make(uint64_t seed, int length) { return Maker(seed).make(length); }

Result run(const Program& program, DType dtype) {
  std::vector<Result> results;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    std::vector<Tensor> values, scales;
    for (int arg : step.args) {
      values.push_back(results[size_t(arg)].value);
      scales.push_back(results[size_t(arg)].scale);
    }
    Result result;
    result.value = step.op == "leaf" ? leaf(program, i, step.shape, dtype) : value_of(step, values);
    if (result.value.shape() != step.shape) fail("random graph: step ", i, " has shape ", result.value.shape());
    if (program.kind == Kind::Smooth && dtype == DType::Float64 && !step.is_bool)
      result.scale = step.op == "leaf" ? result.value.zeros_like() : scale_of(step, values, scales, result.value);
    results.push_back(result);
  }
  return results.back();
}

std::string print(const Program& program) {
  static constexpr const char* kinds[] = {"integers", "wrapping", "smooth"};
  std::ostringstream out;
  out << "seed " << program.seed << ", " << kinds[int(program.kind)] << '\n';
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    out << "  t" << i << step.shape << " = " << step.op;
    for (int arg : step.args) out << " t" << arg;
    if (!step.numbers.empty()) out << ' ' << step.numbers;
    if (!step.more.empty()) out << ' ' << step.more;
    out << '\n';
  }
  return out.str();
}

}  // namespace random_graph
