#pragma once
// Kernels as data: what the scheduler hands to a backend, and every backend interprets in its own way.
#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "tinyops/base/collective.h"
#include "tinyops/base/dtype.h"
#include "tinyops/base/index_error.h"
#include "tinyops/base/op.h"
#include "tinyops/base/recurrent.h"

namespace tinyops {

// What a backend can take in one kernel. The scheduler cuts there, so that a GPU can hold a program in registers and
// its arguments in constant memory.
inline constexpr int kMaxInstructions = 64;
inline constexpr int kMaxInputs = 16;
inline constexpr int kMaxOutputs = 8;
/// A row of at most this many elements may be reduced and then read again in one kernel: it fits a CPU's second-level
/// cache, or a GPU's shared memory.
inline constexpr int64_t kMaxRow = 16384;

// ---- The row kernel -------------------------------------------------------------------------------------------------
//
//   shape = (outer axes | inner axes)         one row = all the inner elements of one outer index
//
//        inner ──────────►                    for every row:
//   outer  x x x x x x x  ── Reduce ──► r       run the program from top to bottom; a value belongs to an element or,
//     │    x x x x x x x  ── Reduce ──► r       where nothing it reads moves along the inner axes, to the row
//     ▼    x x x x x x x  ── Reduce ──► r     with no inner axes every element is a row of its own: elementwise
//
// Values are numbered in the order of the program, and a value is only read after it was written (SSA).

/// Reads input `input`.
struct Load {
  int input;
  bool operator==(const Load&) const = default;
};
/// The same value everywhere.
struct Constant {
  Scalar value;
  bool operator==(const Constant&) const = default;
};
/// Sums (or the like) of a value over the inner axes: what comes out belongs to the row.
struct Reduce {
  ReduceOp op;
  bool operator==(const Reduce&) const = default;
};

/// float16 and bfloat16 are computed in float32, and rounded by a Cast to them and where they are stored.
struct Instruction {
  std::variant<Load, Constant, UnaryOp, BinaryOp, TernaryOp, Reduce> op;
  DType dtype;                  ///< of the result
  std::array<int, 3> args{-1, -1, -1};  ///< the values it reads
  bool per_row = false;         ///< the same for all elements of a row; of such values, or a Reduce
  bool operator==(const Instruction&) const = default;
};

/// What a Load reads: a buffer, or, without one, a constant wherever the view's guards hold (0 elsewhere), or the
/// view's address itself (`arange` costs no memory); and, after a contraction, its sum.
struct Input {
  enum class Kind { Memory, Constant, Address, Sum } kind = Kind::Memory;
  Operand operand;  ///< its view has the kernel's shape
  Scalar constant = 0;
  bool operator==(const Input&) const = default;
};

/// No element is written twice. An output may lie over an input that is read in step, through the same view; with inner
/// axes only a value of the row may, over a value of the row that is read for it alone.
struct Output {
  Operand operand;  ///< its view has the kernel's shape and no guards; a value of the row is written once a row
  int value = 0;
};

/// What a backend decided about a kernel when it ran it, to be found when the kernel runs again, as in a recording. It
/// may not depend on where buffers are. A copy of a kernel may become another kernel, and starts with none.
class PlanCache {
 public:
  PlanCache() = default;
  PlanCache(const PlanCache&) {}
  PlanCache& operator=(const PlanCache&) {
    made_ = nullptr;
    return *this;
  }
  /// The T made of `what` by the first call.
  template <class T, class What>
  T& get(const What& what) const {
    if (!made_) made_ = std::make_shared<T>(what);
    return *static_cast<T*>(made_.get());
  }

 private:
  mutable std::shared_ptr<void> made_;
};

struct RowKernel {
  Shape shape;
  int inner = 0;  ///< how many axes, at the end of `shape`, make a row
  std::vector<Input> inputs;
  std::vector<Instruction> program;
  std::vector<Output> outputs;
  PlanCache plan_cache = {};
  static constexpr std::string_view kind = "Rows";
};

// ---- The contraction ------------------------------------------------------------------------------------------------
//
//   sum[i] = sum over r of a[i, r] * b[i, r]                     matrix products and convolutions
//
// and what is stored is what a row kernel makes of the sums, element by element, while they are in registers or cache:
//
//   relu(x.conv2d(w) + bias)      input 0: the sum    %0 = load 0   %1 = load 1   %2 = Add %0 %1   ..   store %3
//                                 input 1: bias
//   x.conv2d(w)                   input 0: the sum    %0 = load 0                                       store %0

/// Where an operand does not depend on an axis its stride there is 0, which tells the rows of the product from its
/// columns.
struct ContractKernel {
  Shape shape;      ///< (i axes | r axes)
  int reduced = 0;  ///< how many axes at the end are summed
  Operand a, b;     ///< views have `shape`; both have one dtype, to which a sum is rounded
  /// Its shape is the i axes, and none of them is inner. An Input::Kind::Sum has no buffer, and a contiguous view. An
  /// output may lie over an input that is read in step, but not over `a` or `b`; one that is the sum lies over nothing.
  RowKernel epilogue;
  static constexpr std::string_view kind = "Contract";
};

// ---- The other kinds ------------------------------------------------------------------------------------------------
//
// Each addresses memory itself and has one result, `out`. Its struct says what the scheduler, the recorder and the
// trace ask: its name, the operands that it reads, as a node's sources are ordered, and, if any, the operations for
// each element of the first of them, which has the shape that the kernel walks. The result lies over none of them, and
// no element of it is written twice. Two more are in recurrent.h and collective.h.

/// out[i] = table[i, index[i]]: the table's view has one axis more than `out`, the last, along which the index picks.
/// Throws Error when an index is outside 0 <= index < that axis.
struct GatherKernel {
  Operand table = {}, index = {}, out = {};
  IndexOrigin origin = "index";
  static constexpr std::string_view kind = "Gather";
  static constexpr std::array reads{&GatherKernel::index, &GatherKernel::table};
};

/// out = what `op` makes of nothing, then out[i, index[i]] op= source[i], in the order of i. With Sum the adjoint of
/// Gather. Throws as Gather does.
struct ScatterKernel {
  ReduceOp op = ReduceOp::Sum;
  Operand source = {}, index = {}, out = {};
  IndexOrigin origin = "index";
  static constexpr std::string_view kind = "Scatter";
  static constexpr std::array reads{&ScatterKernel::index, &ScatterKernel::source};
  static constexpr int flops = 1;
};

/// out[.., i] = in[.., 0] op in[.., 1] op .. in[.., i], along the last axis: running sums and the like.
struct ScanKernel {
  ReduceOp op = ReduceOp::Sum;
  Operand in = {}, out = {};  ///< of one shape and dtype
  static constexpr std::string_view kind = "Scan";
  static constexpr std::array reads{&ScanKernel::in};
  static constexpr int flops = 1;
};

/// out[.., i] = the place, along the last axis, of the i-th element of `in` in ascending (descending) order. Equal
/// elements keep their order; -0 equals 0, and NaN is larger than all others.
struct SortKernel {
  bool descending = false;
  Operand in = {}, out = {};  ///< of one shape; `out` is int64
  static constexpr std::string_view kind = "Sort";
  static constexpr std::array reads{&SortKernel::in};
};

/// Uniform values in [0, 1): element i comes from word i of Philox-4x32-10's stream under `seed`, starting at word
/// `counter`; 24 bits of a word for float32, 53 bits of two words for float64.
struct RandomKernel {
  uint64_t seed = 0, counter = 0;
  Operand out = {};  ///< contiguous, float32 or float64
  static constexpr std::string_view kind = "Random";
  static constexpr std::array<Operand RandomKernel::*, 0> reads{};
  static constexpr int flops = 40;
};

using Kernel = std::variant<RowKernel, ContractKernel, CollectiveKernel,
                            GatherKernel, ScatterKernel, ScanKernel, SortKernel, RandomKernel, RecurrentKernel>;

/// Calls `visit(operand, written)` for every operand in memory, those that are read before those that are written.
template <class Kind, class Visit>
void for_each_operand(Kind& k, Visit&& visit) {
  if constexpr (requires { k.epilogue; }) {
    visit(k.a, false), visit(k.b, false), for_each_operand(k.epilogue, visit);
  } else if constexpr (requires { k.program; }) {
    for (auto& input : k.inputs)
      if (input.kind == Input::Kind::Memory) visit(input.operand, false);
    for (auto& output : k.outputs) visit(output.operand, true);
  } else if constexpr (requires { k.reads; }) {
    for (const auto operand : k.reads) visit(k.*operand, false);
    visit(k.out, true);
  } else {
    std::visit([&](auto& kind) { for_each_operand(kind, visit); }, k);
  }
}

}  // namespace tinyops
