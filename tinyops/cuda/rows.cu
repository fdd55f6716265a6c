// Row kernels: everything that is element-wise, and everything that sums, or the like, over axes (see row_plan.h for how
// threads lie on elements, program.h for how they run the program).
//
// Limits: a kernel of a few operations moves its operands at the speed of memory. An instruction of the interpreter costs
// about two dozen machine instructions for eight elements, so that from about ten on arithmetic is the limit.
#include "tinyops/cuda/elementwise.h"
#include "tinyops/cuda/row_plan.h"
#include "tinyops/cuda/transpose.h"

#include <algorithm>

namespace tinyops::cuda {
namespace {

/// Which elements a thread works on.
template <class A>
struct At {
  using Index = typename A::Index;
  Index fixed = 0, step = 0;
  Index first = 0;      ///< its first lane
  Index limit = 0;      ///< lanes from here on do not exist
  int apart = 0;        ///< in groups: lanes from its first group to its second; else from one of its lanes to the next
  bool active = true;   ///< there is such a row
};

/// The lane of a thread's element k.
template <class Word, class A>
__device__ __forceinline__ typename A::Index lane_of(const A& a, const At<A>& at, int k) {
  return a.in_groups ? at.first + k / kGroup<Word> * at.apart + k % kGroup<Word> : at.first + k * at.apart;
}

/// What the axes [from, to) add to a form at `index`, counted in row-major order over them.
template <class A>
__device__ __forceinline__ int64_t walk_with(const A& a, const Form<A::kAxes>& form, typename A::Index index, int from, int to) {
  int64_t sum = 0;
#pragma unroll 1
  for (int axis = to - 1; axis >= from; --axis) {
    typename A::Index left = 0;
    if constexpr (A::kSmall) left = axis > from ? a.sizes[axis].small_quotient(index) : 0;
    else left = axis > from ? a.sizes[axis].quotient(index) : 0;
    sum += (index - left * typename A::Index(a.sizes[axis].divisor())) * form.coef[axis];
    index = left;
  }
  return sum;
}
template <class A>
TINYOPS_CALLED int64_t called_walk(const A& a, const Form<A::kAxes>& form, typename A::Index index, int from, int to) {
  return walk_with(a, form, index, from, to);
}
/// A division of 64 bits is long; where it may be needed, it is in one place.
template <class A>
__device__ __forceinline__ int64_t walk(const A& a, const Form<A::kAxes>& form, typename A::Index index, int from, int to) {
  if constexpr (A::kSmall) return walk_with(a, form, index, from, to);
  else return called_walk(a, form, index, from, to);
}

/// The value of a form without what the lanes add.
template <class A>
__device__ __forceinline__ int64_t start_of(const A& a, const Form<A::kAxes>& form, At<A> at) {
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
TINYOPS_CALLED unsigned guarded(const A& a, const Reached& r, At<A> at, unsigned mask) {
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
__device__ __forceinline__ unsigned existing(const A& a, const Reached& r, const At<A>& at) {
  unsigned mask = 0;
#pragma unroll
  for (int k = 0; k < kLanes<Word>; ++k) mask |= unsigned(lane_of<Word>(a, at, k) < at.limit) << k;
  return r.guards > 0 ? guarded<Word>(a, r, at, mask) : mask;
}

// ---- Memory and words: as raw bits, of 1, 2, 4 or 8 bytes, and then only the 16-bit floats are something else ---------

template <class Word>
TINYOPS_CALLED Lanes<Word> widened(DType from, Lanes<Word> x) {
#pragma unroll 1
  for (Word& w : x.v)
    w = word_of<Word>(from == DType::Float16 ? float(std::bit_cast<teeny::float16>(uint16_t(w)))
                                             : float(std::bit_cast<teeny::bfloat16>(uint16_t(w))));
  return x;
}
template <class Word>
TINYOPS_CALLED Lanes<Word> narrowed(DType to, Lanes<Word> x) {
#pragma unroll 1
  for (Word& w : x.v)
    w = to == DType::Float16 ? teeny::float16(value_of<float>(w)).bits : teeny::bfloat16(value_of<float>(w)).bits;
  return x;
}
constexpr bool is_half(DType d) { return d == DType::Float16 || d == DType::BFloat16; }

/// Calls `f` with a zero of the unsigned integer that has the size of an element.
template <class Word, class F>
__device__ __forceinline__ void with_raw(DType d, F&& f) {
  switch (d) {
    case DType::Bool:
    case DType::UInt8: return f(uint8_t{});
    case DType::Float16:
    case DType::BFloat16: return f(uint16_t{});
    case DType::Int64:
    case DType::Float64:
      if constexpr (sizeof(Word) == 8) return f(uint64_t{});
      [[fallthrough]];
    default: return f(uint32_t{});
  }
}

/// Neighbours in memory.
template <class Raw, int n>
struct alignas(sizeof(Raw) * n) Pack {
  Raw v[n];
};

/// A Load that reads no memory: a number, or the address itself.
template <class Word, class A>
TINYOPS_CALLED Lanes<Word> made_up(const A& a, const Reached& r, DType dtype, At<A> at) {
  const unsigned mask = existing<Word>(a, r, at);
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  Lanes<Word> x;
#pragma unroll 1
  for (int k = 0; k < kLanes<Word>; ++k) {
    x[k] = r.kind == Input::Kind::Number ? a.constants[r.number - kConstants]
                                         : with_computed<Word>(dtype, [&]<class T>(T) -> Word {
      return word_of<Word>(T(start + lane_part(a, form, lane_of<Word>(a, at, k))));
    });
    if (!(mask >> k & 1)) x[k] = 0;
  }
  return x;
}

/// Any load. The addresses come first, so that the reads do not wait for each other.
template <class Word, class A>
TINYOPS_CALLED Lanes<Word> load_any(const A& a, Code code, At<A> at) {
  const Reached& r = a.inputs[code.operand];
  if (r.kind != Input::Kind::Memory) return made_up<Word>(a, r, code.to, at);
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  Lanes<Word> x = Lanes<Word>::of(0);
  if (r.access == Access::Same) {
    const bool exists = at.active && (r.guards == 0 || guarded<Word>(a, r, at, 1));
    with_raw<Word>(r.dtype, [&]<class Raw>(Raw) { x = Lanes<Word>::of(exists ? as<const Raw>(r.memory)[start] : Raw(0)); });
  } else {
    constexpr int n = kGroup<Word>;
    const unsigned mask = existing<Word>(a, r, at);
    with_raw<Word>(r.dtype, [&]<class Raw>(Raw) {
#pragma unroll
      for (int g = 0; g < kLanes<Word>; g += n) {
        if (r.access == Access::Groups && mask >> (g + n - 1) & 1) {
          const auto pack = vector_at<Pack<Raw, n>>(as<const Raw>(r.memory), start + lane_part(a, form, lane_of<Word>(a, at, g)));
#pragma unroll
          for (int k = 0; k < n; ++k) x[g + k] = pack.v[k];
        } else {
#pragma unroll
          for (int k = 0; k < n; ++k)
            if (mask >> (g + k) & 1) x[g + k] = as<const Raw>(r.memory)[start + lane_part(a, form, lane_of<Word>(a, at, g + k))];
        }
      }
    });
  }
  return is_half(r.dtype) ? widened(r.dtype, x) : x;
}

/// Any store.
template <class Word, class A>
TINYOPS_CALLED void store_any(const A& a, Code code, At<A> at, Lanes<Word> x) {
  const Reached& r = a.outputs[code.operand];
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  if (is_half(r.dtype)) x = narrowed(r.dtype, x);
  constexpr int n = kGroup<Word>;
  with_raw<Word>(r.dtype, [&]<class Raw>(Raw) {
    if (r.access == Access::Same) return void(as<Raw>(r.memory)[start] = Raw(x[0]));
#pragma unroll
    for (int g = 0; g < kLanes<Word>; g += n) {
      if (r.access == Access::Groups && lane_of<Word>(a, at, g + n - 1) < at.limit) {
        Pack<Raw, n> pack;
#pragma unroll
        for (int k = 0; k < n; ++k) pack.v[k] = Raw(x[g + k]);
        vector_at<Pack<Raw, n>>(as<Raw>(r.memory), start + lane_part(a, form, lane_of<Word>(a, at, g))) = pack;
      } else {
#pragma unroll
        for (int k = 0; k < n; ++k)
          if (const auto lane = lane_of<Word>(a, at, g + k); lane < at.limit)
            as<Raw>(r.memory)[start + lane_part(a, form, lane)] = Raw(x[g + k]);
      }
    }
  });
}

// A lean kernel has no calls, which would cost it registers, and with them threads that hide each other's waiting for
// memory: its operands have 4 bytes, or 1, and no guards.

/// Calls `f` with a zero of the integer that has the size of an element: bytes, or words.
template <class F>
__device__ __forceinline__ void with_lean(DType d, F&& f) { d <= DType::UInt8 ? f(uint8_t{}) : f(uint32_t{}); }

template <class A>
__device__ __forceinline__ bool whole_groups(const Reached& r, const At<A>& at) {
  return r.access == Access::Groups && at.first + at.apart + 4 <= at.limit;
}

template <class A>
__device__ __forceinline__ Lanes<uint32_t> lean_load(const A& a, const Code& code, const At<A>& at) {
  const Reached& r = a.inputs[code.operand];
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  Lanes<uint32_t> x = Lanes<uint32_t>::of(0);
  with_lean(r.dtype, [&]<class Raw>(Raw) {
    const Global<const Raw> memory = as<const Raw>(r.memory);
    if (r.access == Access::Same) {
      if (at.active) x = Lanes<uint32_t>::of(memory[start]);
    } else if (whole_groups(r, at)) {
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        const auto pack = vector_at<Pack<Raw, 4>>(memory, start + lane_part(a, form, at.first + g * at.apart));
#pragma unroll
        for (int k = 0; k < 4; ++k) x[4 * g + k] = pack.v[k];
      }
    } else {
#pragma unroll
      for (int k = 0; k < kLanes<uint32_t>; ++k)
        if (const int lane = lane_of<uint32_t>(a, at, k); lane < at.limit) x[k] = memory[start + lane_part(a, form, lane)];
    }
  });
  return x;
}

template <class A>
__device__ __forceinline__ void lean_store(const A& a, const Code& code, const At<A>& at, const Lanes<uint32_t>& x) {
  const Reached& r = a.outputs[code.operand];
  const auto& form = a.forms[r.form];
  const int64_t start = start_of(a, form, at);
  with_lean(r.dtype, [&]<class Raw>(Raw) {
    const Global<Raw> memory = as<Raw>(r.memory);
    if (r.access == Access::Same) {
      memory[start] = Raw(x[0]);
    } else if (whole_groups(r, at)) {
#pragma unroll
      for (int g = 0; g < 2; ++g) {
        Pack<Raw, 4> pack;
#pragma unroll
        for (int k = 0; k < 4; ++k) pack.v[k] = Raw(x[4 * g + k]);
        vector_at<Pack<Raw, 4>>(memory, start + lane_part(a, form, at.first + g * at.apart)) = pack;
      }
    } else {
#pragma unroll
      for (int k = 0; k < kLanes<uint32_t>; ++k)
        if (const int lane = lane_of<uint32_t>(a, at, k); lane < at.limit) memory[start + lane_part(a, form, lane)] = Raw(x[k]);
    }
  });
}

template <bool kLean, class A, class Word = typename A::Word>
__device__ __forceinline__ Lanes<Word> load(const A& a, const Code& code, const At<A>& at) {
  if constexpr (kLean) return lean_load(a, code, at);
  else return load_any<Word>(a, code, at);
}
template <bool kLean, class A, class Word>
__device__ __forceinline__ void store(const A& a, const Code& code, const At<A>& at, const Lanes<Word>& x) {
  if constexpr (kLean) lean_store(a, code, at, x);
  else store_any(a, code, at, x);
}

// ---- Reductions -------------------------------------------------------------------------------------------------------

/// The totals of a group's threads become one, which all of them get: by shuffles within a warp, then through shared memory.
///
///   lane    0 1 2 3 4 5 6 7      each step adds the value of the lane whose number differs in one bit; after the last one
///   bit 2   └───────┘            all have the same bits, since a + b = b + a
///   bit 1   └───┘
///   bit 0   └─┘
template <bool kLean, class Word>
__device__ __forceinline__ Word over_group(const Code& code, Word total, int group) {
  __shared__ Word of_warp[kRowThreads / 32];
#pragma unroll 1
  for (int bit = std::min(group, 32) / 2; bit > 0; bit /= 2)
    total = combine<kLean>(code, total, __shfl_xor_sync(0xffffffff, total, bit));
  if (group > 32) {
    const int me = int(threadIdx.x), first = me / group * group / 32;
    if (me % 32 == 0) of_warp[me / 32] = total;
    __syncthreads();
    total = of_warp[first];
#pragma unroll 1
    for (int w = 1; w < group / 32; ++w) total = combine<kLean>(code, total, of_warp[first + w]);
    __syncthreads();  // before the next one writes
  }
  return total;
}

/// Where every lane has a row of its own: the totals of the threads that share its steps.
template <bool kLean, class A, class Word = typename A::Word>
__device__ __forceinline__ Lanes<Word> over_steps(const Code& code, const Slots<A>& slots) {
  __syncthreads();
  Lanes<Word> x = slots.get(code.operand, int(threadIdx.x));
#pragma unroll 1
  for (unsigned y = 1; y < blockDim.y; ++y)
    x = compute<kLean>(step_of(code), x, slots.get(code.operand, int(threadIdx.x + y * blockDim.x)));
  __syncthreads();
  return x;
}

/// Adds what the thread's elements come to to its total: a number for the row, or one a lane.
template <bool kLean, class A, class Word>
__device__ __forceinline__ void accumulate(const A& a, const Code& code, const At<A>& at, const Slots<A>& slots, Lanes<Word> x) {
  if (a.columns) return slots.put(code.operand, compute<kLean>(step_of(code), slots.get(code.operand, slots.me()), x));
#pragma unroll
  for (int k = 0; k < kLanes<Word>; ++k)
    if (lane_of<Word>(a, at, k) >= at.limit) x[k] = a.constants[code.b - kConstants];
  Word& total = slots.scalar(code.operand);
  total = combine<kLean>(code, total, over_lanes<kLean>(code, x));
}

// ---- The kernels ------------------------------------------------------------------------------------------------------

/// Runs the codes of one section on the thread's elements. `owner`: the thread stores what the section stores.
template <bool kLean, class A, class Word = typename A::Word>
__device__ __forceinline__ void run_section(const A& a, int section, const At<A>& at, bool owner, const Slots<A>& slots) {
  Lanes<Word> accumulator = Lanes<Word>::of(0);
  for (int c = a.begin[section]; c < a.begin[section + 1]; ++c) {
    const Code code = a.codes[c];
    switch (code.what) {
      case Do::Load:
        accumulator = load<kLean>(a, code, at);
        keep(code.result, slots, accumulator);
        break;
      case Do::Store:
        if (owner) store<kLean>(a, code, at, fetch(code.a, slots, accumulator));
        break;
      case Do::Accumulate: accumulate<kLean>(a, code, at, slots, fetch(code.a, slots, accumulator)); break;
      case Do::Finish:
        accumulator = a.columns ? over_steps<kLean>(code, slots)
                                : Lanes<Word>::of(over_group<kLean>(code, slots.scalar(code.operand), a.group));
        keep(code.result, slots, accumulator);
        break;
      default: run_code<kLean>(code, slots, accumulator);
    }
  }
}

/// One piece of work after the other: some rows, or a stretch of lanes. A section of elements is run for every stretch of a
/// row, or every step of the lanes.
template <bool kLean, class A>
__global__ void __launch_bounds__(kRowThreads, kLean ? 5 : 1) rows_kernel(const __grid_constant__ A a) {
  using Word = typename A::Word;
  Slots<A> slots{a};
  const int group = a.columns ? int(blockDim.x) : a.group;  // threads side by side
  const int in_group = int(threadIdx.x) % group, first_of_thread = a.in_groups ? in_group * kGroup<Word> : in_group;
  const int lanes = group * kLanes<Word>;
  using Index = typename A::Index;
  const Index across = a.columns ? Index((a.lanes + lanes - 1) / lanes) : 1;
  for (Index block = blockIdx.x; block < Index(a.blocks); block += gridDim.x) {
    At<A> at;
    at.fixed = a.columns ? block / across : block * (blockDim.x / group) + threadIdx.x / group;
    at.active = at.fixed < Index(a.fixed);
    if (!at.active) at.fixed = 0;
    const bool owner = at.active && (a.columns ? threadIdx.y : in_group) == 0;
    for (int section = 0; section < a.sections; ++section) {
      const bool elements = section % 2, one_lane = !elements && !a.columns;  // a row's value is in lane 0
      const int begin = elements && a.columns ? int(threadIdx.y) : 0, by = elements && a.columns ? int(blockDim.y) : 1;
      const Index end = !elements ? 1 : a.columns ? Index(a.steps) : a.stretches;
      at.limit = !at.active ? 0 : one_lane ? 1 : Index(a.lanes);
      at.apart = one_lane ? 0 : a.in_groups ? group * kGroup<Word> : group;
      for (Index turn = begin; turn < end; turn += by) {
        at.step = a.columns ? turn : 0, slots.stretch = a.columns ? 0 : int(turn);
        at.first = one_lane ? 0 : (a.columns ? block % across : turn) * lanes + first_of_thread;
        run_section<kLean>(a, section, at, elements || owner, slots);
      }
    }
  }
}

}  // namespace

void run_kernel(const RowKernel& kernel) {
  int64_t written = 0;
  for (const Output& out : kernel.outputs) written = std::max(written, int64_t(out.operand.buffer->bytes()));
  const Shape outer(kernel.shape.begin(), kernel.shape.end() - kernel.inner);
  if (written == 0 || teeny::numel(outer) == 0 || run_elementwise(kernel) || run_transpose(kernel)) return;
  RowPlan& plan = kernel.memo.get<RowPlan>(kernel);
  for (const RowKernel& part : plan.instead) run_kernel(part);
  if (!plan.instead.empty()) return;
  std::visit([&]<class A>(A& a) {
    for (size_t i = 0; i < kernel.inputs.size(); ++i)
      if (kernel.inputs[i].kind == Input::Kind::Memory) a.inputs[i].memory = memory_of(kernel.inputs[i].operand);
    for (size_t o = 0; o < kernel.outputs.size(); ++o) a.outputs[o].memory = memory_of(kernel.outputs[o].operand);
    if constexpr (sizeof(typename A::Word) == 4)
      if (plan.lean) return launch("lean rows", rows_kernel<true, A>, plan.grid, a);
    launch("rows", rows_kernel<false, A>, plan.grid, a);
  }, plan.arguments);
}

}  // namespace tinyops::cuda
