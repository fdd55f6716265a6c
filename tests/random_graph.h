#pragma once
// Random programs of tensor operations: made from a seed, run in different ways, shrunk to a short one when the ways
// disagree. A program is data, so that a step can be taken out and the rest run again.
#include <string>
#include <vector>

#include "teeny/tensor.h"

namespace random_graph {

using teeny::Dims;
using teeny::DType;
using teeny::Shape;
using teeny::Tensor;

/// One line of a program: its result is named by its position.
struct Step {
  std::string op;             ///< "leaf", "add", "permute", ...
  std::vector<int> args;      ///< earlier steps
  Dims numbers, more;         ///< shape, axes or amounts, as the op needs them
  Shape shape;                ///< of the result
  bool is_bool = false;       ///< a comparison's result: a condition, and nothing else
  double bound = 0;           ///< no number of the result is larger
};

/// `Integers` holds whole numbers small enough to be exact in float32; `Wrapping` is int32, where anything goes;
/// `Smooth` are fractions and functions of them.
enum class Kind { Integers, Wrapping, Smooth };

struct Program {
  uint64_t seed = 0;
  Kind kind = Kind::Integers;
  std::vector<Step> steps;
};

Program make(uint64_t seed, int length);

/// The value of the last step, and for Smooth programs the scale of its rounding errors: a sum of the magnitudes that
/// met on the way, so that an honest float32 result is within a few units in the last place of it.
struct Result {
  Tensor value, scale;
};
Result run(const Program& program, DType dtype);

/// The program as text, one step a line.
std::string print(const Program& program);

/// A shorter program for which `fails` still holds.
template <class F>
Program shrink(Program program, F&& fails) {
  // Cut the end off, then put a leaf in the place of each step, then drop what nobody reads.
  for (size_t length = 1; length < program.steps.size(); ++length) {
    Program shorter = program;
    shorter.steps.resize(length);
    if (!shorter.steps.back().is_bool && fails(shorter)) {
      program = shorter;
      break;
    }
  }
  for (size_t i = program.steps.size(); i-- > 0;) {
    Program simpler = program;
    Step& step = simpler.steps[i];
    if (step.op == "leaf" || step.is_bool) continue;
    step = {"leaf", {}, {}, {}, step.shape, false, step.bound};
    if (fails(simpler)) program = simpler;
  }
  std::vector<int> position(program.steps.size(), -1);
  position.back() = 0;
  for (size_t i = program.steps.size(); i-- > 0;)
    if (position[i] >= 0)
      for (int arg : program.steps[i].args) position[size_t(arg)] = 0;
  Program used = program;
  used.steps.clear();
  for (size_t i = 0; i < program.steps.size(); ++i) {
    if (position[i] < 0) continue;
    position[i] = int(used.steps.size());
    used.steps.push_back(program.steps[i]);
    for (int& arg : used.steps.back().args) arg = position[size_t(arg)];
  }
  return fails(used) ? used : program;  // a leaf's numbers depend on its place: only if it still fails
}

}  // namespace random_graph
