#pragma once
#include <bit>
#include <cstdint>
#include <type_traits>

#include "tinyops/base/scalar_ops.h"

namespace tinyops {

/// An unsigned integer of the same order as x, for sorting by its bits: -0 equals 0, and NaN is larger than all others.
/// A Key has as many bits as T, or more.
template <class Key, class T>
TINYOPS_HD Key sort_key(T x) {
  if constexpr (std::is_unsigned_v<T>) return Key(x);  // bool, too
  else {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    constexpr Bits sign = Bits(1) << (8 * sizeof(Bits) - 1);
    if (x != x) return Key(~Key(0));
    const Bits bits = std::bit_cast<Bits>(T(x + T(0)));  // -0 becomes 0
    if constexpr (std::is_integral_v<T>) return Key(bits ^ sign);
    return Key(bits & sign ? ~bits : bits | sign);
  }
}

}  // namespace tinyops
