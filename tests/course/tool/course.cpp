// The course: `make course` lists its exercises, `make start EX=3` opens one in the real source, `make check EX=3` says
// whether what you wrote is right, `make watch` says so whenever you save.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>

#include "child.h"
#include "grade.h"
#include "prove.h"
#include "terminal.h"
#include "verdict.h"

namespace course {
namespace {

using Exercises = std::vector<Exercise>;

const Exercise& find(const Exercises& all, const std::string& name) {
  if (name.empty()) throw Error("which exercise? Name it, as in EX=3; `make course` lists them");
  for (const Exercise& e : all)
    if (e.number == name || e.number == "0" + name || e.name == name) return e;
  throw Error("there is no exercise " + name + "; `make course` lists them");
}

std::string ex(const Exercise& e) { return e.option(); }
bool is_handout() { return fs::exists("notes/exercises/handout"); }

/// Done, as far as is known: the body is the student's, and was right. False of a hole that is damaged.
bool is_done(const Exercise& e) try {
  return state_here(e) == State::Yours && remembered(e) == "right";
} catch (const Error&) { return false; }
/// Whether nobody has begun it.
bool is_untouched(const Exercise& e) try { return state_here(e) == State::Shipped; } catch (const Error&) {
  return false;
}
bool is_damaged(const Exercise& e) try {
  find_hole(e);
  return false;
} catch (const Error&) { return true; }
std::string verb_for(const Exercise& e) { return is_untouched(e) ? "make start " : "make watch "; }

/// What comes next in the order of the list: first what is open, then what was never begun.
const Exercise* next_after(const Exercises& all, const Exercise* e) {
  const auto from = e ? size_t(e - all.data()) + 1 : 0;
  for (int untouched = 0; untouched < 2; ++untouched)
    for (size_t k = 0; k < all.size(); ++k) {
      const Exercise& candidate = all[(from + k) % all.size()];
      if (&candidate == e || is_done(candidate) || is_damaged(candidate)) continue;
      const bool shipped = is_untouched(candidate);
      if (shipped == bool(untouched) && !(shipped && remembered(candidate) == "skipped")) return &candidate;
    }
  return nullptr;
}

// ---- list -----------------------------------------------------------------------------------------------------------

/// The heading of a chapter's page, which begins `# 02 Views`.
std::string heading_of(const std::string& chapter) {
  for (const auto& page : fs::directory_iterator("notes"))
    if (page.path().filename().string().starts_with(chapter + "-")) {
      const std::string text = read_file(page.path());
      return text.substr(2, text.find('\n') - 2);
    }
  return chapter;
}

std::string sign_of(const Exercise& e) {
  const std::string verdict = remembered(e);
  switch (state_here(e)) {
    case State::Shipped: return verdict == "skipped" ? dim("-") : " ";
    case State::Open: return "○";
    case State::Yours: break;
  }
  return verdict == "right" ? green("✓") : verdict == "wrong" ? red("✗") : "…";
}

int list(const Exercises& all) {
  const int columns = std::min(width(), 100);
  int done = 0, points = 0, most = 0, minutes = 0, names = 0;
  for (const Exercise& e : all) names = std::max(names, course::columns(e.name));
  std::string chapter;
  std::cout << "\n  " << bold("teeny's course") << "\n\n"
            << filled(std::to_string(all.size()) +
                          " exercises cut from the real source. Open one, read its page and the file "
                          "around it, write what is missing, and see a check go green.",
                      columns, "  ");
  for (const Exercise& e : all) {
    if (e.chapter != chapter) std::cout << "\n  " << dim(heading_of(e.chapter)) << "\n";
    chapter = e.chapter;
    std::string sign;
    try {
      sign = sign_of(e);
      done += is_done(e), points += is_done(e) ? e.points : 0;
      minutes += is_done(e) ? 0 : e.minutes;
    } catch (const Error&) { sign = red("!"); }
    most += e.points;
    std::string after;
    for (const std::string& n : e.needs) after += (after.empty() ? "  after " : " ") + n;
    const int room = columns - 19 - names;
    if (room - int(after.size()) < 12) after.clear();
    std::cout << "  " << sign << " " << e.number << "  " << padded(e.name, names + 2)
              << padded(std::to_string(e.minutes), 3) << " min  " << shortened(e.file, room - int(after.size()))
              << dim(after) << "\n";
  }
  constexpr int kBar = 30;
  const int bar = all.empty() ? 0 : kBar * done / int(all.size());
  std::cout << "\n  " << green(std::string(size_t(bar), '#')) << std::string(size_t(kBar - bar), '.') << "  " << done
            << " of " << all.size() << " done, " << points << " of " << most << " points\n  about "
            << (minutes + 30) / 60 << " hours are left\n\n"
            << filled(
                   "✓ yours and right, ✗ not right yet, … not checked yet, ○ open, - skipped, ! damaged (make check "
                   "says where)",
                   columns, "  ")
            << "\n";
  if (const Exercise* e = next_after(all, nullptr)) {
    const bool begun = !is_untouched(*e);
    std::cout << "  " << (done == 0 && !begun ? "First: " : "Next: ")
              << bold(begun ? "make watch " + ex(*e) : "make start " + ex(*e)) << "   " << e->title() << ", about "
              << e->minutes << " minutes\n";
    if (!fs::exists(program_of(*e)))
      std::cout << filled(
          "The first check builds the library, once, in 2 to 4 minutes; each later one takes about 2 seconds.", columns,
          "  ");
    std::cout << filled("Then: make check, watch, hint, skip, solve (each with " + ex(*e) + "), make grade", columns,
                        "  ")
              << "\n";
  }
  return 0;
}

// ---- start, hint, skip, solve ---------------------------------------------------------------------------------------

/// What the page says, and what comes first.
std::string task(const Exercises& all, const Exercise& e) {
  const int columns = std::min(width(), 100);
  std::string result = filled(e.text, columns, "  ");
  for (const std::string& n : e.needs)
    if (const Exercise& needed = find(all, n); state_of(needed) == State::Open)
      result += "\n" + filled("It builds on " + needed.title() + ", which is open: do that one first, or make skip " +
                                  ex(needed) + ".",
                              columns, "  ");
  return result;
}

/// Puts the stub into the hole.
void open_hole(const Exercise& e) {
  const Lock lock;
  const Hole hole = find_hole(e);
  if (state_of(e) == State::Shipped) keep_shipped_body(e, hole.body());
  put_body(e, stub_body(e, hole));
  note_started(e, true);
}

/// A body of the student's is kept aside before another takes its place; says where.
void keep_aside(const Exercise& e) {
  if (state_here(e) != State::Yours) return;
  std::cout << filled("What you wrote is kept in " + put_away(e, find_hole(e).body()).string() +
                          "; copy it back between the two marked lines if you want it again.",
                      std::min(width(), 100), "  ");
}

int start(const Exercises& all, const Exercise& e, bool again) {
  const State state = state_here(e);
  if (state == State::Yours && !again)
    throw Error("exercise " + e.number + " holds a body of yours, and keeps it. `make start " + ex(e) +
                " AGAIN=1` puts it away and begins anew");
  keep_aside(e);
  open_hole(e);
  std::cout << "\n  " << bold(e.title()) << "   " << e.file << ":" << find_hole(e).line
            << (state == State::Open ? "   is open" : "   is yours now") << "\n\n"
            << task(all, e) << "\n  Next: " << bold("make watch " + ex(e)) << ", and save; or make check " << ex(e)
            << "\n"
            << filled("make hint " + ex(e) + " asks you a question first; all of it stands in " + e.page.string() + ".",
                      std::min(width(), 100), "  ")
            << "\n";
  return 0;
}

int hint(const Exercise& e) {
  const fs::path kept = kState / "hints" / e.number;
  const size_t shown = fs::exists(kept) ? size_t(std::atoi(read_file(kept).c_str())) : 0;
  const size_t now = std::min(shown + 1, e.hints.size());
  const int line = find_hole(e).line;
  std::cout << "\n  " << bold(e.title()) << "   " << e.file << ":" << line << "\n";
  for (size_t i = 0; i < now; ++i)
    std::cout << "\n  hint " << i + 1 << " of " << e.hints.size() << "\n"
              << filled(e.hints[i], std::min(width(), 100), "    ");
  if (shown >= e.hints.size())
    std::cout << "\n  There is no other hint. `make solve " << ex(e) << "` prints the solution.\n";
  std::cout << "\n";
  write_file(kept, std::to_string(now) + "\n");
  return 0;
}

std::string solution(const Exercise& e) {
  if (const auto body = shipped_body(e)) return *body;
  throw Error(is_handout() ? "this is a handout: it has no solution of " + e.number
                           : "no solution of " + e.number + " is here, neither kept by `start` nor in git");
}

int skip(const Exercise& e) {
  const Lock lock;
  const std::string body = solution(e);
  keep_aside(e);
  put_body(e, body);
  note_started(e, false);
  remember(e, "skipped");
  std::cout << "  " << e.title() << " is as it was shipped; `make start " << ex(e) << "` opens it again\n";
  return 0;
}

int solve(const Exercise& e) {
  const std::string body = solution(e);
  const int line = find_hole(e).line;
  std::cout << "\n  " << bold(e.title()) << "   " << e.file << ":" << line << "\n\n" << body << "\n";
  return 0;
}

// ---- check, watch ---------------------------------------------------------------------------------------------------

void refuse_open_needs(const Exercises& all, const Exercise& e) {
  for (const std::string& n : e.needs)
    if (const Exercise& needed = find(all, n); state_of(needed) == State::Open)
      throw Error(e.number + " builds on " + needed.title() + ", which is open: do it first, or `make skip " +
                  ex(needed) + "`");
}

/// Which exercise's file the compiler complains of: another one's may stand in the way.
void say_whose_error(const Exercises& all, const Exercise& e, const std::string& output) {
  if (output.find(e.file + ":") != std::string::npos) return;
  for (const Exercise& other : all)
    if (other.file != e.file && output.find(other.file + ":") != std::string::npos && state_of(other) != State::Shipped)
      std::cout << "  This is exercise " << other.title() << ", which does not compile: mend it first, or `make skip "
                << ex(other) << "`.\n";
}

Verdict judge(const Exercises& all, const Exercise& e, const std::string& seed) {
  refuse_open_needs(all, e);
  const Verdict v = check(e, all, seed, Progress::Shown);
  const State state = state_here(e);
  if (!v.built) std::cout << "  it does not compile yet:\n" << v.output, say_whose_error(all, e, v.output);
  else std::cout << folded(v.output, width());
  if (v.right && state == State::Yours) std::cout << "  " << green("✓ " + e.title()) << "\n";
  else if (v.right)
    std::cout << "  right, as it was shipped; `make start " << ex(e) << "` takes it out for you to write\n";
  else if (v.built)
    std::cout << "  " << red("not yet " + e.title()) << "   " << e.file << ":" << find_hole(e).line << "\n";
  if (!v.right && v.built && seed != "1" && !seed.empty())
    std::cout << "  again with the same numbers: make check " << ex(e) << " SEED=" << seed << "\n";
  std::printf("%s\n", dim("  built in " + text_of(v.build_seconds) + " s, checked in " + text_of(v.check_seconds) +
                          " s of processor time")
                          .c_str());
  std::fflush(stdout);
  if (state != State::Shipped) remember(e, v.right ? "right" : "wrong");
  return v;
}

int check_once(const Exercises& all, const Exercise& e, const std::string& seed) {
  std::cout << std::flush;
  const Verdict v = judge(all, e, seed);
  if (v.right && state_here(e) == State::Yours)
    if (const Exercise* next = next_after(all, &e))
      std::cout << "  next: " << verb_for(*next) << ex(*next) << "   " << next->title() << "\n";
  return v.right ? 0 : 1;
}

/// Polls: that works in containers and on network drives, too, and for an editor that saves by renaming.
int watch(const Exercises& all, const Exercise* e, const std::string& seed) {
  if (!e)
    for (const Exercise& candidate : all)
      if (!e && !is_untouched(candidate) && !is_done(candidate)) e = &candidate;
  if (!e) throw Error("nothing is open; `make course` says what comes next, and `make start EX=..` opens it");
  if (state_here(*e) == State::Shipped)
    throw Error(e->number + " is as it was shipped; `make start " + ex(*e) + "` opens it first");
  Keys keys;
  std::string seen;
  bool anew = true, with_task = false, sure = false;
  for (;;) {
    throw_if_interrupted();
    std::string now;
    try {
      now = read_file(e->file);
    } catch (const Error&) {
      keys.next(150);  // between the two steps of a save
      continue;
    }
    if (anew || now != seen) {
      clear_screen();
      std::cout << "  " << bold(e->title()) << "   " << e->file << "\n";
      if (with_task) std::cout << "\n" << task(all, *e) << "\n";
      std::cout << "  checking ...\n" << std::flush;
      anew = with_task = sure = false, seen = now;
      try {
        judge(all, *e, seed);
      } catch (const Error& error) { std::cout << "  " << error.what() << "\n"; }
      std::cout << "\n  " << dim("save, and it is checked again     t task  h hint  n next  l list  q quit") << "\n"
                << std::flush;
    }
    const char key = keys.next(150);
    if (key == 'q' || key == 4) return 0;
    try {
      if (key == 'l') list(all);
      if (key == 'h') hint(*e);
      if (key == 't') std::cout << "\n" << task(all, *e) << "\n";
      if (key == 'n') {
        const Exercise* next = next_after(all, e);
        if (!next) {
          std::cout << "  nothing is left\n";
        } else if (!is_done(*e) && !sure) {
          std::cout << "  " << e->title() << " is not right yet; n once more goes on to " << next->title() << "\n";
          sure = true;
        } else {
          if (is_untouched(*next)) open_hole(*next);
          e = next, anew = with_task = true;
        }
      }
    } catch (const Error& error) {  // of a file that is being saved, or was damaged
      std::cout << "  " << error.what() << "\n";
    }
    std::cout << std::flush;
  }
}

int usage() {
  std::cout << "make course                  the exercises, what is done, what comes next\n"
               "make start EX=3 [AGAIN=1]    open exercise 3 in the source\n"
               "make check EX=3 [SEED=7]     build and check it\n"
               "make watch [EX=3]            check it whenever the file is saved\n"
               "make hint EX=3               one more hint each time\n"
               "make skip EX=3               put the shipped body back\n"
               "make solve EX=3              print the shipped body\n"
               "make grade [FROM=folder] [JSON=file]        all that is yours, each alone, with three seeds\n"
               "make handout EX=1-12 OUT=folder             the tree with these exercises open and no solutions\n"
               "make gradescope EX=1-12 OUT=course.zip      an autograder for Gradescope\n"
               "make prove [ONLY=markers,matrix,wrong,..] [EX=3,4]   what must hold of the course itself\n";
  return 0;
}

int run_verb(const std::string& verb, const std::function<std::string(const char*)>& option) {
  if (verb == "help") return usage();
  const Exercises all = read_exercises();
  const auto exercise = [&]() -> const Exercise& { return find(all, option("EX")); };
  if (verb == "course") return list(all);
  if (verb == "start") return start(all, exercise(), !option("AGAIN").empty());
  if (verb == "hint") return hint(exercise());
  if (verb == "skip") return skip(exercise());
  if (verb == "solve") return solve(exercise());
  if (verb == "check") return check_once(all, exercise(), option("SEED"));
  if (verb == "watch") return watch(all, option("EX").empty() ? nullptr : &exercise(), option("SEED"));
  if (verb == "grade") return grade(all, {option("FROM"), option("JSON"), option("SEED"), option("EX")});
  if (verb == "handout") return handout(all, option("EX"), option("OUT"));
  if (verb == "gradescope") return gradescope(all, option("EX"), option("OUT"));
  if (verb == "prove") return prove(all, option("ONLY"), option("EX"));
  usage();
  throw Error("there is no `" + verb + "`");
}

}  // namespace
}  // namespace course

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // std::cout and printf in the order of the program
  course::notice_signals();
  try {
    // VERB NAME=value ..
    const auto option = [&](const char* name) -> std::string {
      const std::string key = std::string(name) + "=";
      for (int i = 2; i < argc; ++i)
        if (std::string(argv[i]).starts_with(key)) return argv[i] + key.size();
      return "";
    };
    const int status = course::run_verb(argc > 1 ? argv[1] : "course", option);
    std::cout << std::flush;
    return status;
  } catch (const course::Error& e) {
    std::cout << std::flush;
    std::cerr << "course: " << e.what() << "\n";
    return 2;
  } catch (const course::Interrupted& interrupted) {
    std::cout << std::flush;
    std::cerr << "\n";
    return 128 + interrupted.signal;
  } catch (const std::exception& e) {
    std::cerr << "course: " << e.what() << "\n";
    return 2;
  }
}
