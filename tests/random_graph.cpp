#include "random_graph.h"

#include <cmath>
#include <cstring>
#include <sstream>

#include "random_graph_ops.h"

namespace random_graph {

using namespace teeny;

namespace {

/// The relative error of storing a value, with room for a function that is right to a few units in the last place.
double store_error(DType dtype) {
  switch (dtype) {
    case DType::Float16: return 0x1.01p-11;
    case DType::BFloat16: return 0x1.01p-8;
    case DType::Float32: return 12 * 0x1p-24;
    default: return 12 * 0x1p-53;
  }
}
/// That of each term of a sum, in which the reference, too, rounds in float64 after every addition.
double compute_error(DType dtype, int64_t terms) {
  return store_error(dtype == DType::Float64 ? dtype : DType::Float32) + double(terms) * 0x1p-52;
}
/// What gets lost at the lower end of the range.
double least_error(DType dtype) { return dtype == DType::Float16 ? 0x1p-22 : 1e-35; }

/// The values of a leaf depend on the program's seed and the leaf's position alone, and no device touches them.
Tensor leaf(const Program& program, size_t place) {
  const Step& step = program.steps[place];
  std::mt19937_64 random(program.seed * 1000 + place);
  auto whole = [&](int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random); };
  constexpr double inf = std::numeric_limits<double>::infinity();
  auto draw = [&]<class T>(T) -> T {
    if (step.below) return Scalar(whole(0, step.below - 1)).as<T>();
    const int64_t most = int64_t(std::min(step.bound, is_float(step.dtype) ? 3 : 0x1p62));
    if (!is_float(step.dtype)) return Scalar(whole(-most, most)).as<T>();
    if (program.kind != Kind::Whole) return Scalar(std::uniform_real_distribution<>(-most, most)(random)).as<T>();
    if (step.wild && whole(0, 7) == 0) return Scalar(std::array{inf, -inf, double(NAN)}[size_t(whole(0, 2))]).as<T>();
    return Scalar(whole(-most, most)).as<T>();
  };
  std::vector<std::byte> bytes(size_t(numel(step.shape) * itemsize(step.dtype)));
  with_type(step.dtype, [&]<class T>(T zero) {
    for (size_t i = 0; i < bytes.size(); i += sizeof(T)) {
      const T value = draw(zero);
      std::memcpy(&bytes[i], &value, sizeof(T));
    }
  });
  return Tensor::from_bytes(bytes, step.dtype, step.shape);
}

/// How far a correct result of step `i` may be from its exact one, `out`.
Tensor error_of(const Program& program, size_t i, std::span<const Tensor> x, std::span<const Tensor> errors,
                const Tensor& out) {
  const Step& step = program.steps[i];
  const Op& op = operation(step.op);
  const double stored = store_error(step.dtype);
  double u = stored;
  Tensor e[3], moved[3];
  for (size_t a = 0; a < step.args.size(); ++a) {
    moved[a] = x[a];  // a condition or an index has no error and stays as it is
    if (!errors[a].defined()) continue;
    const double from = store_error(program.steps[size_t(step.args[a])].dtype);
    u = std::max(u, from);
    // A scalar takes the narrower dtype of the tensor it meets.
    moved[a] = e[a] = x[a].rank() == 0 && from < stored ? errors[a] + x[a].abs() * stored : errors[a];
  }
  if (!op.error) return op.run(step, moved[0], moved[1], moved[2]);
  const Tensor error = op.error({step, x[0], x[1], x[2], e[0], e[1], e[2], out, u,
                                compute_error(step.dtype, step.terms)});
  return error + (out.abs() + error) * stored + least_error(step.dtype);
}

/// The gradient of a weighted sum of the outputs, for each leaf.
void add_gradients(const Program& program, std::span<const Tensor> leaves, std::vector<Result>& results,
                   Precision precision) {
  Tensor loss = Tensor::zeros({}, DType::Float64);
  for (const Result& output : results) {
    const Tensor weight = Tensor::arange(output.value.numel()).reshape(output.value.shape()) % 7 - 3;
    loss = loss + (output.value * weight).sum();
  }
  if (!loss.requires_grad()) return;
  const std::vector<Tensor> grads = gradient(loss, leaves);
  for (size_t i = 0; i < grads.size(); ++i) {
    // No rounding is followed back: with values below kMostDifferentiated on the way, 1e-9 of the largest is generous
    // for rounding, and too small to hide a mistake.
    Tensor error;
    if (precision == Precision::Exact && grads[i].numel() > 0)
      error = (grads[i].abs().max() + 1).expand(grads[i].shape()) * 1e-9;
    results.push_back({text("gradient ", i, " of seed ", program.seed), grads[i], error});
  }
}

}  // namespace

std::vector<Result> run(const Program& program, Precision precision) {
  const bool exact = precision == Precision::Exact && program.kind != Kind::Whole;
  const size_t count = program.steps.size();
  std::vector<size_t> last_use(count);
  for (size_t i = 0; i < count; ++i) {
    last_use[i] = i;
    for (int arg : program.steps[i].args) last_use[size_t(arg)] = i;
  }
  for (int i : program.outputs) last_use[size_t(i)] = count;

  std::vector<Tensor> values(count), errors(count), leaves;
  for (size_t i = 0; i < count; ++i) {
    Step step = program.steps[i];
    if (step.op == "leaf") {
      values[i] = leaf(program, i);
      if (program.kind == Kind::Gradient && is_float(step.dtype)) leaves.push_back(values[i].requires_grad_());
      if (exact && is_float(step.dtype)) {
        values[i] = values[i].cast(DType::Float64);
        errors[i] = values[i].zeros_like();
      }
      continue;
    }
    const Op& op = operation(step.op);
    std::vector<Tensor> x(3), ex(3);
    for (size_t a = 0; a < step.args.size(); ++a) {
      x[a] = values[size_t(step.args[a])];
      ex[a] = errors[size_t(step.args[a])];
    }
    if (exact && is_float(step.dtype) && !step.args.empty()) step.dtype = DType::Float64;
    values[i] = op.run(step, x[0], x[1], x[2]);
    if (values[i].shape() != step.shape) fail("random graph: step ", i, " has shape ", values[i].shape());
    if (exact && is_float(step.dtype)) {
      const NoGrad guard;
      values[i] = values[i].cast(DType::Float64);
      errors[i] = error_of(program, i, x, ex, values[i]);
    }
    x = {};
    for (int arg : step.args)
      if (last_use[size_t(arg)] == i && !program.steps[size_t(arg)].held) values[size_t(arg)] = {};
  }

  std::vector<Result> results;
  for (int i : program.outputs) results.push_back({text('t', i), values[size_t(i)], errors[size_t(i)]});
  if (program.kind == Kind::Gradient) add_gradients(program, leaves, results, precision);
  std::vector<Tensor> together;
  for (const Result& result : results) together.push_back(result.value);
  realize(std::span<const Tensor>(together));
  for (size_t i = 0; i < count; ++i)
    if (program.steps[i].held && last_use[i] < count) results.push_back({text('t', i), values[i], errors[i]});
  return results;
}

std::vector<Tensor> leaves(const Program& program) {
  std::vector<Tensor> result;
  for (size_t i = 0; i < program.steps.size(); ++i)
    if (program.steps[i].op == "leaf") result.push_back(leaf(program, i));
  return result;
}

std::vector<Tensor> outputs(const Program& program, std::span<const Tensor> leaves) {
  std::vector<Tensor> values, results;
  for (const Step& step : program.steps) {
    if (step.op == "leaf") {
      values.push_back(leaves.front()), leaves = leaves.subspan(1);
      continue;
    }
    Tensor x[3];
    for (size_t a = 0; a < step.args.size(); ++a) x[a] = values[size_t(step.args[a])];
    values.push_back(operation(step.op).run(step, x[0], x[1], x[2]));
  }
  for (int i : program.outputs) results.push_back(values[size_t(i)]);
  return results;
}

Program without_unused(const Program& program) {
  std::vector<int> position(program.steps.size(), -1);
  for (int i : program.outputs) position[size_t(i)] = 0;
  for (size_t i = program.steps.size(); i-- > 0;)
    if (position[i] >= 0 || program.steps[i].held)
      for (int arg : program.steps[i].args) position[i] = position[size_t(arg)] = 0;
  Program used = program;
  used.steps.clear();
  for (size_t i = 0; i < program.steps.size(); ++i) {
    if (position[i] < 0) continue;
    position[i] = int(used.steps.size());
    used.steps.push_back(program.steps[i]);
    for (int& arg : used.steps.back().args) arg = position[size_t(arg)];
  }
  for (int& i : used.outputs) i = position[size_t(i)];
  return used;
}

std::string print(const Program& program) {
  static constexpr const char* kinds[] = {"integers", "smooth", "smooth, differentiated"};
  std::ostringstream out;
  out << "seed " << program.seed << ", " << kinds[int(program.kind)] << '\n';
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    out << "  t" << i << ": " << step.dtype << step.shape << " = " << step.op;
    for (int arg : step.args) out << " t" << arg;
    if (!step.params.empty()) out << ' ' << step.params;
    if (!step.more.empty()) out << ' ' << step.more;
    if (step.below) out << " below " << step.below;
    if (step.wild) out << ", wild";
    if (step.held) out << ", held";
    out << '\n';
  }
  out << "  outputs";
  for (int i : program.outputs) out << " t" << i;
  out << '\n';
  return out.str();
}

}  // namespace random_graph
