// What is left when something fails half-way: an index outside, a kernel that throws, no memory. A step is done or not
// done.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "small_nets.h"
#include "teeny/graph/context.h"
#include "teeny/teeny.h"
#include "teeny/tensor/function.h"

using namespace teeny;

namespace {

using test::Bytes;
template <class Optimizer>
using Run = test::Trained<test::TokenNet, Optimizer>;

Tensor tokens(int step) { return ((Tensor::arange(7) * (step + 1)) % 10).realize(); }
Tensor classes(int step) { return ((Tensor::arange(7) + step) % 8).realize(); }

/// Calls `fault(n)` before the fourth of five steps, for n = 0, stride, .. until nothing throws: what is left must be
/// the state before the step or the one after it, and training goes on to the same end.
template <class Optimizer, class Options, class Fault, class Over>
void fail_everywhere(const Options& options, bool replayed, int stride, Fault&& fault, Over&& over) {
  Training mode;
  CAPTURE(Optimizer::kName);
  CAPTURE(replayed);
  std::vector<Bytes> expected;
  {
    Run<Optimizer> run(options);
    for (int i = 0; i < 5; ++i) run.step(tokens(i), classes(i)).realize(), expected.push_back(run.bytes());
  }
  int before = 0, after = 0;
  for (int n = 0;; n += stride) {
    CAPTURE(n);
    Run<Optimizer> run(options);
    Jit jit([&](Tensor x, Tensor y) { return run.step(x, y); });
    const auto step = [&](const Tensor& x, const Tensor& y) {
      return (replayed ? jit(x, y) : run.step(x, y)).realize();
    };
    for (int i = 0; i < 3; ++i) step(tokens(i), classes(i));
    REQUIRE(run.bytes() == expected[2]);
    const auto random = Tensor::random_state();
    const Tensor x = tokens(3), y = classes(3);
    bool thrown = false;
    fault(n);
    try {
      step(x, y);
    } catch (const std::exception&) { thrown = true; }
    over();
    const Bytes now = run.bytes();
    if (now == expected[2]) {
      ++before;
      if (replayed) CHECK(Tensor::random_state() == random);
      Tensor::set_random_state(random.first, random.second);
      step(x, y);
    } else {
      ++after;
    }
    REQUIRE(run.bytes() == expected[3]);
    step(tokens(4), classes(4));
    REQUIRE(run.bytes() == expected[4]);
    if (!thrown) break;
  }
  CHECK_MESSAGE((before > after && after > 0), before, " times the state before the step, ", after,
                " times the one after");
}

/// Kernels before one throws; negative: none does.
int kernels_left = -1;
void run_or_throw(const tinyops::Kernel& kernel) {
  if (kernels_left >= 0 && kernels_left-- == 0) fail("a kernel that throws");
  tinyops::run(kernel);
}
template <class Optimizer, class Options>
void throw_from_each_kernel(const Options& options, int stride = 1) {
  const ExecutionScope scope({.run = run_or_throw});
  for (const bool replayed : {false, true})
    fail_everywhere<Optimizer>(options, replayed, stride, [](int n) { kernels_left = n; }, [] { kernels_left = -1; });
}

}  // namespace

TEST_CASE("faults: a bad index is told once, and what was assigned is taken back") {
  const Tensor table = Tensor::arange(5).cast(DType::Float32).realize(), bad = Tensor::of<int64_t>({5}).realize();
  Tensor picked = Tensor::of({7}).realize(), other = Tensor::of({1}).realize(), c = Tensor::of({1}).realize();
  picked.assign(table.gather(0, bad));
  c.assign(c + 10);
  CHECK_THROWS_WITH_AS((other + 1).realize(), doctest::Contains("gather: index 5"), Error);
  CHECK((other + 1).item() == 2);
  CHECK(picked.item() == 7);
  CHECK(c.item() == 11);
}

TEST_CASE("faults: a step one of whose kernels throws is done or not done, whichever it is") {
  throw_from_each_kernel<optim::Adam>(optim::AdamOptions{});
  throw_from_each_kernel<optim::Muon>(optim::MuonOptions{}, 5);
}

TEST_CASE("faults: a step is done or not done with each of the optimisers [train]") {
  throw_from_each_kernel<optim::SGD>(optim::SGDOptions{.lr = 0.05, .weight_decay = 1e-3});
  throw_from_each_kernel<optim::SGD>(optim::SGDOptions{.lr = 0.05, .momentum = 0.9, .nesterov = true});
  throw_from_each_kernel<optim::AdamW>(optim::AdamWOptions{});
  throw_from_each_kernel<optim::LAMB>(optim::LAMBOptions{});
  throw_from_each_kernel<optim::RMSprop>(optim::RMSpropOptions{.momentum = 0.9, .centered = true});
  throw_from_each_kernel<optim::Adagrad>(optim::AdagradOptions{.lr_decay = 0.01});
  throw_from_each_kernel<optim::NAdam>(optim::NAdamOptions{});
  throw_from_each_kernel<optim::Muon>(optim::MuonOptions{});
}

TEST_CASE("faults: a refused batch leaves the optimiser, the model and what else is pending as they were") {
  if (tinyops::device_name().starts_with("cuda")) return;  // there the Error comes later: see jit.h
  Training mode;
  Run<optim::Adam> run;
  for (int i = 0; i < 2; ++i) run.step(tokens(i), classes(i)).realize();
  const Bytes before = run.bytes();
  Tensor other = Tensor::of({1}).realize();
  const Tensor bad_class = (classes(2) + 1) * 5, bad_token = tokens(2) + 5;
  for (const bool label : {true, false}) {
    const auto random = Tensor::random_state();
    other.assign(other + 10);
    const Tensor loss = label ? run.step(tokens(2), bad_class) : run.step(bad_token, classes(2));
    other.assign(other * 2);
    CHECK_THROWS_AS(loss.item(), Error);
    CHECK(run.bytes() == before);
    CHECK(nn::find(nn::state_dict(run.optimizer), "step").item() == 2);
    CHECK(other.item() == (label ? 22 : 64));
    Tensor::set_random_state(random.first, random.second);
  }
  // A good step that waits is not lost when the batch after it is refused.
  const Tensor loss = run.step(tokens(2), classes(2));
  CHECK_THROWS_AS(run.net(bad_token).sum().item(), Error);
  const Bytes after = run.bytes();
  CHECK(after != before);
}

#ifndef TEENY_CHECKED  // a sanitizer reserves terabytes of addresses
TEST_CASE("faults: a replay that finds no memory names the kernel, and is not begun") {
  if (!tinyops::device_name().starts_with("cpu")) return;
  Tensor count = Tensor::of({0}).realize();
  Jit larger([&](Tensor x) {
    const NoGrad guard;
    count += 1;
    return x.expand({2000, 2000}).exp() * count;
  });
  const Tensor x = Tensor::ones({2000}).contiguous().realize();
  std::vector<Tensor> results;  // alive, so that their memory does not come again
  for (int i = 0; i < 3; ++i) results.push_back(larger(x));
  CHECK(larger.replays() == 1);
  rlimit before;
  getrlimit(RLIMIT_AS, &before);
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlimit tight{pages * 4096 + (size_t(4) << 20), before.rlim_max};
  setrlimit(RLIMIT_AS, &tight);
  std::string message;
  int calls = 3;
  for (; message.empty() && calls < 200; ++calls) try {  // the first ones may get memory that other tests gave back
      results.push_back(larger(x));
    } catch (const Error& error) { message = error.what(); }
  setrlimit(RLIMIT_AS, &before);
  CHECK_MESSAGE(message.find("for the kernel rows") != message.npos, message);
  CHECK(count.item() == calls - 1);
  CHECK(larger(x).sum().item() > 0);
  CHECK(count.item() == calls);
}
#endif

TEST_CASE("faults: an exception inside of a group takes its assignments back") {
  Tensor a = Tensor::of({1}).realize(), b = Tensor::of({2}).realize();
  a.assign(a + 1);
  try {
    const AssignmentGroup together;
    a.assign(a * 10);
    b.assign(a + b);
    fail("in between");
  } catch (const Error&) {}
  CHECK((a.item() == 2 && b.item() == 2));
}

TEST_CASE("faults: undefined tensors are refused") {
  Tensor u, x = Tensor::ones({2});
  CHECK_THROWS_WITH_AS(u.zero_grad(), doctest::Contains("zero_grad: this tensor is undefined"), Error);
  CHECK_THROWS_WITH_AS(u.set_grad(x), doctest::Contains("set_grad: this tensor is undefined"), Error);
  CHECK_THROWS_AS(u.requires_grad_(), Error);
  CHECK_THROWS_AS(u.assign(x), Error);
  CHECK_THROWS_AS(x.assign(u), Error);
  CHECK_THROWS_AS(u.backward(), Error);
  CHECK_THROWS_AS(u.realize(), Error);
  CHECK_THROWS_AS(u += x, Error);
  CHECK_THROWS_AS(detail::TensorAccess::version(u), Error);
  CHECK_THROWS_AS(detail::TensorAccess::drop_graph(u), Error);
  nn::Linear layer(2, 2);
  const nn::Linear moved = std::move(layer);
  CHECK_THROWS_AS(layer(Tensor::ones({1, 2})), Error);
}

TEST_CASE("assign: a mean that is stored early is not written over what its kernel still reads") {
  const Tensor x = Tensor::arange(12).reshape({4, 3}).cast(DType::Float32).realize();
  Tensor m = Tensor::of({1, 2, 3, 4}).realize();
  const Tensor mean = x.mean(1), half = m * 0.5;
  m.assign(half + mean);
  const Tensor all[] = {mean, m};
  realize(all);
  CHECK(mean.to_vector() == std::vector<float>{1, 4, 7, 10});
  CHECK(m.to_vector() == std::vector<float>{1.5, 5, 8.5, 12});
}

namespace {
/// Outlives main, and with it what belongs to the main thread.
struct AtExit {
  Tensor count, weight;
  ~AtExit() {
    if (!count.defined()) return;
    count.assign(count + 1);
    weight.assign(weight.matmul(weight).softmax());
    const NoGrad guard;
    if (count.item() == 2 && weight.sum().item() > 39.9) return;
    std::fputs("an object that outlives main computed something else\n", stderr);
    std::_Exit(1);
  }
} at_exit;
}  // namespace

TEST_CASE("faults: an object that outlives main may assign and compute") {
  if (tinyops::device_name().starts_with("cuda")) return;  // the driver is gone by then
  at_exit.count = Tensor::of({1}).realize();
  at_exit.weight = Tensor::rand({40, 40}).realize();
  at_exit.weight.assign(at_exit.weight.matmul(at_exit.weight).softmax());
  at_exit.weight.realize();
}
