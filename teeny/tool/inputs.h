#pragma once
// Inputs of a network that a command line describes: shapes, and values where there are none.
#include <map>
#include <string>
#include <vector>

#include "teeny/onnx/onnx.h"

namespace teeny::tool {

using Shapes = std::map<std::string, Shape>;

/// `1x3x224x224`, `scalar`. Throws WrongUsage.
Shape shape_from(const std::string& option, const std::string& sizes);
/// The combinations that a list of options describes, each NAME=1x3x224x224[,NAME=..]: an input that is named again
/// begins the next combination, where the others keep their shapes. NAME may also be that of an open axis: batch=8.
std::vector<Shapes> combinations(const std::vector<std::string>& options);

/// Where random values lie, from options [NAME=]LOW:HIGH; "" is every input that has no range of its own.
using Ranges = std::map<std::string, std::pair<double, double>>;
Ranges ranges_from(const std::vector<std::string>& options);

/// Whether an input has a value in the file, which is taken where nothing else is given.
bool is_optional(const onnx::Graph& graph, const std::string& input);
/// The shape of an input where the file and `shapes` say all of it. Throws WrongUsage, naming what is open.
Shape shape_of(const onnx::ValueInfo& input, const Shapes& shapes);
/// Standard normal floats, and integers that are 0, unless a range says otherwise.
Tensor random_input(const onnx::ValueInfo& input, const Shape& shape, const Ranges& ranges);
/// Throws WrongUsage where no input has this name, listing those that there are.
size_t place_of(const std::string& name, const std::vector<onnx::ValueInfo>& inputs);

/// All of them; one that has a value in the file is left out. Throws WrongUsage where `shapes` names what is not there.
std::vector<Tensor> random_inputs(const onnx::Graph& graph, const Shapes& shapes, const Ranges& ranges);

}  // namespace teeny::tool
