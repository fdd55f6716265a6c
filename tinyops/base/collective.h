#pragma once
// What the ranks of a program compute together. A rank is a process with a device of its own: see ranks.h. Every rank
// must run the same collectives in the same order.
//
//   of 2 ranks        rank 0   rank 1        rank 0   rank 1
//   AllReduce         a b      c d      ──►  a+c b+d  a+c b+d
//   ReduceScatter     a b      c d      ──►  a+c      b+d
//   AllGather         a        c        ──►  a c      a c
//   Broadcast of 0    a b      -        ──►  a b      a b
#include <array>
#include <string_view>

#include "tinyops/base/op.h"
#include "tinyops/base/shape.h"

namespace tinyops {

enum class Collective { AllReduce, AllGather, ReduceScatter, Broadcast };
constexpr std::string_view name(Collective what) {
  constexpr std::string_view names[] = {"all_reduce", "all_gather", "reduce_scatter", "broadcast"};
  return names[int(what)];
}

/// A rank that is alone copies.
struct CollectiveKernel {
  Collective what = Collective::AllReduce;
  ReduceOp op = ReduceOp::Sum;
  int root = 0;               ///< whose elements a Broadcast hands out
  int group = 0;              ///< of which ranks: a number that ranks::split gave; 0: of all
  Operand in = {}, out = {};  ///< contiguous, of one dtype
  /// Started here, and over when the kernel with Finish has run: what runs between neither writes to `in` nor touches
  /// `out`. What was started first is finished first.
  enum class Phase { Whole, Start, Finish } phase = Phase::Whole;
  static constexpr std::string_view kind = "Collective";
  static constexpr std::array reads{&CollectiveKernel::in};
};

}  // namespace tinyops
