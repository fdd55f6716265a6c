// Random values: each is a pure function of the seed and its position in the stream, so threads share nothing.
//
//   word     0  1  2  3 | 4  5  6  7 | ...      a block of Philox gives four words, 16 bytes of the output: a thread
//   block         0     |      1     |          makes one and writes it at once
//                 ▼            ▼
//   out      float x 4  |  float x 4 |          or two doubles, of two words each
//
// Ten rounds of two 32 x 32 bit products for 16 bytes: about as long as the memory takes to store them.
#include "tinyops/cuda/runtime/cuda.h"
#include "tinyops/base/philox.h"

namespace tinyops::cuda {
namespace {

constexpr int kThreads = 256;

/// Words [4g, 4g + 4) of what is drawn, for group g. They are one block where the stream starts with a block, as a
/// tensor's nearly always does, and lie in two where it does not.
__device__ PhiloxBlock group_of_words(uint64_t seed, uint64_t counter, int64_t group) {
  const uint64_t first = counter + 4 * uint64_t(group);  // wraps at 2^64, as the stream does
  PhiloxBlock words = philox_block(seed, first / 4);
  if (const int skip = int(counter % 4)) {
    const PhiloxBlock next = philox_block(seed, (first + 3) / 4);
    const PhiloxBlock block = words;
    for (int i = 0; i < 4; ++i)
      for (int s = 1; s < 4; ++s)  // with constant places the words stay in registers
        if (s == skip) words.words[i] = i + s < 4 ? block.words[(i + s) % 4] : next.words[(i + s) % 4];
  }
  return words;
}

/// out: n values, each from sizeof(T) / 4 words.
template <class T>
__global__ void random_values(uint64_t seed, uint64_t counter, int64_t n, Global<T> out) {
  constexpr int each = 16 / sizeof(T);
  const int64_t group = int64_t(blockIdx.x) * kThreads + threadIdx.x, first = group * each;
  if (first >= n) return;
  const PhiloxBlock b = group_of_words(seed, counter, group);
  Pack<T, each> drawn;
  for (int i = 0; i < each; ++i) {
    if constexpr (sizeof(T) == 4) drawn.v[i] = uniform_float(b.words[i]);
    else drawn.v[i] = uniform_double(b.words[2 * i], b.words[2 * i + 1]);
  }
  if (first + each <= n) vector_at<Pack<T, each>>(out, first) = drawn;
  else
    for (int i = 0; i < each; ++i)
      if (first + i < n) out[first + i] = drawn.v[i];
}

template <class T>
void draw(const RandomKernel& k) {
  const int64_t n = k.out.view.numel(), groups = blocks_for(n, 16 / sizeof(T));
  launch("random", random_values<T>, grid_for(groups, kThreads), k.seed, k.counter, n, memory_of<T>(k.out));
}

}  // namespace

void run_kernel(const RandomKernel& k) {
  if (k.out.view.numel() == 0) return;
  if (k.out.dtype == DType::Float64) draw<double>(k);
  else draw<float>(k);
}

}  // namespace tinyops::cuda
