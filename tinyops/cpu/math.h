#pragma once
// exp, log, sin, cos, tanh, erf and atan of a tile: polynomials on packets, Eigen's but for exp and atan of floats, mended
// where they are wrong. And sqrt, floor and trunc, which compilers hesitate to make packets of.
//
// Measured against libm in double, over all exponents: exp is right to 1 ulp, log, sin and cos to 2.2, atan to 3, tanh and
// erf to 6.3. Eigen 3.4's log takes every subnormal for the smallest normal number, its erf loses bits below 1e-30, and
// its exp of doubles flushes or clamps results outside the normal range: what is out of their reach is asked of libm,
// or, near erf's 0, a straight line.
#include <cmath>
#include <limits>

#include "tinyops/cpu/packets.h"
#include "tinyops/base/scalar_ops.h"
#include <unsupported/Eigen/SpecialFunctions>

namespace tinyops::cpu {

using Eigen::internal::pexp, Eigen::internal::plog, Eigen::internal::psin, Eigen::internal::pcos, Eigen::internal::ptanh;
using Eigen::internal::perf, Eigen::internal::preinterpret;
using Eigen::internal::plogical_shift_left, Eigen::internal::parithmetic_shift_right;

/// Whether `polynomial` below has packets for `op` on a T. What is not in these lists is scalar_ops.h's.
template <class T>
constexpr bool has_packets(UnaryOp op) {
  const auto is_one_of = [op](auto... ops) { return ((op == ops) || ...); };
  using enum UnaryOp;
  return (std::is_floating_point_v<T> && is_one_of(Sqrt, Exp, Log, Floor, Trunc)) ||
         (std::is_same_v<T, float> && is_one_of(Sin, Cos, Tanh, Erf, Atan));
}

/// Below this, exp is 0 in double.
constexpr double kExpIsZero = -746;

/// Whether the polynomial's answer for x cannot be used.
template <UnaryOp op, class T>
bool needs_libm(T x) {
  if constexpr (op == UnaryOp::Log) return (x > 0) & (x < std::numeric_limits<T>::min());
  else return !(x < kExpIsZero) & !((x > -708) & (x < 708));  // exp; a NaN needs it, too
}
template <UnaryOp op, class T>
constexpr bool may_need_libm = op == UnaryOp::Log || (op == UnaryOp::Exp && std::is_same_v<T, double>);

/// atan of |x| is pi/2 - atan(1/|x|) above tan(3 pi/8), and pi/4 + atan((|x| - 1) / (|x| + 1)) between that and
/// tan(pi/8); what is left is a number up to tan(pi/8), for which a polynomial in its square is right to 2e-8 (fitted to
/// the least largest error). The sign, also that of 0, is x's.
template <class Packet>
Packet arc_tangent(const Packet& x) {
  const auto number = [](float value) { return pset1<Packet>(value); };
  const Packet size = pabs(x), large = pcmp_lt(number(2.41421356f), size), middle = pcmp_lt(number(0.41421356f), size);
  const Packet one = number(1);
  const Packet top = pselect(large, number(-1), pselect(middle, psub(size, one), size));
  const Packet bottom = pselect(large, size, pselect(middle, padd(size, one), one));
  const Packet base = pselect(large, number(1.57079633f), pselect(middle, number(0.785398163f), number(0)));
  const Packet t = pdiv(top, bottom), u = pmul(t, t);
  Packet p = number(0.0805372149f);
  for (const float c : {-0.138776779f, 0.199777097f, -0.333329499f}) p = pmadd(p, u, number(c));
  return por(padd(base, pmadd(pmul(p, u), t, t)), pand(x, number(-0.0f)));
}

/// e^x = 2^n e^r with n = round(x / ln 2), so |r| <= ln 2 / 2. Adding and taking away 1.5 * 2^23 rounds, and leaves n in the
/// lowest bits of the sum. ln 2 has two parts, so that n times it loses nothing; the polynomial, 1 + r + r^2 q(r), is right
/// to 3e-9 (fitted to the least largest error), the result to 0.9 ulp. 2^n comes in two halves, each a number with no more
/// than an exponent: the first is added to the polynomial's exponent, the second multiplied, which rounds what is too
/// small for a normal number and overflows as it should. Beyond [-104, 89] nothing changes any more; a masked score's 0
/// is a product with 0, because rounding a number that small takes a processor a hundred cycles.
template <class Packet>
Packet exponential(const Packet& unbounded) {
  using Integers = typename Eigen::internal::unpacket_traits<Packet>::integer_packet;
  const auto number = [](float value) { return pset1<Packet>(value); };
  const auto integer = [](int value) { return pset1<Integers>(value); };
  const Packet x = pmin(pmax(unbounded, number(-104)), number(89));  // of a NaN and a number, the NaN comes first
  const Packet magic = number(12582912.0f), sum = pmadd(x, number(1.44269504f), magic), n = psub(sum, magic);
  const Packet r = pmadd(n, number(2.12194440e-4f), pmadd(n, number(-0.693359375f), x));
  Packet p = number(0.0013814539f);
  for (const float c : {0.008368745f, 0.04166839f, 0.16666521f, 0.49999994f, 1.0f, 1.0f}) p = pmadd(p, r, number(c));
  const Integers power = psub(preinterpret<Integers>(sum), preinterpret<Integers>(magic));
  const Integers half = parithmetic_shift_right<1>(power), rest = padd(psub(power, half), integer(127));
  const Packet scaled = preinterpret<Packet>(padd(preinterpret<Integers>(p), plogical_shift_left<23>(half)));
  const Packet scale = pand(preinterpret<Packet>(plogical_shift_left<23>(rest)), pcmp_lt(number(-104), x));
  return pmadd(scaled, scale, psub(x, x));  // plus 0, or NaN
}

template <class T, UnaryOp op, class Packet>
Packet polynomial(const Packet& x) {
  if constexpr (op == UnaryOp::Sqrt) return psqrt(x);
  else if constexpr (op == UnaryOp::Exp && std::is_same_v<T, float>) return exponential(x);
  else if constexpr (op == UnaryOp::Exp)
    return pselect(pcmp_lt(x, Packets<T>::fill(kExpIsZero)), Packets<T>::fill(0), pexp(x));
  else if constexpr (op == UnaryOp::Log) return plog(x);
  else if constexpr (op == UnaryOp::Sin) return psin(x);
  else if constexpr (op == UnaryOp::Cos) return pcos(x);
  else if constexpr (op == UnaryOp::Tanh) return ptanh(x);
  else if constexpr (op == UnaryOp::Erf) {  // near 0 it is a straight line
    const Packet line = pmul(x, Packets<T>::fill(T(1.1283791670955126)));
    return pselect(pcmp_lt(pabs(x), Packets<T>::fill(T(1e-30))), line, perf(x));
  }
  else if constexpr (op == UnaryOp::Atan) return arc_tangent(x);
  else if constexpr (op == UnaryOp::Floor || op == UnaryOp::Trunc) {
    const Packet sign = pand(x, Packets<T>::fill(T(-0.0)));  // the result's, too; SSE2 makes +0 of -0
    if constexpr (op == UnaryOp::Floor) return por(pfloor(x), sign);
    else return por(pselect(pcmp_lt(x, Packets<T>::fill(T(0))), pceil(x), pfloor(x)), sign);
  }
}

/// out[i] = op(x[i]) for n elements, n a whole number of packets; `out` may be `x`.
template <class T, UnaryOp op>
void packet_function(int64_t n, T* out, const T* x) {
  using P = Packets<T>;
  int mend = 0;
  if constexpr (may_need_libm<op, T>) {
#pragma omp simd reduction(| : mend)
    for (int64_t i = 0; i < n; ++i) mend |= needs_libm<op>(x[i]);
  }
  for (int64_t i = 0; i < n; i += P::lanes) {
    const auto packet = P::load(x + i);
    P::store(out + i, polynomial<T, op>(packet));
    if constexpr (may_need_libm<op, T>) {
      T before[P::lanes];
      if (mend) P::store(before, packet);
      for (int j = 0; mend && j < P::lanes; ++j)
        if (needs_libm<op>(before[j])) out[i + j] = apply<T>(op, before[j]);
    }
  }
}

}  // namespace tinyops::cpu
