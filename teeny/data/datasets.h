#pragma once
// Labelled images, read from files that are on this machine: nothing is downloaded.
//
//   auto [train, test] = data::mnist();
#include <string>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny::data {

struct Dataset {
  Tensor images;  ///< (N, C, H, W), uint8 from 0 to 255
  Tensor labels;  ///< (N), int64
  int64_t size() const { return images.size(0); }
};

struct Datasets {
  Dataset train, test;
};

/// Handwritten digits, 60,000 and 10,000 images (1, 28, 28), classes 0 to 9. Y. LeCun, C. Cortes, C. J. C. Burges. From
/// $TEENY_MNIST_DIR, or the copy that comes with teeny in examples/data/mnist.
Datasets mnist();

/// The same format with clothes. Xiao, Rasul, Vollgraf: "Fashion-MNIST", 2017. From $TEENY_FASHION_MNIST_DIR, or where
/// Debian's package dataset-fashion-mnist puts it.
Datasets fashion_mnist();

/// MNIST's four files, gzipped or not, in another directory. Throws when one is missing, damaged or does not fit.
Datasets mnist_from(const std::string& directory);

/// CIFAR-10's six binary files, data_batch_1.bin .. data_batch_5.bin and test_batch.bin, in `directory` or in its
/// folder cifar-10-batches-bin: images (3, 32, 32) of ten classes. A file is one to 10,000 records of a byte for the
/// class and 3,072 for the image. Throws when a file is missing or does not fit. A. Krizhevsky: "Learning multiple
/// layers of features from tiny images", 2009.
Datasets cifar10_from(const std::string& directory);

/// The samples in random order, cut into parts that have none in common: of these sizes, which add up to the dataset's,
/// or these fractions, which add up to 1. (Then sizes are rounded down, and the samples left over go to the first
/// parts, one each.) The order follows from the seed alone.
///
///   const auto parts = data::random_split(mnist.train, {0.9, 0.1});
std::vector<Dataset> random_split(const Dataset& dataset, const std::vector<Scalar>& parts, uint64_t seed = 0);

}  // namespace teeny::data
