#pragma once
// The ranks of a program: processes that run it side by side, each with a device of its own, started by `mpirun -n 4
// program` or the like. What connects them is a file of the folder ranks/, chosen by RANKS= in the Makefile.
//
// A program that asks for its rank has said that it is one of many: from then on it ends when all do, and one that
// fails ends all. Waiting for others has a limit, TEENY_DIST_TIMEOUT, and no rank goes on with a wrong value: before
// each collective the ranks compare what they are about to do.
#include <cstddef>
#include <cstdint>
#include <functional>

#include "tinyops/base/collective.h"

namespace tinyops::ranks {

int rank(int group = 0);   ///< which of the group's ranks this one is: 0 <= rank < world
int world(int group = 0);  ///< how many they are
int local();               ///< which of the ranks on this machine this one is
/// The ranks of `group` with the same colour >= 0 become a group; its number. All ranks of `group` call it.
int split(int group, int colour);

/// Runs the kernel, or its phase, on memory of the host.
void run(const CollectiveKernel& kernel, const void* in, void* out);

/// All ranks of a group are about to run one kernel.
struct Agreement {
  /// Polls until `done`, or throws when TEENY_DIST_TIMEOUT is over. By any thread, also later.
  std::function<void(const std::function<bool()>& done)> wait_until;
  std::function<void(void* bytes, size_t count)> tell;  ///< rank 0's bytes, for the others
};
using Carry = std::function<void(const Agreement&)>;
/// The same where not MPI carries the elements: `carry` does, or begins to. It is called on a thread of its own.
void run(const CollectiveKernel& kernel, Carry carry);
/// The kernel without buffers: who looks at how many hold one is to see the program's alone.
inline CollectiveKernel without_buffers(CollectiveKernel kernel) {
  kernel.in.buffer = kernel.out.buffer = nullptr;
  return kernel;
}

/// The kernel comes next, or is left out where one before it throws.
void expect(const CollectiveKernel& kernel);
/// Waits for what was started and not finished, and drops its errors. What was expected and left out is counted: ranks
/// compare which collective of the program comes next, so that an Error of one rank alone is noticed.
void drain() noexcept;
/// What drain() does then, too: of a device that has a part in collectives from Start to Finish.
void also_drain(void (*what)() noexcept);
/// Where kernels run that may throw between Start and Finish: nothing goes on in memory that is gone, and the next
/// Finish is of the next Start.
struct Drained {
  ~Drained() { drain(); }
};

/// Calls it before this rank says that it ends, where it ends well.
void at_end(void (*call)());

/// What this rank has done with the others. Bytes: those that it sends in a ring.
struct Traffic {
  int rank = 0, world = 1;
  int64_t collectives = 0, bytes = 0;
  double seconds = 0;
};
Traffic traffic();

}  // namespace tinyops::ranks
