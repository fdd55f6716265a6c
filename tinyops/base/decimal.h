#pragma once
// A number as text that no locale changes: printf follows setlocale, and a stream the locale it was made in.
#include <charconv>
#include <cmath>
#include <string>
#include <type_traits>

namespace tinyops {

/// `value` with `digits` digits after the point, 0.1250, or with an exponent, 1.2500e-06. A NaN has no sign.
inline std::string decimal(double value, int digits, std::chars_format format = std::chars_format::fixed) {
  if (std::isnan(value)) return "nan";
  char buffer[400];  // the largest double has 309 digits before its point
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value, format, digits).ptr};
}

/// `part` as a stream should have it: a NaN without a sign, which says nothing.
template <class Part>
decltype(auto) without_nan_sign(const Part& part) {
  if constexpr (std::is_floating_point_v<Part>) return std::isnan(part) ? std::fabs(part) : part;
  else return (part);
}

}  // namespace tinyops
