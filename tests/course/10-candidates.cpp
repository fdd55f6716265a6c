#include <algorithm>

#include "teeny/debug/trace.h"
#include "teeny/schedule/schedule.h"
#include "tests/course/tensors.h"

namespace {

using namespace course;
using teeny::Tensor;

/// That `want` kernels compute the targets, and each reads only what is there when it runs.
void kernels(const std::string& what, size_t want, const Tensors& targets, const Tensors& in_memory) {
  trying(what + " ..");
  std::vector<teeny::LazyBuffer> lazy;
  for (const Tensor& x : targets) lazy.push_back(x.lazy());
  std::vector<teeny::Step> steps;
  std::string wrong;
  try {
    steps = teeny::schedule_fused(lazy);
  } catch (const std::exception& error) {
    wrong = text("a root is in a kernel that runs before what it reads is computed (", error.what(), ")");
  }
  std::vector<const tinyops::Buffer*> there;
  for (const Tensor& x : in_memory) there.push_back(x.lazy().node()->buffer.get());
  for (const teeny::Step& step : steps)
    tinyops::for_each_operand(step.kernel, [&](const tinyops::Operand& operand, bool written) {
      if (written) there.push_back(operand.buffer.get());
      else if (std::ranges::find(there, operand.buffer.get()) == there.end())
        wrong = text("`", teeny::debug::label(step.kernel), "` runs before what it reads is computed");
    });
  if (wrong.empty() && steps.size() != want)
    wrong = text(steps.size(), steps.size() == 1 ? " kernel" : " kernels", ", and ", want, want == 1 ? " is" : " are",
                 steps.size() > want ? " enough" : " needed");
  if (wrong.empty()) return;
  for (const teeny::Step& step : steps) trying("  " + teeny::debug::label(step.kernel));
  expect(false, text(what, ": ", wrong));
}

}  // namespace

EXERCISE("10") {
  const Tensor x = numbers({32, 64}), y = numbers({32, 64}), w = numbers({64, 16}), v = numbers({64});
  const Tensors all{x, y, w, v};
  // Row kernels: what a reduction makes is read by what goes on with it.
  kernels("x.softmax()", 1, {x.softmax()}, all);
  kernels("x.layernorm()", 1, {x.layernorm()}, all);
  kernels("x.matmul(w).relu()", 1, {x.matmul(w).relu()}, all);
  // Two results that read the same data, and two that do not, or only a row that is repeated.
  kernels("x.sum(1) and x.square().sum(1), which read the same rows", 1, {x.sum(1), x.square().sum(1)}, all);
  kernels("x + 1 and x * 2, which read the same elements", 1, {x + 1, x * 2}, all);
  kernels("x.sum(0) and y.sum(1)", 2, {x.sum(0), y.sum(1)}, all);
  kernels("x + v and y * v", 2, {x + v, y * v}, all);
  // Inputs that two kernels compute: only the later one can be joined.
  const Tensor sums = x.sum(1);
  kernels("x.sum(1) + y.sum(1)", 2, {sums + y.sum(1)}, all);
  kernels("x.sum(1), and y.sum(1) + that", 2, {sums, y.sum(1) + sums}, all);
  // The row sums of y come after the first kernel that reads x: the last root may not go back to that one.
  kernels("x.sum(0), and the column sums of x * (the row sums of y)", 3, {x.sum(0), (x * y.sum(1, true)).sum(0)}, all);
}
