// Random values: element i of the output is a pure function of (seed, counter + i), so the threads share nothing.
//
//   word    0 1 2 3 | 4 5 6 7 | ...     one block of Philox gives four words; sixteen blocks are computed side by side,
//   block      0    |    1    |         one a lane, so that the compiler can keep them in vector registers
#include "tinyops/cpu/index/index.h"
#include "tinyops/cpu/parallel.h"
#include "tinyops/base/philox.h"
#include "tinyops/device.h"

namespace tinyops::cpu {
namespace {

constexpr int kBlocks = 16;
constexpr int kWords = 4 * kBlocks;

/// kWords words of the stream, from word `4 * first_block` on.
void philox_blocks(uint64_t seed, uint64_t first_block, uint32_t* words) {
#pragma omp simd
  for (int i = 0; i < kBlocks; ++i) {
    const PhiloxBlock block = philox_block(seed, (first_block + uint64_t(i)) & UINT64_MAX >> 2);
    for (int j = 0; j < 4; ++j) words[4 * i + j] = block.words[j];
  }
}

/// Elements [begin, end), each from `per_element` words. A block's index has 62 bits, so the words of the stream wrap
/// around at 2^64, where the counter does.
template <class T>
void fill(T* out, int64_t begin, int64_t end, const RandomKernel& k) {
  constexpr int per_element = sizeof(T) == 8 ? 2 : 1;
  uint32_t words[kWords];
  uint64_t held = 1;  // the words held start at this multiple of 4; 1 is none
  for (int64_t i = begin; i < end; ++i) {
    auto word = [&](uint64_t n) {
      if (held == 1 || n - held >= kWords) philox_blocks(k.seed, (held = n / 4 * 4) / 4, words);
      return words[n - held];
    };
    const uint64_t first = k.counter + per_element * uint64_t(i);
    if constexpr (per_element == 1) out[i] = uniform_float(word(first));
    else {
      const uint32_t high = word(first);
      out[i] = uniform_double(high, word(first + 1));
    }
  }
}

}  // namespace

void run_kernel(const RandomKernel& k) {
  constexpr int64_t piece = 4096;
  const int64_t n = k.out.view.numel();
  with_type(k.out.dtype, [&]<class T>(T) {
    if constexpr (std::is_floating_point_v<T>) {
      T* out = n ? static_cast<T*>(k.out.buffer->data()) : nullptr;
      parallel((n + piece - 1) / piece, 8 * n, [&] {
        return [&](int64_t p) { fill(out, p * piece, std::min(n, (p + 1) * piece), k); };
      });
    } else fail("random: values of dtype ", k.out.dtype, " are not made here");
  });
}

}  // namespace tinyops::cpu
