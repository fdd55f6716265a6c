#include "tests/course/views.h"

#include <algorithm>
#include <cstdio>

namespace course {
namespace {

/// A row for each element, and an arrow from it to its address: o where it should lie, x where it does, @ where both
/// are.
void draw(const tinyops::View& view, const std::vector<int64_t>& yours, const std::vector<int64_t>& want) {
  constexpr size_t kRows = 12;
  constexpr int64_t kAddresses = 18;
  int64_t low = 0, high = 0;
  for (const std::vector<int64_t>* all : {&yours, &want})
    for (int64_t address : *all) low = std::min(low, address), high = std::max(high, address);
  if (high - low >= kAddresses || yours.size() != want.size() || low < -1) return;
  std::printf("    where each element lies: o wanted, x yours, @ both; left of 0: nowhere\n%18s", "");
  for (int64_t a = 0; a <= high; ++a) std::printf("%3lld", static_cast<long long>(a));
  std::puts("");
  tinyops::Dims at = tinyops::Dims::filled(view.rank(), 0);
  for (size_t i = 0; i < std::min(yours.size(), kRows); ++i) {
    const std::string place = text(at);
    std::printf("    %-10s ", place.c_str());
    for (int64_t a = -1; a <= std::max(yours[i], want[i]); ++a) {
      const bool here = yours[i] == a, there = want[i] == a;
      std::printf("\u2500\u2500%s", here && there ? "@" : here ? "x" : there ? "o" : "\u2500");
    }
    std::puts("");
    for (int a = view.rank() - 1; a >= 0 && ++at[a] == view.shape[a]; --a) at[a] = 0;
  }
  if (yours.size() > kRows) std::puts("    ..");
}

}  // namespace

void same_view(const std::string& what, const tinyops::View& yours, const std::vector<int64_t>& want) {
  const std::vector<int64_t> at = addresses(yours);
  try {
    same(what + ": the address of each element (-1: there is none)", at, want, yours.shape);
  } catch (const Failed&) {
    draw(yours, at, want);
    throw;
  }
}

}  // namespace course
