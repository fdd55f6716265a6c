#pragma once
// The largest part of a stencil's work: a few rows of outputs, a packet each, that stay in registers while all taps of
// their windows are met. Where windows overlap from row to row, what is read of the image is used for all of them:
//
//                     column of taps, and what it makes of these pixels
//   pixels  x0 ──►    w0 x0
//           x1 ──►    w1 x1   w0 x1
//           x2 ──►    w2 x2   w1 x2   w0 x2
//           x3 ──►            w2 x3   w1 x3         so that 3 rows of 3 taps read 5 packets, and not 9
//           x4 ──►                    w2 x4
//                     row 0   row 1   row 2
//
// Nothing is copied: lanes to the left and to the right of the image are masked, and rows above and below it are one
// row of padding.
#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "tinyops/base/op.h"
#include "tinyops/cpu/packets.h"
#include "tinyops/cpu/stencil/stencil.h"

namespace tinyops::cpu {

/// What is done with the pixels of a window.
template <class T>
struct AddProducts {
  static constexpr bool has_weights = true;
  static constexpr T start = 0, padding = 0;
  static auto next(const auto& sum, const auto& pixels, const auto& weight) { return pmadd(pixels, weight, sum); }
};
template <class T>
struct Largest {
  static constexpr bool has_weights = false;
  static constexpr T start = -std::numeric_limits<T>::infinity(), padding = start;
  /// Of a NaN and a number, pmax gives the first; a NaN among the pixels must come through, too.
  template <class Packet>
  static Packet next(const Packet& largest, const Packet& pixels, const Packet&) {
    return pixels == pixels ? pmax(largest, pixels) : pixels;
  }
};

/// A step on results, with its other argument.
template <class T>
struct Following {
  BinaryOp op;
  bool scalar_first;
  T scalar;
};

/// What the lanes of a packet of outputs meet in a row of an image through a column of taps: neighbours, or every other
/// one of two packets.
struct MetPixels {
  int64_t first;       ///< of the row; before the image if negative
  uint32_t inside[2];  ///< of each packet, the lanes that are pixels and no padding

  MetPixels(int64_t first, int64_t pixels, int lanes) : first(first) {
    for (int64_t part : {0, 1}) {
      const auto lane = [&](int64_t pixel) { return std::clamp<int64_t>(pixel - first - part * lanes, 0, lanes); };
      inside[part] = (uint32_t(1) << lane(pixels)) - (uint32_t(1) << lane(0));
    }
  }
};

/// What a tile of results looks at.
template <class T>
struct WindowTile {
  struct Plane {
    const T* const* rows;  ///< the first pixel of each row of the image
    const T* weights;      ///< its part of the filters
  };
  std::span<const Plane> planes;
  int64_t first_row = 0;              ///< of `rows` that the first output meets
  int64_t filter = 0;                 ///< the place of its weights
  const MetPixels* pixels = nullptr;  ///< of each column of taps
  std::span<const Following<T>> following;
};

template <class T, class Op, int rows>
class WindowKernel {
  using P = Packets<T>;
  using Packet = typename P::Type;
  static constexpr int lanes = P::lanes;

 public:
  /// Calls store(row, packet) with the results of each row.
  template <class Store>
  static void run(const Stencil& s, const WindowTile<T>& tile, Store&& store) {
    Packet result[rows];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) result[i] = P::fill(Op::start);
    for (const auto& plane : tile.planes) {
      const MetPixels* pixels = tile.pixels;
      for (const Stencil::TapColumn& column : s.columns) {
        const T* const* const row = plane.rows + tile.first_row + column.y;
        const T* const weights = plane.weights + tile.filter;
        const auto shared = [&]<int step>() {
          if (column.taps == 3) add_shared<3, step>(row, *pixels, weights, column.weight, result);
          else if (column.taps == 5) add_shared<5, step>(row, *pixels, weights, column.weight, result);
          else add_shared<7, step>(row, *pixels, weights, column.weight, result);
        };
        if (column.taps >= 3 && s.x.step == s.y.step) {
          if (s.x.step == 1) shared.template operator()<1>();
          else shared.template operator()<2>();
        } else if (s.x.step == 1) add<1>(row, s.y.step, column, *pixels, weights, result);
        else add<2>(row, s.y.step, column, *pixels, weights, result);
        ++pixels;
      }
    }
    for (const Following<T>& next : tile.following) follow(next, result);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) store(i, result[i]);
  }

 private:
  /// A packet of pixels, beside `padding`.
  template <int step>
  static Packet load(const T* row, const MetPixels& pixels, const Packet& padding) {
    Packet x = P::load(row + pixels.first, pixels.inside[0]);
    if constexpr (step == 2) x = even_lanes<T>(x, P::load(row + pixels.first + lanes, pixels.inside[1]));
    return Op::padding == 0 ? x : por(x, padding);
  }
  /// Padding in the lanes that are no pixels, and 0 in the others.
  template <int step>
  static Packet beyond(const MetPixels& pixels) {
    static constexpr auto all = [] {
      std::array<T, size_t(lanes)> all{};
      all.fill(Op::padding);
      return all;
    }();
    const Packet x = P::load(all.data(), ~pixels.inside[0]);
    return step == 1 ? x : even_lanes<T>(x, P::load(all.data(), ~pixels.inside[1]));
  }

  /// Meets a column of taps, tap by tap.
  template <int x_step>
  static void add(const T* const* row, int64_t y_step, const Stencil::TapColumn& column, const MetPixels& pixels,
                  const T* weights, Packet (&result)[rows]) {
    const Packet padding = beyond<x_step>(pixels);
    for (int k = 0; k < column.taps; ++k) {
      const Packet weight = P::fill(Op::has_weights ? weights[column.weight[k]] : T(0));
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i)
        result[i] = Op::next(result[i], load<x_step>(row[k + i * y_step], pixels, padding), weight);
    }
  }
  /// Meets it row by row of the image.
  template <int taps, int step>
  static void add_shared(const T* const* row, const MetPixels& pixels, const T* weights,
                         const int64_t (&weight_of)[Stencil::TapColumn::most], Packet (&result)[rows]) {
    const Packet padding = beyond<step>(pixels);
    Packet weight[taps];
#pragma GCC unroll 16
    for (int k = 0; k < taps; ++k) weight[k] = P::fill(Op::has_weights ? weights[weight_of[k]] : T(0));
#pragma GCC unroll 32
    for (int j = 0; j < (rows - 1) * step + taps; ++j) {
      const Packet x = load<step>(row[j], pixels, padding);
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i)
        if (const int k = j - i * step; k >= 0 && k < taps) result[i] = Op::next(result[i], x, weight[k]);
    }
  }

  /// What scalar_ops.h says of these operations, if y is no NaN.
  static Packet apply(BinaryOp op, const Packet& x, const Packet& y) {
    switch (op) {
      case BinaryOp::Add: return padd(x, y);
      case BinaryOp::Sub: return psub(x, y);
      case BinaryOp::Mul: return pmul(x, y);
      case BinaryOp::Div: return pdiv(x, y);
      case BinaryOp::Max: return x <= y ? y : x;
      default: return x >= y ? y : x;  // Min
    }
  }
  static void follow(const Following<T>& next, Packet (&result)[rows]) {
    const Packet scalar = P::fill(next.scalar);
    const auto for_all = [&]<BinaryOp op>() {
#pragma GCC unroll 16
      for (Packet& x : result) x = next.scalar_first ? apply(op, scalar, x) : apply(op, x, scalar);
    };
    switch (next.op) {
      case BinaryOp::Add: return for_all.template operator()<BinaryOp::Add>();
      case BinaryOp::Sub: return for_all.template operator()<BinaryOp::Sub>();
      case BinaryOp::Mul: return for_all.template operator()<BinaryOp::Mul>();
      case BinaryOp::Div: return for_all.template operator()<BinaryOp::Div>();
      case BinaryOp::Max: return for_all.template operator()<BinaryOp::Max>();
      default: return for_all.template operator()<BinaryOp::Min>();
    }
  }
};

}  // namespace tinyops::cpu
