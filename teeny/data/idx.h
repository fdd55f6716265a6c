#pragma once
// IDX, the file format of MNIST. All numbers are big-endian:
//
//   0 | 0 | type | rank | size of axis 0 (4 bytes) | ... | the elements, row-major
//
// type: 08 uint8, 0C int32, 0D float32, 0E float64. Described at http://yann.lecun.com/exdb/mnist/.
#include <string>

#include "teeny/tensor/tensor.h"

namespace teeny::data {

/// The numbers of a file, gzipped or not. Throws, naming the file, unless it is whole and exactly as long as its header
/// says; no memory is reserved on the word of a header alone.
Tensor read_idx(const std::string& path);

}  // namespace teeny::data
