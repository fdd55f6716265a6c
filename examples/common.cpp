#include "examples/common.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>

#include "teeny/dist/dist.h"
#include "teeny/io/io.h"
#include "teeny/schedule/draw.h"

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

static volatile std::sig_atomic_t stopped_by = 0;  ///< SIGINT is Ctrl-C; Open MPI's mpirun makes a SIGTERM of it

static Interrupted stopped(const std::string& more) {
  return {(stopped_by == SIGINT ? "stopped by Ctrl-C" : "stopped") + more};
}

void print_on_one_rank() {
  if (teeny::dist::rank() > 0 && !std::freopen("/dev/null", "w", stdout)) teeny::fail("/dev/null cannot be written");
}

teeny::Tensor average(const teeny::Tensor& x) {
  return teeny::dist::all_reduce(x.detach() / teeny::dist::world());
}

bool Checkpoint::begin() {
  if (file.empty() && resume) throw WrongOption("--resume needs a file: --checkpoint FILE");
  if (file.empty()) return false;
  const bool first = teeny::dist::rank() == 0;
  if (first) teeny::io::check_can_save(file);
  const bool here = first && std::filesystem::exists(file);
  if (here && !resume) teeny::fail(file, ": it is there already; go on from it with --resume, or remove it");
  const bool there = teeny::dist::all_reduce(teeny::Tensor(here)).item();  // what the others have does not count
  if (!there && resume) std::printf("%s is not there yet: starting from the beginning\n", file.c_str());
  const auto stop = [](int signal) {
    stopped_by = signal;
    std::signal(signal, SIG_DFL);  // whoever does not want to wait for the step to end presses it again
  };
  // The first rank needs the others until it has saved; then it ends all.
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, first ? static_cast<void (*)(int)>(stop) : SIG_IGN);
  return there;
}

void Checkpoint::step(const std::function<void()>& save) {
  ++steps_;
  if (file.empty() || (!stopped_by && steps_ % every != 0)) return;
  if (teeny::dist::rank() == 0) save();
  if (stopped_by) throw stopped(", saved in " + file + "; --resume goes on from there");
}

void Checkpoint::end(const std::function<void()>& save) {
  if (file.empty()) return;
  if (teeny::dist::rank() == 0) save();
  std::signal(SIGINT, on_terminal() ? interrupted : SIG_DFL);  // what follows can be stopped as ever
  std::signal(SIGTERM, SIG_DFL);
  if (stopped_by) throw stopped(" after the training, which is saved in " + file);
}

/// What stands behind an option on the command line.
template <class T>
static T parse(const Option& option, const std::string& given) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (given.empty()) throw CLI::ValidationError(option.name, "must not be empty");
    return given;
  } else {
    T value = 0;
    const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
    const bool whole = std::is_integral_v<T>, open = !whole && option.most == std::numeric_limits<int64_t>::max();
    if (error != std::errc() || end != given.data() + given.size() || !std::isfinite(double(value)) ||
        value < T(option.least) || (!open && value > T(option.most)))
      throw CLI::ValidationError(
          option.name, teeny::text("\"", given, "\" is not a ", whole ? "whole " : "", "number from ", option.least,
                                   open ? " on" : teeny::text(" to ", option.most)));
    return value;
  }
}

static void add(CLI::App& app, const Option& option) {
  const auto add_as = [&]<class T>(auto& value, const T&) {
    return app.add_option_function<std::string>(
        option.name, [&](const std::string& given) { value = parse<T>(option, given); }, option.help);
  };
  std::visit(
      [&](auto* value) {
        using Value = std::remove_pointer_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, bool>) app.add_flag(option.name, *value, option.help);
        else if constexpr (std::is_same_v<Value, std::string>) add_as(*value, std::string())->type_name("TEXT");
        else if constexpr (std::is_same_v<Value, std::optional<int64_t>>) add_as(*value, int64_t())->type_name("INT");
        else
          add_as(*value, Value())
              ->type_name(std::is_integral_v<Value> ? "INT" : "NUMBER")
              ->default_str(teeny::text(*value));
      },
      option.value);
}

/// The exit code of a body.
static int run_body(const std::string& name, const std::function<void()>& body) {
  const auto complain = [&](const std::exception& error, int code) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
    return code;
  };
  try {
    body();
    teeny::end_traces();
    return 0;
  } catch (const Interrupted& interrupted) {
    std::printf("%s\n", interrupted.message.c_str());
    return 128 + stopped_by;  // as a shell says it of a program that a signal has ended
  } catch (const WrongOption& error) { return complain(error, 2); } catch (const std::bad_alloc&) {
    return complain(std::runtime_error("there is not enough memory for a model, or a batch, of this size"), 1);
  } catch (const std::exception& error) { return complain(error, 1); }
}

int run(int argc, char** argv, const char* description, std::initializer_list<Option> options,
        const std::function<void()>& body) {
  const std::string name = std::filesystem::path(argv[0]).filename();
  // Where stdout is closed, the next file that is opened would be taken for it.
  if (fcntl(STDOUT_FILENO, F_GETFD) == -1) [[maybe_unused]]
    const int reserved = open("/dev/null", O_RDONLY);
  CLI::App app{description, name};
  for (const Option& option : options) add(app, option);
  int code = 0;
  try {
    app.parse(argc, argv);
    if (on_terminal()) std::signal(SIGINT, interrupted);
    code = run_body(name, body);
  } catch (const CLI::ParseError& error) { code = app.exit(error) == 0 ? 0 : 2; }  // 0 is --help
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return code;
  std::fprintf(stderr, "%s: the output cannot be written: %s\n", name.c_str(), std::strerror(errno));
  return code == 0 ? 1 : code;
}

bool on_terminal() {
  static const bool answer = [] {
    const char* terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) && !(terminal && std::string_view(terminal) == "dumb");
  }();
  return answer;
}

int columns() {
  winsize window{};
  return on_terminal() && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col ? window.ws_col : 80;
}

void check_loss(double loss, int64_t step, bool first) {
  if (loss < 1e10) return;
  teeny::fail("the loss of step ", step, " is ", std::abs(loss), ": ",
              first ? "nothing is learned yet, so the data or the weights to start with are out of range"
                    : "the training has diverged; try a smaller --lr");
}

void check_memory(const std::string& what, double bytes) {
  const double here = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
  const auto gigabytes = [](double b) { return teeny::text(std::ceil(b / 1e8) / 10, " GB"); };
  if (bytes > here)
    throw WrongOption(teeny::text(what, ": this takes at least ", gigabytes(bytes), " of memory, and this machine has ",
                                  gigabytes(here)));
}

std::string bar(double fraction, int width) {
  static const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int filled =
      int(std::lround((fraction > 0 ? std::min(fraction, 1.0) : 0.0) * width * 8));  // a NaN fills nothing
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
  const int outside = std::max(0, width - columns() + 1) / 2;
  for (int y = 0; y < height; y += 2) {
    for (int x = outside; x < width - outside; ++x) out += halves[inked(y, x) + 2 * inked(y + 1, x)];
    out += '\n';
  }
  return out;
}

Progress::Progress(std::string title, int64_t steps, int64_t done)
    : title_(std::move(title)), steps_(steps), before_(done), done_(done) {}

void Progress::step(double loss, std::optional<double> accuracy) {
  check_loss(loss, done_ + 1, done_ == before_);
  const double weight = 1.0 / double(std::min<int64_t>(++done_ - before_, 50));
  loss_ += (loss - loss_) * weight;
  if (accuracy) accuracy_ = accuracy_.value_or(0) + (*accuracy - accuracy_.value_or(0)) * weight;
  const double since = std::chrono::duration<double>(Clock::now() - drawn_).count();
  const int64_t tenth = 10 * done_ / steps_;
  if (on_terminal() ? since < 0.1 : since < 1 || (tenth == drawn_tenth_ && since < 30)) return;
  drawn_ = Clock::now();
  drawn_tenth_ = tenth;
  draw();
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

/// The parts of it that fit, the first ones first, and a bar in what is left.
std::string Progress::line(int width) const {
  std::string parts;
  const auto add = [&](const std::string& part) {
    if (int(title_.size() + parts.size() + part.size()) <= width) parts += part;
  };
  const int64_t done = done_ - before_;
  add(format(" %lld/%lld", (long long)done_, (long long)steps_));
  add(format("  loss %.4f", loss_));
  if (accuracy_) add(format("  accuracy %.2f %%", 100 * *accuracy_));
  add(format("  %.0f s left", seconds() / double(done) * double(steps_ - done_)));
  const int left = width - int(title_.size() + parts.size()) - 2;
  if (!on_terminal() || left < 4) return (title_ + parts).substr(0, size_t(std::max(width, 0)));
  return title_ + ' ' + bar(double(done_) / double(steps_), std::min(left, 40)) + ' ' + parts;
}

void Progress::draw() {
  // On a terminal: back to the start of the line, write, and clear what is left of the older, longer line. The last
  // three columns stay free: Ctrl-C shows as ^C behind the line.
  if (on_terminal()) std::printf("\r%s\033[K", line(columns() - 3).c_str());
  else std::printf("%s\n", line(columns()).c_str());
  std::fflush(stdout);
}

Progress::~Progress() {
  if (on_terminal()) std::printf("\r\033[K");
  if (std::uncaught_exceptions()) return;  // the error says enough
  std::string text = title_ + ':';
  size_t line = text.size();
  const auto add = [&](const char* between, const std::string& part) {  // on a line of its own where this one is full
    if (on_terminal() && line + std::strlen(between) + part.size() > size_t(columns())) between = "\n", line = 0;
    else line += std::strlen(between);
    text += between + part;
    line += part.size();
  };
  const long long done = done_ - before_;
  add(" ", format("%lld step%s", done, done == 1 ? "" : "s"));
  add(" ", format("in %.1f s", seconds()));
  if (done > 0) add("  ", format("loss %.4f", loss_));
  if (accuracy_) add("  ", format("accuracy %.2f %%", 100 * *accuracy_));
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace examples
