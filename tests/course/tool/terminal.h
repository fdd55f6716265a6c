#pragma once
// What a terminal can do that a pipe cannot: colour, keys without Enter, a screen that is cleared.
#include <string>

namespace course {

bool is_terminal();  // standard output
int width();         // columns; 80 where nobody knows
bool has_colors();
std::string colored(const char* code, const std::string& text);  // unchanged in a pipe, or with NO_COLOR
inline std::string green(const std::string& text) { return colored("32", text); }
inline std::string red(const std::string& text) { return colored("31", text); }
inline std::string dim(const std::string& text) { return colored("2", text); }
inline std::string bold(const std::string& text) { return colored("1", text); }
void clear_screen();
/// As many columns as `text` takes in a terminal: a character of UTF-8 is one.
int columns(const std::string& text);
std::string padded(const std::string& text, int columns);
/// Paragraphs laid out anew for `columns`, each line behind `indent`; code, tables and drawings stay as they are.
std::string filled(const std::string& text, int columns, const std::string& indent);
/// Lines that are too long go on in the next, four columns further in.
std::string folded(const std::string& text, int columns);
std::string shortened(const std::string& text, int columns);  ///< with .. in front

/// While it lives, keys come one by one and unseen. The terminal is as it was when it ends, also by Ctrl-Z.
class Keys {
 public:
  Keys();
  Keys(const Keys&) = delete;
  ~Keys();
  /// The next key within so many milliseconds, or 0. Where standard input is no terminal it only waits.
  char next(int milliseconds);
};

}  // namespace course
