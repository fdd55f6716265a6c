// How a kernel accesses its memory. A warp's access is answered in sectors of 32 bytes: where 32 lanes read neighbours,
// each byte that comes is used. Sectors are counted as if there was no cache, and held against the bytes that
// an operation cannot do without: every element read once and written once.
#include <doctest/doctest.h>

#include <string>

#include "teeny/tensor/tensor.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace teeny::test {
namespace {

/// The traffic of what `f` computes.
template <class F>
gpu_emulator::Traffic traffic_of(F&& f) {
  gpu_emulator::traffic = {.counting = true};
  Tensor(f()).realize();
  tinyops::synchronize();
  return std::exchange(gpu_emulator::traffic, {});
}

/// At most `factor` times the sectors of so many floats.
void check_sectors(const std::string& name, const gpu_emulator::Traffic& t, int64_t floats, double factor) {
  REQUIRE(t.sectors > 0);
  const double times = double(t.sectors) / (double(floats) * 4 / 32);
  CHECK_MESSAGE(times <= factor, name << " touches " << times << " times the sectors it needs");
}

Tensor floats(const Shape& shape) { return Tensor::rand(shape).realize(); }

}  // namespace

TEST_CASE("coalescing: a warp's lanes touch neighbours") {
  constexpr int64_t rows = 96, columns = 1024, all = rows * columns;
  const Tensor x = floats({rows, columns}), y = floats({rows, columns});

  check_sectors("add", traffic_of([&] { return x + y; }), 3 * all, 1.05);
  check_sectors("gelu", traffic_of([&] { return x.gelu(); }), 2 * all, 1.05);
  check_sectors("a row is added to all", traffic_of([&] { return x + y[{0}]; }), 3 * all, 1.05);
  check_sectors("sum of rows", traffic_of([&] { return x.sum(1); }), all, 1.1);
  check_sectors("sum of columns", traffic_of([&] { return x.sum(0); }), all, 1.2);
  check_sectors("sum of everything", traffic_of([&] { return x.sum(); }), all, 1.1);
  check_sectors("softmax", traffic_of([&] { return x.softmax(1); }), 2 * all, 1.05);  // a row stays in shared memory
  const auto norm = [&] { return (x - x.mean({1}, true)) * (x.var({1}, 0, true) + 1e-5).rsqrt(); };
  check_sectors("layer norm", traffic_of(norm), 2 * all, 1.1);
  // Parts of a row are read twice.
  check_sectors("running sums", traffic_of([&] { return x.cumsum(1); }), 2 * all, 1.6);
  check_sectors("a slice", traffic_of([&] { return x.shrink({0, 0}, {rows, columns / 2}).contiguous(); }), all, 1.05);
}

TEST_CASE("coalescing: both sides of a transposition") {
  const Tensor x = floats({160, 192}), images = floats({4, 16, 8, 24});
  const gpu_emulator::Traffic turned = traffic_of([&] { return x.transpose(0, 1).contiguous(); });
  CHECK(turned.sectors > 0);
  CHECK(turned.shared_requests > 0);
  CHECK(turned.shared_turns == turned.shared_requests);  // no bank is met twice
  check_sectors("transpose", turned, 2 * 160 * 192, 1.1);
  const gpu_emulator::Traffic last = traffic_of([&] { return images.permute({0, 2, 3, 1}).contiguous(); });
  check_sectors("channels last", last, 2 * images.numel(), 1.1);
  const Tensor bytes = x.cast(DType::UInt8).realize();
  check_sectors("bytes", traffic_of([&] { return bytes.transpose(0, 1).contiguous(); }), 2 * 160 * 192 / 4, 1.1);
}

TEST_CASE("coalescing: rows of an embedding") {
  const Tensor table = floats({500, 256}), index = Tensor::randint(0, 500, {200}).realize();
  const gpu_emulator::Traffic rows = traffic_of([&] { return table.embedding(index); });
  check_sectors("gather", rows, 2 * 200 * 256, 1.04);  // 16 bytes a lane, and its index
}

/// A product reads its operands again for each tile: what counts is that what a warp reads lies together.
TEST_CASE("coalescing: tiles of a product") {
  const Tensor a = floats({128, 192}), b = floats({192, 160});
  for (const bool a_turned : {false, true})
    for (const bool b_turned : {false, true}) {
      const Tensor x = a_turned ? floats({192, 128}).transpose(0, 1) : a,
                   y = b_turned ? floats({160, 192}).transpose(0, 1) : b;
      const gpu_emulator::Traffic t = traffic_of([&] { return x.matmul(y); });
      check_sectors("matmul", t, t.bytes / 4, 1.3);
    }
}

/// A window's rows are short, and begin anywhere: what a warp reads is in pieces, each of which may touch a sector
/// more.
TEST_CASE("coalescing: tiles of a convolution and its gradients") {
  Tensor x = floats({4, 16, 24, 24}).requires_grad_(), w = floats({32, 16, 5, 5}).requires_grad_();
  const Tensor grad = floats({4, 32, 20, 20});
  const auto sum = [&] { return (x.conv2d(w) * grad).sum(); };
  const auto check = [](const char* name, const gpu_emulator::Traffic& t, double factor) {
    check_sectors(name, t, t.bytes / 4, factor);
  };
  check("conv2d", traffic_of([&] { return x.conv2d(w); }), 1.6);
  // Padded, so in more pieces.
  check("its gradient of the images", traffic_of([&] { return gradient(sum(), {x})[0]; }), 2.4);
  check("its gradient of the weights", traffic_of([&] { return gradient(sum(), {w})[0]; }), 2);
}

/// Next to no rows: every element of the matrix is read once.
TEST_CASE("coalescing: a matrix times a vector") {
  const Tensor matrix = floats({256, 512}), x = floats({512}), y = floats({256});
  check_sectors("matrix * vector", traffic_of([&] { return matrix.matmul(x); }), 2 * matrix.numel(), 1.1);
  // The other way round it is cut into parts, which are written and read once more.
  check_sectors("vector * matrix", traffic_of([&] { return y.matmul(matrix); }), matrix.numel(), 1.5);
}

}  // namespace teeny::test
