// How the GPU finds its elements; plain C++, so that every build can look: see tinyops/cuda/runtime/views.h.
#include <doctest/doctest.h>

#include "teeny/graph/base.h"
#include "tinyops/cuda/runtime/views.h"

using namespace teeny;
using namespace tinyops::cuda;

TEST_CASE("cuda: division by a known divisor") {
  const int64_t high = int64_t(1) << 31;
  std::vector<int64_t> edges;
  for (int64_t power = 1; power <= high; power *= 2)
    for (int64_t near : {-1, 0, 1}) edges.push_back(power + near);
  for (int64_t n : {3, 7, 10, 641, 1000, 65537, 1000003, 715827883, 1431655765, 2147483629}) edges.push_back(n);
  int64_t wrong = 0;
  for (int64_t d : edges) {
    if (d <= 0) continue;
    const Divider narrow(d, high), wide(d);
    const auto check = [&](int64_t n) {
      int64_t left = n;
      wrong += n < high && narrow.quotient(n) != n / d;
      wrong += wide.divide(left) != n / d || left != n % d;
    };
    for (int64_t n : edges) check(n);
    for (int64_t q : {int64_t(1), int64_t(2), int64_t(3), high / d - 1, high / d})  // where the quotient steps up
      for (int64_t n = q * d - 1; n <= q * d + 1; ++n)
        if (n >= 0) check(n);
    check(INT64_MAX), check(INT64_MAX / d * d);
  }
  CHECK(wrong == 0);
  CHECK(Divider().quotient(high - 1) == high - 1);
  CHECK(Divider(int64_t(1) << 40).quotient(int64_t(5) << 40) == 5);
}

TEST_CASE("cuda: axes that every operand walks as one become one") {
  const auto merge = [](const std::vector<View>& views, int border = 0) {
    std::vector<const Affine*> forms;
    for (const View& view : views) add_forms(view, forms);
    return merge_axes(views[0].shape, forms, border);
  };
  const View plain = View::contiguous({2, 3, 4, 5});
  CHECK(merge({plain}).shape == Shape{120});
  CHECK(merge({plain}).coefs[0] == Dims{1});
  CHECK(merge({plain}, 1).shape == Shape{2, 60});
  CHECK(merge({plain}, 1).border == 1);
  CHECK(merge({plain}, 4).border == 1);
  CHECK(merge({plain}, 4).shape == Shape{120});
  CHECK(merge({View::contiguous({})}).shape == Shape{});
  CHECK(merge({View::contiguous({1, 1, 1})}, 2).border == 0);
  CHECK(merge({View::contiguous({6, 1, 5, 1})}, 2).shape == Shape{6, 5});
  CHECK(merge({View::contiguous({6, 1, 5, 1})}, 2).border == 1);
  const View row = View::contiguous({1, 1, 4, 5}).expand({2, 3, 4, 5});
  CHECK(merge({plain, row}).shape == Shape{6, 20});
  CHECK(merge({plain, row}).coefs[1] == Dims{0, 1});
  const View padded = View::contiguous({2, 3, 4, 3}).pad({0, 0, 0, 1}, {0, 0, 0, 1});
  CHECK(merge({plain, padded}).shape == Shape{24, 5});  // the guard stands in the way
  CHECK(merge({plain, padded}).coefs.size() == 3);
}

TEST_CASE("cuda: the address of an element is the view's") {
  const std::vector<View> views{View::contiguous({2, 3, 4, 5}),
                                View::contiguous({5, 3, 4, 2}).permute({3, 1, 2, 0}).flip({1, 3}),
                                View::contiguous({1, 3, 1, 5}).expand({2, 3, 4, 5})};
  std::vector<const Affine*> forms;
  for (const View& view : views) add_forms(view, forms);
  const MergedAxes merged = merge_axes(views[0].shape, forms);
  const Axes axes(merged.shape);
  int64_t wrong = 0;
  for (int64_t i = 0; i < 120; ++i) {
    const Dims index{i / 60, i / 20 % 3, i / 5 % 4, i % 5};
    for (size_t v = 0; v < views.size(); ++v)
      wrong += Strides(merged.coefs[v], views[v].address.offset).address(axes, i) != views[v].address.at(index);
  }
  CHECK(wrong == 0);
  CHECK(Strides(Dims{}, 7).address(Axes(Shape{}), 0) == 7);
}
