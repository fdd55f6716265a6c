#pragma once
// The only place that includes Eigen: a packet is as many elements of a type as one vector register holds, and an
// operation on a packet is one instruction. 16 floats with AVX-512, 8 with AVX2, 4 with SSE2; the code never says
// which.
//
// EIGEN_FAST_MATH must be off before Eigen is seen anywhere in this folder: with it, sqrt(infinity) is NaN and some
// squares are off by a bit.
#define EIGEN_FAST_MATH 0
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"  // a build for a sanitizer vectorises nothing, and that is no error
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 says both of its own AVX-512 header
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wignored-attributes"  // of a packet as a template argument: it does no harm
#endif
#include <Eigen/Core>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace tinyops::cpu {

// The operations on packets.
using Eigen::internal::pset1, Eigen::internal::padd, Eigen::internal::psub, Eigen::internal::pmul;
using Eigen::internal::pdiv, Eigen::internal::pmadd, Eigen::internal::pmin, Eigen::internal::pmax;
using Eigen::internal::pabs, Eigen::internal::psqrt;
using Eigen::internal::pand, Eigen::internal::por, Eigen::internal::pselect;
using Eigen::internal::pcmp_lt, Eigen::internal::pcmp_lt_or_nan;
using Eigen::internal::pfloor, Eigen::internal::pceil, Eigen::internal::predux, Eigen::internal::ptranspose;

template <class T>
struct Packets {
  using Type = typename Eigen::internal::packet_traits<T>::type;
  static constexpr int lanes = Eigen::internal::unpacket_traits<Type>::size;

  static Type load(const T* from) { return Eigen::internal::ploadu<Type>(from); }
  static Type fill(T value) { return Eigen::internal::pset1<Type>(value); }
  static void store(T* to, const Type& packet) { Eigen::internal::pstoreu(to, packet); }

  /// The lanes that are bits of `mask`, and 0 in the others, whose memory is not read.
  static Type load(const T* from, uint32_t mask) {
    if constexpr (Traits::masked_load_available)
      return Eigen::internal::ploadu<Type>(from, typename Traits::mask_t(mask));
#ifdef __AVX512F__  // Eigen has none for doubles
    if constexpr (std::is_same_v<T, double>) return _mm512_maskz_loadu_pd(__mmask8(mask), from);
#endif
    constexpr uint32_t all = (uint32_t(1) << lanes) - 1;
    return (mask & all) == all ? load(from) : load_some(from, mask);
  }
  /// Stores the first n lanes.
  static void store(T* to, const Type& packet, int64_t n) {
    if (n >= lanes) return store(to, packet);
    if constexpr (Traits::masked_store_available)
      return Eigen::internal::pstoreu(to, packet, typename Traits::mask_t((uint32_t(1) << n) - 1));
    T all[lanes];
    store(all, packet);
    std::memcpy(to, all, size_t(n) * sizeof(T));
  }

 private:
  using Traits = Eigen::internal::unpacket_traits<Type>;

  /// Lane by lane: a function of its own, or an unrolled loop would have it as often as it loads.
  [[gnu::noinline]] static Type load_some(const T* from, uint32_t mask) {
    T some[lanes];
    for (int i = 0; i < lanes; ++i) some[i] = mask >> i & 1 ? from[i] : T(0);
    return load(some);
  }
};

/// The elements at even places of two packets.
template <class T>
auto even_lanes(const typename Packets<T>::Type& a, const typename Packets<T>::Type& b) {
  constexpr int lanes = Packets<T>::lanes;
  if constexpr (lanes == 1) return a;
  else
    return [&]<int... lane>(std::integer_sequence<int, lane...>) {
      return typename Packets<T>::Type(__builtin_shufflevector(a, b, (2 * lane)...));
    }(std::make_integer_sequence<int, lanes>());
}

/// A square block of lanes x lanes elements, turned in registers: to[i][j] = from[j][i]. Only bits move.
template <class T>
void transpose_block(T* to, int64_t to_stride, const T* from, int64_t from_stride) {
  constexpr int lanes = Packets<T>::lanes;
  Eigen::internal::PacketBlock<typename Packets<T>::Type, lanes> block;
  for (int i = 0; i < lanes; ++i) block.packet[i] = Packets<T>::load(from + i * from_stride);
  ptranspose(block);
  for (int i = 0; i < lanes; ++i) Packets<T>::store(to + i * to_stride, block.packet[i]);
}

}  // namespace tinyops::cpu
