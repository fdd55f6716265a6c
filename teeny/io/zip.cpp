#include "teeny/io/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

namespace teeny::io {

namespace {

using u16 = uint16_t;
using u32 = uint32_t;

constexpr std::string_view kRecord = "PK\3\4", kEntry = "PK\1\2", kEnd = "PK\5\6", kLocator = "PK\6\7",
                           kEnd64 = "PK\6\6";
constexpr u16 kDeflated = 8, kUtf8 = 1 << 11, kEncrypted = 1 | 1 << 6 | 1 << 13;
constexpr u16 kZip64 = 1;  // the field of a header that holds what 32 bits cannot
constexpr uint64_t kHeaderSize = 30, kEntrySize = 46, kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56;
constexpr uint64_t kMaxDirectory = 256 << 20;
constexpr uint64_t kMostInflated = 1032;  // a byte of deflate stands for at most so many

std::string read_at(data::File& file, uint64_t begin, uint64_t size) {
  std::string bytes(size, '\0');
  file.seek(begin);
  file.read_all(bytes.data(), size);
  return bytes;
}

/// The number at `at`, which is in `bytes`.
template <class T>
T get(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class... Numbers>
std::string put(Numbers... numbers) {
  std::string bytes;
  (bytes.append(reinterpret_cast<const char*>(&numbers), sizeof numbers), ...);
  return bytes;
}

u32 crc_of(u32 crc, std::span<const std::byte> bytes) {
  return bytes.empty() ? crc : u32(crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

struct Directory {
  uint64_t count, size, begin;
};

/// The last thing in a file tells where the directory is. In front of it there may be another such thing, with numbers
/// of 64 bits, and then one that tells where that is. All must agree, and the directory must end where they begin: or
/// another program, which looks in another order, would see another archive.
Directory find_directory(data::File& file) {
  const auto elsewhere = [&] { fail(file.path(), ": the zip directory is not where the file says"); };
  const uint64_t size = file.size(), most = std::min(size, kEndSize + UINT16_MAX);
  const std::string tail = read_at(file, size - most, most);
  size_t at = tail.rfind(kEnd);
  while (at != tail.npos && (at + kEndSize > most || get<u16>(tail, at + 20) != most - at - kEndSize))
    at = at == 0 ? tail.npos : tail.rfind(kEnd, at - 1);
  if (at == tail.npos)
    fail(file.path(), ": a zip archive without the directory at its end: it was cut; save it, or fetch it, again");
  if (get<u32>(tail, at + 4) != 0) fail(file.path(), ": a zip archive in several files");
  uint64_t end = size - most + at;
  Directory result{get<u16>(tail, at + 10), get<u32>(tail, at + 12), get<u32>(tail, at + 16)};
  if (end >= kLocatorSize + kEnd64Size) {
    const uint64_t place = end - kLocatorSize - kEnd64Size;
    const std::string both = read_at(file, place, kEnd64Size + kLocatorSize), locator = both.substr(kEnd64Size);
    if (locator.starts_with(kLocator)) {
      if (!both.starts_with(kEnd64) || get<uint64_t>(locator, 8) != place) elsewhere();
      const Directory large{get<uint64_t>(both, 32), get<uint64_t>(both, 40), get<uint64_t>(both, 48)};
      if ((result.count != UINT16_MAX && result.count != large.count) ||
          (result.size != UINT32_MAX && result.size != large.size) ||
          (result.begin != UINT32_MAX && result.begin != large.begin))
        elsewhere();
      result = large;
      end = place;
    }
  }
  if (result.begin > end || result.size != end - result.begin) elsewhere();
  if (result.size > kMaxDirectory || result.count > result.size / kEntrySize)
    fail(file.path(), ": a zip directory of ", result.count, " records in ", result.size, " bytes; at most ",
         kMaxDirectory);
  return result;
}

/// Numbers of an entry that 32 bits do not hold stand in the order of `numbers` in a field behind its name.
bool read_zip64(std::string_view extra, std::initializer_list<uint64_t*> numbers) {
  while (extra.size() >= 4) {
    const u16 kind = get<u16>(extra, 0), size = get<u16>(extra, 2);
    std::string_view field = extra.substr(4, size);
    if (field.size() < size) return false;
    extra.remove_prefix(4 + size);
    if (kind != kZip64) continue;
    for (uint64_t* number : numbers) {
      if (*number != UINT32_MAX) continue;
      if (field.size() < 8) return false;
      *number = get<uint64_t>(field, 0);
      field.remove_prefix(8);
    }
  }
  return true;
}

}  // namespace

// ---- Reading
// ----------------------------------------------------------------------------------------------------------

template <class... Parts>
void ZipReader::refuse(const ZipRecord& record, const Parts&... why) const {
  fail(file_.path(), ": record \"", shown(record.name), "\"", why...);
}

ZipReader::ZipReader(data::File& file, uint64_t max_inflated) : file_(file) {
  const Directory directory = find_directory(file);
  const std::string bytes = read_at(file, directory.begin, directory.size);
  std::string_view rest = bytes;
  uint64_t inflated = 0;
  for (uint64_t i = 0; i < directory.count; ++i) {
    read_entry(rest, directory.begin);
    const ZipRecord& record = records_.back();
    if (!record.stored && (inflated += record.size) > max_inflated)
      refuse(record, " and those before it inflate to more than ", max_inflated, " bytes");
    if (!places_.emplace(record.name, records_.size() - 1).second) refuse(record, " is there twice");
  }
  if (!rest.empty()) fail(file.path(), ": the zip directory has more records than it counts");
  check_places();
}

/// Takes an entry of the directory, and looks at the header in front of the record's bytes, which end before `end`.
void ZipReader::read_entry(std::string_view& directory, uint64_t end) {
  const auto damaged = [&] { fail(file_.path(), ": the zip directory is damaged at record ", records_.size()); };
  if (directory.size() < kEntrySize || !directory.starts_with(kEntry)) damaged();
  const u16 flags = get<u16>(directory, 8), method = get<u16>(directory, 10);
  const u16 name = get<u16>(directory, 28), extra = get<u16>(directory, 30), comment = get<u16>(directory, 32);
  if (directory.size() - kEntrySize < uint64_t(name) + extra + comment) damaged();
  ZipRecord& record = records_.emplace_back(ZipRecord{.name = std::string(directory.substr(kEntrySize, name)),
                                                      .stored = method == 0,
                                                      .crc = get<u32>(directory, 16),
                                                      .header = get<u32>(directory, 42),
                                                      .packed = get<u32>(directory, 20),
                                                      .size = get<u32>(directory, 24)});
  const std::string_view fields = directory.substr(kEntrySize + name, extra);
  if (!read_zip64(fields, {&record.size, &record.packed, &record.header})) damaged();
  directory.remove_prefix(kEntrySize + name + extra + comment);

  if (flags & kEncrypted) refuse(record, " is encrypted");
  if (method != 0 && method != kDeflated)
    refuse(record, " is packed by method ", method, ": only stored and deflated ones are read");
  if (record.header > end || end - record.header < kHeaderSize + name) refuse(record, " lies outside of the archive");
  const std::string header = read_at(file_, record.header, kHeaderSize + name);
  if (!header.starts_with(kRecord) || get<u16>(header, 8) != method || get<u16>(header, 26) != name ||
      header.substr(kHeaderSize) != record.name)
    refuse(record, " has a header that the zip directory does not agree with");
  record.begin = record.header + header.size() + get<u16>(header, 28);
  if (record.begin > end || record.packed > end - record.begin)
    refuse(record, ": ", record.packed, " bytes from ", record.begin, ", where ", end, " are");
  if (record.stored && record.packed != record.size)
    refuse(record, ": ", record.packed, " bytes, stored as they are, cannot be ", record.size);
  if (record.size / kMostInflated > record.packed)
    refuse(record, ": ", record.packed, " bytes cannot inflate to ", record.size);
}

std::string kind_of_zip(const ZipReader& archive) {
  const auto has = [&](std::string_view ending) {
    return std::ranges::any_of(archive.records(), [&](const ZipRecord& r) { return r.name.ends_with(ending); });
  };
  if (has("archive_format") || has("serialized_exported_program.json"))
    return "torch.export.save has written it: save program.state_dict, or export the model to ONNX";
  if (has("data.pkl")) return "torch.save has written it, and load_torch reads it";
  if (has(".npy")) return "np.savez has written it, and load_npz reads it";
  if (has(".onnx")) return "it has an .onnx file: unpack it";
  return archive.records().empty() ? "it is empty" : "it begins with \"" + shown(archive.records()[0].name) + "\"";
}

void ZipReader::check_places() const {
  std::vector<const ZipRecord*> by_place;
  for (const ZipRecord& record : records_) by_place.push_back(&record);
  std::ranges::sort(by_place, {}, &ZipRecord::header);
  for (size_t i = 1; i < by_place.size(); ++i)
    if (by_place[i]->header < by_place[i - 1]->begin + by_place[i - 1]->packed)
      refuse(*by_place[i], " overlaps \"", shown(by_place[i - 1]->name), "\"");
}

const ZipRecord* ZipReader::find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : &records_[found->second];
}

/// Fills the parts, one behind the other, with the first bytes of the record.
void ZipReader::inflate(const ZipRecord& record, std::initializer_list<std::span<std::byte>> parts) const {
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) refuse(record, ": there is not enough memory to inflate it");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  std::vector<std::byte> packed(64 << 10);
  uint64_t place = record.begin, rest = record.packed;
  for (std::span<std::byte> part : parts)
    while (!part.empty()) {
      if (stream.avail_in == 0 && rest > 0) {
        const uint64_t some = std::min<uint64_t>(rest, packed.size());
        file_.seek(std::exchange(place, place + some));
        file_.read_all(packed.data(), some);
        rest -= some;
        stream.next_in = reinterpret_cast<Bytef*>(packed.data());
        stream.avail_in = uInt(some);
      }
      const auto space = part.first(std::min<uint64_t>(part.size(), 1 << 30));  // zlib counts in 32 bits
      stream.next_out = reinterpret_cast<Bytef*>(space.data());
      stream.avail_out = uInt(space.size());
      const int code = ::inflate(&stream, Z_NO_FLUSH);
      part = part.subspan(space.size() - stream.avail_out);
      if (code != Z_OK && !(code == Z_STREAM_END && part.empty()))
        refuse(record, " cannot be inflated: the file is damaged");
    }
}

std::string ZipReader::head(const ZipRecord& record, uint64_t count) const {
  if (record.stored) return read_at(file_, record.begin, std::min(count, record.size));
  std::string bytes(std::min(count, record.size), '\0');
  inflate(record, {std::as_writable_bytes(std::span(bytes))});
  return bytes;
}

Elements ZipReader::load(const ZipRecord& record, uint64_t from, int width, const LoadOptions& options) const {
  Elements result;
  std::string before(from, '\0');
  if (record.stored) {
    result = load_elements(file_, record.begin + from, record.size - from, width, options.map);
    before = head(record, from);
  } else {
    result = new_elements(record.size - from, file_.path());
    inflate(record, {std::as_writable_bytes(std::span(before)), result.bytes});
  }
  if (options.checksums && record.crc != 0)
    if (crc_of(crc_of(0, std::as_bytes(std::span(before))), result.bytes) != record.crc)
      refuse(record, " does not fit its checksum: the file is damaged");
  return result;
}

// ---- Writing
// ----------------------------------------------------------------------------------------------------------

void ZipWriter::add(const std::string& name, std::initializer_list<std::span<const std::byte>> parts) {
  if (name.size() > UINT16_MAX) fail(file_.path(), ": a record's name of ", name.size(), " bytes");
  uint64_t size = 0;
  u32 crc = 0;
  for (const auto& part : parts) size += part.size(), crc = crc_of(crc, part);
  const uint64_t place = file_.place();
  const bool large = size >= UINT32_MAX || place >= UINT32_MAX;
  const u16 version = large ? 45 : 20, day = 1 << 5 | 1;  // 1980-01-01: the same tensors are the same bytes
  const u32 size32 = large ? UINT32_MAX : u32(size);
  // What the record's header and the directory both say.
  const auto both = [&](const std::string& extra) {
    return put(version, kUtf8, u16(0), u16(0), day, crc, size32, size32, u16(name.size()), u16(extra.size()));
  };
  std::string extra = large ? put(kZip64, u16(16), size, size) : "";
  // A field that nobody reads fills the header up: a kind, as PyTorch names it, a length, and zeros.
  const u16 fill = u16(-(place + kHeaderSize + name.size() + extra.size() + 4) & 63);
  extra += put('F', 'B', fill) + std::string(fill, '\0');
  const std::string header = std::string(kRecord) + both(extra) + name + extra;
  file_.write(header.data(), header.size());
  for (const auto& part : parts) file_.write(part.data(), part.size());

  extra = large ? put(kZip64, u16(24), size, size, place) : "";
  directory_ += std::string(kEntry) + put(version) + both(extra) + put(u16(0), u16(0), u16(0), u32(0));
  directory_ += put(large ? UINT32_MAX : u32(place)) + name + extra;
  ++count_;
}

void ZipWriter::finish() {
  const uint64_t place = file_.place(), size = directory_.size();
  const bool large = count_ >= UINT16_MAX || place >= UINT32_MAX || size >= UINT32_MAX;
  if (large) {
    directory_ +=
        std::string(kEnd64) + put(kEnd64Size - 12, u16(45), u16(45), u32(0), u32(0), count_, count_, size, place);
    directory_ += std::string(kLocator) + put(u32(0), place + size, u32(1));
  }
  const u16 count = large ? UINT16_MAX : u16(count_);
  directory_ += std::string(kEnd) + put(u16(0), u16(0), count, count, large ? UINT32_MAX : u32(size));
  directory_ += put(large ? UINT32_MAX : u32(place), u16(0));
  file_.write(directory_.data(), directory_.size());
}

}  // namespace teeny::io
