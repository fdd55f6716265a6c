#pragma once
// IDX, the file format of MNIST. All values are big-endian:
//
//   0 | 0 | type | rank | size of axis 0 (4 bytes) | ... | the elements, row-major
//
// type: 08 uint8, 0C int32, 0D float32, 0E float64. Described at http://yann.lecun.com/exdb/mnist/.
#include <string>

#include "teeny/tensor/tensor.h"

namespace teeny::data {

/// The elements of a file, gzipped or not. Throws, naming the file, unless it is complete and exactly as long as its
/// header says, or when its elements need more than `max_bytes`: a small file may be packed, or have holes, and say it
/// holds very much. Memory is reserved for what was read, not for what the header says.
Tensor read_idx(const std::string& path, int64_t max_bytes = int64_t(4) << 30);

}  // namespace teeny::data
