// Golden lines: scans (cumulative sums and the like) and sorting. See test_golden.cpp.
#include "tests/golden.h"

namespace teeny::test {

std::vector<GoldenLine> golden_scan_sort() {
  return {
      {"cumsum", FN(x.cumsum(0))},
      {"cumsum_last", FN(x.cumsum(-1))},
      {"cumsum_middle", FN(x.cumsum(1))},
      {"cumsum_view", FN(x.t().flip(0).cumsum(1))},
      {"cumsum_padded", FN(x.pad({0, 2}, {0, 1}).cumsum(0))},
      {"cumprod", FN(x.cumprod(0))},
      {"cumprod_last", FN(x.cumprod(-1))},
      {"cumprod_middle", FN(x.cumprod(1))},
      {"cummax", FN(x.cummax(0).values)},
      {"cummax_last", FN(x.cummax(-1).values)},
      {"cummax_middle", FN(x.cummax(1).values)},
      {"cummax_indices", FN(x.cummax(0).indices)},
      {"cummax_indices_last", FN(x.cummax(-1).indices)},
      {"cummax_indices_middle", FN(x.cummax(1).indices)},
      {"cummin", FN(x.cummin(0).values)},
      {"cummin_last", FN(x.cummin(-1).values)},
      {"cummin_middle", FN(x.cummin(1).values)},
      {"cummin_indices", FN(x.cummin(0).indices)},
      {"cummin_indices_last", FN(x.cummin(-1).indices)},
      {"cummin_indices_middle", FN(x.cummin(1).indices)},
      {"sort", FN(x.sort(0).values)},
      {"sort_last", FN(x.sort(-1).values)},
      {"sort_middle", FN(x.sort(1).values)},
      {"sort_indices", FN(x.sort(0).indices)},
      {"sort_indices_last", FN(x.sort(-1).indices)},
      {"sort_indices_middle", FN(x.sort(1).indices)},
      {"sort_down", FN(x.sort(0, true).values)},
      {"sort_down_last", FN(x.sort(-1, true).values)},
      {"sort_down_middle", FN(x.sort(1, true).values)},
      {"sort_down_indices", FN(x.sort(0, true).indices)},
      {"sort_down_indices_last", FN(x.sort(-1, true).indices)},
      {"sort_down_indices_middle", FN(x.sort(1, true).indices)},
      {"sort_view", FN(x.t().flip(0).sort().values)},
      {"argsort", FN(x.argsort())},
      {"argsort_down", FN(x.argsort(0, true))},
      {"topk", FN(x.topk(2).values)},
      {"topk_indices", FN(x.topk(2).indices)},
      {"topk_smallest", FN(x.topk(3, 0, false).values)},
      {"topk_all", FN(x.topk(4).values)},
      {"topk_none", FN(x.topk(0).values)},
  };
}

}  // namespace teeny::test
