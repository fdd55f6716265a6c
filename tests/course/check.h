#pragma once
// What the checks of the course share. Each check is a block `EXERCISE("03") { .. }` in a file of its own; all of them
// are one program, and `make check EX=3` runs the block 03 of it, as a child with a limit of time and memory.
//
// A check compares what the student's code gives with plain loops, and draws the first difference:
//
//   (2, 3) flipped along axis 1, where each element lies:
//     want    2   1   0   5   4   3
//     yours  [0]  1  [2]  5   4   3     <- the first that differs is element (0, 0)
//
// Whoever has passed here and not in a course's grading has met another seed: SEED=n repeats it.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tinyops/base/error.h"
#include "tinyops/base/shape.h"

namespace course {

using tinyops::text;

struct Failed {};  // thrown when the difference has been said

/// Random numbers of the seed that the check was started with.
std::mt19937_64& random();
int64_t pick(int64_t low, int64_t high);  ///< low <= result <= high
double uniform(double low, double high);

/// Throws Failed with a picture unless `yours` is `want`, element by element, up to `tolerance` times the larger of the
/// wanted element and the `scale` (0: relative to the element alone). `shape` names the places; empty: a list.
void same(const std::string& what, const std::vector<double>& yours, const std::vector<double>& want,
          double tolerance = 0, const tinyops::Shape& shape = {}, double scale = 1);
template <class T>
void same(const std::string& what, const std::vector<T>& yours, const std::vector<T>& want,
          const tinyops::Shape& shape = {}) {
  same(what, std::vector<double>(yours.begin(), yours.end()), std::vector<double>(want.begin(), want.end()), 0, shape);
}

/// Throws Failed and says `otherwise` unless `good`.
void expect(bool good, const std::string& otherwise);
/// What `code` gives; where it throws, the error is said with what was tried in front.
template <class F>
auto tried(const std::string& what, F&& code) {
  try {
    return code();
  } catch (const Failed&) { throw; } catch (const std::exception& error) {
    tinyops::fail(what, ": ", error.what());
  }
}

/// Says what is tried next, at once: it stands there if the check is stopped.
void trying(const std::string& what);
/// Said when the check has passed: a figure to be proud of.
void report(const std::string& what);

/// Put on the list before main.
struct Check {
  Check(const char* number, void (*run)());
};

}  // namespace course

#define COURSE_JOIN_(a, b) a##b
#define COURSE_JOIN(a, b) COURSE_JOIN_(a, b)
#define EXERCISE(number)                                                                            \
  static void COURSE_JOIN(check_, __LINE__)();                                                      \
  static const course::Check COURSE_JOIN(listed_, __LINE__)(number, COURSE_JOIN(check_, __LINE__)); \
  static void COURSE_JOIN(check_, __LINE__)()
