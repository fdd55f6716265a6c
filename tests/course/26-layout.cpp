#include <algorithm>

#include "teeny/files/header.h"
#include "teeny/graph/base.h"
#include "tests/course/check.h"

namespace {

using namespace teeny;

struct Part {
  std::string name, dtype, shape;
  uint64_t begin, end;
};

std::string header_of(const std::vector<Part>& parts) {
  std::string out;
  for (const Part& p : parts)
    out += text(out.empty() ? "{" : ",", '"', p.name, R"(":{"dtype":")", p.dtype, R"(","shape":[)", p.shape,
                R"(],"data_offsets":[)", p.begin, ',', p.end, "]}");
  return out + "}";
}

/// Like header_of, in a line for a reader.
std::string shown(const std::vector<Part>& parts, uint64_t size) {
  std::string out;
  for (const Part& p : parts) out += text(p.name, " (", p.shape, ") ", p.dtype, " in ", p.begin, " to ", p.end, ", ");
  return text(out, "data of ", size, " bytes");
}

void accepted(const std::string& what, const std::vector<Part>& parts, uint64_t size) {
  try {
    const io::Header header = io::parse_header("f", header_of(parts), size);
    course::expect(header.entries.size() == parts.size(),
                   text(what, ": it has ", header.entries.size(), " entries, not ", parts.size()));
    for (size_t i = 0; i < parts.size(); ++i)
      course::expect(header.entries[i].name == parts[i].name,
                     what + ": the entries are to stay in the order of the text");
  } catch (const Error& e) {
    course::expect(false, text("refused: ", what, "\n    ", shown(parts, size), "\n    ", e.what()));
  }
}

void refused(const std::string& what, const std::vector<Part>& parts, uint64_t size) {
  try {
    io::parse_header("f", header_of(parts), size);
  } catch (const Error&) { return; }
  course::expect(false, text("accepted: ", what, "\n    ", shown(parts, size)));
}

}  // namespace

EXERCISE("26") {
  using course::pick;
  // a is two floats: 8 bytes; b three bytes.
  const auto two = [](uint64_t a_begin, uint64_t a_end, uint64_t b_begin, uint64_t b_end) {
    return std::vector<Part>{{"a", "F32", "2", a_begin, a_end}, {"b", "U8", "3", b_begin, b_end}};
  };
  accepted("a good header of two tensors", two(0, 8, 8, 11), 11);
  accepted("a good header whose second tensor lies in front of the first", two(3, 11, 0, 3), 11);
  accepted("a header without tensors, of no data", {{"a", "F32", "0", 0, 0}}, 0);
  accepted("a good header with a tensor of no bytes, c, where b begins",
           {{"a", "F32", "2", 0, 8}, {"b", "U8", "3", 8, 11}, {"c", "F64", "0, 7", 8, 8}}, 11);
  accepted("a good header of a number, which has no axes", {{"a", "F64", "", 0, 8}}, 8);

  refused("b begins inside of a: one byte would be two tensors'", two(0, 8, 7, 10), 10);
  refused("b lies inside of a, and three bytes belong to nobody", two(0, 8, 5, 8), 11);
  refused("a lies behind b, and begins inside of it", two(2, 10, 0, 3), 10);
  refused("two tensors in the same place", {{"a", "U8", "3", 0, 3}, {"b", "U8", "3", 0, 3}}, 3);
  refused("a hole between a and b: bytes that nobody reads can hide anything", two(0, 8, 9, 12), 12);
  refused("a hole in front of a", two(1, 9, 9, 12), 12);
  refused("bytes behind the last tensor that belong to nobody", two(0, 8, 8, 11), 12);
  refused("data, and no tensor that it belongs to", {{"a", "F32", "0", 0, 0}}, 4);
  refused("b ends behind the data", two(0, 8, 8, 11), 10);
  refused("a ends before it begins", two(8, 0, 8, 11), 11);
  refused("a ends before it begins, and the difference wraps around to the 8 bytes that it needs",
          {{"a", "F32", "2", UINT64_MAX - 7, 0}}, 0);
  refused("a has fewer bytes than two floats need", two(0, 4, 4, 7), 7);
  refused("a has more bytes than two floats need", two(0, 12, 12, 15), 15);
  refused("a is larger than any memory, and its bytes in 64 bits would be 0",
          {{"a", "F32", "4294967296, 4294967296", 0, 0}}, 0);

  const uint64_t each = uint64_t(1) << 59;
  std::vector<Part> around;
  for (uint64_t i = 0; i < 32; ++i)
    around.push_back({"part " + std::to_string(i), "U8", std::to_string(each), i * each, (i + 1) * each});
  refused("32 tensors of 2^59 bytes each, the last of which ends at 2^64, which is 0", around, 0);

  // A good header, its entries in any order; and the same with one number changed by one.
  for (int round = 0; round < 20; ++round) {
    std::vector<Part> parts;
    uint64_t size = 0;
    for (int64_t i = pick(1, 5); i > 0; --i) {
      const int64_t n = pick(0, 3);
      parts.push_back({std::string(1, char('a' + parts.size())), "U8", std::to_string(n), size, size + uint64_t(n)});
      size += uint64_t(n);
    }
    std::shuffle(parts.begin(), parts.end(), course::random());
    accepted("a good header at random", parts, size);
    Part& changed = parts[size_t(pick(0, int64_t(parts.size()) - 1))];
    ++(pick(0, 1) ? changed.begin : changed.end);
    refused("a good header with one number changed by one", parts, size);
    refused("a good header with one number changed by one, and one byte more", parts, size + 1);
  }
}
