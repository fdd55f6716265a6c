// Times single operations of any geometry: one line in, `kind pass numbers`, and one line out, its milliseconds.
// sweep.py draws geometries and compares; peers/torch_sweep.py answers the same lines. The best of some runs counts:
// whoever else uses the machine makes it slower, nothing makes it faster.
//
//   conv 2 fwd  N C O G  H K stride padding dilation  W K ..      convolution over 2 axes: images, channels in and out,
//                                                                 groups
//   conv_transpose 2 ..                                           transposed; C and O are its own
//   max_pool 2 both  N C  H K stride padding  W ..                pooling; avg_pool alike
//   matmul fwd  B M K N  x_turned y_turned y_shared               a batch of B products; turned: transposed in memory
//   sum fwd  mask  sizes ..                                       over the axes whose bits are set; max, var, softmax alike
//   gather fwd  rows width count                                  rows of a table; its gradient is a sum by index
//
// Passes: fwd; dx and dw, the gradients by the first and by the second operand, without the forward pass; both, the
// forward pass and dx, computed together. Where the gradient is made of the forward pass's result, as softmax's, PyTorch
// has that already: only both compares. All are replayed by a Jit. `peak` is answered by the machine's limits, GFLOP/s
// and GB/s.
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <iostream>
#include <sstream>

#include "examples/common.h"
#include "teeny/teeny.h"
#include "tests/bench/peak.h"
#include "tinyops/device.h"

using namespace teeny;

static Tensor values(const Shape& shape) { return Tensor::randn(shape).realize(); }

/// The numbers that are left on a line.
class Numbers {
 public:
  explicit Numbers(std::istream& from) : from_(from) {}
  int64_t next() {
    int64_t value;
    if (!(from_ >> value)) fail("a number is missing");
    return value;
  }
  std::vector<int64_t> rest() {
    std::vector<int64_t> all;
    for (int64_t value; from_ >> value;) all.push_back(value);
    return all;
  }

 private:
  std::istream& from_;
};

using Work = std::function<void()>;
using Operation = std::function<Tensor(const Tensor&, const Tensor&)>;

/// One pass of f(x, y), replayed by a Jit: a slow kernel is looked for, not the preparation of a call.
static Work work_of(const std::string& pass, const Tensor& x, const Tensor& y, const Operation& f) {
  if (pass != "fwd" && pass != "dx" && pass != "dw" && pass != "both") fail("pass ", pass, ": fwd, dx, dw or both");
  const Tensor grad = pass == "fwd" ? Tensor() : values(f(x, y).shape());
  const Replayer::Call call = [=](std::span<const Tensor> inputs) -> std::vector<Tensor> {
    Tensor a = inputs[0].detach(), b = inputs[1].detach();
    if (pass == "fwd") return {f(a, b)};
    a.requires_grad_(), b.requires_grad_();
    const Tensor out = f(a, b), found = gradient((out * grad).sum(), {pass == "dw" ? b : a})[0];
    if (pass == "both") return {out, found};
    return {found};
  };
  return [=, step = std::make_shared<Replayer>(JitOptions{})] { (*step)(std::array{x, y}, call); };
}

static Work convolution(const std::string& kind, std::istream& line) {
  std::string pass;
  int64_t axes = 0;
  if (!(line >> axes >> pass) || axes < 1 || axes > 3) fail(kind, ": 1 to 3 axes and a pass");
  Numbers numbers(line);
  const int64_t batch = numbers.next(), in = numbers.next(), out = numbers.next(), groups = numbers.next();
  const bool transposed = kind == "conv_transpose";
  Shape image{batch, in}, kernel = transposed ? Shape{in, out / groups} : Shape{out, in / groups};
  Sizes stride{}, padding{}, dilation{};
  for (int64_t a = 0; a < axes; ++a) {
    image.push_back(numbers.next()), kernel.push_back(numbers.next());
    stride.list.push_back(numbers.next()), padding.list.push_back(numbers.next()),
        dilation.list.push_back(numbers.next());
  }
  const ConvOptions options{stride, padding, dilation, groups};
  const ConvTransposeOptions adjoint{stride, padding, 0, dilation, groups};
  return work_of(pass, values(image), values(kernel), [=](const Tensor& x, const Tensor& w) {
    if (transposed)
      return axes == 1   ? x.conv_transpose1d(w, {}, adjoint)
             : axes == 2 ? x.conv_transpose2d(w, {}, adjoint)
                         : x.conv_transpose3d(w, {}, adjoint);
    return axes == 1 ? x.conv1d(w, {}, options) : axes == 2 ? x.conv2d(w, {}, options) : x.conv3d(w, {}, options);
  });
}

static Work pooling(const std::string& kind, std::istream& line) {
  std::string pass;
  int64_t axes = 0;
  if (!(line >> axes >> pass) || axes < 1 || axes > 3) fail(kind, ": 1 to 3 axes and a pass");
  Numbers numbers(line);
  Shape image{numbers.next()};
  image.push_back(numbers.next());
  Sizes window{}, stride{}, padding{};
  for (int64_t a = 0; a < axes; ++a) {
    image.push_back(numbers.next()), window.list.push_back(numbers.next());
    stride.list.push_back(numbers.next()), padding.list.push_back(numbers.next());
  }
  const PoolOptions options{.stride = stride, .padding = padding};
  const bool max = kind == "max_pool";
  return work_of(pass, values(image), values({1}), [=](const Tensor& x, const Tensor&) {
    if (axes == 1) return max ? x.max_pool1d(window, options) : x.avg_pool1d(window, options);
    if (axes == 2) return max ? x.max_pool2d(window, options) : x.avg_pool2d(window, options);
    return max ? x.max_pool3d(window, options) : x.avg_pool3d(window, options);
  });
}

static Work product(std::istream& line) {
  std::string pass;
  line >> pass;
  Numbers numbers(line);
  const int64_t batch = numbers.next(), m = numbers.next(), k = numbers.next(), n = numbers.next();
  const auto matrix = [&](int64_t rows, int64_t columns, bool turned, bool shared) {
    Shape shape{turned ? columns : rows, turned ? rows : columns};
    if (!shared) shape.insert(0, batch);
    return std::pair{values(shape), turned};
  };
  const bool x_turned = numbers.next(), y_turned = numbers.next(), y_shared = numbers.next();
  const auto [x, turn_x] = matrix(m, k, x_turned, batch == 1);
  const auto [y, turn_y] = matrix(k, n, y_turned, batch == 1 || y_shared);
  return work_of(pass, x, y, [=, tx = turn_x, ty = turn_y](const Tensor& x, const Tensor& y) {
    return (tx ? x.transpose() : x).matmul(ty ? y.transpose() : y);
  });
}

static Work reduction(const std::string& kind, std::istream& line) {
  std::string pass;
  line >> pass;
  Numbers numbers(line);
  const int64_t mask = numbers.next();
  Shape shape;
  for (int64_t size : numbers.rest()) shape.push_back(size);
  Dims axes;
  for (int a = 0; a < shape.size(); ++a)
    if (mask >> a & 1) axes.push_back(a);
  if (axes.empty()) fail(kind, ": no axis");
  return work_of(pass, values(shape), values({1}), [=](const Tensor& x, const Tensor&) {
    return kind == "sum" ? x.sum(axes) : kind == "max" ? x.max(axes) : kind == "var" ? x.var(axes) : x.softmax(axes[0]);
  });
}

static Work lookup(std::istream& line) {
  std::string pass;
  line >> pass;
  Numbers numbers(line);
  const int64_t rows = numbers.next(), width = numbers.next(), count = numbers.next();
  const Tensor index = Tensor::randint(0, rows, {count}).realize();
  return work_of(pass, values({rows, width}), values({1}),
                 [=](const Tensor& table, const Tensor&) { return table.index_select(0, index); });
}

static Work read(std::istream& line) {
  std::string kind;
  line >> kind;
  if (kind == "conv" || kind == "conv_transpose") return convolution(kind, line);
  if (kind == "max_pool" || kind == "avg_pool") return pooling(kind, line);
  if (kind == "matmul") return product(line);
  if (kind == "sum" || kind == "max" || kind == "var" || kind == "softmax") return reduction(kind, line);
  if (kind == "gather") return lookup(line);
  fail("kind ", kind, ": unknown");
}

/// Seconds of the best run. A first one that takes `seconds` or longer is the only one.
static double time(const Work& work, double seconds) {
  const auto once = [&] {
    const auto start = std::chrono::steady_clock::now();
    work();
    tinyops::synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  double best = once(), spent = best;
  for (int runs = 1; spent < seconds || (runs < 5 && spent < 4 * seconds); ++runs) {
    const double now = once();
    best = std::min(best, now), spent += now;
  }
  return best;
}

int main(int argc, char** argv) {
  double seconds = 0.03;
  return examples::run(argc, argv, "Times the operations that it reads, one a line.",
                       {{"--seconds", &seconds, "how long each is repeated"}}, [&] {
                         for (std::string text; std::getline(std::cin, text);) {
                           if (text == "peak") {
                             const Peak peak = measure_peak(0.5);
                             std::cout << peak.gflops << ' ' << peak.gb_second << std::endl;
                             continue;
                           }
                           std::istringstream line(text);
                           std::cout << 1e3 * time(read(line), seconds) << std::endl;
                         }
                       });
}
