#include "tests/course/views.h"

EXERCISE("05") {
  using namespace course;
  using tinyops::Dims, tinyops::Shape, tinyops::View;
  const auto unfolded = [](const std::string& what, const View& x, int axis, int64_t size, int64_t step,
                           int64_t dilation) {
    int64_t positions = 0;  // counted, not computed
    while (positions * step + dilation * (size - 1) < x.shape[axis]) ++positions;
    Shape to = x.shape;
    to[axis] = positions;
    to.push_back(size);
    const View y = x.unfold(axis, size, step, dilation);
    expect(y.shape == to, text(what, ": the shape is ", y.shape, ", not ", to));
    expect(y.address.coef.size() == to.size(),
           text(what, ": the address has ", y.address.coef.size(), " coefficients for ", to.size(), " axes"));
    for (const tinyops::Guard& guard : y.guards)
      expect(guard.position.coef.size() == to.size(),
             text(what, ": the position of a guard has ", guard.position.coef.size(), " coefficients for ", to.size(),
                  " axes"));
    same_view(what, y, moved(x, to, [&](Dims at) {
                at[axis] = at[axis] * step + at.back() * dilation;
                at.erase(at.size() - 1);
                return at;
              }));
    return y;
  };
  unfolded("(5,) in windows of 3", View::contiguous({5}), 0, 3, 1, 1);
  unfolded("(6,) in windows of 2, 3 apart", View::contiguous({6}), 0, 2, 3, 1);
  unfolded("(7,) in windows of 2, 3 apart: the last element is in none", View::contiguous({7}), 0, 2, 3, 1);
  unfolded("(5,) in windows of 2 taps, 2 apart", View::contiguous({5}), 0, 2, 1, 2);
  unfolded("the rows of (3, 2) in windows of 2", View::contiguous({3, 2}), 0, 2, 1, 1);

  // Padded by hand: one element that is not there (-1) in front of three.
  View padded = View::contiguous({3});
  padded.shape[0] = 4, padded.address.offset = -1;
  padded.guards.push_back({{Dims::filled(1, 1), -1}, 3});
  unfolded("(3,) padded in front, in windows of 2", padded, 0, 2, 1, 1);

  for (int i = 0; i < 40; ++i) {
    const View x = random_view();
    const int axis = int(pick(0, x.rank() - 1));
    const int64_t size = pick(1, x.shape[axis]), step = pick(1, 3);
    const int64_t dilation = size == 1 ? 1 : pick(1, (x.shape[axis] - 1) / (size - 1));
    unfolded(text(x, " along axis ", axis, " in windows of ", size, ", step ", step, ", dilation ", dilation), x, axis,
             size, step, dilation);
  }

  // Padded behind, and the one window that fits ends before the padding.
  padded.address.offset = padded.guards[0].position.offset = 0;
  const View before = padded.unfold(0, 3, 2);
  expect(before.guards.empty(), text("no window meets the padding: that takes no guard: ", before));
  View wide = View::contiguous({64});
  wide.address.coef[0] = int64_t(1) << 58;
  for (const auto& [step, dilation] : {std::pair<int64_t, int64_t>{32, 1}, {1, 32}}) {
    bool refused = false;
    try {
      wide.unfold(0, 2, step, dilation);
    } catch (const tinyops::Error&) { refused = true; }
    expect(refused, text("a stride of 2^58 in windows with step ", step, " and dilation ", dilation,
                         ": 63 bits do not count so far, and far() would have said so"));
  }
}
