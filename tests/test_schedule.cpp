// What becomes one kernel, by counting kernels; and that nothing runs too early, too late or too deep.
#include <doctest/doctest.h>

#include "always_fused.h"
#include "teeny/schedule/schedule.h"
#include "teeny/tensor/tensor.h"

using namespace teeny;

namespace {

/// How many kernels `f` runs.
template <class F>
int64_t kernels(F&& f) {
  const int64_t before = context.kernels;
  f();
  return context.kernels - before;
}

Tensor data(const Shape& shape) { return Tensor::rand(shape).realize(); }

}  // namespace

TEST_CASE("schedule: nothing runs before a value is read") {
  const Tensor x = data({4, 4});
  CHECK(kernels([&] {
          Tensor y = (x + 1).exp().sum(0);
          y = y.matmul(x).reshape({2, 2});
        }) == 0);
}

TEST_CASE("schedule: a chain is one kernel") {
  const AlwaysFused fused;
  const Tensor x = data({32, 8}), y = data({8});
  CHECK(kernels([&] {
          ((((((((((x + 1) * 2).exp() - y) / 3).tanh() + x) * y).sqrt() - 1).relu()).maximum(y))).realize();
        }) == 1);
  CHECK(kernels([&] { x.t().exp().flip(0).pad({1, 0}, {0, 2}).realize(); }) == 1);
  CHECK(kernels([&] { (x * 2).sum(1).realize(); }) == 1);
  CHECK(kernels([&] { ((x * 2).sum(1) + 1).realize(); }) == 1);
}

TEST_CASE("schedule: row kernels keep several reductions together") {
  const AlwaysFused fused;
  const Tensor x = data({32, 64});
  CHECK(kernels([&] { x.softmax().realize(); }) == 1);
  CHECK(kernels([&] { x.log_softmax().realize(); }) == 1);
  CHECK(kernels([&] { x.layernorm().realize(); }) == 1);
  CHECK(kernels([&] { x.var(1).realize(); }) == 1);
  const Tensor a = x.sum(1), b = x.square().sum(1);
  CHECK(kernels([&] { realize(std::vector<Tensor>{a, b}); }) == 1);
}

TEST_CASE("schedule: a row that does not fit is read again by other kernels") {
  const AlwaysFused fused;
  const Tensor x = data({2, tinyops::kMaxRow + 1});
  const int64_t count = kernels([&] { x.softmax().realize(); });
  CHECK(count > 1);
  CHECK(count <= 3);
}

TEST_CASE("schedule: what is shared and dear is computed once, what is cheap is not stored") {
  const AlwaysFused fused;
  const Tensor x = data({16, 16});
  const Tensor e = x.exp(), y = e + 1, z = e.t() * 2;
  CHECK(kernels([&] { realize(std::vector<Tensor>{y, z}); }) == 2);  // exp with y, then z, which reads it transposed
  const Tensor r = x * 2, p = r.t() + 1, q = r.t() + 2;
  CHECK(kernels([&] { realize(std::vector<Tensor>{p, q}); }) == 1);
}

TEST_CASE("schedule: an update of a parameter with its moments is one kernel, in place") {
  const AlwaysFused fused;
  Tensor p = data({64, 64}), m = data({64, 64}), v = data({64, 64});
  const Tensor g = data({64, 64}), lr = Tensor(0.1).contiguous().realize();
  auto step = [&] {
    m.assign(m * 0.9 + g * 0.1);
    v.assign(v * 0.99 + g * g * 0.01);
    p.assign(p - lr * m / (v.sqrt() + 1e-8));
  };
  step();
  CHECK(kernels([&] { p.realize(); }) == 1);
  const void* before = p.lazy().node()->buffer->data();
  const size_t live = tinyops::memory_use().live;
  tinyops::reset_peak();
  step();
  CHECK(kernels([&] { p.realize(); }) == 1);
  CHECK(p.lazy().node()->buffer->data() == before);
  CHECK(tinyops::memory_use().live == live);
  CHECK(tinyops::memory_use().peak == live);
}

TEST_CASE("schedule: a value a row is updated in place by the kernel that reduces the row") {
  const AlwaysFused fused;
  Tensor bias = data({64}), m = data({64});
  const Tensor grad = data({32, 64}), lr = Tensor(0.1).contiguous().realize();
  auto step = [&] {
    const Tensor g = (grad * 2).sum(0);
    m.assign(m * 0.9 + g);
    bias.assign(bias - lr * m);
  };
  step();
  realize(std::vector<Tensor>{bias, m});
  const std::vector<float> bias_before = bias.to_vector(), m_before = m.to_vector(), g = (grad * 2).sum(0).to_vector();
  const void *at = bias.lazy().node()->buffer->data(), *m_at = m.lazy().node()->buffer->data();
  step();
  CHECK(kernels([&] { realize(std::vector<Tensor>{bias, m}); }) == 1);
  CHECK(bias.lazy().node()->buffer->data() == at);
  CHECK(m.lazy().node()->buffer->data() == m_at);
  const std::vector<float> bias_after = bias.to_vector(), m_after = m.to_vector();
  for (size_t i = 0; i < 64; ++i) {
    CHECK(m_after[i] == doctest::Approx(m_before[i] * 0.9 + g[i]));
    CHECK(bias_after[i] == doctest::Approx(bias_before[i] - 0.1 * m_after[i]));
  }
}

TEST_CASE("schedule: assigning does not change the old values that others hold") {
  Tensor p = data({8});
  const std::vector<float> old = p.to_vector();
  const Tensor alias = p.detach(), later = p * 1;  // a second owner, and an unrealized reader
  p.assign(p + 1);
  p.realize();
  CHECK(alias.to_vector() == old);
  CHECK(later.to_vector() == old);
  CHECK(p.to_vector()[0] == old[0] + 1);
}

TEST_CASE("schedule: realizing anything computes what was assigned") {
  Tensor p = data({4});
  const Tensor x = data({3});
  p.assign(p * 2);
  CHECK(kernels([&] { (x + 1).realize(); }) == 2);
  CHECK(p.lazy().node()->realized());
  CHECK(kernels([&] { p.realize(); }) == 0);
}

TEST_CASE("schedule: cat writes each part in its place") {
  const Tensor x = data({4, 3}), y = data({4, 5});
  const std::vector<float> got = Tensor::cat({x * 2, y.flip(1)}, 1).to_vector(), a = x.to_vector(), b = y.to_vector();
  for (size_t i = 0; i < 4; ++i) {
    CHECK(got[i * 8] == a[i * 3] * 2);
    CHECK(got[i * 8 + 3] == b[i * 5 + 4]);
  }
}

TEST_CASE("schedule: a part that others read, too, is written to its place by the kernel that computes it") {
  const AlwaysFused fused;
  const Tensor x = data({4, 6}), y = data({4, 6});
  const auto check = [](const Tensor& all, const std::vector<Tensor>& others, std::vector<float> wanted,
                        int64_t count) {
    std::vector<Tensor> targets = others;
    targets.push_back(all);
    CHECK(kernels([&] { realize(targets); }) == count);
    CHECK(all.to_vector() == wanted);
  };
  const auto ordered = [](std::initializer_list<Tensor> parts) {
    std::vector<float> values;
    for (const Tensor& part : parts)
      for (float value : part.clone().to_vector()) values.push_back(value);
    return values;
  };
  const Tensor a = x.exp() + 1, b = y.exp() + 2, c = x.exp() + 1, d = y.exp() + 2;
  check(Tensor::cat({a, b}), {a, b}, ordered({c, d}), 2);
  CHECK(a.to_vector() == c.to_vector());
  const Tensor e = x.sin(), f = y.sin();  // one is read elsewhere, the other only here; and again in another order
  check(Tensor::stack({f, e, f}), {e}, ordered({y.sin(), x.sin(), y.sin()}), 2);
  const Tensor g = x.cos();
  const Tensor twice = Tensor::stack({g, g});
  check(Tensor::cat({twice, g.unsqueeze(0)}), {g, twice}, ordered({x.cos(), x.cos(), x.cos()}), 2);
  const Tensor turned = x.tanh();  // another order of its elements: copied
  check(Tensor::cat({turned.t(), y.t()}), {turned}, ordered({x.tanh().t(), y.t()}), 3);
  std::vector<Tensor> many;  // more than a kernel has outputs
  const Tensor h = x.exp();
  for (int i = 0; i < 12; ++i) many.push_back(h);
  CHECK(Tensor::stack(many).sum(0).allclose(h * 12));
  Tensor written = x.exp();
  const Tensor shown = Tensor::cat({written, y});
  written.set({0}, 5);  // after it was read
  check(shown, {written}, ordered({x.exp(), y}), 2);
}

TEST_CASE("schedule: a slice is written in place unless the rest is read elsewhere") {
  const AlwaysFused fused;
  Tensor x = data({64, 32});
  const Tensor row = data({32});
  const std::vector<float> old = x.to_vector(), put = row.to_vector();
  const void* before = x.lazy().node()->buffer->data();
  x.set({3}, row);
  CHECK(kernels([&] { x.realize(); }) == 1);
  CHECK(x.lazy().node()->buffer->data() == before);
  x.set({4}, x[4] * 2);  // it reads no more than what it writes
  CHECK(kernels([&] { x.realize(); }) == 1);
  CHECK(x.lazy().node()->buffer->data() == before);
  CHECK(x[3].to_vector() == put);
  CHECK(x[{4, 0}].item<float>() == old[4 * 32] * 2);
}

TEST_CASE("schedule: a slice that is still needed elsewhere is not written over") {
  Tensor x = data({4, 3});
  const std::vector<float> old = x.to_vector();
  const Tensor alias = x.detach(), later = x * 1, shifted = x[{slice({}, -1)}];
  x.set({slice(1)}, shifted);  // reads the row above the one it writes
  x.realize();
  CHECK(alias.to_vector() == old);
  CHECK(later.to_vector() == old);
  const std::vector<float> now = x.to_vector();
  for (size_t i = 3; i < 12; ++i) CHECK(now[i] == old[i - 3]);
  Tensor y = data({4, 3});
  const std::vector<float> values = y.to_vector();
  y.set({slice(1)}, y[{slice({}, -1)}]);  // the same with no other holder
  const std::vector<float> moved = y.to_vector();
  for (size_t i = 3; i < 12; ++i) CHECK(moved[i] == values[i - 3]);
}

TEST_CASE("schedule: a scalar that a product needs in memory stays one element") {
  const Tensor x = data({64, 64});
  tinyops::reset_peak();
  const size_t before = tinyops::memory_use().live;
  Tensor::ones({4096, 64}).matmul(x).sum(0).realize();
  const size_t totals_of_parts = tinyops::device_name().starts_with("cuda") ? 1 << 18 : 0;
  CHECK(tinyops::memory_use().peak - before <= 4 * (4096 * 64 + 64 + 1) + totals_of_parts);  // product, sums, scalar
}

TEST_CASE("schedule: limits are kept by cutting") {
  std::vector<Tensor> parts;
  for (int i = 0; i < 100; ++i) parts.push_back(data({7}));
  Tensor sum = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) sum = sum + parts[i] * 2;
  const LazyBuffer target = sum.lazy();
  for (const Step& step : schedule(std::span(&target, 1)))
    if (const auto* k = std::get_if<tinyops::RowKernel>(&step.kernel)) {
      CHECK(int(k->inputs.size()) <= tinyops::kMaxInputs);
      CHECK(int(k->outputs.size()) <= tinyops::kMaxOutputs);
      CHECK(int(k->program.size()) <= tinyops::kMaxInstructions);
    }
  double expected = 0;
  for (size_t i = 0; i < parts.size(); ++i) expected += parts[i].to_vector()[0] * (i ? 2 : 1);
  CHECK(sum.to_vector()[0] == doctest::Approx(expected));
}

TEST_CASE("schedule: a chain of a million operations runs, differentiates and dies on a small stack") {
  Tensor x = Tensor::of({1, 2}).requires_grad_();
  Tensor y = x;
  for (int i = 0; i < 1000000; ++i) y = y + 1;
  Tensor loss = y.sum();
  loss.backward();
  CHECK(loss.item() == 2000003);
  CHECK(x.grad().to_vector() == std::vector<float>{1, 1});
  Tensor unused = x;
  for (int i = 0; i < 1000000; ++i) unused = unused * 2;
}

TEST_CASE("schedule: a long history is right whatever its branches are") {
  const NoGrad guard;
  for (const int64_t reach : {1, 2, 7, 5000}) {  // how far back an operation looks
    std::vector<Tensor> values{Tensor::of<int64_t>({3, 50, 7}).realize()};
    std::vector<std::vector<int64_t>> want{{3, 50, 7}};
    for (int64_t i = 1; i < 20000; ++i) {
      const int64_t x = i - 1, y = std::max<int64_t>(0, i - 1 - i * 7919 % reach);
      const Tensor difference = values[size_t(x)] - values[size_t(y)];
      values.push_back(difference.maximum(-difference) + i % 5);
      if (i >= reach + 1) values[size_t(i - reach - 1)] = {};
      want.emplace_back();
      for (size_t k = 0; k < 3; ++k) want.back().push_back(std::abs(want[size_t(x)][k] - want[size_t(y)][k]) + i % 5);
    }
    CHECK((values.back() + values[values.size() - 2]).to_vector<int64_t>()[1] ==
        want.back()[1] + want[want.size() - 2][1]);
    CHECK(values.back().to_vector<int64_t>() == want.back());
  }
}

TEST_CASE("schedule: an error while running leaves the rest to be asked for again") {
  const Tensor table = data({5, 2}), bad = table.embedding(Tensor::of<int64_t>({1, 7}));
  const Tensor good = table + 1;
  CHECK_THROWS_AS(realize(std::vector<Tensor>{bad, good}), Error);
  CHECK_THROWS_AS(bad.realize(), Error);
  CHECK(good.to_vector()[0] == table.to_vector()[0] + 1);
}

TEST_CASE("schedule: unfused, each node is a kernel with a buffer of its own") {
  const Tensor x = data({4, 6}), y = data({6});
  const Tensor z = ((x + y).relu() * 2).sum(1);
  const LazyBuffer target = z.lazy();
  const std::vector<Step> steps = schedule_unfused(std::span(&target, 1));
  REQUIRE(steps.size() == 4);  // Add, Max, Mul, Sum: constants need no kernel
  for (const Step& step : steps) CHECK(step.results.size() == 1);
  const std::vector<float> fused = [&] {
    const ExecutionScope mode({.fuse = true});
    return ((x + y).relu() * 2).sum(1).to_vector();
  }();
  const ExecutionScope unfused({.fuse = false});
  CHECK(kernels([&] { z.realize(); }) == 4);
  CHECK(z.to_vector() == fused);
  // A view of a view that no single View describes is copied first, and so is a constant that a product reads.
  const Tensor turned = x.t().reshape({4, 6});
  CHECK(kernels([&] { (turned + 1).realize(); }) == 2);
  CHECK(kernels([&] { Tensor::ones({2, 4}).matmul(x).realize(); }) == 2);
}

TEST_CASE("schedule: the graph is the same after it was scheduled") {
  const Tensor x = data({4, 6});
  const Tensor y = (x.t().reshape({4, 6}) + 1).relu(), z = Tensor::ones({2, 4}).matmul(y);
  const auto sources = [&] {
    std::vector<std::pair<const Node*, size_t>> result;
    for (const Tensor& t : {y, z})
      for (const LazyBuffer& source : t.lazy().node()->sources)
        result.emplace_back(source.node().get(), source.views().views().size());
    return result;
  };
  const auto before = sources();
  const LazyBuffer target = z.lazy();
  CHECK(schedule_fused(std::span(&target, 1)).size() < schedule_unfused(std::span(&target, 1)).size());
  CHECK(sources() == before);
}
