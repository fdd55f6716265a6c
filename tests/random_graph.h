#pragma once
// Random programs of tensor operations: made from a seed, run in different ways, shrunk to a short one when the ways
// disagree. A program is data, so that a step can be taken out and the rest run again.
//
//   random_graph_ops.cpp    the table of operations: a line or two for each
//   random_graph_make.cpp   a program from a seed; random_graph_draw.cpp: what a step is made of
//   random_graph.cpp        running and printing it
#include <span>
#include <string>
#include <vector>

#include "teeny/tensor/tensor.h"

namespace random_graph {

using teeny::Dims;
using teeny::DType;
using teeny::Shape;
using teeny::Tensor;

/// One line of a program: its result is named by its position.
struct Step {
  std::string op;             ///< a name of the table, or "leaf": random values
  std::vector<int> args;      ///< earlier steps
  Dims params, more;          ///< shape, axes or amounts, as the op needs them
  int64_t terms = 1;          ///< how many terms or factors one element of the result has
  Shape shape;                ///< of the result
  DType dtype = DType::Float32;
  double bound = 0;           ///< no finite element of the result is larger
  int64_t below = 0;          ///< if not 0, the result is an index: 0 <= element < below
  bool wild = false;          ///< there may be NaN and infinities
  bool held = false;          ///< the program holds on to the result until it ends
};

/// `Whole` programs mix all dtypes and stay among the integers that their dtypes hold exactly (integers wrap), so
/// whatever the order of the additions, there is one right answer. `Smooth` ones hold fractions, and `Gradient` ones
/// are smooth, in float64, and differentiated.
enum class Kind { Whole, Smooth, Gradient };

struct Program {
  uint64_t seed = 0;
  Kind kind = Kind::Whole;
  std::vector<Step> steps;
  std::vector<int> outputs;  ///< these are computed together
};

Program make(uint64_t seed, int length);

/// `Exact` runs smooth programs in float64 whatever their dtypes, and carries along how far a correct result in those
/// dtypes may be from it.
enum class Precision { AsWritten, Exact };

struct Result {
  std::string name;
  Tensor value, error;  ///< `error` is undefined where there is one right answer
};
/// The outputs, then the steps that were held, then for Gradient programs what each leaf gets.
std::vector<Result> run(const Program& program, Precision precision);

/// The leaves' values, and the outputs that a program as written makes of such values, which are not computed yet: what
/// a trace or an export calls.
std::vector<Tensor> leaves(const Program& program);
std::vector<Tensor> outputs(const Program& program, std::span<const Tensor> leaves);

/// The program as text, one step a line.
std::string print(const Program& program);

/// Only what the outputs need, and the steps that are held.
Program without_unused(const Program& program);

/// A shorter program for which `fails` still holds.
template <class F>
Program shrink(Program program, F&& fails) {
  // One output if it can be, the end cut off, then a leaf in the place of each step, then unused steps removed.
  auto keep_if = [&](Program simpler) {
    if (!fails(simpler)) return false;
    program = std::move(simpler);
    return true;
  };
  for (size_t length = 1; length < program.steps.size(); ++length) {
    Program shorter = program;
    shorter.steps.resize(length);
    shorter.outputs = {int(length) - 1};
    if (keep_if(shorter)) break;
  }
  for (size_t i = program.outputs.size(); program.outputs.size() > 1 && i-- > 0;) {
    Program fewer = program;
    fewer.outputs.erase(fewer.outputs.begin() + long(i));
    keep_if(fewer);
  }
  for (size_t i = program.steps.size(); i-- > 0;) {
    Program simpler = program;
    Step& step = simpler.steps[i];
    if (std::exchange(step.held, false)) keep_if(simpler);
    if (step.op == "leaf") continue;
    step.op = "leaf", step.args.clear(), step.params = step.more = {};
    keep_if(simpler);
  }
  keep_if(without_unused(program));  // a leaf's values depend on its place: only if it still fails
  return program;
}

}  // namespace random_graph
