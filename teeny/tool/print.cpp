#include "teeny/tool/print.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cwchar>
#include <utility>

namespace teeny::tool {

namespace {

/// A character that begins at text[place], and how many bytes it has; {-1, 1} for a byte that is no UTF-8.
std::pair<int32_t, size_t> character(std::string_view text, size_t place) {
  const auto byte = [&](size_t i) { return place + i < text.size() ? uint8_t(text[place + i]) : 0u; };
  const uint32_t first = byte(0);
  const size_t size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  if (size == 0) return {-1, 1};
  uint32_t code = size == 1 ? first : first & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if (byte(i) >> 6 != 2) return {-1, 1};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {-1, 1};
  return {int32_t(code), size};
}

/// Whether a terminal would do something other than show it.
bool is_command(int32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0xfeff ||
         (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f);
}

int columns_of(int32_t code) { return std::max(wcwidth(wchar_t(code)), code < 0x300 ? 1 : 0); }

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
  char escaped[16];
  for (size_t i = 0; i < text.size();) {
    const auto [code, size] = character(text, i);
    if (code < 0 || is_command(code)) {
      std::snprintf(escaped, sizeof escaped, code > 0xff ? "\\u%04x" : "\\x%02x",
                    code < 0 ? unsigned(uint8_t(text[i])) : unsigned(code));
      out += escaped;
    } else {
      out += text.substr(i, size);
    }
    i += size;
  }
  return out;
}

int width_of(std::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size();) {
    const auto [code, size] = character(text, i);
    width += columns_of(code);
    i += size;
  }
  return width;
}

std::string shortened(const std::string& text, int width) {
  if (width_of(text) <= width) return text;
  std::vector<std::string_view> all;
  for (size_t i = 0; i < text.size();) {
    const size_t size = character(text, i).second;
    all.push_back(std::string_view(text).substr(i, size));
    i += size;
  }
  std::string front, back;
  size_t begin = 0, end = all.size();
  for (int left = width - 1; begin < end; left = width - 1 - width_of(front) - width_of(back)) {
    const bool at_end = width_of(back) <= width_of(front);  // the end of a name tells more
    const std::string_view next = at_end ? all[end - 1] : all[begin];
    if (width_of(next) > left) break;
    if (at_end) back = std::string(next) + back, --end;
    else front += next, ++begin;
  }
  return width > 0 ? front + "…" + back : "";
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

int terminal_width() {
  winsize size = {};
  return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
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
