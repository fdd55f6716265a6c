#include "exercise.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "child.h"

namespace course {
namespace {

std::vector<std::string> words(const std::string& s) {
  std::istringstream in(s);
  std::vector<std::string> result;
  for (std::string word; in >> word;) result.push_back(word);
  return result;
}

int number_of(const std::string& text, const std::string& where) {
  if (text.empty() || text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos)
    throw Error(where + ": not a number: " + text);
  return std::stoi(text);
}

std::string without_cr(std::string s) {
  std::erase(s, '\r');
  return s;
}

/// The lines of a file, with where each begins.
struct Line {
  size_t begin, end;
  std::string text;
};
std::vector<Line> lines_of(const std::string& text) {
  std::vector<Line> result;
  for (size_t at = 0; at < text.size();) {
    const size_t newline = text.find('\n', at), end = newline == std::string::npos ? text.size() : newline + 1;
    result.push_back({at, end, trimmed(text.substr(at, end - at))});
    at = end;
  }
  return result;
}

}  // namespace

std::string trimmed(const std::string& s) {
  const size_t first = s.find_first_not_of(" \t\r\n"), last = s.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? "" : s.substr(first, last - first + 1);
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in || !fs::is_regular_file(path)) throw Error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const std::string& text) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  const fs::path target = fs::exists(path) ? fs::canonical(path) : path;  // a link stays a link
  const fs::path temporary = target.string() + "." + std::to_string(getpid());
  {
    std::ofstream out(temporary, std::ios::binary);
    out << text << std::flush;
    if (!out) {
      std::error_code ignored;
      fs::remove(temporary, ignored);
      throw Error("cannot write " + path.string());
    }
  }
  if (fs::exists(target)) fs::permissions(temporary, fs::status(target).permissions());
  fs::rename(temporary, target);
}

Exercise read_exercise(const fs::path& page) {
  Exercise e;
  e.page = page;
  std::istringstream in(without_cr(read_file(page)));
  int number = 0;
  std::string line, *block = nullptr, *prose = nullptr;
  bool listing = false;
  const auto where = [&] { return page.string() + ":" + std::to_string(number); };
  while (std::getline(in, line)) {
    ++number;
    const auto value = [&](const char* key) { return line.starts_with(key) ? trimmed(line.substr(strlen(key))) : ""; };
    const bool fence = line.starts_with("```");
    if (block) {
      if (fence) block = nullptr;
      else *block += line + "\n";
    } else if (listing || (fence && prose && !line.starts_with("```cpp "))) {  // a listing in a hint
      if (prose) *prose += line + "\n";
      if (fence) listing = !listing;
    } else if (line == "```cpp stub") {
      if (!e.stub.empty()) throw Error(where() + ": a second stub");
      block = &e.stub, prose = nullptr;
    } else if (line == "```cpp wrong") {
      e.wrong.emplace_back(), block = &e.wrong.back().body, prose = nullptr;
    } else if (line.starts_with("says:")) {
      if (e.wrong.empty() || !e.wrong.back().says.empty()) throw Error(where() + ": says: belongs below a wrong body");
      e.wrong.back().says = value("says:");
    } else if (line.starts_with("## Hint")) {
      e.hints.emplace_back(), prose = &e.hints.back();
    } else if (line.starts_with("# ")) {
      const std::vector<std::string> title = words(line);
      if (title.size() < 3 || title[1].size() != 2) throw Error(where() + ": the title must be `# NN name`");
      e.number = title[1], e.name = trimmed(line.substr(5));
    } else if (line.starts_with("file:")) {
      e.file = value("file:");
    } else if (line.starts_with("chapter:")) {
      e.chapter = value("chapter:");
    } else if (line.starts_with("config:")) {
      e.config = value("config:");
    } else if (line.starts_with("body:")) {
      e.checksum = value("body:");
    } else if (line.starts_with("needs:")) {
      e.needs = words(line.substr(6));
    } else if (line.starts_with("known:")) {
      e.known = words(line.substr(6));
    } else if (line.starts_with("objects:")) {  // what the Makefile links with a check of config: cuda
    } else if (line.starts_with("points:")) {
      e.points = number_of(value("points:"), where());
    } else if (line.starts_with("seconds:")) {
      e.seconds = number_of(value("seconds:"), where());
    } else if (line.starts_with("minutes:")) {
      e.minutes = number_of(value("minutes:"), where());
    } else {
      if (!prose && e.stub.empty() && e.hints.empty()) prose = &e.text;
      if (prose) *prose += line + "\n";
    }
  }
  if (block) throw Error(where() + ": a block that is never closed");
  const auto must = [&](bool holds, const char* what) {
    if (!holds) throw Error(page.string() + ": " + what);
  };
  must(!e.number.empty(), "no title `# NN name`");
  must(page.filename().string().starts_with(e.number + "-"), "its title has another number than its name");
  must(!e.file.empty(), "no line `file:`");
  must(e.config == "cpu" || e.config == "header" || e.config == "cuda", "config: must be cpu, header or cuda");
  must(!e.stub.empty(), "no stub");
  e.text = trimmed(e.text);
  for (std::string& hint : e.hints) hint = trimmed(hint);
  return e;
}

std::vector<Exercise> read_exercises(const fs::path& root) {
  std::vector<Exercise> all;
  if (!fs::is_directory(root / "notes/exercises"))
    throw Error("there are no notes/exercises: run this in teeny's folder");
  for (const auto& entry : fs::directory_iterator(root / "notes/exercises"))
    if (entry.path().extension() == ".md" && isdigit(entry.path().filename().string()[0]))
      all.push_back(read_exercise(entry.path().lexically_normal()));
  std::ranges::sort(all, {}, [](const Exercise& e) { return std::pair(e.chapter, e.number); });
  std::map<std::string, fs::path> pages;
  for (const Exercise& e : all)
    if (const auto [other, is_new] = pages.emplace(e.number, e.page); !is_new)
      throw Error(other->second.string() + " and " + e.page.string() + " have the same number");
  return all;
}

std::string Hole::body() const { return without_cr(text.substr(begin, end - begin)); }

Hole find_hole_in(const std::string& text, const Exercise& e) {
  const std::string open = "// [exercise " + e.number, close = "// exercise " + e.number + "]";
  const std::vector<Line> lines = lines_of(text);
  std::vector<size_t> opens, closes;
  const auto at = [&](size_t i) { return e.file + ":" + std::to_string(i + 1) + ": "; };
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string line = lines[i].text;
    if (line.starts_with("//[exercise") || line.starts_with("//exercise")) line.insert(2, " ");
    if (line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "))
      throw Error(at(i) + "a merge conflict stands here; resolve it, then go on. Nothing was changed");
    if (line == open) opens.push_back(i);
    if (line == close) closes.push_back(i);
  }
  const auto gone = [&](const std::string& line, const std::string& place) {
    throw Error(e.file + ": the line `" + line + "` is gone. Put it back " + place + " your code (`git diff " + e.file +
                "` shows where it stood). Nothing was changed");
  };
  if (opens.empty() && closes.empty()) gone(open + "` and the line `" + close, "above and below");
  if (opens.empty()) gone(open, "above");
  if (closes.empty()) gone(close, "below");
  if (opens.size() > 1) throw Error(at(opens[1]) + "`" + open + "` stands in the file twice; leave one");
  if (closes.size() > 1) throw Error(at(closes[1]) + "`" + close + "` stands in the file twice; leave one");
  if (closes[0] < opens[0]) throw Error(at(closes[0]) + "exercise " + e.number + " ends before it begins");
  for (size_t i = opens[0] + 1; i < closes[0]; ++i)
    if (lines[i].text.starts_with("// [exercise ") ||
        (lines[i].text.starts_with("// exercise ") && lines[i].text.ends_with("]")))
      throw Error(at(i) + "another exercise begins or ends inside of " + e.number);
  const Line& first = lines[opens[0]];
  const std::string whole = text.substr(first.begin, first.end - first.begin);
  return {text,
          first.end,
          lines[closes[0]].begin,
          whole.substr(0, whole.find('/')),
          whole.ends_with("\r\n") ? "\r\n" : "\n",
          int(opens[0]) + 2};
}

Hole find_hole(const Exercise& e, const fs::path& root) { return find_hole_in(read_file(root / e.file), e); }

void put_body(const Exercise& e, const std::string& body, const fs::path& root) {
  const Hole hole = find_hole(e, root);
  if (hole.body() == body) return;
  std::string in_file;
  for (char c : body) in_file += c == '\n' ? hole.newline : std::string(1, c);
  write_file(root / e.file, hole.text.substr(0, hole.begin) + in_file + hole.text.substr(hole.end));
}

std::string indented(const std::string& body, const std::string& indent) {
  std::istringstream in(body);
  std::string result;
  for (std::string line; std::getline(in, line);)
    result += (line.empty() || line[0] == '#' ? "" : indent) + line + "\n";
  return result;
}

std::string stub_body(const Exercise& e, const Hole& hole) { return indented(e.stub, hole.indent); }

std::string checksum_of(const std::string& body) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const std::string& word : words(body))
    for (char c : word + " ") hash = (hash ^ uint8_t(c)) * 1099511628211u;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%08x", uint32_t(hash ^ hash >> 32));
  return digits;
}

State state_of(const Exercise& e, const fs::path& root) {
  const Hole hole = find_hole(e, root);
  const std::string now = checksum_of(hole.body());
  if (now == checksum_of(e.stub)) return State::Open;
  return now == e.checksum ? State::Shipped : State::Yours;
}

State state_here(const Exercise& e) {
  const State state = state_of(e);
  return state == State::Shipped && fs::exists(kState / "started" / e.number) ? State::Yours : state;
}
void note_started(const Exercise& e, bool started) {
  if (started) write_file(kState / "started" / e.number, "");
  else fs::remove(kState / "started" / e.number);
}

std::optional<std::string> shipped_body(const Exercise& e) {
  const auto right = [&](const std::string& body) { return checksum_of(body) == e.checksum; };
  if (const Hole hole = find_hole(e); right(hole.body())) return hole.body();
  const fs::path kept = kState / "shipped" / e.number;
  if (fs::exists(kept))
    if (const std::string body = read_file(kept); right(body)) return body;
  // A student may have committed what is theirs: the solution is in the newest commit that has it.
  const auto in_commit = [&](const std::string& commit) -> std::optional<std::string> {
    try {
      const std::string body = find_hole_in(output_of({"git", "show", commit + ":" + e.file}), e).body();
      if (right(body)) return body;
    } catch (const Error&) {}
    return std::nullopt;
  };
  for (const std::string& commit : words(output_of({"git", "log", "-n", "100", "--format=%H", "--", e.file})))
    if (const auto body = in_commit(commit)) return body;
  return std::nullopt;
}

void keep_shipped_body(const Exercise& e, const std::string& body) { write_file(kState / "shipped" / e.number, body); }

fs::path put_away(const Exercise& e, const std::string& body) {
  const fs::path to = kState / "put-away" / (e.number + "-" + e.name + "-" + checksum_of(body) + ".txt");
  write_file(to, body);
  return to;
}

}  // namespace course
