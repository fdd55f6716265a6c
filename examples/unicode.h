#pragma once
// UTF-8, and what kind of character a code point is.
#include <cstddef>
#include <string>
#include <string_view>

namespace examples {

constexpr char32_t kBroken = 0xFFFFFFFF;  ///< bytes that are no UTF-8

struct CodePoint {
  char32_t value;
  size_t bytes;      ///< that it takes
  bool cut = false;  ///< the text ends inside of what may be a character
};

/// The first code point of a text that is not empty.
CodePoint first_code_point(std::string_view text);

std::string to_utf8(char32_t point);

enum class Kind { Letter, Number, Space, Other };
Kind kind_of(char32_t point);

/// Takes the characters that are there as a whole off the beginning of `waiting`: what a terminal can show while more
/// is to come. At the end (`last`) it takes all. Bytes that are no UTF-8 become the replacement character, U+FFFD.
std::string take_characters(std::string& waiting, bool last);

/// A text that a terminal shows, and does not obey: control characters but tabs and ends of lines become question
/// marks, and bytes that are no UTF-8 the replacement character. At most so many characters.
std::string printable(std::string_view text, size_t most = std::string::npos);

}  // namespace examples
