#include <algorithm>
#include <cmath>
#include <numeric>

#include "teeny/data/loader.h"
#include "tests/course/tensors.h"

namespace {

using namespace teeny;
using Order = std::vector<int64_t>;

/// The samples that a loader hands out until the end of an epoch.
Order rest_of_epoch(data::DataLoader& loader) {
  Order order;
  for (auto [x, y] : loader)
    for (int64_t sample : x.to_vector<int64_t>()) order.push_back(sample);
  return order;
}

data::DataLoader loader_of(int64_t samples, uint64_t seed, bool shuffle = true, int64_t batch_size = 0) {
  const Tensor x = Tensor::arange(samples);
  return data::DataLoader(x, x, {.batch_size = batch_size ? batch_size : samples, .shuffle = shuffle, .seed = seed});
}

std::vector<Order> epochs(int64_t samples, uint64_t seed, int count) {
  data::DataLoader loader = loader_of(samples, seed);
  std::vector<Order> result;
  for (int i = 0; i < count; ++i) result.push_back(rest_of_epoch(loader));
  return result;
}

}  // namespace

EXERCISE("25") {
  using course::expect, course::pick, course::same;
  const int64_t n = pick(40, 60);
  const uint64_t seed = uint64_t(pick(0, 1000));
  Order all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  data::DataLoader plain = loader_of(n, seed, false);
  same("not shuffled", rest_of_epoch(plain), all);

  const std::vector<Order> first = epochs(n, seed, 3);
  for (const Order& order : first) {
    Order sorted = order;
    std::sort(sorted.begin(), sorted.end());
    same("a shuffled epoch, sorted: every sample is there once", sorted, all);
    expect(order != all, "an epoch is to be shuffled, and has its samples in order");
  }
  expect(first[0] != first[1] && first[1] != first[2],
         "the second epoch has the order of the first, or the third that of the second");
  expect(epochs(n, seed, 3) == first, "the same seed gives another order: a training could not be repeated");
  const std::vector<Order> next = epochs(n, seed + 1, 3);
  expect(next[0] != first[0], "another seed gives the same order");
  expect(next[0] != first[1], text("seed ", seed + 1, " begins with the order that seed ", seed,
                                   " has in its second epoch; mix the two numbers, a sum is not enough"));

  data::DataLoader resumed = loader_of(n, seed, true, 10);
  resumed.set_position({seed, 1, 20});
  same("a training that is resumed in the middle of an epoch has the samples that are left, in their order",
       rest_of_epoch(resumed), Order(first[1].begin() + 20, first[1].end()));
  same("one sample, shuffled", epochs(1, seed, 1)[0], Order{0});

  // How far each sample has moved, around the end: any distance is as likely as any other. And who follows whom.
  const int64_t many = 401, rounds = 60;
  int64_t stayed = 0, ahead = 0, back = 0, followed = 0;
  for (const Order& order : epochs(many, seed, rounds))
    for (int64_t place = 0; place < many; ++place) {
      const int64_t moved = (place - order[size_t(place)] + many) % many;
      ++(moved == 0 ? stayed : moved <= many / 2 ? ahead : back);
      followed += place > 0 && order[size_t(place)] == order[size_t(place) - 1] + 1;
    }
  const std::string tried = text("in ", rounds, " epochs of ", many, " samples ");
  const double spread = std::sqrt(double(rounds));
  expect(stayed > 0, text(tried, "no sample stayed in its place, and ", rounds,
                          " are to be expected: one that is drawn may be the one that is there already"));
  expect(std::abs(double(stayed - rounds)) < 6 * spread,
         text(tried, stayed, " stayed in their places, and about ", rounds, " are to be expected"));
  expect(std::abs(double(followed - rounds)) < 6 * spread,
         text(tried, followed, " stand behind their neighbour of before, and about ", rounds, " are to be expected"));
  const double by_chance = std::sqrt(double(ahead + back));
  expect(std::abs(double(ahead - back)) < 6 * by_chance,
         text("some orders are more likely than others: ", tried, ahead,
              " moved ahead (by less than half of the way around) and ", back,
              " moved back; by chance these differ by ", std::llround(by_chance)));
}
