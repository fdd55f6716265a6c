#pragma once
// The program `teeny`: a file for each subcommand. Each adds itself to the command line with its options, and what it
// returns is the exit status: 0 good, 1 a file or a run is bad, 2 wrong usage, 69 there is no GPU.
#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace teeny::tool {

/// What the program does once the command line is read: the subcommand that was named.
using Action = std::function<int()>;

/// Options that do not fit the file, or each other: exit status 2.
struct WrongUsage : std::runtime_error {
  using runtime_error::runtime_error;
};

/// A subcommand that calls `run` with its options. `details` are paragraphs for --help; lines that begin with a space
/// are examples. The caller adds the options, which live as long as the command line.
template <class Options>
std::pair<CLI::App*, std::shared_ptr<Options>> add_command(CLI::App& app, Action& action, const char* name,
                                                           const char* summary, const char* details,
                                                           int (*run)(const Options&)) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(name, summary);
  command->footer(details);
  if constexpr (requires { options->json; }) command->add_flag("--json", options->json, "print JSON, for scripts");
  command->final_callback([&action, options, run] { action = [options, run] { return run(*options); }; });
  return {command, options};
}

/// For options: a finite number, not below `least`.
inline CLI::Validator at_least(double least) {
  const auto check = [least](const std::string& given) -> std::string {
    double value = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
    if (error == std::errc() && end == given.data() + given.size() && value >= least && std::isfinite(value)) return "";
    return '"' + given + "\" is not a number from " + CLI::detail::to_string(least) + " on";
  };
  return CLI::Validator(check, "");
}

void add_info(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_compile(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_draw(CLI::App& app, Action& action);
void add_diff(CLI::App& app, Action& action);
void add_onnx_test(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

// ---- The command line as text

std::vector<const CLI::App*> commands_of(const CLI::App& app);

struct Section {
  std::string title;
  std::vector<std::pair<std::string, std::string>> entries = {};  ///< `-o, --out FILE`, and what it is
};
/// Commands, arguments, options.
std::vector<Section> sections(const CLI::App& app);

/// `what is in a file` as `What is in a file.`
std::string sentence(std::string text);

/// The text of --help for a terminal of so many columns (0: 80), of the program or of a subcommand.
std::string help(const CLI::App& app, int width);
/// One line: what is wrong with the command line, what may have been meant, and where to read on.
std::string complaint(const CLI::App& app, const CLI::ParseError& error);

}  // namespace teeny::tool
