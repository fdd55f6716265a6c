#include "teeny/jit/blocks.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace teeny {

std::vector<size_t> share_blocks(std::span<const Temporary> temporaries) {
  // [exercise 30
  std::vector<size_t> order(temporaries.size()), block(temporaries.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater(), [&](size_t t) { return temporaries[t].bytes; });
  std::vector<std::vector<Temporary>> blocks;
  for (size_t t : order) {
    const Temporary& x = temporaries[t];
    const auto apart = [&](const Temporary& other) { return other.last < x.first || x.last < other.first; };
    auto found = std::ranges::find_if(blocks, [&](const auto& b) { return std::ranges::all_of(b, apart); });
    if (found == blocks.end()) found = blocks.emplace(found);
    found->push_back(x);
    block[t] = size_t(found - blocks.begin());
  }
  return block;
  // exercise 30]
}

}  // namespace teeny
