#pragma once
// How a thread of a row kernel reads and writes its elements: from an operand's forms to addresses, to accesses of 16
// bytes where elements lie side by side, and one by one where they do not.
//
//   in groups   t0 t0 t0 t0 | t1 t1 t1 t1 | .. | t0 t0 t0 t0 | t1 ..      a warp's access is 512 bytes in one piece
//   apart       t0 | t1 | t2 | .. | t0 | t1 | ..                          128 bytes, of four bytes each: rows of any length
#include "tinyops/cuda/row/row_plan.h"

namespace tinyops::cuda {

/// Which elements a thread works on.
template <class A>
struct ThreadPosition {
  using Index = typename A::Index;
  Index fixed = 0, step = 0;
  Index first = 0;      ///< its first lane
  Index limit = 0;      ///< lanes from here on do not exist
  int apart = 0;        ///< in groups: lanes from its first group to its second; else from one of its lanes to the next
  bool active = true;   ///< there is such a row
};

/// The lane of a thread's element k.
template <class Word, class A>
__device__ __forceinline__ typename A::Index lane_of(const A& a, const ThreadPosition<A>& at, int k) {
  return a.in_groups ? at.first + k / kGroup<Word> * at.apart + k % kGroup<Word> : at.first + k * at.apart;
}

/// What the axes [from, to) add to a form at `index`, counted in row-major order over them.
template <class A>
__device__ __forceinline__ int64_t walk_with(const A& a, const Form<A::kAxes>& form, typename A::Index index, int from,
                                             int to) {
  int64_t sum = 0;
#pragma unroll 1
  for (int axis = to - 1; axis >= from; --axis) {
    const typename A::Index left = axis > from ? a.sizes[axis].quotient(index) : 0;
    sum += (index - left * typename A::Index(a.sizes[axis].divisor())) * form.coef[axis];
    index = left;
  }
  return sum;
}
template <class A>
TINYOPS_NOINLINE int64_t outlined_walk(const A& a, const Form<A::kAxes>& form, typename A::Index index, int from,
                                       int to) {
  return walk_with(a, form, index, from, to);
}
/// A division of 64 bits is long; where it may be needed, it is in one place.
template <class A>
__device__ __forceinline__ int64_t walk(const A& a, const Form<A::kAxes>& form, typename A::Index index, int from,
                                        int to) {
  if constexpr (A::kSmall) return walk_with(a, form, index, from, to);
  else return outlined_walk(a, form, index, from, to);
}

/// The value of a form without what the lanes add.
template <class A>
__device__ __forceinline__ int64_t start_of(const A& a, const Form<A::kAxes>& form, ThreadPosition<A> at) {
  int64_t start = form.offset;
  if (a.first_step > 0) start += walk(a, form, at.fixed, 0, a.first_step);
  if (a.first_lane > a.first_step) start += walk(a, form, at.step, a.first_step, a.first_lane);
  return start;
}

/// What a lane adds to a form.
template <class A>
__device__ __forceinline__ int64_t lane_part(const A& a, const Form<A::kAxes>& form, typename A::Index lane) {
  const int axes = a.axes - a.first_lane;
  if (axes == 1) return lane * form.coef[a.first_lane];
  return axes == 0 ? 0 : walk(a, form, lane, a.first_lane, a.axes);
}

/// Which of `mask`'s lanes pass the guards of an operand: bit k for lane k.
template <class Word, class A>
TINYOPS_NOINLINE unsigned guarded(const A& a, const DeviceOperand& r, ThreadPosition<A> at, unsigned mask) {
  for (int g = 1; g <= r.guards; ++g) {
    const auto& form = a.forms[r.form + g];
    const int64_t start = start_of(a, form, at);
#pragma unroll 1
    for (int k = 0; k < kLanes<Word>; ++k)
      if (uint64_t(start + lane_part(a, form, lane_of<Word>(a, at, k))) >= uint64_t(form.size)) mask &= ~(1u << k);
  }
  return mask;
}

/// Which of the thread's lanes exist for an operand.
template <class Word, class A>
__device__ __forceinline__ unsigned existing(const A& a, const DeviceOperand& r, const ThreadPosition<A>& at) {
  unsigned mask = 0;
#pragma unroll
  for (int k = 0; k < kLanes<Word>; ++k) mask |= unsigned(lane_of<Word>(a, at, k) < at.limit) << k;
  return r.guards > 0 ? guarded<Word>(a, r, at, mask) : mask;
}

// ---- Memory and words: as raw bits, of 1, 2, 4 or 8 bytes, and then only the 16-bit floats are something else ---------

template <class Word>
TINYOPS_NOINLINE Lanes<Word> widened(DType from, Lanes<Word> x) {
#pragma unroll 1
  for (Word& w : x.v)
    w = word_of<Word>(from == DType::Float16 ? float(std::bit_cast<float16>(uint16_t(w)))
                                             : float(std::bit_cast<bfloat16>(uint16_t(w))));
  return x;
}
template <class Word>
TINYOPS_NOINLINE Lanes<Word> narrowed(DType to, Lanes<Word> x) {
#pragma unroll 1
  for (Word& w : x.v)
    w = to == DType::Float16 ? float16(value_of<float>(w)).bits : bfloat16(value_of<float>(w)).bits;
  return x;
}

/// Calls `f` with a zero of the unsigned integer that has the size of an element: in an inlined kernel one of 1 or 4
/// bytes.
template <bool kInlined, class Word, class F>
__device__ __forceinline__ void with_raw(DType d, F&& f) {
  if (d <= DType::UInt8) return f(uint8_t{});
  if constexpr (!kInlined)
    if (is_half(d)) return f(uint16_t{});
  if constexpr (sizeof(Word) == 8)
    if (d == DType::Int64 || d == DType::Float64) return f(uint64_t{});
  f(uint32_t{});
}

/// A Load that reads no memory: a constant, or the address itself.
template <class Word, class A>
TINYOPS_NOINLINE Lanes<Word> made_up(const A& a, const DeviceOperand& r, DType dtype, ThreadPosition<A> at) {
  const unsigned mask = existing<Word>(a, r, at);
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  Lanes<Word> x;
#pragma unroll 1
  for (int k = 0; k < kLanes<Word>; ++k) {
    x[k] = r.kind == Input::Kind::Constant ? a.constants[r.constant - kConstants]
                                         : with_computed<Word>(dtype, [&]<class T>(T) -> Word {
      return word_of<Word>(T(start + lane_part(a, form, lane_of<Word>(a, at, k))));
    });
    if (!(mask >> k & 1)) x[k] = 0;
  }
  return x;
}

/// Calls `group(k, lane)` for the first element of each group that is one access, and `one(k, lane)` for all other
/// elements that exist. (An inlined kernel looks at all groups at once.)
template <bool kInlined, class Word, class A, class Exists, class Group, class One>
__device__ __forceinline__ void for_lanes(const A& a, const DeviceOperand& r, const ThreadPosition<A>& at,
                                          Exists&& exists, Group&& group, One&& one) {
  constexpr int n = kGroup<Word>;
  const bool whole = kInlined && r.access == Access::Groups && at.first + at.apart + n <= at.limit;
#pragma unroll
  for (int g = 0; g < kLanes<Word>; g += n) {
    if (kInlined ? whole : r.access == Access::Groups && exists(g + n - 1)) group(g, lane_of<Word>(a, at, g));
    else {
#pragma unroll
      for (int k = g; k < g + n; ++k)
        if (exists(k)) one(k, lane_of<Word>(a, at, k));
    }
  }
}

template <bool kInlined, class Word, class A>
__device__ __forceinline__ Lanes<Word> load_memory(const A& a, const DeviceOperand& r, const ThreadPosition<A>& at) {
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  Lanes<Word> x = Lanes<Word>::of(0);
  if (r.access == Access::Same) {
    const bool exists = at.active && (kInlined || r.guards == 0 || guarded<Word>(a, r, at, 1));
    with_raw<kInlined, Word>(r.dtype, [&]<class Raw>(Raw) {
      if (exists) x = Lanes<Word>::of(as<const Raw>(r.memory)[start]);
    });
    return x;
  }
  const unsigned mask = kInlined ? 0 : existing<Word>(a, r, at);
  const auto exists = [&](int k) { return kInlined ? lane_of<Word>(a, at, k) < at.limit : mask >> k & 1; };
  with_raw<kInlined, Word>(r.dtype, [&]<class Raw>(Raw) {
    const Global<const Raw> memory = as<const Raw>(r.memory);
    for_lanes<kInlined, Word>(a, r, at, exists, [&](int g, auto lane) {
      const auto pack = vector_at<Pack<Raw, kGroup<Word>>>(memory, start + lane_part(a, form, lane));
#pragma unroll
      for (int k = 0; k < kGroup<Word>; ++k) x[g + k] = pack.v[k];
    }, [&](int k, auto lane) { x[k] = memory[start + lane_part(a, form, lane)]; });
  });
  return x;
}

template <bool kInlined, class Word, class A>
__device__ __forceinline__ void store_memory(const A& a, const DeviceOperand& r, const ThreadPosition<A>& at,
                                             const Lanes<Word>& x) {
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  const auto exists = [&](int k) { return lane_of<Word>(a, at, k) < at.limit; };
  with_raw<kInlined, Word>(r.dtype, [&]<class Raw>(Raw) {
    const Global<Raw> memory = as<Raw>(r.memory);
    if (r.access == Access::Same) return void(memory[start] = Raw(x[0]));
    for_lanes<kInlined, Word>(a, r, at, exists, [&](int g, auto lane) {
      Pack<Raw, kGroup<Word>> pack;
#pragma unroll
      for (int k = 0; k < kGroup<Word>; ++k) pack.v[k] = Raw(x[g + k]);
      vector_at<Pack<Raw, kGroup<Word>>>(memory, start + lane_part(a, form, lane)) = pack;
    }, [&](int k, auto lane) { memory[start + lane_part(a, form, lane)] = Raw(x[k]); });
  });
}

// An inlined kernel has no calls, which would cost it registers, and with them threads that hide each other's waiting
// for memory: its operands have 4 bytes, or 1, and no guards. All others call these.

template <class Word, class A>
TINYOPS_NOINLINE Lanes<Word> load_any(const A& a, BytecodeOp code, ThreadPosition<A> at) {
  const DeviceOperand& r = a.inputs[code.operand];
  if (r.kind != Input::Kind::Memory) return made_up<Word>(a, r, code.to, at);
  const Lanes<Word> x = load_memory<false, Word>(a, r, at);
  return is_half(r.dtype) ? widened(r.dtype, x) : x;
}
template <class Word, class A>
TINYOPS_NOINLINE void store_any(const A& a, BytecodeOp code, ThreadPosition<A> at, Lanes<Word> x) {
  const DeviceOperand& r = a.outputs[code.operand];
  store_memory<false>(a, r, at, is_half(r.dtype) ? narrowed(r.dtype, x) : x);
}

template <bool kInlined, class A, class Word = typename A::Word>
__device__ __forceinline__ Lanes<Word> load(const A& a, const BytecodeOp& code, const ThreadPosition<A>& at) {
  if constexpr (kInlined) return load_memory<true, Word>(a, a.inputs[code.operand], at);
  else return load_any<Word>(a, code, at);
}
template <bool kInlined, class A, class Word>
__device__ __forceinline__ void store(const A& a, const BytecodeOp& code, const ThreadPosition<A>& at,
                                      const Lanes<Word>& x) {
  if constexpr (kInlined) store_memory<true>(a, a.outputs[code.operand], at, x);
  else store_any(a, code, at, x);
}

}  // namespace tinyops::cuda
