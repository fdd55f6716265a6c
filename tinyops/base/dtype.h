#pragma once
// The data types, and how they mix.
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <ostream>
#include <string_view>
#include <type_traits>

#include "tinyops/base/error.h"
#include "tinyops/base/float16.h"

namespace tinyops {

/// In promotion order: see `promote`. A bool is stored as one byte, 0 or 1.
enum class DType : uint8_t { Bool, UInt8, Int32, Int64, Float16, BFloat16, Float32, Float64 };

inline constexpr DType kDTypes[] = {DType::Bool,    DType::UInt8,    DType::Int32,   DType::Int64,
                                    DType::Float16, DType::BFloat16, DType::Float32, DType::Float64};

constexpr int64_t itemsize(DType d) {
  constexpr int64_t bytes[] = {1, 1, 4, 8, 2, 2, 4, 8};
  return bytes[int(d)];
}
constexpr std::string_view name(DType d) {
  constexpr std::string_view names[] = {"bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"};
  return names[int(d)];
}
inline std::ostream& operator<<(std::ostream& out, DType d) { return out << name(d); }

constexpr bool is_float(DType d) { return d >= DType::Float16; }
constexpr bool is_int(DType d) { return d >= DType::UInt8 && d <= DType::Int64; }

/// The type of `a op b`, as in PyTorch: the wider of the two, a float beats any integer, and float16 with bfloat16,
/// neither of which holds the other, gives float32.
constexpr DType promote(DType a, DType b) {
  if (a != b && itemsize(a) == 2 && itemsize(b) == 2) return DType::Float32;  // the two 16-bit floats
  return a < b ? b : a;
}

/// Which DType a C++ type is stored as.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::same_as<T, bool>) return DType::Bool;
  else if constexpr (std::same_as<T, uint8_t>) return DType::UInt8;
  else if constexpr (std::same_as<T, int32_t>) return DType::Int32;
  else if constexpr (std::integral<T> && sizeof(T) == 8) return DType::Int64;
  else if constexpr (std::same_as<T, float16>) return DType::Float16;
  else if constexpr (std::same_as<T, bfloat16>) return DType::BFloat16;
  else if constexpr (std::same_as<T, float>) return DType::Float32;
  else {
    static_assert(std::same_as<T, double>, "not an element type of teeny");
    return DType::Float64;
  }
}

/// Calls `f` with a zero of the C++ type that stores `d`: the bridge from a DType to a template.
template <class F>
decltype(auto) with_type(DType d, F&& f) {
  switch (d) {
    case DType::Bool: return f(bool{});
    case DType::UInt8: return f(uint8_t{});
    case DType::Int32: return f(int32_t{});
    case DType::Int64: return f(int64_t{});
    case DType::Float16: return f(float16{});
    case DType::BFloat16: return f(bfloat16{});
    case DType::Float32: return f(float{});
    case DType::Float64: return f(double{});
  }
  fail("unknown dtype ", int(d));
}

/// A literal of the program. It takes the dtype of the tensor beside it, unless it is a fraction and the tensor
/// holds integers: then the result is float32 (PyTorch's rule for Python scalars).
class Scalar {
 public:
  template <std::integral T>
  Scalar(T value) : dtype_(std::same_as<T, bool> ? DType::Bool : DType::Int64), integer_(int64_t(value)) {
    if (value > T(0) && int64_t(value) < 0) fail("Scalar: ", value, " does not fit int64; write it as a double");
  }
  template <std::floating_point T>
  Scalar(T value) : dtype_(DType::Float64), real_(double(value)) {}

  bool is_fraction() const { return dtype_ == DType::Float64; }
  bool is_bool() const { return dtype_ == DType::Bool; }

  /// The number as a T; a fraction is cut towards zero where T is an integer, and saturates where it does not fit.
  template <class T>
  T as() const {
    if constexpr (std::same_as<T, bool>) return is_fraction() ? real_ != 0 : integer_ != 0;
    else if constexpr (std::same_as<T, float16> || std::same_as<T, bfloat16>) return T(as<float>());
    else if constexpr (std::integral<T>) {
      if (!is_fraction()) return T(integer_);
      if (real_ >= 9223372036854775808.0) return T(INT64_MAX);
      return real_ >= -9223372036854775808.0 ? T(int64_t(real_)) : T(INT64_MIN);  // NaN lands here too
    } else return is_fraction() ? T(real_) : T(integer_);
  }
  bool operator==(const Scalar& other) const {
    return dtype_ == other.dtype_ && integer_ == other.integer_ &&
           std::bit_cast<uint64_t>(real_) == std::bit_cast<uint64_t>(other.real_);
  }
  friend std::ostream& operator<<(std::ostream& out, const Scalar& s) {
    if (!s.is_fraction()) return out << s.integer_;
    return out << (s.real_ == s.real_ ? s.real_ : std::numeric_limits<double>::quiet_NaN());
  }

 private:
  DType dtype_;
  int64_t integer_ = 0;
  double real_ = 0;
};

}  // namespace tinyops
