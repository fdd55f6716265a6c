#include "teeny/data/datasets.h"

#include <filesystem>
#include <optional>

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

Datasets mnist() {
  if (const std::string directory = tinyops::environment::mnist_directory(); !directory.empty()) return mnist_from(directory);
  if (const std::optional<fs::path> found = in_source_tree("examples/data/mnist")) return mnist_from(found->string());
  fail("mnist: no directory examples/data/mnist in ", fs::current_path().string(), " or above it; run from the root of teeny, or ",
       "set TEENY_MNIST_DIR");
}

Datasets fashion_mnist() {
  if (const std::string directory = tinyops::environment::fashion_mnist_directory(); !directory.empty())
    return mnist_from(directory);
  const std::string installed = "/usr/share/datasets/fashion-mnist";
  if (is_there(installed)) return mnist_from(installed);
  fail("fashion_mnist: no directory ", installed,
       "; install Debian's package dataset-fashion-mnist, or set TEENY_FASHION_MNIST_DIR");
}

}  // namespace teeny::data
