#pragma once
// Zip archives, which .pt and .npz files are:
//
//   [header bytes] [header bytes] ...  directory: name, size, where  ...   end: where the directory is
//
// zlib unpacks; the layout, as PKWARE's APPNOTE.TXT has it, is read and written here, also beyond 4 GiB. An archive is
// not trusted: no name is there twice, no record overlaps another one, nothing lies outside of where it may, and
// nothing inflates to more than deflate can make of its bytes, nor all of it to more than a limit.
#include <initializer_list>
#include <map>

#include "teeny/io/elements.h"

namespace teeny::io {

struct ZipRecord {
  std::string name;     ///< only compared, never a path
  bool stored = true;   ///< as it is; else deflated
  uint32_t crc = 0;     ///< of its bytes; 0 where the writer did not count it
  uint64_t header = 0;  ///< where it begins in the file
  uint64_t begin = 0;   ///< and its bytes
  uint64_t packed = 0;  ///< bytes in the file
  uint64_t size = 0;    ///< bytes when it is read
};

/// Lives no longer than its file.
class ZipReader {
 public:
  static constexpr uint64_t kMaxInflated = uint64_t(16) << 30;
  explicit ZipReader(data::File& file, uint64_t max_inflated = kMaxInflated);

  const std::vector<ZipRecord>& records() const { return records_; }  ///< in the order of the directory
  const ZipRecord* find(std::string_view name) const;                 ///< null where there is none
  /// The first `count` bytes, or all of them where there are fewer.
  std::string head(const ZipRecord& record, uint64_t count) const;
  /// All but the first `from` bytes; see `load_elements`.
  Elements load(const ZipRecord& record, uint64_t from, int width, const LoadOptions& options) const;

 private:
  void read_entry(std::string_view& directory, uint64_t end);
  void check_places() const;
  void inflate(const ZipRecord& record, std::initializer_list<std::span<std::byte>> parts) const;
  template <class... Parts>
  [[noreturn]] void refuse(const ZipRecord& record, const Parts&... why) const;

  data::File& file_;
  std::vector<ZipRecord> records_;
  std::map<std::string, size_t, std::less<>> places_;  ///< name -> which record
};

/// Who has written it, or what is in it, and what to do then.
std::string kind_of_zip(const ZipReader& archive);

/// Writes stored records, whose bytes begin at multiples of 64, to a file from its beginning.
class ZipWriter {
 public:
  explicit ZipWriter(data::File& file) : file_(file) {}
  /// The parts, one behind the other. `name` is UTF-8.
  void add(const std::string& name, std::initializer_list<std::span<const std::byte>> parts);
  void finish();  ///< writes the directory

 private:
  data::File& file_;
  std::string directory_;
  uint64_t count_ = 0;
};

}  // namespace teeny::io
