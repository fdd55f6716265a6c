// Views against a brute-force walk: a list that says, for each element, which element of the buffer it is (or none, for
// a padded zero), moved about one element at a time.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "teeny/graph/lazy.h"

using namespace teeny;

namespace {

constexpr int64_t kZero = -1;  // an element that padding made

struct Brute {
  Shape shape;
  std::vector<int64_t> from;

  explicit Brute(Shape s) : shape(s), from(size_t(numel(s))) {
    for (size_t i = 0; i < from.size(); ++i) from[i] = int64_t(i);
  }
  int64_t at(const Dims& index) const {
    int64_t flat = 0;
    for (int a = 0; a < shape.size(); ++a) flat = flat * shape[a] + index[a];
    return from[size_t(flat)];
  }
  /// A new list of shape `to`, each element of which is what `source` says of its index.
  template <class F>
  Brute moved(const Shape& to, F&& source) const {
    Brute result(to);
    Dims index = Dims::filled(to.size(), 0);
    for (int64_t& element : result.from) {
      element = source(index);
      for (int a = to.size() - 1; a >= 0 && ++index[a] == to[a]; --a) index[a] = 0;
    }
    return result;
  }
};

/// What the tracker says of the element at `index`, from the last view to the first.
int64_t look_up(const ShapeTracker& tracker, Dims index) {
  const auto views = tracker.views();
  for (size_t v = views.size(); v-- > 0;) {
    if (!views[v].valid(index)) return kZero;
    const int64_t address = views[v].address.at(index);
    if (v == 0) return address;
    const Shape& below = views[v - 1].shape;
    index = Dims::filled(below.size(), 0);
    for (int64_t a = below.size() - 1, rest = address; a >= 0; rest /= below[int(a)], --a)
      index[int(a)] = rest % below[int(a)];
  }
  return kZero;
}

void check_equal(const ShapeTracker& tracker, const Brute& brute) {
  REQUIRE(tracker.shape() == brute.shape);
  const Brute seen = brute.moved(brute.shape, [&](const Dims& index) { return look_up(tracker, index); });
  REQUIRE(seen.from == brute.from);
}

using Random = std::mt19937_64;
int64_t pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

Shape random_shape(Random& random, int64_t most) {
  Shape shape;
  for (int64_t rank = pick(random, 0, 4); rank > 0; --rank)
    shape.push_back(pick(random, numel(shape) > most ? 1 : 0, 5));
  return shape;
}

/// Some other shape with as many elements.
Shape refactored(Random& random, const Shape& shape) {
  int64_t left = numel(shape);
  Shape to;
  while (left > 1 && to.size() < 5) {
    int64_t factor = pick(random, 1, left);
    while (left % factor) --factor;
    to.push_back(factor);
    left /= factor;
  }
  if (left != 1) to.push_back(left);
  return to;
}

void random_step(Random& random, ShapeTracker& tracker, Brute& brute) {
  const Shape shape = brute.shape;
  const int rank = shape.size(), axis = rank ? int(pick(random, 0, rank - 1)) : 0;
  switch (pick(random, 0, rank ? 7 : 0)) {
    case 0: {
      const Shape to = refactored(random, shape);
      tracker = tracker.reshape(to);
      brute.shape = to;
      break;
    }
    case 1: {
      Dims order;
      for (int a = 0; a < rank; ++a) order.push_back(a);
      std::shuffle(order.begin(), order.end(), random);
      Shape to;
      for (int64_t a : order) to.push_back(shape[int(a)]);
      tracker = tracker.permute(order);
      brute = brute.moved(to, [&](const Dims& index) {
        Dims before = index;
        for (int a = 0; a < rank; ++a) before[int(order[a])] = index[a];
        return brute.at(before);
      });
      break;
    }
    case 2: {
      Shape to = shape;
      for (int64_t& size : to)
        if (size == 1) size = pick(random, 1, 3);
      tracker = tracker.expand(to);
      brute = brute.moved(to, [&](Dims index) {
        for (int a = 0; a < rank; ++a) if (shape[a] == 1) index[a] = 0;
        return brute.at(index);
      });
      break;
    }
    case 3: {
      if (numel(shape) > 300) break;
      Dims before = Dims::filled(rank, 0), after = before;
      before[axis] = pick(random, 0, 2), after[axis] = pick(random, 0, 2);
      Shape to = shape;
      to[axis] += before[axis] + after[axis];
      tracker = tracker.pad(before, after);
      brute = brute.moved(to, [&](Dims index) {
        index[axis] -= before[axis];
        return index[axis] < 0 || index[axis] >= shape[axis] ? kZero : brute.at(index);
      });
      break;
    }
    case 4: {
      Dims begin = Dims::filled(rank, 0), end = shape;
      begin[axis] = pick(random, 0, shape[axis]), end[axis] = pick(random, begin[axis], shape[axis]);
      Shape to = shape;
      to[axis] = end[axis] - begin[axis];
      tracker = tracker.shrink(begin, end);
      brute = brute.moved(to, [&](Dims index) { return index[axis] += begin[axis], brute.at(index); });
      break;
    }
    case 5:
      tracker = tracker.flip({axis});
      brute =
          brute.moved(shape, [&](Dims index) { return index[axis] = shape[axis] - 1 - index[axis], brute.at(index); });
      break;
    case 6: {
      if (shape[axis] < 1 || rank > 6 || numel(shape) > 300) break;
      const int64_t size = pick(random, 1, std::min<int64_t>(3, shape[axis])), step = pick(random, 1, 3);
      const int64_t dilation = size == 1 ? 1 : pick(random, 1, (shape[axis] - 1) / (size - 1));
      tracker = tracker.unfold(axis, size, step, dilation);
      brute = brute.moved(tracker.shape(), [&](Dims index) {
        index[axis] = index[axis] * step + index.back() * dilation;
        index.erase(rank);
        return brute.at(index);
      });
      break;
    }
    case 7: {
      const int other = int(pick(random, 0, rank - 1));
      if (other == axis || shape[other] != shape[axis]) break;
      tracker = tracker.diagonal(axis, other);
      brute = brute.moved(tracker.shape(), [&](const Dims& index) {
        Dims before;
        for (int a = 0, at = 0; a < rank; ++a) before.push_back(a == axis || a == other ? index.back() : index[at++]);
        return brute.at(before);
      });
      break;
    }
  }
}

}  // namespace

TEST_CASE("shape: random movements look at the right elements") {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const Shape shape = random_shape(random, 100);
    ShapeTracker tracker(shape);
    Brute brute(shape);
    for (int64_t steps = pick(random, 1, 8); steps > 0; --steps) random_step(random, tracker, brute);
    check_equal(tracker, brute);
  }
}

TEST_CASE("shape: a hundred movements deep") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const Shape shape{4, 3, 4};
    ShapeTracker tracker(shape);
    Brute brute(shape);
    for (int step = 0; step < 100; ++step) random_step(random, tracker, brute);
    check_equal(tracker, brute);
  }
}

TEST_CASE("shape: composing two views is walking one after the other") {
  int merged = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const Shape shape = random_shape(random, 60);
    ShapeTracker inner(shape);
    Brute brute(shape);
    for (int step = 0; step < 3; ++step) random_step(random, inner, brute);
    if (!inner.is_single()) continue;
    ShapeTracker outer(inner.shape());
    for (int step = 0; step < 3; ++step) random_step(random, outer, brute);
    if (!outer.is_single()) continue;
    if (const auto both = compose(outer.view(), inner.view())) {
      check_equal(ShapeTracker(*both), brute);
      ++merged;
    }
  }
  CHECK(merged > 2000);  // it mostly can
}

TEST_CASE("shape: composing does not look at axes of size 1") {
  // Their strides are anything: here they would make the guard one of three axes.
  const View outer{{1, 7, 1, 1}, {{56, 8, 8, 8}, -6}, {{{{0, 1, 1, 1}, -1}, 7}}};
  const View inner = View::contiguous({1, 1, 1}).expand({1, 7, 8});
  CHECK(compose(outer, inner));
}

TEST_CASE("shape: a guard that is walked backwards in steps") {
  // Elements 5, 3, 1 of a (2, 3) matrix in row-major order, and a padded one.
  const View outer = View::contiguous({6}).pad({1}, {0}).flip({0}).unfold(0, 1, 2);
  const View inner = View::contiguous({3, 2}).permute({1, 0});
  const std::optional<View> both = compose(outer, inner);
  for (int64_t i = 0; both && i < 3; ++i)
    CHECK(both->address.at({i, 0}) == inner.address.at({(5 - 2 * i) / 3, (5 - 2 * i) % 3}));
}

TEST_CASE("shape: what one View can say is one View") {
  ShapeTracker x(Shape{2, 3, 4});
  CHECK(x.reshape({6, 4}).is_contiguous());
  CHECK(x.permute({2, 0, 1}).permute({1, 2, 0}).is_contiguous());
  CHECK(x.permute({1, 0, 2}).reshape({24}).views().size() == 2);
  CHECK(x.permute({1, 0, 2}).reshape({24}).reshape({3, 2, 4}).is_single());  // and back again
  CHECK(x.pad({0, 1, 0}, {0, 1, 0}).shrink({0, 1, 0}, {2, 4, 4}).is_contiguous());
  CHECK(x.flip({1}).flip({1}).is_contiguous());
  // A padded image under a sliding window, the view every convolution reads through.
  ShapeTracker image(Shape{1, 8, 8});
  const ShapeTracker windows = image.pad({0, 1, 1}, {0, 1, 1}).unfold(1, 3, 1, 1).unfold(2, 3, 1, 1);
  CHECK(windows.is_single());
  CHECK(windows.view().guards.size() == 2);
  CHECK(windows.shape() == Shape{1, 8, 8, 3, 3});
}

TEST_CASE("shape: broadcasting and counting") {
  CHECK(broadcast({2, 1, 3}, {4, 1}, "add") == Shape{2, 4, 3});
  CHECK(broadcast({}, {3}, "add") == Shape{3});
  CHECK_THROWS_WITH(broadcast({2, 3}, {2, 4}, "add"),
                    "add: (2, 3) and (2, 4) do not broadcast: sizes 3 and 4 differ and neither is 1");
  CHECK(numel({}) == 1);
  CHECK(numel({0, INT64_MAX / 8}) == 0);
  CHECK_THROWS_AS(numel({0, INT64_MAX, 2}), Error);  // the strides of its axes overflow
  CHECK_THROWS_AS(numel({INT64_MAX, 2}), Error);
}
