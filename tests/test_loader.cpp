// The loader: batches, their order, the thread behind them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "check_refused.h"
#include "teeny/data/loader.h"
#include "teeny/jit/jit.h"
#include "temporary_directory.h"

using namespace teeny;

namespace {

/// Images of one pixel, which is the sample's index; its class is ten times that.
data::Dataset counting(int64_t count) {
  return {Tensor::arange(count).cast(DType::UInt8).reshape({count, 1, 1, 1}), Tensor::arange(count) * 10};
}

/// The classes of all batches, each batch a list.
std::vector<std::vector<int64_t>> batches(data::DataLoader& loader) {
  std::vector<std::vector<int64_t>> result;
  for (auto [x, y] : loader) {
    result.push_back(y.to_vector<int64_t>());
    const auto pixels = x.to_vector();
    for (size_t i = 0; i < pixels.size(); ++i) CHECK(pixels[i] == float(result.back()[i] / 10) / 255);
  }
  return result;
}

std::vector<int64_t> joined(const std::vector<std::vector<int64_t>>& lists) {
  std::vector<int64_t> all;
  for (const auto& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

std::vector<int64_t> sorted(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace

TEST_CASE("loader: every sample once an epoch, in order or shuffled") {
  const data::Dataset ten = counting(10);
  data::DataLoader plain(ten, {.batch_size = 4});
  CHECK(plain.size() == 3);
  const std::vector<std::vector<int64_t>> in_order = {{0, 10, 20, 30}, {40, 50, 60, 70}, {80, 90}};
  CHECK(batches(plain) == in_order);
  CHECK(batches(plain) == in_order);
  data::DataLoader dropping(ten, {.batch_size = 4, .drop_last = true});
  CHECK(dropping.size() == 2);
  CHECK(joined(batches(dropping)).size() == 8);

  data::DataLoader a(ten, {.batch_size = 3, .shuffle = true, .seed = 7}),
      b(ten, {.batch_size = 3, .shuffle = true, .seed = 7}), other(ten, {.batch_size = 3, .shuffle = true, .seed = 8});
  std::set<std::vector<int64_t>> orders;
  for (int epoch = 0; epoch < 5; ++epoch) {
    CHECK(a.position() == data::Position{7, epoch, 0});
    const auto order = batches(a);
    CHECK(order.size() == 4);
    CHECK(order == batches(b));
    CHECK(sorted(joined(order)) == joined(in_order));
    orders.insert(joined(order));
    orders.insert(joined(batches(other)));
  }
  CHECK(orders.size() == 10);
}

TEST_CASE("loader: a batch that is kept keeps its values while the next ones are sent and used") {
  data::DataLoader loader(counting(200), {.batch_size = 16, .shuffle = true, .seed = 3});
  std::vector<data::Batch> kept;
  std::vector<std::vector<int64_t>> seen;
  Jit work([](const Tensor& x) { return (x.reshape({-1, 1}) + Tensor::rand({40})).softmax().sum(); });
  for (const data::Batch& batch : loader) {
    kept.push_back(batch);
    seen.push_back(batch.y.to_vector<int64_t>());
    work(batch.x);
  }
  CHECK(kept.size() == 13);
  for (size_t i = 0; i < kept.size(); ++i) {
    CHECK(kept[i].y.to_vector<int64_t>() == seen[i]);
    const std::vector<float> pixels = kept[i].x.to_vector();
    for (size_t k = 0; k < pixels.size(); ++k) CHECK(pixels[k] == float(seen[i][k] / 10) / 255);
  }
}

TEST_CASE("loader: shapes, dtypes and normalisation") {
  const Tensor pixels = Tensor::arange(24).cast(DType::UInt8).reshape({2, 3, 2, 2});
  data::DataLoader loader({pixels, Tensor::of<int64_t>({1, 2})},
                          {.batch_size = 2,
                           .mean = {0.1f, 0.2f, 0.3f},
                           .std = {0.5f},
                           .transform = [](std::span<float> image, const Shape& shape, std::mt19937_64&) {
                             CHECK(shape == Shape{3, 2, 2});
                             image[0] = 0.6f;
                           }});
  int seen = 0;
  for (auto [x, y] : loader) {
    ++seen;
    CHECK(x.shape() == Shape{2, 3, 2, 2});
    CHECK(x.dtype() == DType::Float32);
    CHECK(y.dtype() == DType::Int64);
    const auto values = x.to_vector();
    for (size_t i = 0; i < 24; ++i) {
      const float raw = i % 12 == 0 ? 0.6f : float(i) / 255;
      CHECK(values[i] == doctest::Approx((raw - 0.1f * float(i / 4 % 3 + 1)) / 0.5f));
    }
  }
  CHECK(seen == 1);
  data::DataLoader floats({Tensor::of<float>({{-1.5, 300}, {2, 0}}), Tensor::of<int64_t>({1, 2})}, {.batch_size = 2});
  for (auto [x, y] : floats) CHECK(x.to_vector() == std::vector<float>{-1.5, 300, 2, 0});
}

TEST_CASE("loader: two tensors of any dtype and rank") {
  const Tensor ids = Tensor::arange(15).cast(DType::Int32).reshape({5, 3}), goals = Tensor::arange(5) * 0.5;
  data::DataLoader loader(ids, goals.cast(DType::Float64), {.batch_size = 2, .shuffle = true, .seed = 4});
  std::set<double> seen;
  for (auto [x, y] : loader) {
    CHECK(x.dtype() == DType::Int32);
    CHECK(y.dtype() == DType::Float64);
    CHECK(y.shape() == Shape{x.size(0)});
    CHECK((x == ((y * 2).cast(DType::Int32).unsqueeze(-1) * 3 + Tensor::arange(3))).all().item<bool>());
    for (double goal : y.to_vector<double>()) seen.insert(goal);
  }
  CHECK(seen == std::set<double>{0, 0.5, 1, 1.5, 2});
  data::DataLoader bytes(ids.cast(DType::UInt8), ids[0].expand({5, 3}).cast(DType::Bool), {.batch_size = 5});
  for (auto [x, y] : bytes) {
    CHECK(x.dtype() == DType::UInt8);  // not divided by 255: that is for images
    CHECK((x == ids).all().item<bool>());
    CHECK(y.to_vector<bool>() == ids[0].expand({5, 3}).cast(DType::Bool).to_vector<bool>());
  }
}

TEST_CASE("loader: leaving early, two loops at once, and loaders that die early") {
  data::DataLoader loader(counting(10), {.batch_size = 3, .shuffle = true});
  std::vector<std::vector<int64_t>> firsts;
  for (int i = 0; i < 3; ++i)
    for (auto [x, y] : loader) {
      firsts.push_back(y.to_vector<int64_t>());
      break;
    }
  CHECK(firsts[0] != firsts[1]);  // each loop is an epoch of its own
  CHECK(loader.position() == data::Position{0, 2, 3});
  CHECK(batches(loader).size() == 4);
  CHECK(loader.position() == data::Position{0, 4, 0});

  int pairs = 0;
  for (const auto& outer : loader)
    for (const auto& inner : loader) pairs += outer.y.defined() && inner.y.defined();
  CHECK(pairs == 16);

  for (const auto& batch : data::DataLoader(counting(10), {.batch_size = 3})) {
    CHECK(batch.y.numel() == 3);
    break;
  }
  auto left = std::make_unique<data::DataLoader>(counting(10), data::LoaderOptions{.batch_size = 3});
  auto it = left->begin();
  data::DataLoader moved = std::move(*left);
  left.reset();
  CHECK(moved.size() == 4);
  int count = 0;
  for (; it != std::default_sentinel; ++it) ++count;
  CHECK(count == 4);
  ++it;  // stays at the end
  CHECK(it == std::default_sentinel);
}

TEST_CASE("loader: what a transform throws reaches the loop") {
  int calls = 0;  // only ever touched by one thread at a time
  data::DataLoader loader(counting(10), {.batch_size = 2, .transform = [&calls](std::span<float>, const Shape&, auto&) {
                                           if (++calls == 5) fail("not this one");
                                         }});
  int seen = 0;
  CHECK_THROWS_WITH_AS(([&] {
                         for (const auto& batch : loader) seen += batch.y.defined();
                       })(),
                       "not this one", Error);
  CHECK(seen == 2);
  CHECK(loader.position().index == 4);
  seen = 0;
  for (const auto& batch : loader) seen += batch.y.defined();
  CHECK(seen == 5);

  data::DataLoader other(counting(4), {.batch_size = 2, .transform = [](auto&&...) { throw 42; }});
  CHECK_THROWS_AS(other.begin(), int);
}

TEST_CASE("loader: random transforms follow from seed, epoch and sample alone") {
  const auto jitter = [](std::span<float> image, const Shape&, std::mt19937_64& random) {
    image[0] = float(random() % 1000);
  };
  const auto by_sample = [&](int64_t batch_size, bool shuffle, int64_t epoch) {
    data::DataLoader loader(counting(10),
                            {.batch_size = batch_size, .shuffle = shuffle, .seed = 3, .transform = jitter});
    loader.set_position({.seed = 3, .epoch = epoch, .index = 0});
    std::vector<float> values(10);
    for (auto [x, y] : loader)
      for (size_t i = 0; i < size_t(y.numel()); ++i) values[size_t(y.to_vector<int64_t>()[i] / 10)] = x.to_vector()[i];
    return values;
  };
  CHECK(by_sample(1, false, 0) == by_sample(4, true, 0));
  CHECK(by_sample(3, true, 1) == by_sample(10, false, 1));
  CHECK(by_sample(3, true, 1) != by_sample(3, true, 0));
  const auto values = by_sample(1, false, 0);
  CHECK(std::set<float>(values.begin(), values.end()).size() > 5);
}

TEST_CASE("loader: goes on from any position as if it had come there itself") {
  for (bool drop_last : {false, true}) {
    const data::LoaderOptions options{.batch_size = 4, .shuffle = true, .seed = 5, .drop_last = drop_last};
    data::DataLoader straight(counting(10), options);
    std::vector<data::Position> positions = {straight.position()};
    std::vector<std::vector<int64_t>> all;
    for (int epoch = 0; epoch < 3; ++epoch)
      for (auto [x, y] : straight) {
        all.push_back(y.to_vector<int64_t>());
        positions.push_back(straight.position());
      }
    CHECK(all.size() == size_t(3 * straight.size()));
    for (size_t start = 0; start < all.size(); ++start) {
      data::DataLoader resumed(counting(10), {.batch_size = 4, .shuffle = true, .seed = 99, .drop_last = drop_last});
      resumed.set_position(positions[start]);
      CHECK(resumed.position() == positions[start]);
      std::vector<std::vector<int64_t>> rest;
      while (resumed.position().epoch < 3)
        for (auto [x, y] : resumed) rest.push_back(y.to_vector<int64_t>());
      CHECK(rest == std::vector(all.begin() + long(start), all.end()));
    }
  }
}

namespace {

using MakeLoader = data::DataLoader (*)(const data::LoaderOptions&);

/// Images that a transform changes at random, and token ids, 29 samples each.
data::DataLoader augmented(const data::LoaderOptions& options) {
  data::LoaderOptions with = options;
  with.mean = {0.5f}, with.std = {0.25f};
  with.transform = [](std::span<float> image, const Shape&, std::mt19937_64& random) {
    for (float& pixel : image) pixel += float(random() % 1000);
  };
  return data::DataLoader({Tensor::arange(58).cast(DType::UInt8).reshape({29, 1, 1, 2}), Tensor::arange(29)}, with);
}
data::DataLoader plain(const data::LoaderOptions& options) {
  return data::DataLoader(Tensor::arange(87).cast(DType::Int32).reshape({29, 3}), Tensor::arange(29), options);
}

/// A batch on the host: x, a list a sample, and y.
struct Values {
  std::vector<std::vector<double>> x;
  std::vector<int64_t> y;
  bool operator==(const Values&) const = default;
};

/// The batches of `ranks` ranks from `start` on, each put together of the ranks' parts, until epoch 2 begins. All ranks
/// have equally many batches and stand at the same position behind each; `behind` hears of it.
std::vector<Values> together(MakeLoader make, data::LoaderOptions options, int ranks, const data::Position& start,
                             std::vector<data::Position>* behind = nullptr) {
  std::vector<Values> whole;
  std::vector<data::Position> positions;
  for (int rank = 0; rank < ranks; ++rank) {
    options.rank = rank, options.ranks = ranks;
    data::DataLoader loader = make(options);
    loader.set_position(start);
    size_t at = 0;
    while (loader.position().epoch < 2)
      for (const data::Batch& batch : loader) {
        if (rank == 0) whole.emplace_back(), positions.push_back(loader.position());
        REQUIRE(at < whole.size());
        CHECK(loader.position() == positions[at]);
        CHECK(batch.x.size(0) == batch.y.size(0));
        CHECK(batch.y.size(0) * rank == int64_t(whole[at].y.size()));  // equal parts, in the order of the ranks
        for (int64_t i = 0; i < batch.x.size(0); ++i) whole[at].x.push_back(batch.x[i].to_vector<double>());
        for (int64_t label : batch.y.to_vector<int64_t>()) whole[at].y.push_back(label);
        ++at;
      }
    CHECK(at == whole.size());
    loader.set_position(start);
    if (loader.position().index == 0) CHECK(int64_t(at) == loader.size() * (2 - loader.position().epoch));
  }
  if (behind) *behind = positions;
  return whole;
}

/// What `ranks` ranks leave of the batches of one process: a batch that has no equal parts is cut short.
std::vector<Values> cut(std::vector<Values> batches, int ranks) {
  for (Values& batch : batches) {
    batch.x.resize(batch.x.size() - batch.x.size() % size_t(ranks));
    batch.y.resize(batch.x.size());
  }
  std::erase_if(batches, [](const Values& batch) { return batch.y.empty(); });
  return batches;
}

}  // namespace

TEST_CASE("loader: the parts of all ranks are the batches of one process, from any position of any number of ranks") {
  for (const MakeLoader make : {augmented, plain})
    for (const int64_t batch_size : {12, 24, 28})  // last batches of 5 and 1 samples
      for (const bool shuffle : {false, true})
        for (const bool drop_last : {false, true}) {
          const data::LoaderOptions options{batch_size, shuffle, 3, drop_last};
          INFO("batches of ", batch_size, ", shuffle ", shuffle, ", drop_last ", drop_last);
          std::vector<data::Position> behind;
          const std::vector<Values> one = together(make, options, 1, {.seed = 3}, &behind);
          REQUIRE(one.size() == behind.size());
          CHECK(behind.back() == data::Position{3, 2, 0});
          for (const int ranks : {2, 3, 4}) {
            if (batch_size % ranks != 0) continue;
            CAPTURE(ranks);
            std::vector<data::Position> of_ranks;
            const std::vector<Values> all = together(make, options, ranks, {.seed = 3}, &of_ranks);
            CHECK(all == cut(one, ranks));
            for (size_t k = 0; k + 1 < one.size(); ++k)  // where one process stopped, `ranks` go on
              CHECK(together(make, options, ranks, behind[k]) == cut({one.begin() + long(k) + 1, one.end()}, ranks));
            for (size_t k = 0; k + 1 < all.size(); ++k) {  // and the other way round
              const std::vector<Values> rest = together(make, options, 1, of_ranks[k]);
              CHECK(cut(rest, ranks) == std::vector(all.begin() + long(k) + 1, all.end()));
            }
          }
        }
}

TEST_CASE("loader: a batch is that of all ranks, and a last one is cut to what has equal parts") {
  const auto size = [](int64_t samples, const data::LoaderOptions& options) {
    data::DataLoader loader(counting(samples), options);
    CHECK(int64_t(batches(loader).size()) == loader.size());
    return loader.size();
  };
  CHECK(size(24, {.batch_size = 8, .rank = 1, .ranks = 4}) == 3);
  CHECK(size(27, {.batch_size = 8, .rank = 1, .ranks = 4}) == 3);  // the 3 that are left have no 4 parts
  CHECK(size(28, {.batch_size = 8, .rank = 1, .ranks = 4}) == 4);
  CHECK(size(28, {.batch_size = 8, .drop_last = true, .rank = 1, .ranks = 4}) == 3);
  CHECK(size(5, {.batch_size = 8, .rank = 3, .ranks = 4}) == 1);

  data::DataLoader last(counting(14), {.batch_size = 8, .rank = 1, .ranks = 4});
  CHECK(batches(last) == std::vector<std::vector<int64_t>>{{20, 30}, {90}});
  last.set_position({.index = 11});  // of another batch size: 3 are left
  CHECK(last.position() == data::Position{0, 1, 0});
  last.set_position({.index = 9});
  CHECK(batches(last) == std::vector<std::vector<int64_t>>{{100}});
  const auto settings = data::DataLoader(counting(8), {.batch_size = 4}).settings();
  CHECK(data::DataLoader(counting(8), {.batch_size = 4, .rank = 1, .ranks = 2}).settings() == settings);
}

TEST_CASE("loader: ranks that have no equal parts are refused, with all numbers") {
  const auto refused = [](int64_t samples, const data::LoaderOptions& options) {
    return std::function<void()>([=] { data::DataLoader(counting(samples), options); });
  };
  check_refused({
      {"DataLoader: rank 4 of 4; 0 <= rank < ranks wanted", refused(8, {.batch_size = 4, .rank = 4, .ranks = 4})},
      {"DataLoader: rank -1 of 2; 0 <= rank < ranks wanted", refused(8, {.batch_size = 4, .rank = -1, .ranks = 2})},
      {"DataLoader: rank 0 of 0; 0 <= rank < ranks wanted", refused(8, {.batch_size = 4, .ranks = 0})},
      {"DataLoader: rank 0 of -2; 0 <= rank < ranks wanted", refused(8, {.batch_size = 4, .ranks = -2})},
      {"DataLoader: a batch of 10 samples has no 4 equal parts; batch_size is that of all ranks together",
       refused(20, {.batch_size = 10, .ranks = 4})},
      {"DataLoader: a batch of 1 samples has no 2 equal parts; batch_size is that of all ranks together",
       refused(20, {.ranks = 2})},
      {"DataLoader: 3 samples do not make one batch of 8; at least 4 wanted, one for each rank",
       refused(3, {.batch_size = 8, .ranks = 4})},
      {"DataLoader: 7 samples do not make one batch of 8; drop_last = false keeps a smaller one",
       refused(7, {.batch_size = 8, .drop_last = true, .ranks = 4})},
      {"DataLoader: a batch of 3 samples has no 2 equal parts; batch_size is that of all ranks together",
       [] {
         data::DataLoader(Tensor::zeros({6, 2}), Tensor::zeros({6}), {.batch_size = 3, .ranks = 2});
       }},
  });
}

TEST_CASE("loader: what is wrong is said at once") {
  const data::Dataset ten = counting(10);
  CHECK_THROWS_AS(data::DataLoader(ten, {.batch_size = 0}), Error);
  CHECK_THROWS_AS(data::DataLoader(ten, {.batch_size = 11, .drop_last = true}), Error);
  CHECK_THROWS_AS(data::DataLoader(ten, {.mean = {1, 2}}), Error);
  CHECK_THROWS_AS(data::DataLoader(ten, {.std = {}}), Error);
  CHECK_THROWS_AS(data::DataLoader({ten.images, Tensor::arange(9)}), Error);
  CHECK_THROWS_AS(data::DataLoader({ten.images.cast(DType::Int64), ten.labels}), Error);
  CHECK_THROWS_AS(data::DataLoader({ten.images, ten.labels.cast(DType::Float32)}), Error);
  CHECK_THROWS_AS(data::DataLoader(counting(0)), Error);
  CHECK_THROWS_WITH_AS(data::DataLoader(Tensor::zeros({3, 2}), Tensor::zeros({4}), {}),
                       "DataLoader: (3, 2) and (4,) do not have equally many samples; (N, ...) and (N, ...) wanted",
                       Error);
  CHECK_THROWS_AS(data::DataLoader(Tensor::zeros({}), Tensor::zeros({}), {}), Error);
  CHECK_THROWS_WITH_AS(data::DataLoader(Tensor::zeros({3}), Tensor::zeros({3}), {.std = {2}}),
                       "DataLoader: mean, std and transform are for the images of a Dataset", Error);
  const Tensor three = Tensor::zeros({3});
  CHECK_THROWS_AS(data::DataLoader(three, three, {.batch_size = 4, .drop_last = true}), Error);
  data::DataLoader loader(ten);
  CHECK_THROWS_AS(loader.set_position({.index = 11}), Error);
  CHECK_THROWS_AS(loader.set_position({.epoch = -1}), Error);
  CHECK(loader.position() == data::Position{});
}

TEST_CASE("loader: a batch that a transform refused is tried again, and the rest of the epoch is not lost") {
  int calls = 0, failing = 5;  // only ever touched by one thread at a time
  data::DataLoader loader(counting(10), {.batch_size = 2, .transform = [&](std::span<float>, const Shape&, auto&) {
                                           if (++calls == failing) fail("not this one");
                                         }});
  std::vector<std::vector<int64_t>> seen;
  auto it = loader.begin();
  while (it != loader.end()) {
    seen.push_back(it->y.to_vector<int64_t>());
    try {
      ++it;
    } catch (const Error&) {
      CHECK(it->y.to_vector<int64_t>() == seen.back());  // the batch in hand is still there
      CHECK(loader.position().index == 4);
      ++it;
    }
  }
  CHECK(seen == std::vector<std::vector<int64_t>>{{0, 10}, {20, 30}, {40, 50}, {60, 70}, {80, 90}});
  CHECK(loader.position() == data::Position{0, 1, 0});
}

TEST_CASE("loader: a position that is set inside a loop is where the next loop starts") {
  data::DataLoader loader(counting(10), {.batch_size = 2, .shuffle = true, .seed = 3});
  const auto first = batches(loader), second = batches(loader);
  int64_t steps = 0;
  for (auto [x, y] : loader)
    if (++steps == 2) loader.set_position({.seed = 3, .epoch = 1, .index = 4});
  CHECK(steps == 5);  // the loop goes on with its own batches
  CHECK(loader.position() == data::Position{3, 1, 4});
  CHECK(batches(loader) == std::vector(second.begin() + 2, second.end()));
  for (const auto& batch : loader) {
    CHECK(batch.x.defined());
    loader.set_position({.seed = 3});
    break;
  }
  CHECK(batches(loader) == first);
}

TEST_CASE("loader: one that was moved from says so, and a position that cannot be is refused") {
  data::DataLoader loader(counting(4), {.batch_size = 2});
  auto it = loader.begin();
  auto taken = std::move(it);
  CHECK(it == std::default_sentinel);
  CHECK_THROWS_WITH_AS(++it, "DataLoader: ++ of an iterator that was moved from", Error);
  CHECK(taken->y.numel() == 2);
  const data::DataLoader moved = std::move(loader);
  const std::string message = "DataLoader: it was moved from, and has no samples";
  CHECK(error_of([&] { loader.begin(); }) == message);
  CHECK(error_of([&] { loader.size(); }) == message);
  CHECK(error_of([&] { loader.position(); }) == message);
  CHECK(error_of([&] { loader.set_position({}); }) == message);
  CHECK(error_of([&] { loader.settings(); }) == message);
  CHECK(moved.size() == 2);

  data::DataLoader other(counting(4), {.batch_size = 2});
  for (const data::Position& at : {data::Position{0, -5, 0}, data::Position{0, INT64_MAX, 0}, data::Position{0, 0, -1},
                                   data::Position{0, 0, 5}, data::Position{0, INT64_MAX, 4}})
    CHECK_THROWS_AS(other.set_position(at), Error);
  other.set_position({0, (int64_t(1) << 62) - 1, 4});
  CHECK(other.position().index == 0);
  CHECK_THROWS_WITH_AS(data::DataLoader(counting(4), {.std = {0}}), "DataLoader: a std of 0 would divide by 0", Error);
  CHECK_THROWS_AS(data::DataLoader(counting(4), {.std = {NAN}}), Error);
  CHECK_THROWS_AS(data::DataLoader(counting(4), {.mean = {INFINITY}}), Error);
}
