// The program of notes/19-products-on-a-gpu.md: the bytes that products request, as the emulated GPU counts them, and which tiles
// are chosen for a chip of 132 processors.
#include <iomanip>

#include "tests/book/emulated.h"
#include "tinyops/common/contraction.h"
#include "tinyops/cuda/contract/contract.h"

// `choose` as it is compiled for a GPU, and for an H200: the library has constants of its own for the emulated one.
namespace tinyops::cuda {
const Chip& h200() {
  static const Chip chip{"H200", 132, 227 << 10, 90};
  return chip;
}
}  // namespace tinyops::cuda
#undef TINYOPS_ON_HOST
#define chip h200
#include "tinyops/cuda/contract/contract_plan.cu"
#undef chip

namespace tinyops::cuda {

using gpu_emulator::Traffic;
constexpr int64_t kSize = 256;

// ---- Kernels of the page --------------------------------------------------------------------------------------------

__global__ void product(Global<const float> a, Global<const float> b, Global<float> out) {
  constexpr int64_t k = kSize, n = kSize;
  const int64_t row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
#include "direct"
  out[row * n + column] = sum;
}
__global__ void product_in_tiles(Global<const float> a, Global<const float> b, Global<float> out) {
  __shared__ float tile_a[16][16], tile_b[16][16];
  const unsigned x = threadIdx.x, y = threadIdx.y;
  const int64_t row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
  float sum = 0;
  for (int64_t first = 0; first < kSize; first += 16) {
    tile_a[y][x] = a[row * kSize + first + x], tile_b[y][x] = b[(first + y) * kSize + column];
    __syncthreads();
    for (int i = 0; i < 16; ++i) sum += tile_a[y][i] * tile_b[i][x];
    __syncthreads();
  }
  out[row * kSize + column] = sum;
}

// ---- A product of matrices ------------------------------------------------------------------------------------------

struct Matrices {
  std::vector<float> values_a, values_b;
  Floats a, b, out{kSize * kSize};

  static std::vector<float> values(int64_t step) {
    std::vector<float> result(kSize * kSize);
    for (size_t i = 0; i < result.size(); ++i) result[i] = float(int64_t(i) * step % 17 - 8);
    return result;
  }
  Matrices() : values_a(values(5)), values_b(values(7)), a(values_a), b(values_b) {}

  void check() const {
    const std::vector<float> got = out.values();
    for (int64_t row = 0; row < kSize; ++row)
      for (int64_t column = 0; column < kSize; ++column) {
        float sum = 0;
        for (int64_t k = 0; k < kSize; ++k)
          sum += values_a[size_t(row * kSize + k)] * values_b[size_t(k * kSize + column)];
        expect(got[size_t(row * kSize + column)] == sum, "a product is that of a plain loop");
      }
  }
};

void print_bytes(const char* what, double computed, const char* shared,
                 const std::function<void(Matrices&)>& multiply) {
  Matrices m;
  const Traffic t = traffic_of([&] { multiply(m); });
  m.check();
  constexpr double all = double(kSize * kSize * kSize);
  std::cout << "| " << what << " | " << computed << " | " << double(t.bytes) / all << " | "
            << 32 * double(t.sectors) / all << " | " << shared << " |\n";
}

/// The contraction of two matrices; and its plan with a tile of this shape, its k whole.
Contraction contraction_of(const Shape& shape, const Operand& a, const Operand& b, int reduced) {
  const Shape kept(shape.begin(), shape.end() - reduced);
  return {shape, reduced, a, b, View::contiguous(kept), DType::Float32, {}};
}
Traffic traffic_with(const Contraction& c, int shape, float* out) {
  ProductPlan plan(c, false);
  plan.tiling->shape = shape;
  return traffic_of([&] { multiply(c, plan, reinterpret_cast<char*>(out)); });
}

void print_bytes() {
  std::cout << std::fixed << std::setprecision(3) << "== bytes\n";
  const Grid grid{dim3(kSize / 16, kSize / 16), dim3(16, 16)};
  print_bytes("a thread a sum, in blocks of 16 x 16", 8, "0",
              [&](Matrices& m) { launch("product", product, grid, m.a, m.b, m.out); });
  print_bytes("tiles of 16 x 16, a sum a thread", 8. / 16, "8",
              [&](Matrices& m) { launch("product", product_in_tiles, grid, m.a, m.b, m.out); });

  const auto places = [](const Matrices& m) {
    return Places{reinterpret_cast<const char*>(static_cast<const float*>(m.a)),
                  reinterpret_cast<const char*>(static_cast<const float*>(m.b)),
                  reinterpret_cast<char*>(static_cast<float*>(m.out))};
  };
  print_bytes("`contract_direct.cu`", 8, "16, for the tables, the same in all lanes", [&](Matrices& m) {
    DirectProduct p;
    p.sums = kSize * kSize, p.k = p.k_per_part = kSize, p.kept = 2;
    p.axes = Axes({kSize, kSize, kSize});
    p.a.address = Strides({kSize, 0, 1}, 0), p.b.address = Strides({0, 1, kSize}, 0), p.out = Strides({kSize, 1, 0}, 0);
    multiply_directly(p, DType::Float32, places(m));
  });
  const auto tiles = [&](const char* what, int shape, const char* shared) {
    const TileShape tile = kTileShapes[shape];
    print_bytes(what, 4. / tile.rows + 4. / tile.columns, shared, [&](Matrices& m) {
      const Shape whole{kSize, kSize, kSize};
      Contraction c = contraction_of(whole, {nullptr, DType::Float32, {whole, {{kSize, 0, 1}, 0}, {}}},
                                     {nullptr, DType::Float32, {whole, {{0, 1, kSize}, 0}, {}}}, 1);
      ProductPlan plan(c, false);
      plan.tiling->shape = shape;
      Places from = places(m);
      if (plan.tiling->swapped) std::swap(from.a, from.b);
      multiply_tiles(*plan.tiling, DType::Float32, from);
    });
  };
  tiles("tiles of 64 x 64", 2, "1.5");
  tiles("tiles of 32 x 128", 1, "1.5");
  tiles("tiles of 128 x 128", 0, "1");
}

void print_convolution() {
  using teeny::Tensor;
  const Tensor x = Tensor::rand({4, 16, 24, 24}).realize(), w = Tensor::rand({32, 16, 5, 5}).realize();
  std::optional<ContractKernel> kernel;
  {
    const teeny::ExecutionScope scope({.on_step = [&](const teeny::Step& step) {
      if (const auto* k = std::get_if<ContractKernel>(&step.kernel)) kernel = *k;
    }});
    x.conv2d(w).realize();
  }
  const Contraction c = contraction_of(kernel->shape, kernel->a, kernel->b, kernel->reduced);
  const Floats out(c.out.numel());
  const double all = double(numel(c.shape));
  const auto operand = [](const TileOperand& from) {
    return from.read == Read::AlongK ? "along k" : from.read == Read::AlongX ? "along pixels" : "four at once";
  };
  const ProductPlan plan(c, false);
  const Tiling& tiling = *plan.tiling;
  expect(tiling.shape == 1, "the convolution has tiles of 32 x 128");
  const Traffic t = traffic_with(c, 1, out), large = traffic_with(c, 0, out);
  std::cout << "== convolution\nThe weights are read one by one " << operand(tiling.product.a) << ", the windows "
            << operand(tiling.product.b) << ".\n"
            << "requested " << double(t.bytes) / all << " bytes a multiply-add and touched sectors of "
            << 32 * double(t.sectors) / all << ";\ntiles of 128 x 128 request " << double(large.bytes) / all << ",\n";
}

void print_choices() {
  std::cout << "== choices\n";
  const auto print = [](int64_t m, int64_t n, int64_t k, const char* what) {
    const Choice choice = choose(m, n, k, 1, DType::Float32, true);
    const TileShape tile = kTileShapes[choice.shape];
    std::cout << "| " << m << " x " << n << " x " << k << what << " | " << tile.rows << " x " << tile.columns << " | "
              << choice.parts << " | " << blocks_for(m, tile.rows) * blocks_for(n, tile.columns) * choice.parts
              << " |\n";
  };
  print(128, 512, 784, "");
  print(1024, 1024, 1024, "");
  print(4096, 4096, 4096, "");
  print(32, 51200, 800, ", a convolution");
  print(32, 800, 51200, ", its weights");
}

}  // namespace tinyops::cuda

int main() {
  tinyops::cuda::print_bytes();
  tinyops::cuda::print_convolution();
  tinyops::cuda::print_choices();
}
