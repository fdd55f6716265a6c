#pragma once
// What follows a contraction, element by element, in the kernel that makes the sums: relu(x.matmul(w) + bias) never has
// its sums in memory. When a tile is done, each thread goes through its own sums, eight at a time, with the codes of a
// row kernel's program (program.h); what they read and write lies where the sums would.
//
//   registers   64 sums  [ 8 ][ 8 ][ 8 ] ..          for each eight, for each code:
//                          │
//                          ▼                         accumulator = sums, or an operand's eight, or op(accumulator, slot, ..)
//                     accumulator ◄──► slots
//
// The sums stay where they are: a register cannot be indexed at run time, so all are looked at, and eight are taken.
// The slots, and each operand's addresses of rows and columns, lie in shared memory, which the tiles no longer need.
#include "tinyops/cuda/contract/contract.h"

namespace tinyops::cuda {

/// Some neighbouring sums of a row: the j-th goes to out[columns[j]], for j < left.
template <class To, class T, int n>
__device__ void store_run(Global<To> out, const T (&sums)[n], const int64_t* columns, int left, bool are_neighbours) {
  if (sizeof(To) <= 4 && are_neighbours) {
    Pack<To, n> run;
#pragma unroll
    for (int j = 0; j < n; ++j) run.v[j] = To(sums[j]);
    if (left > 0) vector_at<Pack<To, n>>(out, columns[0]) = run;
  } else {
#pragma unroll
    for (int j = 0; j < n; ++j)
      if (j < left) out[columns[j]] = To(sums[j]);
  }
}

/// What a block keeps in shared memory when its sums are done.
template <class Block>
union AfterTile {
  struct Tables {
    static constexpr int row_count = Block::rows, column_count = Block::columns;
    int64_t rows[row_count], columns[column_count];  ///< an address is the sum of one of each
  };
  static constexpr int fours = Epilogue::kRoom * int(sizeof(Tables) / sizeof(uint4));
  Tables tables[Epilogue::kRoom];  ///< operands' from the first on
  uint4 slots[fours];              ///< from the last down: 2 * threads for each
};

/// One thread's way through its sums.
template <class T, class Block>
struct Finisher {
  static constexpr int runs = 8 / Block::run;  ///< of which eight sums consist
  using Eight = Lanes<uint32_t>;
  static_assert(sizeof(uint4[2 * Block::threads]) <= sizeof(typename AfterTile<Block>::Tables[4]));

  const Epilogue& e;
  AfterTile<Block>& memory;
  const TileShape& left;
  int2 places[runs];

  __device__ __forceinline__ auto slot(Slot place) const {
    uint4* const first = memory.slots + (AfterTile<Block>::fours - 1 - 2 * place * Block::threads - int(threadIdx.x));
    return [first](int half) -> uint4& { return first[-half * Block::threads]; };
  }
  __device__ __forceinline__ Eight fetch(Slot place, const Eight& accumulator) const {
    if (place == kAccumulator) return accumulator;
    if (place >= kConstants) return Eight::of(e.constants[place - kConstants]);
    return read_lanes<uint32_t>(slot(place));
  }
  __device__ __forceinline__ void keep(Slot place, const Eight& x) const {
    if (place != kAccumulator) write_lanes(slot(place), x);
  }

  /// The `wanted`-th eight sums, rounded to what they would be stored as.
  static __device__ __forceinline__ Eight sums(const Block& block, int wanted) {
    Eight x = Eight::of(0);
#pragma unroll
    for (int i = 0; i < Block::runs; ++i)
      if (i / runs == wanted) {
        float run[Block::run];
        block.get(i, run);
#pragma unroll
        for (int j = 0; j < Block::run; ++j) x[i % runs * Block::run + j] = word_of<uint32_t>(run[j]);
      }
    return rounded(x);
  }
  static __device__ __forceinline__ Eight rounded(Eight x) {
#pragma unroll
    for (uint32_t& w : x.v) w = word_of<uint32_t>(float(T(value_of<float>(w))));
    return x;
  }

  /// Calls `f(address of the columns, the run's number, columns left)` for every run of the eight that is in the
  /// output.
  template <class Stored, class F>
  __device__ __forceinline__ void for_runs(int operand, F&& f) const {
    const auto& tables = memory.tables[operand];
#pragma unroll
    for (int r = 0; r < runs; ++r)
      if (places[r].x < left.rows)
        f(as<Stored>(e.operand[operand].memory) + tables.rows[places[r].x], tables.columns + places[r].y, r,
          left.columns - places[r].y);
  }
  template <class From>
  __device__ __forceinline__ Eight load(int operand) const {
    Eight x = Eight::of(0);
    for_runs<const From>(operand, [&](Global<const From> from, const int64_t* columns, int r, int count) {
      if (e.operand[operand].view.runs_of_n) {
        if (count <= 0) return;
        const auto found = vector_at<Pack<From, Block::run>>(from, columns[0]);
#pragma unroll
        for (int j = 0; j < Block::run; ++j) x[r * Block::run + j] = word_of<uint32_t>(float(found.v[j]));
      } else {
#pragma unroll
        for (int j = 0; j < Block::run; ++j)
          if (j < count) x[r * Block::run + j] = word_of<uint32_t>(float(from[columns[j]]));
      }
    });
    return x;
  }
  template <class To>
  __device__ __forceinline__ void store(int operand, const Eight& x) const {
    for_runs<To>(operand, [&](Global<To> to, const int64_t* columns, int r, int count) {
      float run[Block::run];
#pragma unroll
      for (int j = 0; j < Block::run; ++j) run[j] = value_of<float>(x[r * Block::run + j]);
      store_run(to, run, columns, count, e.operand[operand].view.runs_of_n);
    });
  }

  __device__ __forceinline__ void run(const Block& block, int eight) {
#pragma unroll
    for (int r = 0; r < runs; ++r) places[r] = Block::place(eight * runs + r);
    Eight accumulator = Eight::of(0);
#pragma unroll 1
    for (int c = 0; c < e.codes; ++c) {
      const BytecodeOp code = e.code[c];
      if (code.what == Opcode::Load) {
        if (code.operand == Epilogue::kSum) accumulator = sums(block, eight);
        else accumulator = e.operand[code.operand].as_sums ? load<T>(code.operand) : load<float>(code.operand);
        keep(code.result, accumulator);
      } else if (code.what == Opcode::Store) {
        const Eight x = fetch(code.a, accumulator);
        if (e.operand[code.operand].as_sums) store<T>(code.operand, x);
        else store<float>(code.operand, x);
      } else if (code.what == Opcode::Cast && code.type != DType::Bool) {
        accumulator = fetch(code.a, accumulator);
        if (code.to != DType::Float32) accumulator = rounded(accumulator);
        keep(code.result, accumulator);
      } else run_code<true>(code, *this, accumulator);
    }
  }
};

}  // namespace tinyops::cuda
