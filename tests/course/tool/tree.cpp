#include "tree.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "child.h"

namespace course {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

}  // namespace

void copy_with_time(const fs::path& from, const fs::path& to) {
  fs::create_directories(to.parent_path());
  fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  fs::last_write_time(to, fs::last_write_time(from));
}

std::vector<std::string> tracked_files(const fs::path& root) {
  std::vector<std::string> files;
  if (fs::exists(root / ".git")) files = lines_of(output_of({"git", "-C", root.string(), "ls-files"}));
  if (files.empty())
    for (auto i = fs::recursive_directory_iterator(root); i != fs::recursive_directory_iterator(); ++i) {
      const fs::path relative = i->path().lexically_relative(root);
      if (i->is_directory() && (relative == "build" || relative == ".git")) i.disable_recursion_pending();
      else if (i->is_regular_file()) files.push_back(relative.string());
    }
  std::erase_if(files, [&](const std::string& file) { return !fs::is_regular_file(root / file); });
  std::ranges::sort(files);
  return files;
}

void copy_tree(const std::vector<Exercise>& all, const fs::path& to) {
  const std::vector<std::string> files = tracked_files();
  for (const std::string& file : files)
    if (!fs::exists(to / file)) copy_with_time(file, to / file);
    else if (read_file(to / file) != read_file(file)) write_file(to / file, read_file(file));  // newer than its object
  const std::set<std::string> known(files.begin(), files.end());
  for (const std::string& file : tracked_files(to))
    if (!known.contains(file) && file != "compile_commands.json") fs::remove(to / file);
  for (const Exercise& e : all) {
    const auto body = shipped_body(e);
    const Hole hole = find_hole(e, to);
    put_body(e, body ? *body : stub_body(e, hole), to);
  }
  for (const char* folder : {"build/cpu-native", "build/cuda-emulated-native", "build/cpu-x86-64-v3"}) {
    if (fs::exists(to / folder) || !fs::exists(folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      const bool object =
          extension == ".o" || extension == ".d" || extension == ".gch" || extension == ".h" || extension.empty();
      // Programs, and the objects of the tests, would only take room.
      const bool wanted =
          object && entry.is_regular_file() && entry.path().string().find("/tests/test_") == std::string::npos &&
          !(extension.empty() && entry.path().parent_path() == folder && entry.path().filename() != "flags");
      if (wanted) copy_with_time(entry.path(), to / entry.path());
    }
  }
}

std::vector<const Exercise*> chosen(const std::vector<Exercise>& all, const std::string& numbers) {
  std::set<std::string> wanted;
  std::string list = numbers;
  std::ranges::replace(list, ',', ' ');
  std::istringstream in(list);
  for (std::string word; in >> word;) {
    const size_t dash = word.find('-');
    const std::string first = word.substr(0, dash), last = dash == std::string::npos ? first : word.substr(dash + 1);
    const auto number = [&](const std::string& text) {
      if (text.empty() || text.size() > 2 || text.find_first_not_of("0123456789") != std::string::npos)
        throw Error("EX=" + numbers + ": not a list of numbers such as 3 or 1-12,15");
      return std::stoi(text);
    };
    bool some = false;
    for (const Exercise& e : all)
      if (const int n = std::stoi(e.number); number(first) <= n && n <= number(last))
        wanted.insert(e.number), some = true;
    if (!some) throw Error("EX=" + numbers + ": there is no exercise " + word);
  }
  std::vector<const Exercise*> result;
  for (const Exercise& e : all)
    if (wanted.empty() || wanted.contains(e.number)) result.push_back(&e);
  return result;
}

std::vector<std::string> leaks(const Exercise& e, const std::string& body, const fs::path& root,
                               const std::vector<std::string>& files) {
  // One long line, or two that follow each other: shorter ones, such as the head of a loop, are nobody's.
  constexpr size_t kLong = 40;
  const auto code_of = [](const std::string& text) {
    std::vector<std::pair<int, std::string>> result;  // without blank lines and comments; with their numbers
    int number = 0;
    for (const std::string& line : lines_of(text)) {
      ++number;
      if (const std::string code = trimmed(line); !code.empty() && !code.starts_with("//"))
        result.emplace_back(number, code);
    }
    return result;
  };
  std::set<std::string> single, pairs;
  const auto lines = code_of(body);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].second.size() >= kLong) single.insert(lines[i].second);
    if (i && lines[i - 1].second.size() + lines[i].second.size() >= kLong)
      pairs.insert(lines[i - 1].second + "\n" + lines[i].second);
  }
  for (const auto& [number, line] : code_of(e.stub)) single.erase(line);

  std::map<std::string, std::vector<std::string>> places;  // of a line, or of two
  for (const std::string& file : files) {
    const bool is_text = file.ends_with(".h") || file.ends_with(".cpp") || file.ends_with(".cu") ||
                         file.ends_with(".md") || file.ends_with(".py");
    if (!is_text || file.starts_with("notes/exercises/") || std::ranges::count(e.known, file)) continue;
    std::string text = read_file(root / file);
    if (file == e.file) {  // the hole itself is left out, and its lines still count
      const Hole hole = find_hole(e, root);
      const std::string blank(size_t(std::ranges::count(hole.body(), '\n')), '\n');
      text = text.substr(0, hole.begin) + blank + text.substr(hole.end);
    }
    std::string before;
    for (const auto& [number, line] : code_of(text)) {
      const std::string pair = before + "\n" + line, place = file + ":" + std::to_string(number) + "  " + line;
      if (single.contains(line)) places[line].push_back(place);
      else if (pairs.contains(pair)) places[pair].push_back(place);
      before = line;
    }
  }
  constexpr size_t kIdiom = 3;  // what stands in more places is how things are said here
  std::vector<std::string> result;
  for (const auto& [line, found] : places)
    if (found.size() <= kIdiom) result.insert(result.end(), found.begin(), found.end());
  return result;
}

}  // namespace course
