#include "teeny/data/datasets.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <optional>
#include <random>

#include "teeny/files/file.h"
#include "teeny/data/idx.h"
#include "tinyops/base/environment.h"

namespace teeny::data {

namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// One of the four files; the gzipped one where there are both.
std::string find(const fs::path& directory, const std::string& name) {
  for (const char* ending : {".gz", ""})
    if (const fs::path path = directory / (name + ending); is_there(path)) return path.string();
  fail((directory / name).string(), ".gz: no such file");
}

/// `path` in the source tree of teeny: under the current directory or one above it, or above where the program lies.
std::optional<fs::path> in_source_tree(const fs::path& path) {
  std::error_code ignored;
  for (fs::path base : {fs::current_path(ignored), fs::read_symlink("/proc/self/exe", ignored).parent_path()}) {
    for (; !base.empty(); base = base.parent_path()) {
      if (is_there(base / path)) return base / path;
      if (base == base.root_path()) break;
    }
  }
  return std::nullopt;
}

Dataset read(const fs::path& directory, const std::string& prefix) {
  const std::string image_file = find(directory, prefix + "-images-idx3-ubyte");
  const std::string label_file = find(directory, prefix + "-labels-idx1-ubyte");
  const Tensor images = read_idx(image_file), labels = read_idx(label_file);
  if (images.rank() != 3 || images.dtype() != DType::UInt8)
    fail(image_file, ": ", images.shape(), " of ", images.dtype(), "; (N, H, W) of uint8 wanted");
  if (labels.rank() != 1 || labels.dtype() != DType::UInt8)
    fail(label_file, ": ", labels.shape(), " of ", labels.dtype(), "; (N,) of uint8 wanted");
  if (images.size(0) != labels.size(0))
    fail(label_file, ": ", labels.size(0), " labels for the ", images.size(0), " images of ", image_file);

  std::vector<int64_t> classes;
  for (std::byte label : labels.to_bytes()) {
    if (int(label) > 9) fail(label_file, ": a label of ", int(label), "; there are ten classes");
    classes.push_back(int64_t(label));
  }
  return {images.reshape({images.size(0), 1, images.size(1), images.size(2)}), Tensor::from(classes)};
}

}  // namespace

Datasets mnist_from(const std::string& directory) { return {read(directory, "train"), read(directory, "t10k")}; }

namespace {
Datasets from_variable(const char* name, const std::string& directory) {
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) fail(name, "=", directory, ": there is no such folder");
  return mnist_from(directory);
}
}  // namespace

Datasets mnist() {
  if (const std::string directory = tinyops::environment::mnist_directory(); !directory.empty())
    return from_variable("TEENY_MNIST_DIR", directory);
  if (const std::optional<fs::path> found = in_source_tree("examples/data/mnist")) return mnist_from(found->string());
  fail("mnist: no directory examples/data/mnist in ", fs::current_path().string(),
       " or above it; run from the root of teeny, or set TEENY_MNIST_DIR");
}

Datasets fashion_mnist() {
  if (const std::string directory = tinyops::environment::fashion_mnist_directory(); !directory.empty())
    return from_variable("TEENY_FASHION_MNIST_DIR", directory);
  const std::string installed = "/usr/share/datasets/fashion-mnist";
  if (is_there(installed)) return mnist_from(installed);
  fail("fashion_mnist: no directory ", installed,
       "; install Debian's package dataset-fashion-mnist, or set TEENY_FASHION_MNIST_DIR");
}

namespace {

constexpr int64_t kCifarImage = 3 * 32 * 32, kCifarRecords = 10000;

/// Appends the records of a file: a class, and an image as (3, 32, 32).
void read_cifar(const fs::path& path, std::vector<std::byte>& images, std::vector<int64_t>& labels) {
  File file = open_to_read(path.string());
  const uint64_t size = file.size(), record = 1 + kCifarImage;
  if (size == 0 || size % record != 0 || size / record > kCifarRecords)
    fail(file.path(), ": ", size, " bytes; one to ", kCifarRecords, " records of ", record, " bytes wanted");
  std::vector<std::byte> bytes(size);
  file.read_all(bytes.data(), size);
  for (size_t begin = 0; begin < size; begin += record) {
    const int label = int(bytes[begin]);
    if (label > 9) fail(file.path(), ": a label of ", label, " in record ", begin / record, "; there are ten classes");
    labels.push_back(label);
    images.insert(images.end(), bytes.begin() + begin + 1, bytes.begin() + begin + record);
  }
}

Dataset read_cifar(const std::vector<fs::path>& files) {
  std::vector<std::byte> images;
  std::vector<int64_t> labels;
  for (const fs::path& file : files) read_cifar(file, images, labels);
  return {Tensor::from_bytes(images, DType::UInt8, {int64_t(labels.size()), 3, 32, 32}), Tensor::from(labels)};
}

}  // namespace

Datasets cifar10_from(const std::string& directory) {
  fs::path folder = directory;
  if (is_there(folder / "cifar-10-batches-bin")) folder /= "cifar-10-batches-bin";
  std::vector<fs::path> train;
  for (int batch = 1; batch <= 5; ++batch) train.push_back(folder / text("data_batch_", batch, ".bin"));
  return {read_cifar(train), read_cifar({folder / "test_batch.bin"})};
}

std::vector<Dataset> random_split(const Dataset& dataset, const std::vector<Scalar>& parts, uint64_t seed) {
  dataset.images.lazy("random_split"), dataset.labels.lazy("random_split");
  const int64_t samples = dataset.size();
  const bool fractions = std::ranges::any_of(parts, &Scalar::is_fraction);
  std::vector<int64_t> sizes;
  double all = 0;
  for (const Scalar& part : parts) {
    const double size = part.as<double>(), most = fractions ? 1 : double(samples);
    if (!(size >= 0 && size <= most)) fail("random_split: a part of ", size, "; 0 <= part <= ", most);
    all += size;
    sizes.push_back(fractions ? int64_t(std::floor(size * double(samples))) : part.as<int64_t>());
  }
  if (fractions ? std::abs(all - 1) > 1e-9 : all != double(samples))
    fail("random_split: the parts add up to ", all, "; ", fractions ? "fractions to 1" : text("sizes to ", samples),
         " wanted");
  int64_t left = samples - std::accumulate(sizes.begin(), sizes.end(), int64_t(0));
  for (size_t i = 0; left > 0; i = (i + 1) % sizes.size(), --left) ++sizes[i];

  std::vector<int64_t> order(static_cast<size_t>(samples));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(seed);  // by Fisher and Yates; std::shuffle may differ from library to library
  for (size_t open = order.size(); open > 1; --open) std::swap(order[open - 1], order[random() % open]);
  std::vector<Dataset> result;
  auto begin = order.begin();
  for (const int64_t size : sizes) {
    const Tensor which = Tensor::from(std::vector<int64_t>(begin, begin + size));
    result.push_back({dataset.images.index_select(0, which), dataset.labels.index_select(0, which)});
    begin += size;
  }
  return result;
}

}  // namespace teeny::data
