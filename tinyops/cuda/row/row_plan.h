#pragma once
// How a row kernel will be run, decided once and without looking at the data. The kernel's axes become three kinds:
//
//   lanes   what threads lie along, eight elements each         fixed   the axes left of them: a block's, or a row's, place
//   steps   what a thread walks one by one
//
//   rows     lanes = inner axes: a group of 1 to 128 threads    columns   lanes = the last outer axes, steps = the inner ones:
//            has a row, and a row's value is one word                     a lane has a row of its own
//
//     row 0   t0 t0 t0 t0 | t1 t1 t1 t1 | ..                      step 0   t0 t0 t0 t0 | t1 t1 t1 t1 | ..
//     row 1   t8 t8 t8 t8 | t9 t9 t9 t9 | ..                      step 1   t0 t0 t0 t0 | t1 t1 t1 t1 | ..
//
//     softmax, layer norm, sum over the last axis                 sum over the first axis, pooling; without inner axes
//                                                                 everything element-wise: a single step
//
// Whichever way the largest operands are contiguous is taken. A program with Reduces falls into sections, which take
// turns:
//
//   rows 0   |  elements 0     |  rows 1   |  elements 1                      |  rows 2   |  elements 2
//            |  x; m = max(x)  |  m        |  e = exp(x - m); s = sum(e)      |  s        |  store e / s
//
// What a later section needs of an earlier one (x, then e) is kept in shared memory where it fits, so that a row is
// read from memory once; else it is computed again.
#include <vector>

#include "tinyops/cuda/row/program.h"

namespace tinyops::cuda {

/// How a thread's elements are reached in one operand.
enum class Access : uint8_t {
  Each,    ///< one by one
  Groups,  ///< sixteen bytes (or what four of the elements take) at once
  Same,    ///< one element for all lanes
};

struct DeviceOperand {
  Global<char> memory;
  int16_t form = 0;   ///< of its address; those of its guards follow
  int16_t guards = 0;
  Input::Kind kind = Input::Kind::Memory;
  DType dtype = DType::Float32;
  Access access = Access::Each;
  Slot constant = 0;  ///< of a constant: its slot
};

/// Threads of a block, at most. Half of what is usual: the kernels have many registers, and twice as many blocks of
/// half the size fill a multiprocessor better.
inline constexpr int kRowThreads = 128;

/// How much there is of everything in a row kernel, and how it is walked.
struct RowCounts {
  int64_t fixed = 1, steps = 1, lanes = 1;  ///< how many of each
  int64_t blocks = 1;                       ///< pieces of work: rows, or stretches of lanes
  int16_t first_step = 0, first_lane = 0, axes = 0;  ///< axes [0, first_step) are fixed, [first_step, first_lane) steps
  int16_t group = 1;                        ///< rows: threads for a row
  int16_t lane_slots = 0, kept = 0, scalars = 0, sections = 0;
  int16_t stretches = 1;                    ///< of a row, where values of it are kept
  bool columns = false;                     ///< lanes are outer axes
  /// A thread's elements: twice four neighbours, or eight apart from each other.
  bool in_groups = false;
};

/// All that a kernel needs, as its one argument.
template <int kAxes_, int kForms, int kCodes, int kSections, class Word_>
struct RowArguments : RowCounts {
  using Word = Word_;
  static constexpr int kAxes = kAxes_;
  static constexpr bool kSmall = sizeof(Word) == 4;
  using Index = std::conditional_t<kSmall, int, int64_t>;  ///< of an element: small kernels have few enough for 32 bits
  static constexpr int kMostForms = kForms, kMostCodes = kCodes, kMostSections = kSections;
  static constexpr int kMostConstants = kAccumulator - kConstants;

  uint16_t begin[kSections + 1] = {};       ///< where a section's codes begin
  Divider sizes[kAxes];
  Form<kAxes> forms[kForms];  ///< over the axes (fixed, steps, lanes)
  DeviceOperand inputs[kMaxInputs], outputs[kMaxOutputs];
  Word constants[kMostConstants] = {};
  BytecodeOp codes[kCodes] = {};
};

/// Nearly every kernel: in 4 KB, which every driver takes.
using SmallRows = RowArguments<5, 22, 72, 9, uint32_t>;
/// The rest, with words of 64 bits. A chip takes 32 KB.
using LargeRows = RowArguments<kMaxRank, 96, 512, 2 * kMaxInstructions + 1, uint64_t>;
#ifndef TINYOPS_ON_HOST  // whose pointers are larger
static_assert(sizeof(SmallRows) <= 4096 && sizeof(LargeRows) <= 32764);
#endif

struct RowPlan {
  explicit RowPlan(const RowKernel& kernel);

  Grid grid;
  bool inlined = false;  ///< it can do without everything that is called
  std::vector<RowKernel> instead;  ///< where it is better done by several kernels, these
  /// Without the addresses of memory, which differ from run to run.
  std::variant<SmallRows, LargeRows> arguments;
};

/// Runs `kernel` if it is one operation of float32 arithmetic on whole arrays, or on an array and a constant; false,
/// and nothing happened, where it is not.
bool run_elementwise(const RowKernel& kernel);
/// Runs `kernel` if it is nothing but a copy whose two sides are contiguous along different axes, as x.transpose(0, 1)
/// copied into row-major order is; false, and nothing happened, where it is not.
bool run_transpose(const RowKernel& kernel);

}  // namespace tinyops::cuda
