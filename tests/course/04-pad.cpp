#include "tests/course/views.h"

EXERCISE("04") {
  using namespace course;
  using tinyops::Dims, tinyops::Shape, tinyops::View;
  const auto padded = [](const std::string& what, const View& x, const Dims& before, const Dims& after) {
    Shape to = x.shape;
    for (int a = 0; a < x.rank(); ++a) to[a] += before[a] + after[a];
    const View y = x.pad(before, after);
    expect(y.shape == to, text(what, ": the shape is ", y.shape, ", not ", to));
    for (const tinyops::Guard& guard : y.guards)
      expect(guard.position.coef.size() == x.rank(),
             text(what, ": the position of a guard has ", guard.position.coef.size(), " coefficients for ", x.rank(),
                  " axes"));
    same_view(what, y, moved(x, to, [&](Dims at) {
                for (int a = 0; a < at.size(); ++a) at[a] -= before[a];
                return at;
              }));
    return y;
  };
  padded("(3,) with one place before and two behind", View::contiguous({3}), {1}, {2});
  padded("(2, 2) with a row on top", View::contiguous({2, 2}), {1, 0}, {0, 0});
  padded("(2, 3) with a column on the right", View::contiguous({2, 3}), {0, 0}, {0, 1});

  // Padded by hand: one element that is not there (-1) in front of three.
  View once = View::contiguous({3});
  once.shape[0] = 4, once.address.offset = -1;
  once.guards.push_back({{Dims::filled(1, 1), -1}, 3});
  padded("(3,) padded in front, and padded in front once more", once, {1}, {0});

  for (int i = 0; i < 20; ++i) {
    const View x = random_view();
    Dims before, after;
    for (int a = 0; a < x.rank(); ++a) before.push_back(pick(0, 2)), after.push_back(pick(0, 2));
    padded(text(x, " padded by ", before, " and ", after), x, before, after);
  }

  const View beside = View::contiguous({3, 4}).pad({0, 0}, {0, 1});
  expect(beside.guards.size() == 1,
         text("one axis of two is padded: that takes one guard, not ", beside.guards.size(), ": ", beside));
  const View none = View::contiguous({3, 4}).pad({0, 0}, {0, 0});
  expect(none.guards.empty(), text("nothing is padded: that takes no guard: ", none));
  View wide = View::contiguous({2});
  wide.address.coef[0] = int64_t(1) << 60;
  bool refused = false;
  try {
    wide.pad({16}, {0});
  } catch (const tinyops::Error&) { refused = true; }
  expect(refused, "a stride of 2^60 and 16 places in front: 63 bits do not count so far, and far() would have said so");
}
