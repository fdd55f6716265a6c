#pragma once
// The two 16-bit floats that C++20 does not have, as they are stored. Arithmetic happens in float32; a value is rounded
// (to nearest, ties to even) when it is stored. A NaN keeps its sign and what of its other bits there is room for.
//
//   float16    1 sign | 5 exponent | 10 fraction       bfloat16   the upper half of a float32
#include <bit>
#include <cstdint>

namespace tinyops {

/// x as a float whose last bit says whether something was cut off. What is rounded from that to fewer bits is what x
/// itself would be rounded to; rounded to nearest twice, it could end on the wrong side of a tie.
constexpr float round_to_odd(double x) {
  const float near = float(x);
  if (double(near) == x || x != x) return near;
  const bool beyond = x < 0 ? double(near) < x : double(near) > x;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(near) - beyond) | 1);
}

struct float16 {
  uint16_t bits = 0;
  constexpr float16() = default;
  constexpr explicit float16(float value);
  constexpr explicit float16(double value) : float16(round_to_odd(value)) {}
  constexpr explicit float16(int value) : float16(double(value)) {}
  constexpr operator float() const;
};

struct bfloat16 {
  uint16_t bits = 0;
  constexpr bfloat16() = default;
  constexpr explicit bfloat16(double value) : bfloat16(round_to_odd(value)) {}
  constexpr explicit bfloat16(int value) : bfloat16(double(value)) {}
  constexpr explicit bfloat16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const bool nan = (u & 0x7fffffff) > 0x7f800000;  // its upper bits, and one more if only lower ones were set
    const uint32_t upper = u >> 16, kept = upper & 0x7f ? upper : upper | 0x40;
    bits = nan ? uint16_t(kept) : uint16_t((u + 0x7fff + (upper & 1)) >> 16);
  }
  constexpr operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

constexpr float16::float16(float value) {
  const uint32_t u = std::bit_cast<uint32_t>(value), sign = u >> 16 & 0x8000, magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000) {                                      // NaN: as bfloat16 does
    const uint32_t upper = magnitude >> 13 & 0x3ff;
    bits = uint16_t(sign | 0x7c00 | (upper ? upper : 0x200));
  } else if (magnitude >= 0x477ff000) bits = uint16_t(sign | 0x7c00);  // 65520 and more round to infinity
  else if (magnitude < 0x38800000) {                                 // subnormal: let a float addition do the rounding
    const float scaled = std::bit_cast<float>(magnitude) + 0.5f;     // 2^-24, the last bit of a half, lands on bit 0
    bits = uint16_t(sign | (std::bit_cast<uint32_t>(scaled) - 0x3f000000));
  } else {
    const uint32_t rounded = magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1);
    bits = uint16_t(sign | rounded >> 13);
  }
}

constexpr float16::operator float() const {
  const uint32_t sign = uint32_t(bits & 0x8000) << 16, rest = uint32_t(bits & 0x7fff) << 13;
  if ((bits & 0x7c00) == 0x7c00) return std::bit_cast<float>(sign | rest | 0x7f800000);
  // 2^112 moves the exponent's bias from 15 to 127, subnormals included.
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(rest) * 0x1p112f));
}

}  // namespace tinyops
