#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "exercise.h"

namespace course {
namespace {

volatile std::sig_atomic_t caught = 0;

double processor_seconds(const rusage& used) {
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

[[noreturn]] void become(const std::vector<std::string>& command, const Limits& limits, int input, int output) {
  setpgid(0, 0);
  dup2(output, 1), dup2(output, 2);
  dup2(input, 0);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGTSTP}) std::signal(signal, SIG_DFL);
  const auto limit = [](auto what, rlim_t most) {
    const rlimit both{most, most};
    setrlimit(what, &both);
  };
  limit(RLIMIT_CORE, 0);
  if (limits.bytes) limit(RLIMIT_AS, limits.bytes), limit(RLIMIT_FSIZE, rlim_t(512) << 20);
  if (limits.seconds > 0) limit(RLIMIT_CPU, rlim_t(limits.seconds + 0.999));
  std::vector<char*> arguments;
  for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

void notice_signals() {
  struct sigaction action {};
  action.sa_handler = [](int signal) { caught = signal; };  // without SA_RESTART: poll and read come back
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void throw_if_interrupted() {
  if (caught) throw Interrupted{int(caught)};
}

Outcome run(const std::vector<std::string>& command, const Limits& limits,
            const std::function<void(const std::string&)>& line, const std::string& input) {
  throw_if_interrupted();
  int ends[2], inputs[2];
  if (pipe2(inputs, O_CLOEXEC)) throw Error("no pipe for " + command[0]);
  const bool given = write(inputs[1], input.data(), input.size()) == ssize_t(input.size());  // fits the pipe
  close(inputs[1]);
  if (!given || pipe2(ends, O_CLOEXEC)) throw Error("no pipe for " + command[0]);
  const pid_t child = fork();
  if (child < 0) throw Error("no process for " + command[0]);
  if (child == 0) become(command, limits, inputs[0], ends[1]);
  close(inputs[0]);
  setpgid(child, child);  // whoever of the two is first
  close(ends[1]);

  Outcome result;
  std::string unfinished;
  bool exited = false;
  int status = 0;
  rusage used{};
  // The pipe may stay open in a grandchild, or be closed by a child that goes on: what counts is the child's end, and
  // then what is left in the pipe. One that waits for ever uses no processor time: so there is a limit by the clock,
  // too.
  const auto began = std::chrono::steady_clock::now();
  bool open = true, waited_too_long = false;
  while (open || !exited) {
    if (caught) kill(-child, caught);
    if (limits.seconds > 0 &&
        std::chrono::steady_clock::now() - began > std::chrono::duration<double>(10 + 5 * limits.seconds))
      waited_too_long = true, kill(-child, SIGKILL);
    pollfd watched{open ? ends[0] : -1, POLLIN, 0};
    const int ready = poll(&watched, 1, exited ? 0 : 20);
    if (ready > 0) {
      char buffer[4096];
      const ssize_t got = read(ends[0], buffer, sizeof buffer);
      open = got > 0 || (got < 0 && errno == EINTR);
      if (got > 0 && result.output.size() < (1 << 24)) result.output.append(buffer, size_t(got));
      for (ssize_t i = 0; line && i < got; ++i) {
        if (buffer[i] == '\n') line(unfinished), unfinished.clear();
        else if (unfinished.size() < 4096) unfinished += buffer[i];
      }
    } else if (exited) {
      break;
    }
    if (!exited && wait4(child, &status, WNOHANG, &used) == child) exited = true;
  }
  close(ends[0]);
  kill(-child, SIGKILL);  // what it left running
  result.seconds = processor_seconds(used);
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result.status = result.signal ? 128 + result.signal : WEXITSTATUS(status);
  result.late = waited_too_long ||
                (limits.seconds > 0 &&
                 (result.signal == SIGXCPU || (result.signal == SIGKILL && result.seconds >= limits.seconds * 0.9)));
  throw_if_interrupted();
  return result;
}

std::string output_of(const std::vector<std::string>& command) {
  std::vector<std::string> quiet = {"sh", "-c", "exec \"$@\" 2> /dev/null", "sh"};
  quiet.insert(quiet.end(), command.begin(), command.end());
  const Outcome result = run(quiet);
  return result.status == 0 ? result.output : "";
}

}  // namespace course
