// The tensor cores played by the host, against products in plain loops. Which lane holds which element is written here
// once more, in the words of the PTX manual: group = lane / 4, thread = lane % 4.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "tinyops/cuda/contract/mma.h"

namespace tinyops::cuda {
namespace {

/// Small integers: every product and sum of them is exact.
template <class T>
std::vector<T> whole_values(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> result;
  while (result.size() < count) result.push_back(T(float(int(random() % 17) - 8)));
  return result;
}
template <class T>
BufferRef on_device(const std::vector<T>& values) {
  auto buffer = std::make_shared<Buffer>(values.size() * sizeof(T));
  write(buffer->data(), values.data(), buffer->bytes());
  return buffer;
}
template <class T>
std::vector<T> back_on_host(const BufferRef& buffer) {
  std::vector<T> result(buffer->bytes() / sizeof(T));
  read(result.data(), buffer->data(), buffer->bytes());
  return result;
}

/// c (16 x 8) += a (16 x k) * b (k x 8)
template <class T>
std::vector<float> product(const std::vector<T>& a, const std::vector<T>& b, std::vector<float> c) {
  const size_t k = b.size() / 8;
  for (size_t row = 0; row < 16; ++row)
    for (size_t column = 0; column < 8; ++column)
      for (size_t i = 0; i < k; ++i) c[row * 8 + column] += float(a[row * k + i]) * float(b[i * 8 + column]);
  return c;
}

__device__ uint32_t pair(uint16_t low, uint16_t high) { return low | uint32_t(high) << 16; }

__global__ void multiply_tf32(Global<const uint32_t> a, Global<const uint32_t> b, Global<float> c) {
  const int group = int(threadIdx.x) / 4, thread = int(threadIdx.x) % 4;
  uint32_t fa[4], fb[2];
  fa[0] = a[group * 8 + thread];
  fa[1] = a[(group + 8) * 8 + thread];
  fa[2] = a[group * 8 + thread + 4];
  fa[3] = a[(group + 8) * 8 + thread + 4];
  fb[0] = b[thread * 8 + group];
  fb[1] = b[(thread + 4) * 8 + group];
  const auto at = [&](int i) { return (i < 2 ? group : group + 8) * 8 + thread * 2 + (i & 1); };
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[at(i)];
  mma<float>(sums, fa, fb);
  for (int i = 0; i < 4; ++i) c[at(i)] = sums[i];
}

enum class Which { Float16, BFloat16, Half, TwoHalves };
template <Which which>
__global__ void multiply_16(Global<const uint16_t> a, Global<const uint16_t> b, Global<float> c) {
  const int group = int(threadIdx.x) / 4, thread = int(threadIdx.x) % 4;
  const auto at = [&](int i) { return (i < 2 ? group : group + 8) * 8 + thread * 2 + (i & 1); };
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[at(i)];
  if constexpr (which == Which::Half) {
    // a0, a1: row = group; a2, a3: row = group + 8; column = thread * 2 + (i & 1).
    // b: row = thread * 2 + i, column = group
    const uint32_t fa[2] = {pair(a[group * 8 + thread * 2], a[group * 8 + thread * 2 + 1]),
                            pair(a[(group + 8) * 8 + thread * 2], a[(group + 8) * 8 + thread * 2 + 1])};
    const uint32_t fb[1] = {pair(b[thread * 2 * 8 + group], b[(thread * 2 + 1) * 8 + group])};
    mma_float16_half(sums, fa, fb);
  } else {
    uint16_t na[8], nb[4];
    for (int i = 0; i < 8; ++i) {
      const int row = i < 2 || (4 <= i && i < 6) ? group : group + 8;
      const int column = thread * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      na[i] = a[row * 16 + column];
    }
    for (int i = 0; i < 4; ++i) nb[i] = b[(thread * 2 + (i & 1) + (i >= 2 ? 8 : 0)) * 8 + group];
    const uint32_t fa[4] = {pair(na[0], na[1]), pair(na[2], na[3]), pair(na[4], na[5]), pair(na[6], na[7])};
    const uint32_t fb[2] = {pair(nb[0], nb[1]), pair(nb[2], nb[3])};
    if constexpr (which == Which::Float16) mma<tinyops::float16>(sums, fa, fb);
    else if constexpr (which == Which::BFloat16) mma<tinyops::bfloat16>(sums, fa, fb);
    else
      mma_float16_half(sums, {fa[0], fa[1]}, {fb[0]}), mma_float16_half(sums, {fa[2], fa[3]}, {fb[1]});  // as on sm_75
  }
  for (int i = 0; i < 4; ++i) c[at(i)] = sums[i];
}

template <class T, class Bits, class K>
void check_product(K* kernel, size_t k) {
  for (unsigned seed = 0; seed < 4; ++seed) {
    const auto a = whole_values<T>(16 * k, seed), b = whole_values<T>(k * 8, seed + 100);
    const auto c = whole_values<float>(16 * 8, seed + 200);
    const BufferRef da = on_device(a), db = on_device(b), dc = on_device(c);
    launch("mma", kernel, {1, 32}, static_cast<const Bits*>(da->data()), static_cast<const Bits*>(db->data()),
           static_cast<float*>(dc->data()));
    CHECK(back_on_host<float>(dc) == product(a, b, c));
  }
}

TEST_CASE("mma: products of fragments") {
  check_product<float, uint32_t>(multiply_tf32, 8);
  check_product<tinyops::float16, uint16_t>(multiply_16<Which::Float16>, 16);
  check_product<tinyops::bfloat16, uint16_t>(multiply_16<Which::BFloat16>, 16);
  check_product<tinyops::float16, uint16_t>(multiply_16<Which::Half>, 8);
  check_product<tinyops::float16, uint16_t>(multiply_16<Which::TwoHalves>, 16);
}

TEST_CASE("mma: tf32 has 10 bits of mantissa, cut off unless they were rounded") {
  const auto rounded = [](float x) { return std::bit_cast<float>(to_tf32(x)); };
  const float step = 0x1p-10f;
  CHECK(rounded(1 + step) == 1 + step);
  CHECK(rounded(1 + 0.5f * step) == 1 + step);  // ties away from zero
  CHECK(rounded(-1 - 0.5f * step) == -1 - step);
  CHECK(rounded(1 + 0.49f * step) == 1);
  CHECK(rounded(2 - 0.25f * step) == 2);
  CHECK(rounded(0.f) == 0);
  CHECK(std::signbit(rounded(-0.f)));
  CHECK(std::isinf(rounded(INFINITY)));
  CHECK(std::isnan(rounded(NAN)));
  CHECK(std::isinf(rounded(std::numeric_limits<float>::max())));

  std::vector<float> a(16 * 8, 0), b(8 * 8, 0), c(16 * 8, 0);
  a[0] = 1 + 0.75f * step, b[0] = 1;
  const BufferRef da = on_device(a), db = on_device(b), dc = on_device(c);
  launch("mma", multiply_tf32, {1, 32}, static_cast<const uint32_t*>(da->data()),
         static_cast<const uint32_t*>(db->data()), static_cast<float*>(dc->data()));
  CHECK(back_on_host<float>(dc)[0] == 1);
}

}  // namespace
}  // namespace tinyops::cuda
