#pragma once
// IDX, the file format of MNIST. All values are big-endian:
//
//   0 | 0 | type | rank | size of axis 0 (4 bytes) | ... | the elements, row-major
//
// type: 08 uint8, 0C int32, 0D float32, 0E float64. Described at http://yann.lecun.com/exdb/mnist/.
#include <string>

#include "teeny/tensor/tensor.h"

namespace teeny::data {

/// The elements of a file, gzipped or not. Throws, naming the file, unless it is complete and exactly as long as its header
/// says; memory is reserved for what was read, not for what the header says.
Tensor read_idx(const std::string& path);

}  // namespace teeny::data
