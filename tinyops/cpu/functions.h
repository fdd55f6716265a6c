#pragma once
// The transcendental functions of floats: computed in double, and rounded once at the end. 29 bits more than a float
// has absorb what a formula loses on its way, and no float's square, and no e^x of a float that has a float result,
// leaves the range of doubles. So each is a plain formula, right to 0.51 ulp over the floats that
// tests/test_functions.cpp tries.
//
// Nothing here branches: a loop over any of these is packets of doubles, of 8 lanes with AVX-512, and takes 0.5 to 2.5
// ns an element on one core. Series are Taylor's, cut where the rest is below 1e-10 of the result.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "tinyops/base/op.h"

namespace tinyops::cpu::functions {

using std::numbers::ln2, std::numbers::log2e, std::numbers::log10e, std::numbers::pi, std::numbers::sqrt2;
constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();

/// c[0] + c[1] x + c[2] x^2 + ...
template <int n>
double polynomial(double x, const double (&c)[n]) {
  double sum = c[n - 1];
#pragma GCC unroll 32
  for (int k = n - 2; k >= 0; --k) sum = sum * x + c[k];
  return sum;
}

/// x + kRounder is rounded to a whole number, which stands in the lowest bits of the sum: for |x| < 2^51.
constexpr double kRounder = 0x1.8p52;

/// A number with nothing but this exponent, taken from the lowest bits of a sum with kRounder.
inline double power_of_two(double sum) { return std::bit_cast<double>((std::bit_cast<uint64_t>(sum) + 1023) << 52); }

// ---- Exponentials: e^x = 2^n e^r, where n is the nearest whole number to x / ln 2 and |r| <= ln 2 / 2
// ------------------

/// The result is scale + scale * part: of e^x - 1 neither the 1 nor a small part is lost.
struct Exponential {
  double scale, part;
};
inline Exponential exponential(double sum, double r) {
  constexpr double c[] = {1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880};
  return {power_of_two(sum), r * polynomial(r, c)};
}
/// Of a number and a NaN, the NaN. Beyond 110 and -110 floats are infinite and 0, and doubles still finite.
inline double within(double bound, double x) { return x > bound ? bound : x < -bound ? -bound : x; }

inline Exponential natural(double x) {
  x = within(110, x);
  const double sum = x * log2e + kRounder;
  return exponential(sum, x - (sum - kRounder) * ln2);
}
inline double exp(double x) {
  const Exponential e = natural(x);
  return e.scale + e.scale * e.part;
}
inline double expm1(double x) {
  const Exponential e = natural(x);
  return e.scale * e.part + (e.scale - 1);
}
inline double exp2(double x) {
  x = within(160, x);
  const double sum = x + kRounder;
  const Exponential e = exponential(sum, (x - (sum - kRounder)) * ln2);
  return e.scale + e.scale * e.part;
}

/// On processors without a fused multiply-add, where packets of floats (math.h) would be off by 2.2 ulp.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr double (*sigmoid)(double) = nullptr;
#else
inline double sigmoid(double x) { return 1 / (1 + exp(-x)); }
#endif

inline double sinh(double x) {
  const double e = expm1(std::abs(x));  // e^|x| - 1
  return std::copysign((e + e / (e + 1)) / 2, x);
}
inline double cosh(double x) {
  const double e = exp(std::abs(x));
  return (e + 1 / e) / 2;
}

// ---- Logarithms: x = 2^n m with sqrt(1/2) <= m < sqrt(2), and log m = 2 artanh((m - 1) / (m + 1))
// ----------------------

struct Logarithm {
  double n, log_m;
};
/// `less` is x - 1, which the caller may know better than x.
inline Logarithm logarithm(double x, double less) {
  constexpr uint64_t lowest = std::bit_cast<uint64_t>(sqrt2 / 2), bias = 1023;
  const uint64_t bits = std::bit_cast<uint64_t>(x), biased = (bits - lowest + (bias << 52)) >> 52;
  const double n = std::bit_cast<double>(biased | std::bit_cast<uint64_t>(0x1p52)) - (0x1p52 + bias);
  const double m = std::bit_cast<double>(bits - ((biased - bias) << 52));
  const double f = n == 0 ? less : m - 1, s = f / (f + 2);
  constexpr double c[] = {2, 2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11};
  return {n, s * polynomial(s * s, c)};
}
/// `result` where x is an ordinary number: log 0 is -inf, log inf is inf, and of less than 0 there is none.
inline double of_positive(double x, double result) { return x > 0 ? (x < kInf ? result : x) : x == 0 ? -kInf : kNaN; }

inline double log(double x) {
  const Logarithm l = logarithm(x, x - 1);
  return of_positive(x, l.n * ln2 + l.log_m);
}
inline double log1p(double x) {
  const Logarithm l = logarithm(1 + x, x);
  return of_positive(1 + x, l.n * ln2 + l.log_m);
}
inline double log10(double x) {
  const Logarithm l = logarithm(x, x - 1);
  return of_positive(x, (l.n * ln2 + l.log_m) * log10e);
}
inline double log2(double x) {
  const Logarithm l = logarithm(x, x - 1);
  return of_positive(x, l.n + l.log_m * log2e);
}

/// log(a + sqrt(a^2 + 1)) for a = |x|. Abramowitz & Stegun 4.6.20.
inline double asinh(double x) {
  const double a = std::abs(x), finite = within(1e100, a), square = finite * finite;
  return std::copysign(log1p(a + square / (1 + std::sqrt(1 + square))), x);
}
/// log(x + sqrt(x^2 - 1)). Abramowitz & Stegun 4.6.21.
inline double acosh(double x) {
  const double less = x - 1, result = log1p(less + std::sqrt(less * (x + 1)));
  return x < 1 ? kNaN : result;
}
inline double atanh(double x) {
  const double a = std::abs(x);
  return std::copysign(log1p(2 * a / (1 - a)) / 2, x);
}

// ---- Sine, cosine, tangent: x = n pi/2 + r with |r| <= pi/4
// ------------------------------------------------------------

/// From here on n pi/2 needs more digits of pi than two numbers have: libm is asked.
constexpr double kFarFromZero = 1e5;

struct SineCosine {
  double sine, cosine;
};
inline SineCosine sine_cosine(double x) {
  constexpr double high = 0x1.921fb544p+0, low = 0x1.0b4611a626331p-34;  // pi/2 in two parts: n * high is exact
  const double sum = x * (2 / pi) + kRounder, n = sum - kRounder, r = (x - n * high) - n * low, square = r * r;
  constexpr double s[] = {1, -1. / 6, 1. / 120, -1. / 5040, 1. / 362880, -1. / 39916800};
  constexpr double c[] = {1, -1. / 2, 1. / 24, -1. / 720, 1. / 40320, -1. / 3628800, 1. / 479001600};
  const double sine = r * polynomial(square, s), cosine = polynomial(square, c);
  const uint64_t quarters = std::bit_cast<uint64_t>(sum);  // an odd number of them swaps the two, two change the sign
  const auto with_sign = [](uint64_t negative, double value) {
    return std::bit_cast<double>(std::bit_cast<uint64_t>(value) ^ negative << 62);
  };
  return {with_sign(quarters & 2, quarters & 1 ? cosine : sine),
          with_sign((quarters + 1) & 2, quarters & 1 ? sine : cosine)};
}
inline double sin(double x) { return sine_cosine(x).sine; }
inline double cos(double x) { return sine_cosine(x).cosine; }
inline double tan(double x) {
  const SineCosine both = sine_cosine(x);
  return both.sine / both.cosine;
}

/// The angle of the point (x, y), 0 <= x, y: pi/2 - atan(x / y) above 3 pi/8, pi/4 + atan((y - x) / (y + x)) between
/// that and pi/8, which leaves ratios up to tan(pi/8) = sqrt(2) - 1 to the series.
inline double angle(double y, double x) {
  const bool steep = x < (sqrt2 - 1) * y, middle = (sqrt2 - 1) * x < y;
  const double top = steep ? -x : middle ? y - x : y, bottom = steep ? y : middle ? y + x : x;
  constexpr double c[] = {1,       -1. / 3,  1. / 5,  -1. / 7,  1. / 9,  -1. / 11,
                          1. / 13, -1. / 15, 1. / 17, -1. / 19, 1. / 21, -1. / 23};
  const double t = top / bottom;
  return (steep ? pi / 2 : middle ? pi / 4 : 0) + t * polynomial(t * t, c);
}
inline double atan(double x) { return std::copysign(angle(std::abs(x), 1), x); }
inline double asin(double x) { return std::copysign(angle(std::abs(x), std::sqrt(1 - x * x)), x); }
inline double acos(double x) { return 2 * angle(std::sqrt(1 - x), std::sqrt(1 + x)); }

// ---- The error function
// ------------------------------------------------------------------------------------------------

/// x times a polynomial in x^2, which is right to 3e-10 up to 3.94, where erf is 1 to a float's precision. Its terms
/// grow to 1e5 and cancel, hence all these digits.
inline double erf(double x) {
  constexpr double c[] = {
      1.128379166951862,      -0.37612638237421181,    0.11283786514219825,    -0.026866011302943174,
      0.005223715950316071,   -0.00085456881877488051, 0.0001203751969908123,  -1.4840470666837897e-5,
      1.6161985453157887e-6,  -1.5563965754221481e-7,  1.3147010286224359e-8,  -9.580713458609011e-10,
      5.8831441380680332e-11, -2.9566553592271727e-12, 1.1737352967832266e-13, -3.5149859615383808e-15,
      7.4211916001249946e-17, -9.8051965536336361e-19, 6.079559857061436e-21};
  x = within(3.94, x);
  return x * polynomial(x * x, c);
}
/// 1 - erf(a) would cancel: (1 + 2a) e^(a^2) erfc(a) is a polynomial in (a - 3) / (a + 3), right to 1e-9 between 0
/// and 10.6. Shepherd & Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf", 1981.
inline double erfc(double x) {
  constexpr double c[] = {1.253008059052,    -0.135621110195,     -0.04756239520043,   0.1296453070508,
                          -0.1192714923937,  0.06830722749452,    -0.02378762484702,   0.00252420482664,
                          0.001945590808044, -0.0007346174280818, -0.0001715907409977, 3.953579383448e-5};
  const double a = std::abs(within(11, x)), inverse = 1 / ((a + 3) * (1 + 2 * a));
  const double tail = exp(-a * a) * polynomial((a - 3) * (1 + 2 * a) * inverse, c) * ((a + 3) * inverse);
  return x < 0 ? 2 - tail : tail;
}

/// The function of a primitive; null where there is none here.
constexpr auto function_of(UnaryOp op) -> double (*)(double) {
  switch (op) {
    case UnaryOp::Exp2: return exp2;
    case UnaryOp::Expm1: return expm1;
    case UnaryOp::Log: return log;
    case UnaryOp::Log2: return log2;
    case UnaryOp::Log10: return log10;
    case UnaryOp::Log1p: return log1p;
    case UnaryOp::Sin: return sin;
    case UnaryOp::Cos: return cos;
    case UnaryOp::Tan: return tan;
    case UnaryOp::Asin: return asin;
    case UnaryOp::Acos: return acos;
    case UnaryOp::Atan: return atan;
    case UnaryOp::Sinh: return sinh;
    case UnaryOp::Cosh: return cosh;
    case UnaryOp::Asinh: return asinh;
    case UnaryOp::Acosh: return acosh;
    case UnaryOp::Atanh: return atanh;
    case UnaryOp::Erf: return erf;
    case UnaryOp::Erfc: return erfc;
    case UnaryOp::Sigmoid: return sigmoid;
    default: return nullptr;
  }
}

}  // namespace tinyops::cpu::functions
