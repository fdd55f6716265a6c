// Golden lines: x[{...}] by integers, slices and tensors, and gathering along an axis. See test_golden.cpp.
#include "tests/golden.h"

namespace teeny::test {

std::vector<GoldenLine> golden_indexing() {
  return {
      {"index", FN(x[1])},
      {"index_negative", FN(x[-1])},
      {"index_all", FN(x[{1, 2, 3}])},
      {"index_columns", FN(x[{slice(), 1}])},
      {"slice", FN(x[{slice(1, 3)}])},
      {"slice_open", FN(x[{slice(2), slice({}, -1)}])},
      {"slice_step", FN(x[{slice({}, {}, 2), slice(1, {}, 3)}])},
      {"slice_negative", FN(x[{slice(-3, -1)}])},
      {"slice_beyond", FN(x[{slice(-9, 2), slice(3, 99)}])},
      {"slice_empty", FN(x[{slice(4, 2)}])},
      {"slice_past_end", FN(x[{slice(7)}])},
      {"slice_reverse", FN(x[{slice({}, {}, -1)}])},
      {"slice_reverse_step", FN(x[{slice(3, 0, -2)}])},
      {"slice_reverse_open", FN(x[{slice(-2, {}, -1)}])},
      {"slice_reverse_far", FN(x[{slice(99, -9, -3)}])},
      {"index_ellipsis", FN(x[{ellipsis, 0}])},
      {"index_ellipsis_middle", FN(x[{0, ellipsis, slice(1, 3)}])},
      {"index_new_axis", FN(x[{none, slice(), none, 1}])},
      {"index_mixed", FN(x[{slice(1), none, ellipsis, -1}])},
      {"index_bools", FN(x[{1, slice({}, {}, 2)}])},

      {"at", FN(x[{y}])},
      {"at_column", FN(x[{slice(), y}])},
      {"at_last", FN(x[{ellipsis, y}])},
      {"at_slice", FN(x[{slice(1, {}, 2), y, slice({}, {}, -1)}])},
      {"at_neighbours", FN(x[{slice(), y, z}])},
      {"at_front", FN(x[{y, z}])},
      {"at_apart", FN(x[{y, slice(), z}])},
      {"at_apart_ellipsis", FN(x[{slice(0, 2), y, ellipsis, z}])},
      {"at_three", FN(x[{y, z, w}])},
      {"at_number_first", FN(x[{0, slice(), y}])},
      {"at_number_between", FN(x[{y, 1, z}])},
      {"at_number_last", FN(x[{slice(), y, -1}])},
      {"at_new_axis", FN(x[{none, y, none}])},
      {"at_new_axis_between", FN(x[{y, none, z}])},
      {"at_everything", FN(x[{1, slice({}, {}, 2), y, none, ellipsis, z}])},
      {"at_view", FN(x.transpose(0, 2)[{y, slice(), z}])},
      {"at_middle", FN(x[{slice(), y, z, w, slice()}])},
      {"at_gaps", FN(x[{y, slice(), z, slice(), w}])},
      {"at_numbers_between", FN(x[{y, 1, z, 0, w}])},
      {"at_numbers_around", FN(x[{1, y, none, z, 1}])},
      {"at_new_axes_around", FN(x[{none, y, 1, z, none}])},
      {"at_after_ellipsis", FN(x[{ellipsis, 1, y, none}])},
      {"at_among_slices", FN(x[{1, slice(), slice(1, 4, 2), y, slice(0, 2)}])},
      {"at_one", FN(x[{y}])},
      {"at_twice", FN(x[{y}][{slice(), y}])},

      {"gather", FN(x.gather(0, y))},
      {"gather_last", FN(x.gather(-1, y))},
      {"gather_middle", FN(x.gather(1, y))},
      {"scatter_add", FN(x.scatter_add(0, y, z))},
      {"scatter_add_last", FN(x.scatter_add(-1, y, z))},
      {"index_select", FN(x.index_select(0, y))},
      {"index_select_last", FN(x.index_select(-1, y))},
      {"embedding", FN(x.embedding(y))},
      {"one_hot", FN(x.one_hot(4))},
      {"picked_views", FN(x.t().flip(0).index_select(1, y))},
  };
}

}  // namespace teeny::test
