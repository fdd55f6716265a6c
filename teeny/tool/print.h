#pragma once
// What the subcommands say: tables and a line of progress for people, JSON for scripts. Names come from files that
// nobody has looked at, and a terminal obeys what it is sent: all text from a file goes through `printable`.
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/nn/nn.h"

namespace teeny::tool {

using Json = nlohmann::ordered_json;

/// One document on stdout. Bytes that are no UTF-8 become U+FFFD.
void print(const Json& json, int indent = 2);
/// JSON has no number for it: "nan", "inf" and "-inf" are strings.
Json number(double x);

/// Control characters, marks that turn the direction of text, and bytes that are no UTF-8 as \x1b, \u202e.
std::string printable(std::string_view text);
/// How many columns of a terminal printable text takes.
int width_of(std::string_view text);
/// At most so many columns; the middle goes: `layer1.…weight`.
std::string shortened(const std::string& text, int width);
/// Lines of at most `width` columns, broken between words; the first begins at column `from`, the others are indented
/// by it.
std::string wrapped(const std::string& text, int from, int width);

std::string grouped(int64_t count);                           ///< 1,234,567
std::string counted(int64_t count, const std::string& what);  ///< 1 box, 2 boxes; 1,234 tensors
std::string byte_size(double bytes);                          ///< 1.3 MB
std::string decimal(double x, int digits = 3);                ///< 12.346, for a column of numbers

/// Columns of the terminal that stdout is; 0: it is none, and lines may be of any length.
using nn::detail::terminal_width;

/// A table of printable text. Where the terminal is narrow the first column is shortened, and where that does not
/// do, each row is a few lines.
struct Table {
  struct Column {
    std::string title;
    bool to_the_right = false;
  };
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows = {};

  void print(int indent = 0) const;
};

/// A line on stderr, if that is a terminal, for work that takes a while; it is gone when the work is done.
class Progress {
 public:
  ~Progress() { clear(); }
  void show(const std::string& text);  ///< drawn a few times a second
  void clear();                        ///< before something else is printed

 private:
  std::chrono::steady_clock::time_point drawn_ = std::chrono::steady_clock::now();  // nothing in the first moment
  bool visible_ = false;
};

}  // namespace teeny::tool
