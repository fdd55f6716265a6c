#include "verdict.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "child.h"
#include "terminal.h"

namespace course {
namespace {

constexpr double kSeconds = 4;              // of processor time for a check; most take a hundredth
constexpr size_t kBytes = size_t(4) << 30;  // of memory

std::vector<std::string> words_of(const char* name) {
  std::istringstream in(getenv(name) ? getenv(name) : "");
  std::vector<std::string> result;
  for (std::string word; in >> word;) result.push_back(word);
  return result;
}

/// `  [3/93] compile teeny/graph/lazy.cpp` becomes a line that is written over; what else make says is kept.
class Counter {
 public:
  explicit Counter(Progress progress) : shown(progress == Progress::Shown) {}
  void operator()(const std::string& line) {
    int done = 0, all = 0;
    if (std::sscanf(line.c_str(), " [%d/%d] compile", &done, &all) != 2) return;
    if (!shown || all < 10) return;  // one or two files: there is nothing to count
    if (is_terminal()) std::printf("\r  building, once: %d of %d files\033[K", done, all), written = true;
    else if (done == 1 || done % 20 == 0 || done == all) std::printf("  building, once: %d of %d files\n", done, all);
    std::fflush(stdout);
  }
  ~Counter() {
    if (written) std::printf("\r\033[K"), std::fflush(stdout);
  }

 private:
  bool shown, written = false;
};

/// What the compiler says of the files of these holes, without what make says, and not more than fits a screen.
std::string compiler_errors(const std::string& output) {
  constexpr int kLines = 24;
  std::istringstream in(output);
  std::string result;
  int lines = 0;
  for (std::string line; std::getline(in, line);) {
    const bool of_make = line.starts_with("  [") || line.starts_with("make") || line.starts_with("  link ") ||
                         line.starts_with("  archive ");
    if (of_make || (line.find("In file included") != std::string::npos)) continue;
    if (++lines <= kLines) result += "  " + line + "\n";
  }
  if (lines > kLines) result += "  .. and " + std::to_string(lines - kLines) + " lines more\n";
  return result;
}

}  // namespace

std::string program_of(const Exercise& e) {
  if (e.config == "cuda") return "build/cuda-emulated-native/course";
  const char* folder = getenv("COURSE_BUILD");
  return std::string(folder && *folder ? folder : "build/cpu-native") +
         (e.config == "header" ? "/course-headers" : "/course");
}

Lock::Lock(const fs::path& root) {
  fs::create_directories(root / kState);
  file = open((root / kState / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) throw Error("cannot write " + (root / kState / "lock").string());
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return;
  std::printf("  another window is checking; this one waits ...\n"), std::fflush(stdout);
  while (flock(file, LOCK_EX | LOCK_NB) != 0) {
    throw_if_interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}
Lock::~Lock() { close(file); }

std::string open_files(const std::vector<Exercise>& all, const fs::path& root) {
  std::set<std::string> files;
  for (const Exercise& e : all)
    if (e.file.ends_with(".cpp") || e.file.ends_with(".cu"))
      if (!files.contains(e.file) && state_of(e, root) != State::Shipped) files.insert(e.file);
  std::string result;
  for (const std::string& file : files) result += (result.empty() ? "" : " ") + file;
  return result;
}

Verdict build_checks(const Exercise& e, const std::string& open, Progress progress, const fs::path& root,
                     const Limits& limits) {
  const std::string target = program_of(e);
  std::vector<std::string> make = {"make", "--no-print-directory", "-C", root.string(), target, "OPEN=" + open};
  for (const std::string& word : words_of("COURSE_MAKE")) make.push_back(word);
  if (e.config == "cuda") make.insert(make.end(), {"BACKEND=cuda", "EMULATE=1", "CHECK=" + e.number});
  for (const char* name : {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}) unsetenv(name);
  Counter counter(progress);
  const Outcome made = run(make, limits, std::ref(counter));
  Verdict v;
  v.build_seconds = made.seconds, v.built = made.status == 0;
  if (made.late) v.output = "  the compiler was stopped: it was not done after " + text_of(limits.seconds) + " s\n";
  if (made.late) return v;
  if (!v.built) v.output = compiler_errors(made.output);
  if (!v.built && v.output.empty()) v.output = "  " + made.output;  // make itself found something wrong
  return v;
}

Verdict run_check(const Exercise& e, const std::string& seed, const fs::path& root) {
  std::random_device device;
  const std::string nonce = std::to_string(device()) + std::to_string(device());
  setenv("SEED", seed.empty() ? "1" : seed.c_str(), 1);
  setenv("OMP_WAIT_POLICY", "passive", 1);
  setenv("COLUMNS", std::to_string(width()).c_str(), 1);
  if (has_colors()) setenv("COURSE_COLOR", "1", 1);
  const double limit = kSeconds + 3 * e.seconds;
  const Outcome ran = run({(root / program_of(e)).string(), e.number}, {limit, kBytes}, {}, nonce + "\n");
  Verdict v;
  v.check_seconds = ran.seconds;
  const std::string passed = "ok " + nonce + " " + e.number + "\n";
  const size_t at = ran.output.rfind(passed);
  v.right = ran.status == 0 && at != std::string::npos && at + passed.size() == ran.output.size();
  v.output = v.right ? ran.output.substr(0, at) : ran.output;
  constexpr size_t kShown = 1 << 14;
  if (v.output.size() > kShown) v.output = v.output.substr(0, kShown) + "\n  .. and more\n";
  if (!v.output.empty() && v.output.back() != '\n') v.output += '\n';
  if (ran.late) {
    v.output += "  stopped: it was not done after " + std::to_string(int(limit)) + " s of processor time\n";
  } else if (ran.signal) {
    const char* often = ran.signal == SIGSEGV   ? ": memory that is not yours, or a stack that is too deep"
                        : ran.signal == SIGABRT ? ": an assertion, or an exception that nobody caught"
                                                : "";
    v.output += std::string("  the check died: ") + strsignal(ran.signal) + often + "\n";
  } else if (ran.status == 0 && !v.right) {
    v.output += "  the check did not come to its end\n";
  } else if (ran.status != 0 && v.output.empty()) {
    v.output += "  it ended with status " + std::to_string(ran.status) + " and said nothing\n";
  }
  return v;
}

Verdict check(const Exercise& e, const std::vector<Exercise>& all, const std::string& seed, Progress progress,
              const fs::path& root) {
  const Lock lock(root);
  find_hole(e, root);
  const Verdict built = build_checks(e, open_files(all, root), progress, root);
  if (!built.built) return built;
  Verdict v = run_check(e, seed, root);
  v.build_seconds = built.build_seconds;
  return v;
}

std::string text_of(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 0.995 ? "%.2f" : "%.1f", seconds);
  return text;
}

void remember(const Exercise& e, const std::string& verdict) {
  write_file(kState / "verdict" / e.number, checksum_of(find_hole(e).body()) + " " + verdict + "\n");
}
std::string remembered(const Exercise& e) {
  const fs::path kept = kState / "verdict" / e.number;
  if (!fs::exists(kept)) return "";
  std::istringstream in(read_file(kept));
  std::string sum, verdict;
  in >> sum >> verdict;
  return sum == checksum_of(find_hole(e).body()) ? verdict : "";
}

}  // namespace course
