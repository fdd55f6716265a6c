#include "tinyops/base/merge_axes.h"

#include <algorithm>

namespace tinyops {

int merge_axes(Shape& shape, std::span<Dims* const> strides, int border) {
  for (int a = shape.size() - 1; a >= 0; --a) {
    const int b = a + 1;
    auto continues = [&](const Dims* stride) {  // unsigned: strides over padding of any width may wrap around
      return b >= stride->size() || uint64_t((*stride)[a]) == uint64_t(shape[b]) * uint64_t((*stride)[b]);
    };
    const bool merges = b < shape.size() && b != border && std::ranges::all_of(strides, continues);
    if (!merges && shape[a] != 1) continue;
    if (merges) shape[b] *= shape[a];
    shape.erase(a);
    for (Dims* stride : strides)
      if (a < stride->size()) stride->erase(a);  // the inner axis' stride stays
    border -= a < border;
  }
  return border;
}

}  // namespace tinyops
