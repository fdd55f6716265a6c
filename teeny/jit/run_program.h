#pragma once
// Tensors in and out of a program that was read from a file (program/program.h): where the rest of what a binary does
// needs tensors anyway. What a program runs needs none.
#include <initializer_list>
#include <span>
#include <vector>

#include "teeny/program/program.h"
#include "teeny/tensor/tensor.h"

namespace teeny {

/// The program's outputs for these inputs, in the file's order. Inputs that lie row-major in memory are not copied.
std::vector<Tensor> run(Program& program, std::span<const Tensor> inputs);
inline std::vector<Tensor> run(Program& program, std::initializer_list<Tensor> inputs) {
  return run(program, std::span<const Tensor>(inputs.begin(), inputs.size()));
}

/// The program's state tensors by name, with the values of now.
std::vector<std::pair<std::string, Tensor>> state_dict(const Program& program);

}  // namespace teeny
