#pragma once
// Copies of the tree: proofs and grading never touch the source that somebody is working in.
#include <string>
#include <vector>

#include "exercise.h"

namespace course {

/// The files that belong to the tree: those of git, and without git all but what was built.
std::vector<std::string> tracked_files(const fs::path& root = ".");

/// Of one file, with its time, so that make does not build again what was built from it.
void copy_with_time(const fs::path& from, const fs::path& to);

/// `to` becomes a copy with every hole as it was shipped, or open where no solution is known; with the objects that are
/// built, so that little is compiled again. What is there already and the same is left alone.
void copy_tree(const std::vector<Exercise>& all, const fs::path& to);

/// 03, or 1-12,15: in the order of the list; all of them for an empty text.
std::vector<const Exercise*> chosen(const std::vector<Exercise>& all, const std::string& numbers);

/// Lines of the body that stand elsewhere in the tree as well: `file:line  text`. Short lines do not count, nor do
/// pages of exercises, nor the files that the exercise's page says are known.
std::vector<std::string> leaks(const Exercise& e, const std::string& body, const fs::path& root,
                               const std::vector<std::string>& files);

}  // namespace course
