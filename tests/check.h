#pragma once
// What the tests share: when two tensors count as equal, and a short way to write a function of tensors.
#include <cmath>
#include <iomanip>
#include <string>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace teeny::test {

/// |got - want| <= tolerance * (1 + |want|). float32 and float64 leave room for a sum of some hundred terms in another
/// order; the 16-bit floats for two roundings to their 11 and 8 bits. Integers and bools must be equal.
inline double tolerance(DType d) {
  switch (d) {
    case DType::Float64: return 1e-12;
    case DType::Float32: return 1e-5;
    case DType::Float16: return 2e-3;
    case DType::BFloat16: return 1.6e-2;
    default: return 0;
  }
}

inline bool close(double got, double want, double tolerance) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return got == want;
  return std::abs(got - want) <= tolerance * (1 + std::abs(want));
}

/// How `got` differs from `want`; empty when it has the same shape and dtype, and values within the tolerance.
inline std::string difference(const Tensor& got, const Tensor& want) {
  if (!got.defined()) return "is undefined";
  if (got.dtype() != want.dtype()) return text("is ", got.dtype(), " and should be ", want.dtype());
  if (!(got.shape() == want.shape())) return text("has shape ", got.shape(), " and should have ", want.shape());
  const bool exact = !is_float(want.dtype());
  if (exact && got.to_bytes() == want.to_bytes()) return "";
  const std::vector<double> g = got.to_vector<double>(), w = want.to_vector<double>();
  for (size_t i = 0; i < w.size(); ++i)
    if (exact ? g[i] != w[i] : !close(g[i], w[i], tolerance(want.dtype())))
      return text(std::setprecision(10), "element ", i, " is ", g[i], " and should be ", w[i], " (", want.dtype(),
                  want.shape(), ")");
  return exact ? "differs in the last digits" : "";
}

/// A function of up to four tensors, for tables with one operation a line: `{"add", FN(x + y)}`.
using Expression = Tensor (*)(const Tensor& x, const Tensor& y, const Tensor& z, const Tensor& w);
#define FN(...)                                                              \
  [](const teeny::Tensor& x, const teeny::Tensor& y, const teeny::Tensor& z, \
     const teeny::Tensor& w) -> teeny::Tensor {                              \
    (void)x, (void)y, (void)z, (void)w;                                      \
    return __VA_ARGS__;                                                      \
  }

}  // namespace teeny::test
