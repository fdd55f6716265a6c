// IDX files and the datasets.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>

#include "environment.h"
#include "state_helpers.h"
#include "teeny/data/datasets.h"
#include "teeny/data/idx.h"
#include "temporary_directory.h"

using namespace teeny;
using namespace std::string_literals;

namespace {

std::string gzipped(const std::string& bytes) {
  const TemporaryDirectory directory;
  const gzFile file = gzopen((directory / "x").c_str(), "wb");
  gzwrite(file, bytes.data(), unsigned(bytes.size()));
  gzclose(file);
  return contents(directory / "x");
}

const std::string kTwoByThree = "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"s + "\1\2\3\4\5\xff"s;

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
  for (size_t length = 0; length < kTwoByThree.size(); ++length)
    CHECK(has(read(kTwoByThree.substr(0, length)), "truncated"));
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
  // Of several streams behind each other the contents are one; anything else behind a stream is not a part of the file.
  CHECK(read(gzipped(kTwoByThree.substr(0, 9)) + gzipped(kTwoByThree.substr(9)) + gzipped("")) == "");
  for (const std::string& rest : {"\0"s, "x"s, "\x1f"s, "\x1f\x8b"s, zipped.substr(0, 12), std::string(100000, 'x')})
    CHECK(read(zipped + rest) != "");
  CHECK(read(zipped + "garbage") == path + ": what follows the gzip stream is not another one");
  const std::string damaged = read(zipped.substr(0, zipped.size() - 8) + "12345678");
  CHECK(damaged.find(path) == damaged.rfind(path));  // a file is named once
  CHECK(has(read("\0\1\x08\0\0"s), "no IDX"));
  CHECK(has(read("\0\0\x07\0\0"s), "element type 7"));
  CHECK(has(read("\0\0\x09\0\0"s), "int8"));
  CHECK(has(read("\0\0\x0B\0\0"s), "int16"));
  CHECK(has(read("\0\0\x08\x11"s + std::string(68, '\1')), "17 axes"));
  CHECK(has(read("\0\0\x08\x03"s + std::string(12, '\xff')), "no product"));
  CHECK(has(read("\0\0\x08\x02"s + std::string(8, '\x7f') + "x"), "truncated"));
  CHECK(has(read(gzipped("\0\0\x08\x02"s + std::string(8, '\x7f') + "x")), "truncated"));
  // What claims to hold very much: a megabyte packed into a kilobyte, and a file that is a hole.
  directory.write("bomb", gzipped("\0\0\x08\x01\0\x10\0\0"s + std::string(1 << 20, '\0')));
  CHECK(data::read_idx(directory / "bomb", 1 << 20).numel() == 1 << 20);
  CHECK(has(error_of([&] { data::read_idx(directory / "bomb", 1 << 18); }), "at most 262144 are read"));
  directory.write("holes", "\0\0\x08\x03\0\0\4\0\0\0\4\0\0\1\0\0"s);
  std::filesystem::resize_file(directory / "holes", 16 + (uint64_t(1) << 36));
  CHECK(has(error_of([&] { data::read_idx(directory / "holes"); }), "holes: shape (1024, 1024, 65536) needs"));
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
    const EnvironmentScope mnist("TEENY_MNIST_DIR", path), fashion("TEENY_FASHION_MNIST_DIR", path);
    CHECK(data::mnist().test.size() == 2);
    CHECK(data::fashion_mnist().test.size() == 2);
  }
  if (std::filesystem::exists("/usr/share/datasets/fashion-mnist")) CHECK(data::fashion_mnist().train.size() == 60000);
  else CHECK(has(error_of([] { data::fashion_mnist(); }), "dataset-fashion-mnist"));
}

TEST_CASE("datasets: CIFAR-10's binary files") {
  const TemporaryDirectory directory;
  const auto records = [](std::initializer_list<int> labels) {
    std::string bytes;
    for (int label : labels)
      bytes += char(label) + std::string(1024, char(label)) + std::string(2048, char(200 + label));
    return bytes;
  };
  const auto read = [&] { return error_of([&] { data::cifar10_from(directory / ""); }); };
  CHECK(has(read(), "data_batch_1.bin: cannot read: No such file or directory"));
  for (int batch = 1; batch <= 5; ++batch) directory.write(text("data_batch_", batch, ".bin"), records({batch, 9}));
  CHECK(has(read(), "test_batch.bin: cannot read: No such file or directory"));
  directory.write("test_batch.bin", records({0, 1, 2}));
  const auto [train, test] = data::cifar10_from(directory / "");
  CHECK(train.images.shape() == Shape{10, 3, 32, 32});
  CHECK(train.images.dtype() == DType::UInt8);
  CHECK(train.labels.to_vector<int64_t>() == std::vector<int64_t>{1, 9, 2, 9, 3, 9, 4, 9, 5, 9});
  CHECK(test.labels.to_vector<int64_t>() == std::vector<int64_t>{0, 1, 2});
  CHECK(test.images[2][0].max().item() == 2);
  CHECK(test.images[2][1].min().item() == 202);

  // Cut, lengthened, of another class, too large without taking its place in memory, no file.
  const std::string whole = records({3}), bytes = "one to 10000 records of 3073 bytes wanted";
  for (const size_t length : {size_t(0), size_t(1), size_t(3072), size_t(3074), size_t(2 * 3073 - 1)}) {
    directory.write("data_batch_3.bin", (whole + whole).substr(0, length));
    CHECK(has(read(), text("data_batch_3.bin: ", length, " bytes; ", bytes)));
  }
  directory.write("data_batch_3.bin", records({3, 10}));
  CHECK(has(read(), "data_batch_3.bin: a label of 10 in record 1; there are ten classes"));
  directory.write("data_batch_3.bin", records({3, -1}));
  CHECK(has(read(), "a label of 255"));
  std::filesystem::resize_file(directory / "data_batch_3.bin", uintmax_t(3073) << 30);
  CHECK(has(read(), bytes));
  std::filesystem::remove(directory / "data_batch_3.bin");
  std::filesystem::create_directory(directory / "data_batch_3.bin");
  CHECK(has(read(), "data_batch_3.bin: not a regular file"));
  std::filesystem::remove(directory / "data_batch_3.bin");
  CHECK(mkfifo((directory / "data_batch_3.bin").c_str(), 0600) == 0);
  CHECK(has(read(), "data_batch_3.bin: not a regular file"));
  CHECK(
      has(error_of([&] { data::cifar10_from((directory / "") + std::string("\0x", 2)); }), "a path with a zero byte"));

  const TemporaryDirectory above;  // in the folder that the archive holds
  std::filesystem::create_directory(above / "cifar-10-batches-bin");
  for (int batch = 1; batch <= 5; ++batch) above.write(text("cifar-10-batches-bin/data_batch_", batch, ".bin"), whole);
  above.write("cifar-10-batches-bin/test_batch.bin", whole);
  CHECK(data::cifar10_from(above / "").train.size() == 5);
}

TEST_CASE("datasets: random_split") {
  const data::Dataset whole{Tensor::arange(11).cast(DType::UInt8).reshape({11, 1, 1, 1}), Tensor::arange(11)};
  const auto labels = [&](const std::vector<Scalar>& parts, uint64_t seed) {
    std::vector<std::vector<int64_t>> result;
    for (const data::Dataset& part : data::random_split(whole, parts, seed)) {
      result.push_back(part.labels.to_vector<int64_t>());
      CHECK(part.images.flatten().to_vector<int64_t>() == result.back());  // each image with its label
      CHECK(part.images.dtype() == DType::UInt8);
    }
    return result;
  };
  const auto sizes = [](const std::vector<std::vector<int64_t>>& parts) {
    std::vector<size_t> result;
    for (const auto& part : parts) result.push_back(part.size());
    return result;
  };
  const int64_t rest = 3;
  auto parts = labels({11 - rest, rest}, 7);
  CHECK(sizes(parts) == std::vector<size_t>{8, 3});
  CHECK(parts == labels({8, 3}, 7));
  CHECK(parts != labels({8, 3}, 8));
  std::vector<int64_t> all = parts[0];
  all.insert(all.end(), parts[1].begin(), parts[1].end());
  CHECK_FALSE(std::is_sorted(all.begin(), all.end()));
  std::sort(all.begin(), all.end());
  CHECK(all == Tensor::arange(11).to_vector<int64_t>());
  // PyTorch's rule: rounded down to 5, 3, 2, and the one that is left goes to the first.
  CHECK(sizes(labels({0.5, 0.3, 0.2}, 1)) == std::vector<size_t>{6, 3, 2});
  CHECK(sizes(labels({1.0, 0}, 1)) == std::vector<size_t>{11, 0});
  const auto refused = [&](const std::vector<Scalar>& parts) {
    return error_of([&] { data::random_split(whole, parts); });
  };
  CHECK(refused({5, 5}) == "random_split: the parts add up to 10; sizes to 11 wanted");
  CHECK(refused({0.5, 0.4}) == "random_split: the parts add up to 0.9; fractions to 1 wanted");
  CHECK(refused({12, -1}) == "random_split: a part of 12; 0 <= part <= 11");
  CHECK(refused({1.5, -0.5}) == "random_split: a part of 1.5; 0 <= part <= 1");
  CHECK(has(refused({}), "the parts add up to 0"));
}
