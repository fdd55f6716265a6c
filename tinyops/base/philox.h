#pragma once
// The random numbers of every backend: word i of a stream is a pure function of the seed and of i, so nobody waits for
// the word before it.
//
//   word    0  1  2  3 | 4  5  6  7 | ...     a block of four words: its number and the seed, ten times mixed
//   block        0     |      1     |
#include <cstdint>

#include "tinyops/base/host_device.h"

namespace tinyops {

/// Philox-4x32-10: the four words of the block with the 128-bit counter {block, 0} under a 64-bit key.
/// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
struct PhiloxBlock {
  uint32_t words[4];
};
TINYOPS_HD inline PhiloxBlock philox_block(uint64_t seed, uint64_t block) {
  PhiloxBlock b = {{uint32_t(block), uint32_t(block >> 32), 0, 0}};
  // [exercise 08
  uint32_t* c = b.words;
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
    const uint64_t p = uint64_t(0xD2511F53) * c[0], q = uint64_t(0xCD9E8D57) * c[2];
    b = {{uint32_t(q >> 32) ^ c[1] ^ k0, uint32_t(q), uint32_t(p >> 32) ^ c[3] ^ k1, uint32_t(p)}};
  }
  // exercise 08]
  return b;
}
/// One word of the stream: four to a block.
TINYOPS_HD inline uint32_t philox(uint64_t seed, uint64_t word) { return philox_block(seed, word / 4).words[word % 4]; }
TINYOPS_HD inline float uniform_float(uint32_t word) { return float(word >> 8) * 0x1p-24f; }
TINYOPS_HD inline double uniform_double(uint32_t high, uint32_t low) {
  return double(uint64_t(high) << 21 ^ low >> 11) * 0x1p-53;
}

}  // namespace tinyops
