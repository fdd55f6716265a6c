#pragma once
// A fast checksum of 64 bits: XXH64 (Yann Collet; github.com/Cyan4973/xxHash, doc/xxhash_spec.md), as `xxhsum -H64`
// prints it. It notices damage; it is no protection against somebody who means harm.
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>

namespace tinyops {

/// Four lanes of 64 bits take 32 bytes a round: the four multiplications do not wait for each other.
inline uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed = 0) {
  constexpr uint64_t p1 = 0x9E3779B185EBCA87, p2 = 0xC2B2AE3D27D4EB4F, p3 = 0x165667B19E3779F9, p4 = 0x85EBCA77C2B2AE63,
                     p5 = 0x27D4EB2F165667C5;
  const auto round = [&](uint64_t lane, uint64_t word) {
    lane = std::rotl(lane + word * p2, 31) * p1;
    asm("" : "+r"(lane));  // the lanes stay scalar: a vector's multiplication of 64 bits takes three times as long
    return lane;
  };
  const auto next = [&bytes]<class Word>(Word word) {  // little-endian
    std::memcpy(&word, bytes.data(), sizeof word);
    bytes = bytes.subspan(sizeof word);
    return uint64_t(word);
  };

  const uint64_t length = bytes.size();
  uint64_t hash = seed + p5;
  if (length >= 32) {
    uint64_t a = seed + p1 + p2, b = seed + p2, c = seed, d = seed - p1;
    for (; bytes.size() >= 32; bytes = bytes.subspan(32)) {
      uint64_t words[4];
      std::memcpy(words, bytes.data(), sizeof words);
      a = round(a, words[0]), b = round(b, words[1]), c = round(c, words[2]), d = round(d, words[3]);
    }
    hash = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
    for (uint64_t lane : {a, b, c, d}) hash = (hash ^ round(0, lane)) * p1 + p4;
  }
  hash += length;
  while (bytes.size() >= 8) hash = std::rotl(hash ^ round(0, next(uint64_t())), 27) * p1 + p4;
  if (bytes.size() >= 4) hash = std::rotl(hash ^ next(uint32_t()) * p1, 23) * p2 + p3;
  while (!bytes.empty()) hash = std::rotl(hash ^ next(uint8_t()) * p5, 11) * p1;
  hash = (hash ^ hash >> 33) * p2;
  hash = (hash ^ hash >> 29) * p3;
  return hash ^ hash >> 32;
}

}  // namespace tinyops
