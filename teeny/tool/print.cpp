#include "teeny/tool/print.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cwchar>
#include <cwctype>
#include <utility>

namespace teeny::tool {

namespace {

/// The first character of a text that is not empty, and how many bytes it has; {-1, 1} for a byte that is no UTF-8.
std::pair<int, size_t> first_character(std::string_view text) {
  wchar_t code = 0;
  std::mbstate_t state = {};
  const size_t size = std::mbrtowc(&code, text.data(), text.size(), &state);
  return size == 0 ? std::pair(0, size_t(1)) : size > 4 ? std::pair(-1, size_t(1)) : std::pair(int(code), size);
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t begin = 0; begin < text.size(); begin += all.back().size())
    all.push_back(text.substr(begin, first_character(text.substr(begin)).second));
  return all;
}

/// Whether a terminal would do something other than show it: control characters, and marks of the text's direction.
bool is_command(int code) {
  const bool is_mark = code == 0x61c || code == 0xfeff || (code >= 0x200b && code < 0x2070) || code >= 0xe0000;
  return code < 0x20 || !iswprint(wint_t(code)) || (is_mark && wcwidth(wchar_t(code)) == 0);
}

std::string padded(const std::string& text, int width, bool to_the_right) {
  const std::string space(size_t(std::max(0, width - width_of(text))), ' ');
  return to_the_right ? space + text : text + space;
}

}  // namespace

void print(const Json& json, int indent) {
  const std::string text = json.dump(indent, ' ', false, Json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
}

Json number(double x) {
  if (std::isfinite(x)) return x;
  return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::string_view character : characters(text)) {
    const int code = first_character(character).first;
    char escaped[16];
    std::snprintf(escaped, sizeof escaped, code > 0xff ? "\\u%04x" : "\\x%02x",
                  unsigned(code < 0 ? uint8_t(character[0]) : code));
    out += code < 0 || is_command(code) ? std::string_view(escaped) : character;
  }
  return out;
}

int width_of(std::string_view text) {
  int width = 0;
  for (std::string_view character : characters(text))
    width += std::max(0, wcwidth(wchar_t(first_character(character).first)));
  return width;
}

std::string shortened(const std::string& text, int width) {
  if (width_of(text) <= width) return text;
  const std::vector<std::string_view> all = characters(text);
  std::string front, back;
  for (size_t begin = 0, end = all.size(); begin < end;) {
    const bool at_end = width_of(back) <= width_of(front);  // the end of a name tells more
    const std::string_view next = at_end ? all[end - 1] : all[begin];
    if (width_of(front) + width_of(back) + width_of(next) >= width) break;
    if (at_end) back.insert(0, next), --end;
    else front += next, ++begin;
  }
  return front + "…" + back;
}

std::string wrapped(const std::string& text, int from, int width) {
  std::string out;
  int column = from;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (column > from && width > 0 && column + 1 + width_of(word) > width) {
      out += "\n" + std::string(size_t(from), ' ');
      column = from;
    } else if (begin > 0) {
      out += ' ', ++column;
    }
    out += word, column += width_of(word);
    begin = end + 1;
  }
  return out;
}

std::string grouped(int64_t count) {
  std::string digits = std::to_string(count);
  for (int place = int(digits.size()) - 3; place > (count < 0); place -= 3) digits.insert(size_t(place), ",");
  return digits;
}

std::string counted(int64_t count, const std::string& what) {
  return grouped(count) + " " + what + (count == 1 ? "" : what.ends_with('x') ? "es" : "s");
}

std::string decimal(double x, int digits) {
  char out[64];
  std::snprintf(out, sizeof out, "%.*f", digits, x);
  return std::abs(x) < 1e15 ? out : std::to_string(x);
}

std::string byte_size(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  size_t unit = 0;
  for (; bytes >= 999.5 && unit < 6; bytes /= 1000) ++unit;
  return decimal(bytes, unit > 0 && bytes < 99.95 ? 1 : 0) + " " + units[unit];
}

void Table::print(int indent) const {
  const int limit = terminal_width(), gaps = indent + 2 * (int(columns.size()) - 1);
  std::vector<int> widths;
  int all = gaps;
  for (size_t c = 0; c < columns.size(); ++c) {
    widths.push_back(width_of(columns[c].title));
    for (const auto& row : rows) widths[c] = std::max(widths[c], width_of(row[c]));
    all += widths[c];
  }
  constexpr int kLeastName = 24;
  if (limit > 0 && all > limit) widths[0] = std::max(std::min(widths[0], kLeastName), widths[0] - (all - limit));
  all = gaps;
  for (int width : widths) all += width;
  const bool in_columns = limit == 0 || all <= limit;
  const auto print_row = [&](const auto& cell) {
    std::string line(size_t(indent), ' ');
    for (size_t c = 0; c < columns.size(); ++c)
      line += (c ? "  " : "") + padded(shortened(cell(c), widths[c]), widths[c], columns[c].to_the_right);
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  };
  const bool has_titles = std::ranges::any_of(columns, [](const Column& c) { return !c.title.empty(); });
  if (in_columns && has_titles && !rows.empty()) print_row([&](size_t c) { return columns[c].title; });
  for (const auto& row : rows) {
    if (in_columns) {
      print_row([&](size_t c) { return row[c]; });
      continue;
    }
    std::string rest;
    for (size_t c = 1; c < row.size(); ++c) rest += (c > 1 && !row[c].empty() ? " " : "") + row[c];
    std::printf("%*s%s\n%*s%s\n", indent, "", shortened(row[0], limit - indent).c_str(), indent + 2, "",
                wrapped(rest, indent + 2, limit).c_str());
  }
}

void Progress::show(const std::string& text) {
  winsize size = {};
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(200) || !isatty(STDERR_FILENO)) return;
  const int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
  std::fprintf(stderr, "\r\033[K%s", shortened(printable(text), width - 1).c_str());
  std::fflush(stderr);
  drawn_ = now, visible_ = true;
}

void Progress::clear() {
  if (std::exchange(visible_, false)) std::fprintf(stderr, "\r\033[K"), std::fflush(stderr);
}

}  // namespace teeny::tool
