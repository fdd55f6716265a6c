#pragma once
#include <array>
#include <memory>

#include "tinyops/cpu/row/row_plan.h"

namespace tinyops::cpu {

/// The plans that a thread has made last. A program that does the same again and again without a Jit makes new kernels
/// each time, which differ from the earlier ones in their buffers alone; and to plan a small one takes longer than to
/// run it.
class RecentPlans {
 public:
  /// Those of this thread.
  static RecentPlans& of_thread();
  /// Calls `run` with a plan for the kernel: that of one like it, which has this one's buffers meanwhile; or a new one.
  void run(const RowKernel& kernel, void (*run)(RowPlan&));

 private:
  struct Planned;
  struct End;
  RecentPlans();
  ~RecentPlans();
  /// The place of a kernel depends on what it does: the plan that was there before goes. They are emptied when the
  /// thread ends, and not destroyed: the destructor of a static object, which comes later, may still run a kernel.
  union {
    std::array<std::unique_ptr<Planned>, 256> places_;
  };
};

}  // namespace tinyops::cpu
