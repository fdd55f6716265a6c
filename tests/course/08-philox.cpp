#include <cstdio>
#include <cstring>

#include "tests/course/check.h"
#include "tinyops/base/philox.h"

namespace {

using Words = uint32_t[4];

struct Known {
  const char* what;
  uint64_t seed, block;
  Words words;
};
// The first is published, with the algorithm, by Random123; the others were made by its rule.
constexpr Known kKnown[] = {
    {"", 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {"", 0, 1, {0xf8e4cca4, 0x5cb200db, 0xb1a574eb, 0x097eff67}},
    {": the block's upper half counts", 0, 1ull << 32, {0x6ad0c5ec, 0xea236249, 0x73a459f5, 0x074944b3}},
    {": the seed's lower half is the first key", 1, 0, {0xe3e80670, 0xe50a0ebc, 0x95f222c0, 0xb615aa27}},
    {": the seed's upper half is the second key", 1ull << 32, 0, {0xfdde3e0b, 0xfa7e58b6, 0x3380ec46, 0xd8d55c4f}},
    {"", 0x123456789abcdef0, 0x0fedcba987654321, {0x867fcb7e, 0xdcba5f15, 0x0f06ab31, 0x4aec478a}},
    {"", ~0ull, ~0ull >> 2, {0x95a880dd, 0x95be01c8, 0xff3b8f4b, 0x3915061c}},
};

/// What the first one becomes by a slip that can be told from it.
constexpr Known kSlips[] = {
    {"the upper halves are lost: a product of two uint32_t has 32 bits",
     0,
     0,
     {0x653b4d01, 0x2a0f06a0, 0xa83b9cb5, 0x8cabbf40}},
    {"these are the words after 7 rounds; ten are wanted", 0, 0, {0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}},
    {"these are the words after 9 rounds; ten are wanted", 0, 0, {0x7028b1c8, 0xd6594c40, 0x4f2051bb, 0x76d6628e}},
    {"a round too many, or a key that grows before the first round: it grows between two",
     0,
     0,
     {0x5805dfa6, 0x7e9969d4, 0x9ae116f5, 0x5987480f}},
    {"the two products are in each other's place", 0, 0, {0xf72cdb4d, 0xe13b7feb, 0x683975bf, 0x527b9f48}},
    {"nothing was mixed: the counter is 0 and so is the key, until it grows", 0, 0, {0, 0, 0, 0}},
};

/// Words are looked at in hexadecimal.
void same_words(const Known& known, const Words& yours) {
  if (!std::memcmp(yours, known.words, sizeof yours)) return;
  std::string rows[2] = {"\n    want  ", "\n    yours "}, why;
  char word[16];
  for (int i = 0; i < 4; ++i) {
    std::snprintf(word, sizeof word, "  %08x ", known.words[i]), rows[0] += word;
    std::snprintf(word, sizeof word, known.words[i] == yours[i] ? "  %08x " : " [%08x]", yours[i]), rows[1] += word;
  }
  for (const Known& slip : kSlips)
    if (&known == kKnown && !std::memcmp(yours, slip.words, sizeof yours)) why = course::text("\n    ", slip.what);
  std::snprintf(word, sizeof word, "%llx", static_cast<unsigned long long>(known.seed));
  const std::string seed = word;
  std::snprintf(word, sizeof word, "%llx", static_cast<unsigned long long>(known.block));
  course::expect(false, course::text("seed 0x", seed, ", block 0x", word, known.what, rows[0], rows[1], why));
}

}  // namespace

EXERCISE("08") {
  for (const Known& known : kKnown) same_words(known, tinyops::philox_block(known.seed, known.block).words);
}
