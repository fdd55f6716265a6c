// NumPy's files: what NumPy has written, what is written, and what is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "state_helpers.h"
#include "teeny/io/zip.h"
#include "temporary_directory.h"
#include "tests/check_refused.h"
#include "tests/golden_files.h"
#include "tests/mutate.h"

using namespace teeny;
using test::golden_file, test::golden_of;

namespace {

/// An array of version 1, with this header and these elements.
std::string npy_of(const std::string& header, const std::string& elements) {
  return std::string("\x93NUMPY\1\0", 8) + char(header.size() & 255) + char(header.size() >> 8) + header + elements;
}

nn::StateDict sorted(nn::StateDict dict) {
  std::ranges::sort(dict, {}, &std::pair<std::string, Tensor>::first);
  return dict;
}

}  // namespace

TEST_CASE("npy: what NumPy has written is read") {
  const nn::StateDict expected = golden_of("arrays.npz");
  CHECK(expected.size() == 18);
  for (const bool map : {true, false}) {
    CHECK(same_bits(sorted(io::load_npz(golden_file("arrays.npz"), {.map = map})), expected));
    nn::StateDict deflated = io::load_npz(golden_file("deflated.npz"), {.map = map});
    CHECK(deflated[0].second.to_vector() == std::vector<float>(2500));
    deflated.erase(deflated.begin());
    CHECK(same_bits(sorted(deflated), expected));
  }
  for (const std::string name : {"float32", "bfloat16", "int8", "scalar", "empty", "fortran", "big_endian"})
    CHECK(same_bits({{name, io::load_npy(golden_file(name + ".npy"))}}, {{name, nn::find(expected, name)}}));
  for (const std::string name : {"version2", "version3"})
    CHECK(io::load_npy(golden_file(name + ".npy")).to_vector() == std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK_FALSE(io::load_npy(golden_file("fortran.npy")).lazy().views().is_contiguous());  // a view, no copy
}

TEST_CASE("npy: the bytes of a file are the format's, and every dtype comes back") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.npy", archive = directory / "x.npz";
  io::save_npy(path, Tensor::of<float>({{1, -2, 3}}));
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
  header.resize(128 - 10 - 1, ' ');
  CHECK(contents(path).substr(0, 128) == npy_of(header + '\n', ""));
  CHECK(contents(path).size() == 128 + 12);

  nn::StateDict dict;
  for (const DType dtype : kDTypes) {
    const std::string name(teeny::name(dtype));
    dict.emplace_back(name, Tensor::of<double>({0, 1, 2.5, 100, 7}).cast(dtype));
    dict.emplace_back(name + ".scalar", Tensor::full({}, 3, dtype));
    dict.emplace_back(name + "/empty", Tensor::zeros({2, 0, 3}, dtype));
  }
  dict.emplace_back("not numbers", Tensor::of<float>({NAN, -INFINITY, -0.0f}));
  dict.emplace_back("a view", Tensor::arange(6).reshape({2, 3}).t());
  dict.emplace_back("large", Tensor::arange(50000));  // mapped
  dict.emplace_back("\u00e9\u65e5", Tensor::of<float>({1}));
  dict.emplace_back("", Tensor::of<float>({1}));
  io::save_npz(archive, dict);
  CHECK(same_bits(io::load_npz(archive), dict));
  for (const auto& [name, x] : dict) {
    io::save_npy(path, x);
    CHECK(same_bits({{"", io::load_npy(path)}}, {{"", x}}));
  }
  const std::string before = contents(archive);
  io::save_npz(archive, dict);
  CHECK(contents(archive) == before);
  io::save_npz(archive, {});
  CHECK(io::load_npz(archive).empty());
  CHECK(directory.files() == 2);

  check_refused({
      {"undefined", [&] { io::save_npy(path, Tensor()); }},
      {"\"w\" is taken",
       [&] {
         io::save_npz(archive, {{"w", Tensor::ones({1})}, {"w", Tensor::ones({1})}});
       }},
      {"not UTF-8",
       [&] {
         io::save_npz(archive, {{"\xc3", Tensor::ones({1})}});
       }},
      {"not UTF-8",
       [&] {
         io::save_npz(archive, {{"\xed\xa0\x80", Tensor::ones({1})}});
       }},
      {"a zero byte",
       [&] {
         io::save_npz(archive, {{std::string("w\0", 2), Tensor::ones({1})}});
       }},
      {"a record's name of 65536 bytes",
       [&] {
         io::save_npz(archive, {{std::string(65532, 'w'), Tensor::ones({1})}});
       }},
      {"No such file", [&] { io::save_npz(directory / "none/x.npz", {}); }},
  });
  CHECK(directory.files() == 2);
}

TEST_CASE("npy: a header is a Python literal of three keys, and nothing else") {
  const TemporaryDirectory directory;
  const std::string four(4, '\0');
  const auto load = [&](const std::string& header, const std::string& elements) {
    const std::string path = directory.write("x.npy", npy_of(header, elements));
    const std::string error = error_of([&] { io::load_npy(path); });
    CHECK((error.empty() || has(error, path)));
    return error;
  };
  CHECK(load("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", four) == "");
  CHECK(load("{\"shape\":(1,1),'fortran_order':True,\"descr\":'=f4'}  \n", four) == "");
  CHECK(load(" {'shape': (2L, 2L), 'descr': '|u1', 'fortran_order': False}", four) == "");
  CHECK(load("{'shape': (), 'descr': 'f4', 'fortran_order': False}", four) == "");
  const auto with = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
  };
  CHECK(has(load(with("'<f4'", "False", "(2,)"), four), "are 8 bytes; 4 are there"));
  CHECK(has(load(with("'<f4'", "False", "(0,)"), four), "4 bytes behind the array; several arrays"));
  CHECK(has(load(with("'<f4'", "False", "(1)"), four), "a comma belongs here"));
  CHECK(has(load(with("'<f4'", "False", "[1]"), four), "a ( belongs here"));
  CHECK(has(load(with("'<f4'", "False", "(1"), four), "a size belongs here"));
  CHECK(has(load(with("'<f4'", "False", "(1 1)"), four), "a comma belongs here"));
  CHECK(has(load(with("'<f4'", "False", "(-1,)"), four), "an integer from 0"));
  CHECK(has(load(with("'<f4'", "False", "(1.0,)"), four), "a comma belongs here"));
  CHECK(has(load(with("'<f4'", "False", "(9223372036854775808,)"), four), "an integer from 0"));
  CHECK(has(load(with("'<f4'", "False", "(4611686018427387904, 4)"), four), "is too large"));
  CHECK(has(load(with("'<f4'", "False", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"), four), "more than 16 axes"));
  CHECK(has(load(with("'<f4'", "None", "(1,)"), four), "True or False"));
  CHECK(has(load(with("f4", "False", "(1,)"), four), "a string belongs here"));
  CHECK(has(load(with("'\\x3cf4'", "False", "(1,)"), four), "a backslash"));
  CHECK(has(load(with("'<f4", "False", "(1,)"), four), "at 1"));
  CHECK(has(load(with("[('a', '<f4'", "False", "(1,)"), four), "a list that does not end"));
  CHECK(has(load(with("'<f4', 'descr': '<f4'", "False", "(1,)"), four), "\"descr\" is there twice"));
  CHECK(has(load(with("'<f4', 'more': 1", "False", "(1,)"), four), "unknown key \"more\""));
  CHECK(has(load("{'descr': '<f4', 'fortran_order': False}", four), "are needed"));
  CHECK(has(load("{'descr': '<f4' 'fortran_order': False}", four), "a comma belongs here"));
  CHECK(has(load("__import__('os')", four), "a { belongs here"));
  CHECK(has(load("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + 1", four), "text behind the dictionary"));
  CHECK(has(load("", four), "a { belongs here"));
  CHECK(has(load(with("''", "False", "(1,)"), four), "teeny has no such dtype"));
  CHECK(has(load(with("'<f3'", "False", "(1,)"), four), "dtype <f3"));
  CHECK(has(load(with("'|b1'", "False", "(4,)"), "\1\1\1\2"), "a bool of 2"));
  CHECK(has(load(with("'<u8'", "False", "(1,)"), std::string(8, '\xff')), "a uint64 of 2^63 or more"));
  CHECK(has(load(std::string(10001, ' '), four), "a header of 10001 bytes; at most 10000"));
  const auto raw = [&](const std::string& bytes) { io::load_npy(directory.write("x.npy", bytes)); };
  check_refused({
      {"no array of NumPy's", [&] { raw(""); }},
      {"no array of NumPy's", [&] { raw("\x93NUMPZ\1\0\0\0{}"); }},
      {"version 4.0", [&] { raw(std::string("\x93NUMPY\4\0\0\0\0\0{}", 14)); }},
      {"a header of 4294967295 bytes", [&] { raw("\x93NUMPY\2" + std::string(1, '\0') + "\xff\xff\xff\xff{}"); }},
      {"not a regular file", [&] { io::load_npy(directory / "."); }},
  });
}

TEST_CASE("npy: what teeny does not have is refused by name, with what to save instead") {
  check_refused({
      {"refused_object.npy: dtype |O: Python objects", [] { io::load_npy(golden_file("refused_object.npy")); }},
      {"dtype [('a', '<f4'), ('b', '<i4')]: a record", [] { io::load_npy(golden_file("refused_record.npy")); }},
      {"dtype <c16: complex numbers: save x.real", [] { io::load_npy(golden_file("refused_complex.npy")); }},
      {"dtype <U2: text", [] { io::load_npy(golden_file("refused_text.npy")); }},
      {"dtype <M8[D]: dates", [] { io::load_npy(golden_file("refused_date.npy")); }},
      {"dtype <f16: a float that teeny does not have", [] { io::load_npy(golden_file("refused_long.npy")); }},
      {"dtype |V3", [] { io::load_npy(golden_file("refused_void.npy")); }},
      {"no .npz archive: it is an array of NumPy's", [] { io::load_npz(golden_file("scalar.npy")); }},
  });
  const TemporaryDirectory directory;
  const std::string path = directory / "x.npz";
  const auto save = [&](const std::vector<std::string>& names) {
    std::filesystem::remove(path);
    data::File file(path, O_WRONLY | O_CREAT);
    io::ZipWriter archive(file);
    const std::string array = contents(golden_file("scalar.npy"));
    for (const std::string& name : names) archive.add(name, {std::as_bytes(std::span(array))});
    archive.finish();
  };
  save({"a.npy", "b"});  // as np.load does, the ending is taken away where there is one
  CHECK(names(io::load_npz(path)) == std::vector<std::string>{"a", "b"});
  {
    data::File file(path, O_WRONLY | O_TRUNC);
    io::ZipWriter archive(file);
    const std::string array = contents(golden_file("scalar.npy")), other = "not an array";
    archive.add("d/", {});
    archive.add("d/a.npy", {std::as_bytes(std::span(array))});
    archive.add("read me.txt", {std::as_bytes(std::span(other))});
    archive.finish();
  }
  CHECK(names(io::load_npz(path)) == std::vector<std::string>{"d/a"});
  CHECK(io::summary(path).notes.at(0) == "\"d/\" and 1 more: no array, and passed over");
  save({"a.npy", "a"});
  CHECK(has(error_of([&] { io::load_npz(path); }), "array \"a\" is there twice, with .npy and without"));
  save({"\xff.npy"});
  CHECK(has(error_of([&] { io::load_npz(path); }), "a name that is not UTF-8"));
}

TEST_CASE("npy: a damaged file is an Error or other values, never anything else") {
  const TemporaryDirectory directory;
  for (const std::string name : {"float32.npy", "big_endian.npy", "arrays.npz", "deflated.npz"}) {
    const bool archive = name.ends_with("z");
    test::Outcomes outcomes;
    test::attempt_mutations(contents(golden_file(name)), [&](const std::string& bytes) {
      const std::string path = directory.write(name, bytes);
      for (const bool checksums : {true, false})
        outcomes.add(path, [&] {
          return archive ? io::load_npz(path, {.checksums = checksums}) : nn::StateDict{{"", io::load_npy(path)}};
        });
    });
  }
}

TEST_CASE("interop: a round trip through the real packages" * doctest::description("INTEROP=python with torch")) {
  const char* python = std::getenv("INTEROP");
  if (!python || !*python) return;
  const TemporaryDirectory directory;
  const auto run = [&](const std::string& verb) {
    const std::string script = std::filesystem::path(__FILE__).parent_path() / "interop/round_trip.py";
    return std::system((std::string(python) + " " + script + " " + verb + " " + (directory / "")).c_str());
  };
  REQUIRE(run("make") == 0);
  for (const auto& entry : std::filesystem::directory_iterator(directory / "")) {
    const std::string name = entry.path().filename(), path = entry.path(), back = directory / ("back_" + name);
    if (name.starts_with("refused_") || name.starts_with("back_")) continue;
    if (name.ends_with(".pt")) io::save_torch(back, io::load_torch(path));
    if (name.ends_with(".npz")) io::save_npz(back, io::load_npz(path));
    if (name.ends_with(".npy")) io::save_npy(back, io::load_npy(path));
  }
  CHECK(run("check") == 0);
}
