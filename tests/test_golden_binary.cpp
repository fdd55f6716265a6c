// Golden lines: element-wise operations of two tensors. See test_golden.cpp.
#include <limits>

#include "tests/golden.h"

namespace teeny::test {

std::vector<GoldenLine> golden_binary() {
  return {
      {"add", FN(x + y)},
      {"sub", FN(x - y)},
      {"mul", FN(x * y)},
      {"div", FN(x / y)},
      {"floor_divide", FN(floor_divide(x, y))},
      {"remainder", FN(x % y)},
      {"fmod", FN(x.fmod(y))},
      {"maximum", FN(x.maximum(y))},
      {"minimum", FN(x.minimum(y))},
      {"less", FN(x < y)},
      {"less_equal", FN(x <= y)},
      {"greater", FN(x > y)},
      {"greater_equal", FN(x >= y)},
      {"equal", FN(x == y)},
      {"not_equal", FN(x != y)},
      {"and", FN(x & y)},
      {"or", FN(x | y)},
      {"xor", FN(x ^ y)},
      {"shift_left", FN(x << y)},
      {"shift_right", FN(x >> y)},

      {"pow", FN(x.pow(y))},
      {"pow_0", FN(x.pow(0))},
      {"pow_1", FN(x.pow(1))},
      {"pow_2", FN(x.pow(2))},
      {"pow_3", FN(x.pow(3))},
      {"pow_half", FN(x.pow(0.5))},
      {"pow_third", FN(x.pow(0.3))},
      {"pow_minus_1", FN(x.pow(-1))},
      {"pow_minus_2", FN(x.pow(-2.0))},

      {"2_to_the", FN(Tensor(2).pow(x))},

      {"plus_300", FN(x + 300)},
      {"below_300", FN(x < 300)},
      {"number_equals", FN(x == y)},
      {"plus_2", FN(x + 2)},
      {"plus_half", FN(x + 0.5)},
      {"half_times", FN(0.5 * x)},
      {"divided_by_2", FN(x / 2)},
      {"below_half", FN(x < 0.5)},
      {"equals_1", FN(x == 1)},
      {"2_minus", FN(2 - x)},
      {"remainder_3", FN(x % 3)},
      {"minus_3_remainder", FN(-3 % x)},
      {"maximum_1", FN(x.maximum(1))},
      {"minimum_1", FN(x.minimum(1))},
      {"1_over", FN(1 / x)},
      {"over_0", FN(x / 0)},
      {"7_and", FN(7 & x)},
      {"or_true", FN(x | true)},
      {"xor_3", FN(x ^ 3)},
      {"1_shifted", FN(1 << x)},
      {"shifted_1", FN(x >> 1)},

      {"where", FN(where(x, y, z))},
      {"where_permuted", FN(where(x > 0, y, z).permute({1, 0}))},
      {"where_right", FN(where(x, y, -1))},
      {"where_2", FN(where(x, y, 2))},
      {"where_right_fraction", FN(where(x, y, 0.5))},
      {"where_left", FN(where(x, 0.5, y))},
      {"masked_fill", FN(x.masked_fill(y, -std::numeric_limits<double>::infinity()))},
      {"masked_fill_2", FN(x.masked_fill(y, 2))},
      {"masked_fill_fraction", FN(x.masked_fill(y, 1.5))},
      {"lerp", FN(x.lerp(y, 0.25))},
      {"lerp_weights", FN(x.lerp(y, z))},
      {"infinite_below", FN(where(x < 0, -std::numeric_limits<double>::infinity(), x))},
      {"nan_at", FN((x - x) / (x - x) + y)},
      {"in_place", FN([](Tensor t, const Tensor& x, const Tensor& y) {
         t += y, t *= y, t -= x;
         return t /= y;
       }(x * 1, x, y))},
      {"reused", FN([](const Tensor& t) { return t * t.exp() + t / (t * t + 1); }(x * y))},
      {"many", FN(((x + y) * x - y / 2).exp().sin() + (x < y).cast(x.dtype()) * y)},
      {"twice", FN(x * x + x)},
  };
}

}  // namespace teeny::test
