// The program that runs one check: `course 03 NONCE`. It prints the difference and ends with 1, or `ok NONCE 03` and
// ends with 0; SEED= is where its random numbers begin. `course` alone lists the checks that it has.
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

/// Two rows of boxes, one above the other; what differs is in brackets, and red where this is a terminal. As many as
/// fit its width, and the first that differs is among them.
void draw(const std::vector<double>& yours, const std::vector<double>& want, const std::vector<bool>& wrong,
          size_t first) {
  const bool color = std::getenv("COURSE_COLOR") != nullptr;
  const size_t columns = size_t(std::max(40, std::getenv("COLUMNS") ? std::atoi(std::getenv("COLUMNS")) : 80));
  struct Box {
    std::string want, yours;
    size_t width;
  };
  const auto box = [&](size_t i) {
    std::string w = i < want.size() ? number(want[i]) : "", y = i < yours.size() ? number(yours[i]) : "";
    if (wrong[i] && w == y) w = number(want[i], 12), y = number(yours[i], 12);
    return Box{w, y, std::max(w.size(), y.size())};
  };
  const size_t count = wrong.size();
  const auto fits_to = [&](size_t begin) {  // one behind the last that fits in a row which begins there
    size_t end = begin, room = columns - 16;
    for (; end < count && end - begin < kDrawn; ++end) {
      const size_t width = box(end).width + 3;
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
    const auto [w, y, width] = box(i);
    const std::string pad_w(width - w.size(), ' '), pad_y(width - y.size(), ' ');
    rows[0] += ' ' + pad_w + ' ' + w + ' ';
    rows[1] += ' ' + pad_y + (!wrong[i] ? ' ' + y + ' ' : color ? "\033[31m[" + y + "]\033[0m" : '[' + y + ']');
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
  draw(yours, want, wrong, first);
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
  if (argc < 3) {
    for (const auto& [number, run] : course::checks()) std::puts(number.c_str());
    return 0;
  }
  const auto found = course::checks().find(argv[1]);
  if (found == course::checks().end()) return std::printf("  there is no check %s\n", argv[1]), 1;
  try {
    found->second();
    std::printf("ok %s %s\n", argv[2], argv[1]);
    return 0;
  } catch (const course::Failed&) {
  } catch (const std::exception& e) { std::printf("  %s\n", e.what()); }
  return 1;
}
