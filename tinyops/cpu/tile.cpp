// The element operations of one tile. Whatever is one instruction of the machine is a plain loop over scalar_ops.h's
// own definition, which the compiler turns into packets; exp and its kind are in math.h.
#include "tinyops/cpu/math.h"
#include "tinyops/cpu/tile_loops.h"

namespace tinyops::cpu {
namespace {

/// One scalar, read like a tile of it.
template <class T>
struct Single {
  InTile<T> scalar;
  InTile<T> operator[](int64_t) const { return scalar; }
};
template <class T, bool single>
auto in_or_single(const void* values) {
  if constexpr (single) return Single<T>{*in<T>(values)};
  else return in<T>(values);
}

/// Of a whole number of steps, which the compiler then knows: its loops need nothing for a rest.
template <class Out, class F, class... In>
void each_step(int64_t n, void* out, F f, In... in) {
  each<Out>(n / kStep * kStep, out, f, in...);
}

template <class T, BinaryOp op, unsigned single>
void binary(int64_t n, void* out, const void* a, const void* b, const void*) {
  const auto x = in_or_single<T, (single & 1) != 0>(a);
  const auto y = in_or_single<T, (single & 2) != 0>(b);
  if constexpr (gives_bool(op))
    each_step<uint8_t>(n, out, [](auto x, auto y) { return holds<T>(op, T(x), T(y)); }, x, y);
  else each_step<InTile<T>>(n, out, [](auto x, auto y) { return apply<T>(op, T(x), T(y)); }, x, y);
}

template <class T, UnaryOp op>
void unary(int64_t n, void* out, const void* a, const void*, const void*) {
  if constexpr (gives_bool(op)) each_step<uint8_t>(n, out, [](auto x) { return holds<T>(op, T(x)); }, in<T>(a));
  else if constexpr (has_packets<T>(op)) tile_function<T, op>(n, static_cast<T*>(out), in<T>(a));
  else each_step<InTile<T>>(n, out, [](auto x) { return apply<T>(op, T(x)); }, in<T>(a));
}

template <class To, class From>
void bitcast(int64_t n, void* out, const void* a, const void*, const void*) {
  each_step<InTile<Compute<To>>>(n, out, [](auto x) { return same_bits<To, From>(x); }, in<Compute<From>>(a));
}

/// A bool is 0 or 1 already.
template <class To, class From>
void cast(int64_t n, void* out, const void* a, const void*, const void*) {
  each_step<InTile<Compute<To>>>(n, out, [](InTile<From> x) { return cast_to<To>(x); }, in<From>(a));
}

template <class To, class From>
void convert_tile(int64_t n, void* out, const void* a, const void*, const void*) {
  each<To>(n, out, [](From x) { return To(x); }, static_cast<const From*>(a));
}

template <class T, unsigned single>
void where(int64_t n, void* out, const void* condition, const void* a, const void* b) {
  each_step<InTile<T>>(n, out, [](auto c, auto x, auto y) { return c ? x : y; }, in<bool>(condition),
                       in_or_single<T, (single & 2) != 0>(a), in_or_single<T, (single & 4) != 0>(b));
}

}  // namespace

TileOp tile_op(const Instruction& instruction, DType from, unsigned single) {
  if (const auto* op = std::get_if<UnaryOp>(&instruction.op); op && *op == UnaryOp::Bitcast)
    return with_type(from, [&]<class From>(From) {
      return with_type(instruction.dtype, []<class To>(To) -> TileOp { return bitcast<To, From>; });
    });
  return with_compute(from, [&]<class T>(T) -> TileOp {
    if (std::holds_alternative<TernaryOp>(instruction.op))
      return single == 0 ? where<T, 0> : single == 2 ? where<T, 2> : single == 4 ? where<T, 4> : where<T, 6>;
    if (const auto* binary_op = std::get_if<BinaryOp>(&instruction.op))
      return with_op(*binary_op, [&](auto op) -> TileOp {
        return single == 0 ? binary<T, op, 0> : single == 1 ? binary<T, op, 1> : binary<T, op, 2>;
      });
    const auto unary_op = std::get<UnaryOp>(instruction.op);
    if (unary_op != UnaryOp::Cast) return with_op(unary_op, [](auto op) -> TileOp { return unary<T, op>; });
    return with_type(instruction.dtype, []<class To>(To) -> TileOp { return cast<To, T>; });
  });
}

TileOp conversion(DType stored, bool widen) {
  return with_type(stored, [&]<class T>(T) -> TileOp {
    if constexpr (std::is_same_v<T, Compute<T>>) return nullptr;
    else return widen ? convert_tile<float, T> : convert_tile<T, float>;
  });
}

void spread_tile(DType dtype, void* to, int64_t count, int64_t length, const void* values) {
  with_compute(dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < count; ++i) {
      const InTile<T> value = in<T>(values)[i];
      std::fill_n(static_cast<InTile<T>*>(to) + i * length, length, value);
    }
  });
}

}  // namespace tinyops::cpu
