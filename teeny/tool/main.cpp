#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "teeny/files/replacement.h"
#include "teeny/teeny.h"
#include "teeny/tool/print.h"
#include "teeny/tool/tool.h"

namespace {

using namespace teeny;

/// Ctrl-C and the like: what is half written goes, a line of progress too, and the program dies of the signal.
void interrupted(int signal) {
  io::remove_unfinished();
  constexpr char clear[] = "\r\033[K";
  if (isatty(STDERR_FILENO)) [[maybe_unused]]
    const auto written = write(STDERR_FILENO, clear, sizeof clear - 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

int run(const tool::Action& action) {
  const auto complain = [](const char* what, int status) {
    std::fflush(stdout);
    std::fprintf(stderr, "teeny: %s\n", tool::printable(what).c_str());
    return status;
  };
  try {
    return action();
  } catch (const tool::WrongUsage& error) { return complain(error.what(), 2); } catch (const std::bad_alloc&) {
    return complain("there is not enough memory", 1);
  } catch (const std::exception& error) { return complain(error.what(), 1); }
}

}  // namespace

int main(int argc, char** argv) {
  // Where stdout is closed, the next file that is opened would be taken for it.
  if (fcntl(STDOUT_FILENO, F_GETFD) == -1) [[maybe_unused]]
    const int reserved = open("/dev/null", O_RDONLY);
  std::setlocale(LC_CTYPE, "C.UTF-8");  // how wide characters are; numbers stay as they are
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (std::signal(signal, SIG_IGN) != SIG_IGN) std::signal(signal, interrupted);

  CLI::App app("Looks into networks and files of tensors, and runs them.", "teeny");
  app.set_version_flag("--version", "teeny " + std::string(kVersion), "print the version");
  app.set_help_flag("-h,--help", "print this");
  app.formatter_fn([](const CLI::App* command, const std::string&, CLI::AppFormatMode) {
    return tool::help(*command, tool::terminal_width());
  });
  app.footer(
      "Files are .onnx, .teeny, .safetensors, .pt, .npz and .npy. Tables are for people, --json is for scripts; there "
      "a "
      "number that is none is a string: \"nan\", \"inf\", \"-inf\". Files are not trusted: nothing in them is "
      "executed.\n\n"
      "The exit status is 0 if all is well, 1 if a file or a run is bad or two files differ, 2 if the command line "
      "is wrong, and 69 if there is no GPU.\n\n"
      "  teeny info net.onnx\n"
      "  teeny run net.onnx input=image.npy --top 5 --labels labels.txt\n"
      "  teeny compile net.onnx --shape x=1x3x224x224 -o net.teeny\n"
      "  teeny convert weights.pt weights.safetensors");
  app.require_subcommand(1);
  tool::Action action;
  for (auto* add : {tool::add_info, tool::add_run, tool::add_bench, tool::add_compile, tool::add_convert,
                    tool::add_draw, tool::add_diff, tool::add_onnx_test, tool::add_completion})
    add(app, action);
  int status = 0;
  try {
    app.parse(argc, argv);
    status = run(action);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) app.exit(error);  // --help, --version
    else std::fprintf(stderr, "%s\n", tool::complaint(app, error).c_str()), status = 2;
  }
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
  std::fprintf(stderr, "teeny: the output cannot be written: %s\n", std::strerror(errno));
  return status == 0 ? 1 : status;
}
