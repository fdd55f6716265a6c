// A tile on tensor cores against a product in plain loops, and where it reads shared memory.
#include <doctest/doctest.h>

#include <random>
#include <set>

#include "tinyops/cuda/tensor_tile.h"

namespace tinyops::cuda {
namespace {

/// c (128 x 128) = a (k x 128, turned) * b (k x 128), in steps of 32 k.
template <class T>
__global__ void multiply(Global<const T> a, Global<const T> b, Global<float> c, int k) {
  __shared__ __align__(16) T tile_a[32][136], tile_b[32][136];
  TensorTile<T> tile;
  for (int first = 0; first < k; first += 32) {
    for (int i = int(threadIdx.x); i < 32 * 128; i += 256) {
      tile_a[i / 128][i % 128] = a[first * 128 + i];
      tile_b[i / 128][i % 128] = b[first * 128 + i];
    }
    __syncthreads();
    tile.template multiply<32>(tile_a, tile_b);
    __syncthreads();
  }
  tile.for_each_pair([&](int row, int column, float x, float y) { vector_at<float2>(c, row * 128 + column) = {x, y}; });
}

template <class T>
void check_tile(int k) {
  std::mt19937 random(1);
  std::vector<T> a, b;
  for (int i = 0; i < k * 128; ++i) a.push_back(T(float(int(random() % 9) - 4))), b.push_back(T(float(int(random() % 9) - 4)));
  Buffer da(a.size() * sizeof(T)), db(b.size() * sizeof(T)), dc(128 * 128 * 4);
  write(da.data(), a.data(), da.bytes()), write(db.data(), b.data(), db.bytes());
  launch("tile", multiply<T>, {1, 256}, static_cast<const T*>(da.data()), static_cast<const T*>(db.data()),
         static_cast<float*>(dc.data()), k);
  std::vector<float> got(128 * 128), expected(128 * 128, 0.f);
  read(got.data(), dc.data(), dc.bytes());
  for (int i = 0; i < k; ++i)
    for (int row = 0; row < 128; ++row)
      for (int column = 0; column < 128; ++column)
        expected[size_t(row * 128 + column)] += float(a[size_t(i * 128 + row)]) * float(b[size_t(i * 128 + column)]);
  CHECK(got == expected);
}
TEST_CASE("tensor tile: 128 x 128 sums") {
  for (const int k : {32, 96}) {
    check_tile<teeny::float16>(k);
    check_tile<teeny::bfloat16>(k);
    check_tile<float>(k);
  }
}

TEST_CASE("tensor tile: what a warp reads at once lies in all banks") {
  std::set<int> banks;
  for (int k = 0; k < 8; ++k)  // 8 rows of 16 bytes, as one part of load_matrices reads them
    for (int word = 0; word < 4; ++word) banks.insert((k * 136 * 2 / 4 + word) % 32);
  CHECK(banks.size() == 32);
  banks.clear();
  for (int t = 0; t < 4; ++t)  // tf32: lane 4 g + t reads number g of row t
    for (int g = 0; g < 8; ++g) banks.insert((t * 136 + g) % 32);
  CHECK(banks.size() == 32);
}

}  // namespace
}  // namespace tinyops::cuda
