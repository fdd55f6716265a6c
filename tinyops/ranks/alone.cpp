// RANKS=alone: one rank. What all compute together is what it computes.
#include <cstring>

#include "tinyops/base/environment.h"
#include "tinyops/base/error.h"
#include "tinyops/device.h"
#include "tinyops/ranks.h"

namespace tinyops::ranks {

int rank(int) { return 0; }
int local() { return 0; }
int world(int) {
  static const bool alone = [] {
    if (const auto launched = environment::launched(); launched.processes != 1)
      fail("this is one of ", launched.count(), " processes (", launched.variable,
           "), but the program was built without RANKS=mpi");
    return true;
  }();
  return alone ? 1 : 0;
}
int split(int, int) { return 0; }

void run(const CollectiveKernel& kernel, const void* in, void* out) {
  const size_t bytes = size_t(kernel.out.view.numel() * itemsize(kernel.out.dtype));
  if (kernel.phase != CollectiveKernel::Phase::Finish && bytes > 0) std::memcpy(out, in, bytes);
}
void expect(const CollectiveKernel&) {}
void at_end(void (*)()) {}
namespace {
void (*drain_too)() noexcept = []() noexcept {};
}
void drain() noexcept { drain_too(); }
void also_drain(void (*what)() noexcept) { drain_too = what; }
Traffic traffic() { return {}; }

}  // namespace tinyops::ranks
