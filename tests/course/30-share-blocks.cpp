#include <algorithm>

#include "teeny/jit/blocks.h"
#include "teeny/jit/jit.h"
#include "tests/course/tensors.h"

namespace {

using namespace course;
using teeny::Temporary, teeny::Tensor;
using Temporaries = std::vector<Temporary>;

/// A line for each temporary: its size, its block, and the kernels between which it lives.
void draw(const Temporaries& all, const std::vector<size_t>& block) {
  std::string line = "    kernel            ";
  int last = 0;
  for (const Temporary& x : all) last = std::max(last, x.last);
  const auto column = [](const std::string& word, size_t width) {
    return word + std::string(width - std::min(width, word.size()), ' ');
  };
  for (int k = 0; k <= last; ++k) line += column(std::to_string(k), 3);
  report(line.substr(2));
  for (size_t t = 0; t < all.size(); ++t) {
    line = column(text("  ", all[t].bytes, " bytes"), 12) + column(text(" block ", block[t]), 11) + ' ';
    for (int k = 0; k <= all[t].last; ++k)
      line += k < all[t].first ? "   " : k == all[t].first ? "w──" : k == all[t].last ? "r" : "───";
    report(line);
  }
}

/// That the blocks have `at_most` bytes, and no two that live at the same time share one; else with a picture.
void blocks(const std::string& what, const Temporaries& all, size_t at_most) {
  const std::vector<size_t> block = teeny::share_blocks(all);
  expect(block.size() == all.size(),
         text(what, ": ", block.size(), " numbers of blocks for ", all.size(), " temporaries"));
  std::vector<size_t> bytes(all.size(), 0);
  for (size_t t = 0; t < all.size(); ++t) {
    expect(block[t] < all.size(), text(what, ": block ", block[t], " for one of ", all.size(), " temporaries"));
    bytes[block[t]] = std::max(bytes[block[t]], all[t].bytes);
    for (size_t s = 0; s < all.size(); ++s) {
      if (s == t || block[s] != block[t] || all[s].first < all[t].first || all[s].first > all[t].last) continue;
      trying(what);
      draw(all, block);
      expect(false, text(what, ": kernel ", all[s].first, " writes over what is still needed in block ", block[t]));
    }
  }
  size_t total = 0;
  for (size_t size : bytes) total += size;
  if (total <= at_most) return;
  trying(what);
  draw(all, block);
  expect(false, text(what, ": your blocks have ", total, " bytes together, and ", at_most, " are enough"));
}

}  // namespace

EXERCISE("30") {
  blocks("one temporary", {{8, 0, 1}}, 8);
  blocks("two, one after the other", {{8, 0, 1}, {8, 2, 3}}, 8);
  blocks("two, and the kernel that reads the first writes the second", {{8, 0, 1}, {8, 1, 2}}, 16);
  blocks("a short life within a long one", {{8, 0, 5}, {8, 2, 3}}, 16);
  blocks("96, 16 and 64 bytes", {{96, 0, 2}, {16, 1, 3}, {64, 3, 5}}, 112);
  Temporaries chain;
  for (int k = 0; k < 10; ++k) chain.push_back({8, k, k + 1});
  blocks("ten in a chain: two blocks by turns", chain, 16);
  blocks("a gap between two lives", {{8, 0, 1}, {8, 4, 5}, {4, 2, 3}}, 8);
  blocks("a small one and two large ones", {{2, 0, 1}, {100, 2, 3}, {100, 0, 1}}, 102);

  for (int i = 0; i < 300; ++i) {
    Temporaries all;
    for (int64_t t = pick(1, 12); t > 0; --t) {
      const int first = int(pick(0, 9));
      all.push_back({size_t(pick(2, 64)), first, first + int(pick(1, 4))});
    }
    size_t alive = 0;  // at one time, at most
    for (int k = 0; k < 14; ++k) {
      size_t now = 0;
      for (const Temporary& x : all) now += x.first <= k && k <= x.last ? x.bytes : 0;
      alive = std::max(alive, now);
    }
    blocks(text(all.size(), " temporaries, of which ", alive, " bytes are needed at one time"), all, 2 * alive);
  }

  const Tensor x = Tensor::rand({64, 64}).realize();
  const auto run = [](Tensor x) {
    for (int i = 0; i < 10; ++i) x = x.matmul(x) / 64 + 0.001;
    return x.sum();
  };
  const double want = run(x).item();
  teeny::Jit products(run);
  for (int i = 0; i < 3; ++i) products(x);
  tinyops::reset_peak();
  same("ten products in a row, replayed", std::vector{products(x).item()}, std::vector{want}, 1e-5);
  const double matrices = double(tinyops::memory_use().peak) / (64 * 64 * 4);
  expect(matrices < 4, text("a replay of ten products in a row holds ", matrices,
                            " matrices at its peak; the input and two blocks by turns are 3"));
}
