#pragma once
// What runs, watched: the totals and the kernel log of DEBUG=, the timeline of PROFILE=.
#include <cstdint>
#include <functional>
#include <string>

#include "tinyops/kernel.h"

namespace teeny::debug {

/// DEBUG=
int level();

/// How much work kernels are.
struct Counters {
  int64_t kernels = 0;
  int64_t flops = 0;  ///< arithmetic operations; a multiply-add is two
  int64_t bytes = 0;  ///< read and written, each element of each operand once
  Counters& operator+=(const Counters& other);
};

/// What one kernel will do.
Counters work(const tinyops::Kernel& kernel);

/// One line: `rows (128, 10 | 784)  Mul Sum`.
std::string label(const tinyops::Kernel& kernel);

/// What an instruction does, in a word or two: `Mul`, `reduce Sum`, `load 0`, and of a constant its value.
std::string op_name(const tinyops::Instruction& instruction);

/// The whole kernel, with its program, as text.
std::string listing(const tinyops::Kernel& kernel);

/// Of a file that every rank writes, this rank's: `graph.svg` on rank 0, `graph.rank1.svg` on rank 1.
std::string of_this_rank(std::string path);

/// Ends the file of PROFILE=. Throws where it is not whole; without this call, that is a line on stderr when the
/// program ends.
void end_timeline();

/// Whether DEBUG= or PROFILE= asks for anything. It stays as it is until `end_timeline`.
bool is_watched();
/// Calls `run`, which runs `kernel`, then times and reports it: a device may return from a kernel before it is done, so
/// it is waited for, before and after.
void traced(const tinyops::Kernel& kernel, const std::function<void()>& run);
/// The same for several kernels that run as one; where nothing is watched, it only calls `run`. Not with DEBUG=2 and
/// PROFILE, which `watches_each_kernel`.
void traced(const Counters& work, const std::function<void()>& run);
bool watches_each_kernel();

}  // namespace teeny::debug
