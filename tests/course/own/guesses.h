#pragma once
// Exercise 02: how much work is a line of tensor arithmetic? See notes/exercises/02-guesses.md. The check measures
// whatever stands in the table, so a lecturer changes a line of it, and the guesses of last year are worth nothing.
#include <vector>

#include "teeny/teeny.h"

namespace own {
using namespace teeny;

struct Program {
  const char* text;
  Tensor (*run)(const Tensor& x, const Tensor& w, const Tensor& a, const Tensor& b);
};
#define LINE(line)                                                                                           \
  {                                                                                                          \
    .text = #line,                                                                                           \
    .run = [](const Tensor& x, const Tensor& w, const Tensor& a, const Tensor& b) -> Tensor { return line; } \
  }

/// Of x (m, n), w (k, n), a (m) and b (n), all of them float32 and in memory.
inline const std::vector<Program> programs = {
    LINE((x * 2 + 1).relu()),          // 1
    LINE(x.transpose()),               // 2
    LINE(x.softmax()),                 // 3
    LINE((a.unsqueeze(1) * b).sum()),  // 4
    LINE(x.linear(w).relu()),          // 5
    LINE(x.exp().linear(w)),           // 6
};
#undef LINE

struct Guess {
  int64_t nodes;    ///< that the line adds to the graph, and that are to be computed
  int64_t kernels;  ///< that compute them
  int64_t bytes;    ///< that these kernels read and write: each element of each operand once
};

/// One for each program, in order. Sizes change from run to run: give the bytes as a formula.
inline std::vector<Guess> guesses(int64_t m, int64_t n, int64_t k) {
  // [exercise 02
  const int64_t size = 4;  // of a float32
  return {
      {3, 1, size * (m * n + m * n)},                                   // 1
      {0, 0, 0},                                                        // 2
      {6, 1, size * (m * n + m * n)},                                   // 3
      {2, 1, size * (m + n + 1)},                                       // 4
      {2, 1, size * (m * n + k * n + m * k)},                           // 5
      {2, 2, size * (m * n + m * n) + size * (m * n + k * n + m * k)},  // 6
  };
  // exercise 02]
}

}  // namespace own
