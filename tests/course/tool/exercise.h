#pragma once
// An exercise is a page, notes/exercises/03-flip.md, and a hole in the real source: what stands between two lines.
//
//   // [exercise 03
//   return rewrite(*this, shape, ..     the body: shipped (the solution), open (the stub of the page), or the student's
//   // exercise 03]
//
// Which of these it is, is read from the source each time. The page keeps a checksum of the shipped body, so that no
// history is needed to know it; nothing that is written to build/course is more than a cache.
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace course {

namespace fs = std::filesystem;

/// What a user can mend: said in one line, without a trace.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Without the white space at both ends.
std::string trimmed(const std::string& text);
std::string read_file(const fs::path& path);
/// Before or after, never half: a temporary file beside it is renamed.
void write_file(const fs::path& path, const std::string& text);

struct WrongBody {
  std::string body, says;
};

struct Exercise {
  std::string number, name, file, chapter, config = "cpu", checksum, text, stub;
  std::vector<std::string> needs;  // exercises that must be closed before this one can pass
  std::vector<std::string> known;  // files where its lines stand as well, and may
  std::vector<std::string> hints;
  std::vector<WrongBody> wrong;
  // config: cpu; header, checked without the library; cuda, on the emulated GPU
  int points = 1, minutes = 10;
  double seconds = 0;  // of processor time that its check may take, where it is a long one
  fs::path page;
  std::string title() const { return number + " " + name; }
  std::string option() const { return "EX=" + std::to_string(std::stoi(number)); }  // for make
};

/// Throws with file and line where a page is not as it must be.
Exercise read_exercise(const fs::path& page);
/// All exercises of a tree, by chapter and number.
std::vector<Exercise> read_exercises(const fs::path& root = ".");

struct Hole {
  std::string text;   // of the file
  size_t begin, end;  // of the body in it
  std::string indent, newline;
  int line;                  // where the body begins
  std::string body() const;  // with \n, also where the file has \r\n
};

/// Throws where the lines of the hole are not as they must be, and says which.
Hole find_hole(const Exercise& exercise, const fs::path& root = ".");
Hole find_hole_in(const std::string& text, const Exercise& exercise);
void put_body(const Exercise& exercise, const std::string& body, const fs::path& root = ".");

std::string indented(const std::string& body, const std::string& indent);
std::string stub_body(const Exercise& exercise, const Hole& hole);
/// Of a body without its indentation, so that neither an editor's line ends nor a formatter change it.
std::string checksum_of(const std::string& body);

enum class State { Shipped, Open, Yours };
State state_of(const Exercise& exercise, const fs::path& root = ".");
/// The same in this tree, but the shipped text is the student's where `start` opened the hole, and they wrote it again.
State state_here(const Exercise& exercise);
void note_started(const Exercise& exercise, bool started);

/// The solution, from what `start` kept or from git; nothing in a handout.
std::optional<std::string> shipped_body(const Exercise& exercise);
void keep_shipped_body(const Exercise& exercise, const std::string& body);
/// A copy of a student's body, before something else takes its place: says where.
fs::path put_away(const Exercise& exercise, const std::string& body);

inline const fs::path kState = "build/course";

}  // namespace course
