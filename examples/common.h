#pragma once
// What the examples share: command line options, a progress bar, drawings of fractions and images.
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>

#include "teeny/tensor/tensor.h"

namespace examples {

/// One option of the command line and the variable it fills. A bool is a switch; an optional stays empty when the
/// option is not given. An int or a double is finite and from `least` to `most`, which holds for a double only where it
/// is given; text is not empty.
struct Option {
  const char* name;
  std::variant<int64_t*, double*, std::string*, bool*, std::optional<int64_t>*> value;
  const char* help;
  int64_t least = 0, most = std::numeric_limits<int64_t>::max();
};

/// Thrown by a body where the options do not fit each other or the data, before the work starts.
struct WrongOption : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Throws where what the options ask for takes at least `bytes` of memory and this machine has less: before the work
/// starts, since a system may only say so after minutes, by ending the program. `what` says which options, and what
/// they come to.
void check_memory(const std::string& what, double bytes);

/// A whole `main`: reads the options (`--help` lists them), runs the body, and returns the exit code. A teeny::Error,
/// and output or a file of GRAPH= or PROFILE= that cannot be written, becomes one line on stderr and the code 1; a
/// wrong option, the code 2.
int run(int argc, char** argv, const char* description, std::initializer_list<Option> options,
        const std::function<void()>& body);

/// Of several ranks the first one alone is heard. Errors, which are written to stderr, still are.
void print_on_one_rank();

/// The mean over the ranks of what is to be shown.
teeny::Tensor average(const teeny::Tensor& x);

/// --checkpoint, --every and --resume: a training that goes on, bit for bit, after it was stopped in any way. Of
/// several ranks the first one saves, and says whether there is a file. Ctrl-C reaches it through mpirun.
struct Checkpoint {
  std::string file;     ///< where to; empty: nothing is saved
  int64_t every = 100;  ///< steps from one save to the next
  bool resume = false;

  /// Before the training. Throws where the file cannot be written, or is there and not to be gone on from; from here on
  /// Ctrl-C and SIGTERM end a step instead of the program. Returns whether there is a checkpoint to load.
  bool begin();
  /// After each step: saves, when it is time to. After a signal it saves and leaves `run`, with status 130 or 143.
  void step(const std::function<void()>& save);
  /// When the training is done.
  void end(const std::function<void()>& save);

 private:
  int64_t steps_ = 0;
};

/// Whether stdout is a terminal that can be drawn on.
bool on_terminal();

/// How many characters a line of the terminal has, now; 80 where stdout is no terminal.
int columns();

/// Throws, with the step's number, where a loss is no number, or beyond 1e10: the training has diverged. The first loss
/// is that of a model which has not learned anything yet: then it is not the rate that is wrong.
void check_loss(double loss, int64_t step, bool first = false);

/// `fraction` of `width` filled, in eighths of a character: `██████▌   `.
std::string bar(double fraction, int width);

/// A grey picture, values from 0 to 1, in half blocks: two rows of pixels to a line; its middle, where lines are too
/// short.
std::string picture(std::span<const float> pixels, int width);

/// One line about a running training, redrawn in place; what does not fit into the terminal's line is left out. Where
/// stdout is no terminal, a line after each tenth of the training, or after half a minute. When it is done, its last
/// state, on several lines where they are short:
///
///   epoch 1 ████████████▌             218/468  loss 0.0931  accuracy 97.21 %  6 s left
///   epoch 1: 468 steps in 11.2 s  loss 0.0604  accuracy 98.10 %
class Progress {
 public:
  /// A training that goes on has `done` of the steps behind it.
  Progress(std::string title, int64_t steps, int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;

  /// One step is done. Shows the mean over about the last fifty steps; throws where the training has diverged.
  void step(double loss, std::optional<double> accuracy = {});

 private:
  using Clock = std::chrono::steady_clock;

  double seconds() const;  ///< since it began
  std::string line(int width) const;
  void draw();

  std::string title_;
  int64_t steps_, before_, done_;
  double loss_ = 0;
  std::optional<double> accuracy_;
  Clock::time_point start_ = Clock::now(), drawn_ = start_;
  int64_t drawn_tenth_ = 0;
};

}  // namespace examples
