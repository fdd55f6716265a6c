#include "examples/common.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "teeny/io/io.h"

namespace examples {

/// printf into a string.
template <class... Values>
static std::string format(const char* pattern, Values... values) {
  std::string out(std::snprintf(nullptr, 0, pattern, values...), '\0');
  std::snprintf(out.data(), out.size() + 1, pattern, values...);
  return out;
}

/// Ctrl-C in the middle of a line: end it, end its colours, and then die as usual.
static void interrupted(int signal) {
  constexpr char tidy[] = "\033[0m\n";
  [[maybe_unused]] const auto written = write(STDOUT_FILENO, tidy, sizeof tidy - 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

/// Leaves `run` after Ctrl-C; what it says is the last line.
struct Interrupted {
  std::string message;
};

static volatile std::sig_atomic_t ctrl_c = 0;

bool Checkpoint::begin() {
  if (file.empty() && resume) teeny::fail("--resume needs a file: --checkpoint FILE");
  if (file.empty()) return false;
  if (every < 1) teeny::fail("--every ", every, ": at least 1 step");
  teeny::io::check_can_save(file);
  const bool there = std::filesystem::exists(file);
  if (there && !resume) teeny::fail(file, ": it is there already; go on from it with --resume, or remove it");
  if (!there && resume) std::printf("%s is not there yet: starting from the beginning\n", file.c_str());
  std::signal(SIGINT, [](int signal) {
    ctrl_c = 1;
    std::signal(signal, SIG_DFL);  // whoever does not want to wait for the step to end presses it again
  });
  return there;
}

void Checkpoint::step(const std::function<void()>& save) {
  ++steps_;
  if (file.empty() || (!ctrl_c && steps_ % every != 0)) return;
  save();
  if (ctrl_c) throw Interrupted{"stopped by Ctrl-C, saved in " + file + "; --resume goes on from there"};
}

void Checkpoint::end(const std::function<void()>& save) {
  if (file.empty()) return;
  save();
  std::signal(SIGINT, on_terminal() ? interrupted : SIG_DFL);  // what follows can be stopped as ever
  if (ctrl_c) throw Interrupted{"stopped by Ctrl-C after the training, which is saved in " + file};
}

int run(int argc, char** argv, const char* description, std::initializer_list<Option> options,
        const std::function<void()>& body) {
  const std::string name = std::filesystem::path(argv[0]).filename();
  CLI::App app{description, name};
  const auto not_negative = [](const std::string& value) {
    return value.starts_with('-') ? value + " is less than 0" : "";
  };
  const auto add = [&](const Option& option, auto& value) {
    using Value = std::remove_reference_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, bool>) {
      app.add_flag(option.name, value, option.help);
    } else {
      auto* added = app.add_option(option.name, value, option.help);
      if constexpr (std::is_arithmetic_v<Value>) added->capture_default_str();
      if constexpr (!std::is_same_v<Value, std::string>) added->check(not_negative);
    }
  };
  for (const Option& option : options) std::visit([&](auto* value) { add(option, *value); }, option.value);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;  // 0 is --help
  }
  if (on_terminal()) std::signal(SIGINT, interrupted);
  try {
    body();
    return 0;
  } catch (const Interrupted& interrupted) {
    std::printf("%s\n", interrupted.message.c_str());
    return 128 + SIGINT;  // as a shell says it of a program that Ctrl-C has ended
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    return 1;
  }
}

bool on_terminal() {
  static const bool answer = isatty(STDOUT_FILENO);
  return answer;
}

std::string bar(double fraction, int width) {
  static const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int filled = int(std::lround(std::clamp(fraction, 0.0, 1.0) * width * 8));
  std::string out;
  for (int i = 0; i < filled / 8; ++i) out += "█";
  out += eighths[filled % 8];
  return out.append(width - (filled + 7) / 8, ' ');
}

std::string picture(std::span<const float> pixels, int width) {
  static const char* halves[] = {" ", "▀", "▄", "█"};
  const int height = int(pixels.size()) / width;
  const auto inked = [&](int y, int x) { return y < height && pixels[y * width + x] > 0.35f; };
  std::string out;
  for (int y = 0; y < height; y += 2) {
    for (int x = 0; x < width; ++x) out += halves[inked(y, x) + 2 * inked(y + 1, x)];
    out += '\n';
  }
  return out;
}

static double seconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

Progress::Progress(std::string title, int64_t steps, int64_t done)
    : title_(std::move(title)), steps_(steps), before_(done), done_(done) {}

void Progress::step(double loss, std::optional<double> accuracy) {
  const double weight = 1.0 / double(std::min<int64_t>(++done_ - before_, 50));
  loss_ += (loss - loss_) * weight;
  if (accuracy) accuracy_ = accuracy_.value_or(0) + (*accuracy - accuracy_.value_or(0)) * weight;
  if (!on_terminal() || Clock::now() - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = Clock::now();
  draw();
}

std::string Progress::state() const {
  return format("  loss %.4f", loss_) + (accuracy_ ? format("  accuracy %.2f %%", 100 * *accuracy_) : "");
}

void Progress::draw() const {
  const double left = seconds(Clock::now() - start_) / double(done_ - before_) * double(steps_ - done_);
  const std::string text =
      format(" %lld/%lld", (long long)done_, (long long)steps_) + state() + format("  %.0f s left", left);
  winsize window{};
  const int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col ? window.ws_col : 80;
  const int width = std::clamp(columns - int(title_.size() + text.size()) - 2, 0, 40);
  // Back to the start of the line, write, and clear what is left of the older, longer line.
  std::printf("\r%s %s%s\033[K", title_.c_str(), bar(double(done_) / double(steps_), width).c_str(), text.c_str());
  std::fflush(stdout);
}

Progress::~Progress() {
  if (on_terminal()) std::printf("\r\033[K");
  if (std::uncaught_exceptions()) return;  // the error says enough
  std::printf("%s: %lld steps in %.1f s%s\n", title_.c_str(), (long long)(done_ - before_), seconds(Clock::now() - start_),
              state().c_str());
  std::fflush(stdout);
}

}  // namespace examples
