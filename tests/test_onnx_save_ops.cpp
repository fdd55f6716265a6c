// Every operation of teeny on its way through a file of ONNX: the golden cases and random graphs are saved, opened
// again, and make what they made. What has no spelling is refused, for one of the reasons that are listed here.
//
// EXPORTED=folder saves all golden cases, not one of several, and keeps the files with their inputs and outputs there,
// for tests/interop/exported_ops.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "random_graph.h"
#include "teeny/io/io.h"
#include "teeny/onnx/onnx.h"
#include "tests/check.h"
#include "tests/golden.h"
#include "tests/temporary_directory.h"
#include "tinyops/base/environment.h"

using namespace teeny;

namespace {

/// How far two results are from each other, in shares of the largest element, or of 1: a NaN equals each other, and an
/// infinity itself. -1: another dtype or shape.
double distance(const Tensor& got, const Tensor& want) {
  if (got.shape() != want.shape() || got.dtype() != want.dtype()) return -1;
  const std::vector<double> a = got.cast(DType::Float64).to_vector<double>(),
                            b = want.cast(DType::Float64).to_vector<double>();
  double most = 1, far = 0;
  for (double x : b)
    if (std::isfinite(x)) most = std::max(most, std::abs(x));
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    const double d = std::abs(a[i] - b[i]);
    far = std::max(far, std::isfinite(d) ? d / most : INFINITY);
  }
  return far;
}
double tolerance(DType dtype) {
  if (dtype == DType::Float16) return 2e-3;
  if (dtype == DType::BFloat16) return 2e-2;
  return dtype == DType::Float32 ? 2e-6 : is_float(dtype) ? 1e-7 : 0;
}

/// Why something has no spelling. Everything else has one.
constexpr const char* kReasons[] = {
    "BitShift is for unsigned integers",
    "MaxPool is for floats and 8-bit integers",
    "Conv is for floats",
    "ConvTranspose is for floats",
    "GridSample has volumes from opset 20 on",
    "ONNX has it for bfloat16 from opset 22 on",
    "the call reads values that depend on its inputs",  // nonzero, masks, unique
    "the call draws random values",
    "bitcast",  // in ONNX from opset 26 on
};

struct Saved {
  int equal = 0, close = 0;
  std::map<std::string, int> refused;  ///< by reason

  /// Where a formula of ONNX leaves the range of floats, and teeny's not, or the other way round.
  static bool leaves_range(const std::string& name) {
    return name.starts_with("unary/gelu_erf/ends") || name.starts_with("unary/hardswish/ends") ||
           name.starts_with("unary/softplus_beta/ends");
  }

  /// Saves `call`, opens the file, and compares.
  template <class F>
  void add(const std::string& name, const std::vector<Tensor>& inputs, const F& call, int opset) {
    static const char* keep = std::getenv("EXPORTED");
    const TemporaryDirectory directory;
    std::string file = directory / "net.onnx";
    if (keep) {
      std::string flat = name;
      std::replace(flat.begin(), flat.end(), '/', '-');
      file = std::string(keep) + "/" + flat + ".onnx";
    }
    try {
      onnx::save(file, call, inputs, {.opset = opset});
    } catch (const Error& error) {
      const std::string what = error.what();
      const size_t reason = what.rfind(": ");
      ++refused[what.substr(reason + 2)];
      if (std::ranges::none_of(kReasons, [&](const char* why) { return what.find(why) != what.npos; }))
        FAIL_CHECK(name, ": ", what);
      return;
    }
    const NoGrad no_grad;
    const std::vector<Tensor> want = call(inputs);
    try {
      onnx::Model net(file, {.jit = false});
      std::vector<Tensor> used;
      for (const auto& info : net.inputs()) {
        const bool single = info.name == "input";
        used.push_back(inputs[single ? 0 : size_t(std::atoi(info.name.c_str() + 6))]);
      }
      const std::vector<Tensor> got = net(used);
      REQUIRE_MESSAGE(got.size() == want.size(), name);
      bool same = true;
      for (size_t i = 0; i < want.size(); ++i) {
        const double far = distance(got[i], want[i]);
        same &= far == 0;
        if (far < 0 || (far > tolerance(want[i].dtype()) && !leaves_range(name)))
          FAIL_CHECK(name, ": ", got[i].dtype(), ' ', got[i].shape(), ", off by ", far, " of ", want[i].dtype(), ' ',
                     want[i].shape());
      }
      ++(same ? equal : close);
    } catch (const Error& error) { FAIL_CHECK(name, ": ", std::string(error.what())); }
    if (!keep) return;
    nn::StateDict tensors;
    for (size_t i = 0; i < inputs.size(); ++i)
      tensors.emplace_back(inputs.size() == 1 ? "input" : text("input_", i), inputs[i]);
    for (size_t i = 0; i < want.size(); ++i)
      tensors.emplace_back(want.size() == 1 ? "output" : text("output_", i), want[i]);
    io::save_safetensors(file.substr(0, file.size() - 4) + "safetensors", tensors);
  }
  void report() const {
    for (const auto& [why, times] : refused) MESSAGE(times, " refused: ", why);
    MESSAGE(equal, " equal, ", close, " close");
  }
};

}  // namespace

TEST_CASE("onnx::save: the golden cases come back from a file") {
  const int one_of = std::getenv("EXPORTED") ? 1 : 16;
  for (int opset : {18, 23}) {
    CAPTURE(opset);
    Saved saved;
    int number = opset;
    test::for_each_golden([&](const std::string& name, test::Expression run, const std::vector<Tensor>& given) {
      // What assigns is refused elsewhere; a gradient has no place in a graph.
      if (name.starts_with("setitem/") || name.starts_with("training/") || name.starts_with("binary/in_place")) return;
      if (number++ % one_of) return;
      std::vector<Tensor> inputs;
      std::vector<size_t> place;
      for (size_t i = 0; i < given.size(); ++i)
        if (given[i].defined()) inputs.push_back(given[i]), place.push_back(i);
      const auto call = [&](std::vector<Tensor> x) {
        Tensor all[4];
        for (size_t i = 0; i < place.size(); ++i) all[place[i]] = x[i];
        return std::vector<Tensor>{run(all[0], all[1], all[2], all[3])};
      };
      saved.add(text(name, opset == 18 ? "" : "-23"), inputs, call, opset);
    });
    saved.report();
  }
}

// FUZZ=n saves n programs, FUZZ_SEED=n one of them, or n from there.
TEST_CASE("onnx::save: random graphs come back from a file") {
  using tinyops::environment::whole_number;
  const uint64_t first = whole_number("FUZZ_SEED", 1), count = whole_number("FUZZ", 60);
  static const std::set<std::string> past_the_rules = {
      "any_unary", "any_unary_of_leaf", "any_binary", "any_binary_of_leaves", "any_reduce", "any_scan", "any_scatter",
      "idiv1", "assign", "set", "turned_inside", "set_backwards", "realize", "dice", "rand"};
  Saved saved;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    random_graph::Program program = random_graph::make(seed, 12);
    for (size_t i = 0; i < program.steps.size(); ++i) {  // a leaf in the place of what no rule makes
      auto& step = program.steps[i];
      if (!past_the_rules.contains(step.op)) continue;
      step.op = "leaf", step.args.clear(), step.params = step.more = {};
      step.bound = std::min(step.bound, 3.0);
    }
    program = random_graph::without_unused(program);
    CAPTURE(random_graph::print(program));
    const auto call = [&](std::vector<Tensor> x) { return random_graph::outputs(program, x); };
    saved.add(text("random-", seed), random_graph::leaves(program), call, seed % 2 ? 18 : 21);
  }
  saved.report();
}

// A batch of any size is one graph: what is saved with 6 is called with 4 and 7.
TEST_CASE("onnx::save: operations with an open batch") {
  const std::vector<std::pair<const char*, test::Expression>> lines = {
      {"softmax", FN(x.softmax(-1))},
      {"gelu", FN(x.gelu() + x.elu() + x.celu(2) + x.softplus() + x.hardswish() + x.leaky_relu(0.2))},
      {"sum", FN(x.sum(1) + x.mean(1) + x.max(1) + x.logsumexp(1) + x.norm(2, 1))},
      {"argmax", FN(x.argmax(1) + x.argmin(-1, false).sum())},
      {"cumsum", FN(x.cumsum(1) + x.cumprod(1) + x.cummax(2).values)},
      {"sort", FN(x.sort(2).values + x.argsort(1))},
      {"topk", FN(x.topk(2, 1).values)},
      {"gather", FN(x.gather(1, (x > 0).cast(DType::Int64)))},
      {"index", FN(x[{slice(), Tensor::of<int64_t>({0, 2, -1})}])},
      {"slice", FN(x[{slice(), slice(0, 4, 2), slice({}, {}, -1)}])},
      {"split", FN(x.split(2, 1)[0] * x.split({1, 3}, 1)[1].sum(1, true))},
      {"cat", FN(Tensor::cat({x, x.flip(1)}, 2))},
      {"stack", FN(Tensor::stack({x, x.relu()}, 1))},
      {"repeat", FN(x.repeat({1, 2, 3}))},
      {"roll", FN(x.roll(1, 1))},
      {"pad", FN(x.pad({0, 1, 2}, {0, 2, 1}, 7))},
      {"reflect", FN(x.pad({0, 1, 2}, {0, 2, 1}, PadMode::Reflect))},
      {"tril", FN(x.tril() + x.triu(1))},
      {"flatten", FN(x.flatten(1))},
      {"merged", FN(x.reshape({-1, 5}))},
      {"transpose", FN(x.transpose(1, 2).reshape({x.size(0), 20}))},
      {"diagonal", FN(x.diagonal(1, 2))},
      {"layernorm", FN(x.layernorm(1))},
      {"matmul", FN(x.matmul(x.transpose(1, 2)))},
      {"linear", FN(x.linear(Tensor::ones({3, 5}), Tensor::arange(3).cast(DType::Float32)))},
      {"einsum", FN(Tensor::einsum("bij,bkj->bik", {x, x}))},
      {"conv1d", FN(x.conv1d(Tensor::ones({2, 4, 3}), {}, {.padding = 1}))},
      {"conv_transpose1d", FN(x.conv_transpose1d(Tensor::ones({4, 2, 3}), {}, {.stride = 2}))},
      {"max_pool1d", FN(x.max_pool1d(2) + x.avg_pool1d(2))},
      {"where", FN(where(x > 0, x, -x) % 3)},
      {"interpolate", FN(x.interpolate(10, {.mode = Interpolation::Linear}))},
      {"var", FN(x.var(1) + x.std(1))},
      {"scatter", FN(x.scatter_add(1, (x > 0).cast(DType::Int64), x))},
      {"attention", FN(x.scaled_dot_product_attention(x, x, {.causal = true}))},
  };
  const TemporaryDirectory directory;
  const auto input = [](int64_t batch) { return (Tensor::arange(batch * 20) * 0.37).sin().reshape({batch, 4, 5}); };
  for (const auto& [name, run] : lines) {
    CAPTURE(name);
    const auto call = [run = run](const Tensor& x) { return run(x, {}, {}, {}); };
    const std::string file = directory / "net.onnx";
    try {
      onnx::save(file, call, {input(6)}, {.dynamic = {{0, 0, "batch"}}});
      onnx::Model net(file, {.jit = false});
      for (int64_t batch : {1, 4, 7}) {
        const double far = distance(net({input(batch)})[0], call(input(batch)));
        CHECK_MESSAGE((far >= 0 && far < 2e-6), far);
      }
    } catch (const Error& error) { FAIL_CHECK(std::string(error.what())); }
  }
}
