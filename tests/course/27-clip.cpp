#include <csignal>

#include <sys/time.h>
#include <unistd.h>

#include "tests/course/check.h"
#include "tinyops/cpu/operand_access.h"

namespace {

using course::text;

struct Case {
  int64_t position, step, size, low, high;
};

std::string interval(int64_t low, int64_t high) { return text('[', low, ", ", high, ')'); }

/// Yours beside [low, high), which is empty if it is [0, 0).
void same_interval(const Case& c, int64_t low, int64_t high) {
  int64_t your_low = c.low, your_high = c.high;
  tinyops::cpu::clip(c.position, c.step, c.size, your_low, your_high);
  const bool empty = low >= high;
  if (empty ? your_low == your_high : your_low == low && your_high == high) return;
  std::string row;
  if (c.high - c.low <= 8) {
    row = "\n    the positions are";
    for (int64_t i = c.low; i < c.high; ++i) row += text(' ', c.position + c.step * i);
  }
  course::expect(false, text("0 <= ", c.position, " + ", c.step, " * i < ", c.size, " for i in ",
                             interval(c.low, c.high), ": want ", empty ? "none, low == high" : interval(low, high),
                             ", yours ", interval(your_low, your_high), row));
}

/// Every i is tried.
void try_all(const Case& c) {
  int64_t low = 0, high = 0;
  for (int64_t i = c.low; i < c.high; ++i)
    if (const int64_t at = c.position + c.step * i; 0 <= at && at < c.size) {
      if (low == high) low = i;
      high = i + 1;
    }
  same_interval(c, low, high);
}

void stop(int) {
  constexpr char words[] =
      "  0 <= -5 + 2 * i < 2^60 for i in [0, 2^60)\n"
      "    stopped: the answer takes a division or two, however many i there are\n";
  _exit(write(STDOUT_FILENO, words, sizeof words - 1) < 0 ? 2 : 1);
}

}  // namespace

EXERCISE("27") {
  using course::pick;
  for (const Case& c : {Case{-2, 1, 3, 0, 8},
                        {-2, 1, 10, 4, 6},
                        {-7, 1, 1, 0, 4},
                        {5, 0, 5, 0, 4},
                        {-3, 2, 7, 0, 7},
                        {3, -1, 3, 0, 7},
                        {3, -2, 5, 0, 7}})
    try_all(c);
  for (const int64_t step : {1, 0, 2, -1, -2, 3, -3})
    for (int i = 0; i < 500; ++i) try_all({pick(-9, 9), step, pick(0, 8), 0, pick(0, 8)});
  for (int i = 0; i < 10000; ++i) {  // another guard was here before
    const int64_t low = pick(0, 5);
    try_all({pick(-30, 30), pick(-9, 9), pick(0, 20), low, low + pick(0, 8)});
  }

  constexpr int64_t far = int64_t(1) << 60;
  std::signal(SIGVTALRM, stop);
  const itimerval soon{{}, {0, 200000}}, never{};
  setitimer(ITIMER_VIRTUAL, &soon, nullptr);
  same_interval({-5, 2, far, 0, far}, 3, far / 2 + 3);
  setitimer(ITIMER_VIRTUAL, &never, nullptr);
  same_interval({1 - 3 * far / 4, 3, 7, 0, far}, far / 4, far / 4 + 2);  // a double has 53 bits
  same_interval({far + 2, -4, 7, 0, far}, far / 4 - 1, far / 4 + 1);
}
