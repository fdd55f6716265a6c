#pragma once
#include <map>
#include <string>
#include <vector>

#include "exercise.h"
#include "verdict.h"

namespace course {

struct GradeOptions {
  std::string from;  // a folder, or what `make grade` wrote; empty: this tree
  std::string json;  // where the results go, in Gradescope's format
  std::string seed;  // empty: three new ones, which are printed
  std::string numbers;
};

/// Only the body of a hole is taken from a submission, and each is judged alone, in a tree of its own. 0: all are
/// right.
int grade(const std::vector<Exercise>& all, const GradeOptions& options);

/// A tree in which these exercises are open and their solutions are nowhere.
int handout(const std::vector<Exercise>& all, const std::string& numbers, const fs::path& to);
/// The zip that Gradescope takes as an autograder.
int gradescope(const std::vector<Exercise>& all, const std::string& numbers, const fs::path& to);

/// Why a body may not be graded, or nothing: it would leave its function, or reach for what a solution never needs.
std::string trick_in(const std::string& body);

/// The bodies of a submission, by number.
using Bodies = std::map<std::string, std::string>;
struct Graded {
  const Exercise* exercise;
  bool right;
  std::string output;
  double seconds;
};
/// `tree` is a copy of the tree; it is as before when this is done.
std::vector<Graded> grade_bodies(const std::vector<Exercise>& all, const std::vector<const Exercise*>& which,
                                 const Bodies& bodies, const std::vector<std::string>& seeds, const fs::path& tree,
                                 Progress progress = Progress::Shown);
std::string results_json(const std::vector<Graded>& graded);

}  // namespace course
