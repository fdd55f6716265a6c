// IDX files, the datasets, and the loader.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>

#include "teeny/data/idx.h"
#include "teeny/data/loader.h"
#include "temporary_directory.h"

using namespace teeny;
using namespace std::string_literals;

namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string gzipped(const std::string& bytes) {
  const TemporaryDirectory directory;
  const gzFile file = gzopen((directory / "x").c_str(), "wb");
  gzwrite(file, bytes.data(), unsigned(bytes.size()));
  gzclose(file);
  return contents(directory / "x");
}

/// An environment variable that is again what it was.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* before = getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Environment() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

const std::string kTwoByThree = "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"s + "\1\2\3\4\5\xff"s;

/// Images of one pixel, which is the number of the sample; its class is ten times that.
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

TEST_CASE("idx: plain and gzipped, every element type") {
  const TemporaryDirectory directory;
  for (const std::string& bytes : {kTwoByThree, gzipped(kTwoByThree)}) {
    const Tensor x = data::read_idx(directory.write("x", bytes));
    CHECK(x.dtype() == DType::UInt8);
    CHECK(x.shape() == Shape{2, 3});
    CHECK(x.to_vector<int64_t>() == std::vector<int64_t>{1, 2, 3, 4, 5, 255});
  }
  const auto read = [&](const std::string& bytes) { return data::read_idx(directory.write("y", bytes)); };
  CHECK(read("\0\0\x0C\x01\0\0\0\x02\0\0\1\0\xff\xff\xff\xfe"s).to_vector<int64_t>() == std::vector<int64_t>{256, -2});
  CHECK(read("\0\0\x0D\x01\0\0\0\x01\xc0\x20\0\0"s).item() == -2.5);
  CHECK(read("\0\0\x0E\x01\0\0\0\x01\x40\x09\x21\xfb\x54\x44\x2d\x18"s).item() == 3.141592653589793);
  CHECK(read("\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff"s).shape() == Shape{0, 4294967295});
  CHECK(read("\0\0\x08\0\7"s).shape() == Shape{});
}

TEST_CASE("idx: truncated, overlong, corrupt and absurd files are refused by name") {
  const TemporaryDirectory directory;
  const std::string path = directory / "bad";
  const auto read = [&](const std::string& bytes) {
    directory.write("bad", bytes);
    const std::string error = error_of([&] { data::read_idx(path); });
    CHECK((error.empty() || has(error, path)));
    return error;
  };
  const std::string zipped = gzipped(kTwoByThree);
  for (size_t length = 0; length < kTwoByThree.size(); ++length) CHECK(has(read(kTwoByThree.substr(0, length)), "truncated"));
  for (size_t length = 0; length < zipped.size(); ++length) {
    INFO("cut to ", length);
    CHECK(read(zipped.substr(0, length)) != "");
  }
  CHECK(has(read(kTwoByThree + "x"), "longer"));
  CHECK(has(read(gzipped(kTwoByThree + "x")), "longer"));
  for (size_t at = zipped.size() - 8; at < zipped.size(); ++at) {  // the checksum and the length
    std::string bytes = zipped;
    bytes[at] = char(bytes[at] ^ 1);
    CHECK(read(bytes) != "");
  }
  for (size_t at = 0; at < zipped.size(); ++at)
    for (int flip : {1, 4, 16, 64, 255}) {
      std::string bytes = zipped;
      bytes[at] = char(bytes[at] ^ flip);
      read(bytes);  // an Error, or a flip that means nothing; never anything else
    }
  CHECK(has(read("\0\1\x08\0\0"s), "no IDX"));
  CHECK(has(read("\0\0\x07\0\0"s), "element type 7"));
  CHECK(has(read("\0\0\x09\0\0"s), "int8"));
  CHECK(has(read("\0\0\x0B\0\0"s), "int16"));
  CHECK(has(read("\0\0\x08\x11"s + std::string(68, '\1')), "17 axes"));
  CHECK(has(read("\0\0\x08\x03"s + std::string(12, '\xff')), "no product"));
  CHECK(has(read("\0\0\x08\x02"s + std::string(8, '\x7f') + "x"), "truncated"));
  CHECK(has(read(gzipped("\0\0\x08\x02"s + std::string(8, '\x7f') + "x")), "truncated"));
  CHECK(has(error_of([&] { data::read_idx(directory / "none"); }), "No such file"));
  CHECK(has(error_of([&] { data::read_idx(directory / "."); }), "not a regular file"));
}

TEST_CASE("datasets: MNIST as it was published") {
  const auto [train, test] = data::mnist();
  CHECK(train.images.shape() == Shape{60000, 1, 28, 28});
  CHECK(train.images.dtype() == DType::UInt8);
  CHECK(train.labels.shape() == Shape{60000});
  CHECK(train.labels.dtype() == DType::Int64);
  CHECK(test.size() == 10000);
  const auto labels = train.labels.to_vector<int64_t>();
  CHECK(std::vector<int64_t>(labels.begin(), labels.begin() + 8) == std::vector<int64_t>{5, 0, 4, 1, 9, 2, 1, 3});
  int64_t sum = 0;
  for (std::byte pixel : test.images.to_bytes()) sum += int64_t(pixel);
  CHECK(double(sum) / 10000 / 784 / 255 == doctest::Approx(0.1325).epsilon(1e-3));
}

TEST_CASE("datasets: files that do not fit, or are not there, are named") {
  const TemporaryDirectory directory;
  const std::string path = directory / "";
  const auto read = [&] { return error_of([&] { data::mnist_from(path); }); };
  const auto labels = [](int count, int label) {
    return "\0\0\x08\x01\0\0\0"s + char(count) + std::string(size_t(count), char(label));
  };
  const std::string images = "\0\0\x08\x03\0\0\0\2\0\0\0\1\0\0\0\1ab"s;
  CHECK(has(read(), "train-images-idx3-ubyte.gz: no such file"));
  directory.write("train-images-idx3-ubyte", images);
  directory.write("train-labels-idx1-ubyte.gz", gzipped(labels(2, 9)));
  directory.write("t10k-images-idx3-ubyte", images);
  directory.write("t10k-labels-idx1-ubyte", labels(3, 1));
  CHECK(has(read(), "3 labels for the 2 images"));
  directory.write("t10k-labels-idx1-ubyte", labels(2, 10));
  CHECK(has(read(), "a label of 10"));
  directory.write("t10k-labels-idx1-ubyte", images);
  CHECK(has(read(), "t10k-labels-idx1-ubyte: (2, 1, 1)"));
  directory.write("t10k-labels-idx1-ubyte", labels(2, 1));
  CHECK(data::mnist_from(path).train.labels.to_vector<int64_t>() == std::vector<int64_t>{9, 9});
  {
    const Environment mnist("MNIST_DIR", path), fashion("FASHION_MNIST_DIR", path);
    CHECK(data::mnist().test.size() == 2);
    CHECK(data::fashion_mnist().test.size() == 2);
  }
  if (std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    CHECK(data::fashion_mnist().train.size() == 60000);
  else
    CHECK(has(error_of([] { data::fashion_mnist(); }), "dataset-fashion-mnist"));
}

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

  data::DataLoader a(ten, {.batch_size = 3, .shuffle = true, .seed = 7}), b(ten, {.batch_size = 3, .shuffle = true, .seed = 7}),
      other(ten, {.batch_size = 3, .shuffle = true, .seed = 8});
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

TEST_CASE("loader: shapes, dtypes and normalisation") {
  const Tensor pixels = Tensor::arange(24).cast(DType::UInt8).reshape({2, 3, 2, 2});
  data::DataLoader loader({pixels, Tensor::of<int64_t>({1, 2})},
                          {.batch_size = 2, .mean = {0.1f, 0.2f, 0.3f}, .std = {0.5f},
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
  CHECK_THROWS_WITH_AS(([&] { for (const auto& batch : loader) seen += batch.y.defined(); })(), "not this one", Error);
  CHECK(seen == 2);
  CHECK(loader.position().index == 4);
  seen = 0;
  for (const auto& batch : loader) seen += batch.y.defined();
  CHECK(seen == 5);

  data::DataLoader other(counting(4), {.batch_size = 2, .transform = [](auto&&...) { throw 42; }});
  CHECK_THROWS_AS(other.begin(), int);
}

TEST_CASE("loader: random transforms follow from seed, epoch and sample alone") {
  const auto jitter = [](std::span<float> image, const Shape&, std::mt19937_64& random) { image[0] = float(random() % 1000); };
  const auto by_sample = [&](int64_t batch_size, bool shuffle, int64_t epoch) {
    data::DataLoader loader(counting(10), {.batch_size = batch_size, .shuffle = shuffle, .seed = 3, .transform = jitter});
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
  data::DataLoader loader(ten);
  CHECK_THROWS_AS(loader.set_position({.index = 11}), Error);
  CHECK_THROWS_AS(loader.set_position({.epoch = -1}), Error);
  CHECK(loader.position() == data::Position{});
}
