#pragma once
// A tensor compared with the values it should hold.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "teeny/tensor/tensor.h"

/// Every element within `tolerance * (1 + |wanted|)` of the wanted one.
inline void check_close(const teeny::Tensor& x, const std::vector<double>& wanted, double tolerance) {
  const auto values = x.to_vector<double>();
  REQUIRE(values.size() == wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    INFO("element ", i);
    CHECK(std::abs(values[i] - wanted[i]) <= tolerance * (1 + std::abs(wanted[i])));
  }
}
