#include <set>
#include <string_view>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/course/own/guesses.h"
#include "tests/course/tensors.h"

namespace {

using namespace course;
using teeny::LazyBuffer, teeny::Node, teeny::Step, teeny::Tensor;

/// Puts the nodes below `x` that a kernel has to compute into `found`.
void collect(const LazyBuffer& x, std::set<const Node*>& found) {
  const Node& node = *x.node();
  if (node.realized() || teeny::has_no_memory(node.op) || !found.insert(&node).second) return;
  for (const LazyBuffer& source : node.sources) collect(source, found);
}

/// Runs the program, and looks on. Nothing is known here about what comes out.
own::Guess measure(const own::Program& program, int64_t m, int64_t n, int64_t k) {
  const auto stored = [](const teeny::Shape& shape) {
    return Tensor::from(std::vector<float>(size_t(teeny::numel(shape)), 1), shape);
  };
  const Tensor result = program.run(stored({m, n}), stored({k, n}), stored({m}), stored({n}));
  std::set<const Node*> nodes;
  collect(result.lazy(), nodes);
  teeny::debug::Counters work;
  const teeny::ExecutionScope watched({.on_step = [&](const Step& step) { work += teeny::debug::work(step.kernel); }});
  result.realize();
  return {int64_t(nodes.size()), work.kernels, work.bytes};
}

std::string counted(int64_t n, const char* what) { return text(n, ' ', what, n == 1 || what[0] == 'b' ? "" : "s"); }

int right = 0;
std::string first_wrong;

void compare(std::string_view what, int64_t yours, int64_t truth, const std::string& otherwise) {
  if (yours == truth) ++right;
  else if (first_wrong.empty()) first_wrong = text(what, otherwise);
}

}  // namespace

EXERCISE("02") {
  const size_t kPrograms = own::programs.size();
  for (int round = 0; round < 2; ++round) {
    const int64_t m = pick(5, 40), n = pick(41, 80), k = pick(2, 20);
    const std::vector<own::Guess> guesses = own::guesses(m, n, k);
    expect(guesses.size() == kPrograms, text("there are ", kPrograms, " programs, and you guess for ", guesses.size()));
    right = 0, first_wrong.clear();
    for (size_t i = 0; i < kPrograms; ++i) {
      const own::Guess yours = guesses[i], is = measure(own::programs[i], m, n, k);
      const std::string what = text(own::programs[i].text, ": you say ");
      compare(what, yours.nodes, is.nodes,
              text(counted(yours.nodes, "node"), ", its graph has ", is.nodes,
                   "; look with FUSE=0 DEBUG=2, where each node is a kernel"));
      compare(what, yours.kernels, is.kernels,
              text(counted(yours.kernels, "kernel"), ", it ran ", is.kernels, "; look with DEBUG=3"));
      compare(what, yours.bytes, is.bytes,
              text(counted(yours.bytes, "bytes"), " for m, n, k = ", m, ", ", n, ", ", k, ", ",
                   is.kernels == 0 ? "nothing ran" : text("its kernels moved ", is.bytes),
                   "; which tensors are read, which written?"));
    }
    if (first_wrong.empty()) continue;
    trying(first_wrong);
    report(text(right, " of ", 3 * kPrograms, " guesses are right"));
    throw Failed{};
  }
  report(text(3 * kPrograms, " of ", 3 * kPrograms, " guesses are right"));
}
