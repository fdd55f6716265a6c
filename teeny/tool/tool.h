#pragma once
// The program `teeny`: a file for each subcommand. Each adds itself to the command line with its options, and what it
// returns is the exit status: 0 good, 1 a file or a run is bad, 2 wrong usage, 69 there is no GPU.
#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace teeny::tool {

/// What the program does once the command line is read: the subcommand that was named.
using Action = std::function<int()>;

void add_onnx_test(CLI::App& app, Action& action);

}  // namespace teeny::tool
