#include "examples/bpe.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "examples/unicode.h"
#include "teeny/files/file.h"
#include "teeny/graph/base.h"

namespace examples {

using teeny::fail;

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  // Where a run of one kind that begins at `at` ends, and where its last character begins.
  const auto run = [&](size_t at) {
    struct {
      Kind kind;
      size_t last, end;
    } found{kind_of(first_code_point(text.substr(at)).value), at, at};
    while (found.end < text.size()) {
      const CodePoint next = first_code_point(text.substr(found.end));
      if (kind_of(next.value) != found.kind) break;
      found.last = std::exchange(found.end, found.end + next.bytes);
    }
    return found;
  };
  for (size_t at = 0, end; at < text.size(); at = end) {
    const std::string_view rest = text.substr(at);
    end = at;
    for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
      if (rest.starts_with(ending)) end = at + ending.size();
    if (end == at) {
      const size_t start = rest[0] == ' ' && rest.size() > 1 ? at + 1 : at;
      if (const auto word = run(start); word.kind != Kind::Space) end = word.end;
    }
    if (end == at) {  // white space leaves its last character to what comes after
      const auto spaces = run(at);
      end = spaces.end == text.size() || spaces.last == at ? spaces.end : spaces.last;
    }
    words.push_back(text.substr(at, end - at));
  }
  return words;
}

// ---- The files ------------------------------------------------------------------------------------------------------

/// In the files a byte is one visible character: itself where it is one in Latin-1, else one from U+0100 on.
static const std::array<char32_t, 256>& alphabet() {
  static const auto letters = [] {
    std::array<char32_t, 256> result;
    char32_t next = 256;
    for (char32_t b = 0; b < 256; ++b) result[b] = (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD) ? b : next++;
    return result;
  }();
  return letters;
}

/// The bytes that a name stands for. A token that was added later is its own text.
static std::string bytes_of(const std::string& name) {
  static const auto byte_of = [] {
    std::unordered_map<char32_t, char> result;
    for (size_t b = 0; b < 256; ++b) result[alphabet()[b]] = char(b);
    return result;
  }();
  std::string bytes;
  for (std::string_view rest = name; !rest.empty();) {
    const CodePoint next = first_code_point(rest);
    const auto byte = byte_of.find(next.value);
    if (byte == byte_of.end()) return name;
    bytes += byte->second;
    rest.remove_prefix(next.bytes);
  }
  return bytes;
}

static std::string read_file(const std::string& path) {
  teeny::data::File file = teeny::data::open_to_read(path);
  std::string text(file.size(), '\0');
  file.read_all(text.data(), text.size());
  return text;
}

Bpe::Bpe(const std::string& vocab, const std::string& merges) {
  read_vocabulary(vocab);
  read_merges(merges);
}

void Bpe::read_vocabulary(const std::string& path) {
  const auto json = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!json.is_object()) fail(path, ": no vocabulary, which is JSON: {\"token\": number, ..}");
  for (const auto& [name, number] : json.items()) {
    // Numbers are small: a table of all of them is made, and the file pays for it.
    if (!number.is_number_unsigned() || number.get<uint64_t>() >= 2 * json.size() + 256)
      fail(path, ": the number of token ", nlohmann::json(name).dump(-1, ' ', true), " is ", number.dump(),
           ", and must be a whole one below ", 2 * json.size() + 256);
    const auto token = number.get<int64_t>();
    if (token >= size()) bytes_.resize(size_t(token) + 1);
    if (!bytes_[size_t(token)].empty() || name.empty())
      fail(path, ": token ", token, name.empty() ? " has no name" : " is there twice");
    tokens_[name] = token;
    bytes_[size_t(token)] = bytes_of(name);
  }
  for (size_t b = 0; b < 256; ++b) {
    const auto token = tokens_.find(to_utf8(alphabet()[b]));
    if (token == tokens_.end()) fail(path, ": there is no token for byte ", b, ", \"", to_utf8(alphabet()[b]), '"');
    of_byte_.push_back(token->second);
  }
}

static uint64_t pair_of(int64_t left, int64_t right) { return uint64_t(left) << 32 | uint64_t(right); }

int64_t Bpe::token_of(const std::string& name, const std::string& path, size_t line) const {
  const auto token = tokens_.find(name);
  if (token == tokens_.end())
    fail(path, ": line ", line, " has \"", name,
         "\", which the vocabulary has not: the two files do not belong together");
  return token->second;
}

void Bpe::read_merges(const std::string& path) {
  std::istringstream file(read_file(path));
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    if (++number == 1 && line.starts_with("#version")) continue;
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    if (space == 0 || space >= line.size() - 1 || line.find(' ', space + 1) != line.npos)
      fail(path, ": line ", number, " is not a pair of tokens with a space between them");
    const std::string left = line.substr(0, space), right = line.substr(space + 1);
    const int64_t first = token_of(left, path, number), second = token_of(right, path, number);
    merges_.try_emplace(pair_of(first, second), Merge{number, token_of(left + right, path, number)});
  }
  if (number == 0) fail(path, ": is empty; it should list the pairs of tokens to merge");
}

// ---- Tokens ---------------------------------------------------------------------------------------------------------

std::vector<int64_t> Bpe::encode(std::string_view text) const {
  std::vector<int64_t> tokens;
  for (const std::string_view word : split_words(text)) {
    std::vector<int64_t> parts;
    for (const char byte : word) parts.push_back(of_byte_[uint8_t(byte)]);
    while (true) {
      const Merge* best = nullptr;
      uint64_t pair = 0;
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto merge = merges_.find(pair_of(parts[i], parts[i + 1]));
        if (merge == merges_.end() || (best && merge->second.rank >= best->rank)) continue;
        best = &merge->second, pair = merge->first;
      }
      if (!best) break;
      size_t kept = 0;  // every place where the pair stands, from the left
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool here = i + 1 < parts.size() && pair_of(parts[i], parts[i + 1]) == pair;
        parts[kept++] = here ? best->to : parts[i];
        i += here;
      }
      parts.resize(kept);
    }
    tokens.insert(tokens.end(), parts.begin(), parts.end());
  }
  return tokens;
}

std::string_view Bpe::decode(int64_t token) const {
  return token >= 0 && token < size() ? std::string_view(bytes_[size_t(token)]) : std::string_view();
}

std::optional<int64_t> Bpe::find(const std::string& name) const {
  const auto token = tokens_.find(name);
  return token == tokens_.end() ? std::nullopt : std::optional(token->second);
}

}  // namespace examples
