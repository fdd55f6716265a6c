#pragma once
// The primitive operations, one enum a kind. Everything else a Tensor can do is written in terms of these; what each
// of them means on one number stands in tinyops/scalar.h.
#include <cstdint>
#include <ostream>
#include <string_view>

namespace tinyops {

// NAME(Enum, member) lists: the enum and its printed names are made from one list, so they cannot drift apart.
#define TEENY_UNARY(X) \
  X(Cast) X(Bitcast) X(Neg) X(Recip) X(Sqrt) X(Exp) X(Log) X(Sin) X(Cos) X(Tanh) X(Erf) X(Atan) \
  X(Floor) X(Trunc) X(Round) X(Not)
#define TEENY_BINARY(X) \
  X(Add) X(Sub) X(Mul) X(Div) X(IDiv) X(Mod) X(Pow) X(Max) X(Min) X(Lt) X(Le) X(Eq) X(And) X(Or) X(Xor) X(Shl) X(Shr)
#define TEENY_REDUCE(X) X(Sum) X(Prod) X(Max) X(Min)

#define TEENY_MEMBER(member) member,
#define TEENY_NAME(member) #member,
#define TEENY_ENUM(Enum, LIST)                                        \
  enum class Enum : uint8_t { LIST(TEENY_MEMBER) };                   \
  constexpr std::string_view name(Enum op) {                          \
    constexpr std::string_view names[] = {LIST(TEENY_NAME)};          \
    return names[int(op)];                                            \
  }                                                                   \
  inline std::ostream& operator<<(std::ostream& out, Enum op) { return out << name(op); }

/// One number in, one out. `Not` is logical: 1 for zero, 0 for the rest. `Round` takes ties to the even neighbour.
/// `Cast` keeps the number as well as the new type can, `Bitcast` the bits (of a type of equal size, no bool).
TEENY_ENUM(UnaryOp, TEENY_UNARY)
/// `Div` divides floats; `IDiv` and `Mod` cut towards zero. `Lt Le Eq` give bool. `And Or Xor Shl Shr` work on bits.
/// `Max` and `Min` hand a NaN on.
TEENY_ENUM(BinaryOp, TEENY_BINARY)
/// Many numbers in, one out. Of nothing: 0, 1, the lowest and the highest value.
TEENY_ENUM(ReduceOp, TEENY_REDUCE)

/// `where(condition, a, b)`: the only operation with three inputs.
enum class TernaryOp : uint8_t { Where };
constexpr std::string_view name(TernaryOp) { return "Where"; }
inline std::ostream& operator<<(std::ostream& out, TernaryOp op) { return out << name(op); }

#undef TEENY_MEMBER
#undef TEENY_NAME
#undef TEENY_ENUM

}  // namespace tinyops
