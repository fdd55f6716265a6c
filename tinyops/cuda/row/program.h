#pragma once
// The interpreter: a thread runs the program of a row kernel on eight elements at a time (four where a value takes 64
// bits), instruction by instruction. What an instruction costs to fetch and to decide on is shared by the eight.
//
//   accumulator   8 registers     the result of the last instruction; most read it, many results are read from nowhere else
//   lane slots    shared memory   results that are needed later: 8 words a thread, 16 bytes a thread side by side
//   kept values   shared memory   the same, one for each stretch of a row: what a later walk over the row needs again
//   scalars       shared memory   one word a thread: the values of a row, where the eight belong to one row
//   constants     in the kernel's arguments
//
// Registers cannot be indexed by a value that is known only at run time, and local memory goes through the same cache
// as shared memory does, at more instructions: hence shared memory. A word holds a value of any dtype: a float's bits,
// an int, 0 or 1. Small kernels whose values all fit 32 bits use 32-bit words.
//
//   gelu, of x:     acc = load 0 -> slot 0     acc = acc * slot 0     acc = acc * c0     acc = acc + slot 0    ...
#include <vector>

#include "tinyops/base/scalar_ops.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace tinyops::cuda {

/// Elements that lie side by side in a 16-byte access, and elements a thread works on at once: two such groups.
template <class Word>
inline constexpr int kGroup = 16 / int(sizeof(Word));
template <class Word>
inline constexpr int kLanes = 2 * kGroup<Word>;

enum class Opcode : uint8_t {
  Load, Constant, Unary, Binary, Compare, Predicate, Where, Cast, Bits, Accumulate, Finish, Store
};

/// An argument of an instruction, or where its result is also put.
using Slot = uint8_t;
inline constexpr Slot kKept = 96, kScalars = 128, kConstants = 176, kAccumulator = 255;  ///< below kKept: lane slots

/// One step, eight bytes. `type` is what it computes in, `to` what comes out; of a Load and a Store `operand` counts
/// inputs and outputs, of Accumulate and Finish it is where the totals are.
struct BytecodeOp {
  Opcode what = Opcode::Constant;
  uint8_t op = 0;
  DType type = DType::Float32, to = DType::Float32;
  Slot a = kAccumulator, b = kAccumulator;
  uint8_t operand = 0;  ///< of Where: the place of its third argument
  Slot result = kAccumulator;
};
static_assert(sizeof(BytecodeOp) == 8);

/// A row kernel's program as codes, with a slot for every value. A program with Reduces falls into sections, which take
/// turns (row_plan.h). `columns`: whether a row has a value in each lane; `keeps`: whether what an earlier section
/// computed may be kept.
struct Sections {
  Sections(const RowKernel& kernel, bool columns, bool keeps);

  std::vector<std::vector<BytecodeOp>> codes;  ///< rows 0, elements 0, rows 1, ...
  std::vector<uint64_t> constants;             ///< words
  std::vector<Slot> input_constants;           ///< for each input that is a constant, its slot
  int lane_slots = 0, kept = 0, scalars = 0;
};

// ---- Words ----------------------------------------------------------------------------------------------------------

constexpr bool is_half(DType d) { return d == DType::Float16 || d == DType::BFloat16; }

template <class T, class Word>
__device__ __forceinline__ T value_of(Word w) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(uint32_t(w));
  else if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(uint64_t(w));
  else if constexpr (std::is_same_v<T, bool>) return w != 0;
  else return T(w);
}
template <class Word, class T>
TINYOPS_HD Word word_of(T value) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<uint32_t>(value);
  else if constexpr (std::is_same_v<T, double>) return Word(std::bit_cast<uint64_t>(value));
  else if constexpr (std::is_same_v<T, int32_t>) return uint32_t(value);
  else return Word(value);
}

/// Calls `f` with a zero of the type a value of dtype `d` is computed in; those of 64 bits only where words have them.
template <class Word, class F>
__device__ __forceinline__ auto with_computed(DType d, F&& f) {
  if (d == DType::Int32) return f(int32_t{});
  if (d == DType::UInt8) return f(uint8_t{});
  if (d == DType::Bool) return f(bool{});
  if constexpr (sizeof(Word) == 8) {
    if (d == DType::Int64) return f(int64_t{});
    if (d == DType::Float64) return f(double{});
  }
  return f(float{});
}

/// The elements of a thread. By value, so that they stay in registers also where they are handed to a function.
template <class Word>
struct Lanes {
  Word v[kLanes<Word>];
  __device__ __forceinline__ Word& operator[](int k) { return v[k]; }
  __device__ __forceinline__ const Word& operator[](int k) const { return v[k]; }
  __device__ __forceinline__ static Lanes of(Word w) {
    Lanes x;
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) x[k] = w;
    return x;
  }
};

/// A function that is called, where most are copied into the kernel: what is rare, or long, must not cost the rest
/// registers.
#define TINYOPS_NOINLINE __device__ __attribute__((noinline))

// ---- Arithmetic on a thread's elements ------------------------------------------------------------------------------
// Float arithmetic is eight instructions for eight elements. Everything else goes through one function, element by
// element.

template <class Word>
TINYOPS_NOINLINE Word compute_one(BytecodeOp code, Word x, Word y) {
  return with_computed<Word>(code.type, [&]<class T>(T) -> Word {
    const T a = value_of<T>(x), b = value_of<T>(y);
    switch (code.what) {
      case Opcode::Unary: return word_of<Word>(apply(UnaryOp(code.op), a));
      case Opcode::Binary: return word_of<Word>(apply(BinaryOp(code.op), a, b));
      case Opcode::Compare: return holds(BinaryOp(code.op), a, b);
      case Opcode::Predicate: return holds(UnaryOp(code.op), a);
      case Opcode::Cast:
        if (code.to == DType::Float16) return word_of<Word>(cast_to<float16>(a));
        if (code.to == DType::BFloat16) return word_of<Word>(cast_to<bfloat16>(a));
        return with_computed<Word>(code.to, [&]<class To>(To) -> Word { return word_of<Word>(convert<To>(a)); });
      case Opcode::Bits:  // words hold the bits already, but for the 16-bit floats, which are kept widened
        if constexpr (std::is_same_v<T, float>) {
          if (code.type == DType::Float16) return word_of<Word>(same_bits<bfloat16, float16>(a));
          if (code.type == DType::BFloat16) return word_of<Word>(same_bits<float16, bfloat16>(a));
        }
        return x;
      default: return x;
    }
  });
}
template <class Word>
TINYOPS_NOINLINE Lanes<Word> compute_each(BytecodeOp code, Lanes<Word> x, Lanes<Word> y) {
#pragma unroll 1
  for (int k = 0; k < kLanes<Word>; ++k) x[k] = compute_one(code, x[k], y[k]);
  return x;
}

/// `f` of every element, a T.
template <class T, class F>
__device__ __forceinline__ Lanes<uint32_t> map_lanes(Lanes<uint32_t> x, const Lanes<uint32_t>& y, F&& f) {
#pragma unroll
  for (int k = 0; k < kLanes<uint32_t>; ++k) x[k] = word_of<uint32_t>(f(value_of<T>(x[k]), value_of<T>(y[k])));
  return x;
}

/// Some operations. `visit` calls f with the one that `op` is, as a std::integral_constant; whether it is one of them.
template <auto... ops>
struct OpList {
  template <class Op>
  static constexpr bool contains(Op op) { return ((op == ops) || ...); }
  template <class Op, class F>
  TINYOPS_HD static bool visit(Op op, F&& f) {
    return ((op == ops && (f(std::integral_constant<Op, ops>{}), true)) || ...);
  }
};
// Those that have a few instructions of their own, of floats and of bits.
using InlinedUnary =
    OpList<UnaryOp::Neg, UnaryOp::Recip, UnaryOp::Sqrt, UnaryOp::Exp, UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Log>;
using InlinedBinary = OpList<BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Max, BinaryOp::Min>;
using InlinedCompare = OpList<BinaryOp::Lt, BinaryOp::Le, BinaryOp::Eq>;
using InlinedBits = OpList<BinaryOp::And, BinaryOp::Or, BinaryOp::Xor>;

/// Whether `compute` has a few instructions for it. Then there is no call in a kernel of such codes.
constexpr bool can_inline(const BytecodeOp& code) {
  const bool is_float = code.type == DType::Float32;
  switch (code.what) {
    case Opcode::Binary:
      if (InlinedBits::contains(BinaryOp(code.op))) return code.type <= DType::Int32;
      return is_float && InlinedBinary::contains(BinaryOp(code.op));
    case Opcode::Unary: return is_float && InlinedUnary::contains(UnaryOp(code.op));
    case Opcode::Compare: return is_float && InlinedCompare::contains(BinaryOp(code.op));
    case Opcode::Cast: return code.type == DType::Bool && code.to == DType::Float32;
    case Opcode::Accumulate:
    case Opcode::Finish: return is_float && (ReduceOp(code.op) == ReduceOp::Sum || ReduceOp(code.op) == ReduceOp::Max);
    case Opcode::Load:
    case Opcode::Store: return itemsize(code.to) == 4 || itemsize(code.to) == 1;
    case Opcode::Predicate: return code.type == DType::Bool && UnaryOp(code.op) == UnaryOp::Not;
    case Opcode::Constant:
    case Opcode::Where: return true;
    default: return false;
  }
}

/// Unary, Binary, Compare, Predicate, Cast or Bits of all elements. `kInlined`: the code is.
template <bool kInlined, class Word>
__device__ __forceinline__ Lanes<Word> compute(const BytecodeOp& code, const Lanes<Word>& x, const Lanes<Word>& y) {
  if constexpr (sizeof(Word) == 4) {
    Lanes<Word> result;
    const auto run = [&]<class Op, Op op>(std::integral_constant<Op, op>) {
      if constexpr (std::is_same_v<Op, UnaryOp>)
        result = map_lanes<float>(x, y, [](float a, float) { return apply(op, a); });
      else if constexpr (InlinedBits::contains(op))
        result = map_lanes<uint32_t>(x, y, [](uint32_t a, uint32_t b) { return apply(op, a, b); });
      else if constexpr (gives_bool(op))
        result = map_lanes<float>(x, y, [](float a, float b) { return holds(op, a, b); });
      else result = map_lanes<float>(x, y, [](float a, float b) { return apply(op, a, b); });
    };
    const bool is_float = code.type >= DType::Float16;
    if (is_float && code.what == Opcode::Binary) {
      if (InlinedBinary::visit(BinaryOp(code.op), run)) return result;
    } else if (is_float && code.what == Opcode::Unary) {
      if (InlinedUnary::visit(UnaryOp(code.op), run)) return result;
    } else if (is_float && code.what == Opcode::Compare) {
      if (InlinedCompare::visit(BinaryOp(code.op), run)) return result;
    } else if (code.what == Opcode::Cast && code.type == DType::Bool && code.to == DType::Float32) {
      return map_lanes<uint32_t>(x, y, [](uint32_t a, uint32_t) { return a ? 1.0f : 0.0f; });
    }
    if (code.what == Opcode::Predicate && code.type == DType::Bool && UnaryOp(code.op) == UnaryOp::Not)
      return map_lanes<uint32_t>(x, y, [](uint32_t a, uint32_t) { return a ^ 1; });
    if (code.what == Opcode::Binary && !is_float && InlinedBits::visit(BinaryOp(code.op), run)) return result;
  }
  if constexpr (kInlined) return x;
  else return compute_each(code, x, y);
}

/// What a reduction makes of two values: the instruction that it repeats.
__device__ __forceinline__ BytecodeOp step_of(const BytecodeOp& reduction) {
  return {.what = Opcode::Binary, .op = uint8_t(step(ReduceOp(reduction.op))), .type = reduction.type};
}
/// What a reduction makes of two values, and of a thread's elements.
template <bool kInlined, class Word>
__device__ __forceinline__ Word combine(const BytecodeOp& reduction, Word x, Word y) {
  if constexpr (!kInlined) {
    return compute_one(step_of(reduction), x, y);
  } else {
    const float a = value_of<float>(x), b = value_of<float>(y);
    return word_of<Word>(ReduceOp(reduction.op) == ReduceOp::Sum ? a + b : apply(BinaryOp::Max, a, b));
  }
}
template <class Word>
TINYOPS_NOINLINE Word over_each_lane(BytecodeOp reduction, Lanes<Word> x) {
  Word total = x[0];
#pragma unroll 1
  for (int k = 1; k < kLanes<Word>; ++k) total = combine<false>(reduction, total, x[k]);
  return total;
}
template <bool kInlined, class Word>
__device__ __forceinline__ Word over_lanes(const BytecodeOp& reduction, Lanes<Word> x) {
  if constexpr (!kInlined) {
    return over_each_lane(reduction, x);
  } else {
#pragma unroll
    for (int half = kLanes<Word> / 2; half > 0; half /= 2)
#pragma unroll
      for (int k = 0; k < half; ++k) x[k] = combine<kInlined>(reduction, x[k], x[k + half]);
    return x[0];
  }
}

// ---- A thread's memory ----------------------------------------------------------------------------------------------

/// The lanes of a thread that lie in memory as two times 16 bytes: `four(0)` and `four(1)`.
template <class Word, class F>
__device__ __forceinline__ Lanes<Word> read_lanes(F&& four) {
  Lanes<Word> x;
#pragma unroll
  for (int g = 0; g < 2; ++g) {
    const uint4 u = four(g);
    if constexpr (sizeof(Word) == 4) x[4 * g] = u.x, x[4 * g + 1] = u.y, x[4 * g + 2] = u.z, x[4 * g + 3] = u.w;
    else x[2 * g] = u.x | Word(u.y) << 32, x[2 * g + 1] = u.z | Word(u.w) << 32;
  }
  return x;
}
template <class Word, class F>
__device__ __forceinline__ void write_lanes(F&& four, const Lanes<Word>& x) {
#pragma unroll
  for (int g = 0; g < 2; ++g) {
    if constexpr (sizeof(Word) == 4) four(g) = make_uint4(x[4 * g], x[4 * g + 1], x[4 * g + 2], x[4 * g + 3]);
    else
      four(g) = make_uint4(uint32_t(x[2 * g]), uint32_t(x[2 * g] >> 32), uint32_t(x[2 * g + 1]),
                           uint32_t(x[2 * g + 1] >> 32));
  }
}

/// The slots and scalars of a block, as one of its threads sees them. A, the kernel's arguments, says how many there
/// are; so little of this takes registers.
///
///   lane slots   [slot][group][thread]      kept values   [value][stretch][group][thread]      scalars   [scalar][thread]
template <class A>
struct Slots {
  using Word = typename A::Word;
  const A& a;
  int stretch = 0;  ///< of the row, where the thread is now

  __device__ __forceinline__ static int threads() { return int(blockDim.x * blockDim.y); }
  __device__ __forceinline__ static int me() { return int(threadIdx.x + blockDim.x * threadIdx.y); }

  __device__ __forceinline__ uint4& four(Slot place, int group, int thread) const {
    const int slot = place < kKept ? place : a.lane_slots + (place - kKept) * a.stretches + stretch;
    return static_cast<uint4*>(dynamic_shared())[(2 * slot + group) * threads() + thread];
  }
  __device__ __forceinline__ Word& scalar(Slot place) const {
    uint4* const lanes = static_cast<uint4*>(dynamic_shared());
    Word* const scalars = reinterpret_cast<Word*>(lanes + 2 * (a.lane_slots + a.kept * a.stretches) * threads());
    return scalars[(place - kScalars) * threads() + me()];
  }
  __device__ __forceinline__ Lanes<Word> get(Slot place, int thread) const {
    return read_lanes<Word>([&](int g) -> uint4& { return four(place, g, thread); });
  }
  __device__ __forceinline__ void put(Slot place, const Lanes<Word>& x) const {
    write_lanes([&](int g) -> uint4& { return four(place, g, me()); }, x);
  }
  __device__ __forceinline__ Lanes<Word> fetch(Slot place, const Lanes<Word>& accumulator) const {
    if (place == kAccumulator) return accumulator;
    if (place < kScalars) return get(place, me());
    return Lanes<Word>::of(place < kConstants ? scalar(place) : a.constants[place - kConstants]);
  }
  __device__ __forceinline__ void keep(Slot place, const Lanes<Word>& accumulator) const {
    if (place == kAccumulator) return;
    if (place < kScalars) put(place, accumulator);
    else scalar(place) = accumulator[0];
  }
};

/// Runs one instruction that only computes; its result is in the accumulator. `memory` has what an argument's Slot
/// names, and keeps results: the Slots of a row kernel, or the sums of a contraction's tile.
template <bool kInlined, class Memory, class Word>
__device__ __forceinline__ void run_code(const BytecodeOp& code, const Memory& memory, Lanes<Word>& accumulator) {
  const Lanes<Word> y = memory.fetch(code.b, accumulator);
  accumulator = memory.fetch(code.a, accumulator);
  if (code.what == Opcode::Where) {
    const Lanes<Word> z = memory.fetch(code.operand, accumulator);
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) accumulator[k] = accumulator[k] ? y[k] : z[k];
  } else if (code.what != Opcode::Constant) accumulator = compute<kInlined>(code, accumulator, y);
  memory.keep(code.result, accumulator);
}

}  // namespace tinyops::cuda
