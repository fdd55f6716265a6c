#pragma once
// The functions of a tile that are not one operation of the machine, and sqrt, floor and trunc, which compilers
// hesitate to make packets of. Of floats: functions.h, but for exp, sigmoid and tanh, the commonest, which packets of
// floats compute three times as fast; tests/test_functions.cpp prints how far off they are. Of doubles: Eigen's exp and
// log; its log takes every subnormal for the smallest normal number, and its exp flushes or clamps results outside the
// normal range, so what is out of their reach is asked of libm, as are the rest.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tinyops/cpu/functions.h"
#include "tinyops/cpu/packets.h"
#include "tinyops/base/scalar_ops.h"

namespace tinyops::cpu {

using Eigen::internal::pexp, Eigen::internal::plog, Eigen::internal::preinterpret;
using Eigen::internal::plogical_shift_left, Eigen::internal::parithmetic_shift_right;

/// Whether `packet_function` below has packets for `op` on a T. What is not here is scalar_ops.h's.
template <class T>
constexpr bool has_packets(UnaryOp op) {
  using enum UnaryOp;
  const bool always = op == Sqrt || op == Floor || op == Trunc;
  if constexpr (std::is_same_v<T, double>) return always || op == Exp || op == Log;
  else
    return std::is_same_v<T, float> &&
           (always || op == Exp || op == Sigmoid || op == Tanh || functions::function_of(op));
}

/// Below this, exp is 0 in double.
constexpr double kExpIsZero = -746;

/// Whether the answer of the packets for x cannot be used.
template <UnaryOp op, class T>
bool needs_libm(T x) {
  if constexpr (op == UnaryOp::Sin || op == UnaryOp::Cos || op == UnaryOp::Tan)
    return !(std::abs(x) < T(functions::kFarFromZero));
  else if constexpr (op == UnaryOp::Log) return (x > 0) & (x < std::numeric_limits<T>::min());
  else return !(x < kExpIsZero) & !((x > -708) & (x < 708));  // exp; a NaN needs it, too
}
template <UnaryOp op, class T>
constexpr bool may_need_libm = op == UnaryOp::Sin || op == UnaryOp::Cos || op == UnaryOp::Tan ||
                               (std::is_same_v<T, double> && (op == UnaryOp::Exp || op == UnaryOp::Log));

/// e^x = 2^n e^r with n = round(x / ln 2), so |r| <= ln 2 / 2. Adding and taking away 1.5 * 2^23 rounds, and leaves n
/// in the lowest bits of the sum. ln 2 has two parts, so that n times it loses nothing; the polynomial, 1 + r + r^2
/// q(r), is right to 3e-9 (fitted to the least largest error).
template <class Packet>
struct PartsOfExponential {
  using Integers = typename Eigen::internal::unpacket_traits<Packet>::integer_packet;
  Packet p;    ///< e^r
  Integers n;

  explicit PartsOfExponential(const Packet& x) : p(pset1<Packet>(0.0013814539f)) {
    const auto number = [](float value) { return pset1<Packet>(value); };
    const Packet magic = number(12582912.0f), sum = pmadd(x, number(1.44269504f), magic), turns = psub(sum, magic);
    const Packet r = pmadd(turns, number(2.12194440e-4f), pmadd(turns, number(-0.693359375f), x));
    for (const float c : {0.008368745f, 0.04166839f, 0.16666521f, 0.49999994f, 1.0f, 1.0f}) p = pmadd(p, r, number(c));
    n = psub(preinterpret<Integers>(sum), preinterpret<Integers>(magic));
  }
};

/// p * 2^n, where the result is a normal number.
template <class Packet, class Integers>
Packet add_to_exponent(const Packet& p, const Integers& n) {
  return preinterpret<Packet>(padd(preinterpret<Integers>(p), plogical_shift_left<23>(n)));
}

/// To 0.9 ulp, without a fused multiply-add to 1.2. 2^n comes in two halves, each a number with no more than an
/// exponent: the first is added to the polynomial's exponent, the second multiplied, which rounds what is too small for
/// a normal number and overflows as it should. Beyond [-104, 89] nothing changes any more; a masked score's 0 is a
/// product with 0, because rounding a number that small takes a processor a hundred cycles.
template <class Packet>
[[gnu::always_inline]] inline Packet exponential(const Packet& unbounded) {
  using Integers = typename PartsOfExponential<Packet>::Integers;
  const auto number = [](float value) { return pset1<Packet>(value); };
  const Packet x = pmin(pmax(unbounded, number(-104)), number(89));  // of a NaN and a number, the NaN comes first
  const PartsOfExponential<Packet> parts(x);
  const Integers half = parithmetic_shift_right<1>(parts.n), rest = padd(psub(parts.n, half), pset1<Integers>(127));
  const Packet scale = pand(preinterpret<Packet>(plogical_shift_left<23>(rest)), pcmp_lt(number(-104), x));
  return pmadd(add_to_exponent(parts.p, half), scale, psub(x, x));  // plus 0, or NaN
}

/// With e = e^-|x|: 1 / (1 + e), and e / (1 + e) below 0. What 1 + e loses, and what the product with its reciprocal
/// leaves of the quotient, are exact in one multiply-add each, and put back.
template <class Packet>
[[gnu::always_inline]] inline Packet logistic(const Packet& x) {
  const Packet zero = pset1<Packet>(0), one = pset1<Packet>(1), e = exponential(psub(zero, pabs(x)));
  const Packet sum = padd(one, e), lost = psub(e, psub(sum, one)), inverse = pdiv(one, sum);
  const Packet top = pselect(pcmp_lt(x, zero), e, one), quotient = pmul(top, inverse);
  const Packet minus = psub(zero, quotient), rest = pmadd(minus, lost, pmadd(minus, sum, top));
  return pmadd(rest, inverse, quotient);
}

/// 1 - 2 / (e^2|x| + 1), and up to 0.6, where that would cancel, x + x^3 p(x^2), right to 1e-9 (fitted to the least
/// largest error). From 2|x| = 20 on it is 1.
template <class Packet>
Packet hyperbolic_tangent(const Packet& x) {
  const auto number = [](float value) { return pset1<Packet>(value); };
  const Packet size = pabs(x), square = pmul(x, x), sign = pand(x, number(-0.0f));
  Packet p = number(0.00221490274f);
  for (const float c : {-0.00827245673f, 0.0217461871f, -0.0539563494f, 0.133332907f, -0.333333331f})
    p = pmadd(p, square, number(c));
  const Packet near = pmadd(pmul(p, square), x, x);
  const PartsOfExponential<Packet> parts(pmin(padd(size, size), number(20)));
  const Packet e = add_to_exponent(parts.p, parts.n), far = psub(number(1), pdiv(number(2), padd(e, number(1))));
  return por(pselect(pcmp_lt(number(0.6f), size), far, near), sign);  // a NaN is not far
}

template <class T, UnaryOp op, class Packet>
Packet packet_function(const Packet& x) {
  if constexpr (op == UnaryOp::Sqrt) return psqrt(x);
  else if constexpr (op == UnaryOp::Exp && std::is_same_v<T, float>) return exponential(x);
  else if constexpr (op == UnaryOp::Sigmoid) return logistic(x);
  else if constexpr (op == UnaryOp::Tanh) return hyperbolic_tangent(x);
  else if constexpr (op == UnaryOp::Exp)
    return pselect(pcmp_lt(x, Packets<T>::fill(kExpIsZero)), Packets<T>::fill(0), pexp(x));
  else if constexpr (op == UnaryOp::Log) return plog(x);
  else {
    const Packet sign = pand(x, Packets<T>::fill(T(-0.0)));  // the result's, too; SSE2 makes +0 of -0
    if constexpr (op == UnaryOp::Floor) return por(pfloor(x), sign);
    else return por(pselect(pcmp_lt(x, Packets<T>::fill(T(0))), pceil(x), pfloor(x)), sign);  // Trunc
  }
}

template <UnaryOp op, class T>
bool any_needs_libm(int64_t n, const T* x) {
  int any = 0;
#pragma omp simd reduction(| : any)
  for (int64_t i = 0; i < n; ++i) any |= needs_libm<op>(x[i]);
  return any;
}

/// out[i] = op(x[i]) for n elements, n a whole number of packets; `out` may be `x`.
template <class T, UnaryOp op>
void tile_function(int64_t n, T* out, const T* x) {
  using P = Packets<T>;
  constexpr auto function = functions::function_of(op);
  bool libm = false;
  if constexpr (may_need_libm<op, T>) libm = any_needs_libm<op>(n, x);
  if constexpr (std::is_same_v<T, float> && function) {
    const auto of = [](float x) { return keeps_zero(op) && x == 0 ? x : float(function(double(x))); };  // -0 stays -0
    if (libm)
      for (int64_t i = 0; i < n; ++i) out[i] = needs_libm<op>(x[i]) ? apply(op, x[i]) : of(x[i]);
    else {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) out[i] = of(x[i]);
    }
  } else {
    for (int64_t i = 0; i < n; i += P::lanes) {
      const auto packet = P::load(x + i);
      P::store(out + i, packet_function<T, op>(packet));
      if constexpr (may_need_libm<op, T>) {
        T before[P::lanes];
        if (libm) P::store(before, packet);
        for (int j = 0; libm && j < P::lanes; ++j)
          if (needs_libm<op>(before[j])) out[i + j] = apply<T>(op, before[j]);
      }
    }
  }
}

}  // namespace tinyops::cpu
