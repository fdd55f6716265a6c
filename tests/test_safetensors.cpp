// Safetensors files: what is written, what is read, and what is refused.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>

#include "state_helpers.h"
#include "teeny/data/idx.h"
#include "teeny/io/safetensors.h"
#include "teeny/nn/layers.h"
#include "temporary_directory.h"
#include "tests/golden_files.h"
#include "tests/mutate.h"
#include "tinyops/base/hash.h"

using namespace teeny;

/// The C library's, but for what a test wants to fail: the fsync of a directory, with this errno.
static int directory_sync_errno = 0;
extern "C" int fsync(int descriptor) {
  struct stat info = {};
  if (directory_sync_errno && fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode))
    return errno = directory_sync_errno, -1;
  return int(syscall(SYS_fsync, descriptor));
}

namespace {

struct WithC64 {
  Tensor bias = Tensor::zeros({1}), C64 = Tensor::zeros({1});
  TEENY_STATE(bias, C64)
};

unsigned mode_of(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

/// A file: the length of the header, the header, the elements.
std::string file_of(const std::string& json, const std::string& data) {
  const uint64_t length = json.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + json + data;
}

}  // namespace

TEST_CASE("safetensors: a round trip of every dtype and odd shapes") {
  const TemporaryDirectory directory;
  const std::string path = directory / "all.safetensors";
  nn::StateDict dict;
  for (const DType dtype : kDTypes) {
    const std::string name(teeny::name(dtype));
    dict.emplace_back(name, Tensor::of<double>({0, 1, 2.5, 100, 7}).cast(dtype));
    dict.emplace_back(name + ".scalar", Tensor::full({}, 3, dtype));
    dict.emplace_back(name + ".empty", Tensor::zeros({2, 0, 3}, dtype));
  }
  dict.emplace_back("64 bits", Tensor::of<int64_t>({INT64_MIN, INT64_MAX, -1}));
  dict.emplace_back("not numbers", Tensor::of<float>({NAN, -INFINITY, -0.0f}));
  dict.emplace_back("a view", Tensor::arange(6).reshape({2, 3}).t());
  dict.emplace_back("\"quoted\"\\ \n\t\u00e9\u65e5", Tensor::of<float>({1}));
  const io::Metadata metadata = {{"format", "pt"}, {"line", "one\ntwo \"three\""}};
  io::save_safetensors(path, dict, metadata);
  const io::Safetensors loaded = io::load_safetensors(path);
  CHECK(same_bits(loaded.tensors, dict));
  CHECK(loaded.metadata == metadata);
  CHECK(directory.files() == 1);

  const std::string bytes = contents(path);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  CHECK(bytes[8] == '{');
  io::save_safetensors(path, {});  // nothing at all is a file, too
  CHECK(io::load_safetensors(path).tensors.empty());
}

TEST_CASE("safetensors: a model to a file, and a file to a model") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  const nn::Linear saved(3, 2);
  nn::Linear loaded(3, 2);
  io::save_safetensors(path, saved, {{"format", "pt"}});
  nn::load_state_dict(loaded, io::load_safetensors(path));
  CHECK(same_bits(nn::state_dict(loaded), nn::state_dict(saved)));
  io::save_safetensors(path, io::load_safetensors(path));  // what was loaded is a dictionary, and no model
  CHECK(io::load_safetensors(path).tensors.size() == 2);
}

TEST_CASE("safetensors: the bytes of a file are the format's") {
  const TemporaryDirectory directory;
  const std::string path = directory / "golden.safetensors";
  io::save_safetensors(path, {{"flag", Tensor::full({}, true, DType::Bool)}, {"w", Tensor::of<float>({{1, -2}})}},
                       {{"a", "b"}});
  const std::string json = R"({"__metadata__":{"a":"b","teeny.checksum:__metadata__":"2b4d0fc9e4bf29e2",)"
                           R"("teeny.checksum:flag":"cd942858b0740e7f","teeny.checksum:w":"5e0358820ccebfe2"},)"
                           R"("flag":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]},)"
                           R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  const std::string padded = json + std::string(64 - (8 + json.size()) % 64, ' ');
  const char elements[] = "\x00\x00\x80\x3f\x00\x00\x00\xc0\x01";  // 1.0f, -2.0f, true
  CHECK(contents(path) == file_of(padded, std::string(elements, 9)));

  // What other writers do: white space, fields in another order, escapes, an alignment of their own.
  const auto other = io::load_safetensors(directory.write(
      "other.safetensors",
      file_of("{ \"\\u0077\" : {\"shape\":[2], \"data_offsets\":[1,5],\"dtype\":\"BF16\"},\n\"u\":{\"dtype\":\"U8\","
              "\"shape\":[1,1],\"data_offsets\":[0,1]} }   ",
              std::string("\x07\x80\x3f\x00\x40", 5))));
  CHECK(names(other.tensors) == std::vector<std::string>{"w", "u"});
  CHECK(other.tensors[0].second.to_vector() == std::vector<float>{1, 2});
  CHECK(other.tensors[1].second.shape() == Shape{1, 1});
  CHECK(other.tensors[1].second.item() == 7);
}

TEST_CASE("safetensors: what is wrong with a file is said by file and tensor") {
  const TemporaryDirectory directory;
  const auto load = [&](const std::string& json, const std::string& data = "") {
    const std::string path = directory.write("bad.safetensors", file_of(json, data));
    const std::string error = error_of([&] { io::load_safetensors(path); });
    INFO("error: ", error);
    CHECK((error.empty() || has(error, path)));
    return error;
  };
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets;
  };
  const auto one = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"w\":{" + entry(dtype, shape, offsets) + "}}";
  };
  const std::string four(4, '\0');
  CHECK(load("{}") == "");
  CHECK(load(one("F32", "[1]", "[0,4]"), four) == "");
  CHECK(has(load(one("I7", "[4]", "[0,4]"), four), "tensor \"w\": dtype \"I7\", which the format does not have"));
  CHECK(has(load(one("I8", "[5]", "[0,4]"), four), "(5,) of I8, which needs 5"));
  CHECK(has(load(one("F4", "[7]", "[0,4]"), four), "28 bits, which are not whole bytes"));
  CHECK(has(load(one("F32", "[2]", "[0,4]"), four), "which needs 8"));
  CHECK(has(load(one("F32", "[1]", "[0,8]"), four), "of 4 in the file"));
  CHECK(has(load(one("F32", "[1]", "[4,0]"), four), "end before they begin"));
  CHECK(has(load(one("F32", "[0]", "[4,4]"), four), "leave a hole"));
  CHECK(has(load(one("U8", "[1]", "[0,1]"), four), "3 bytes at the end"));
  CHECK(has(load("{}", four), "4 bytes at the end"));
  CHECK(has(load("{\"a\":{" + entry("U8", "[3]", "[0,3]") + "},\"b\":{" + entry("U8", "[2]", "[2,4]") + "}}", four),
            "overlap"));
  CHECK(has(load("{\"a\":{" + entry("U8", "[2]", "[0,2]") + "},\"a\":{" + entry("U8", "[2]", "[2,4]") + "}}", four),
            "twice"));
  CHECK(has(load("{\"a\":{\"dtype\":\"U8\"," + entry("U8", "[4]", "[0,4]") + "}}", four), "twice"));
  CHECK(has(load("{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", four), "are needed"));
  CHECK(has(load("{\"a\":{\"more\":1," + entry("U8", "[4]", "[0,4]") + "}}", four), "unknown field \"more\""));
  CHECK(has(load(one("U8", "[-4]", "[0,4]"), four), "negative"));
  CHECK(has(load(one("U8", "[4.0]", "[0,4]"), four), "no integer"));
  CHECK(has(load(one("U8", "[18446744073709551616]", "[0,4]"), four), "no integer"));
  CHECK(has(load(one("U8", "[9223372036854775808]", "[0,4]"), four), "a size of"));
  CHECK(has(load(one("F32", "[4611686018427387904,4,4]", "[0,4]"), four), "too many elements"));
  CHECK(has(load(one("F32", "[4611686018427387904,4,0]", "[0,4]"), four), "too many elements"));
  CHECK(has(load(one("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), "x"), "more than 16"));
  CHECK(has(load(one("U8", "[4]", "[0]"), four), "two numbers"));
  CHECK(has(load(one("U8", "[4]", "[0,4,4]"), four), "more than 2"));
  CHECK(has(load(one("U8", "4", "[0,4]"), four), "a number where"));
  CHECK(has(load(one("U8", "[[4]]", "[0,4]"), four), "an array where"));
  CHECK(has(load(one("U8", "\"4\"", "[0,4]"), four), "a string where"));
  CHECK(has(load(one("U8", "[{}]", "[0,4]"), four), "an object where"));
  CHECK(has(load(one("U8", "[null]", "[0,4]"), four), "null"));
  CHECK(has(load("{\"w\":3}"), "a number where"));
  CHECK(has(load("{\"w\":[]}"), "an array where"));
  CHECK(has(load("{\"w\":\"\"}"), "a string where"));
  CHECK(has(load("{\"w\":true}"), "a boolean"));
  CHECK(has(load("{\"__metadata__\":{\"a\":1}}"), "a number where"));
  CHECK(has(load("{\"__metadata__\":{\"a\":{}}}"), "an object where"));
  CHECK(has(load("{\"__metadata__\":{\"a\":[]}}"), "an array where"));
  CHECK(has(load("{\"__metadata__\":[]}"), "an array where"));
  CHECK(has(load("[]"), "does not start with {"));
  CHECK(has(load(" {}"), "does not start with {"));
  CHECK(has(load(""), "does not start with {"));
  CHECK(has(load("{} {}"), "no JSON"));
  CHECK(has(load("{\"a\xff\":{}}"), "no JSON"));
  CHECK(
      has(load("{}" + std::string(1, '\0') + "{\"w\":{" + entry("U8", "[4]", "[0,4]") + "}}", four), "a zero byte in"));
  CHECK(has(load(one("U8", "[4]", "[0,4]") + std::string(3, '\0'), four), "a zero byte in"));
  CHECK(load("{\"" + std::string(1 << 20, 'a')).size() < 400);  // no message is as long as what it is about
  CHECK(has(load("{\"" + std::string(1 << 20, 'a') + "\":{}}"), "a name of 1048576 bytes"));
  CHECK(has(load("{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}"), "\"a\" is there twice"));
  CHECK(has(load("{" + std::string(100000, '[')), "no JSON"));
  CHECK(has(load(one("U8", std::string(100000, '['), "[0,4]")), "an array where"));
  CHECK(has(load(one("BOOL", "[4]", "[0,4]"), std::string("\0\1\2\0", 4)), "a bool of 2"));

  const auto raw = [&](const std::string& bytes) {
    const std::string path = directory.write("bad.safetensors", bytes);
    return error_of([&] { io::load_safetensors(path); });
  };
  CHECK(has(raw(""), "no safetensors file: it is an empty file"));
  CHECK(has(raw(std::string(8, '\xff') + "{}"), "a header of 18446744073709551615 bytes"));
  CHECK(has(raw(std::string("\3\0\0\0\0\0\0\0", 8) + "{}"), "a header of 3 bytes"));
  CHECK(has(error_of([&] { io::load_safetensors(directory / "none"); }), "No such file"));
  CHECK(has(error_of([&] { io::load_safetensors(directory / "."); }), "not a regular file"));
}

TEST_CASE("safetensors: a damaged file is an Error or other values, never anything else") {
  const TemporaryDirectory directory;
  const std::string path = directory / "small.safetensors";
  io::save_safetensors(path,
                       {{"w", Tensor::of<float>({1, 2})},
                        {"on", Tensor::of<float>({1, 0, 1}).cast(DType::Bool)},
                        {"n", Tensor::full({}, 5, DType::Int64)}},
                       {{"k", "v"}});
  const std::string whole = contents(path);
  for (size_t length = 0; length < whole.size(); ++length) {
    directory.write("small.safetensors", whole.substr(0, length));
    INFO("cut to ", length);
    CHECK_THROWS_AS(io::load_safetensors(path), Error);
  }
  directory.write("small.safetensors", whole + '\0');
  CHECK_THROWS_AS(io::load_safetensors(path), Error);

  const auto load = [&path] { io::load_safetensors(path); };
  for (size_t at = 0; at < whole.size(); ++at)
    for (int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      std::string bytes = whole;
      bytes[at] = char(bytes[at] ^ flip);
      directory.write("small.safetensors", bytes);
      INFO("byte ", at, " ^ ", flip);
      CHECK(has(error_of(load), path));  // the checksums see what the format does not
    }

  test::Outcomes outcomes;
  test::attempt_mutations(whole, [&](const std::string& bytes) {
    directory.write("small.safetensors", bytes);
    outcomes.add(path, [&] { return io::load_safetensors(path, {.checksums = false}).tensors; });
  });
}

TEST_CASE("safetensors: a failed save leaves the old file and nothing else") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  const nn::StateDict good = {{"w", Tensor::of<float>({1, 2, 3})}};
  const auto save = [](const std::string& where, const nn::StateDict& dict, const io::Metadata& metadata = {}) {
    return error_of([&] { io::save_safetensors(where, dict, metadata); });
  };
  CHECK(save(path, good) == "");
  const std::string before = contents(path);

  CHECK(has(save(directory / "none/model", good), "No such file"));
  CHECK(has(save(path + "/model", good), "Not a directory"));
  std::filesystem::create_directory(directory / "taken");
  CHECK(has(save(directory / "taken", good), "taken: not a regular file"));
  CHECK(has(save("/dev/null", good), "/dev/null: not a regular file"));
  CHECK(has(save(path, {{"w", Tensor()}}), "undefined"));
  CHECK(has(save(path, {{"w", good[0].second}, {"w", good[0].second}}), "\"w\" is taken"));
  CHECK(has(save(path, {{"__metadata__", good[0].second}}), "is taken"));
  CHECK(has(save(path, {{"\xff", good[0].second}}), "UTF-8"));
  CHECK(has(save(path, good, {{"a", "\xc3"}}), "UTF-8"));

  // A disk that is full after 64 kB.
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  getrlimit(RLIMIT_FSIZE, &limit);
  rlimit small = limit;
  small.rlim_cur = 65536;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = save(path, {{"w", Tensor::ones({100000})}});
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, ignored);
  CHECK(has(error, path));
  CHECK(has(error, "File too large"));

  CHECK(contents(path) == before);
  CHECK(directory.files() == 2);  // this one and "taken"
}

TEST_CASE("safetensors: a checksum that does not fit says what is damaged") {
  CHECK(tinyops::xxh64({}) == 0xef46db3751d8e999);  // the specification's values
  const auto hash = [](std::string_view text, uint64_t seed = 0) {
    return tinyops::xxh64(std::as_bytes(std::span(text)), seed);
  };
  CHECK(hash("abc") == 0x44bc2cf5ad770999);
  CHECK(hash("Nobody inspects the spammish repetition") == 0xfbcea83c8a378bf1);

  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  io::save_safetensors(path, {{"one", Tensor::ones({3})}, {"two", Tensor::ones({50000})}}, {{"k", "v"}});
  const std::string whole = contents(path);
  const auto load = [&](const std::string& from, const std::string& to) {
    std::string bytes = whole;
    const size_t at = from.empty() ? bytes.size() - to.size() : bytes.find(from);
    REQUIRE(at != bytes.npos);
    directory.write("model.safetensors", bytes.replace(at, to.size(), to));
    return error_of([&] { io::load_safetensors(path); });
  };
  CHECK(load("", "\1") == path + ": tensor \"two\" does not fit its checksum: the file is damaged");
  io::load_safetensors(path, {.checksums = false});
  CHECK(has(load("\"k\":\"v\"", "\"k\":\"w\""), "the metadata does not fit its checksum"));
  CHECK(has(load("\"one\"", "\"won\""), "tensor \"won\" has no checksum, and others have"));
  CHECK(has(load("checksum:one", "checksum:six"), "tensor \"one\" has no checksum, and others have"));
  CHECK(has(load("m:__metadata__", "m:__Metadata__"), "the metadata has no checksum"));
  CHECK(has(load("\"F32\",\"shape\":[3]", "\"I32\",\"shape\":[3]"), "tensor \"one\" does not fit its checksum"));
  CHECK(load("\"k\"", "\"k\"") == "");
  CHECK(has(error_of([&] {
              io::save_safetensors(path, {}, {{"teeny.checksum:a", ""}});
            }),
            "teeny itself writes those"));
}

TEST_CASE("safetensors: tensors of other dtypes are left out, and named when they are asked for") {
  const TemporaryDirectory directory;
  std::string json = "{", data;
  for (const auto& [dtype, bytes] :
       std::vector<std::pair<std::string, int>>{{"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}}) {
    json += "\"" + dtype + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[1],\"data_offsets\":[" +
            std::to_string(data.size()) + "," + std::to_string(data.size() + size_t(bytes)) + "]},";
    data += std::string(size_t(bytes), '\1');
  }
  json += "\"bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + std::to_string(data.size()) + "," +
          std::to_string(data.size() + 4) + "]}}";
  const auto file = io::load_safetensors(directory.write("x", file_of(json, data + std::string("\0\0\x80\x3f", 4))));
  CHECK(names(file.tensors) == std::vector<std::string>{"bias"});
  CHECK(file["bias"].item() == 1);  // at an address that is no multiple of four
  CHECK(file.left_out.size() == 3);
  CHECK(error_of([&] { file["F8_E4M3"]; }) ==
        "tensor \"F8_E4M3\" was left out when the file was loaded: it is F8_E4M3, a dtype that teeny does not have");
  CHECK(has(error_of([&] { nn::find(file, "C64"); }), "\"C64\" was left out"));
  CHECK(has(error_of([&] { file["none"]; }), "no \"none\" among 1 tensors"));
  WithC64 model;
  CHECK(has(error_of([&] { nn::load_state_dict(model, file); }), "\"C64\" was left out"));
  CHECK(model.bias.item() == 0);
}

TEST_CASE("safetensors: integers that teeny has no dtype for are read into a wider one") {
  const TemporaryDirectory directory;
  const auto load = [&](const std::string& dtype, const std::string& elements) {
    const size_t width = size_t(std::stoi(dtype.substr(1))) / 8;
    const std::string json = "{\"w\":{\"dtype\":\"" + dtype + "\",\"shape\":[" +
                             std::to_string(elements.size() / width) + "],\"data_offsets\":[0," +
                             std::to_string(elements.size()) + "]}}";
    return io::load_safetensors(directory.write("x", file_of(json, elements)))["w"];
  };
  const auto check = [](const Tensor& x, DType dtype, const std::vector<int64_t>& values) {
    CHECK(x.dtype() == dtype);
    CHECK(x.to_vector<int64_t>() == values);
  };
  check(load("I8", "\x01\xff\x80\x7f"), DType::Int32, {1, -1, -128, 127});
  check(load("I16", std::string("\1\0\xff\xff\0\x80", 6)), DType::Int32, {1, -1, -32768});
  check(load("U16", std::string("\1\0\xff\xff\0\x80", 6)), DType::Int32, {1, 65535, 32768});
  check(load("U32", std::string("\1\0\0\0\xff\xff\xff\xff", 8)), DType::Int64, {1, 4294967295});
  check(load("U64", std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8)), DType::Int64, {INT64_MAX});
  CHECK(has(error_of([&] { load("U64", std::string("\0\0\0\0\0\0\0\x80", 8)); }),
            "tensor \"w\": a uint64 of 2^63 or more"));
  CHECK(load("I8", std::string(100000, '\xfe')).sum().item() == -200000);  // mapped
}

TEST_CASE("safetensors: a large tensor is mapped, and what is written to it stays out of the file") {
  const TemporaryDirectory directory;
  const std::string path = directory / "large.safetensors";
  const int64_t count = 100000;
  io::save_safetensors(path,
                       {{"w", Tensor::arange(count).cast(DType::Float32)}, {"odd", Tensor::ones({3}, DType::UInt8)}});
  const std::string before = contents(path);
  const size_t live = tinyops::memory_use().live;
  Tensor w = io::load_safetensors(path)["w"];
  const size_t mapped = tinyops::memory_use().live;
  if (tinyops::kHostMemory) CHECK(mapped == live);
  const Tensor copied = io::load_safetensors(path, {.map = false})["w"];
  CHECK(tinyops::memory_use().live == mapped + size_t(count) * 4);
  CHECK(w.to_bytes() == copied.to_bytes());
  CHECK(w[{slice(1, 90000)}].sum().item() == copied[{slice(1, 90000)}].sum().item());

  for (int i = 0; i < 3; ++i) w.assign(w * 2 + 1).realize();
  CHECK(w[{5}].item() == 5 * 8 + 7);
  CHECK(contents(path) == before);
  const Tensor old = io::load_safetensors(path)["w"];
  io::save_safetensors(path, {{"w", w}});  // replaces the file, and the mapped one lives on
  CHECK(old.to_bytes() == copied.to_bytes());
  CHECK(io::load_safetensors(path)["w"].to_bytes() == w.to_bytes());

  // Elements at an odd address are copied.
  const std::string json =
      "{\"u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"w\":{\"dtype\":\"F32\","
      "\"shape\":[100000],\"data_offsets\":[1,400001]}}";
  const std::vector<std::byte> elements = copied.to_bytes();
  const std::string data(reinterpret_cast<const char*>(elements.data()), elements.size());
  directory.write("odd.safetensors", file_of(json, "\7" + data));
  CHECK(io::load_safetensors(directory / "odd.safetensors")["w"].to_bytes() == elements);
  CHECK((io::load_safetensors(directory / "odd.safetensors")["w"] * 2).sum().item() == (copied * 2).sum().item());
}

TEST_CASE("safetensors: a header is bounded in what it may name, and a file with holes in what it may cost") {
  const TemporaryDirectory directory;
  std::string json = "{";
  for (int i = 0; i <= 1 << 17; ++i)
    json += "\"" + std::to_string(i) + "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},";
  json.back() = '}';
  directory.write("many.safetensors", file_of(json, ""));
  CHECK(has(error_of([&] { io::load_safetensors(directory / "many.safetensors"); }), "more than 131072 tensors"));

  json = "{\"w\":{\"dtype\":\"F32\",\"shape\":[274877906944],\"data_offsets\":[0,1099511627776]}}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  const std::string path = directory.write("holes.safetensors", file_of(json, ""));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) + (uint64_t(1) << 40));
  if (tinyops::kHostMemory) {
    CHECK(io::load_safetensors(path)["w"][{int64_t(200) << 30}].item() == 0);
    CHECK(has(error_of([&] { io::load_safetensors(path, {.map = false}); }), path));
  }
}

TEST_CASE("safetensors: permissions and links stay, and what is read-only is not replaced") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors", link = directory / "link", far = directory / "folder/far";
  const nn::StateDict one = {{"w", Tensor::ones({1})}}, two = {{"w", Tensor::zeros({2})}};
  const auto elements = [](const std::string& file) { return io::load_safetensors(file)["w"].numel(); };
  const mode_t mask = umask(027);
  io::save_safetensors(path, one);
  CHECK(mode_of(path) == 0640);
  for (unsigned mode : {0600u, 0666u, 0200u}) {
    chmod(path.c_str(), mode);
    io::save_safetensors(path, two);
    CHECK(mode_of(path) == mode);
  }
  umask(mask);
  chmod(path.c_str(), 0600);

  std::filesystem::create_symlink("model.safetensors", link);
  io::save_safetensors(link, one);
  CHECK(std::filesystem::is_symlink(link));
  CHECK(elements(path) == 1);
  CHECK(mode_of(path) == 0600);
  std::filesystem::create_directory(directory / "folder");
  std::filesystem::create_symlink("folder/far", directory / "dangling");
  std::filesystem::create_symlink(directory / "dangling", directory / "second");
  io::save_safetensors(directory / "second", two);
  CHECK(std::filesystem::is_symlink(directory / "dangling"));
  CHECK(elements(far) == 2);
  std::filesystem::create_symlink("loop", directory / "loop");
  CHECK(has(error_of([&] { io::save_safetensors(directory / "loop", one); }), "symbolic links"));

  chmod(path.c_str(), 0400);
  const std::string before = contents(path);
  for (const std::string& name : {path, link}) {
    CHECK(has(error_of([&] { io::save_safetensors(name, two); }), name + ": cannot write: it is read-only"));
    CHECK(has(error_of([&] { io::check_can_save(name); }), "read-only"));
  }
  CHECK(contents(path) == before);
  CHECK(mode_of(path) == 0400);
}

TEST_CASE("safetensors: what a killed save has left behind is removed, and what a living one writes is not") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model.safetensors";
  const nn::StateDict one = {{"w", Tensor::ones({1})}};
  directory.write("model.safetensors.tmp-0123456789abcdef", "half");
  directory.write("model.safetensors.tmp-notes", "a user's own");
  directory.write("other.safetensors.tmp-0123456789abcdef", "of another file");
  const std::string living = directory.write("model.safetensors.tmp-fedcba9876543210", "half");
  const int descriptor = open(living.c_str(), O_RDONLY);
  flock(descriptor, LOCK_EX);
  io::check_can_save(path);
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(directory.files() == 3);
  io::save_safetensors(path, one);
  CHECK(directory.files() == 4);
  CHECK(std::filesystem::exists(living));
  close(descriptor);
  io::save_safetensors(path, one);
  CHECK(directory.files() == 3);
  const std::string longest(255, 'x');
  io::save_safetensors(directory / longest, one);
  CHECK(directory.files() == 4);
}

TEST_CASE(
    "files: a pipe is not waited for, a path ends where it ends, and a directory that is not synced is an Error") {
  const TemporaryDirectory directory;
  const std::string pipe = directory / "pipe", path = directory / "model.safetensors";
  mkfifo(pipe.c_str(), 0666);
  const nn::StateDict one = {{"w", Tensor::ones({1})}};
  CHECK(has(error_of([&] { io::load_safetensors(pipe); }), "not a regular file"));
  CHECK(has(error_of([&] { io::save_safetensors(pipe, one); }), "not a regular file"));
  CHECK(has(error_of([&] { data::read_idx(pipe); }), "not a regular file"));

  const std::string hidden = path + std::string("\0.bak", 5);
  CHECK(has(error_of([&] { io::load_safetensors(hidden); }), path + ": a path with a zero byte"));
  CHECK(has(error_of([&] { io::save_safetensors(hidden, one); }), path + ": a path with a zero byte"));
  CHECK(has(error_of([&] { io::check_can_save(hidden); }), path + ": a path with a zero byte"));
  CHECK(has(error_of([&] { data::read_idx(hidden); }), path + ": a path with a zero byte"));
  CHECK(directory.files() == 1);
  CHECK(has(error_of([&] { io::save_safetensors("", one); }), "No such file"));

  directory_sync_errno = EIO;
  const std::string error = error_of([&] { io::save_safetensors(path, one); });
  directory_sync_errno = EINVAL;  // of a file system that has no such thing
  io::save_safetensors(path, one);
  directory_sync_errno = 0;
  CHECK(error == path + ": the new file is in place, but its directory cannot be synced: Input/output error");
  CHECK(directory.files() == 2);
}
