#include "examples/unicode.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "examples/unicode_table.h"

namespace examples {

// A character of n bytes begins with n ones and a zero, one byte alone with a zero; every byte after the first begins
// with 10. The rest of the bits are the code point, which is written in as few bytes as will do:
//
//   0xxxxxxx   110xxxxx 10xxxxxx   1110xxxx 10xxxxxx 10xxxxxx   11110xxx 10xxxxxx 10xxxxxx 10xxxxxx
CodePoint first_code_point(std::string_view text) {
  const auto lead = uint8_t(text[0]);
  if (lead < 0x80) return {lead, 1};
  const size_t more = lead < 0xC2 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : lead < 0xF5 ? 3 : 0;
  if (more == 0) return {kBroken, 1};
  char32_t value = lead & (0x3F >> more);
  for (size_t i = 1; i <= more; ++i) {
    if (i == text.size()) return {kBroken, i, true};
    // The second byte says whether fewer bytes would do, and whether this is a surrogate or beyond U+10FFFF.
    const uint8_t least = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t most = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    const auto byte = uint8_t(text[i]);
    if (byte < least || byte > most) return {kBroken, i};
    value = value << 6 | (byte & 0x3F);
  }
  return {value, more + 1};
}

std::string to_utf8(char32_t point) {
  const int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  if (more == 0) return {char(point)};
  std::string bytes{char(0xFF << (7 - more) | point >> 6 * more)};
  for (int i = more; i-- > 0;) bytes += char(0x80 | (point >> 6 * i & 0x3F));
  return bytes;
}

Kind kind_of(char32_t point) {
  const auto is_in = [&](const auto& ranges) {
    const auto after = std::ranges::upper_bound(ranges, point, {}, &CodePointRange::first);
    return after != std::begin(ranges) && point <= std::prev(after)->last;
  };
  constexpr CodePointRange spaces[] = {{0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                       {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                       {0x205F, 0x205F}, {0x3000, 0x3000}};
  return is_in(kLetters) ? Kind::Letter : is_in(kNumbers) ? Kind::Number : is_in(spaces) ? Kind::Space : Kind::Other;
}

std::string take_characters(std::string& waiting, bool last) {
  std::string taken;
  std::string_view rest = waiting;
  while (!rest.empty()) {
    const CodePoint next = first_code_point(rest);
    if (next.cut && !last) break;
    taken += next.value == kBroken ? "\uFFFD" : std::string(rest.substr(0, next.bytes));
    rest.remove_prefix(next.bytes);
  }
  waiting = std::string(rest);
  return taken;
}

std::string printable(std::string_view text, size_t most) {
  std::string shown;
  for (; !text.empty() && most > 0; --most) {
    const CodePoint next = first_code_point(text);
    const bool controls = next.value < ' ' || (next.value >= 0x7F && next.value < 0xA0);
    if (next.value == kBroken) shown += "\uFFFD";
    else if (controls && next.value != '\n' && next.value != '\t') shown += '?';
    else shown += text.substr(0, next.bytes);
    text.remove_prefix(next.bytes);
  }
  return shown;
}

}  // namespace examples
