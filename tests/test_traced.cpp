// What a trace sees of a call: every tensor on the way from the results back to the inputs has a rule.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "random_graph.h"
#include "teeny/functional/functions.h"
#include "teeny/nn/nn.h"
#include "teeny/tensor/traced.h"
#include "tests/golden.h"
#include "tinyops/base/environment.h"

using namespace teeny;

namespace {

struct Tracing {
  NoGrad no_grad;
  Tracing() { context.tracing = true; }
  ~Tracing() { context.tracing = false; }
};

/// Whether the lazy graph below a tensor that has no rule reaches one of `inputs`.
bool reaches(const std::shared_ptr<Node>& node, const std::set<const Node*>& inputs, std::set<const Node*>& seen) {
  if (inputs.contains(node.get())) return true;
  if (!seen.insert(node.get()).second) return false;
  for (const LazyBuffer& source : node->sources)
    if (reaches(source.node(), inputs, seen)) return true;
  return false;
}

/// The names of the operations from `results` back to `inputs`, with how often each stands there; "hole" is one of a
/// tensor that was made of an input past the rules.
std::map<std::string, int> operations(std::span<const Tensor> results, std::span<const Tensor> inputs) {
  std::map<std::string, int> names;
  std::set<const void*> seen;
  std::set<const Node*> sources;
  for (const Tensor& x : inputs) seen.insert(detail::TensorAccess::id(x)), sources.insert(x.lazy().node().get());
  std::vector<Tensor> left(results.begin(), results.end());
  std::set<const TracedCall*> calls;
  while (!left.empty()) {
    const Tensor x = left.back();
    left.pop_back();
    if (!seen.insert(detail::TensorAccess::id(x)).second) continue;
    const auto rule = detail::TensorAccess::rule(x);
    if (!rule) {
      std::set<const Node*> nodes;
      if (reaches(x.lazy().node(), sources, nodes)) ++names["hole"];
      continue;
    }
    const auto* traced = dynamic_cast<const Traced*>(rule.get());
    if (!traced || calls.insert(traced->call.get()).second) ++names[rule->name()];
    for (const Tensor& input : rule->inputs) left.push_back(input);
  }
  return names;
}

/// What `call` makes of `inputs` while it is traced.
template <class F>
std::vector<Tensor> traced_call(const std::vector<Tensor>& inputs, const F& call) {
  const Tracing guard;
  return call(inputs);
}

/// The same elements; a NaN equals each other.
bool same(const Tensor& x, const Tensor& y) {
  return x.shape() == y.shape() && x.dtype() == y.dtype() && x.to_bytes() == y.to_bytes();
}

}  // namespace

TEST_CASE("traced: no golden case leaves a hole, and values stay what they are") {
  std::map<std::string, int> holes, all;
  int cases = 0;
  test::for_each_golden([&](const std::string& name, test::Expression run, const std::vector<Tensor>& given) {
    const auto call = [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{run(x[0], x[1], x[2], x[3])}; };
    std::vector<Tensor> inputs;
    for (const Tensor& x : given) inputs.push_back(x.defined() ? x.detach() : x);
    // An operation that assigns, or that is recorded with gradients, is no matter of a trace.
    if (name.starts_with("setitem/") || name.starts_with("training/") || name.starts_with("binary/in_place")) return;
    std::vector<Tensor> defined;
    for (const Tensor& x : inputs)
      if (x.defined()) defined.push_back(x);
    Tensor want;
    std::vector<Tensor> got;
    try {
      const NoGrad no_grad;
      want = call(inputs)[0];
      got = traced_call(inputs, call);
    } catch (const Error& error) {
      FAIL_CHECK(name, ": ", error.what());
      return;
    }
    const auto names = operations(got, defined);
    for (const auto& [op, times] : names) all[op] += times;
    if (names.contains("hole")) ++holes[name];
    CHECK_MESSAGE(same(got[0], want), name);
    ++cases;
  });
  for (const auto& [name, times] : holes) MESSAGE(name, ": ", times);
  CHECK(holes.empty());
  MESSAGE(cases, " cases, ", all.size(), " operations");
  if (tinyops::environment::debug())
    for (const auto& [op, times] : all) MESSAGE(op, ' ', times);
}

TEST_CASE("traced: random graphs leave no hole") {
  int programs = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    const random_graph::Program program = random_graph::make(seed, 20);
    static const std::set<std::string> past_the_rules = {"any_unary",     "any_unary_of_leaf",
                                                         "any_binary",    "any_binary_of_leaves",
                                                         "any_reduce",    "any_scan",
                                                         "any_scatter",   "idiv1",
                                                         "assign",        "set",
                                                         "turned_inside", "set_backwards",
                                                         "realize"};
    if (std::ranges::any_of(program.steps, [&](const auto& step) { return past_the_rules.contains(step.op); }))
      continue;
    ++programs;
    const std::vector<Tensor> leaves = random_graph::leaves(program);
    const auto call = [&](const std::vector<Tensor>& x) { return random_graph::outputs(program, x); };
    const std::vector<Tensor> want = call(leaves), got = traced_call(leaves, call);
    const auto names = operations(got, leaves);
    CHECK_MESSAGE(!names.contains("hole"), random_graph::print(program));
    for (size_t i = 0; i < got.size(); ++i) CHECK_MESSAGE(same(got[i], want[i]), random_graph::print(program));
  }
  CHECK(programs > 20);
  MESSAGE(programs, " programs");
}
