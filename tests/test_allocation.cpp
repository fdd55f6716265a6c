// When memory ends: the n-th allocation of a save, of a load, of a training step and of a walk back fails, for every n.
// Each of them has then done all that it promises, or nothing.
#include <doctest/doctest.h>

#include <malloc.h>

#include <cstdlib>
#include <functional>
#include <new>

#include "small_nets.h"
#include "state_helpers.h"
#include "teeny/teeny.h"
#include "teeny/tensor/function.h"
#include "temporary_directory.h"

using namespace teeny;

/// Of this thread: how many allocations succeed before one fails; below zero none does.
static thread_local int64_t left = -1;
/// Of this thread: how many there were, and the bytes that are not given back.
static thread_local int64_t allocations = 0, held = 0;

// All of them, since a sanitizer brings its own for those that are missing, and finds that they do not fit each other.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  void* memory = left >= 0 && left-- == 0 ? nullptr : std::malloc(size);
  held += int64_t(malloc_usable_size(memory));
  return memory;
}
void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return operator new(size, std::nothrow); }
void operator delete(void* memory) noexcept {
  held -= int64_t(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete[](void* memory, size_t) noexcept { operator delete(memory); }

namespace {

/// Calls `f` with its first allocation failing, its second, .. until none fails. `failed` looks at what a call that
/// threw has left, and `undo` makes what it was where a call could do without the memory. Returns how many calls there
/// were.
int64_t fail_each(const std::function<void()>& f, const std::function<void()>& failed,
                  const std::function<void()>& undo) {
  for (int64_t n = 0;; ++n) {
    left = n;
    bool done = false;
    try {
      f();
      done = true;
    } catch (const std::bad_alloc&) {
    } catch (const Error&) {}
    const bool none_failed = std::exchange(left, -1) >= 0;
    INFO("allocation ", n);
    if (done && none_failed) return n;
    if (done) undo();
    else failed();
  }
}

struct Mlp {
  nn::Linear in{6, 4}, out{4, 3};
  Tensor operator()(const Tensor& x) const { return out(in(x).relu()); }
  TEENY_STATE(in, out)
};

/// A training of a few steps.
struct Run : test::Trained<Mlp, optim::Adam> {
  data::DataLoader loader;

  explicit Run(uint64_t seed)
      : loader(Tensor::ones({12, 6}), Tensor::arange(12) % 3, {.batch_size = 4, .shuffle = true, .seed = seed}) {}
  void train(int64_t steps) {
    while (steps > 0)
      for (auto [x, y] : loader) {
        step(x + Tensor::rand(x.shape()), y);
        if (--steps == 0) break;
      }
    realize();
  }
  /// A copy that later assignments do not change.
  nn::StateDict snapshot() const {
    nn::StateDict copy = state();
    for (auto& [name, tensor] : copy) tensor = Tensor::from_bytes(tensor.to_bytes(), tensor.dtype(), tensor.shape());
    return copy;
  }
};

}  // namespace

TEST_CASE("allocation: a save writes the whole file or leaves the old one, whichever allocation fails") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  Run run(3);
  run.train(2);
  io::save_checkpoint(path, run.net, run.optimizer, run.loader);
  const std::string before = contents(path);
  run.train(2);
  const nn::StateDict state = run.snapshot();
  const int64_t failures = fail_each([&] { io::save_checkpoint(path, run.net, run.optimizer, run.loader); },
                                     [&] {
                                       CHECK(contents(path) == before);
                                       CHECK(directory.files() == 1);
                                       CHECK(same_bits(run.state(), state));
                                     },
                                     [&] { directory.write("run.safetensors", before); });
  CHECK(failures > 100);
  io::load_checkpoint(path, run.net, run.optimizer, run.loader);
  CHECK(same_bits(run.state(), state));
}

TEST_CASE("allocation: a load changes everything or nothing, whichever allocation fails") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  Run saved(3), run(4);
  saved.train(3);
  io::save_checkpoint(path, saved.net, saved.optimizer, saved.loader);
  run.train(4);
  const nn::StateDict before = run.snapshot();
  const auto random = Tensor::random_state();
  const data::Position position = run.loader.position();
  const int64_t failures = fail_each([&] { io::load_checkpoint(path, run.net, run.optimizer, run.loader); },
                                     [&] {
                                       CHECK(same_bits(run.state(), before));
                                       CHECK(Tensor::random_state() == random);
                                       CHECK(run.loader.position() == position);
                                     },
                                     [&] { FAIL("a load that does without memory"); });
  CHECK(failures > 100);
  CHECK(same_bits(run.state(), saved.state()));
  CHECK(run.loader.position() == saved.loader.position());
}

namespace {

using Trained = test::Trained<test::TokenNet, optim::Adam>;

/// Every `stride`-th allocation of `f` fails, alone, until none is left; of `rounds` times `f` is done. `f` changes
/// `trained`, and without a failure does to its twin what `same` does. Returns how many allocations failed.
int64_t done_or_not(int rounds, int64_t stride, const Trained& trained, const Trained& twin,
                    const std::function<void()>& f, const std::function<void()>& same) {
  int64_t failures = 0;
  for (int64_t n = 0, round = 0; round < rounds; n += stride) {
    INFO("allocation ", n, " of round ", round);
    const auto everything = [](const Trained& x) { return std::pair(x.bytes(), x.gradients()); };
    const auto before = everything(trained);
    const auto random = Tensor::random_state();
    bool thrown = false;
    left = n;
    try {
      f();
    } catch (const std::exception&) { thrown = true; }
    const bool none_failed = std::exchange(left, -1) >= 0;
    REQUIRE_FALSE((thrown && none_failed));
    failures += !none_failed;
    const auto after = everything(trained);
    const auto random_after = Tensor::random_state();
    if (thrown && after == before) {
      REQUIRE(random_after == random);
      continue;
    }
    Tensor::set_random_state(random.first, random.second);
    same();
    REQUIRE(Tensor::random_state() == random_after);
    REQUIRE(after == everything(twin));
    if (none_failed) n = -stride, ++round;
  }
  return failures;
}

void training_without_memory(int64_t stride) {
  Training mode;
  Trained trained, twin;
  trained.realize(), twin.realize();
  const Tensor x = Tensor::of<int64_t>({0, 3, 4, 1}).realize(), y = Tensor::of<int64_t>({2, 0, 1, 1}).realize();
  Jit step([&](Tensor tokens, Tensor classes) { return trained.step(tokens, classes); });
  int64_t failures = done_or_not(
      4, stride, trained, twin, [&] { step(x, y); }, [&] { twin.step(x, y), twin.realize(); });
  CHECK(step.replays() >= 2);
  failures += done_or_not(
      2, stride, trained, twin, [&] { trained.optimizer.step(), trained.realize(); },
      [&] { twin.optimizer.step(), twin.realize(); });
  Tensor loss = trained.net(x).cross_entropy(y);
  const auto grads = [&] {
    std::vector<const void*> all;
    for (const Tensor& p : nn::parameters(trained.net)) all.push_back(teeny::detail::TensorAccess::id(p.grad()));
    return all;
  };
  const std::vector<const void*> before = grads();
  const auto unchanged = [&] { CHECK((grads() == before && loss.requires_grad())); };
  failures += fail_each([&] { loss.backward(); }, unchanged, [] { FAIL("a walk back that does without memory"); });
  CHECK(grads() != before);
  CHECK_MESSAGE(failures > 100, failures, " allocations failed");
}

}  // namespace

TEST_CASE("allocation: a step of a training is done or not done, whichever allocation fails") {
  training_without_memory(41);
}
TEST_CASE("allocation: a step of a training is done or not done, whichever allocation fails, each of them [train]") {
  training_without_memory(1);
}

TEST_CASE("allocation: an operation of a long history takes at most a thousand bytes, and destroying it none") {
  const Tensor w = Tensor::rand({3, 4}).realize().requires_grad_();
  using Operation = Tensor (*)(const Tensor& x, const Tensor& w);
  constexpr int kOperations = 1000;
  for (const Operation operation : std::initializer_list<Operation>{
           [](const Tensor& x, const Tensor&) { return x * 0.999; },
           [](const Tensor& x, const Tensor&) { return x + 1; },
           [](const Tensor& x, const Tensor& w) { return x * w; },
           [](const Tensor& x, const Tensor&) { return x.tanh(); },
           [](const Tensor& x, const Tensor& w) { return x.maximum(w); },
           [](const Tensor& x, const Tensor&) { return x.exp(); }}) {
    Tensor x = w;
    const int64_t before = held;
    for (int i = 0; i < kOperations; ++i) x = operation(x, w);
    CHECK((held - before) / kOperations <= 1000);
    const int64_t count = allocations;
    left = 0;
    x = Tensor();
    left = -1;
    CHECK(allocations == count);
  }
}
