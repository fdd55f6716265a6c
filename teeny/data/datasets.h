#pragma once
// Labelled images, read from files that are on this machine: nothing is downloaded.
//
//   auto [train, test] = data::mnist();
#include <string>

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

}  // namespace teeny::data
