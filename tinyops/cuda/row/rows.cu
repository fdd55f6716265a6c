// Row kernels: everything that is element-wise, and everything that sums, or the like, over axes (see row_plan.h for
// how threads lie on elements, program.h for how they run the program).
//
// Limits: memory, for a program of a few operations. Each of them is fetched and decided on once for eight elements;
// long programs are limited by that, and by their arithmetic.
#include <algorithm>

#include "tinyops/cuda/row/row_access.h"

namespace tinyops::cuda {
namespace {

// ---- Reductions -----------------------------------------------------------------------------------------------------

/// The totals of a group's threads become one, which all of them get: by shuffles within a warp, then through shared
/// memory.
///
///   lane    0 1 2 3 4 5 6 7      each step adds the value of the lane whose number differs in one bit; after the last one
///   bit 2   └───────┘            all have the same bits, since a + b = b + a
///   bit 1   └───┘
///   bit 0   └─┘
template <bool kInlined, class Word>
__device__ __forceinline__ Word over_group(const BytecodeOp& code, Word total, int group) {
  __shared__ Word of_warp[kRowThreads / 32];
  // [exercise 33
#pragma unroll 1
  for (int bit = std::min(group, 32) / 2; bit > 0; bit /= 2)
    total = combine<kInlined>(code, total, __shfl_xor_sync(0xffffffff, total, bit));
  if (group > 32) {
    const int me = int(threadIdx.x), first = me / group * group / 32;
    if (me % 32 == 0) of_warp[me / 32] = total;
    __syncthreads();
    total = of_warp[first];
#pragma unroll 1
    for (int w = 1; w < group / 32; ++w) total = combine<kInlined>(code, total, of_warp[first + w]);
    __syncthreads();  // before the next one writes
  }
  return total;
  // exercise 33]
}

/// Where every lane has a row of its own: the totals of the threads that share its steps.
template <bool kInlined, class A, class Word = typename A::Word>
__device__ __forceinline__ Lanes<Word> over_steps(const BytecodeOp& code, const Slots<A>& slots) {
  __syncthreads();
  Lanes<Word> x = slots.get(code.operand, int(threadIdx.x));
#pragma unroll 1
  for (unsigned y = 1; y < blockDim.y; ++y)
    x = compute<kInlined>(step_of(code), x, slots.get(code.operand, int(threadIdx.x + y * blockDim.x)));
  __syncthreads();
  return x;
}

/// Adds what the thread's elements come to to its total: one for the row, or one a lane.
template <bool kInlined, class A, class Word>
__device__ __forceinline__ void accumulate(const A& a, const BytecodeOp& code, const ThreadPosition<A>& at,
                                           const Slots<A>& slots, Lanes<Word> x) {
  if (a.columns)
    return slots.put(code.operand, compute<kInlined>(step_of(code), slots.get(code.operand, slots.me()), x));
#pragma unroll
  for (int k = 0; k < kLanes<Word>; ++k)
    if (lane_of<Word>(a, at, k) >= at.limit) x[k] = a.constants[code.b - kConstants];
  Word& total = slots.scalar(code.operand);
  total = combine<kInlined>(code, total, over_lanes<kInlined>(code, x));
}

// ---- The kernels ----------------------------------------------------------------------------------------------------

/// Runs the codes of one section on the thread's elements. `owner`: the thread stores what the section stores.
template <bool kInlined, class A, class Word = typename A::Word>
__device__ __forceinline__ void run_section(const A& a, int section, const ThreadPosition<A>& at, bool owner,
                                            const Slots<A>& slots) {
  Lanes<Word> accumulator = Lanes<Word>::of(0);
  for (int c = a.begin[section]; c < a.begin[section + 1]; ++c) {
    const BytecodeOp code = a.codes[c];
    switch (code.what) {
      case Opcode::Load:
        accumulator = load<kInlined>(a, code, at);
        slots.keep(code.result, accumulator);
        break;
      case Opcode::Store:
        if (owner) store<kInlined>(a, code, at, slots.fetch(code.a, accumulator));
        break;
      case Opcode::Accumulate: accumulate<kInlined>(a, code, at, slots, slots.fetch(code.a, accumulator)); break;
      case Opcode::Finish:
        accumulator = a.columns ? over_steps<kInlined>(code, slots)
                                : Lanes<Word>::of(over_group<kInlined>(code, slots.scalar(code.operand), a.group));
        slots.keep(code.result, accumulator);
        break;
      default: run_code<kInlined>(code, slots, accumulator);
    }
  }
}

/// One piece of work after the other: some rows, or a stretch of lanes. A section of elements is run for every stretch
/// of a row, or every step of the lanes.
template <bool kInlined, class A>
__global__ void __launch_bounds__(kRowThreads, kInlined ? 5 : 1) rows_kernel(const __grid_constant__ A a) {
  using Word = typename A::Word;
  Slots<A> slots{a};
  const int group = a.columns ? int(blockDim.x) : a.group;  // threads side by side
  const int in_group = int(threadIdx.x) % group, first_of_thread = a.in_groups ? in_group * kGroup<Word> : in_group;
  const int lanes = group * kLanes<Word>;
  using Index = typename A::Index;
  const Index stretches = Index((a.lanes + lanes - 1) / lanes), across = a.columns ? stretches : 1;
  for (Index block = blockIdx.x; block < Index(a.blocks); block += gridDim.x) {
    ThreadPosition<A> at;
    at.fixed = a.columns ? block / across : block * (blockDim.x / group) + threadIdx.x / group;
    at.active = at.fixed < Index(a.fixed);
    if (!at.active) at.fixed = 0;
    const bool owner = at.active && (a.columns ? threadIdx.y : in_group) == 0;
    for (int section = 0; section < a.sections; ++section) {
      const bool elements = section % 2, one_lane = !elements && !a.columns;  // a row's value is in lane 0
      const int begin = elements && a.columns ? int(threadIdx.y) : 0, by = elements && a.columns ? int(blockDim.y) : 1;
      const Index end = !elements ? 1 : a.columns ? Index(a.steps) : stretches;
      at.limit = !at.active ? 0 : one_lane ? 1 : Index(a.lanes);
      at.apart = one_lane ? 0 : a.in_groups ? group * kGroup<Word> : group;
      for (Index turn = begin; turn < end; turn += by) {
        at.step = a.columns ? turn : 0, slots.stretch = a.columns ? 0 : int(turn);
        at.first = one_lane ? 0 : (a.columns ? block % across : turn) * lanes + first_of_thread;
        run_section<kInlined>(a, section, at, elements || owner, slots);
      }
    }
  }
}

}  // namespace

void run_kernel(const RowKernel& kernel) {
  int64_t written = 0;
  for (const Output& out : kernel.outputs) written = std::max(written, int64_t(out.operand.buffer->bytes()));
  const Shape outer(kernel.shape.begin(), kernel.shape.end() - kernel.inner);
  if (written == 0 || numel(outer) == 0 || run_elementwise(kernel) || run_transpose(kernel)) return;
  RowPlan& plan = kernel.plan_cache.get<RowPlan>(kernel);
  for (const RowKernel& part : plan.instead) run_kernel(part);
  if (!plan.instead.empty()) return;
  std::visit([&]<class A>(A& a) {
    for (size_t i = 0; i < kernel.inputs.size(); ++i)
      if (kernel.inputs[i].kind == Input::Kind::Memory) a.inputs[i].memory = memory_of(kernel.inputs[i].operand);
    for (size_t o = 0; o < kernel.outputs.size(); ++o) a.outputs[o].memory = memory_of(kernel.outputs[o].operand);
    if constexpr (sizeof(typename A::Word) == 4)
      if (plan.inlined) return launch("inlined rows", rows_kernel<true, A>, plan.grid, a);
    launch("rows", rows_kernel<false, A>, plan.grid, a);
  }, plan.arguments);
}

}  // namespace tinyops::cuda
