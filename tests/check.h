#pragma once
// What the tests share: when two tensors count as equal, and a short way to write a function of tensors.
#include <string>

#include "teeny/tensor/tensor.h"
#include "teeny/testing.h"

namespace teeny::test {

using testing::is_close, testing::tolerance_of;

/// How `got` differs from `want`; empty when it has the same shape and dtype, and values within the tolerance.
inline std::string difference(const Tensor& got, const Tensor& want) { return testing::allclose(got, want).message; }

/// A function of up to four tensors, for tables with one operation a line: `{"add", FN(x + y)}`.
using Expression = Tensor (*)(const Tensor& x, const Tensor& y, const Tensor& z, const Tensor& w);
#define FN(...)                                                              \
  [](const teeny::Tensor& x, const teeny::Tensor& y, const teeny::Tensor& z, \
     const teeny::Tensor& w) -> teeny::Tensor {                              \
    (void)x, (void)y, (void)z, (void)w;                                      \
    return __VA_ARGS__;                                                      \
  }

}  // namespace teeny::test
