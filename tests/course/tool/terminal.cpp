#include "terminal.h"

#include "child.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace course {
namespace {

termios before;  // of a Keys: a signal's handler has to find it
bool changed = false;

void take_keys() {
  termios now = before;
  now.c_lflag &= ~tcflag_t(ICANON | ECHO);  // Ctrl-C still is a signal
  now.c_cc[VMIN] = 0, now.c_cc[VTIME] = 0;
  tcsetattr(0, TCSANOW, &now);
}

void suspended(int) {
  tcsetattr(0, TCSANOW, &before);  // a shell may have the terminal already: SIGTTOU is ignored
  std::signal(SIGTSTP, SIG_DFL);
  raise(SIGTSTP);
}
void resumed(int) {
  std::signal(SIGTSTP, suspended);
  if (tcgetpgrp(0) == getpgrp()) take_keys();
}

}  // namespace

bool is_terminal() {
  static const bool terminal = isatty(1) && !(getenv("TERM") && strcmp(getenv("TERM"), "dumb") == 0);
  return terminal;
}

int width() {
  if (const char* columns = getenv("COLUMNS"); columns && std::atoi(columns) >= 20) return std::atoi(columns);
  winsize size{};
  return isatty(1) && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

bool has_colors() {
  static const bool on = is_terminal() && !(getenv("NO_COLOR") && *getenv("NO_COLOR"));
  return on;
}

std::string colored(const char* code, const std::string& text) {
  return has_colors() ? "\033[" + std::string(code) + "m" + text + "\033[0m" : text;
}

void clear_screen() {
  if (is_terminal()) std::printf("\033[2J\033[H");
}

int columns(const std::string& text) {
  int count = 0;
  for (char c : text) count += (c & 0xC0) != 0x80;
  return count;
}
std::string padded(const std::string& text, int to) {
  return text + std::string(size_t(std::max(0, to - columns(text))), ' ');
}
std::string shortened(const std::string& text, int to) {
  if (columns(text) <= to) return text;
  return to < 4 ? text.substr(0, size_t(std::max(to, 0))) : ".." + text.substr(text.size() - size_t(to - 2));
}

std::string filled(const std::string& text, int to, const std::string& indent) {
  std::istringstream in(text);
  std::string result, line, row = indent;
  bool code = false;
  const auto end_row = [&] {
    if (row != indent) result += row + "\n";
    row = indent;
  };
  while (std::getline(in, line)) {
    const bool fence = line.starts_with("```");
    if (code || fence || line.empty() || line[0] == ' ' || line[0] == '|') {
      end_row();
      if (!fence) result += (line.empty() ? "" : indent + line) + "\n";
      code ^= fence;
      continue;
    }
    if (line.starts_with("- ")) end_row();
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (row != indent && columns(row) + 1 + columns(word) > to) end_row();
      row += (row == indent ? "" : " ") + word;
    }
  }
  end_row();
  return result;
}

std::string folded(const std::string& text, int to) {
  std::istringstream in(text);
  std::string result;
  for (std::string line; std::getline(in, line);) {
    // What is coloured was made to fit.
    while (columns(line) > to && line.find('\033') == std::string::npos) {
      const size_t space = line.rfind(' ', size_t(to));
      if (space == std::string::npos || line.find_first_not_of(' ') > space) break;
      result += line.substr(0, space) + "\n";
      line = "      " + line.substr(space + 1);
    }
    result += line + "\n";
  }
  return result;
}

Keys::Keys() {
  if (!isatty(0) || tcgetattr(0, &before) != 0) return;
  changed = true;
  take_keys();
  std::signal(SIGTTOU, SIG_IGN);
  std::signal(SIGTSTP, suspended), std::signal(SIGCONT, resumed);
}

Keys::~Keys() {
  if (!changed) return;
  changed = false;
  std::signal(SIGTSTP, SIG_DFL), std::signal(SIGCONT, SIG_DFL);
  tcsetattr(0, TCSANOW, &before);
}

char Keys::next(int milliseconds) {
  pollfd in{changed ? 0 : -1, POLLIN, 0};
  if (poll(&in, 1, milliseconds) <= 0) return 0;
  char key = 0;
  const ssize_t got = read(0, &key, 1);
  if (in.revents & (POLLHUP | POLLERR)) throw Interrupted{SIGHUP};  // the terminal is gone
  return got == 1 ? key : 0;
}

}  // namespace course
