#include "tests/course/views.h"

namespace {

using namespace course;
using tinyops::Dims, tinyops::Guard, tinyops::Shape, tinyops::View;

/// compose(outer, inner), where there is a View that shows what both do.
void one(const std::string& what, const View& outer, const View& inner, const std::vector<int64_t>& want) {
  const std::optional<View> both = compose(outer, inner);
  expect(both.has_value(), what + ": one View can say so, and yours does not");
  expect(both->shape == outer.shape, text(what, ": the shape is ", both->shape, ", not ", outer.shape));
  for (const Guard& guard : both->guards)
    expect(guard.position.coef.size() == outer.rank(),
           text(what, ": the position of a guard has ", guard.position.coef.size(), " coefficients for ", outer.rank(),
                " axes"));
  same_view(what, *both, want);
}

/// Each axis of `inner` from another place on, backwards, in steps or padded, and the axes in another order: of all
/// that a View can say, what is done to one axis alone. `from` gives the index of `inner`.
struct Moved {
  View outer;
  std::vector<int64_t> want;

  explicit Moved(const View& inner) {
    const Dims places = row_major(inner.shape);
    std::vector<int> axes;  // of `inner`, in the order in which `outer` has them
    for (int a = 0; a < inner.rank(); ++a) axes.insert(axes.begin() + std::ptrdiff_t(pick(0, a)), a);
    outer.address.coef = Dims::filled(inner.rank(), 0);
    Dims step = places, first = places;
    for (const int a : axes) {
      const int64_t n = inner.shape[a];
      int64_t size, low;  // how many indices, and the lowest of them
      step[a] = 1;
      if (pick(0, 2) == 0) {  // padded
        low = -pick(0, 1), size = n - low + pick(0, 1);
      } else {
        step[a] = pick(1, 2), low = pick(0, n - 1), size = pick(1, (n - 1 - low) / step[a] + 1);
      }
      first[a] = low;
      if (pick(0, 1)) first[a] += step[a] * (size - 1), step[a] = -step[a];
      const int at = outer.shape.size();
      outer.shape.push_back(size);
      outer.address.coef[at] = step[a] * places[a];
      outer.address.offset += first[a] * places[a];
      if (low < 0 || size > n) {
        Guard guard{{Dims::filled(inner.rank(), 0), first[a]}, n};
        guard.position.coef[at] = step[a];
        outer.guards.push_back(guard);
      }
    }
    want = moved(inner, outer.shape, [&](const Dims& at) {
      Dims from = at;
      for (int k = 0; k < at.size(); ++k)
        from[axes[size_t(k)]] = step[axes[size_t(k)]] * at[k] + first[axes[size_t(k)]];
      return from;
    });
  }
};

}  // namespace

EXERCISE("06") {
  const View turned{{3, 2}, {{1, 3}, 0}, {}};  // (2, 3) seen as its transpose
  one("elements 2 and 3 of a transposed (2, 3)", {{2}, {{1}, 2}, {}}, turned, {1, 4});
  one("a transposed (2, 3), last element first", {{3, 2}, {{-2, -1}, 5}, {}}, turned, {5, 2, 4, 1, 3, 0});
  if (const auto both = compose(View::contiguous({6}), turned))
    same_view("all elements of a transposed (2, 3) in a row: no View can say so, and yours does", *both,
              {0, 3, 1, 4, 2, 5});
  one("a transposed (2, 3) with a row on top", {{4, 2}, {{2, 1}, -2}, {{{{1, 0}, -1}, 3}}}, turned,
      {-1, -1, 0, 3, 1, 4, 2, 5});
  const View padded{{2, 4}, {{3, 1}, -1}, {{{{0, 1}, -1}, 3}}};  // a column that is not there in front of (2, 3)
  one("the second row of a padded (2, 3)", {{4}, {{1}, 4}, {}}, padded, {-1, 3, 4, 5});
  const View middle{{2, 3}, {{4, 1}, 1}, {}};
  one("a padded (2, 3) without its padding", middle, padded, {0, 1, 2, 3, 4, 5});
  const auto whole = compose(middle, padded);
  expect(whole->guards.empty(), text("a padded (2, 3) without its padding takes no guard: ", *whole));
  one("a transposed (2, 3) with a column on the right, its rows read backwards",
      {{3, 3}, {{2, -1}, 2}, {{{{0, -1}, 2}, 2}}}, turned, {-1, 3, 0, -1, 4, 1, -1, 5, 2});
  one("windows of 2 over a padded axis of a transposed (2, 3)", {{3, 2, 2}, {{2, 1, 1}, -1}, {{{{0, 1, 1}, -1}, 2}}},
      turned, {-1, 0, 0, 3, -1, 1, 1, 4, -1, 2, 2, 5});

  for (int i = 0; i < 300; ++i) {
    const View inner = random_view();
    const Moved moved_axes(inner);
    one(text(moved_axes.outer, " of ", inner), moved_axes.outer, inner, moved_axes.want);
  }

  // Cut in another way: seldom one View, and if there is one, it must be right.
  for (int i = 0; i < 300; ++i) {
    const View inner = random_view();
    const int64_t count = inner.numel();
    int64_t rows = pick(1, 4);
    while (count % rows) --rows;
    const View outer = View::contiguous({rows, count / rows});
    const auto both = compose(outer, inner);
    if (!both) continue;
    same_view(text(outer, " of ", inner), *both, addresses(inner));
  }
}
