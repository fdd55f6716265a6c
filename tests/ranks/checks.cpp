// Every collective against the arithmetic of one process, on any number of ranks: in every dtype, of every kind of
// tensor, with its gradients, in whatever order ranks look at results, in every way of running, and after Errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "../check.h"
#include "../check_refused.h"
#include "teeny/graph/context.h"
#include "teeny/teeny.h"
#include "tinyops/base/float16.h"
#include "tinyops/base/hash.h"
#include "tinyops/ranks.h"

using namespace teeny;
using test::difference;

namespace {

constexpr DType kAll[] = {DType::Float32, DType::Float64, DType::Float16, DType::BFloat16,
                          DType::Int32,   DType::Int64,   DType::UInt8,   DType::Bool};

/// What a rank has: small integers, so that sums are exact in every dtype.
Tensor of_rank(int rank, const Shape& shape, DType dtype = DType::Float32) {
  std::vector<double> values(size_t(numel(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = double((i * 7 + size_t(rank) * 5) % 11);
  return Tensor::from(values, shape).cast(dtype).realize();
}
std::vector<Tensor> of_all(const Shape& shape, DType dtype = DType::Float32) {
  std::vector<Tensor> all;
  for (int i = 0; i < dist::world(); ++i) all.push_back(of_rank(i, shape, dtype));
  return all;
}
Tensor sum_of(const std::vector<Tensor>& all) {
  const DType dtype = all[0].dtype(), wide = dtype == DType::Bool ? dtype : DType::Float64;
  Tensor sum = all[0].cast(wide);
  for (size_t i = 1; i < all.size(); ++i) sum = dtype == DType::Bool ? sum.maximum(all[i]) : sum + all[i].cast(wide);
  return sum.cast(dtype);
}
/// This rank's of as many equal parts along axis 0.
Tensor part_of(const Tensor& x) {
  const int64_t rows = x.shape()[0] / dist::world(), first = rows * dist::rank();
  return x[{slice(first, first + rows)}];
}
Tensor leaf(const Tensor& x) { return x.detach().clone().realize().requires_grad_(); }

/// Of all bits of all tensors.
int64_t hash(std::span<const Tensor> xs) {
  uint64_t result = 0;
  for (const Tensor& x : xs) result = result * 31 + tinyops::xxh64(x.to_bytes());
  return int64_t(result);
}
bool same_on_all(int64_t value) {
  const auto all = dist::all_gather(Tensor::of<int64_t>({value})).to_vector<int64_t>();
  return std::ranges::count(all, value) == dist::world();
}

#define SAME(got, want) CHECK(difference(got, want) == "")

int64_t collectives() { return tinyops::ranks::traffic().collectives; }

}  // namespace

TEST_CASE("ranks: every collective, in every dtype and shape") {
  const int n = dist::world(), r = dist::rank();
  for (const DType dtype : kAll) {
    CAPTURE(dtype);
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{0}, Shape{3, 0}, Shape{5}, Shape{4 * n, 3}, Shape{2, 1, 3}}) {
      CAPTURE(shape);
      const std::vector<Tensor> all = of_all(shape, dtype);
      SAME(dist::all_reduce(all[size_t(r)]), sum_of(all));
      if (!shape.empty()) SAME(dist::all_gather(all[size_t(r)]), n == 1 ? all[0] : Tensor::cat(all));
      Tensor mine = all[size_t(r)].clone();
      dist::broadcast({{"x", mine}});
      SAME(mine, all[0]);
    }
    for (const Shape& shape : {Shape{n}, Shape{0}, Shape{n, 0}, Shape{2 * n, 3}, Shape{3 * n, 1, 2}}) {
      CAPTURE(shape);
      const std::vector<Tensor> all = of_all(shape, dtype);
      SAME(dist::reduce_scatter(all[size_t(r)]), part_of(sum_of(all)));
      SAME(dist::shard(all[0]), part_of(all[0]));
    }
  }
  const Tensor x = of_rank(0, {3, 2, 2 * n});
  SAME(dist::shard(x, 2), x.split(2, 2)[size_t(r)]);
  SAME(dist::shard(x, -1), x.split(2, 2)[size_t(r)]);
}

namespace {

/// Every value that a sum can have, one addition after the other, whatever the order.
template <class T>
std::set<float> possible_sums(std::span<const float> terms) {
  if (terms.size() == 1) return {terms[0]};
  std::set<float> sums;
  for (unsigned some = 1; some + 1 < 1u << terms.size(); ++some) {
    std::vector<float> a, b;
    for (size_t i = 0; i < terms.size(); ++i) (some >> i & 1 ? a : b).push_back(terms[i]);
    for (const float x : possible_sums<T>(a))
      for (const float y : possible_sums<T>(b)) sums.insert(float(T(x + y)));
  }
  return sums;
}

template <class T>
void check_rounding(DType dtype) {
  std::vector<std::vector<float>> all;
  for (int i = 0; i < dist::world(); ++i) {
    Tensor::manual_seed(uint64_t(i) + 40);
    all.push_back((Tensor::randn({500}) * Tensor::of({0.1, 1, 3, 100, 2000}).repeat({100})).cast(dtype).to_vector());
  }
  const Tensor mine = Tensor::from(all[size_t(dist::rank())]).cast(dtype);
  const Tensor sums = dist::all_reduce(mine);
  CHECK(sums.dtype() == dtype);
  const std::vector<float> got = sums.to_vector();
  size_t wrong = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    std::vector<float> terms;
    for (const auto& values : all) terms.push_back(values[i]);
    wrong += !possible_sums<T>(terms).contains(got[i]);
  }
  CHECK(wrong == 0);
  CHECK(same_on_all(hash(std::vector{sums})));
}

}  // namespace

TEST_CASE("ranks: sums of 16 bits are rounded once an addition, and the same on all") {
  check_rounding<tinyops::float16>(DType::Float16);
  check_rounding<tinyops::bfloat16>(DType::BFloat16);
  // Beyond the largest, and beside a NaN.
  const double ranks = dist::world();
  const auto sum = dist::all_reduce(Tensor::of({60000, NAN, INFINITY}).cast(DType::Float16)).to_vector();
  CHECK(sum[0] == (ranks > 1 ? INFINITY : 60000));
  CHECK(std::isnan(sum[1]));
  CHECK(sum[2] == INFINITY);
}

TEST_CASE("ranks: of views, constants and what is not computed yet") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  const std::vector<Tensor> all = of_all({4 * n, 3});
  const Tensor mine = all[r], sum = sum_of(all);
  SAME(dist::all_reduce(mine.t()), sum.t());
  SAME(dist::all_reduce(mine.flip(0)), sum.flip(0));
  SAME(dist::all_reduce(mine[{slice(1, 4 * n, 2)}]), sum[{slice(1, 4 * n, 2)}]);
  SAME(dist::all_reduce(mine.pad({1, 0}, {0, 2})), sum.pad({1, 0}, {0, 2}));
  SAME(dist::all_reduce(mine.sum(0).expand({5, 3})), sum.sum(0).expand({5, 3}));
  SAME(
      dist::all_reduce(mine.square().sum(1)), sum_of(of_all({4 * n, 3})).zeros_like().sum(1) + [&] {
        Tensor total = Tensor::zeros({4 * n});
        for (const Tensor& x : all) total = total + x.square().sum(1);
        return total;
      }());
  SAME(dist::all_reduce(Tensor::ones({3})), Tensor::full({3}, n).cast(DType::Float32));
  SAME(dist::all_reduce(Tensor::arange(5)), Tensor::arange(5) * n);
  SAME(dist::all_reduce(Tensor::of<int64_t>({int64_t(r), int64_t(1) << 60})),
       Tensor::of<int64_t>({int64_t(n) * (n - 1) / 2, (int64_t(1) << 60) * n}));
  SAME(dist::all_gather(mine.t()), [&] {
    std::vector<Tensor> turned;
    for (const Tensor& x : all) turned.push_back(x.t());
    return n == 1 ? turned[0].contiguous() : Tensor::cat(turned);
  }());
  SAME(dist::reduce_scatter(mine.flip(1)), part_of(sum.flip(1)));
  // Of each other, and twice of the same.
  SAME(dist::all_reduce(dist::all_reduce(mine) + 1), (sum + 1) * n);
  SAME(dist::all_gather(dist::reduce_scatter(mine)), sum);
  const Tensor once = dist::all_reduce(mine), again = dist::all_reduce(mine);
  SAME(once + again, sum * 2);
  SAME(once.t(), sum.t());
  const Tensor parts = dist::reduce_scatter(mine);  // an input that is read later, too
  SAME(mine * 2, all[r] * 2);
  SAME(parts, part_of(sum));
}

TEST_CASE("ranks: a million elements, the same bits on all ranks") {
  for (const DType dtype : {DType::Float32, DType::Float64, DType::BFloat16}) {
    CAPTURE(dtype);
    std::vector<Tensor> all;
    for (int i = 0; i < dist::world(); ++i) {
      Tensor::manual_seed(uint64_t(i));
      all.push_back(Tensor::randn({(1 << 20) + 3}).cast(dtype).realize());
    }
    const Tensor sum = dist::all_reduce(all[size_t(dist::rank())]);
    const double most = (sum.cast(DType::Float64) - sum_of(all).cast(DType::Float64)).abs().max().item();
    CHECK(most <= (dtype == DType::Float64 ? 1e-14 : dtype == DType::Float32 ? 2e-6 : 0.13));
    CHECK(same_on_all(hash(std::vector{sum})));
  }
}

TEST_CASE("ranks: gradients") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  const std::vector<Tensor> all = of_all({4 * n, 3});
  const Tensor sum = sum_of(all), w = of_rank(7, {4 * n, 3}), v = of_rank(9, {4 * n, 3});
  {  // what follows is the same on all ranks: it passes through; of the second order, too
    const Tensor x = leaf(all[r]);
    const Tensor y = dist::all_reduce(x);
    const Tensor g = gradient((y.square() * y * w).sum(), {x})[0];
    SAME(g, 3 * sum.square() * w);
    SAME(gradient((g * v).sum(), {x})[0], 6 * sum * w * v);
  }
  {
    const Tensor x = leaf(all[r]);
    const Tensor y = dist::sum_gradients(x * 1) * int64_t(r + 1);
    SAME(y, all[r] * int64_t(r + 1));
    const Tensor g = gradient((y * y * w).sum(), {x})[0];
    Tensor want = Tensor::zeros({4 * n, 3});
    for (int i = 0; i < n; ++i) want = want + 2 * double((i + 1) * (i + 1)) * all[size_t(i)] * w;
    SAME(g, want);
  }
  {
    const Tensor x = leaf(all[r][{slice(0, 4)}]), y = dist::all_gather(x);
    const Tensor g = gradient((y.square() * y * w).sum(), {x})[0];
    std::vector<Tensor> parts;
    for (const Tensor& one : all) parts.push_back(one[{slice(0, 4)}]);
    const Tensor whole = n == 1 ? parts[0].contiguous() : Tensor::cat(parts);
    SAME(g, part_of(3 * whole.square() * w));
    SAME(gradient((g * part_of(v)).sum(), {x})[0], part_of(6 * whole * w * v));
  }
  {
    const Tensor x = leaf(all[r]), y = dist::reduce_scatter(x);
    const Tensor loss = dist::all_reduce((y.square() * part_of(w)).sum());
    SAME(gradient(loss, {x})[0], 2 * sum * w);
  }
  {  // a loss of each rank's own, of which the sum is meant
    const Tensor x = leaf(all[r]);
    const Tensor y = dist::sum_gradients(dist::all_reduce(x)) * double(r + 1);
    SAME(gradient((y * w).sum(), {x})[0], w * (n * (n + 1) / 2.0));
  }
  Tensor x = leaf(all[r]);  // backward, and what needs no gradient
  (dist::all_reduce(x) * w).sum().backward();
  SAME(x.grad(), w);
  CHECK(!dist::all_reduce(all[r]).requires_grad());
  {
    const NoGrad guard;
    CHECK(!dist::all_reduce(x).requires_grad());
    SAME(dist::all_reduce(x), sum);
  }
}

TEST_CASE("ranks: batch norm over all ranks is that of the whole batch") {
  const int64_t n = dist::world();
  Tensor::manual_seed(11);
  const Tensor whole = leaf(Tensor::randn({4 * n, 3})), w = Tensor::randn({4 * n, 3}).realize();
  const Tensor d = whole - whole.mean(0, true);
  (d * (d.square().mean(0, true) + 1e-5).rsqrt() * w).sum().backward();
  const Tensor mine = leaf(part_of(whole.detach()));
  const auto mean = [&](const Tensor& t) { return dist::sum_gradients(dist::all_reduce(t.mean(0, true))) / double(n); };
  const Tensor c = mine - mean(mine);
  (c * (mean(c.square()) + 1e-5).rsqrt() * part_of(w)).sum().backward();
  CHECK((mine.grad() - part_of(whole.grad())).abs().max().item() < 1e-5);
}

TEST_CASE("ranks: they look at results in different orders") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  const std::vector<Tensor> all = of_all({1000});
  const Tensor sum = sum_of(all);
  {
    const Tensor a = dist::all_reduce(all[r]), b = dist::all_reduce(all[r] * 10);
    if (r == 0) SAME(b, sum * 10);
    SAME(a, sum);
    SAME(b, sum * 10);
  }
  std::mt19937 random(unsigned(r) + 1);  // another order on each rank
  for (int round = 0; round < 20; ++round) {
    std::vector<Tensor> got;
    for (int k = 0; k < 8; ++k) got.push_back(k % 3 == 2 ? dist::all_gather(all[r] * k) : dist::all_reduce(all[r] * k));
    std::vector<int> order(got.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, random);
    order.resize(random() % 9);  // and not all of them
    for (const int k : order) {
      CAPTURE(k);
      SAME(got[size_t(k)], k % 3 != 2 ? sum * k : n == 1 ? all[0] * k : Tensor::cat(all) * k);
    }
  }
}

TEST_CASE("ranks: a collective that nobody looks at runs with the next value") {
  const size_t r = size_t(dist::rank());
  if (dist::world() == 1) return;
  const Tensor x = of_rank(int(r), {100});
  const int64_t before = collectives();
  { const Tensor gone = dist::all_reduce(x * 2); }
  (void)dist::all_reduce(x * 3);
  CHECK(collectives() == before);
  CHECK(context.effects.size() == 2);
  if (r == 0) x.sum().item();  // rank 0 alone looks at something
  const Tensor sum = dist::all_reduce(x);
  SAME(sum, sum_of(of_all({100})));
  CHECK(context.effects.empty());
  CHECK(collectives() == before + 3);
  (void)dist::all_reduce(x);
  realize(std::span<const Tensor>());
  CHECK(collectives() == before + 4);
}

namespace {

/// A step with collectives before and after each other, kernels between them, and parameters.
std::vector<Tensor> some_steps(bool jit) {
  const int r = dist::rank();
  Tensor::manual_seed(3);
  Tensor w = Tensor::randn({6, 40}).realize(), m = Tensor::zeros({6, 40}).realize();
  const auto step = [&](const Tensor& x) {
    const NoGrad guard;
    const Tensor h = x.matmul(w).tanh();
    const Tensor g = x.t().matmul(h), sum = dist::all_reduce(g), other = dist::all_gather(h.sum(0).unsqueeze(0));
    const Tensor y = (h * h).sum(1), z = dist::all_reduce(y.exp());
    m.assign(m * 0.5 + sum);
    w.assign(w - 0.001 * m - 0.001 * other.mean(0));
    return std::pair(z, dist::all_reduce(w.sum()));
  };
  Jit compiled(step);
  std::vector<Tensor> results;
  for (int i = 0; i < 6; ++i) {
    Tensor::manual_seed(uint64_t(100 * i + r));
    const Tensor x = Tensor::randn({8, 6}).realize();
    const auto [a, b] = jit ? compiled(x) : step(x);
    results.insert(results.end(), {a.clone().realize(), b.clone().realize()});
  }
  if (jit) CHECK_MESSAGE(compiled.replays() == 4, compiled.why());
  results.insert(results.end(), {w, m});
  return results;
}

}  // namespace

TEST_CASE("ranks: the same in every way of running") {
  const std::vector<Tensor> want = some_steps(false);
  const int64_t bits = hash(want);
  const auto differs = [&](bool jit) {
    const std::vector<Tensor> got = some_steps(jit);
    double most = 0;
    for (size_t i = 0; i < got.size(); ++i)
      most = std::max(most, (got[i] - want[i]).abs().max().item() / (1 + want[i].abs().max().item()));
    return std::pair(most, hash(got) == bits);
  };
  CHECK(same_on_all(hash(std::span(want).subspan(want.size() - 2))));
  CHECK(differs(true).second);
  {
    const ExecutionScope one_by_one({.overlap = false});
    CHECK(differs(false).second);
    CHECK(differs(true).second);
  }
  {
    const ExecutionScope unfused({.fuse = false});
    CHECK(differs(false).first < 1e-5);
    CHECK(differs(true).first < 1e-5);
  }
  {
    const ExecutionScope reference({.run = tinyops::reference::check});
    CHECK(differs(false).first < 1e-5);
    CHECK(differs(true).first < 1e-5);
  }
  {
    const ExecutionScope reference({.fuse = false, .overlap = false, .run = tinyops::reference::check});
    CHECK(differs(false).first < 1e-5);
  }
}

TEST_CASE("ranks: a Jit replays collectives that the call does not return") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  Tensor total = Tensor::zeros({3}).realize();
  Jit step([&](const Tensor& x) {
    const NoGrad guard;
    (void)dist::all_reduce(x * 2);  // looked at by nobody
    total.assign(total + dist::all_reduce(x));
  });
  double want = 0;
  for (int i = 0; i < 6; ++i) {
    const int64_t before = collectives();
    step(Tensor::full({3}, double(i + 1) * double(r + 1)));
    total.realize();
    want += (i + 1) * n * (n + 1) / 2.0;
    SAME(total, Tensor::full({3}, want));
    if (n > 1) CHECK(collectives() == before + 2);
  }
  CHECK_MESSAGE(step.replays() == 4, step.why());
  if (n == 1) return;
  // Made before the call, and not computed yet: it comes first.
  const Tensor before = dist::all_reduce(Tensor::full({3}, 10.0 * double(r)));
  step(Tensor::full({3}, double(r + 1)));
  SAME(before, Tensor::full({3}, 5.0 * n * (n - 1)));
  SAME(total, Tensor::full({3}, want + n * (n + 1) / 2.0));
  // One process runs a program file.
  Jit saved([&](const Tensor& x) { return dist::all_reduce(x) * 2; });
  for (int i = 0; i < 3; ++i) saved(Tensor::ones({3}));
  const std::string refused = "Jit::save: the call makes an all_reduce; one process runs a program file";
  check_refused({{refused, [&] { saved.save("/nowhere/collective.teeny"); }}});
}

TEST_CASE("ranks: below, above and between thousands of nodes") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  const auto chain = [](Tensor x, int length) {
    for (int i = 0; i < length; ++i) x = i % 2 ? x - 1 : x + 1;
    return x;
  };
  const std::vector<Tensor> all = of_all({10});
  const Tensor sum = sum_of(all);
  const Tensor a = dist::all_reduce(chain(all[r], 10000));  // ends with - 1: x again
  const Tensor b = chain(dist::all_reduce(chain(all[r] * 2, 5000)), 5000), c = dist::all_reduce(all[r] * 3);
  const Tensor d = dist::all_reduce(chain(b, 4000) + chain(a, 9000));
  if (r == 0) SAME(c, sum * 3);
  if (r == 1) SAME(d, sum * (3 * n));
  SAME(a, sum);
  SAME(b, sum * 2);
  SAME(c, sum * 3);
  SAME(d, sum * (3 * n));
  Tensor x = all[r].clone();  // a history of collectives
  for (int i = 0; i < 300; ++i) x = chain(dist::all_reduce(x) / n, 40);
  if (n == 1 || n == 2 || n == 4) SAME(x, sum / n);
}

TEST_CASE("ranks: beside pending assignments collectives stay in their order") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  const std::vector<Tensor> all = of_all({50});
  const Tensor sum = sum_of(all);
  for (const bool overlap : {true, false}) {
    const ExecutionScope mode({.overlap = overlap});
    Tensor p = all[r].clone().realize(), q = Tensor::zeros({50}).realize();
    const Tensor first = dist::all_reduce(p);
    p.assign(p + first);                        // p: mine + sum
    const Tensor second = dist::all_reduce(p);  // sum + n sum
    q.assign(q + second * 2);
    p.assign(p * 2);
    const Tensor third = dist::all_reduce(p - q), fourth = dist::all_gather(all[r]);
    p.assign(dist::all_reduce(q));
    if (r == 0) SAME(third, 2 * (sum + n * sum) - n * 2 * (sum + n * sum));
    if (r == 1) SAME(p, n * 2 * (sum + n * sum));
    SAME(q, 2 * (sum + n * sum));
    SAME(first, sum);
    SAME(second, sum + n * sum);
    SAME(third, 2 * (sum + n * sum) - n * 2 * (sum + n * sum));
    SAME(p, n * 2 * (sum + n * sum));
    SAME(fourth, n == 1 ? all[0] : Tensor::cat(all));
  }
}

TEST_CASE("ranks: the input of a collective is written over after it") {
  const int n = dist::world();
  const size_t r = size_t(dist::rank());
  Tensor p = Tensor::full({300000}, double(r + 1)).contiguous().realize();
  for (int i = 0; i < 5; ++i) {
    const Tensor sum = dist::all_reduce(p);
    p.assign(p * 0 + double(r + 1));  // in place, where nothing holds the old values
    CHECK(p.sum().item() == 300000.0 * double(r + 1));
    CHECK(sum.sum().item() == 300000.0 * n * (n + 1) / 2);
  }
}

TEST_CASE("ranks: an Error between start and finish, on all of them, and what comes after it is right") {
  const int n = dist::world();
  const double r = dist::rank();
  const Tensor x = Tensor::full({300000}, r + 1).contiguous().realize(),
               table = Tensor::ones({4}).contiguous().realize();
  const double one = n * (n + 1) / 2.0;
  const auto outside = [&] { return table.gather(0, Tensor::of<int64_t>({9})); };
  const auto goes_on = [&] {
    for (int i = 0; i < 4; ++i) CHECK(dist::all_reduce(x * (i + 1)).mean().item() == (i + 1) * one);
  };
  {
    const Tensor a = dist::all_reduce(x), b = dist::all_reduce(x * 2), bad = outside();
    CHECK_THROWS_AS(realize(std::vector{bad, a, b}), Error);
    goes_on();
    SAME(a, Tensor::full({300000}, one));  // computed now, where it had not been
    SAME(b, Tensor::full({300000}, 2 * one));
  }
  {  // with something pending, and a collective that needs what has failed
    Tensor p = Tensor::zeros({5}).realize(), q = Tensor::zeros({1}).realize();
    p.assign(p + dist::all_reduce(Tensor::ones({5})));
    q.assign(q + dist::all_reduce(outside()));
    const Tensor later = dist::all_reduce(x);
    CHECK_THROWS_AS(later.sum().item(), Error);
    goes_on();
    CHECK(q.item() == 0);
    CHECK((p.mean().item() == 0 || p.mean().item() == n));
  }
  for (const bool overlap : {true, false}) {  // in a Jit, recorded and replayed
    const ExecutionScope mode({.overlap = overlap});
    Tensor state = Tensor::zeros({1}).realize();
    Jit step([&](const Tensor& index) {
      const NoGrad guard;
      const Tensor a = dist::all_reduce(x), t = table.gather(0, index), b = dist::all_reduce(t.sum() * x);
      state.assign(state + t.sum());
      return std::tuple(a, t, b);
    });
    for (int i = 0; i < 9; ++i) {
      CAPTURE(i);
      if (i == 1 || i == 5) {
        CHECK_THROWS_AS(std::get<0>(step(Tensor::of<int64_t>({9}).contiguous())).mean().item(), Error);
      } else {
        const auto [a, t, b] = step(Tensor::of<int64_t>({1}).contiguous());
        CHECK(b.mean().item() == one);
        CHECK(a.mean().item() == one);
      }
    }
    CHECK(step.replays() >= 3);
    const bool late = n == 1 && tinyops::device_name().starts_with("cuda");  // no collective looks before the assignment
    CHECK((late || state.item() == 7));
  }
  goes_on();
}

TEST_CASE("ranks: out of memory on all of them") {
  const int n = dist::world();
  const Tensor x = of_rank(dist::rank(), {1000}), sum = sum_of(of_all({1000}));
  if (n == 1) return;
  const int64_t huge = int64_t(1) << 46;
  for (int i = 0; i < 3; ++i) {
    const Tensor a = dist::all_reduce(x), b = dist::all_reduce(Tensor::ones({huge}) * 2), c = dist::all_reduce(x * 3);
    CHECK_THROWS_WITH_AS(realize(std::vector{b, c}), doctest::Contains("out of memory"), Error);
    SAME(dist::all_reduce(x * 5), sum * 5);
    SAME(a, sum);
    SAME(c, sum * 3);
  }
  CHECK(dist::all_reduce(Tensor(1)).item() == n);
}

TEST_CASE("ranks: one thread makes collectives, and others compute") {
  const int n = dist::world();
  const double r = dist::rank();
  if (n == 1) return;
  const Tensor x = Tensor::full({200000}, r + 1).contiguous().realize();
  CHECK(dist::all_reduce(x).mean().item() == n * (n + 1) / 2.0);
  std::string got;
  std::thread([&] {
    try {
      got = text("a sum of ", dist::all_reduce(Tensor::ones({3})).sum().item());
    } catch (const Error& error) { got = error.what(); }
  }).join();
  CHECK(got == "all_reduce: on another thread than the first collective; ranks can agree on the order of one");
  Jit step([&](const Tensor& y) { return dist::all_reduce(y) * 2; });  // nor does another one replay them
  for (int i = 0; i < 3; ++i) CHECK(step(x).mean().item() == n * (n + 1));
  std::thread([&] {
    try {
      got = text("a sum of ", step(x).mean().item());
    } catch (const Error& error) { got = error.what(); }
  }).join();
  CHECK(got == "all_reduce: on another thread than the first collective; ranks can agree on the order of one");
  // Others compute meanwhile, and meet Errors.
  std::atomic<bool> over = false;
  std::atomic<int> wrong = 0, refused = 0;
  std::thread other([&] {
    const Tensor table = Tensor::ones({4}).contiguous().realize();
    for (int64_t i = 1; !over; ++i) {
      wrong += (Tensor::full({1000}, double(i % 100)) + 1).sum().item() != 1000.0 * double(i % 100 + 1);
      try {
        table.gather(0, Tensor::of<int64_t>({9})).item();
      } catch (const Error&) { ++refused; }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  for (int i = 0; i < 50; ++i) {
    const Tensor a = dist::all_reduce(x * i), b = dist::all_reduce(x + i);
    const Tensor c = (x * x).sum() + a.mean();
    if (i % 2) CHECK(b.mean().item() == n * (n + 1) / 2.0 + n * i);
    CHECK(c.item() == doctest::Approx(200000 * (r + 1) * (r + 1) + i * n * (n + 1) / 2.0));
  }
  over = true;
  other.join();
  CHECK(wrong == 0);
  CHECK(refused > 0);
}

TEST_CASE("ranks: a world of one returns the elements of its argument") {
  const Tensor x = of_rank(0, {4, 3});
  const auto is_x = [&](const Tensor& y) { return y.lazy().node() == x.lazy().node(); };
  const dist::Group alone = dist::Group().split(dist::rank());
  CHECK(alone.world() == 1);
  CHECK(alone.rank() == 0);
  const auto none_of = [&](const dist::Group& among) {
    const int64_t before = collectives();
    CHECK(is_x(dist::all_reduce(x, among)));
    CHECK(is_x(dist::sum_gradients(x, among)));
    CHECK(is_x(dist::all_gather(x, among)));
    CHECK(is_x(dist::reduce_scatter(x, among)));
    CHECK(is_x(dist::shard(x, 0, among)));
    Tensor y = x;
    dist::broadcast({{"y", y}}, among);
    CHECK(is_x(y));
    Tensor z = x.clone();
    const Tensor sum = dist::all_reduce(z, among);
    z.assign(z + 1);  // not to the result, too
    SAME(sum, x);
    CHECK(context.effects.empty());
    x.sum().item();
    CHECK(collectives() == before);
  };
  none_of(alone);
  if (dist::world() == 1) none_of({});
}

TEST_CASE("ranks: a parameter without a gradient has one of zeros afterwards, and gradients of two dtypes travel") {
  const int n = dist::world(), r = dist::rank();
  std::vector<Tensor> params;
  for (int i = 0; i < 4; ++i) params.push_back(Tensor::ones({3}).requires_grad_());
  params[0].set_grad(Tensor::full({3}, r + 1.0));
  params[1].set_grad(Tensor::full({3}, r + 1.0).cast(DType::Float64));
  if (r == 0) params[3].set_grad(Tensor::full({3}, double(n)));
  dist::average_gradients(params);
  SAME(params[0].grad(), Tensor::full({3}, (n + 1) / 2.0));
  CHECK(params[1].grad().dtype() == DType::Float64);
  SAME(params[1].grad(), Tensor::full({3}, (n + 1) / 2.0).cast(DType::Float64));
  SAME(params[2].grad(), Tensor::zeros({3}));
  SAME(params[3].grad(), Tensor::ones({3}));
}

TEST_CASE("ranks: groups") {
  const int n = dist::world(), r = dist::rank();
  const dist::Group half = dist::Group().split(r % 2), backwards = dist::Group().split(0);
  CHECK(half.world() == (r % 2 ? n / 2 : (n + 1) / 2));
  CHECK(half.rank() == r / 2);
  CHECK(backwards.world() == n);
  double want = 0;
  for (int i = r % 2; i < n; i += 2) want += i + 1;
  const Tensor mine = Tensor::full({3}, double(r + 1));
  // The groups' collectives between those of all, and not as many in each.
  const Tensor a = dist::all_reduce(mine), b = dist::all_reduce(mine, half);
  const Tensor c = r % 2 ? dist::all_reduce(mine * 2, half) : b * 2, d = dist::all_reduce(mine, backwards);
  SAME(d, Tensor::full({3}, n * (n + 1) / 2.0));
  SAME(c, Tensor::full({3}, want * 2));
  SAME(b, Tensor::full({3}, want));
  SAME(a, Tensor::full({3}, n * (n + 1) / 2.0));
  const dist::Group quarter = half.split(half.rank() / 2);
  CHECK(quarter.world() == std::min(2, half.world() - half.rank() / 2 * 2));
  SAME(dist::all_gather(Tensor::full({1}, double(r)), quarter),
       quarter.world() == 2 ? Tensor::of({r % 4 % 2 + r / 4 * 4 + 0., r % 2 + 2.}) : Tensor::full({1}, double(r)));
  check_refused({{"Group::split: a colour of -1; 0 or more", [] { (void)dist::Group().split(-1); }}});
}

TEST_CASE("ranks: what does not fit is refused at the line that makes it") {
  const int n = dist::world();
  check_refused({
      {"all_gather: a tensor of () has no axis 0; reshape({1}) it", [] { (void)dist::all_gather(Tensor(1)); }},
      {"shard: a tensor of (2,) has no axis 1", [] { (void)dist::shard(Tensor::ones({2}), 1); }},
      {"shard: a tensor of (2,) has no axis -2", [] { (void)dist::shard(Tensor::ones({2}), -2); }},
      {text("reduce_scatter: a tensor of () has no ", n, " equal parts along axis 0"),
       [] { (void)dist::reduce_scatter(Tensor(1)); }},
      {"all_reduce: this tensor is undefined", [] { (void)dist::all_reduce(Tensor()); }},
      {"sum_gradients: this tensor is undefined", [] { (void)dist::sum_gradients(Tensor()); }},
      {"all_gather: this tensor is undefined", [] { (void)dist::all_gather(Tensor()); }},
      {"reduce_scatter: this tensor is undefined", [] { (void)dist::reduce_scatter(Tensor()); }},
      {"shard: this tensor is undefined", [] { (void)dist::shard(Tensor()); }},
      {"broadcast: w is undefined", [] { dist::broadcast({{"x", Tensor(1)}, {"w", Tensor()}}); }},
      {"average_gradients: parameter 1 is undefined",
       [] { dist::average_gradients(std::vector{Tensor::ones({2}).requires_grad_(), Tensor()}); }},
  });
  if (n == 1) return;
  const int64_t odd = 2 * n + 1;
  check_refused({
      {text("reduce_scatter: a tensor of (", odd, ", 3) has no ", n, " equal parts along axis 0"),
       [&] {
         (void)dist::reduce_scatter(Tensor::ones({odd, 3}));
       }},
      {text("shard: a tensor of (3, ", odd, ") has no ", n, " equal parts along axis 1"),
       [&] {
         (void)dist::shard(Tensor::ones({3, odd}), 1);
       }},
  });
  CHECK(context.effects.empty());
  CHECK(dist::all_reduce(Tensor(1)).item() == n);
}
