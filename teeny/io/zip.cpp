#include "teeny/io/zip.h"

#include <minizip/unzip.h>
#include <minizip/zip.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>

namespace teeny::io {

// ---- minizip's calls -----------------------------------------------------------------------------------------------

/// A file, as minizip sees it through its callbacks. No exception passes through C: it is kept until minizip returns.
struct ZipStream {
  data::File& file;
  uint64_t size = 0, place = 0;  ///< of a file that is read
  uint64_t begin = 0;            ///< what `buffer` holds: minizip asks for a few bytes at a time
  std::string buffer = {};
  std::exception_ptr error = {};

  uLong read(char* to, uLong count) {
    uLong done = 0;
    while (done < count && place < size) {
      if (place < begin || place >= begin + buffer.size()) {
        buffer.resize(std::min<uint64_t>(64 << 10, size - place));
        begin = place;
        file.seek(begin);
        file.read_all(buffer.data(), buffer.size());
      }
      const uint64_t from = place - begin, some = std::min<uint64_t>(count - done, buffer.size() - from);
      std::memcpy(to + done, buffer.data() + from, some);
      done += some;
      place += some;
    }
    return done;
  }

  void seek(uint64_t to, int origin) {
    place = to + (origin == ZLIB_FILEFUNC_SEEK_CUR ? place : origin == ZLIB_FILEFUNC_SEEK_END ? size : 0);
  }
};

namespace {

template <class Result, class F>
Result guard(void* opaque, Result failed, F&& f) {
  ZipStream& stream = *static_cast<ZipStream*>(opaque);
  try {
    return f(stream);
  } catch (...) {
    stream.error = std::current_exception();
    return failed;
  }
}

zlib_filefunc64_def callbacks(ZipStream& stream, bool writes) {
  zlib_filefunc64_def calls = {};
  calls.opaque = &stream;
  calls.zopen64_file = [](void* opaque, const void*, int) { return opaque; };
  calls.zclose_file = [](void*, void*) { return 0; };
  calls.zerror_file = [](void* opaque, void*) { return static_cast<ZipStream*>(opaque)->error ? 1 : 0; };
  calls.zread_file = [](void* opaque, void*, void* to, uLong count) {
    return guard(opaque, uLong(0), [&](ZipStream& s) { return s.read(static_cast<char*>(to), count); });
  };
  calls.zwrite_file = [](void* opaque, void*, const void* from, uLong count) {
    return guard(opaque, uLong(0), [&](ZipStream& s) { return s.file.write(from, count), count; });
  };
  if (writes) {  // it seeks only to where it has been
    calls.ztell64_file = [](void* opaque, void*) {
      return guard(opaque, ZPOS64_T(0), [](ZipStream& s) { return ZPOS64_T(s.file.place()); });
    };
    calls.zseek64_file = [](void* opaque, void*, ZPOS64_T to, int origin) {
      return guard(opaque, -1L, [&](ZipStream& s) {
        s.file.seek(origin == ZLIB_FILEFUNC_SEEK_SET ? to : s.file.size());
        return 0L;
      });
    };
  } else {
    calls.ztell64_file = [](void* opaque, void*) { return ZPOS64_T(static_cast<ZipStream*>(opaque)->place); };
    calls.zseek64_file = [](void* opaque, void*, ZPOS64_T to, int origin) {
      return static_cast<ZipStream*>(opaque)->seek(to, origin), 0L;
    };
  }
  return calls;
}

constexpr uint64_t kHeader = 30;     // bytes before the name of a record
constexpr uint64_t kEntry = 46;      // and of an entry of the directory
constexpr uint64_t kEnd = 22;        // the least behind the directory
constexpr uint64_t kInflate = 1032;  // a byte of deflate stands for at most so many
constexpr unsigned kEncrypted = 1 | 1 << 6 | 1 << 13;
constexpr uint64_t kChunk = 1 << 30;  // minizip counts in 32 bits

}  // namespace

// ---- Reading -------------------------------------------------------------------------------------------------------

ZipReader::ZipReader(data::File& file, uint64_t max_inflated)
    : file_(file), stream_(new ZipStream{file, file.size()}), archive_(nullptr, unzClose) {
  zlib_filefunc64_def calls = callbacks(*stream_, false);
  archive_.reset(unzOpen2_64("", &calls));
  if (stream_->error) std::rethrow_exception(stream_->error);
  if (!archive_) fail(file.path(), ": no zip archive: the directory at its end is missing or damaged");
  read_directory(max_inflated);
  check_places();
}

ZipReader::~ZipReader() = default;

void ZipReader::read_directory(uint64_t max_inflated) {
  const std::string& path = file_.path();
  unz_global_info64 archive = {};
  unzGetGlobalInfo64(archive_.get(), &archive);
  if (archive.number_entry > file_.size() / kEntry)
    fail(path, ": a zip directory of ", archive.number_entry, " records in a file of ", file_.size(), " bytes");
  uint64_t inflated = 0;
  std::string name(1 << 16, '\0');
  for (uint64_t i = 0; i < archive.number_entry; ++i) {
    unz_file_info64 info = {};
    unz64_file_pos place = {};
    if ((i > 0 && unzGoToNextFile(archive_.get()) != UNZ_OK) ||
        unzGetCurrentFileInfo64(archive_.get(), &info, name.data(), name.size(), nullptr, 0, nullptr, 0) != UNZ_OK ||
        unzGetFilePos64(archive_.get(), &place) != UNZ_OK)
      fail(path, ": the zip directory is damaged at record ", i, " of ", archive.number_entry);
    ZipRecord record = {.name = name.substr(0, info.size_filename),
                        .stored = info.compression_method == 0,
                        .crc = uint32_t(info.crc),
                        .packed = info.compressed_size,
                        .size = info.uncompressed_size,
                        .entry = place.pos_in_zip_directory};
    const auto refuse = [&](const auto&... why) { fail(path, ": record \"", shown(record.name), "\"", why...); };
    if (info.flag & kEncrypted) refuse(" is encrypted");
    if (!record.stored && info.compression_method != Z_DEFLATED)
      refuse(" is packed by method ", info.compression_method, ": only stored and deflated ones are read");
    if (unzOpenCurrentFile2(archive_.get(), nullptr, nullptr, true) != UNZ_OK)
      refuse(" has a header that does not agree with the zip directory");
    record.begin = unzGetCurrentFileZStreamPos64(archive_.get());
    unzCloseCurrentFile(archive_.get());
    if (record.begin > file_.size() || record.packed > file_.size() - record.begin)
      refuse(": ", record.packed, " bytes from ", record.begin, " of a file of ", file_.size());
    if (record.stored && record.packed != record.size)
      refuse(": ", record.packed, " bytes, stored as they are, cannot be ", record.size);
    if (record.size / kInflate > record.packed) refuse(": ", record.packed, " bytes cannot inflate to ", record.size);
    if (!record.stored && (inflated += record.size) > max_inflated)
      refuse(" and those before it inflate to more than ", max_inflated, " bytes");
    records_.push_back(std::move(record));
  }
  if (stream_->error) std::rethrow_exception(stream_->error);
  for (size_t i = 0; i < records_.size(); ++i)
    if (!places_.emplace(records_[i].name, i).second)
      fail(path, ": record \"", shown(records_[i].name), "\" is there twice");
}

void ZipReader::check_places() const {
  if (records_.empty()) return;
  const std::string& path = file_.path();
  std::vector<const ZipRecord*> by_place;
  for (const ZipRecord& record : records_) by_place.push_back(&record);
  std::ranges::sort(by_place, {}, [](const ZipRecord* r) { return std::pair(r->begin, r->packed); });
  uint64_t end = 0;
  for (const ZipRecord* record : by_place) {
    if (record->begin < end + kHeader + record->name.size())
      fail(path, ": record \"", shown(record->name), "\" overlaps another one");
    end = record->begin + record->packed;
  }
  // minizip would read a directory that does not lie where it says to, and find everything as much further back.
  const uint64_t directory = records_[0].entry;
  char mark[4] = {};
  if (directory < end || directory > file_.size() - kEnd)
    fail(path, ": the zip directory lies in a record, or outside");
  file_.seek(directory);
  file_.read_all(mark, sizeof mark);
  if (std::memcmp(mark, "PK\1\2", sizeof mark) != 0) fail(path, ": the zip directory is not where the file says");
}

const ZipRecord* ZipReader::find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : &records_[found->second];
}

void ZipReader::inflate(const ZipRecord& record, std::initializer_list<std::span<std::byte>> parts, bool whole) const {
  const unz64_file_pos place = {record.entry, uint64_t(&record - records_.data())};
  int code = unzGoToFilePos64(archive_.get(), &place);
  if (code == UNZ_OK) code = unzOpenCurrentFile(archive_.get());
  bool good = code == UNZ_OK;
  for (std::span<std::byte> part : parts)
    while (good && !part.empty()) {
      const auto some = part.first(std::min<uint64_t>(part.size(), kChunk));
      good = unzReadCurrentFile(archive_.get(), some.data(), unsigned(some.size())) == int(some.size());
      part = part.subspan(some.size());
    }
  if (code == UNZ_OK) code = unzCloseCurrentFile(archive_.get());
  if (stream_->error) std::rethrow_exception(stream_->error);
  if (good && whole && code == UNZ_CRCERROR)
    fail(file_.path(), ": record \"", shown(record.name), "\" does not fit its checksum: the file is damaged");
  if (!good) fail(file_.path(), ": record \"", shown(record.name), "\" cannot be inflated: the file is damaged");
}

std::string ZipReader::head(const ZipRecord& record, uint64_t count) const {
  std::string bytes(std::min(count, record.size), '\0');
  if (record.stored) {
    file_.seek(record.begin);
    file_.read_all(bytes.data(), bytes.size());
  } else {
    inflate(record, {std::as_writable_bytes(std::span(bytes))}, false);
  }
  return bytes;
}

Elements ZipReader::load(const ZipRecord& record, uint64_t from, int width, const LoadOptions& options) const {
  if (!record.stored) {
    std::string before(from, '\0');
    Elements result = new_elements(record.size - from, file_.path());
    inflate(record, {std::as_writable_bytes(std::span(before)), result.bytes}, true);
    return result;
  }
  Elements result = load_elements(file_, record.begin + from, record.size - from, width, options.map);
  if (!options.checksums || record.crc == 0) return result;
  const std::string before = head(record, from);
  const auto crc_of = [](uLong crc, const void* bytes, size_t count) {
    return count == 0 ? crc : crc32_z(crc, static_cast<const Bytef*>(bytes), count);
  };
  const uLong crc = crc_of(crc_of(0, before.data(), before.size()), result.bytes.data(), result.bytes.size());
  if (crc != record.crc)
    fail(file_.path(), ": record \"", shown(record.name), "\" does not fit its checksum: the file is damaged");
  return result;
}

// ---- Writing -------------------------------------------------------------------------------------------------------

ZipWriter::ZipWriter(data::File& file)
    : file_(file),
      stream_(new ZipStream{file}),
      archive_(nullptr, [](void* archive) { return zipClose(archive, nullptr); }) {
  zlib_filefunc64_def calls = callbacks(*stream_, true);
  archive_.reset(zipOpen2_64("", APPEND_STATUS_CREATE, nullptr, &calls));
  check(archive_ ? ZIP_OK : ZIP_INTERNALERROR);
}

ZipWriter::~ZipWriter() = default;

void ZipWriter::check(int code) const {
  if (stream_->error) std::rethrow_exception(stream_->error);
  if (code != ZIP_OK) fail(file_.path(), ": cannot write: minizip says ", code);
}

void ZipWriter::add(const std::string& name, std::initializer_list<std::span<const std::byte>> parts) {
  if (name.size() > UINT16_MAX) fail(file_.path(), ": a record's name of ", name.size(), " bytes");
  uint64_t size = 0;
  for (const auto& part : parts) size += part.size();
  const bool zip64 = size >= UINT32_MAX;
  // A field of the header that nobody reads fills it up: two bytes of its name, two for its length, and zeros.
  std::array<char, 4 + 63> padding = {'F', 'B'};
  const uint64_t begin = file_.place() + kHeader + name.size() + (zip64 ? 20 : 0) + 4;
  padding[2] = char(-begin & 63);
  const zip_fileinfo info = {
      .tmz_date = {}, .dosDate = (1 << 5 | 1) << 16, .internal_fa = 0, .external_fa = 0};  // 1980-01-01
  check(zipOpenNewFileInZip4_64(archive_.get(), name.c_str(), &info, padding.data(), 4 + unsigned(padding[2]), nullptr,
                                0, nullptr, 0, 0, 0, -MAX_WBITS, DEF_MEM_LEVEL, Z_DEFAULT_STRATEGY, nullptr, 0, 0,
                                1 << 11,  // the name is UTF-8
                                zip64));
  for (std::span<const std::byte> part : parts)
    while (!part.empty()) {
      const auto some = part.first(std::min<uint64_t>(part.size(), kChunk));
      check(zipWriteInFileInZip(archive_.get(), some.data(), unsigned(some.size())));
      part = part.subspan(some.size());
    }
  check(zipCloseFileInZip(archive_.get()));
}

void ZipWriter::finish() { check(zipClose(archive_.release(), nullptr)); }

}  // namespace teeny::io
