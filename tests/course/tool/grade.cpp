#include "grade.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>

#include "child.h"
#include "terminal.h"
#include "tree.h"
#include "verdict.h"

namespace course {

namespace {

/// The one preprocessor line that a loop may need: where `#pragma GCC unroll 8` stands at i, its end; 0 elsewhere.
size_t unrolls(const std::string& code, size_t i) {
  if (code.compare(i, 19, "#pragma GCC ivdep\n") == 0) return i + 17;
  for (const std::string start : {"#pragma GCC unroll ", "#pragma unroll "})
    if (code.compare(i, start.size(), start) == 0) {
      const size_t end = code.find_first_not_of("0123456789", i + start.size());
      return end == std::string::npos ? code.size() : code[end] == '\n' ? end : 0;
    }
  return 0;
}

}  // namespace

std::string trick_in(const std::string& body) {
  constexpr size_t kLong = 1 << 16;
  if (body.size() > kLong) return "a body of more than 64 KB";
  if (body.empty() || body.back() != '\n') return "its last line does not end";
  for (const char* mark : {"[exercise ", "<<<<<<< ", ">>>>>>> ", "/proc"})
    if (body.find(mark) != std::string::npos) return std::string("a body may not hold `") + mark + "`";
  // The compiler joins lines before it looks for comments.
  for (size_t i = body.find('\\'); i != std::string::npos; i = body.find('\\', i + 1)) {
    const size_t next = body.find_first_not_of(" \t\r\f\v", i + 1);
    if (next == std::string::npos || body[next] == '\n') return "a line may not be continued with a backslash";
  }
  // What is left when comments, and what is quoted, are blanked; a body that ends inside of either would go on behind
  // its hole.
  const auto in_word = [](char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  std::string code;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i], next = i + 1 < body.size() ? body[i + 1] : '\0';
    if (c == '/' && next == '/') {
      i = std::min(body.find('\n', i), body.size()) - 1;
    } else if (c == '/' && next == '*') {
      const size_t end = body.find("*/", i + 2);
      if (end == std::string::npos) return "a comment is never closed";
      i = end + 1, code += ' ';
    } else if (c == '"' || c == '\'') {
      size_t word = code.size();
      while (word > 0 && (in_word(code[word - 1]) || code[word - 1] == '\'')) --word;
      const std::string prefix = code.substr(word);
      if (c == '\'' && !prefix.empty() && isdigit(static_cast<unsigned char>(prefix[0]))) {  // 1'000
        code += c;
        continue;
      }
      if (prefix.ends_with('R')) return "a raw string is more than any of these needs";
      size_t end = i + 1;
      while (end < body.size() && body[end] != c && body[end] != '\n') end += body[end] == '\\' ? 2 : 1;
      if (end >= body.size() || body[end] != c) return "a quote is never closed";
      i = end, code += "0";
    } else {
      code += c;
    }
  }
  std::string open;
  for (size_t i = 0; i < code.size(); ++i) {
    const char c = code[i], next = i + 1 < code.size() ? code[i + 1] : '\0';
    if (const size_t line = unrolls(code, i)) {
      i = line - 1;
      continue;
    }
    if (c == '#' || (c == '%' && next == ':') || (c == '?' && next == '?'))
      return "a body may hold no preprocessor line";
    if (c == '[' && next == '[' && code.compare(i, 14, "[[maybe_unused") != 0) return "no solution needs an attribute";
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      const char expected = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open.empty()) return "a body may not close what it has not opened: it would leave its function";
      if (open.back() != expected) return "its brackets do not match";
      open.pop_back();
    }
  }
  if (!open.empty()) return "it opens a bracket that it does not close";
  static const std::set<std::string> kForbidden = {
      "abort",    "argv",     "asm",    "at_quick_exit", "atexit",     "cerr",   "clog",      "course", "cout",
      "creat",    "environ",  "exit",   "extern",        "filesystem", "fork",   "fputc",     "fputs",  "freopen",
      "fstream",  "fwrite",   "getenv", "goto",          "ifstream",   "kill",   "longjmp",   "main",   "mmap",
      "mprotect", "ofstream", "openat", "ostream",       "pclose",     "perror", "popen",     "ptrace", "putc",
      "putchar",  "putenv",   "puts",   "quick_exit",    "setenv",     "setjmp", "sigaction", "stderr", "stdin",
      "stdout",   "syscall",  "system", "terminate",     "tmpfile",    "vfork"};
  // As names of variables these are as good as any.
  static const std::set<std::string> kNotCalled = {"chdir",   "chmod",    "exit",   "link",   "mkdir", "open",
                                                   "raise",   "read",     "remove", "rename", "rmdir", "signal",
                                                   "symlink", "truncate", "unlink", "write"};
  static const std::set<std::string> kOfCompiler = {
      "__shared__",     "__syncthreads",    "__syncwarp",         "__shfl_sync", "__shfl_xor_sync",
      "__shfl_up_sync", "__shfl_down_sync", "__builtin_prefetch", "__restrict",  "__int128"};
  std::string word;
  for (size_t i = 0; i <= code.size(); ++i) {
    const char c = i < code.size() ? code[i] : ' ';
    if (in_word(c)) {
      word += c;
      continue;
    }
    const size_t after = code.find_first_not_of(" \t\n", i);
    const bool called = after != std::string::npos && code[after] == '(';
    if (word.find("__") != std::string::npos && !kOfCompiler.contains(word))
      return "names with two underscores belong to the compiler: " + word;
    const bool family = word.starts_with("pthread_") || word.starts_with("exec") || word.starts_with("dl") ||
                        word.starts_with("set_terminate") || word.ends_with("printf") || word.ends_with("stream") ||
                        word.find("fopen") != std::string::npos || word.find("fdopen") != std::string::npos;
    const bool exits = word == "_exit" || word == "_Exit";
    const size_t before = code.find_last_not_of(" \t\n", i - word.size() - 1);
    const bool taken = i > word.size() && before != std::string::npos && code[before] == ':';
    if (kForbidden.contains(word) || exits || ((called || taken) && (family || kNotCalled.contains(word))))
      return "no solution needs `" + word + "`";
    word.clear();
  }
  return "";
}

namespace {

constexpr const char* kHandout = "notes/exercises/handout";  // the numbers of the open exercises of a handout

/// The bodies in a folder of changed files (also without their folders), or in what `make grade` wrote.
Bodies read_submission(const std::vector<const Exercise*>& which, const fs::path& from) {
  constexpr uintmax_t kLargest = 4 << 20;
  Bodies result;
  if (!fs::is_directory(from) && !fs::is_regular_file(from)) throw Error("there is no file or folder " + from.string());
  fs::path file = from;
  if (fs::is_directory(from)) file = from / "submission.json";
  if (fs::is_regular_file(file)) {
    if (fs::file_size(file) > kLargest) throw Error(file.string() + " is too large");
    nlohmann::json json = nlohmann::json::parse(read_file(file), nullptr, false);
    if (json.is_discarded() || !json.is_object() || !json["bodies"].is_object())
      throw Error(file.string() + " is not what `make grade` wrote");
    for (const auto& [number, body] : json["bodies"].items())
      if (body.is_string()) result[number.size() == 1 ? "0" + number : number] = body;
    return result;
  }
  std::map<std::string, std::vector<fs::path>> by_name;
  for (const auto& entry : fs::recursive_directory_iterator(from, fs::directory_options::skip_permission_denied))
    if (entry.is_regular_file() && !entry.is_symlink())
      by_name[entry.path().filename().string()].push_back(entry.path());
  for (const Exercise* e : which) {
    // With its folders, or those below one more; else the only one of that name. Links were left out.
    const std::vector<fs::path>& others = by_name[fs::path(e->file).filename().string()];
    std::vector<fs::path> places;
    for (const fs::path& other : others)
      if (("/" + other.lexically_relative(from).string()).ends_with("/" + e->file)) places.push_back(other);
    if (places.empty()) places = others;
    if (places.size() > 1)
      std::cout << "  " << e->number << ": " << e->file << " is there " << places.size() << " times\n";
    if (places.size() != 1 || fs::file_size(places[0]) > kLargest) continue;
    const fs::path& place = places[0];
    try {
      result[e->number] = find_hole_in(read_file(place), *e).body();
    } catch (const Error& error) { std::cout << "  " << e->number << ": " << error.what() << "\n"; }
  }
  return result;
}

}  // namespace

std::vector<Graded> grade_bodies(const std::vector<Exercise>& all, const std::vector<const Exercise*>& which,
                                 const Bodies& bodies, const std::vector<std::string>& seeds, const fs::path& tree,
                                 Progress progress) {
  std::map<std::string, std::string> before;
  for (const Exercise& e : all) before[e.number] = find_hole(e, tree).body();
  const auto needed = [&](const Exercise& e, auto&& self) -> std::set<std::string> {
    std::set<std::string> result(e.needs.begin(), e.needs.end());
    for (const Exercise& other : all)
      if (std::ranges::count(e.needs, other.number)) result.merge(self(other, self));
    return result;
  };
  // What is shipped may take its time; one body may not, nor all memory.
  constexpr Limits kOfCompiler{60, size_t(4) << 30};
  std::set<std::string> configurations;
  for (const Exercise* e : which)
    if (configurations.insert(e->config).second) build_checks(*e, open_files(all, tree), progress, tree);
  std::vector<Graded> result;
  for (const Exercise* e : which) {
    Graded graded{e, false, "", 0};
    std::vector<const Exercise*> filled;
    const auto take = [&](const Exercise& from) {
      const auto body = bodies.find(from.number);
      if (body == bodies.end()) throw Error(from.number + " is not in the submission");
      if (checksum_of(body->second) == checksum_of(from.stub)) throw Error(from.number + " is not written yet");
      if (const std::string trick = trick_in(body->second); !trick.empty())
        throw Error(from.number + " is refused: " + trick);
      put_body(from, body->second, tree), filled.push_back(&from);
    };
    try {
      copy_tree(all, tree);  // what a body may have written into it is undone
      take(*e);
      // What it builds on is the student's as well, where the tree has no solution of it.
      const std::set<std::string> numbers = needed(*e, needed);
      for (const Exercise& other : all)
        if (numbers.contains(other.number) && state_of(other, tree) == State::Open) take(other);
      const Lock lock(tree);
      const Verdict built = build_checks(*e, open_files(all, tree), progress, tree, kOfCompiler);
      graded.seconds = built.build_seconds;
      if (!built.built) throw Error(e->number + " does not compile:\n" + built.output);
      graded.right = true;
      for (const std::string& seed : seeds) {
        const Verdict v = run_check(*e, seed, tree);
        graded.seconds += v.check_seconds;
        if (v.right) continue;
        graded.right = false;
        graded.output = v.output + "  again with the same numbers: make check " + e->option() + " SEED=" + seed + "\n";
        break;
      }
    } catch (const Error& error) { graded.output = std::string("  ") + error.what() + "\n"; }
    for (const Exercise* f : filled) put_body(*f, before[f->number], tree);
    if (progress == Progress::Shown)
      std::cout << "  " << (graded.right ? green("✓") : red("✗")) << " " << padded(e->title(), 24)
                << (graded.right ? e->points : 0) << " of " << e->points << "\n"
                << graded.output << std::flush;
    result.push_back(graded);
  }
  return result;
}

std::string results_json(const std::vector<Graded>& graded) {
  nlohmann::json json;
  json["tests"] = nlohmann::json::array();
  double seconds = 0;
  for (const Graded& g : graded) {
    seconds += g.seconds;
    json["tests"].push_back({{"number", g.exercise->number},
                             {"name", g.exercise->name},
                             {"score", g.right ? g.exercise->points : 0},
                             {"max_score", g.exercise->points},
                             {"status", g.right ? "passed" : "failed"},
                             {"output", g.output},
                             {"visibility", "visible"}});
  }
  json["execution_time"] = seconds;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

static int grade_submission(const std::vector<Exercise>& all, const GradeOptions& options) {
  const bool here = options.from.empty();
  std::vector<const Exercise*> which =
      chosen(all, !options.numbers.empty() || !fs::exists(kHandout) ? options.numbers : read_file(kHandout));
  if (here && options.numbers.empty())
    std::erase_if(which, [](const Exercise* e) { return state_here(*e) == State::Shipped; });
  if (which.empty()) throw Error("nothing here is yours yet; `make course` says what comes first");
  Bodies bodies;
  if (here)
    for (const Exercise& e : all) bodies[e.number] = state_here(e) == State::Shipped ? e.stub : find_hole(e).body();
  else bodies = read_submission(which, options.from);

  std::vector<std::string> seeds = {options.seed};
  if (options.seed.empty()) {
    std::random_device device;
    seeds = {std::to_string(device() % 100000), std::to_string(device() % 100000), std::to_string(device() % 100000)};
  }
  std::cout << "  " << which.size() << (which.size() == 1 ? " exercise" : " exercises, each alone")
            << " in a copy of the tree; seeds";
  for (const std::string& seed : seeds) std::cout << " " << seed;
  std::cout << "\n" << std::flush;
  const fs::path tree = kState / "grading";
  copy_tree(all, tree);
  const std::vector<Graded> graded = grade_bodies(all, which, bodies, seeds, tree);
  int score = 0, most = 0;
  for (const Graded& g : graded) score += g.right ? g.exercise->points : 0, most += g.exercise->points;
  std::cout << "  " << score << " of " << most << " points\n";
  if (!options.json.empty()) write_file(options.json, results_json(graded));
  if (here) {
    nlohmann::json submission;
    for (const Exercise* e : which) submission["bodies"][e->number] = bodies[e->number];
    const fs::path to = kState / "submission.json";
    write_file(to, submission.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    std::cout << "  to hand in: " << to.string() << "\n";
  }
  return score == most ? 0 : 1;
}

int grade(const std::vector<Exercise>& all, const GradeOptions& options) try {
  return grade_submission(all, options);
} catch (const Error& error) {  // a student sees no more of it than this file
  if (!options.json.empty())
    write_file(options.json, nlohmann::json{{"score", 0}, {"output", error.what()}}.dump(2) + "\n");
  throw;
}

int handout(const std::vector<Exercise>& all, const std::string& numbers, const fs::path& to) {
  if (numbers.empty()) throw Error("which exercises? Say EX=1-12,15");
  if (to.empty()) throw Error("where to? Say OUT=folder");
  if (fs::exists(to) && !fs::is_empty(to)) throw Error(to.string() + " exists, and is not empty");
  const std::vector<const Exercise*> which = chosen(all, numbers);
  Bodies solutions;
  for (const Exercise& e : all) {
    const auto body = shipped_body(e);
    if (!body) throw Error("no solution of " + e.title() + " is here: a handout is made from the whole repository");
    solutions[e.number] = *body;
  }
  const std::vector<std::string> files = tracked_files();
  for (const std::string& file : files) copy_with_time(file, to / file);
  for (const Exercise& e : all) put_body(e, solutions[e.number], to);
  std::string listed;
  for (const Exercise* e : which) {
    listed += e->number + " ";
    put_body(*e, stub_body(*e, find_hole(*e, to)), to);
    // Its page without the wrong bodies, which are nearly right ones.
    std::istringstream in(read_file(e->page));
    std::string page, line;
    for (bool inside = false; std::getline(in, line);) {
      if (line == "```cpp wrong") inside = true;
      if (!inside && !line.starts_with("says:")) page += line + "\n";
      if (inside && line == "```") inside = false;
    }
    while (page.ends_with("\n\n")) page.pop_back();
    write_file(to / e->page, page);
  }
  write_file(to / kHandout, listed + "\n");
  // A note that shows an open body says instead whose it is.
  for (const std::string& file : files) {
    if (!file.ends_with(".md") || file.starts_with("notes/exercises/")) continue;
    std::istringstream in(read_file(to / file));
    std::string note, block, line;
    bool inside = false;
    while (std::getline(in, line)) {
      const bool fence = line.starts_with("```");
      if (!inside) {
        if (fence) inside = true, block = line + "\n";
        else note += line + "\n";
        continue;
      }
      block += line + "\n";
      if (!fence) continue;
      inside = false;
      for (const Exercise* e : which) {
        std::istringstream body(solutions[e->number]);
        for (std::string l; std::getline(body, l);) {
          l.erase(0, l.find_first_not_of(' ') == std::string::npos ? l.size() : l.find_first_not_of(' '));
          if (l.size() >= 25 && block.find(l) != std::string::npos) block = "(Here is exercise " + e->number + ".)\n";
        }
      }
      note += block;
    }
    if (note != read_file(to / file)) write_file(to / file, note);
  }
  int found = 0;
  for (const Exercise* e : which)
    for (const std::string& leak : leaks(*e, solutions[e->number], to, files))
      std::cout << "  " << e->number << " also stands in " << leak << "\n", ++found;
  std::cout << "  " << to.string() << ": " << files.size() << " files; open are " << listed << "\n";
  if (found)
    throw Error(
        "lines of the solutions stand elsewhere in the tree, too: name the files in the page's `known:`, or open those "
        "as well");
  return 0;
}

int gradescope(const std::vector<Exercise>& all, const std::string& numbers, const fs::path& to) {
  if (to.empty()) throw Error("where to? Say OUT=course.zip");
  const fs::path folder = kState / "gradescope";
  fs::remove_all(folder);
  if (const int status = handout(all, numbers, folder / "teeny")) return status;
  const char* setup = R"(#!/bin/bash
# Runs once, when the image is made: then every object is built, and a submission compiles one file for each exercise.
set -e
apt-get update && apt-get install -y make g++
cd /autograder/source/teeny
make deps
make ARCH=x86-64-v3 build/cpu-x86-64-v3/course build/cpu-x86-64-v3/course-headers build/course/tool
)";
  const char* run_autograder = R"(#!/bin/bash
mkdir -p /autograder/results
cd /autograder/source/teeny
make grade FROM=/autograder/submission JSON=/autograder/results/results.json ARCH=x86-64-v3 || true
[ -s /autograder/results/results.json ] || echo '{"score": 0, "output": "the autograder did not come to its end"}' > /autograder/results/results.json
)";
  for (const auto& [name, text] : {std::pair("setup.sh", setup), std::pair("run_autograder", run_autograder)}) {
    write_file(folder / name, text);
    fs::permissions(folder / name, fs::perms(0755));
  }
  // git knows how to write a zip.
  const auto git = [&](const std::string& arguments) {
    const Outcome made = run({"sh", "-c", "cd '" + folder.string() + "' && git " + arguments});
    if (made.status != 0) throw Error("git " + arguments + ": " + made.output);
    return made.output.substr(0, made.output.find('\n'));
  };
  git("init -q");
  git("add -A -f .");
  const std::string tree = git("write-tree");
  git("archive --format=zip -o archive.zip " + tree);
  write_file(to, read_file(folder / "archive.zip"));
  fs::remove_all(folder);
  std::cout
      << "  " << to.string()
      << ": upload it as the autograder; students hand in build/course/submission.json, or the files they changed\n";
  return 0;
}

}  // namespace course
