#pragma once
// GRAPH=file.svg: the kernels of the largest graph of the run, what they compute and what each reads from which, drawn
// when the program ends. Needs Graphviz's `dot`; a file that ends in .dot gets the source instead. With FUSE=0 each
// node is a kernel.
#include <span>

#include "teeny/schedule/schedule.h"

namespace teeny {

/// Notes the kernels that are about to run for `targets`, if their graph is the largest so far.
void draw_at_exit(std::span<const LazyBuffer> targets, std::span<const Step> steps);

/// For the end of a program's work: draws now, and ends the file of PROFILE=. When the program ends, what goes wrong is
/// a line on stderr and cannot change the exit status any more; here it is an Error.
void end_traces();

}  // namespace teeny
