// Sums, products and extremes over the elements of a tile: of one row, of several, or of what lies at the same place of
// many. Where an operation is one instruction of the machine, packets are added up first, and the total is wide.
#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/tile_loops.h"

namespace tinyops::cpu {
namespace {

/// Sums and products of floats are wide; the greatest of some elements is one of them.
template <class T, ReduceOp op>
using Wide =
    std::conditional_t<std::is_floating_point_v<T> && op != ReduceOp::Max && op != ReduceOp::Min, double, InTile<T>>;

/// One more element. For a bool, `+` is or and `*` is and, as in scalar_ops.h.
template <class T, ReduceOp op>
Wide<T, op> step_wide(Wide<T, op> total, Wide<T, op> x) {
  using Operand = std::conditional_t<std::is_same_v<T, bool>, bool, Wide<T, op>>;
  return Wide<T, op>(apply<Operand>(step(op), Operand(total), Operand(x)));
}

template <ReduceOp op, class Packet>
Packet step_packet(const Packet& a, const Packet& b) {
  if constexpr (op == ReduceOp::Sum) return padd(a, b);
  else if constexpr (op == ReduceOp::Max) return pmax<Eigen::PropagateNaN>(a, b);
  else if constexpr (op == ReduceOp::Min) return pmin<Eigen::PropagateNaN>(a, b);
}

template <class T, ReduceOp op>
struct Reduction {
  using W = Wide<T, op>;

  static void reset(int64_t n, void* totals) { std::fill_n(static_cast<W*>(totals), n, W(identity<start_type>(op))); }

  /// Whether a row is added up in packets first. A product could leave float's range on the way to a result inside it,
  /// so it is wide from the start.
  static constexpr bool in_packets =
      std::is_floating_point_v<T> && (op == ReduceOp::Sum || op == ReduceOp::Max || op == ReduceOp::Min);

  /// The whole packets of a row, in one: four packets of running totals make short chains, and a sum nearly pairwise.
  static auto packet_of(int64_t n, const T* x) {
    using P = Packets<T>;
    constexpr int lanes = P::lanes;
    // [exercise 28
    auto part0 = P::fill(identity<T>(op)), part1 = part0, part2 = part0, part3 = part0;
    int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      part0 = step_packet<op>(part0, P::load(x + i));
      part1 = step_packet<op>(part1, P::load(x + i + lanes));
      part2 = step_packet<op>(part2, P::load(x + i + 2 * lanes));
      part3 = step_packet<op>(part3, P::load(x + i + 3 * lanes));
    }
    for (; i + lanes <= n; i += lanes) part0 = step_packet<op>(part0, P::load(x + i));
    return step_packet<op>(step_packet<op>(part0, part1), step_packet<op>(part2, part3));
    // exercise 28]
  }

  /// total op= part op the elements of the row that fill no packet, one by one.
  static void finish_row(int64_t n, W* total, T part, const T* x) {
    W sum = step_wide<T, op>(*total, part);
    for (int64_t i = n / Packets<T>::lanes * Packets<T>::lanes; i < n; ++i) sum = step_wide<T, op>(sum, W(x[i]));
    *total = sum;
  }

  static void row(int64_t n, W* total, const InTile<T>* x) {
    if constexpr (in_packets) {
      constexpr int lanes = Packets<T>::lanes;
      if (n >= lanes) {
        T parts[lanes];
        Packets<T>::store(parts, packet_of(n, x));
        for (int width = lanes / 2; width > 0; width /= 2)
          for (int j = 0; j < width; ++j) parts[j] = apply<T>(step(op), parts[j], parts[j + width]);
        return finish_row(n, total, parts[0], x);
      }
    }
    for (int64_t i = 0; i < n; ++i) *total = step_wide<T, op>(*total, W(x[i]));
  }

  /// As many rows as a packet has lanes go together: a packet of each, turned in registers, and what was a sum across a
  /// packet is a sum of packets.
  ///
  ///   a0 a1 a2 a3        a0 b0 c0 d0
  ///   b0 b1 b2 b3   ──►  a1 b1 c1 d1    + + +   ──►  a b c d
  ///   c0 c1 c2 c3        a2 b2 c2 d2
  ///   d0 d1 d2 d3        a3 b3 c3 d3
  static void packed(int64_t count, int64_t n, void* totals, const void* values) {
    W* total = static_cast<W*>(totals);
    const InTile<T>* x = in<T>(values);
    int64_t r = 0;
    if constexpr (in_packets) {
      constexpr int lanes = Packets<T>::lanes;
      for (; n >= lanes && r + lanes <= count; r += lanes) {
        Eigen::internal::PacketBlock<typename Packets<T>::Type, lanes> block;
        for (int i = 0; i < lanes; ++i) block.packet[i] = packet_of(n, x + (r + i) * n);
        ptranspose(block);
        for (int width = lanes / 2; width > 0; width /= 2)
          for (int j = 0; j < width; ++j) block.packet[j] = step_packet<op>(block.packet[j], block.packet[j + width]);
        T parts[lanes];
        Packets<T>::store(parts, block.packet[0]);
        for (int i = 0; i < lanes; ++i) finish_row(n, total + r + i, parts[i], x + (r + i) * n);
      }
    }
    for (; r < count; ++r) row(n, total + r, x + r * n);
  }

  /// A packet of neighbouring rows, n to the next elements of theirs: a few elements of each are put together in
  /// registers, then with the totals of all rows from `first` on.
  static void columns(int64_t count, int64_t n, int first, W* total, const T* x) {
    using P = Packets<T>;
    constexpr int64_t together = 16;
    for (int64_t r = 0; r < count; r += together, x += together * n) {
      const int64_t here = std::min(together, count - r);
      auto even = P::load(x), odd = P::fill(identity<T>(op));
      for (int64_t i = 1; i < here; i += 2) odd = step_packet<op>(odd, P::load(x + i * n));
      for (int64_t i = 2; i < here; i += 2) even = step_packet<op>(even, P::load(x + i * n));
      T parts[P::lanes];
      P::store(parts, step_packet<op>(even, odd));
      if (first == 0)
        for (int j = 0; j < P::lanes; ++j) total[j] = step_wide<T, op>(total[j], W(parts[j]));
      else
        for (int j = first; j < P::lanes; ++j) total[j] = step_wide<T, op>(total[j], W(parts[j]));
    }
  }
  static void rows(int64_t count, int64_t n, void* totals, const void* values) {
    W* total = static_cast<W*>(totals);
    const InTile<T>* x = in<T>(values);
    if constexpr (in_packets) {
      constexpr int lanes = Packets<T>::lanes;
      if (count > 1 && n >= lanes) {
        int64_t i = 0;
        for (; i + lanes <= n; i += lanes) columns(count, n, 0, total + i, x + i);
        const int64_t last = n - lanes;  // what is left has a packet that begins earlier
        if (i < n) columns(count, n, int(i - last), total + last, x + last);
        return;
      }
    }
    for (; count > 0; --count, x += n)
      each<W>(n, total, [](W t, InTile<T> x) { return step_wide<T, op>(t, W(x)); }, static_cast<const W*>(total), x);
  }
  static void combine(int64_t n, void* totals, const void* others) {
    each<W>(n, totals, step_wide<T, op>, static_cast<const W*>(totals), static_cast<const W*>(others));
  }
  static void finish(int64_t n, void* values, const void* totals) {
    each<InTile<T>>(n, values, [](W t) { return InTile<T>(t); }, static_cast<const W*>(totals));
  }

  using start_type = std::conditional_t<std::is_same_v<T, bool>, bool, W>;
  static constexpr TileReduction functions{reset, packed, rows, combine, finish};
};

/// Totals as those of a sum of doubles.
struct SumOfSquares {
  static double square(float x) { return double(x) * double(x); }

  /// Some running totals make short chains, which fill packets.
  static double row(int64_t n, const float* x) {
    constexpr int64_t chains = 32;
    double part[chains] = {};
    int64_t i = 0;
    for (; i + chains <= n; i += chains)
#pragma omp simd
      for (int64_t j = 0; j < chains; ++j) part[j] += square(x[i + j]);
    for (; i < n; ++i) part[i % chains] += square(x[i]);
    for (int64_t width = chains / 2; width > 0; width /= 2)
      for (int64_t j = 0; j < width; ++j) part[j] += part[j + width];
    return part[0];
  }
  static void packed(int64_t count, int64_t n, void* totals, const void* values) {
    for (int64_t r = 0; r < count; ++r) static_cast<double*>(totals)[r] += row(n, in<float>(values) + r * n);
  }
  static void rows(int64_t count, int64_t n, void* totals, const void* values) {
    for (const float* x = in<float>(values); count > 0; --count, x += n)
      each<double>(n, totals, [](double t, float x) { return t + square(x); }, static_cast<const double*>(totals), x);
  }
  using Sum = Reduction<double, ReduceOp::Sum>;
  static constexpr TileReduction functions{Sum::reset, packed, rows, Sum::combine, Sum::finish};
};

}  // namespace

const TileReduction& tile_sum_of_squares() { return SumOfSquares::functions; }

const TileReduction& tile_reduction(ReduceOp op, DType dtype) {
  return with_compute(dtype, [&]<class T>(T) -> const TileReduction& {
    return with_op(op, [](auto op) -> const TileReduction& { return Reduction<T, decltype(op)::value>::functions; });
  });
}

}  // namespace tinyops::cpu
