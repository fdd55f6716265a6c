#pragma once
// A call of a program as something to look at: a box for each kernel, an arrow for what one hands to another.
#include <string>

#include "teeny/program/contents.h"

namespace teeny::tool {

struct ProgramDrawing {
  std::string source;  ///< in Graphviz's language
  size_t boxes = 0, arrows = 0;
};

ProgramDrawing drawing_of(const program::Contents& contents, const program::Call& call);

}  // namespace teeny::tool
