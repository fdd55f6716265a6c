#pragma once
// Exercise 01: ten puzzles, each a line or two of tensor arithmetic. The loops say what is meant, and stay in the
// comments. See notes/exercises/01-puzzles.md; `make check EX=1` goes through them in order.
#include "teeny/teeny.h"

namespace own {
using namespace teeny;

/// 1.  for i < n:  out[i] = 1
inline Tensor ones(int64_t n);

/// 2.  for i < a.size, j < b.size:  out[i][j] = a[i] * b[j]
inline Tensor outer(const Tensor& a, const Tensor& b);

/// 3.  for i < n, j < n:  out[i][j] = i == j ? 1 : 0
inline Tensor identity(int64_t n);

/// 4.  x (rows, columns).  for i < rows, j < columns:  out[i][j] = j >= i ? x[i][j] : 0
inline Tensor upper(const Tensor& x);

/// 5.  sum = 0,  for i < x.size:  out[i] = sum += x[i]
inline Tensor running_sum(const Tensor& x);

/// 6.  out[0] = x[0],  for 1 <= i < x.size:  out[i] = x[i] - x[i - 1]
inline Tensor differences(const Tensor& x);

/// 7.  for i < x.size:  out[i] = x[x.size - 1 - i]
inline Tensor backwards(const Tensor& x);

/// 8.  for i < lengths.size, t < n:  out[i][t] = t < lengths[i]        which places of a padded batch are filled
inline Tensor filled(const Tensor& lengths, int64_t n);

/// 9.  out = n zeros,  for i < x.size:  out[x[i]] += 1                 every x[i] is one of 0 .. n-1
inline Tensor counts(const Tensor& x, int64_t n);

/// 10. out = x.size zeros, k = 0,  for i < x.size:  if keep[i]: out[k++] = x[i]        `keep` holds bools
inline Tensor compress(const Tensor& keep, const Tensor& x);

// [exercise 01
inline Tensor ones(int64_t n) { return Tensor::arange(n) * 0 + 1; }

inline Tensor outer(const Tensor& a, const Tensor& b) { return a.unsqueeze(1) * b; }

inline Tensor identity(int64_t n) {
  const Tensor i = Tensor::arange(n);
  return where(i.unsqueeze(1) == i, 1, 0);
}

inline Tensor upper(const Tensor& x) {
  const Tensor row = Tensor::arange(x.size(0)), column = Tensor::arange(x.size(1));
  return where(column >= row.unsqueeze(1), x, 0);
}

inline Tensor running_sum(const Tensor& x) {
  const Tensor row_of_ones = ones(x.size(0));
  return x.matmul(upper(outer(row_of_ones, row_of_ones)));
}

inline Tensor differences(const Tensor& x) {
  const Tensor i = Tensor::arange(x.size(0));
  return x - where(i > 0, x[(i - 1).maximum(0)], 0);
}

inline Tensor backwards(const Tensor& x) { return x[x.size(0) - 1 - Tensor::arange(x.size(0))]; }

inline Tensor filled(const Tensor& lengths, int64_t n) { return Tensor::arange(n) < lengths.unsqueeze(1); }

inline Tensor counts(const Tensor& x, int64_t n) { return (x.unsqueeze(1) == Tensor::arange(n)).sum(0); }

inline Tensor compress(const Tensor& keep, const Tensor& x) {
  const Tensor one_if_kept = where(keep, 1, 0), place = running_sum(one_if_kept) - 1;
  const Tensor goes_to = place.unsqueeze(1) == Tensor::arange(x.size(0));  // (from, to)
  return (x * one_if_kept).matmul(where(goes_to, 1, 0));
}
// exercise 01]

}  // namespace own
