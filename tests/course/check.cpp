// The program that runs one check: `course 03`. It reads a line, prints the difference and ends with 1, or `ok LINE 03`
// and ends with 0: so nobody can print that without the check. SEED= is where its random numbers begin. `course` alone
// lists the checks that it has.
#include "tests/course/check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>

namespace course {
namespace {

using Checks = std::map<std::string, void (*)()>;
Checks& checks() {
  static Checks all;
  return all;
}

constexpr size_t kDrawn = 16;  // elements in a row of the picture

std::string number(double x, int digits = 6) {
  if (std::isnan(x)) return "nan";  // without the sign that some have
  char text[32];
  std::snprintf(text, sizeof text, "%.*g", digits, x);
  return text;
}

bool close(double yours, double want, double tolerance, double scale) {
  if (std::isnan(want) || std::isnan(yours)) return std::isnan(want) && std::isnan(yours);
  if (std::isinf(want) || std::isinf(yours)) return want == yours;
  return std::abs(yours - want) <= tolerance * std::max(std::abs(want), scale);
}

struct Box {
  std::string want, yours;
  size_t width = 0;
};
Box box(const std::vector<double>& yours, const std::vector<double>& want, const std::vector<bool>& wrong, size_t i) {
  std::string w = i < want.size() ? number(want[i]) : "", y = i < yours.size() ? number(yours[i]) : "";
  if (wrong[i] && w == y) w = number(want[i], 12), y = number(yours[i], 12);
  return {w, y, std::max(w.size(), y.size())};
}

size_t terminal_columns() {
  return size_t(std::max(40, std::getenv("COLUMNS") ? std::atoi(std::getenv("COLUMNS")) : 80));
}

/// In a column of that width; what differs is in brackets, and red where this is a terminal.
std::string boxed(const std::string& text, size_t width, bool is_wrong) {
  const std::string pad(width - text.size(), ' ');
  if (!is_wrong) return ' ' + pad + text + ' ';
  return pad + (std::getenv("COURSE_COLOR") ? "\033[31m[" + text + "]\033[0m" : '[' + text + ']');
}

/// Two matrices side by side, if they are small.
bool draw_matrices(const std::vector<double>& yours, const std::vector<double>& want, const std::vector<bool>& wrong,
                   const tinyops::Shape& shape) {
  if (shape.size() != 2 || shape[0] < 2 || shape[0] > 8 || shape[1] > 8) return false;
  if (yours.size() != want.size() || int64_t(want.size()) != tinyops::numel(shape)) return false;
  size_t width = 0;
  for (size_t i = 0; i < want.size(); ++i) width = std::max(width, box(yours, want, wrong, i).width);
  const size_t each = size_t(shape[1]) * (width + 2);
  if (2 * each + 12 > terminal_columns()) return false;
  std::printf("    %-*s    yours\n", int(each), "want");
  for (size_t row = 0; row < size_t(shape[0]); ++row) {
    std::string line = "   ", right;
    for (size_t i = row * size_t(shape[1]); i < (row + 1) * size_t(shape[1]); ++i) {
      const Box b = box(yours, want, wrong, i);
      line += boxed(b.want, width, false), right += boxed(b.yours, width, wrong[i]);
    }
    std::printf("%s    %s\n", line.c_str(), right.c_str());
  }
  return true;
}

/// Two rows of boxes, one above the other: as many as fit the terminal, and the first that differs is among them.
void draw_rows(const std::vector<double>& yours, const std::vector<double>& want, const std::vector<bool>& wrong,
               size_t first) {
  const size_t count = wrong.size();
  const auto fits_to = [&](size_t begin) {  // one behind the last that fits in a row which begins there
    size_t end = begin, room = terminal_columns() - 16;
    for (; end < count && end - begin < kDrawn; ++end) {
      const size_t width = box(yours, want, wrong, end).width + 2;
      if (width > room && end > begin) break;
      room -= std::min(room, width);
    }
    return end;
  };
  size_t begin = 0;
  while (fits_to(begin) <= first) begin = std::max(begin + 1, first - std::min(first, kDrawn / 2));
  const size_t end = fits_to(begin);
  std::string rows[2] = {begin ? "    want   .." : "    want  ", begin ? "    yours  .." : "    yours "};
  for (size_t i = begin; i < end; ++i) {
    const Box b = box(yours, want, wrong, i);
    rows[0] += boxed(b.want, b.width, false), rows[1] += boxed(b.yours, b.width, wrong[i]);
  }
  for (const std::string& row : rows) std::printf("%s%s\n", row.c_str(), end < count ? " .." : "");
}

}  // namespace

std::mt19937_64& random() {
  static std::mt19937_64 engine(std::getenv("SEED") ? std::strtoull(std::getenv("SEED"), nullptr, 10) : 1);
  return engine;
}
int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random()); }
double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random()); }

void same(const std::string& what, const std::vector<double>& yours, const std::vector<double>& want, double tolerance,
          const tinyops::Shape& shape, double scale) {
  std::vector<bool> wrong(std::max(yours.size(), want.size()), true);
  for (size_t i = 0; i < std::min(yours.size(), want.size()); ++i)
    wrong[i] = !close(yours[i], want[i], tolerance, scale);
  const size_t first = size_t(std::find(wrong.begin(), wrong.end(), true) - wrong.begin());
  if (first == wrong.size()) return;
  std::printf("  %s\n", what.c_str());
  if (!draw_matrices(yours, want, wrong, shape)) draw_rows(yours, want, wrong, first);
  if (yours.size() != want.size()) {
    std::printf("    %zu elements, not %zu\n", yours.size(), want.size());
  } else if (wrong.size() > 1) {
    std::string place = std::to_string(first);
    if (shape.size() > 1) {
      tinyops::Dims at = shape;
      int64_t left = int64_t(first);
      for (int axis = shape.size(); axis-- > 0; left /= shape[axis]) at[axis] = left % shape[axis];
      place = text(at);
    }
    std::printf("    the first that differs is element %s; %zu of %zu do\n", place.c_str(),
                size_t(std::count(wrong.begin(), wrong.end(), true)), wrong.size());
  }
  throw Failed{};
}

void expect(bool good, const std::string& otherwise) {
  if (good) return;
  std::printf("  %s\n", otherwise.c_str());
  throw Failed{};
}

void trying(const std::string& what) { std::printf("  %s\n", what.c_str()), std::fflush(stdout); }
void report(const std::string& what) { std::printf("  %s\n", what.c_str()); }

Check::Check(const char* number, void (*run)()) { checks()[number] = run; }

}  // namespace course

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& [number, run] : course::checks()) std::puts(number.c_str());
    return 0;
  }
  const auto found = course::checks().find(argv[1]);
  if (found == course::checks().end()) return std::printf("  there is no check %s\n", argv[1]), 1;
  std::string nonce;
  for (int c; (c = std::getchar()) != EOF && c != '\n';) nonce += char(c);
  try {
    found->second();
    std::printf("ok %s %s\n", nonce.c_str(), argv[1]);
    return 0;
  } catch (const course::Failed&) {
  } catch (const std::exception& e) { std::printf("  %s\n", e.what()); }
  return 1;
}
