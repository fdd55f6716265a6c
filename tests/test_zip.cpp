// Zip archives: what is written, what is read, and what no archive may do.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <zlib.h>

#include <algorithm>
#include <csignal>

#include "state_helpers.h"
#include "teeny/io/zip.h"
#include "temporary_directory.h"
#include "tests/golden_files.h"
#include "tests/mutate.h"

using namespace teeny;

namespace {

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string deflated(const std::string& bytes) {
  std::string packed(bytes.size() + 100, '\0');
  z_stream stream = {};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = uInt(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = uInt(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

/// A record as a hostile archive may tell of it; where nothing is said it is as it should be.
struct Raw {
  std::string name, bytes;
  int method = 0, flags = 0;
  uint64_t size = UINT64_MAX, packed = UINT64_MAX;
  int64_t move = 0;    ///< of where the directory says it is
  bool zip64 = false;  ///< sizes and place in an extra field
};

std::string zip_of(const std::vector<Raw>& records, int64_t move_directory = 0, const std::string& between = "") {
  std::string file, directory;
  for (const Raw& r : records) {
    const uint64_t size = r.size == UINT64_MAX ? r.bytes.size() : r.size;
    const uint64_t packed = r.packed == UINT64_MAX ? r.bytes.size() : r.packed, at = file.size() + uint64_t(r.move);
    const uint32_t crc = r.method ? 0 : uint32_t(crc32_z(0, (const Bytef*)r.bytes.data(), r.bytes.size()));
    const auto small = [&](uint64_t value) { return raw(r.zip64 ? UINT32_MAX : uint32_t(value)); };
    const std::string extra = r.zip64 ? raw(uint16_t(1)) + raw(uint16_t(24)) + raw(size) + raw(packed) + raw(at) : "";
    const std::string both = raw(uint16_t(20)) + raw(uint16_t(r.flags)) + raw(uint16_t(r.method)) + raw(uint32_t(0)) +
                             raw(crc) + small(packed) + small(size) + raw(uint16_t(r.name.size())) +
                             raw(uint16_t(extra.size()));
    file += "PK\3\4" + both + r.name + extra + r.bytes;
    directory += "PK\1\2" + raw(uint16_t(20)) + both + raw(uint16_t(0)) + raw(uint16_t(0)) + raw(uint16_t(0)) +
                 raw(uint32_t(0)) + small(at) + r.name + extra;
  }
  file += between;
  const auto count = raw(uint16_t(records.size()));
  const uint32_t place = uint32_t(int64_t(file.size()) + move_directory);
  return file + directory + "PK\5\6" + raw(uint32_t(0)) + count + count + raw(uint32_t(directory.size())) + raw(place) +
         raw(uint16_t(0));
}

struct Archive {
  TemporaryDirectory directory;
  std::string path = directory / "x.zip";

  /// The bytes of all records, or what is wrong.
  std::string read(const std::string& bytes, uint64_t limit = io::ZipReader::kMaxInflated,
                   bool checksums = true) const {
    directory.write("x.zip", bytes);
    std::string all;
    const std::string error = error_of([&] {
      data::File file = data::open_to_read(path);
      const io::ZipReader archive(file, limit);
      for (const io::ZipRecord& record : archive.records()) {
        const io::Elements loaded = archive.load(record, 0, 1, {.checksums = checksums});
        const std::string got(reinterpret_cast<const char*>(loaded.bytes.data()), loaded.bytes.size());
        CHECK(got.starts_with(archive.head(record, 5)));
        all += record.name + "=" + got + ";";
      }
    });
    if (!error.empty()) CHECK(has(error, path));
    return error.empty() ? all : error;
  }
};

}  // namespace

TEST_CASE("zip: records come back, stored ones at multiples of 64") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.zip", large(200'000, 'x'), name = "a/\u00e9\u65e5";
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  {
    data::File file(path, O_WRONLY | O_CREAT);
    io::ZipWriter archive(file);
    archive.add(name, {bytes("one"), bytes(" and "), bytes("two")});
    archive.add("", {});
    archive.add("large", {bytes(large)});
    archive.finish();
  }
  data::File file = data::open_to_read(path);
  const io::ZipReader archive(file);
  CHECK(archive.records().size() == 3);
  for (const auto& record : archive.records()) CHECK(record.begin % 64 == 0);
  REQUIRE(archive.find(name));
  CHECK(archive.head(*archive.find(name), 100) == "one and two");
  CHECK(archive.find("")->size == 0);
  CHECK(archive.find("larg") == nullptr);
  const io::Elements loaded = archive.load(*archive.find("large"), 1, 1, {});
  CHECK(loaded.bytes.size() == large.size() - 1);
  CHECK(std::ranges::count(loaded.bytes, std::byte('x')) == int64_t(loaded.bytes.size()));
}

TEST_CASE("zip: more records than 16 bits count, and a place that 32 bits do not") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.zip";
  for (const uint64_t begin : {uint64_t(0), uint64_t(5) << 30}) {  // a file with a hole
    std::filesystem::remove(path);
    data::File file(path, O_WRONLY | O_CREAT);
    file.seek(begin);
    const int count = begin == 0 ? 66'000 : 3;
    io::ZipWriter writer(file);
    for (int i = 0; i < count; ++i) writer.add(std::to_string(i), {std::as_bytes(std::span("ab", 2))});
    writer.finish();
    data::File again = data::open_to_read(path);
    const io::ZipReader archive(again);
    REQUIRE(archive.records().size() == size_t(count));
    const io::ZipRecord& last = archive.records().back();
    CHECK(last.begin > begin);
    CHECK(last.begin % 64 == 0);
    CHECK(archive.head(last, 9) == "ab");
  }
}

TEST_CASE("zip: a disk that is full is an Error, and a file that was cut is one") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.zip";
  const std::string large(100'000, 'x');
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit, small;
  getrlimit(RLIMIT_FSIZE, &limit);
  small = limit;
  for (const rlim_t at : {rlim_t(10), rlim_t(65536)}) {
    small.rlim_cur = at;
    setrlimit(RLIMIT_FSIZE, &small);
    const std::string error = error_of([&] { io::save_npz(path, {{"w", Tensor::ones({100'000})}}); });
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK(has(error, "File too large"));
    CHECK(directory.files() == 0);
  }
  std::signal(SIGXFSZ, ignored);

  io::save_npz(path, {{"w", Tensor::ones({100'000})}});
  data::File file = data::open_to_read(path);
  const io::ZipReader archive(file);
  std::filesystem::resize_file(path, 300'000);
  CHECK(has(error_of([&] { archive.load(archive.records()[0], 0, 1, {.map = false}); }), "it got shorter"));
}

TEST_CASE("zip: what other programs write is read") {
  const Archive archive;
  CHECK(archive.read(zip_of({})) == "");
  CHECK(archive.read(zip_of({{"a", "1"}, {"b/", ""}, {"c", "23"}})) == "a=1;b/=;c=23;");
  CHECK(archive.read(zip_of({{.name = "a", .bytes = "1", .zip64 = true}, {"b", "2"}})) == "a=1;b=2;");
  // The local header of a record that was written to a pipe has no sizes: they stand behind the bytes.
  std::string streamed = zip_of({{.name = "a", .bytes = "1", .flags = 8}}, 0, "PK\7\10" + std::string(12, '\0'));
  streamed.replace(14, 12, 12, '\0');
  CHECK(archive.read(streamed) == "a=1;");
}

TEST_CASE("zip: what no archive may do") {
  const Archive archive;
  const std::string packed = deflated(std::string(1000, 'x'));
  const Raw good{.name = "z", .bytes = packed, .method = 8, .size = 1000};
  const auto read = [&](const std::vector<Raw>& records) { return archive.read(zip_of(records)); };
  CHECK(has(archive.read(""), "without the directory at its end"));
  CHECK(has(archive.read("PK\3\4"), "without the directory at its end"));
  CHECK(has(read({{"a", "1"}, {"a", "2"}}), "\"a\" is there twice"));
  CHECK(has(read({{.name = "a", .bytes = "1", .flags = 1}}), "\"a\" is encrypted"));
  CHECK(has(read({{.name = "a", .bytes = "1", .method = 12}}), "packed by method 12"));
  CHECK(has(read({{.name = "a", .bytes = "1", .size = 2}}), "1 bytes, stored as they are, cannot be 2"));
  CHECK(has(read({{.name = "a", .bytes = "1", .size = 2000, .packed = 2000}}), "2000 bytes from 31, where 32 are"));
  CHECK(has(read({{.name = "a", .bytes = "1", .size = UINT64_MAX - 9, .packed = UINT64_MAX - 9, .zip64 = true}}),
            "18446744073709551606 bytes from"));
  CHECK(has(read({{"a", "12345678"}, {.name = "b", .bytes = "1", .move = 1}}), "does not agree"));
  CHECK(has(read({{"a", "12345678"}, {.name = "b", .bytes = "1", .move = -39}}), "does not agree"));
  CHECK(has(read({{"a", "12345678"}, {.name = "b", .bytes = "1", .move = 1 << 20}}), "lies outside"));
  CHECK(has(read({{.name = "a", .bytes = "1", .move = -1, .zip64 = true}}), "lies outside"));
  CHECK(has(archive.read(zip_of({{"a", "1"}}, 1)), "not where the file says"));
  CHECK(has(archive.read(zip_of({{"a", "1"}}, -1)), "not where the file says"));
  CHECK(has(archive.read("MZ" + zip_of({{"a", "1"}})), "not where the file says"));
  CHECK(has(archive.read(zip_of({{"a", "1"}}) + "x"), "without the directory at its end"));  // the comment has no bytes

  // Two entries of the directory for one record: a bomb that costs the archive nothing.
  CHECK(has(read({{"a", "12345678"}, {.name = "a", .bytes = "1", .move = -39}}), "\"a\" is there twice"));
  // A record inside of another one.
  const std::string inside = "PK\3\4" + zip_of({{"b", "1"}}).substr(4, 28);
  std::string nested = zip_of({{"a", inside}, {.name = "b", .bytes = "1", .move = -int64_t(inside.size())}});
  CHECK(has(archive.read(nested), "\"b\" overlaps \"a\""));

  // What inflates.
  CHECK(read({good}) == "z=" + std::string(1000, 'x') + ";");
  Raw bomb = good;
  bomb.size = 1 << 20;
  CHECK(has(read({bomb}), text(packed.size(), " bytes cannot inflate to 1048576")));
  bomb.size = 1001;
  CHECK(has(read({bomb}), "cannot be inflated"));
  CHECK(has(archive.read(zip_of({good}), 999), "inflate to more than 999 bytes"));
  Raw other = good;
  other.name = "y";
  CHECK(has(archive.read(zip_of({good, other}), 1999), "record \"y\" and those before it inflate to more"));
  bomb = good;
  bomb.bytes[3] ^= 0x55;
  CHECK(has(read({bomb}), "cannot be inflated"));

  // Numbers of records that are not there, or that nobody counts.
  std::string counted = zip_of({{"a", "1"}, {"b", "2"}});
  counted[counted.size() - 12] = 3;
  CHECK(has(archive.read(counted), "a zip directory of 3 records in 94 bytes"));
  counted[counted.size() - 12] = 1;
  CHECK(has(archive.read(counted), "more records than it counts"));
  counted[counted.size() - 11] = 1;
  CHECK(has(archive.read(counted), "a zip directory of 257 records in 94 bytes"));
  counted[counted.size() - 11] = counted[counted.size() - 12] = char(255);
  CHECK(has(archive.read(counted), "a zip directory of 65535 records in 94 bytes"));
  std::string damaged = zip_of({{"a", "1"}});
  damaged[damaged.rfind("PK\1\2")] = 'Q';
  CHECK(has(archive.read(damaged), "damaged at record 0"));

  const std::string stored = zip_of({{"a", "12345678"}});
  std::string changed = stored;
  changed[33] ^= 1;
  CHECK(has(archive.read(changed), "\"a\" does not fit its checksum"));
  CHECK(archive.read(changed, 0, false) == "a=12" + std::string(1, changed[33]) + "45678;");
}

TEST_CASE("zip: a damaged archive is an Error or other bytes, never anything else") {
  const Archive archive;
  const std::string whole = zip_of({{"a", "12345678"},
                                    {.name = "b", .bytes = deflated("aaaaabbbbbaaaaa"), .method = 8, .size = 15},
                                    {.name = "c", .bytes = "1", .zip64 = true}});
  test::attempt_mutations(whole, [&](const std::string& bytes) { archive.read(bytes, 1 << 20, false); });
}
