#pragma once
// exp, log, sin, cos, tanh and erf of a tile: Eigen's polynomials on packets, mended where they are wrong. And sqrt,
// floor and trunc, which compilers hesitate to make packets of.
//
//   x      -1e9     -104        -87                              88        inf   NaN
//   exp     0        |  libm     |       polynomial, 1 ulp        |        libm
//
// Measured against libm in double, over all exponents: Eigen 3.4's exp flushes or clamps results outside the normal
// range, its log takes every subnormal for the smallest normal number, and its erf loses bits below 1e-30; inside
// those bounds exp, log, sin and cos are right to 2.2 ulp, tanh and erf to 5.6. Elements outside are rare in practice,
// except for exp of a masked, very negative score: that one is a 0 chosen without a call.
#include <cmath>
#include <limits>

#include "tinyops/cpu/packets.h"
#include "tinyops/scalar.h"
#include <unsupported/Eigen/SpecialFunctions>

namespace tinyops::cpu {

/// Whether `op` is computed by packets for T.
template <class T>
constexpr bool has_packets(UnaryOp op) {
  const bool only_in_float = op == UnaryOp::Sin || op == UnaryOp::Cos || op == UnaryOp::Tanh || op == UnaryOp::Erf;
  return std::is_same_v<T, float> || !only_in_float;
}

/// Below this, exp is 0 in T.
template <class T>
constexpr T exp_is_zero = std::is_same_v<T, float> ? T(-104) : T(-746);

/// Whether the polynomial's answer for x cannot be used.
template <UnaryOp op, class T>
bool needs_libm(T x) {
  constexpr T smallest = std::numeric_limits<T>::min();
  if constexpr (op == UnaryOp::Exp) {
    constexpr T low = std::is_same_v<T, float> ? T(-87) : T(-708), high = -low;
    return (x >= exp_is_zero<T>) & !((x > low) & (x < high));
  } else if constexpr (op == UnaryOp::Log) return (x > 0) & (x < smallest);
  else if constexpr (op == UnaryOp::Erf) return (x != 0) & (std::abs(x) < T(1e-30));
  else return false;
}

template <class T, UnaryOp op, class Packet>
Packet polynomial(const Packet& x) {
  using namespace Eigen::internal;
  if constexpr (op == UnaryOp::Sqrt) return psqrt(x);
  else if constexpr (op == UnaryOp::Exp)
    return pselect(pcmp_lt(x, Packets<T>::fill(exp_is_zero<T>)), Packets<T>::fill(T(0)), pexp(x));
  else if constexpr (op == UnaryOp::Log) return plog(x);
  else if constexpr (op == UnaryOp::Sin) return psin(x);
  else if constexpr (op == UnaryOp::Cos) return pcos(x);
  else if constexpr (op == UnaryOp::Tanh) return ptanh(x);
  else if constexpr (op == UnaryOp::Erf) return perf(x);
  else if constexpr (op == UnaryOp::Floor) return pfloor(x);
  else return pselect(pcmp_lt(x, Packets<T>::fill(T(0))), pceil(x), pfloor(x));  // Trunc
}

/// out[i] = op(x[i]) for n elements, n a whole number of packets; `out` may be `x`.
template <class T, UnaryOp op>
void packet_function(int64_t n, T* out, const T* x) {
  if constexpr (!has_packets<T>(op)) {
    for (int64_t i = 0; i < n; ++i) out[i] = apply<T>(op, x[i]);
  } else {
    using P = Packets<T>;
    int mend = 0;
#pragma omp simd reduction(| : mend)
    for (int64_t i = 0; i < n; ++i) mend |= needs_libm<op>(x[i]);
    for (int64_t i = 0; i < n; i += P::lanes) {
      T before[P::lanes];
      const auto packet = P::load(x + i);
      if (mend) P::store(before, packet);
      P::store(out + i, polynomial<T, op>(packet));
      for (int j = 0; mend && j < P::lanes; ++j)
        if (needs_libm<op>(before[j])) out[i + j] = apply<T>(op, before[j]);
    }
  }
}

}  // namespace tinyops::cpu
