#pragma once
// What each primitive means on one element, once, for every backend (CUDA: host and device). A backend may have faster
// code for it; that may not mean anything else. A new primitive is one case here:
//
//   apply(UnaryOp, x)      the result has the operand's dtype          apply(BinaryOp, x, y)
//   holds(UnaryOp, x)      it is a bool: GivesBool in op.h             holds(BinaryOp, x, y)
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tinyops/base/dtype.h"
#include "tinyops/base/host_device.h"
#include "tinyops/base/op.h"

namespace tinyops {

/// The type a stored value is computed in: float for the 16-bit floats, itself for the rest.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>, float, T>;
constexpr DType compute_dtype(DType d) {
  return d == DType::Float16 || d == DType::BFloat16 ? DType::Float32 : d;
}
/// Calls `f` with a value of that type.
template <class F>
decltype(auto) with_compute(DType d, F&& f) {
  return with_type(d, [&]<class T>(T) -> decltype(auto) { return f(Compute<T>{}); });
}

/// A float outside an integer's range has no meaning in C++; it saturates here, and NaN becomes 0.
template <class To, class From>
TINYOPS_HD To convert(From x) {
  if constexpr (std::is_same_v<To, bool>) return x != From(0);
  else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (x != x) return To(0);
    const double low = -9223372036854775808.0, high = 9223372036854775808.0;
    const int64_t wide = x >= high ? INT64_MAX : x <= low ? INT64_MIN : int64_t(x);
    if constexpr (sizeof(To) == 4) return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : To(wide);
    return To(wide);  // to uint8: modulo 256, as PyTorch does
  } else return To(x);
}

/// x cast to the dtype To, as it is computed in. To 16 bits it is rounded here, once, though it goes on as a float.
template <class To, class From>
TINYOPS_HD Compute<To> cast_to(From x) {
  if constexpr (std::is_same_v<To, Compute<To>>) return convert<To>(x);
  else if constexpr (std::is_same_v<From, int64_t>) {  // a double has 53 bits: what is below the upper 48 becomes one
    const bool wide = x > int64_t(1) << 53 || x < -(int64_t(1) << 53);
    return float(To(wide ? double(x & ~int64_t(0xffff)) + (x & 0xffff ? 0x8000 : 0) : double(x)));
  } else if constexpr (std::is_same_v<From, float>) return float(To(x));
  else return float(To(double(x)));
}

/// The bits of x, which is stored as a From, read as a To. The two have one size; bools take no part.
template <class To, class From>
TINYOPS_HD Compute<To> same_bits(Compute<From> x) {
  if constexpr (sizeof(To) == sizeof(From) && !std::is_same_v<To, bool> && !std::is_same_v<From, bool>)
    return Compute<To>(std::bit_cast<To>(From(x)));
  else return Compute<To>(0);
}

/// Integers wrap to their width: compute in the unsigned type of the same size, where C++ defines it.
template <class T, class F>
TINYOPS_HD T wrapped(T x, T y, F f) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    using U = std::make_unsigned_t<std::common_type_t<T, int>>;
    return T(f(U(x), U(y)));
  } else return T(f(x, y));
}

template <class T>
TINYOPS_HD bool is_negative(T x) {
  if constexpr (std::is_signed_v<T>) return x < 0;
  else return false;
}

/// Functions of a float; an integer stays what it is, but for Neg. What is transcendental is computed in double and
/// rounded once, so that it is right to half an ulp; a GPU, whose doubles are slow, has float functions right to 2 ulp.
template <class T>
TINYOPS_HD T apply(UnaryOp op, T x) {
#ifndef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, float>)
    if (traits(op) & Transcendental) return float(apply(op, double(x)));
#endif
  if constexpr (std::is_floating_point_v<T>) {
    switch (op) {
      case UnaryOp::Neg: return -x;
      case UnaryOp::Recip: return T(1) / x;
      case UnaryOp::Sqrt: return std::sqrt(x);
      case UnaryOp::Exp: return std::exp(x);
      case UnaryOp::Exp2: return std::exp2(x);
      case UnaryOp::Expm1: return std::expm1(x);
      case UnaryOp::Log: return std::log(x);
      case UnaryOp::Log2: return std::log2(x);
      case UnaryOp::Log10: return std::log10(x);
      case UnaryOp::Log1p: return std::log1p(x);
      case UnaryOp::Sin: return std::sin(x);
      case UnaryOp::Cos: return std::cos(x);
      case UnaryOp::Tan: return std::tan(x);
      case UnaryOp::Asin: return std::asin(x);
      case UnaryOp::Acos: return std::acos(x);
      case UnaryOp::Atan: return std::atan(x);
      case UnaryOp::Sinh: return std::sinh(x);
      case UnaryOp::Cosh: return std::cosh(x);
      case UnaryOp::Tanh: return std::tanh(x);
      case UnaryOp::Asinh: return std::asinh(x);
      case UnaryOp::Acosh: return std::acosh(x);
      case UnaryOp::Atanh: return std::atanh(x);
      case UnaryOp::Sigmoid: return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
      case UnaryOp::Erf: return std::erf(x);
      case UnaryOp::Erfc: return std::erfc(x);
      case UnaryOp::Floor: return std::floor(x);
      case UnaryOp::Trunc: return std::trunc(x);
      case UnaryOp::Round: return std::nearbyint(x);
      default: return x;  // Cast and Bitcast are `convert` and `same_bits`, Not is in `holds`
    }
  } else if (op == UnaryOp::Neg) return wrapped(T(0), x, [](auto a, auto b) { return a - b; });
  else return x;
}

/// Lt, Le and Eq are in `holds`.
template <class T>
TINYOPS_HD T apply(BinaryOp op, T x, T y) {
  switch (op) {
    case BinaryOp::Add: return wrapped(x, y, [](auto a, auto b) { return a + b; });
    case BinaryOp::Sub: return wrapped(x, y, [](auto a, auto b) { return a - b; });
    case BinaryOp::Mul: return wrapped(x, y, [](auto a, auto b) { return a * b; });
    case BinaryOp::Max: return x != x || x > y ? x : y;  // a NaN on either side comes through
    case BinaryOp::Min: return x != x || x < y ? x : y;
    case BinaryOp::Lt:
    case BinaryOp::Le:
    case BinaryOp::Eq: return x;
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (op) {
      case BinaryOp::Div: return x / y;
      case BinaryOp::IDiv: return std::trunc(x / y);
      case BinaryOp::Mod: return std::fmod(x, y);
      case BinaryOp::Pow: return std::pow(x, y);
      default: return x;
    }
  } else if constexpr (std::is_same_v<T, bool>) {
    switch (op) {
      case BinaryOp::And: return x && y;
      case BinaryOp::Or: return x || y;
      case BinaryOp::Xor: return x != y;
      default: return x;
    }
  } else {
    constexpr int bits = 8 * sizeof(T);
    const bool overflows = std::is_signed_v<T> && y == T(-1);  // lowest / -1 does not fit, and traps
    switch (op) {
      case BinaryOp::Div:
      case BinaryOp::IDiv: return y == 0 ? T(0) : overflows ? apply(UnaryOp::Neg, x) : T(x / y);  // x / 0 is 0 here
      case BinaryOp::Mod: return y == 0 || overflows ? T(0) : T(x % y);
      case BinaryOp::And: return T(x & y);
      case BinaryOp::Or: return T(x | y);
      case BinaryOp::Xor: return T(x ^ y);
      case BinaryOp::Shl: return is_negative(y) || y >= bits ? T(0) : T(std::make_unsigned_t<T>(x) << y);
      case BinaryOp::Shr:
        return is_negative(y) || y >= bits ? T(is_negative(x) ? -1 : 0) : T(x >> y);  // only the sign is left
      case BinaryOp::Pow: {
        if (is_negative(y)) return x == 1 ? T(1) : x == T(-1) ? T(y % 2 ? -1 : 1) : T(0);
        T result = 1;
        for (T base = x, left = y; left > 0; left = T(left / 2), base = apply(BinaryOp::Mul, base, base))
          if (left % 2) result = apply(BinaryOp::Mul, result, base);
        return result;
      }
      default: return x;
    }
  }
}

template <class T>
TINYOPS_HD bool holds(UnaryOp op, T x) {
  switch (op) {
    case UnaryOp::Not: return x == T(0);
    default: return false;
  }
}
template <class T>
TINYOPS_HD bool holds(BinaryOp op, T x, T y) {
  switch (op) {
    case BinaryOp::Lt: return x < y;
    case BinaryOp::Le: return x <= y;
    case BinaryOp::Eq: return x == y;
    default: return false;
  }
}

/// What many elements of type T are combined in: sums and products of floats are wide, and rounded once at the end.
template <class T, ReduceOp op>
using Total = std::conditional_t<std::is_floating_point_v<Compute<T>> && (op == ReduceOp::Sum || op == ReduceOp::Prod),
                                 double, Compute<T>>;

/// What a reduction starts from.
template <class T>
TINYOPS_HD T identity(ReduceOp op) {
  using Limits = std::numeric_limits<T>;
  switch (op) {
    case ReduceOp::Sum: return T(0);
    case ReduceOp::Prod: return T(1);
    case ReduceOp::Max: return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    case ReduceOp::Min: return Limits::has_infinity ? Limits::infinity() : Limits::max();
  }
  return T(0);
}

}  // namespace tinyops
