#include "prove.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "child.h"
#include "grade.h"
#include "terminal.h"
#include "tree.h"
#include "verdict.h"

namespace course {
namespace {

using Exercises = std::vector<Exercise>;
using Chosen = std::vector<const Exercise*>;

struct Table {
  std::ostringstream out;
  int wrong = 0;
  template <class... Parts>
  void bad(const Exercise& e, const Parts&... parts) {
    out << "  " << red("✗ ") << e.title() << ": ";
    (out << ... << parts) << "\n";
    ++wrong;
  }
};

constexpr double kVerdict = 5, kCheck = 0.25;  // seconds of processor time

// ---- Workers: each has a copy of the tree, and takes every n-th exercise --------------------------------------------

constexpr int kWorkers = 2;

/// Runs `work` on each exercise, and prints what it said in the order of the list. Returns how much was wrong.
int in_copies(const Exercises& all, const Chosen& which,
              const std::function<void(const Exercise&, const fs::path&, Table&)>& work) {
  std::vector<fs::path> trees;
  for (int w = 0; w < kWorkers; ++w)
    trees.push_back(kState / ("proof-" + std::to_string(w))), copy_tree(all, trees.back());
  const auto said = [](const Exercise& e) { return kState / "proof" / (e.number + ".txt"); };
  fs::remove_all(kState / "proof"), fs::create_directories(kState / "proof");
  std::cout << std::flush;
  std::vector<pid_t> workers;
  for (int w = 0; w < kWorkers; ++w) {
    const pid_t worker = fork();
    if (worker < 0) throw Error("no process for a proof");
    if (worker > 0) {
      workers.push_back(worker);
      continue;
    }
    int status = 0;
    try {
      std::map<std::string, std::string> before;
      for (const Exercise& e : all) before[e.file] = read_file(trees[size_t(w)] / e.file);
      for (size_t i = size_t(w); i < which.size(); i += kWorkers) {
        Table table;
        try {
          work(*which[i], trees[size_t(w)], table);
        } catch (const Error& error) { table.bad(*which[i], error.what()); }
        for (const auto& [file, text] : before)
          if (read_file(trees[size_t(w)] / file) != text) {
            table.bad(*which[i], file, " is not what it was before");
            write_file(trees[size_t(w)] / file, text);
          }
        write_file(said(*which[i]), std::to_string(table.wrong) + "\n" + table.out.str());
      }
    } catch (const Interrupted& interrupted) {
      status = 128 + interrupted.signal;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "course: %s\n", error.what());
      status = 2;
    }
    std::_Exit(status);
  }
  int wrong = 0;
  size_t shown = 0;
  const auto show = [&](bool all_done) {
    for (; shown < which.size() && (all_done || fs::exists(said(*which[shown]))); ++shown) {
      if (!fs::exists(said(*which[shown]))) {
        std::cout << "  " << which[shown]->title() << ": its worker ended before it was done\n", ++wrong;
        continue;
      }
      const std::string text = read_file(said(*which[shown]));
      const size_t line = text.find('\n');
      wrong += std::stoi(text.substr(0, line));
      std::cout << text.substr(line + 1) << std::flush;
    }
  };
  for (pid_t worker : workers) {
    int status = 0;
    while (waitpid(worker, &status, WNOHANG) != worker) {
      for (pid_t w : workers) try {
          throw_if_interrupted();
        } catch (const Interrupted& interrupted) {
          kill(w, interrupted.signal);
          throw;
        }
      show(false);
      usleep(100000);
    }
  }
  show(true);
  return wrong;
}

void put_stub(const Exercise& e, const fs::path& tree) { put_body(e, stub_body(e, find_hole(e, tree)), tree); }

/// The files of all exercises of a configuration: then a hole that is closed is compiled no other way than one that is
/// open.
std::string all_files(const Exercises& all) {
  std::set<std::string> files;
  for (const Exercise& e : all)
    if (e.file.ends_with(".cpp") || e.file.ends_with(".cu")) files.insert(e.file);
  std::string result;
  for (const std::string& file : files) result += (result.empty() ? "" : " ") + file;
  return result;
}

/// A hole in a program of one's own: only its check includes it.
bool is_header(const Exercise& e) { return !e.file.ends_with(".cpp") && !e.file.ends_with(".cu"); }

std::string first_line(const std::string& text) {
  std::istringstream in(text);
  std::string line;
  std::getline(in, line);
  return line.size() > 2 && line.starts_with("  ") ? line.substr(2) : line;
}

// ---- The proofs -----------------------------------------------------------------------------------------------------

int markers(const Exercises& all, const Chosen& which) {
  Table table;
  std::set<std::string> numbers, chapters;
  for (const Exercise& e : all) numbers.insert(e.number), chapters.insert(e.chapter);
  for (const Exercise* e : which) {
    try {
      const std::string now = checksum_of(find_hole(*e).body());
      if (now != e->checksum)
        table.bad(
            *e, "the body in ", e->file,
            " is not the one that its page was written for; read the page again, and if it still fits write `body: ",
            now, "`");
    } catch (const Error& error) { table.bad(*e, error.what()); }
    if (e->hints.size() < 2 || e->hints.size() > 4) table.bad(*e, "2 to 4 hints, not ", e->hints.size());
    if (e->hints.empty() || e->hints[0].find('?') == std::string::npos)
      table.bad(*e, "the first hint must be a question");
    if (e->wrong.size() < 2) table.bad(*e, "at least two wrong bodies, not ", e->wrong.size());
    for (const WrongBody& w : e->wrong)
      if (w.says.empty()) table.bad(*e, "a wrong body without `says:`");
    if (e->text.empty()) table.bad(*e, "its page does not say what to write");
    const auto is_its_page = [&](const fs::path& page) { return page.filename().string().starts_with(e->chapter + "-"); };
    if (e->chapter.size() != 2 || std::ranges::none_of(fs::directory_iterator("notes"), is_its_page))
      table.bad(*e, "its chapter has no page");
    for (const std::string& n : e->needs)
      if (!numbers.contains(n)) table.bad(*e, "needs ", n, ", which is none");
    const fs::path check =
        fs::path("tests/course") / (e->config == "cuda" ? "cuda" : "") / (e->page.stem().string() + ".cpp");
    if (!fs::exists(check)) table.bad(*e, "no check ", check.string());
  }
  // And each hole has a page.
  for (const std::string& file : tracked_files()) {
    if (!file.starts_with("teeny/") && !file.starts_with("tinyops/") && !file.starts_with("tests/course/")) continue;
    if (file.starts_with("tests/course/tool/")) continue;
    std::istringstream in(read_file(file));
    int line_number = 0;
    for (std::string line; std::getline(in, line);) {
      ++line_number;
      const size_t at = line.find("// [exercise ");
      if (at == std::string::npos || line.find_first_not_of(' ') != at) continue;
      const std::string number = line.substr(at + 13);
      const auto owner = std::ranges::find(all, number, &Exercise::number);
      if (owner == all.end() || owner->file != file) {
        table.out << "  " << red("✗ ") << file << ":" << line_number << ": no page has this hole " << number << "\n",
            ++table.wrong;
      }
    }
  }
  std::cout << table.out.str();
  if (which.size() == all.size()) {
    int missing = 0;
    for (int c = 0; c <= 18; ++c) {
      const std::string chapter = (c < 10 ? "0" : "") + std::to_string(c);
      if (!chapters.contains(chapter))
        std::cout << "  " << red("✗ ") << "no exercise in chapter " << chapter << "\n", ++missing;
    }
    if (all.size() < 32) std::cout << "  " << red("✗ ") << all.size() << " exercises; there must be 32\n", ++missing;
    return table.wrong + missing;
  }
  return table.wrong;
}

/// One hole open: a line of the matrix. Then its wrong bodies.
void open_one(const Exercises& all, const Exercise& e, const fs::path& tree, bool matrix, size_t wrong_bodies,
              Table& table) {
  const std::string shipped = find_hole(e, tree).body(), open = all_files(all);
  const struct Restore {  // also when a proof ends early
    const Exercise& e;
    const std::string& body;
    const fs::path& tree;
    ~Restore() { put_body(e, body, tree); }
  } restore{e, shipped, tree};
  std::string row;
  if (matrix) {
    put_stub(e, tree);
    const Verdict built = build_checks(e, open, Progress::Silent, tree);
    if (!built.built) return table.bad(e, "its stub does not compile:\n", built.output);
    for (const Exercise& other : all) {
      const bool own = other.number == e.number, declared = std::ranges::count(other.needs, e.number) > 0;
      if (other.config != e.config || (is_header(e) && !own && !declared)) {
        row += other.number == e.number ? "o" : " ";
        if (!own) continue;
      }
      const Verdict v = run_check(other, "1", tree);
      row += v.right ? "." : own ? "o" : declared ? "d" : "X";
      if (own && v.right) table.bad(e, "its stub passes");
      else if (own && first_line(v.output).empty()) table.bad(e, "its stub fails without a word");
      else if (own) table.out << "  " << e.title() << ", open: " << dim(first_line(v.output)) << "\n";
      else if (declared && v.right)
        table.bad(e, other.number, " says that it needs ", e.number, ", and passes without");
      else if (!declared && !v.right)
        table.bad(e, "with it open, ", other.number,
                  " fails as well, and does not say that it needs it: ", first_line(v.output));
    }
    table.out << "  " << e.number << " " << row << "\n";
  }
  for (size_t i = 0; i < std::min(wrong_bodies, e.wrong.size()); ++i) {
    const WrongBody& wrong = e.wrong[i];
    put_body(e, indented(wrong.body, find_hole(e, tree).indent), tree);
    const Verdict built = build_checks(e, open, Progress::Silent, tree);
    const std::string name = "wrong body " + std::to_string(i + 1);
    if (!built.built) {
      table.bad(e, name, " does not compile:\n", built.output);
      continue;
    }
    const Verdict v = run_check(e, "1", tree);
    if (v.right) table.bad(e, name, " passes");
    else if (v.output.find(wrong.says) == std::string::npos)
      table.bad(e, name, " does not say `", wrong.says, "` but:\n", v.output);
    else table.out << "  " << e.title() << ", " << name << ": " << dim(wrong.says) << "\n";
  }
}

int chain(const Exercises& all, const Chosen& which) {
  const fs::path tree = kState / "proof-0";
  copy_tree(all, tree);
  Table table;
  const std::string open = all_files(all);
  std::map<std::string, std::string> shipped, before;
  Chosen order, left;  // as in the list, but each after those it needs
  for (const Exercise* e : which)
    if (e->config == "cpu") left.push_back(e);
  while (!left.empty()) {
    const auto waits_for = [&](const Exercise* e) {
      return std::ranges::any_of(left, [&](const Exercise* o) { return std::ranges::count(e->needs, o->number) > 0; });
    };
    const auto next = std::ranges::find_if_not(left, waits_for);
    if (next == left.end()) throw Error(left[0]->title() + " needs itself, by way of others");
    order.push_back(*next), left.erase(next);
  }
  for (const Exercise* e : order)
    before[e->file] = read_file(tree / e->file), shipped[e->number] = find_hole(*e, tree).body();
  for (const Exercise* e : order) put_stub(*e, tree);
  for (size_t k = 0; k < order.size(); ++k) {
    const Exercise& e = *order[k];
    put_body(e, shipped[e.number], tree);
    const Verdict built = build_checks(e, open, Progress::Silent, tree);
    if (!built.built) {
      table.bad(e, "with the later ones open, it does not compile:\n", built.output);
      break;
    }
    // What has passed still does; all of them are asked at every eighth, and at the end.
    for (size_t i = k % 8 == 7 || k + 1 == order.size() ? 0 : k; i <= k; ++i)
      if (const Verdict v = run_check(*order[i], "1", tree); !v.right)
        table.bad(e, "filled, with all later ones open, and ", order[i]->number, " fails: ", v.output);
    if (table.wrong) break;
  }
  for (const auto& [file, text] : before)
    if (read_file(tree / file) != text) {
      if (!table.wrong)
        table.out << "  " << red("✗ ") << file << ": open and filled again it is not the file that was shipped\n",
            ++table.wrong;
      write_file(tree / file, text);
    }
  std::cout << table.out.str() << "  " << order.size() << " filled in order\n";
  return table.wrong;
}

int leaking(const Exercises& all, const Chosen& which) {
  int wrong = 0;
  const std::vector<std::string> files = tracked_files();
  std::string numbers;
  for (const Exercise* e : which) numbers += e->number + " ";
  const fs::path to = kState / "proof-handout";
  fs::remove_all(to);
  try {
    handout(all, numbers, to);
    if (!fs::exists(to / "Makefile") || fs::exists(to / ".git"))
      std::cout << "  a handout without a Makefile, or with a history\n", ++wrong;
  } catch (const Error& error) { std::cout << "  " << red("✗ ") << error.what() << "\n", ++wrong; }
  fs::remove_all(to);
  return wrong;
}

/// The bodies of cheats, and what must be said of them. None may reach the compiler.
const std::vector<std::pair<const char*, const char*>> kCheats = {
    {"std::exit(0);\n", "no solution needs `exit`"},
    {"return {}; } static int extra() { return 1;\n", "it would leave its function"},
    {"#include <cstdlib>\n", "preprocessor"},
    {"puts(\"ok\");\n", "no solution needs `puts`"},
    {"auto s = R\"(\n", "raw string"},
    {"/* and all that follows\n", "never closed"},
    {"__builtin_trap();\n", "two underscores"},
    {"asm(\"ret\");\n", "no solution needs `asm`"},
    {"goto out;\n", "no solution needs `goto`"},
    {"course::random();\n", "no solution needs `course`"},
    {"int x = 1; \\\n", "backslash"},
    {"%:include <cstdlib>\n", "preprocessor"},
    {"// \\ \n/*\nint x;\n// */\n", "backslash"},
    {"std::_Ex\\ \nit(0);\n", "backslash"},
    {"wchar_t a = L'\"', b = L'\"'; std::exit(0);\n", "no solution needs `exit`"},
    {"auto f = ::fopen64(\"x\", \"r\");\n", "no solution needs `fopen64`"},
    {"std::fprintf(stdout, \"ok\");\n", "no solution needs"},
    {"pthread_exit(nullptr);\n", "no solution needs `pthread_exit`"},
    {"[[gnu::weakref(\"_exit\")]] static void leave(int);\n", "attribute"},
    {"std::remove(\"LICENSE\");\n", "no solution needs `remove`"},
    {"const char* f = \"/proc/self/cmdline\";\n", "/proc"},
    {"int x;\n// [exercise 05\n", "[exercise"},
    {"int x;\n<<<<<<< HEAD\n", "<<<<<<<"},
    {"int x;", "does not end"}};

int grading(const Exercises& all, const Chosen& which) {
  int wrong = 0;
  const auto must = [&](bool holds, const std::string& what) {
    if (!holds) std::cout << "  " << red("✗ ") << what << "\n", ++wrong;
  };
  const fs::path tree = kState / "grading";
  copy_tree(all, tree);
  Bodies right, stubs;
  for (const Exercise& e : all) right[e.number] = *shipped_body(e), stubs[e.number] = indented(e.stub, "  ");
  for (const Exercise* e : which)
    must(trick_in(right[e->number]).empty(), e->title() + " is refused: " + trick_in(right[e->number]));
  const std::vector<std::string> seeds = {"11", "12", "13"};
  const std::vector<Graded> full = grade_bodies(all, which, right, seeds, tree, Progress::Silent);
  for (const Graded& g : full) must(g.right, g.exercise->title() + ": the shipped body does not score: " + g.output);
  for (const Graded& g : grade_bodies(all, which, stubs, seeds, tree, Progress::Silent))
    must(!g.right, g.exercise->title() + ": its stub scores");
  for (const auto& [body, says] : kCheats) {
    Bodies cheat = right;
    cheat[which[0]->number] = body;
    const std::vector<Graded> graded = grade_bodies(all, {which[0]}, cheat, seeds, tree, Progress::Silent);
    must(!graded[0].right && graded[0].output.find(says) != std::string::npos,
         std::string("a cheat is not told `") + says + "`: " + graded[0].output);
  }
  std::cout << "  " << full.size() << " right bodies, " << full.size() << " stubs, " << kCheats.size() << " cheats\n";
  // Gradescope reads this.
  const std::string json = results_json(full);
  for (const char* key : {"\"tests\"", "\"number\"", "\"name\"", "\"score\"", "\"max_score\"", "\"status\"",
                          "\"output\"", "\"visibility\"", "\"execution_time\""})
    must(json.find(key) != std::string::npos, std::string("results.json has no ") + key);
  return wrong;
}

}  // namespace

int prove(const Exercises& all, const std::string& only, const std::string& numbers) {
  const Chosen which = chosen(all, numbers);
  for (const Exercise& e : all)
    if (state_of(e) != State::Shipped && only != "markers")
      throw Error(e.title() + " is not as it was shipped: a proof needs the solutions (`make skip " + e.option() +
                  "`), and checksums that fit (`make prove ONLY=markers`)");
  std::set<std::string> names;
  std::string list = only.empty() ? "markers,matrix,wrong,chain,time,leaks,grading" : only;
  std::ranges::replace(list, ',', ' ');
  std::istringstream in(list);
  static const std::set<std::string> kKnown = {"markers", "matrix", "wrong", "first",
                                               "chain",   "time",   "leaks", "grading"};
  for (std::string name; in >> name;)
    if (kKnown.contains(name)) names.insert(name);
    else throw Error("ONLY=" + only + ": there is no proof `" + name + "`");

  int wrong = 0;
  const auto step = [&](const char* name, const std::function<int()>& proof) {
    std::cout << bold(name) << "\n" << std::flush;
    wrong += proof();
  };
  if (names.contains("markers")) step("markers", [&] { return markers(all, which); });
  if (names.contains("matrix") || names.contains("wrong") || names.contains("first"))
    step("one hole open, and wrong bodies", [&] {
      return in_copies(all, which, [&](const Exercise& e, const fs::path& tree, Table& table) {
        open_one(all, e, tree, names.contains("matrix"),
                 names.contains("wrong")   ? 99
                 : names.contains("first") ? 1
                                           : 0,
                 table);
      });
    });
  if (names.contains("chain")) step("all open, filled in order", [&] { return chain(all, which); });
  if (names.contains("time"))
    step("seconds of processor time from a save to the verdict", [&] {
      return in_copies(all, which, [&](const Exercise& e, const fs::path& tree, Table& table) {
        const std::string open = all_files(all);
        build_checks(e, open, Progress::Silent, tree);
        fs::last_write_time(tree / e.file, fs::file_time_type::clock::now());
        const Verdict built = build_checks(e, open, Progress::Silent, tree), v = run_check(e, "1", tree);
        table.out << "  " << padded(e.title(), 24) << text_of(built.build_seconds) << " + " << text_of(v.check_seconds)
                  << "\n";
        if (!v.right) table.bad(e, "the shipped body fails: ", v.output);
        if (built.build_seconds + v.check_seconds > kVerdict) table.bad(e, "more than ", kVerdict, " s");
        if (v.check_seconds > std::max(kCheck, e.seconds))
          table.bad(e, "its check takes more than ", std::max(kCheck, e.seconds), " s");
      });
    });
  if (names.contains("leaks")) step("leaks", [&] { return leaking(all, which); });
  if (names.contains("grading")) step("grading", [&] { return grading(all, which); });
  std::cout << (wrong ? red(std::to_string(wrong) + " wrong") : green("all hold")) << ": " << which.size()
            << " exercises\n";
  return wrong ? 1 : 0;
}

}  // namespace course
