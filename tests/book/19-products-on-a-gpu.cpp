// The program of notes/19-products-on-a-gpu.md: its kernels, held against a plain loop, with what they ask of memory as
// the emulated GPU counts it; which thread has which elements; and which tiles are chosen for a chip of 132 processors.
#include <iomanip>

#include "tests/book/emulated.h"
#include "tinyops/common/contraction.h"
#include "tinyops/cuda/contract/contract.h"
#include "tinyops/cuda/contract/mma.h"

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
constexpr int kSize = 256;

// ---- Memory ---------------------------------------------------------------------------------------------------------

/// Memory that notes for each element the last thread that touched it, and the block of that.
template <class T>
struct Recorder {
  std::remove_const_t<T>* values;
  int* owner;

  T& operator[](int64_t i) const {
    const auto number = [](const uint3& at, const dim3& size) { return int(at.x + size.x * at.y); };
    owner[i] = number(blockIdx, gridDim) * 1000 + number(threadIdx, blockDim);
    return values[i];
  }
};
template <class V>
V& vector_at(Recorder<float> p, int64_t i) {
  for (int64_t e = 0; e < int64_t(sizeof(V) / 4); ++e) p[i + e];
  return reinterpret_cast<V&>(p.values[i]);
}
template <class V>
const V& vector_at(Recorder<const float> p, int64_t i) {
  return reinterpret_cast<const V&>(p.values[i]);
}

// ---- Kernels --------------------------------------------------------------------------------------------------------

#include "one_sum"
#include "in_tiles"
#include "in_registers"

/// The first one with x and y exchanged.
inline uint3 exchanged(const uint3& at) { return {at.y, at.x, at.z}; }
#define one_sum coalesced
#define threadIdx exchanged(::threadIdx)
#define blockIdx exchanged(::blockIdx)
#include "one_sum"
#undef one_sum
#undef threadIdx
#undef blockIdx

using Four = Pack<float, 4>;
/// `Memory` is Global, or what a figure puts in its place.
template <template <class> class Memory>
void in_fours(Memory<const float> a, Memory<const float> b, Memory<float> c, int n) {
  __shared__ Shared<Four[64][2]> of_a;
  __shared__ Shared<Four[8][16]> of_b;
  const int x = threadIdx.x, y = threadIdx.y, t = 8 * y + x, row = blockIdx.y * 64, column = blockIdx.x * 64;
  Four sums[8][2] = {}, p[8], q[2];
  for (int first = 0; first < n; first += 8) {
#include "in_fours"
    __syncthreads();
  }
  for (int i = 0; i < 16; ++i)
    vector_at<Four>(c, (row + y + i / 2 * 8) * n + column + (x + i % 2 * 8) * 4) = sums[i / 2][i % 2];
}

/// One instruction of a tensor core: c (16 x 8) = a (16 x 8) * b (8 x 8).
template <template <class> class Memory>
void fragments(Memory<const float> a, Memory<const float> b, Memory<float> c) {
  const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
  uint32_t x[4], y[2];
  float sums[4] = {};
  for (int r = 0; r < 4; ++r) x[r] = to_tf32(a[(g + r % 2 * 8) * 8 + t + r / 2 * 4]);
  for (int r = 0; r < 2; ++r) y[r] = to_tf32(b[(t + r * 4) * 8 + g]);
  mma<float>(sums, x, y);
  for (int r = 0; r < 4; ++r) c[(g + r / 2 * 8) * 8 + 2 * t + r % 2] = sums[r];
}

// ---- Products -------------------------------------------------------------------------------------------------------

std::vector<float> values(int64_t count, int64_t step) {
  std::vector<float> result;
  for (int64_t i = 0; i < count; ++i) result.push_back(float(i * step % 17 - 8));
  return result;
}
std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, int m, int n, int k) {
  std::vector<float> result(size_t(m * n));
  for (int row = 0; row < m; ++row)
    for (int i = 0; i < k; ++i)
      for (int column = 0; column < n; ++column)
        result[size_t(row * n + column)] += a[size_t(row * k + i)] * b[size_t(i * n + column)];
  return result;
}

struct Matrices {
  std::vector<float> values_a = values(kSize * kSize, 5), values_b = values(kSize * kSize, 7);
  Floats a{values_a}, b{values_b}, c{kSize * kSize};
};

/// What `multiply` asks of memory; its product must be that of a plain loop.
Traffic counted(const std::function<void(Matrices&)>& multiply) {
  Matrices m;
  const Traffic t = traffic_of([&] { multiply(m); });
  static const std::vector<float> expected = product(m.values_a, m.values_b, kSize, kSize, kSize);
  expect(m.c.values() == expected, "a product is that of a plain loop");
  return t;
}

Places places_of(const Matrices& m) {
  const auto place = [](const Floats& x) { return reinterpret_cast<char*>(static_cast<float*>(x)); };
  return {place(m.a), place(m.b), place(m.c)};
}
Contraction contraction() {
  const Shape whole{kSize, kSize, kSize};
  const Operand a{nullptr, DType::Float32, {whole, {{kSize, 0, 1}, 0}, {}}};
  const Operand b{nullptr, DType::Float32, {whole, {{0, 1, kSize}, 0}, {}}};
  return {whole, 1, a, b, View::contiguous({kSize, kSize}), DType::Float32, {}};
}

/// For each multiply-add of a warp: requests and turns. For each one of a thread: bytes.
struct Rung {
  std::string name;
  double requests, bytes, sectors, shared_requests = 0, turns = 0, shared_bytes = 0;

  Rung(const char* name_, const Traffic& t) : name(name_) {
    constexpr double all = double(kSize) * kSize * kSize;
    requests = 32 * double(t.requests) / all, bytes = double(t.bytes) / all, sectors = 32 * double(t.sectors) / all;
    shared_requests = 32 * double(t.shared_requests) / all, turns = 32 * double(t.shared_turns) / all;
    shared_bytes = double(t.shared_bytes) / all;
  }
};

void print_ladder() {
  const auto with = [](auto kernel, unsigned tile, unsigned threads) {
    return counted([=](Matrices& m) {
      launch("product", kernel, Grid{dim3(kSize / tile, kSize / tile), dim3(threads, threads)}, m.a, m.b, m.c, kSize);
    });
  };
  const Rung ladder[] = {{"1 `one_sum`", with(one_sum, 32, 32)},
                         {"2 `coalesced`", with(coalesced, 32, 32)},
                         {"3 `in_tiles`", with(in_tiles, 32, 32)},
                         {"4 `in_registers`", with(in_registers, 64, 8)},
                         {"5 `in_fours`", with(in_fours<Global>, 64, 8)}};
  std::cout << std::fixed << std::setprecision(3) << "== ladder\n";
  for (const Rung& r : ladder)
    std::cout << "| " << r.name << " | " << r.requests << " | " << r.bytes << " | " << r.sectors << " | "
              << r.shared_requests << " | " << r.turns << " | " << r.shared_bytes << " |\n";

  const Traffic shipped = counted([](Matrices& m) {
    ProductPlan plan(contraction(), false);
    plan.tiling->shape = 0;
    const Places places = places_of(m);
    const bool swapped = plan.tiling->swapped;
    multiply_tiles(*plan.tiling, DType::Float32, swapped ? Places{places.b, places.a, places.out} : places);
  });
  const Rung tiles("6 `contract_tiles.cu`, 128 x 128", shipped);
  const double read = 4. * (8 + 8) / 64;  // its shared memory is not counted: what is read for 8 x 8 sums
  std::cout << "| " << tiles.name << " | " << tiles.requests << " | " << tiles.bytes << " | " << tiles.sectors
            << " | - | - | " << read << ", computed |\n== figure ladder\n";
  // A turn gives each of the 32 lanes up to four bytes.
  for (const Rung& r : ladder) {
    std::string plain = r.name;
    std::erase(plain, '`');
    std::cout << plain << "\t" << r.sectors << "\t" << 4 * r.turns << "\n";
  }
  std::cout << "6 contract_tiles\t" << tiles.sectors << "\t-1\n";
}

// ---- Which thread has which elements --------------------------------------------------------------------------------

struct Recorded {
  std::vector<float> values;
  std::vector<int> owners = std::vector<int>(values.size());

  template <class T>
  operator Recorder<T>() { return {values.data(), owners.data()}; }
  void print(int columns) const {
    for (size_t i = 0; i < owners.size(); ++i)
      std::cout << owners[i] << (int(i + 1) % columns ? " " : "\n");
  }
};

void print_owners() {
  constexpr int n = 128;
  Recorded a{values(n * n, 5)}, b{values(n * n, 7)}, c{std::vector<float>(n * n)};
  gpu_emulator::run_grid(dim3(2, 2), dim3(8, 8), 0, [&] { in_fours<Recorder>(a, b, c, n); });
  expect(c.values == product(a.values, b.values, n, n, n), "a recorded product is that of a plain loop");
  std::cout << "== figure hierarchy\n";
  c.print(n);

  Recorded x{values(16 * 8, 5)}, y{values(8 * 8, 7)}, z{std::vector<float>(16 * 8)};
  gpu_emulator::run_grid(dim3(1), dim3(32), 0, [&] { fragments<Recorder>(x, y, z); });
  expect(z.values == product(x.values, y.values, 16, 8, 8), "a tensor core's product is that of a plain loop");
  for (const auto& [name, matrix] : {std::pair("a", &x), std::pair("b", &y), std::pair("c", &z)}) {
    std::cout << "== figure fragment " << name << "\n";
    matrix->print(8);
  }
}

void print_choices() {
  std::cout << "== choices\n";
  const auto print = [](int64_t m, int64_t n, int64_t k) {
    const Choice choice = choose(m, n, k, 1, DType::Float32, true);
    const TileShape tile = kTileShapes[choice.shape];
    std::cout << m << " x " << n << " x " << k << ": tiles of " << tile.rows << " x " << tile.columns << ", "
              << choice.parts << (choice.parts > 1 ? " parts, " : " part, ")
              << blocks_for(m, tile.rows) * blocks_for(n, tile.columns) * choice.parts << " blocks\n";
  };
  print(4096, 4096, 4096);
  print(128, 512, 784);
}

}  // namespace tinyops::cuda

int main() {
  tinyops::cuda::print_ladder();
  tinyops::cuda::print_owners();
  tinyops::cuda::print_choices();
}
