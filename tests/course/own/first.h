#pragma once
// Exercise 00, the first of all. What to write, and why: notes/exercises/00-hello.md. Then `make check EX=0`.
#include "teeny/teeny.h"

namespace own {
using namespace teeny;

/// x has a row for each sample and a column for each feature. In the result every column has mean 0 and standard
/// deviation 1.
inline Tensor standardize(const Tensor& x) {
  // [exercise 00
  return (x - x.mean(0)) / x.std(0);
  // exercise 00]
}

}  // namespace own
