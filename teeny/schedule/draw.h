#pragma once
// GRAPH=file.svg: the largest graph of the run, drawn when the program ends. Needs Graphviz's `dot`; a file that ends in .dot
// gets the source instead.
#include <span>

#include "teeny/schedule/schedule.h"

namespace teeny {

/// Notes the graph that is about to run, and which of its nodes become one kernel, if it is the largest so far.
void draw_at_exit(std::span<const LazyBuffer> targets, std::span<const Step> steps);

}  // namespace teeny
