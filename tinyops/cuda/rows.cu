// Row kernels: everything that is element-wise, and everything that sums, or the like, over axes (see row_plan.h for how
// threads lie on elements, program.h for how they run the program).
//
// Limits: a kernel of a few operations moves its operands at the speed of memory. An instruction of the interpreter costs
// about two dozen machine instructions for eight elements, so that from about ten on arithmetic is the limit.
#include "tinyops/cuda/row_plan.h"

#include <algorithm>

namespace tinyops::cuda {
namespace {

/// Which elements a thread works on.
struct At {
  int64_t fixed = 0, step = 0;
  int64_t first = 0;    ///< its first lane
  int64_t limit = 0;    ///< lanes from here on do not exist
  int64_t apart = 0;    ///< in groups: lanes from its first group to its second; else from one of its lanes to the next
  bool active = true;   ///< there is such a row
};

/// The lane of a thread's element k.
template <class Word, class A>
__device__ __forceinline__ int64_t lane_of(const A& a, const At& at, int k) {
  return a.in_groups ? at.first + k / kGroup<Word> * at.apart + k % kGroup<Word> : at.first + k * at.apart;
}

/// What the axes [from, to) add to a form at `index`, counted in row-major order over them.
template <class A>
__device__ __forceinline__ int64_t walk(const A& a, const Form<A::kAxes>& form, int64_t index, int from, int to) {
  int64_t sum = 0;
  for (int axis = to - 1; axis >= from; --axis) {
    const int64_t left = axis > from ? a.sizes[axis].divide(index) : 0;
    sum += index * form.coef[axis];
    index = left;
  }
  return sum;
}

/// The value of a form without what the lanes add.
template <class A>
__device__ __forceinline__ int64_t start_of(const A& a, const Form<A::kAxes>& form, const At& at) {
  return form.offset + walk(a, form, at.fixed, 0, a.first_step) + walk(a, form, at.step, a.first_step, a.first_lane);
}

/// The values of a form for the thread's lanes.
template <class Word, class A>
__device__ __forceinline__ void values_of(const A& a, const Form<A::kAxes>& form, const At& at, int64_t (&values)[kLanes<Word>]) {
  const int64_t start = start_of(a, form, at);
  if (a.axes - a.first_lane <= 1) {
    const int64_t step = a.axes > a.first_lane ? form.coef[a.first_lane] : 0;
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) values[k] = start + lane_of<Word>(a, at, k) * step;
  } else if (a.in_groups) {  // a group lies within one line of the last axis
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k)
      values[k] = k % kGroup<Word> == 0 ? start + walk(a, form, lane_of<Word>(a, at, k), a.first_lane, a.axes)
                                        : values[k - 1] + form.coef[a.axes - 1];
  } else {
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) values[k] = start + walk(a, form, lane_of<Word>(a, at, k), a.first_lane, a.axes);
  }
}

/// Which of the thread's lanes exist for an operand: bit k for lane k.
template <class Word, class A>
__device__ __forceinline__ unsigned existing(const A& a, const Reached& r, const At& at) {
  unsigned mask = 0;
#pragma unroll
  for (int k = 0; k < kLanes<Word>; ++k) mask |= unsigned(lane_of<Word>(a, at, k) < at.limit) << k;
  for (int g = 1; g <= r.guards; ++g) {
    const auto& form = a.forms[r.form + g];
    int64_t position[kLanes<Word>];
    values_of<Word>(a, form, at, position);
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k)
      if (uint64_t(position[k]) >= uint64_t(form.size)) mask &= ~(1u << k);
  }
  return mask;
}

/// Four elements (two of 64 bits) that lie side by side.
template <class T, int n>
struct alignas(sizeof(T) * n) Pack {
  T v[n];
};

template <class Word, class A>
__device__ __forceinline__ void load(const A& a, const Code& code, const At& at, Lanes<Word>& x) {
  const Reached& r = a.inputs[code.operand];
  if (r.kind != Input::Kind::Memory) {
    const unsigned mask = existing<Word>(a, r, at);
    int64_t value[kLanes<Word>];
    values_of<Word>(a, a.forms[r.form], at, value);
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) x[k] = r.kind == Input::Kind::Number ? Word(a.constants[r.number - kConstants]) : 0;
    if (r.kind == Input::Kind::Address)
      with_computed<Word>(code.to, [&]<class T>(T) {
#pragma unroll
        for (int k = 0; k < kLanes<Word>; ++k) x[k] = word_of<Word>(T(value[k]));
      });
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k)
      if (!(mask >> k & 1)) x[k] = 0;
    return;
  }
  if (r.access == Access::Same) {
    bool exists = at.active;
    for (int g = 1; g <= r.guards; ++g) exists &= uint64_t(start_of(a, a.forms[r.form + g], at)) < uint64_t(a.forms[r.form + g].size);
    const int64_t address = start_of(a, a.forms[r.form], at);
    with_stored<Word>(r.dtype, [&]<class T>(T) {
      const Word one = exists ? word_of_stored<Word>(T(as<const T>(r.memory)[address])) : 0;
#pragma unroll
      for (Word& w : x) w = one;
    });
    return;
  }
  int64_t address[kLanes<Word>];
  values_of<Word>(a, a.forms[r.form], at, address);
  const unsigned mask = existing<Word>(a, r, at);
  with_stored<Word>(r.dtype, [&]<class T>(T) {
    constexpr int n = kGroup<Word>;
    if (r.access == Access::Groups) {
#pragma unroll
      for (int g = 0; g < kLanes<Word>; g += n) {
        Pack<T, n> pack{};
        if (mask >> (g + n - 1) & 1) pack = vector_at<Pack<T, n>>(as<const T>(r.memory), address[g]);
        else
          for (int k = 0; k < n; ++k)
            if (mask >> (g + k) & 1) pack.v[k] = as<const T>(r.memory)[address[g] + k];
#pragma unroll
        for (int k = 0; k < n; ++k) x[g + k] = word_of_stored<Word>(pack.v[k]);
      }
    } else {
#pragma unroll
      for (int k = 0; k < kLanes<Word>; ++k)
        x[k] = mask >> k & 1 ? word_of_stored<Word>(T(as<const T>(r.memory)[address[k]])) : Word(0);
    }
  });
}

template <class Word, class A>
__device__ __forceinline__ void store(const A& a, const Code& code, const At& at, const Lanes<Word>& x) {
  const Reached& r = a.outputs[code.operand];
  if (r.access == Access::Same) {
    const int64_t address = start_of(a, a.forms[r.form], at);
    with_stored<Word>(r.dtype, [&]<class T>(T) { as<T>(r.memory)[address] = stored_of<T>(x[0]); });
    return;
  }
  int64_t address[kLanes<Word>];
  values_of<Word>(a, a.forms[r.form], at, address);
  const unsigned mask = existing<Word>(a, r, at);
  with_stored<Word>(r.dtype, [&]<class T>(T) {
    constexpr int n = kGroup<Word>;
    if (r.access == Access::Groups) {
#pragma unroll
      for (int g = 0; g < kLanes<Word>; g += n) {
        Pack<T, n> pack;
#pragma unroll
        for (int k = 0; k < n; ++k) pack.v[k] = stored_of<T>(x[g + k]);
        if (mask >> (g + n - 1) & 1) vector_at<Pack<T, n>>(as<T>(r.memory), address[g]) = pack;
        else
          for (int k = 0; k < n; ++k)
            if (mask >> (g + k) & 1) as<T>(r.memory)[address[g] + k] = pack.v[k];
      }
    } else {
#pragma unroll
      for (int k = 0; k < kLanes<Word>; ++k)
        if (mask >> k & 1) as<T>(r.memory)[address[k]] = stored_of<T>(x[k]);
    }
  });
}

// ---- Reductions -------------------------------------------------------------------------------------------------------

/// Where values belong to rows of a group of threads: adds what the thread's elements come to to its total.
template <class Word, class A>
__device__ __forceinline__ void accumulate_row(const A& a, const Code& code, const At& at, const Slots<Word>& slots, Lanes<Word>& x) {
  with_computed<Word>(code.type, [&]<class T>(T) {
    const auto op = ReduceOp(code.op);
    T v[kLanes<Word>];
#pragma unroll
    for (int k = 0; k < kLanes<Word>; ++k) v[k] = lane_of<Word>(a, at, k) < at.limit ? value_of<T>(x[k]) : identity<T>(op);
#pragma unroll
    for (int half = kLanes<Word> / 2; half > 0; half /= 2)
#pragma unroll
      for (int k = 0; k < half; ++k) v[k] = combine(op, v[k], v[k + half]);
    Word& total = slots.scalar(code.operand);
    total = word_of<Word>(combine(op, value_of<T>(total), v[0]));
  });
}

/// The totals of a group's threads become one, which all of them get: by shuffles within a warp, then through shared memory.
///
///   lane    0 1 2 3 4 5 6 7      each step adds the value of the lane whose number differs in one bit; after the last one
///   bit 2   └───────┘            all have the same bits, since a + b = b + a
///   bit 1   └───┘
///   bit 0   └─┘
template <class Word>
__device__ __forceinline__ Word over_group(ReduceOp op, DType type, Word total, int group) {
  __shared__ Word of_warp[256 / 32];
  with_computed<Word>(type, [&]<class T>(T) {
    T t = value_of<T>(total);
    for (int bit = std::min(group, 32) / 2; bit > 0; bit /= 2) t = combine(op, t, __shfl_xor_sync(0xffffffff, t, bit));
    if (group > 32) {
      const int me = int(threadIdx.x), first = me / group * group / 32;
      if (me % 32 == 0) of_warp[me / 32] = word_of<Word>(t);
      __syncthreads();
      t = value_of<T>(of_warp[first]);
      for (int w = 1; w < group / 32; ++w) t = combine(op, t, value_of<T>(of_warp[first + w]));
      __syncthreads();  // before the next one writes
    }
    total = word_of<Word>(t);
  });
  return total;
}

/// Where every lane has a row of its own: the same for the threads that share its steps.
template <class Word>
__device__ __forceinline__ void over_steps(ReduceOp op, DType type, const Slots<Word>& slots, Place place, Lanes<Word>& x) {
  __syncthreads();
  slots.get(place, x, int(threadIdx.x));
  for (unsigned y = 1; y < blockDim.y; ++y) {
    Lanes<Word> other;
    slots.get(place, other, int(threadIdx.x + y * blockDim.x));
    with_computed<Word>(type, [&]<class T>(T) {
#pragma unroll
      for (int k = 0; k < kLanes<Word>; ++k) x[k] = word_of<Word>(combine(op, value_of<T>(x[k]), value_of<T>(other[k])));
    });
  }
  __syncthreads();
}

// ---- The kernels ------------------------------------------------------------------------------------------------------

/// Runs the codes of one section on the thread's elements. `owner`: the thread stores what the section stores.
template <bool kColumns, class Word, class A>
__device__ __forceinline__ void run_section(const A& a, int section, const At& at, bool owner, const Slots<Word>& slots) {
  Lanes<Word> accumulator;
#pragma unroll
  for (Word& w : accumulator) w = 0;
  for (int c = a.begin[section]; c < a.begin[section + 1]; ++c) {
    const Code code = a.codes[c];
    switch (code.what) {
      case Do::Load:
        load<Word>(a, code, at, accumulator);
        keep(code.result, slots, accumulator);
        break;
      case Do::Store: {
        Lanes<Word> x;
        fetch(code.a, slots, a.constants, accumulator, x);
        if (owner) store<Word>(a, code, at, x);
        break;
      }
      case Do::Accumulate: {
        Lanes<Word> x;
        fetch(code.a, slots, a.constants, accumulator, x);
        if constexpr (kColumns) {
          Lanes<Word> total;
          slots.get(code.operand, total, slots.me);
          with_computed<Word>(code.type, [&]<class T>(T) {
#pragma unroll
            for (int k = 0; k < kLanes<Word>; ++k)
              total[k] = word_of<Word>(combine(ReduceOp(code.op), value_of<T>(total[k]), value_of<T>(x[k])));
          });
          slots.put(code.operand, total);
        } else accumulate_row(a, code, at, slots, x);
        break;
      }
      case Do::Finish:
        if constexpr (kColumns) {
          over_steps(ReduceOp(code.op), code.type, slots, code.operand, accumulator);
        } else {
          const Word total = over_group(ReduceOp(code.op), code.type, slots.scalar(code.operand), a.group);
#pragma unroll
          for (Word& w : accumulator) w = total;
        }
        keep(code.result, slots, accumulator);
        break;
      default: compute(code, slots, a.constants, accumulator);
    }
  }
}

/// Lanes are inner axes: a group of `a.group` threads for a row.
template <class Word, class A>
__global__ void __launch_bounds__(256) rows_kernel(const __grid_constant__ A a) {
  Slots<Word> slots(dynamic_shared(), a.lane_slots, a.kept, a.stretches);
  const int group = a.group, in_group = int(threadIdx.x) % group;
  for (int64_t block = blockIdx.x; block < a.blocks; block += gridDim.x) {
    At at;
    at.fixed = block * (blockDim.x / group) + threadIdx.x / group;
    at.active = at.fixed < a.fixed;
    if (!at.active) at.fixed = 0;
    for (int section = 0; section < a.sections; ++section) {
      if (section % 2 == 0) {
        at.first = 0, at.apart = 0, at.limit = at.active, slots.stretch = 0;
        run_section<false>(a, section, at, at.active && in_group == 0, slots);
      } else {
        at.apart = a.in_groups ? group * kGroup<Word> : group;
        at.limit = at.active ? a.lanes : 0;
        for (slots.stretch = 0; slots.stretch < a.stretches; ++slots.stretch) {
          at.first = int64_t(slots.stretch) * group * kLanes<Word> + (a.in_groups ? in_group * kGroup<Word> : in_group);
          run_section<false>(a, section, at, true, slots);
        }
      }
    }
  }
}

/// Lanes are outer axes: every lane has a row of its own, and threads with the same x share its steps.
template <class Word, class A>
__global__ void __launch_bounds__(256) columns_kernel(const __grid_constant__ A a) {
  const Slots<Word> slots(dynamic_shared(), a.lane_slots, 0, 1);
  const int64_t lanes = int64_t(blockDim.x) * kLanes<Word>, stretches = (a.lanes + lanes - 1) / lanes;
  for (int64_t block = blockIdx.x; block < a.blocks; block += gridDim.x) {
    At at;
    at.fixed = block / stretches;
    at.first = block % stretches * lanes + (a.in_groups ? threadIdx.x * kGroup<Word> : threadIdx.x);
    at.apart = a.in_groups ? blockDim.x * kGroup<Word> : blockDim.x;
    at.limit = a.lanes;
    for (int section = 0; section < a.sections; ++section) {
      if (section % 2 == 0) {
        at.step = 0;
        run_section<true>(a, section, at, threadIdx.y == 0, slots);
      } else {
        for (int64_t step = threadIdx.y; step < a.steps; step += blockDim.y) {
          at.step = step;
          run_section<true>(a, section, at, true, slots);
        }
      }
    }
  }
}

}  // namespace

void run_rows(const RowKernel& kernel, RowPlan& plan) {
  std::visit([&]<class A>(A& a) {
    using Word = std::remove_all_extents_t<std::remove_reference_t<decltype(a.constants[0])>>;
    for (size_t i = 0; i < kernel.inputs.size(); ++i)
      if (kernel.inputs[i].kind == Input::Kind::Memory) a.inputs[i].memory = memory_of(kernel.inputs[i].operand);
    for (size_t o = 0; o < kernel.outputs.size(); ++o) a.outputs[o].memory = memory_of(kernel.outputs[o].operand);
    if (plan.columns) launch("columns", columns_kernel<Word, A>, plan.grid, a);
    else launch("rows", rows_kernel<Word, A>, plan.grid, a);
  }, plan.arguments);
}

void run_kernel(const RowKernel& kernel) {
  int64_t written = 0;
  for (const Output& out : kernel.outputs) written = std::max(written, int64_t(out.operand.buffer->bytes()));
  const Shape outer(kernel.shape.begin(), kernel.shape.end() - kernel.inner);
  if (written == 0 || teeny::numel(outer) == 0) return;
  run_rows(kernel, kernel.memo.get<RowPlan>(kernel));
}

}  // namespace tinyops::cuda
