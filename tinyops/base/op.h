#pragma once
// The primitive operations: a line for each says what it is, and its case in scalar_ops.h what it means. Everything
// else a Tensor can do is written in terms of these.
//
// A new primitive is its line here, anywhere in its list, and its case there. The enum, the printed name, the
// scheduler's cost and how padding passes through it come from the line; a backend that has no faster code of its own
// for it evaluates the definition in scalar_ops.h, element by element; tests/test_ops.cpp goes through the lists.
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

namespace tinyops {

/// What is known of an operation besides its meaning.
enum OpTrait : unsigned {
  Cheap = 0,           ///< about one instruction
  Division = 1,        ///< or a square root: costs as much as three
  Transcendental = 2,  ///< as much as eight: computing it again costs more than reading it from memory
  NonzeroAtZero = 4,   ///< f(0), or f(0, 0), is neither 0 nor -0: where operands are padded with 0, the result is not
  GivesBool = 8,       ///< the result is a bool; of the others it has the operands' dtype
  Exact = 16,          ///< of 16-bit floats the result is one: nothing is rounded
};

// clang-format off
#define TINYOPS_UNARY(X)                              \
  X(Cast, Exact) X(Bitcast, Exact) X(Neg, Exact)      \
  X(Recip, Division | NonzeroAtZero) X(Sqrt, Division)                                              \
  X(Exp, Transcendental | NonzeroAtZero) X(Exp2, Transcendental | NonzeroAtZero) X(Expm1, Transcendental) \
  X(Log, Transcendental | NonzeroAtZero) X(Log2, Transcendental | NonzeroAtZero)                    \
  X(Log10, Transcendental | NonzeroAtZero) X(Log1p, Transcendental)                                 \
  X(Sin, Transcendental) X(Cos, Transcendental | NonzeroAtZero) X(Tan, Transcendental)              \
  X(Asin, Transcendental) X(Acos, Transcendental | NonzeroAtZero) X(Atan, Transcendental)           \
  X(Sinh, Transcendental) X(Cosh, Transcendental | NonzeroAtZero)                                   \
  X(Tanh, Transcendental)                                                                           \
  X(Asinh, Transcendental) X(Acosh, Transcendental | NonzeroAtZero) X(Atanh, Transcendental)        \
  X(Sigmoid, Transcendental | NonzeroAtZero)                                                        \
  X(Erf, Transcendental) X(Erfc, Transcendental | NonzeroAtZero)                                    \
  X(Floor, Exact) X(Trunc, Exact) X(Round, Exact)     \
  X(Not, GivesBool | NonzeroAtZero)

#define TINYOPS_BINARY(X)                             \
  X(Add, Cheap) X(Sub, Cheap) X(Mul, Cheap)           \
  X(Div, Division | NonzeroAtZero)                    \
  X(IDiv, Division | NonzeroAtZero)                   \
  X(Mod, Division | NonzeroAtZero)                    \
  X(Pow, Transcendental | NonzeroAtZero)              \
  X(Max, Exact) X(Min, Exact)                         \
  X(Lt, GivesBool)                                    \
  X(Le, GivesBool | NonzeroAtZero)                    \
  X(Eq, GivesBool | NonzeroAtZero)                    \
  X(And, Cheap) X(Or, Cheap) X(Xor, Cheap) X(Shl, Cheap) X(Shr, Cheap)

// clang-format on

/// The only operation with three operands: where(condition, a, b).
#define TINYOPS_TERNARY(X) X(Where, Exact)

/// A reduction repeats a binary operation.
#define TINYOPS_REDUCE(X) X(Sum, Add) X(Prod, Mul) X(Max, Max) X(Min, Min)

#define TINYOPS_MEMBER(member, ...) member,
#define TINYOPS_NAME(member, ...) #member,
#define TINYOPS_ONE(...) +1
#define TINYOPS_ENUM(Enum, LIST)                               \
  enum class Enum : uint8_t { LIST(TINYOPS_MEMBER) };          \
  template <>                                                  \
  inline constexpr int kCount<Enum> = LIST(TINYOPS_ONE);       \
  constexpr std::string_view name(Enum op) {                   \
    constexpr std::string_view names[] = {LIST(TINYOPS_NAME)}; \
    return names[int(op)];                                     \
  }                                                            \
  inline std::ostream& operator<<(std::ostream& out, Enum op) { return out << name(op); }
#define TINYOPS_TRAIT(member, traits) traits,
#define TINYOPS_TRAITS(Enum, LIST)                        \
  constexpr unsigned traits(Enum op) {                    \
    constexpr unsigned of_each[] = {LIST(TINYOPS_TRAIT)}; \
    return of_each[int(op)];                              \
  }

/// How many members an enum of operations has: UnaryOp(i) for i from 0 to kCount<UnaryOp> - 1.
template <class Op>
inline constexpr int kCount = 0;

/// One element in, one out. `Not` is logical: true for zero. `Round` takes ties to the even neighbour. `Cast` keeps the
/// value as well as the new dtype can, `Bitcast` the bits (of a dtype of equal size, no bool).
TINYOPS_ENUM(UnaryOp, TINYOPS_UNARY)
TINYOPS_TRAITS(UnaryOp, TINYOPS_UNARY)
/// `Div` divides floats; `IDiv` and `Mod` cut towards zero. `And Or Xor Shl Shr` work on bits. `Max` and `Min` hand a
/// NaN on.
TINYOPS_ENUM(BinaryOp, TINYOPS_BINARY)
TINYOPS_TRAITS(BinaryOp, TINYOPS_BINARY)
TINYOPS_ENUM(TernaryOp, TINYOPS_TERNARY)
TINYOPS_TRAITS(TernaryOp, TINYOPS_TERNARY)
/// Many elements in, one out. Of none: what leaves the other operand of its step as it is (`identity` in scalar_ops.h).
TINYOPS_ENUM(ReduceOp, TINYOPS_REDUCE)

/// The binary operation that a reduction repeats.
constexpr BinaryOp step(ReduceOp op) {
#define TINYOPS_STEP(member, binary) \
  case ReduceOp::member: return BinaryOp::binary;
  switch (op) { TINYOPS_REDUCE(TINYOPS_STEP) }
#undef TINYOPS_STEP
  return BinaryOp::Add;
}

#undef TINYOPS_UNARY
#undef TINYOPS_BINARY
#undef TINYOPS_TERNARY
#undef TINYOPS_REDUCE
#undef TINYOPS_MEMBER
#undef TINYOPS_NAME
#undef TINYOPS_ONE
#undef TINYOPS_ENUM
#undef TINYOPS_TRAIT
#undef TINYOPS_TRAITS

// ---- What is asked of the traits ------------------------------------------------------------------------------------

template <class Op>
constexpr bool gives_bool(Op op) {
  return traits(op) & GivesBool;
}
/// Whether the result is 0 where all operands are: then what pads the operands pads the result.
template <class Op>
constexpr bool keeps_zero(Op op) {
  return !(traits(op) & NonzeroAtZero);
}
/// Whether of 16-bit floats a value comes out that has to be rounded to be one.
template <class Op>
constexpr bool rounds(Op op) {
  return !(traits(op) & (Exact | GivesBool));
}
/// In cheap operations.
template <class Op>
constexpr int cost(Op op) {
  return traits(op) & Transcendental ? 8 : traits(op) & Division ? 3 : 1;
}

/// Calls `f` with `op` as a std::integral_constant: the bridge from an operation to a template.
template <class Op, class F, int i = 0>
constexpr decltype(auto) with_op(Op op, F&& f) {
  if constexpr (i + 1 < kCount<Op>)
    if (int(op) != i) return with_op<Op, F, i + 1>(op, static_cast<F&&>(f));
  return f(std::integral_constant<Op, Op(i)>{});
}

}  // namespace tinyops
