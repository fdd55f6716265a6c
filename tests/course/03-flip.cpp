#include "tests/course/views.h"

EXERCISE("03") {
  using namespace course;
  using tinyops::Dims, tinyops::View;
  const auto flipped = [](const std::string& what, const View& x, const Dims& axes, const std::vector<int64_t>& want) {
    same_view(what, tried(what, [&] { return x.flip(axes); }), want);
  };
  const View matrix = View::contiguous({2, 3});
  flipped("(2, 3) flipped along axis 1", matrix, {1}, {2, 1, 0, 5, 4, 3});
  flipped("(2, 3) flipped along axis 0", matrix, {0}, {3, 4, 5, 0, 1, 2});
  flipped("(2, 3) flipped along both axes", matrix, {0, 1}, {5, 4, 3, 2, 1, 0});

  // Padded by hand: one element that is not there (-1) in front of three.
  View padded = View::contiguous({3});
  padded.shape[0] = 4, padded.address.offset = -1;
  padded.guards.push_back({{Dims::filled(1, 1), -1}, 3});
  flipped("(3,) padded in front, and flipped: the padding is behind", padded, {0}, {2, 1, 0, -1});

  for (int i = 0; i < 20; ++i) {
    const View x = random_view();
    const int a = int(pick(0, x.rank() - 1));
    flipped(text(x, " flipped along axis ", a), x, Dims::filled(1, a), moved(x, x.shape, [&](Dims at) {
              at[a] = x.shape[a] - 1 - at[a];
              return at;
            }));
  }
}
