// The program of notes/22-how-we-know-it-is-right.md: five planted mistakes before three judges; the error of a difference quotient over
// its step; a fault that the fuzzer finds and shrinks; and how many wrong bodies the course has.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "teeny/teeny.h"
#include "teeny/testing.h"
#include "tests/random_graph.cpp"
#include "tests/random_graph_draw.cpp"
#include "tests/random_graph_make.cpp"
#include "tests/random_graph_ops.cpp"

using namespace teeny;

// ---- Five mistakes, three judges

#include "rules"

Tensor wrong_gelu(const Tensor& x) {  // 0.044715 is right
  return x * 0.5 * (1 + ((x + 0.44715 * x * x * x) * std::sqrt(2 / 3.14159265358979)).tanh());
}
Tensor softmax_without_maximum(const Tensor& x) { return x.exp() / x.exp().sum(-1, true); }

/// A device that forgets the last element of a row of float32, unless 16 divides its length.
void run_forgetfully(const tinyops::Kernel& kernel) {
  tinyops::run(kernel);
  const auto* rows = std::get_if<tinyops::RowKernel>(&kernel);
  if (!rows || rows->outputs[0].operand.dtype != DType::Float32) return;
  const int64_t n = tinyops::numel(rows->shape);
  if (n > 16 && n % 16) static_cast<float*>(rows->outputs[0].operand.buffer->data())[n - 1] = 0;
}

using Formula = std::function<Tensor(const Tensor&)>;

bool is_right_by_reference(const Formula& f, DType dtype, decltype(Execution::run) device) {
  std::vector<double> steps;
  for (int i = -18; i <= 18; ++i) steps.push_back(i);
  const Tensor x = Tensor::from(steps, {37}).cast(dtype).realize();
  Tensor got;
  {
    const ExecutionScope on_device({.fuse = true, .run = device});
    got = f(x).realize();
  }
  const ExecutionScope reference({.fuse = false, .run = tinyops::reference::check});
  const Tensor want = f(x.cast(DType::Float64)).realize();
  return bool(testing::allclose(got.cast(DType::Float64), want, testing::tolerance_of(dtype)));
}

/// At -1, 0 and 2.
struct Golden {
  std::vector<float> values, slopes;
};
bool is_right_by_values(const Formula& f, const Golden& golden, decltype(Execution::run) device) {
  const ExecutionScope on_device({.run = device});
  const Tensor x = Tensor::of({-1., 0., 2.}).cast(DType::Float32).realize().requires_grad_(), y = f(x);
  y.sum().backward();
  return testing::allclose(y, Tensor::from(golden.values, {3})) && testing::allclose(x.grad(), Tensor::from(golden.slopes, {3}));
}

bool is_right_by_differences(const Formula& f, decltype(Execution::run) device) {
  const ExecutionScope on_device({.run = device});
  Tensor::manual_seed(1);
  return bool(testing::gradcheck(f, {Tensor::randn({4, 6}, DType::Float64).realize()}));
}

void table() {
  const auto square = [](const Tensor& x) { return apply(SquarePlusOne(), x); };
  const auto relu = [](const Tensor& x) { return apply(Relu(), x); };
  const Golden of_relu{{0, 0, 2}, {0, 0, 1}}, of_gelu{{-0.158808f, 0, 1.954598f}, {-0.082964f, 0.5f, 1.086099f}};
  const Golden of_softmax{{0.042010f, 0.114195f, 0.843795f}, {0, 0, 0}}, none;
  struct {
    const char* name;
    Formula f;
    Golden golden;
    DType dtype;
    decltype(Execution::run) device;
  } const mistakes[] = {{"a factor is missing in the gradient of x^2 + 1", square, none, DType::Float32, tinyops::run},
                        {"relu has the slope 1 at 0", relu, of_relu, DType::Float32, tinyops::run},
                        {"a constant of GELU is ten times as large", wrong_gelu, of_gelu, DType::Float32, tinyops::run},
                        {"softmax without the maximum, in float16", softmax_without_maximum, of_softmax, DType::Float16, tinyops::run},
                        {"the device forgets the last of 37 floats", &Tensor::exp,
                         {{0.367879f, 1, 7.389056f}, {0.367879f, 1, 7.389056f}}, DType::Float32, run_forgetfully}};
  const auto said = [](bool right) { return right ? "" : "found"; };
  std::cout << "== table\n";
  for (const auto& [name, f, golden, dtype, device] : mistakes)
    std::cout << "| " << name << " | " << said(is_right_by_reference(f, dtype, device)) << " | "
              << (golden.values.empty() ? "has none" : said(is_right_by_values(f, golden, device))) << " | "
              << said(is_right_by_differences(f, device)) << " |\n";
}

// ---- Finite differences

/// The largest relative error of (f(x + h) - f(x - h)) / 2h for f = x^3, at 64 places between 1 and 2.
double error_of_quotient(DType dtype, double h) {
  const Tensor x = (Tensor::arange(64).cast(DType::Float64) / 64.3 + 1.0037).cast(dtype).realize();
  const auto cube = [](const Tensor& t) { return Tensor((t * t).realize() * t).realize(); };
  const Tensor above = cube(Tensor(x + h).realize()), below = cube(Tensor(x - h).realize());
  const Tensor quotient = (above - below).cast(DType::Float64) / (2 * h), slope = 3 * x.cast(DType::Float64).square();
  return ((quotient - slope) / slope).abs().max().item();
}

// ---- Fuzzing

/// A backend with a planted fault: its floor rounds towards zero.
void run_with_fault(const tinyops::Kernel& kernel) {
  tinyops::Kernel changed = kernel;
  auto* rows = std::get_if<tinyops::RowKernel>(&changed);
  if (auto* contraction = std::get_if<tinyops::ContractKernel>(&changed)) rows = &contraction->epilogue;
  if (rows)
    for (tinyops::Instruction& i : rows->program)
      if (const auto* op = std::get_if<UnaryOp>(&i.op); op && *op == UnaryOp::Floor) i.op = UnaryOp::Trunc;
  tinyops::run(changed);
}

std::vector<random_graph::Result> results(const random_graph::Program& program, const Execution& how) {
  const ExecutionScope scope(how);
  return random_graph::run(program, random_graph::Precision::AsWritten);
}

/// The first element in which the two ways to run a program of integers disagree.
std::string disagreement(const random_graph::Program& program) {
  const auto got = results(program, {.fuse = true, .run = run_with_fault});
  const auto want = results(program, {.fuse = false, .run = tinyops::reference::check});
  for (size_t i = 0; i < got.size(); ++i) {
    const auto g = got[i].value.to_vector<double>(), w = want[i].value.to_vector<double>();
    for (size_t k = 0; k < g.size(); ++k)
      if (g[k] != w[k] && (g[k] == g[k] || w[k] == w[k]))
        return text(got[i].name, ", element ", k, ": got ", g[k], ", expected ", w[k]);
  }
  return "";
}

int main() {
  table();
  std::cout << "== figure step\n";
  for (DType dtype : {DType::Float64, DType::Float32})
    for (int k = dtype == DType::Float64 ? -26 : -12; k <= -2; ++k)
      std::cout << itemsize(dtype) * 8 << " " << k / 2.0 << " " << error_of_quotient(dtype, std::pow(10, k / 2.0)) << "\n";

  const auto fails = [](const random_graph::Program& program) { return !disagreement(program).empty(); };
  for (uint64_t seed = 0;; ++seed) {
    const random_graph::Program program = random_graph::make(seed, 4 + int(seed % 36));
    if (program.kind != random_graph::Kind::Whole || !fails(program)) continue;
    const random_graph::Program small = random_graph::shrink(program, fails);
    std::cout << "== fuzz\n" << program.steps.size() << " steps, of which " << small.steps.size() << " are left\n"
              << random_graph::print(small) << disagreement(small) << "\n";
    break;
  }

  int bodies = 0, exercises = 0;
  for (const auto& page : std::filesystem::directory_iterator("notes/exercises")) {
    std::ifstream file(page.path());
    ++exercises;
    for (std::string line; std::getline(file, line);) bodies += line == "```cpp wrong";
  }
  std::cout << "== bodies\n" << exercises << " exercises\n" << bodies << " wrong bodies\n";
}
