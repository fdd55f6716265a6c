// Safetensors files: what is written, what is read, and what is refused.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>

#include "state_helpers.h"
#include "teeny/io/safetensors.h"
#include "teeny/nn/layers.h"
#include "temporary_directory.h"

using namespace teeny;

namespace {

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
  const std::string json = R"({"__metadata__":{"a":"b"},)"
                           R"("flag":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]},)"
                           R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  const std::string padded = json + std::string((8 - json.size() % 8) % 8, ' ');
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
  CHECK(has(load(one("I8", "[4]", "[0,4]"), four), "tensor \"w\": dtype \"I8\""));
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
  CHECK(has(load("{" + std::string(100000, '[')), "no JSON"));
  CHECK(has(load(one("U8", std::string(100000, '['), "[0,4]")), "an array where"));
  CHECK(has(load(one("BOOL", "[4]", "[0,4]"), std::string("\0\1\2\0", 4)), "a bool of 2"));

  const auto raw = [&](const std::string& bytes) {
    const std::string path = directory.write("bad.safetensors", bytes);
    return error_of([&] { io::load_safetensors(path); });
  };
  CHECK(has(raw(""), "0 bytes"));
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

  const auto load = [&path] {
    int64_t elements = 0;
    for (const auto& [name, tensor] : io::load_safetensors(path).tensors) elements += tensor.numel();
    CHECK(elements <= 19);  // one for each byte of the file's data
  };
  int loaded = 0;
  for (size_t at = 0; at < whole.size(); ++at)
    for (int flip : {1, 2, 4, 8, 16, 32, 64, 128, 255}) {
      std::string bytes = whole;
      bytes[at] = char(bytes[at] ^ flip);
      directory.write("small.safetensors", bytes);
      INFO("byte ", at, " ^ ", flip);
      loaded += error_of(load).empty();
    }
  CHECK(loaded > 16 * 9);  // at least the bytes of `w` and `n`
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
