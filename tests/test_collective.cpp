// Collectives in a graph, on one rank, where they copy: when they run, and what runs beside them. tests/ranks/ has them
// on many. And the queue whose thread carries them.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <sstream>
#include <thread>

#include "always_fused.h"
#include "check_refused.h"
#include "teeny/graph/collective.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"
#include "tinyops/ranks/job_queue.h"

using namespace teeny;
using tinyops::Collective, tinyops::CollectiveKernel;

namespace {

Tensor all_reduce(const Tensor& x) { return Tensor(collective({.what = Collective::AllReduce}, x.lazy(), x.shape())); }
Tensor broadcast(const Tensor& x) { return Tensor(collective({.what = Collective::Broadcast}, x.lazy(), x.shape())); }
Tensor values(const Shape& shape) { return Tensor::rand(shape).realize(); }

/// The kernels that `f` runs, as a line: "rows", "start all_reduce" .., each collective by its number of elements.
template <class F>
std::string kernels(F&& f) {
  std::ostringstream line;
  Execution mode = context.execution;
  mode.on_step = [&](const Step& step) {
    const auto* k = std::get_if<CollectiveKernel>(&step.kernel);
    constexpr const char* phases[] = {"whole", "start", "finish"};
    if (k) line << phases[int(k->phase)] << ' ' << k->in.view.numel() << ", ";
    else line << "rows, ";
  };
  {
    const ExecutionScope watched(mode);
    f();
  }
  std::string all = line.str();
  return all.substr(0, all.size() - std::min<size_t>(2, all.size()));
}

}  // namespace

TEST_CASE("collective: it starts where it stands, and is finished where its result is first touched") {
  const AlwaysFused fused;
  const Tensor x = values({4}), y = values({5}), z = values({6});
  const Tensor a = all_reduce(x + 1), b = all_reduce(y + 1), c = z.exp(), d = a * 2, e = b * 2;
  // Collectives come first, each behind what it needs; then what was asked for, in its order.
  CHECK(kernels([&] {
          realize(std::vector{c, d, e});
        }) == "rows, start 4, rows, start 5, rows, finish 4, rows, finish 5, rows");
  CHECK(d.to_vector() == ((x + 1) * 2).to_vector());
  CHECK(e.to_vector() == ((y + 1) * 2).to_vector());
}

TEST_CASE("collective: those that started first are finished first") {
  const AlwaysFused fused;
  const Tensor x = values({4}), y = values({5}), z = values({6});
  const Tensor a = all_reduce(x), b = all_reduce(y), c = all_reduce(z), d = b * 2;
  CHECK(kernels([&] { d.realize(); }) == "start 4, start 5, start 6, finish 4, finish 5, rows, finish 6");
}

TEST_CASE("collective: the time to plan many that nobody looks at grows as they do") {
  const Tensor x = values({4});
  const auto seconds_of = [&](int count) {
    double best = 1e9;
    for (int run = 0; run < 3; ++run) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < count; ++i) (void)all_reduce(x);
      realize(std::span<const Tensor>());
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
  };
  const double few = seconds_of(4000), many = seconds_of(32000);
  CHECK_MESSAGE(many < 24 * few, few, " s and ", many, " s");  // 8; 64 where each is compared with all others
}

TEST_CASE("collective: one needs another") {
  const AlwaysFused fused;
  const Tensor x = values({4}), a = all_reduce(x), b = broadcast(a), c = all_reduce(b + 1);
  CHECK(kernels([&] { c.realize(); }) == "start 4, finish 4, start 4, finish 4, rows, start 4, finish 4");
  CHECK(c.to_vector() == (x + 1).to_vector());
}

TEST_CASE("collective: its input is not written over while it is on its way, and may be read") {
  const AlwaysFused fused;
  Tensor p = values({8});
  const std::vector<float> before = p.to_vector();
  const Tensor a = all_reduce(p), read = p * 3;
  p.assign(p + 1);  // in place
  const std::string line = kernels([&] { realize(std::vector{read, a}); });
  CHECK_MESSAGE(line.ends_with("finish 8, rows"), line);
  CHECK(line.starts_with("start 8, "));
  CHECK(a.to_vector() == before);
  CHECK(p.to_vector() == (Tensor::from(before) + 1).to_vector());
}

TEST_CASE("collective: without overlap each is whole") {
  const Tensor x = values({4}), a = all_reduce(x), b = all_reduce(a);
  const ExecutionScope one_by_one({.fuse = true, .overlap = false});
  CHECK(kernels([&] { b.realize(); }) == "whole 4, whole 4");
}

TEST_CASE("collective: looked at or not, it runs once, with the next values and in its order") {
  const AlwaysFused fused;
  const Tensor x = values({4}), y = values({5}), z = values({6});
  const Tensor a = all_reduce(x);
  (void)all_reduce(y);
  CHECK(context.effects.size() == 2);
  CHECK(kernels([&] { (z + 1).realize(); }) == "start 4, start 5, rows, finish 4, finish 5");
  CHECK(context.effects.empty());
  CHECK(kernels([&] { (a + 1).realize(); }) == "rows");
  const Tensor b = all_reduce(x), c = all_reduce(y);
  CHECK(kernels([&] { c.realize(); }) == "start 4, start 5, finish 4, finish 5");
  CHECK(kernels([&] { b.realize(); }) == "");
}

TEST_CASE("collective: behind a long history, in the order of their making") {
  const AlwaysFused fused;
  const Tensor x = values({5}), y = values({6});
  Tensor deep = values({4});
  const std::vector<float> before = deep.to_vector();
  for (int i = 0; i < 20000; ++i) deep = -deep;
  const Tensor first = all_reduce(x), second = all_reduce(deep), third = all_reduce(y);
  const std::string line = kernels([&] { third.realize(); });
  const size_t a = line.find("whole 5"), b = line.find("whole 4"), c = line.find("start 6");
  CHECK(a < b);
  CHECK(b < c);
  CHECK(c != line.npos);
  CHECK(second.to_vector() == before);
}

TEST_CASE("collective: pending assignments do not change the order") {
  const AlwaysFused fused;
  Tensor p = values({4}), q = values({6});
  const Tensor x = values({5});
  const std::vector<float> was_p = p.to_vector(), was_q = q.to_vector();
  p.assign(p * 2);  // in place: what needs the new values comes late, where x could be first
  q.assign(q + 1);
  const Tensor a = all_reduce(p), b = all_reduce(x), c = all_reduce(q);
  CHECK(kernels([&] { b.realize(); }) == "rows, rows, start 4, start 5, start 6, finish 4, finish 5, finish 6");
  CHECK(a.to_vector() == (Tensor::from(was_p) * 2).to_vector());
  CHECK(b.to_vector() == x.to_vector());
  CHECK(c.to_vector() == (Tensor::from(was_q) + 1).to_vector());
}

TEST_CASE("collective: a Jit replays it, looked at or not") {
  for (const bool overlap : {true, false}) {
    const ExecutionScope mode({.fuse = true, .overlap = overlap});
    Tensor w = Tensor::ones({3}).realize();
    Jit step([&](const Tensor& x) {
      (void)all_reduce(x * 2);
      const Tensor sum = all_reduce(x + 1);
      w.assign(w + sum);
      return sum * 10;
    });
    for (int i = 0; i < 6; ++i) {
      const Tensor got = step(Tensor::full({3}, double(i)));
      CHECK(got.to_vector() == std::vector<float>(3, float(10 * (i + 1))));
    }
    CHECK(w.to_vector() == std::vector<float>(3, 22));
    CHECK_MESSAGE(step.replays() == 4, step.why());
    check_refused({{"Jit::save: the call makes an all_reduce; one process runs a program file",
                    [&] { step.save("/nowhere/step.teeny"); }}});
  }
}

TEST_CASE("collective: an Error forgets those that it left out") {
  const Tensor table = Tensor::ones({4}).contiguous().realize(), x = values({4});
  const Tensor a = all_reduce(x), bad = table.gather(0, Tensor::of<int64_t>({9})), b = all_reduce(bad);
  CHECK_THROWS_AS(a.realize(), Error);
  CHECK(context.effects.empty());
  CHECK(all_reduce(x * 2).to_vector() == (x * 2).to_vector());
  CHECK(a.to_vector() == x.to_vector());
  CHECK_THROWS_AS(b.realize(), Error);
}

TEST_CASE("collective: of no elements, and of one") {
  const Tensor none = all_reduce(Tensor::ones({0, 3})), one = all_reduce(Tensor(7));
  CHECK(none.to_vector().empty());
  CHECK(one.item() == 7);
}

TEST_CASE("queue: jobs run in their order, and each finish is of the oldest") {
  tinyops::ranks::JobQueue queue;
  std::vector<int> seen;
  for (int i = 0; i < 100; ++i)
    queue.start([&, i] {
      seen.push_back(i);
      if (i % 3 == 1) fail("job ", i);
    });
  for (int i = 0; i < 100; ++i) {
    if (i % 3 != 1) CHECK_NOTHROW(queue.finish());
    else CHECK_THROWS_WITH_AS(queue.finish(), text("job ", i).c_str(), Error);
  }
  CHECK(seen.size() == 100);
  CHECK(std::ranges::is_sorted(seen));
  CHECK_THROWS_AS(queue.finish(), std::logic_error);  // and does not wait for ever
}

TEST_CASE("queue: a job of one's own behind those that have started") {
  tinyops::ranks::JobQueue queue;
  int number = 0;
  queue.start([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    number = 1;
    fail("the first");
  });
  CHECK_THROWS_WITH_AS(queue.run([&] { fail("the second, after ", number); }), "the second, after 1", Error);
  CHECK_THROWS_WITH_AS(queue.finish(), "the first", Error);
}

TEST_CASE("queue: drained, the next finish is of the next job") {
  tinyops::ranks::JobQueue queue;
  int done = 0;
  for (int i = 0; i < 3; ++i)
    queue.start([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      ++done;
      fail("dropped");
    });
  queue.drain();
  CHECK(done == 3);
  queue.start([] { fail("the next"); });
  CHECK_THROWS_WITH_AS(queue.finish(), "the next", Error);
  queue.drain();
}

TEST_CASE("queue: it ends behind its last job, and any thread may run one") {
  std::atomic<int> done = 0;
  {
    tinyops::ranks::JobQueue queue;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) {
          int mine = 0;
          queue.run([&] { mine = t * 100 + i, ++done; });
          CHECK(mine == t * 100 + i);
        }
      });
    for (int i = 0; i < 50; ++i) queue.start([&] { ++done; });
    for (int i = 0; i < 20; ++i) queue.finish();
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(done == 250);
}
