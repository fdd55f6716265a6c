#include "tests/course/cuda/device.h"
#include "tinyops/cuda/row/row_plan.h"

namespace {

using namespace course;

/// Matrices (h, w), each copied into the memory of its transpose (w, h).
struct Copy {
  int64_t matrices, h, w;
  bool flipped = false;  ///< the columns are read from the last to the first
};

template <class T>
gpu_emulator::Traffic run(const Copy& c) {
  const std::string name = text(c.matrices > 1 ? text(c.matrices, " of ") : "", '(', c.h, ", ", c.w, ')',
                                c.flipped ? ", its columns from the last to the first" : "",
                                sizeof(T) == 8   ? ", float64"
                                : sizeof(T) == 1 ? ", uint8"
                                                 : "");
  const int64_t each = c.h * c.w;
  std::vector<T> numbers;
  std::vector<double> want;
  for (int64_t i = 0; i < c.matrices * each; ++i) numbers.push_back(T(i));
  for (int64_t m = 0; m < c.matrices; ++m)
    for (int64_t x = 0; x < c.w; ++x)
      for (int64_t y = 0; y < c.h; ++y)
        want.push_back(double(numbers[size_t(m * each + y * c.w + (c.flipped ? c.w - 1 - x : x))]));

  const Shape shape{c.matrices, c.w, c.h};
  Operand from = on_device({c.matrices, c.h, c.w}, numbers);
  const Operand to = on_device<T>(shape);
  from.view = {shape, {{each, c.flipped ? -1 : 1, c.w}, c.flipped ? c.w - 1 : 0}, {}};
  const tinyops::RowKernel copy{.shape = shape,
                                .inputs = {{.operand = from}},
                                .program = {{.op = tinyops::Load{0}, .dtype = from.dtype}},
                                .outputs = {{.operand = to}}};
  const auto t = traffic_of("the transpose of " + name, [&] {
    expect(tinyops::cuda::run_transpose(copy), name + ": this kernel was not taken for a transposition");
  });
  same(text("the transpose of ", name, sizeof(T) > 1 ? "; nan: nobody wrote there" : ""), from_device<T>(to), want, 0,
       c.matrices > 1 ? shape : Shape{c.w, c.h});
  return t;
}

}  // namespace

EXERCISE("32") {
  run<float>({1, 32, 32});
  run<float>({1, 64, 96});
  run<float>({1, 33, 70});
  run<float>({1, 8, 250});
  run<float>({3, 40, 24});
  run<float>({1, 40, 34, true});
  run<double>({1, 40, 34});
  run<uint8_t>({1, 65, 40});
  run<float>({pick(1, 4), pick(8, 99), pick(8, 99)});

  for (const auto& [h, w] : {std::pair{32, 32}, {64, 96}}) {
    const auto t = run<float>({1, h, w});
    few_sectors(text('(', h, ", ", w, ')'), t, 2 * 4 * h * w);
    const std::string shared = text('(', h, ", ", w, "): ", t.shared_requests, " requests of warps to shared memory");
    expect(t.shared_requests > 0, shared + ": the tile must be a Shared<T[..][..]>, whose accesses are counted");
    expect(t.shared_turns == t.shared_requests,
           text(shared, " took ", t.shared_turns, " turns, and ", t.shared_requests,
                " are enough: word i is in bank i % 32, and a bank gives one word at a time"));
    if (h == 64) report(text("(64, 96): ", t.sectors, " sectors, the least there is; no bank was met twice"));
  }
}
