#pragma once
// Running other programs: a compiler, git, and the check with what a student wrote, which may do anything: it gets a
// process group of its own, a limit of processor time and of memory, and no core file.
#include <functional>
#include <string>
#include <vector>

namespace course {

struct Limits {
  double seconds = 0;  // of processor time; 0: none
  size_t bytes = 0;    // of memory; 0: none
};

struct Outcome {
  int status = 0;  // as a shell's: 128 + the signal where one ended it
  int signal = 0;
  bool late = false;   // ended by the limit of time
  double seconds = 0;  // processor time, user and system, with that of its children
  std::string output;  // standard output and errors as they came
};

/// Runs `command` to its end; `line` sees each line of its output as it comes. Ctrl-C ends the child, then
/// `interrupted`.
/// `input` is a line or two for its standard input.
Outcome run(const std::vector<std::string>& command, const Limits& limits = {},
            const std::function<void(const std::string&)>& line = {}, const std::string& input = "");
/// What a command printed, without its errors; empty where it fails.
std::string output_of(const std::vector<std::string>& command);

/// Thrown where the user ended what was running.
struct Interrupted {
  int signal;
};
/// Ctrl-C, and what else ends a program, is noticed from here on, and thrown as Interrupted by `run` and by this.
void notice_signals();
void throw_if_interrupted();

}  // namespace course
