// What happens when ranks do not agree, or one of them is gone: `mpirun -n 3 build/cpu-mpi-native/misuse WHAT`.
// tests/ranks.sh runs each, and knows how it ends.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "teeny/teeny.h"

using namespace teeny;

namespace {

Tensor bad_index() { return Tensor::ones({4}).contiguous().realize().gather(0, Tensor::of<int64_t>({9})); }

/// What a program goes on after, as if nothing had been.
template <class F>
void ignored(F&& f) {
  try {
    f();
  } catch (const Error& error) { std::fprintf(stderr, "ignored: %s\n", error.what()); }
}

/// Rank 1 does something else before the fifth call of a Jit.
void other_than_replayed(bool odd) {
  Tensor p = Tensor::ones({10}).realize();
  Jit step([&](const Tensor& x) {
    p.assign(p * 2);
    return dist::all_reduce(p + x);
  });
  for (int i = 0; i < 5; ++i) {
    if (i == 4 && odd) dist::all_reduce(Tensor::ones({3})).realize();
    step(Tensor::ones({10})).realize();
  }
}

/// A replay of rank 1 alone meets an Error before its collective.
void left_out_by_replay(bool odd) {
  const Tensor table = Tensor::ones({4}).contiguous().realize();
  Jit step([&](const Tensor& index) { return dist::all_reduce(table.gather(0, index).expand({1000})); });
  for (int i = 0; i < 5; ++i)
    ignored([&] { step(Tensor::of<int64_t>({odd && i == 4 ? 9 : 1}).contiguous()).realize(); });
}

/// Made before the ranks are, and gone after them.
struct Late {
  Tensor* x = nullptr;
  ~Late() {
    if (x) ignored([&] { dist::all_reduce(*x).realize(); });
  }
} late;

}  // namespace

int main(int, char** argv) try {
  const std::string what = argv[1] ? argv[1] : "";
  if (what == "unasked") {  // a program that never asks for its rank is none, whoever launched it
    std::printf("ranks: %g\n", Tensor::ones({1}).sum().item());
    return 0;
  }
  const int r = dist::rank(), n = dist::world();
  const bool odd = r == 1;  // the one that does something else
  Tensor x = Tensor::full({1000}, double(r)).contiguous().realize();
  dist::all_reduce(x).realize();
  const auto all_together = [&] { return dist::all_reduce(x).sum().item(); };

  const std::map<std::string, std::function<void()>> cases = {
      // Another way through the program
      {"count", [&] { x = x[{slice(0, odd ? 600 : 500)}]; }},
      {"dtype", [&] { x = odd ? x.cast(DType::Float64) : x; }},
      {"shape", [&] { x = odd ? x.reshape({10, 100}) : x.reshape({100, 10}); }},
      {"kind", [&] { (void)(odd ? dist::all_gather(x) : dist::all_reduce(x)).realize(); }},
      {"bools", [&] { (void)dist::all_reduce(x.cast(odd ? DType::Bool : DType::UInt8)).realize(); }},
      {"number",
       [&] {
         if (r == 0) std::printf("%f\n", dist::all_reduce(x.sum()).item());
       }},
      {"broadcast",
       [&] {
         if (r == 0) dist::broadcast({{"x", x}});
       }},
      {"split",
       [&] {
         if (odd) (void)dist::Group().split(0);
       }},
      {"subgroup",
       [&] {
         const dist::Group pair = dist::Group().split(r / 2);
         if (r < 2) (void)dist::all_reduce(odd ? x : x * x.sum(), pair).realize();
         if (r < 2) (void)dist::all_reduce(odd ? x : x[{slice(0, 7)}], pair).realize();
       }},
      {"pair",
       [&] {  // both end, and rank 0 waits for one of them
         const dist::Group pair = dist::Group().split(r / 2);
         if (r > 0) std::exit(0);
         dist::all_reduce(x, pair).realize();
       }},
      {"waits",
       [&] {
         const dist::Group twin = dist::Group().split(0);
         (void)(odd ? dist::all_reduce(x, twin) : dist::all_reduce(x)).realize();
       }},
      {"replay", [&] { other_than_replayed(odd); }},
      {"replay_alone", [&] { left_out_by_replay(odd); }},
      // An Error, an end
      {"error",
       [&] {
         if (odd) fail("rank 1 does not like this");
       }},
      {"uncaught",
       [&] {
         if (odd) throw 7;
       }},
      {"return",
       [&] {
         if (odd) std::exit(0);
       }},
      {"exit",
       [&] {
         if (odd) std::exit(3);
       }},
      {"exit256",
       [&] {
         if (odd) std::exit(256);
       }},
      {"_exit",
       [&] {
         if (odd) _exit(0);
       }},
      {"kill",
       [&] {
         if (odd) raise(SIGKILL);
       }},
      {"stop",
       [&] {
         if (odd) raise(SIGSTOP);
       }},
      {"jit",
       [&] {
         Jit step([&](const Tensor& y) {
           if (odd) std::exit(4);
           return dist::all_reduce(y);
         });
         step(x).realize();
       }},
      {"thread",
       [&] {
         if (!odd) return (void)sleep(60);  // nobody comes, for longer than the limit
         std::thread([] { sleep(1), std::exit(5); }).detach();
       }},
      {"ignored",
       [&] {
         x = x[{slice(0, 500 + 100 * r)}];
         for (int i = 0; i < 3; ++i) ignored(all_together);
         std::exit(0);
       }},
      {"alone",
       [&] {  // an Error of one rank leaves a collective out; what comes next is as large
         const Tensor index = Tensor::of<int64_t>({odd ? 9 : 1}), table = Tensor::ones({4}).contiguous().realize();
         const Tensor y = table.gather(0, index).expand({1000});
         ignored([&] { (void)dist::all_reduce(y).realize(); });
       }},
      {"memory",
       [&] {
         const Tensor y = Tensor::ones({odd ? int64_t(1) << 46 : 4}).contiguous();
         ignored([&] { (void)dist::all_reduce(y[{slice(0, 4)}]).realize(); });
       }},
      // What is well
      {"slow",
       [&] {
         if (odd) sleep(2);
       }},
      {"read",
       [&] {
         const Tensor y = dist::all_reduce(x * 2);
         if (r == 0) std::printf("%f\n", x.sum().item());
       }},
      {"last",
       [&] {  // of which rank 0 alone reads the value
         const Tensor y = dist::all_reduce(x * 2);
         if (r == 0 && y.sum().item() == 1000. * n * (n - 1)) std::printf("ranks: %d\n", n);
         std::exit(0);
       }},
      {"order",
       [&] {
         const Tensor a = dist::all_reduce(x + 1), b = dist::all_reduce(x * 10);
         const double q = r == 0 ? b.mean().item() : 0, p = a.mean().item(), s = r == 0 ? q : b.mean().item();
         if (p != n * (n + 1) / 2. || s != n * (n - 1) * 5.) std::printf("rank %d: %g and %g\n", r, p, s), std::exit(1);
       }},
      {"fork",
       [&] {  // the children end as processes do, and are no ranks
         if (fork() == 0) {
           if (odd) ignored([&] { dist::all_reduce(x).realize(); });
           std::exit(r == 0 ? 3 : 0);
         }
         int status = 0;
         wait(&status);
         if (WEXITSTATUS(status) != (r == 0 ? 3 : 0)) fail("the child ended with ", status);
       }},
      {"late", [&] { late.x = new Tensor(x); }},
      {"together",
       [&] {  // an Error on all
         ignored([&] {
           const Tensor a = dist::all_reduce(x), b = bad_index();
           realize(std::vector{b, a});
         });
       }},
      {"", [] {}},
  };
  const auto found = cases.find(what);
  if (found == cases.end()) fail("misuse: no case ", what);
  found->second();
  const double sum = all_together();
  if (sum != 500. * n * (n - 1)) fail("a sum of ", sum);
  if (r == 0) std::printf("ranks: %d\n", n);
} catch (const std::exception& error) {
  std::fprintf(stderr, "Error: %s\n", error.what());
  return 1;
}
