// What notes/01-numbers.md says of dtypes, and its figure: the bits of 0.1.
#include <bit>
#include <cmath>
#include <iostream>
#include <limits>

#include "teeny/teeny.h"
#include "tinyops/base/decimal.h"

using namespace teeny;

template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;

/// The finite value with the largest bits, and how far it is from 1 to the next one.
template <class T>
std::pair<double, double> largest_and_step(T) {
  if constexpr (std::is_integral_v<T>) return {double(std::numeric_limits<T>::max()), 1};
  else {
    const auto next = [](T value, int by) {
      return double(std::bit_cast<T>(Bits<T>(std::bit_cast<Bits<T>>(value) + by)));
    };
    return {next(T(float(INFINITY)), -1), next(T(1.0f), 1) - 1};
  }
}

template <class T>
void bits(DType dtype, int exponent) {
  const T value(0.1f);
  std::cout << dtype << "\t" << exponent << "\t" << tinyops::decimal(value, 10) << "\t";
  for (int i = 8 * sizeof(T) - 1; i >= 0; --i) std::cout << (std::bit_cast<Bits<T>>(value) >> i & 1);
  std::cout << "\n";
}

int main() {
  std::cout << "== dtypes\n";
  for (const DType d : kDTypes) {
    const auto [largest, step] = with_type(d, [](auto zero) { return largest_and_step(zero); });
    std::cout << "| " << d << " | " << itemsize(d) << " | " << largest << " | " << step << " |\n";
  }
  std::cout << "== promotions\n";
  const DType some[] = {DType::Bool, DType::Int64, DType::Float16, DType::BFloat16, DType::Float32};
  for (const DType a : some) {
    std::cout << "| **" << a << "** |";
    for (const DType b : some) std::cout << " " << promote(a, b) << " |";
    std::cout << "\n";
  }
  std::cout << "== figure bits\n";
  bits<float>(DType::Float32, 8), bits<bfloat16>(DType::BFloat16, 8), bits<float16>(DType::Float16, 5);
}
