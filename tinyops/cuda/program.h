#pragma once
// The interpreter: a thread runs the program of a row kernel on eight elements at a time (four where a value takes 64 bits),
// instruction by instruction. What an instruction costs to fetch and to decide on is shared by the eight.
//
//   accumulator   8 registers     the result of the last instruction; most instructions read it, many results die in it
//   lane slots    shared memory   results that are needed later: 8 words a thread, 16 bytes a thread side by side
//   kept values   shared memory   the same, one for each stretch of a row: what a later walk over the row needs again
//   scalars       shared memory   one word a thread: the values of a row, where the eight belong to one row
//   constants     in the kernel's arguments
//
// Registers cannot be indexed by a number that is known only at run time, and local memory goes through the same cache as
// shared memory does, with more ceremony; so shared memory it is. A word holds a value of any dtype: a float's bits, an
// int, 0 or 1. Kernels whose values all fit 32 bits use 32-bit words.
//
//   gelu, of x:     acc = load 0 -> slot 0     acc = acc * slot 0     acc = acc * c0     acc = acc + slot 0    ...
#include "tinyops/cuda/cuda.h"
#include "tinyops/scalar.h"

namespace tinyops::cuda {

/// Elements that lie side by side in a 16-byte access, and elements a thread works on at once: two such groups.
template <class Word>
inline constexpr int kGroup = 16 / int(sizeof(Word));
template <class Word>
inline constexpr int kLanes = 2 * kGroup<Word>;

enum class Do : uint8_t { Load, Constant, Unary, Binary, Compare, Not, Where, Cast, Bits, Accumulate, Finish, Store };

/// An argument of an instruction, or where its result is also put.
using Place = uint8_t;
inline constexpr Place kKept = 96, kScalars = 128, kConstants = 176, kAccumulator = 255;  ///< below kKept: lane slots

/// One step, eight bytes. `type` is what it computes in, `to` what comes out; of a Load and a Store `operand` counts inputs
/// and outputs, of Accumulate and Finish it is where the totals are.
struct Code {
  Do what = Do::Constant;
  uint8_t op = 0;
  DType type = DType::Float32, to = DType::Float32;
  Place a = kAccumulator, b = kAccumulator;
  uint8_t operand = 0;  ///< of Where: the place of its third argument
  Place result = kAccumulator;
};
static_assert(sizeof(Code) == 8);

// ---- Words ----------------------------------------------------------------------------------------------------------

template <class T, class Word>
__device__ __forceinline__ T value_of(Word w) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(uint32_t(w));
  else if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(uint64_t(w));
  else if constexpr (std::is_same_v<T, bool>) return w != 0;
  else return T(w);
}
template <class Word, class T>
__device__ __forceinline__ Word word_of(T value) {
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<uint32_t>(value);
  else if constexpr (std::is_same_v<T, double>) return Word(std::bit_cast<uint64_t>(value));
  else if constexpr (std::is_same_v<T, int32_t>) return uint32_t(value);
  else return Word(value);
}
/// A stored element as a word, and back: 16-bit floats are widened and rounded.
template <class Word, class T>
__device__ __forceinline__ Word word_of_stored(T stored) { return word_of<Word>(Compute<T>(stored)); }
template <class T, class Word>
__device__ __forceinline__ T stored_of(Word w) { return T(value_of<Compute<T>>(w)); }

/// Calls `f` with a zero of the type a value of dtype `d` is computed in; those of 64 bits only where words have them.
template <class Word, class F>
__device__ __forceinline__ void with_computed(DType d, F&& f) {
  switch (d) {
    case DType::Float16:
    case DType::BFloat16:
    case DType::Float32: return f(float{});
    case DType::Int32: return f(int32_t{});
    case DType::UInt8: return f(uint8_t{});
    case DType::Bool: return f(bool{});
    default:
      if constexpr (sizeof(Word) == 8) {
        if (d == DType::Int64) return f(int64_t{});
        return f(double{});
      }
  }
}
/// The same with the type it is stored as.
template <class Word, class F>
__device__ __forceinline__ void with_stored(DType d, F&& f) {
  if (d == DType::Float16) return f(teeny::float16{});
  if (d == DType::BFloat16) return f(teeny::bfloat16{});
  with_computed<Word>(d, f);
}

// ---- Arithmetic on a thread's elements --------------------------------------------------------------------------------

/// Operations that take many instructions, or a table, are called, not copied into the kernel eight times.
template <class T>
__device__ __attribute__((noinline)) T call(UnaryOp op, T x) { return apply(op, x); }
template <class T>
__device__ __attribute__((noinline)) T call(BinaryOp op, T x, T y) { return apply(op, x, y); }

constexpr bool is_short(UnaryOp op) {
  return op == UnaryOp::Neg || op == UnaryOp::Recip || op == UnaryOp::Sqrt || op == UnaryOp::Exp || op == UnaryOp::Tanh ||
         op == UnaryOp::Floor || op == UnaryOp::Trunc || op == UnaryOp::Round;
}
constexpr bool is_short(BinaryOp op) {
  return op == BinaryOp::Add || op == BinaryOp::Sub || op == BinaryOp::Mul || op == BinaryOp::Div || op == BinaryOp::Max ||
         op == BinaryOp::Min || op == BinaryOp::And || op == BinaryOp::Or || op == BinaryOp::Xor;
}

template <class Word>
using Lanes = Word[kLanes<Word>];

template <class T, class Word>
__device__ __forceinline__ void unary(UnaryOp op, Lanes<Word>& x) {
  switch (op) {
#define TINYOPS_CASE(name)                                                                        \
  case UnaryOp::name:                                                                             \
    _Pragma("unroll") for (Word& w : x) {                                                         \
      if constexpr (is_short(UnaryOp::name) && sizeof(T) <= 4)                                    \
        w = word_of<Word>(apply(UnaryOp::name, value_of<T>(w)));                                  \
      else w = word_of<Word>(call(UnaryOp::name, value_of<T>(w)));                                \
    }                                                                                             \
    break;
    TEENY_UNARY(TINYOPS_CASE)
#undef TINYOPS_CASE
  }
}

template <class T, class Word>
__device__ __forceinline__ void binary(BinaryOp op, Lanes<Word>& x, const Lanes<Word>& y) {
  switch (op) {
#define TINYOPS_CASE(name)                                                                        \
  case BinaryOp::name:                                                                            \
    _Pragma("unroll") for (int k = 0; k < kLanes<Word>; ++k) {                                    \
      if constexpr (is_short(BinaryOp::name) && sizeof(T) <= 4)                                   \
        x[k] = word_of<Word>(apply(BinaryOp::name, value_of<T>(x[k]), value_of<T>(y[k])));        \
      else x[k] = word_of<Word>(call(BinaryOp::name, value_of<T>(x[k]), value_of<T>(y[k])));      \
    }                                                                                             \
    break;
    TEENY_BINARY(TINYOPS_CASE)
#undef TINYOPS_CASE
  }
}

/// Rounds to the 16-bit floats where `to` is one of them.
__device__ __forceinline__ float rounded_to(DType to, float x) {
  if (to == DType::Float16) return teeny::float16(x);
  if (to == DType::BFloat16) return teeny::bfloat16(x);
  return x;
}

template <class Word>
__device__ __forceinline__ void cast(DType from, DType to, Lanes<Word>& x) {
  with_computed<Word>(from, [&]<class From>(From) {
    with_computed<Word>(to, [&]<class To>(To) {
#pragma unroll
      for (Word& w : x) {
        const To result = convert<To>(value_of<From>(w));
        if constexpr (std::is_same_v<To, float>) w = word_of<Word>(rounded_to(to, result));
        else w = word_of<Word>(result);
      }
    });
  });
}

/// A Bitcast: words hold the bits already, but for the 16-bit floats, which are kept widened.
template <class Word>
__device__ __forceinline__ void same_bits_of(DType from, Lanes<Word>& x) {
#pragma unroll
  for (Word& w : x) {
    const float f = value_of<float>(w);
    if (from == DType::Float16) w = word_of<Word>(same_bits<teeny::bfloat16, teeny::float16>(f));
    if (from == DType::BFloat16) w = word_of<Word>(same_bits<teeny::float16, teeny::bfloat16>(f));
  }
}

template <class T>
__device__ __forceinline__ T combine(ReduceOp op, T x, T y) {
  switch (op) {
    case ReduceOp::Sum: return apply(BinaryOp::Add, x, y);
    case ReduceOp::Prod: return apply(BinaryOp::Mul, x, y);
    case ReduceOp::Max: return apply(BinaryOp::Max, x, y);
    default: return apply(BinaryOp::Min, x, y);
  }
}
template <class Word>
__device__ __forceinline__ Word combine(ReduceOp op, DType type, Word x, Word y) {
  Word result = x;
  with_computed<Word>(type, [&]<class T>(T) { result = word_of<Word>(combine(op, value_of<T>(x), value_of<T>(y))); });
  return result;
}
template <class Word>
__device__ __forceinline__ Word identity_word(ReduceOp op, DType type) {
  Word result = 0;
  with_computed<Word>(type, [&]<class T>(T) { result = word_of<Word>(identity<T>(op)); });
  return result;
}

// ---- A thread's memory ------------------------------------------------------------------------------------------------

/// The slots and scalars of a block, as one of its threads sees them.
template <class Word>
struct Slots {
  uint4* lanes;     ///< [slot][group][thread], kept values after the slots: [value][stretch][group][thread]
  Word* scalars;    ///< [scalar][thread]
  int threads, me;
  int lane_slots, stretches;
  int stretch = 0;  ///< of the row, where the thread is now

  __device__ Slots(void* memory, int lane_slots_, int kept, int stretches_)
      : lanes(static_cast<uint4*>(memory)), threads(int(blockDim.x * blockDim.y)),
        me(int(threadIdx.x + blockDim.x * threadIdx.y)), lane_slots(lane_slots_), stretches(stretches_) {
    scalars = reinterpret_cast<Word*>(lanes + 2 * (lane_slots + kept * stretches) * threads);
  }

  __device__ __forceinline__ uint4& four(Place place, int group, int thread) const {
    const int slot = place < kKept ? place : lane_slots + (place - kKept) * stretches + stretch;
    return lanes[(2 * slot + group) * threads + thread];
  }
  __device__ __forceinline__ void get(Place place, Lanes<Word>& x, int thread) const {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      const uint4 u = four(place, g, thread);
      if constexpr (sizeof(Word) == 4) x[4 * g] = u.x, x[4 * g + 1] = u.y, x[4 * g + 2] = u.z, x[4 * g + 3] = u.w;
      else x[2 * g] = u.x | Word(u.y) << 32, x[2 * g + 1] = u.z | Word(u.w) << 32;
    }
  }
  __device__ __forceinline__ void put(Place place, const Lanes<Word>& x) const {
#pragma unroll
    for (int g = 0; g < 2; ++g) {
      if constexpr (sizeof(Word) == 4)
        four(place, g, me) = make_uint4(x[4 * g], x[4 * g + 1], x[4 * g + 2], x[4 * g + 3]);
      else
        four(place, g, me) = make_uint4(uint32_t(x[2 * g]), uint32_t(x[2 * g] >> 32), uint32_t(x[2 * g + 1]),
                                        uint32_t(x[2 * g + 1] >> 32));
    }
  }
  __device__ __forceinline__ Word& scalar(Place place) const { return scalars[(place - kScalars) * threads + me]; }
};

/// What is at `place`, in all lanes.
template <class Word>
__device__ __forceinline__ void fetch(Place place, const Slots<Word>& slots, const Word* constants, const Lanes<Word>& accumulator,
                                      Lanes<Word>& to) {
  if (place == kAccumulator) {
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) to[k] = accumulator[k];
  } else if (place < kScalars) {
    slots.get(place, to, slots.me);
  } else {
    const Word one = place < kConstants ? slots.scalar(place) : constants[place - kConstants];
#pragma unroll
    for (Word& w : to) w = one;
  }
}
template <class Word>
__device__ __forceinline__ void keep(Place place, const Slots<Word>& slots, const Lanes<Word>& accumulator) {
  if (place == kAccumulator) return;
  if (place < kScalars) slots.put(place, accumulator);
  else slots.scalar(place) = accumulator[0];
}

/// Runs one instruction that only computes; its result is in the accumulator.
template <class Word>
__device__ __forceinline__ void compute(const Code& code, const Slots<Word>& slots, const Word* constants, Lanes<Word>& accumulator) {
  Lanes<Word> y;
  if (code.b != kAccumulator || code.what != Do::Unary) fetch(code.b, slots, constants, accumulator, y);
  if (code.a != kAccumulator) fetch(code.a, slots, constants, accumulator, accumulator);
  switch (code.what) {
    case Do::Unary:
      with_computed<Word>(code.type, [&]<class T>(T) { unary<T, Word>(UnaryOp(code.op), accumulator); });
      break;
    case Do::Binary:
      with_computed<Word>(code.type, [&]<class T>(T) { binary<T, Word>(BinaryOp(code.op), accumulator, y); });
      break;
    case Do::Compare:
      with_computed<Word>(code.type, [&]<class T>(T) {
#pragma unroll
        for (int k = 0; k < kLanes<Word>; ++k)
          accumulator[k] = compare(BinaryOp(code.op), value_of<T>(accumulator[k]), value_of<T>(y[k]));
      });
      break;
    case Do::Not:
      with_computed<Word>(code.type, [&]<class T>(T) {
#pragma unroll
        for (Word& w : accumulator) w = value_of<T>(w) == T(0);
      });
      break;
    case Do::Where: {
      Lanes<Word> z;
      fetch(Place(code.operand), slots, constants, accumulator, z);
#pragma unroll
      for (int k = 0; k < kLanes<Word>; ++k) accumulator[k] = accumulator[k] ? y[k] : z[k];
      break;
    }
    case Do::Cast: cast<Word>(code.type, code.to, accumulator); break;
    case Do::Bits: same_bits_of<Word>(code.type, accumulator); break;
    default: break;  // Constant: fetched
  }
  keep(code.result, slots, accumulator);
}

}  // namespace tinyops::cuda
