#pragma once
#include <string>
#include <vector>

#include "exercise.h"

namespace course {

/// What must hold of the course itself, each proof in copies of the tree: 0 where all do. `only` names some of them,
/// separated by commas:
///   markers  each exercise has a hole, a page, a check, hints, wrong bodies, and the checksum of its shipped body
///   matrix   with one hole open, its check fails, and those that need it, and no other
///   wrong    each wrong body compiles, and fails with the words of its page (`first`: one of each exercise)
///   chain    with all holes open, filling them in order makes one check after the other pass
///   time     each verdict is fast; the table is printed
///   leaks    no solution stands elsewhere in a handout
///   grading  all right bodies score full, the stubs nothing, and cheats nothing
/// Whatever was opened is closed again, and the copies are, byte for byte, what they were.
int prove(const std::vector<Exercise>& all, const std::string& only, const std::string& numbers);

}  // namespace course
