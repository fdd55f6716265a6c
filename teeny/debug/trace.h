#pragma once
// Watching what runs: counters, the kernel log of DEBUG=, the graph of GRAPH=, the timeline of PROFILE=.
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "teeny/schedule/schedule.h"

namespace teeny::debug {

/// DEBUG=
int level();

/// What has run since the start, or since `counters() = {}`.
struct Counters {
  int64_t kernels = 0;
  int64_t flops = 0;  ///< arithmetic operations; a multiply-add is two
  int64_t bytes = 0;  ///< read and written, each element of each operand once
  Counters& operator+=(const Counters& other);
};
Counters& counters();

/// What one kernel will do.
Counters work(const tinyops::Kernel& kernel);

/// One line: `rows (128, 10 | 784)  Mul Sum`.
std::string label(const tinyops::Kernel& kernel);

/// The whole kernel, with its program, as text.
std::string listing(const tinyops::Kernel& kernel);

/// Runs `f` and keeps the books: counters always, time only when DEBUG or PROFILE want it. A device may return from a
/// kernel before it is done; what is timed is waited for, before and after.
void traced(const Step& step, const std::function<void()>& f);
/// The same for several kernels that run as one, unless somebody `watches_each_kernel`: DEBUG=2, PROFILE.
void traced(const Counters& work, const std::function<void()>& f);
bool watches_each_kernel();

/// GRAPH=file.svg: draws the graph that is about to run and its kernels, the largest of the run. Needs Graphviz's `dot`;
/// a file that ends in .dot gets the source instead.
void draw_graph(std::span<const LazyBuffer> targets, std::span<const Step> steps);

}  // namespace teeny::debug
