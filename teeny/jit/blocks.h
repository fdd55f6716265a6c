#pragma once
// Which temporaries of a recording share memory; for this room alone.
#include <cstddef>
#include <span>
#include <vector>

namespace teeny {

/// A tensor between two kernels: from `first`, which writes it, to `last`, the last one that reads it.
struct Temporary {
  size_t bytes;
  int first, last;
};

/// The number, from 0, of the block of memory in which each of them lies. Lives in one block do not overlap. The
/// largest choose first, so a block is as large as the first one in it, and small ones find room in what is there.
///
///   kernel      0   1   2   3   4   5
///   a  96 KiB   w───r───r                 block 0: a, then c
///   b  16 KiB       w───────r             block 1: b
///   c  64 KiB               w───r───r
std::vector<size_t> share_blocks(std::span<const Temporary> temporaries);

}  // namespace teeny
