#pragma once
// Zip archives, which .pt and .npz files are. minizip knows how they are laid out; what it does not check is checked
// here, because an archive is not trusted:
//
//   [header|bytes] [header|bytes] ...  directory: name, size, where   end
//
// No name is there twice, no record overlaps another one or the directory, nothing lies outside the file, and nothing
// inflates to more than deflate can make of its bytes, nor all of it to more than a limit.
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>

#include "teeny/io/elements.h"

namespace teeny::io {

struct ZipRecord {
  std::string name;     ///< only compared, never a path
  bool stored = true;   ///< as it is; else deflated
  uint32_t crc = 0;     ///< of its bytes; 0 where the writer did not count it
  uint64_t begin = 0;   ///< in the file
  uint64_t packed = 0;  ///< bytes in the file
  uint64_t size = 0;    ///< bytes when it is read
  uint64_t entry = 0;   ///< where the directory speaks of it
};

struct ZipStream;  // what minizip reads from and writes to

/// Lives no longer than its file.
class ZipReader {
 public:
  static constexpr uint64_t kMaxInflated = uint64_t(16) << 30;
  explicit ZipReader(data::File& file, uint64_t max_inflated = kMaxInflated);
  ~ZipReader();

  const std::vector<ZipRecord>& records() const { return records_; }  ///< in the order of the directory
  const ZipRecord* find(std::string_view name) const;                 ///< null where there is none
  /// The first `count` bytes, or all of them where there are fewer.
  std::string head(const ZipRecord& record, uint64_t count) const;
  /// All but the first `from` bytes; see `load_elements`. Inflated ones always fit their checksum.
  Elements load(const ZipRecord& record, uint64_t from, int width, const LoadOptions& options) const;

 private:
  void read_directory(uint64_t max_inflated);
  void check_places() const;
  void inflate(const ZipRecord& record, std::initializer_list<std::span<std::byte>> parts, bool whole) const;

  data::File& file_;
  std::unique_ptr<ZipStream> stream_;
  std::unique_ptr<void, int (*)(void*)> archive_;
  std::vector<ZipRecord> records_;
  std::map<std::string_view, size_t> places_;  ///< name -> which record
};

/// Writes stored records whose bytes begin at a multiple of 64, to an empty file.
class ZipWriter {
 public:
  explicit ZipWriter(data::File& file);
  ~ZipWriter();
  /// The parts, one behind the other. `name` is UTF-8, without a zero byte.
  void add(const std::string& name, std::initializer_list<std::span<const std::byte>> parts);
  void finish();  ///< writes the directory

 private:
  void check(int code) const;

  data::File& file_;
  std::unique_ptr<ZipStream> stream_;
  std::unique_ptr<void, int (*)(void*)> archive_;
};

}  // namespace teeny::io
