#pragma once
// GPT-2's tokens: byte-level byte-pair encoding (Sennrich et al., "Neural machine translation of rare words with
// subword units", 2016; Radford et al., 2019).
//
//   text      I don't know
//   words     I | _don | 't | _know         a space belongs to the word after it
//   tokens    I | _don | 't | _k | now      of each word: bytes first, then pairs are merged, the most common first
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace examples {

/// The words of a text: what GPT-2's pattern finds, one match after the other.
///
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::vector<std::string_view> split_words(std::string_view text);

class Bpe {
 public:
  /// Reads the published files: vocab.json has the number of each token, merges.txt the pairs in the order of merging.
  Bpe(const std::string& vocab, const std::string& merges);

  std::vector<int64_t> encode(std::string_view text) const;
  /// The bytes of a token, which need not be whole characters; none where the vocabulary has no such number.
  std::string_view decode(int64_t token) const;
  /// The token that stands in vocab.json under this name: <|endoftext|>, say.
  std::optional<int64_t> find(const std::string& name) const;
  int64_t size() const { return int64_t(bytes_.size()); }  ///< the largest number of a token, and 1

 private:
  struct Merge {
    size_t rank;
    int64_t to;
  };
  void read_vocabulary(const std::string& path);
  void read_merges(const std::string& path);
  int64_t token_of(const std::string& name, const std::string& path, size_t line) const;

  std::unordered_map<std::string, int64_t> tokens_;  ///< by name
  std::vector<std::string> bytes_;                   ///< of each token
  std::vector<int64_t> of_byte_;                     ///< the tokens of single bytes
  std::unordered_map<uint64_t, Merge> merges_;       ///< by pair
};

}  // namespace examples
