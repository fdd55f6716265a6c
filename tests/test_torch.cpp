// PyTorch's files: what torch.save has written, what torch.load opens, and pickles that mean harm.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <algorithm>
#include <chrono>
#include <cmath>

#include "state_helpers.h"
#include "teeny/io/zip.h"
#include "temporary_directory.h"
#include "tests/check_refused.h"
#include "tests/golden_files.h"
#include "tests/mutate.h"
#include "tests/small_nets.h"

using namespace teeny;
using namespace std::string_literals;
using test::golden_file, test::golden_of;

namespace {

using Records = std::vector<std::pair<std::string, std::string>>;

/// An archive as torch.save writes it, around this pickle.
Records records_of(const std::string& pickle, const std::string& storage = "") {
  return {{"x/data.pkl", pickle}, {"x/data/0", storage}, {"x/version", "3\n"}};
}
void write_archive(const std::string& path, const Records& records) {
  std::filesystem::remove(path);
  data::File file(path, O_WRONLY | O_CREAT);
  io::ZipWriter archive(file);
  for (const auto& [name, bytes] : records) archive.add(name, {std::as_bytes(std::span(bytes))});
  archive.finish();
}

// Pieces of a pickle.
std::string integer(int64_t value) {
  return value >= 0 && value < 256 ? "K"s + char(value)
                                   : "\x8a\x08"s + std::string(reinterpret_cast<const char*>(&value), 8);
}
std::string string(const std::string& value) { return "X"s + char(value.size()) + "\0\0\0"s + value; }
std::string tuple(const std::vector<int64_t>& values) {
  std::string result = "(";
  for (int64_t value : values) result += integer(value);
  return result + "t";
}
std::string storage(int64_t elements, const std::string& kind = "FloatStorage", const std::string& more = "") {
  return "(" + string("storage") + "ctorch\n" + kind + "\n" + string("0") + string("cpu") + integer(elements) + more +
         "tQ";
}
std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& strides, const std::string& more = "\x89)") {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + tuple(shape) + tuple(strides) + more +
         "tR";
}
std::string dictionary(const std::string& items) { return "\x80\x02}(" + items + "u."; }

}  // namespace

TEST_CASE("torch: what PyTorch has written is read, in both formats") {
  for (const std::string name : {"types", "views", "nested"})
    for (const std::string ending : {".pt", "_old.pt"})
      for (const bool map : {true, false}) {
        INFO(name, ending);
        nn::StateDict loaded = io::load_torch(golden_file(name + ending), {.map = map});
        std::ranges::sort(loaded, {}, &std::pair<std::string, Tensor>::first);
        const nn::StateDict expected = golden_of(name + ".pt");
        CHECK(expected.size() > 10);
        CHECK(same_bits(loaded, expected));
      }
  CHECK(same_bits(io::load_torch(golden_file("tensor.pt")), golden_of("tensor.pt")));
  nn::Linear linear(3, 2);
  nn::load_state_dict(linear, io::load_torch(golden_file("protocol4.pt")));
  CHECK(same_bits(nn::state_dict(linear), {{"weight", nn::find(golden_of("protocol4.pt"), "weight")},
                                           {"bias", nn::find(golden_of("protocol4.pt"), "bias")}}));
  const nn::StateDict nested = io::load_torch(golden_file("nested.pt"));
  CHECK(names(nn::under(nested, "model")) == std::vector<std::string>{"weight", "bias"});
  CHECK(names(nn::under(nested, "list")) == std::vector<std::string>{"0", "1.0"});
}

TEST_CASE("torch: storages that tensors share are one buffer, and stay it") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.pt";
  nn::StateDict views = io::load_torch(golden_file("views.pt"));
  const auto node = [&](const std::string& name) { return nn::find(views, name).lazy().node(); };
  CHECK(nn::find(views, "tied").same(nn::find(views, "base")));
  for (const std::string name : {"matrix", "transposed", "slice", "step", "diagonal", "one"})
    CHECK(node(name) == node("base"));
  CHECK(node("channels_last") != node("base"));

  io::save_torch(path, views);
  const std::string bytes = contents(path);
  CHECK(same_bits(io::load_torch(path), views));
  views = io::load_torch(path);
  CHECK(nn::find(views, "tied").same(nn::find(views, "base")));
  for (const std::string name : {"matrix", "transposed", "slice", "step", "diagonal", "one"})
    CHECK(node(name) == node("base"));
  io::save_torch(path, views);
  CHECK(contents(path) == bytes);

  // What is tied in a model is one storage in its file; a slice of something large is not written with all of it.
  const Tensor large = Tensor::arange(10'000).realize();
  io::save_torch(path, {{"a", large[{slice(0, 5)}]}, {"b", large[{slice(5, 9)}]}, {"c", large[{slice(5, 9)}]}});
  CHECK(std::filesystem::file_size(path) < 2000);
  const io::FileSummary summary = io::summary(path);
  CHECK(summary.tensors[1].storage == summary.tensors[2].storage);
  CHECK(summary.tensors[0].storage != summary.tensors[1].storage);
}

TEST_CASE("torch: every dtype and odd shapes come back; the same tensors are the same bytes") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.pt";
  nn::StateDict dict;
  for (const DType dtype : kDTypes) {
    const std::string name(teeny::name(dtype));
    dict.emplace_back(name, Tensor::of<double>({0, 1, 2.5, 100, 7}).cast(dtype));
    dict.emplace_back(name + ".scalar", Tensor::full({}, 3, dtype));
    dict.emplace_back(name + ".empty", Tensor::zeros({2, 0, 3}, dtype));
  }
  dict.emplace_back("not numbers", Tensor::of<float>({NAN, -INFINITY, -0.0f}));
  dict.emplace_back("expanded", Tensor::of<float>({1, 2}).reshape({2, 1}).expand({2, 3}));
  dict.emplace_back("flipped", Tensor::of<float>({1, 2, 3}).flip({0}));
  dict.emplace_back("padded", Tensor::of<float>({1, 2}).pad({1}, {1}));
  dict.emplace_back("large", Tensor::arange(50'000));
  dict.emplace_back("", Tensor::of<float>({1}));
  io::save_torch(path, dict);
  CHECK(same_bits(io::load_torch(path), dict));
  CHECK(same_bits(io::load_torch(path, {.map = false, .checksums = false}), dict));
  const std::string before = contents(path);
  io::save_torch(path, dict);
  CHECK(contents(path) == before);
  io::save_torch(path, nn::StateDict{});
  CHECK(io::load_torch(path).empty());
  const nn::Linear linear(3, 2);
  io::save_torch(path, linear);
  CHECK(same_bits(io::load_torch(path), nn::state_dict(linear)));
  check_refused({
      {"undefined",
       [&] {
         io::save_torch(path, {{"w", Tensor()}});
       }},
      {"\"w\" is taken",
       [&] {
         io::save_torch(path, {{"w", Tensor::ones({1})}, {"w", Tensor::ones({1})}});
       }},
      {"not UTF-8",
       [&] {
         io::save_torch(path, {{"\xff", Tensor::ones({1})}});
       }},
      {"No such file", [&] { io::save_torch(directory / "none/x.pt", linear); }},
  });
  CHECK(directory.files() == 1);
}

TEST_CASE("torch: what is no dictionary of tensors is refused by name, with what to save instead") {
  const auto load = [](const std::string& name) {
    return [name] { io::load_torch(golden_file("refused_" + name + ".pt")); };
  };
  check_refused({
      {"refused_sparse.pt: the pickle names torch._utils._rebuild_sparse_tensor: a sparse tensor: save x.to_dense()",
       load("sparse")},
      {"torch._utils._rebuild_meta_tensor_no_storage: a tensor on the meta device", load("meta")},
      {"torch.ComplexFloatStorage: complex numbers: save torch.view_as_real(x)", load("complex")},
      {"torch._utils._rebuild_qtensor: a quantised tensor: save x.dequantize()", load("quantised")},
      {"torch.float8_e4m3fn: 8-bit floats, which teeny does not have: save x.float()", load("float8")},
      {"tensor \"x\": a negated or conjugated view: save x.resolve_neg()", load("negated")},
      {"torch.nn.modules.activation.ReLU: a class or a function, and nothing is executed", load("module")},
      {"torch.nn.modules.activation.ReLU: a class or a function, and nothing is executed", load("module_old")},
      {"scalar: NumPy's numbers or arrays: save torch.from_numpy(x)", load("numpy")},
      {"TorchScript, which is a program: load it in PyTorch, and save model.state_dict()", load("script")},
      {"no data.pkl in the archive: np.savez has written it", [] { io::load_torch(golden_file("arrays.npz")); }},
      {"neither a zip archive nor a pickle: it is an array of NumPy's",
       [] { io::load_torch(golden_file("scalar.npy")); }},
  });
}

TEST_CASE("torch: a pickle runs nothing, and what it says of tensors is checked") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.pt", four(16, '\0');
  const auto load = [&](const std::string& pickle, const std::string& elements = std::string(16, '\0')) {
    write_archive(path, records_of(pickle, elements));
    const std::string error = error_of([&] { io::load_torch(path); });
    CHECK((error.empty() || has(error, path)));
    return error;
  };
  const auto one = [&](const std::string& value) { return load(dictionary(string("w") + value)); };
  CHECK(one(tensor(storage(4), 0, {2, 2}, {2, 1})) == "");
  CHECK(one(tensor(storage(4), 3, {0, 5}, {1, 1})) == "");

  // Names and opcodes.
  const std::string marker = directory / "was here";
  CHECK(has(load("\x80\x02"s + "cposix\nsystem\n" + string("touch '" + marker + "'") + "\x85R."), "posix.system"));
  CHECK(has(load("\x80\x04"s + "\x8c\x02os\x8c\x06system\x93" + string("true") + "\x85R."), "names os.system"));
  CHECK_FALSE(std::filesystem::exists(marker));
  CHECK(has(load("\x80\x02"s + "cbuiltins\neval\n."), "builtins.eval"));
  CHECK(has(load("\x80\x02"s + "c__torch__.Net\nNet\n."), "TorchScript"));
  CHECK(has(load("\x80\x02)\x81."), "opcode 129, which a dictionary of tensors does not need"));
  CHECK(has(load("\x80\x02Nios\nsystem\n."), "opcode 105 'i'"));
  CHECK(has(load("\x80\x02}2."), "opcode 50 '2'"));
  CHECK(has(load("\x80\x06}."), "protocol 6"));
  CHECK(has(load("\x80\x01}."), "protocol 1"));
  CHECK(has(load(""), "it ends in the middle"));
  CHECK(has(load("\x80\x02}"), "it ends in the middle"));
  CHECK(has(load("\x80\x02X\xff\xff\xff\xff."), "it ends in the middle"));
  CHECK(has(load("\x80\x02"s + "ctorch"), "a name that does not end"));
  CHECK(has(load("\x80\x02."), "a value is missing"));
  CHECK(has(load("\x80\x02}(a."), "a value is missing"));  // the dictionary lies below the mark
  CHECK(has(load("\x80\x02}Nt."), "a mark is missing"));
  CHECK(has(load("\x80\x02}(Nu."), "a key without a value"));
  CHECK(has(load("\x80\x02]NNs."), "a dictionary belongs"));
  CHECK(has(load("\x80\x02}Na."), "a list belongs"));
  CHECK(has(load("\x80\x02h\x07."), "nothing is remembered as 7"));
  CHECK(has(load("\x80\x02NNR."), "a tuple belongs"));
  CHECK(has(load("\x80\x02N)R."), "a name belongs"));
  CHECK(has(load("\x80\x02"s + "ccollections\nOrderedDict\n]]a\x85R."), "made of pairs"));
  CHECK(has(load("\x80\x02"s + "ccollections\nOrderedDict\n]]\x86R."), "made of one list"));
  CHECK(has(load("\x80\x02"s + "cbuiltins\nslice_\n."), "builtins.slice_: a class or a function"));
  CHECK(has(load("\x80\x02"s + "cargparse\nNamespace\n."), "options: save vars(options)"));

  // Tensors.
  CHECK(has(one(tensor(storage(4), 0, {5}, {1})), "tensor \"w\": (5,) with strides (1,) from 0 reaches outside"));
  CHECK(has(one(tensor(storage(4), 1, {4}, {1})), "reaches outside of a storage of 4 elements"));
  CHECK(has(one(tensor(storage(4), 0, {2, 2}, {3, 1})), "reaches outside"));
  CHECK(has(one(tensor(storage(4), INT64_MAX, {2}, {1})), "reaches outside"));
  CHECK(has(one(tensor(storage(4), 0, {3}, {int64_t(1) << 62})), "reaches outside"));
  CHECK(has(one(tensor(storage(4), 0, {int64_t(1) << 62, 4}, {0, 1})), "is too large"));
  CHECK(has(one(tensor(storage(4), 0, {int64_t(1) << 40}, {0})), "4398046511104 bytes, of a storage of 16; at most"));
  CHECK(has(one(tensor(storage(4), -1, {2}, {1})), "a tensor that begins at -1"));
  CHECK(has(one(tensor(storage(4), 0, {-2}, {1})), "a size or stride of -2"));
  CHECK(has(one(tensor(storage(4), 3, {2}, {-1})), "a size or stride of -1"));
  CHECK(has(one(tensor(storage(4), 0, {2, 2}, {1})), "(2, 2) with strides (1,)"));
  CHECK(has(one(tensor(storage(4), 0, std::vector<int64_t>(17, 1), std::vector<int64_t>(17, 1))), "17 axes"));
  CHECK(has(one(tensor(storage(4), 0, {2}, {1}, "\x89)}"s + string("neg") + "\x88s")), "resolve_neg"));
  CHECK(has(one(tensor("N", 0, {2}, {1})), "argument 0 of a tensor or storage"));
  CHECK(has(one("ctorch._utils\n_rebuild_tensor_v2\n)R"), "argument 0"));
  CHECK(has(one("ctorch._utils\n_rebuild_parameter\n)R"), "argument 0"));
  CHECK(has(one("ctorch._utils\n_rebuild_parameter\nctorch\nSize\n)R\x85R"), "a parameter of torch.Size"));
  CHECK(has(one(tensor("NQ", 0, {2}, {1})), "argument 0"));
  CHECK(has(one(tensor("(" + string("module") + "tQ", 0, {2}, {1})), "a module is stored"));
  CHECK(has(one(tensor(storage(-4), 0, {2}, {1})), "a storage of -4 elements"));
  CHECK(has(one(tensor(storage(INT64_MAX), 0, {2}, {1})), "a storage of 9223372036854775807"));
  CHECK(has(one(tensor(storage(5), 0, {2}, {1})), "its storage has 16 bytes, and should have 20"));
  CHECK(has(one(tensor(storage(3), 0, {2}, {1})), "its storage has 16 bytes, and should have 12"));
  CHECK(has(one(tensor(storage(4, "int8"), 0, {2}, {1})), "torch.int8 is no storage"));
  CHECK(has(one(tensor(storage(4, "FloatStorage", ")"), 0, {2}, {1})), "a view of a storage"));
  CHECK(has(one(storage(4)), "a storage by itself"));
  CHECK(has(load(dictionary(string("w") + tensor(storage(16, "BoolStorage"), 0, {2}, {1})), std::string(16, '\2')),
            "tensor \"w\": a bool of 2"));
  const auto untyped = [&](const std::string& dtype) {
    const std::string bytes =
        "(" + string("storage") + "ctorch.storage\nUntypedStorage\n" + string("0") + string("cpu") + integer(16) + "tQ";
    return one("ctorch._utils\n_rebuild_tensor_v3\n(" + bytes + integer(0) + tuple({2}) + tuple({1}) + "\x89)" + dtype +
               "tR");
  };
  CHECK(untyped("ctorch\nuint64\n") == "");
  CHECK(has(untyped("ctorch\nSize\n"), "a tensor without a dtype"));
  CHECK(has(untyped(""), "argument 6"));

  // Names of tensors.
  const std::string w = tensor(storage(4), 0, {2}, {1});
  CHECK(has(load(dictionary(string("w") + w + string("w") + w)), "tensor \"w\" is there twice"));
  CHECK(has(load(dictionary(string("a.b") + w + string("a") + "}" + string("b") + w + "s")), "\"a.b\" is there twice"));
  CHECK(has(load(dictionary(string("1") + w + integer(1) + w)), "tensor \"1\" is there twice"));
  CHECK(has(load(dictionary(")" + w)), "\"(a tuple)\": a key that is neither"));
  CHECK(has(load(dictionary(string("\xff") + w)), "a key that is neither"));
  CHECK(has(load(dictionary("N}" + string("w") + w + "s")), "a key that is neither"));
  CHECK(load(dictionary(")N" + string("w") + w)) == "");  // beside the tensors anything may be a key

  // Records.
  const auto archive = [&](const Records& records) {
    write_archive(path, records);
    return error_of([&] { io::load_torch(path); });
  };
  const std::string good = dictionary(string("w") + w);
  CHECK(archive({{"x/data.pkl", good}, {"x/data/0", four}}) == "");
  CHECK(has(archive({{"x/data.pkl", good}, {"y/data/0", four}}), "its storage \"0\" is not in the archive"));
  CHECK(has(archive({{"x/data.pkl", good}, {"x/data/0", four}, {"x/byteorder", "big"}}), "byte order is \"big\""));
  CHECK(has(archive({{"x/data.pkl", good}, {"x/data/0", four}, {"x/byteorder", std::string(99, 'x')}}), "at most 16"));
  CHECK(has(archive({{"x/data.pkl", good}, {"x/constants.pkl", ""}}), "TorchScript"));
  CHECK(has(archive({{"x/y/data.pkl", good}}), "no data.pkl"));
}

TEST_CASE("torch: what holds itself or is shared a billion ways costs little") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.pt";
  const auto load = [&](const std::string& pickle) {
    write_archive(path, records_of(pickle, std::string(16, '\0')));
    const auto start = std::chrono::steady_clock::now();
    const std::string error = error_of([&] { io::load_torch(path); });
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
    return error;
  };
  CHECK(has(load("\x80\x02]q\1h\1a."), "nested more than 64 deep"));
  CHECK(has(load("\x80\x02}q\1"s + string("a") + "h\1s."), "\"a.a.a"));
  CHECK(has(load("\x80\x02}q\1"s + string("a") + "h\1s."), "nested more than 64 deep"));
  std::string nested = "\x80\x02]";
  for (int i = 0; i < 64; ++i) nested += "]";
  CHECK(load(nested + std::string(64, 'a') + ".") == "");
  CHECK(has(load(nested + "]" + std::string(65, 'a') + "."), "nested more than 64 deep"));
  CHECK(has(load("\x80\x02" + std::string(1'000'000, ']') + std::string(999'999, 'a') + "."),
            "nested more than 64 deep"));
  CHECK(load("\x80\x02" + std::string(1'000'000, ')') + ".") == "");
  CHECK(has(load("\x80\x02N" + std::string(9'000'000, ')') + "."), "values"));
  // Ten lists, each of which holds ten times the one before: ten billion tensors to walk through.
  std::string shared = "\x80\x02" + tensor(storage(4), 0, {2}, {1}) + "q\1";
  for (char level = 1; level <= 10; ++level) {
    shared += "](";
    for (int i = 0; i < 10; ++i) shared += "h"s + level;
    shared += "eq"s + char(level + 1);
  }
  CHECK(has(load(shared + "."), "more than 131072 tensors"));
  std::string empty = "\x80\x02Nq\1";
  for (char level = 1; level <= 10; ++level) {
    empty += "](";
    for (int i = 0; i < 10; ++i) empty += "h"s + level;
    empty += "eq"s + char(level + 1);
  }
  CHECK(has(load(empty + "."), "or some of them shared too often"));
  // A dictionary of a long list is a copy of it, made with a few bytes.
  std::string copied = "\x80\x02"s + "ccollections\nOrderedDict\nq\2](NN\x86q\1";
  for (int i = 1; i < 100'000; ++i) copied += "h\1";
  copied += "e\x85q\3";
  for (int i = 0; i < 100'000; ++i) copied += "h\2h\3R";
  CHECK(has(load(copied + "."), "more than 8388608 values"));
  // A long key in front of many values, and of many tensors; and one of a storage.
  const std::string long_key = "X\0\0\1\0"s + std::string(65536, 'k');
  CHECK(load("\x80\x02}" + long_key + "](" + std::string(1'000'000, 'N') + "es.") == "");
  std::string keyed = "\x80\x02" + tensor(storage(4), 0, {2}, {1}) + "q\1}" + long_key + "](";
  for (int i = 0; i < 5000; ++i) keyed += "h\1";
  CHECK(has(load(keyed + "es."), "a name of"));
  std::string stored = tensor(storage(4), 0, {2}, {1});
  stored.replace(stored.find(string("0")), 6, long_key);
  CHECK(has(load("\x80\x02" + stored + "."), "a storage's key of 65536 bytes"));
}

TEST_CASE("torch: the older format's storages are counted") {
  const TemporaryDirectory directory;
  const std::string whole = contents(golden_file("types_old.pt")), path = directory / "x.pt";
  const auto load = [&](const std::string& bytes) {
    directory.write("x.pt", bytes);
    return error_of([&] { io::load_torch(path); });
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string bytes = whole;
    const size_t at = bytes.find(from);
    REQUIRE(at != bytes.npos);
    return bytes.replace(at, from.size(), to);
  };
  CHECK(load(whole) == "");
  CHECK(has(load(whole + "x"), "1 bytes behind the last storage"));
  CHECK(has(load(whole.substr(0, whole.size() - 1)), "it ends before its storages do"));
  CHECK(has(load(replaced("\x6c\xfc\x9c\x46", "\x6c\xfc\x9c\x47")), "a pickle that torch.save has not written"));
  CHECK(has(load(replaced("M\xe9\x03.", "M\xea\x03.")), "version 1002"));
  CHECK(has(load(replaced("little_endianq\2\x88", "little_endianq\2\x89")), "a big-endian machine"));
  const io::FileSummary summary = io::summary(golden_file("types_old.pt"));
  std::string other = summary.tensors[0].storage;
  other.back() = other.back() == '0' ? '1' : '0';
  std::string keys = whole;
  keys.replace(keys.rfind(summary.tensors[0].storage), other.size(), other);
  CHECK(has(load(keys), "\"" + other + "\""));
}

TEST_CASE("torch: a damaged file is an Error or other values, never anything else") {
  const TemporaryDirectory directory;
  test::Outcomes outcomes;
  for (const std::string name : {"types.pt", "views.pt", "nested.pt", "views_old.pt", "nested_old.pt"})
    test::attempt_mutations(contents(golden_file(name)), [&](const std::string& bytes) {
      const std::string path = directory.write("x.pt", bytes);
      outcomes.add(path, [&] { return io::load_torch(path, {.checksums = false}); });
    });
  // The pickle alone, in an archive that is whole.
  std::string bytes;
  {
    data::File file = data::open_to_read(golden_file("views.pt"));
    const io::ZipReader archive(file);
    bytes = archive.head(*archive.find("views/data.pkl"), 1 << 20);
  }
  const std::string path = directory / "x.pt", elements(96, '\1');
  test::attempt_mutations(bytes, [&](const std::string& changed) {
    write_archive(
        path,
        {{"x/data.pkl", changed}, {"x/data/0", elements}, {"x/data/1", elements.substr(0, 8)}, {"x/data/2", elements}});
    outcomes.add(path, [&] { return io::load_torch(path); });
  });
}

TEST_CASE("summary: names, dtypes, sizes and what is special, of every format") {
  const auto of = [](const std::string& name) { return io::summary(golden_file(name)); };
  CHECK(of("types.pt").format == "torch");
  CHECK(of("types_old.pt").format == "torch (before 1.6)");
  CHECK(of("arrays.npz").format == "npz");
  CHECK(of("deflated.npz").tensors[0].bytes == 10'000);
  CHECK(of("scalar.npy").format == "npy");
  CHECK(of("expected.safetensors").format == "safetensors");
  const io::FileSummary types = of("types.pt");
  CHECK(types.tensors[5].name == "int8");
  CHECK(types.tensors[5].dtype == "int8");
  CHECK(types.tensors[5].bytes == 4);
  CHECK(std::ranges::count(types.notes, "1 tensor of int8, read as int32") == 1);
  const io::FileSummary views = of("views_old.pt");
  CHECK(views.tensors[0].storage == views.tensors[3].storage);
  CHECK(views.tensors[0].storage != views.tensors[7].storage);
  CHECK(of("nested.pt").notes.at(0) == "24 numbers, strings and the like beside the tensors are left out");
  CHECK(of("refused_complex.npy").notes.at(0) == "1 tensor of <c16, which teeny cannot hold");
  CHECK(of("big_endian.npy").notes.at(0) == "the array is big-endian");
  CHECK(has(of("bfloat16.npy").notes.at(0), "without a meaning to NumPy"));

  const TemporaryDirectory directory;
  nn::StateDict many;
  for (int i = 0; i < 1000; ++i) many.emplace_back("layers." + std::to_string(i) + ".weight", Tensor::ones({4, 4}));
  io::save_torch(directory / "x.pt", many);
  io::save_npz(directory / "x.npz", many);
  io::save_safetensors(directory / "x.safetensors", many, {{"key", "value"}});
  for (const std::string name : {"x.pt", "x.npz", "x.safetensors"}) {
    const auto start = std::chrono::steady_clock::now();
    const io::FileSummary summary = io::summary(directory / name);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    MESSAGE(name, ": ", seconds, " s");
    CHECK(summary.tensors.size() == 1000);
    CHECK(summary.tensors[999].name == "layers.999.weight");
    CHECK(summary.tensors[999].bytes == 64);
    CHECK(summary.metadata == (name == "x.safetensors" ? io::Metadata{{"key", "value"}} : io::Metadata{}));
  }
}

TEST_CASE("torch: plain data of any kind beside the tensors is passed over") {
  const TemporaryDirectory directory;
  const std::string path = directory / "x.pt", w = tensor(storage(4), 0, {2}, {1});
  const auto names_with = [&](const std::string& items, uint8_t protocol = 2) {
    write_archive(path, records_of("\x80"s + char(protocol) + "}(" + items + "u.", std::string(16, '\0')));
    return names(io::load_torch(path));
  };
  using Names = std::vector<std::string>;
  const std::string dict = "}(" + string("w") + w + "u", empty = "()", call = "\x85R";
  CHECK(names_with(string("c") + "ccollections\nCounter\n" + dict + call) == Names{"c.w"});  // of MultiStepLR
  CHECK(names_with(string("c") + "ccollections\ndefaultdict\nc__builtin__\nlist\n" + call + string("w") + w + "s") ==
        Names{"c.w"});
  for (const std::string builtin : {"__builtin__\nset", "__builtin__\nbytearray", "builtins\nslice",
                                    "__builtin__\nxrange", "__builtin__\ncomplex", "builtins\nfrozenset"})
    CHECK(names_with(string("x") + "c" + builtin + "\n)R" + string("w") + w) == Names{"w"});
  std::string integer_of_5000_bits = "\x8b\x71\2\0\0"s + std::string(625, '\1');
  CHECK(names_with(string("x") + integer_of_5000_bits + string("w") + w) == Names{"w"});
  CHECK(names_with(
            string("x") + "\x8f(" + integer(1) + "\x90" + string("y") + "(" + integer(1) + "\x91" + string("w") + w,
            4) == Names{"w"});
  CHECK(names_with(string("x") + "\x96\1\0\0\0\0\0\0\0a"s + string("w") + w, 5) == Names{"w"});
  // A tensor with attributes of its own: a function, a class, arguments, attributes.
  const size_t arguments = std::string("ctorch._utils\n_rebuild_tensor_v2\n").size();
  CHECK(names_with(string("w") + "ctorch._tensor\n_rebuild_from_type_v2\n(" + w.substr(0, arguments) +
                   "ctorch\nTensor\n" + w.substr(arguments, w.size() - arguments - 1) + "}tR") == Names{"w"});
}

TEST_CASE("load: what teeny cannot hold is left out where that is asked for, with a line that names it") {
  const TemporaryDirectory directory;
  const auto left_out = [](auto&& load, const std::string& path) {
    std::vector<std::string> lines;
    const nn::StateDict rest = load(path, io::LoadOptions{.left_out = &lines});
    CHECK(error_of([&] { load(path, io::LoadOptions{}); }) != "");
    REQUIRE(lines.size() == 1);
    CHECK(has(lines[0], path + ": "));
    return std::pair(names(rest), lines[0]);
  };
  const auto torch = [&](const std::string& items, const std::string& elements) {
    const std::string path = directory / "x.pt";
    write_archive(path, records_of(dictionary(items), elements));
    return left_out(io::load_torch, path);
  };
  using Names = std::vector<std::string>;
  const std::string w = string("w") + tensor(storage(4), 0, {2}, {1}), four(16, '\0');
  for (const auto& [name, says] : std::map<std::string, std::string>{
           {"complex", "tensor \"x\": the pickle names torch.ComplexFloatStorage: complex numbers"},
           {"float8", "torch.float8_e4m3fn: 8-bit floats"},
           {"sparse", "_rebuild_sparse_tensor: a sparse tensor"},
           {"quantised", "_rebuild_qtensor: a quantised tensor"},
           {"meta", "a tensor on the meta device"},
           {"negated", "save x.resolve_neg()"}}) {
    INFO(name);
    const std::string path = golden_file("refused_" + name + ".pt");
    const auto [rest, line] = left_out(io::load_torch, path);
    CHECK(has(line, says));
    const auto notes = io::summary(path).notes;
    CHECK(std::ranges::any_of(notes, [&](const std::string& note) { return has(line, note); }));
  }
  CHECK(torch(w + string("x") + "ctorch._utils\n_rebuild_sparse_tensor\n)R", four).first == Names{"w"});
  write_archive(directory / "u.pt",
                records_of(dictionary(string("x") + "ctorch._utils\n_rebuild_tensor_v3\n((" + string("storage") +
                                      "ctorch.storage\nUntypedStorage\n" + string("0") + string("cpu") + integer(16) +
                                      "tQ" + integer(0) + tuple({2}) + tuple({1}) + "\x89)ctorch\nuint64\ntR"),
                           std::string(16, '\xff')));
  CHECK(has(left_out(io::load_torch, directory / "u.pt").second, "tensor \"x\": a uint64 of 2^63 or more"));

  for (const std::string name : {"object", "complex", "text", "date", "long", "record"}) {
    const std::string path = directory / (name + ".npz");
    write_archive(path, {{"x.npy", contents(golden_file("refused_" + name + ".npy"))},
                         {"a.npy", contents(golden_file("scalar.npy"))}});
    const auto [rest, line] = left_out(io::load_npz, path);
    CHECK(rest == Names{"a"});
    CHECK(has(line, "array \"x\": dtype "));
  }
  const auto load = [](const std::string& path, const io::LoadOptions& options) {
    const io::Safetensors file = io::load_safetensors(path, options);
    if (!file.left_out.empty()) file[file.left_out.begin()->first];
    return file.tensors;
  };
  const std::string header = R"({"x":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}})";
  const std::string bytes =
      std::string(1, char(header.size())) + std::string(7, '\0') + header + std::string(8, '\xff');
  CHECK(has(left_out(load, directory.write("x.safetensors", bytes)).second, "a uint64 of 2^63 or more"));
}

TEST_CASE("signature: what is no file of tensors is called by its name, whatever its ending") {
  const TemporaryDirectory directory;
  using Pair = std::pair<std::string, std::string>;
  for (const auto& [bytes, says] : std::vector<Pair>{
           {"", "an empty file"},
           {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a pointer of Git LFS"},
           {"\n<!DOCTYPE html><html><head><title>404</title>", "an HTML page"},
           {"<HTML>", "an HTML page"},
           {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"},
           {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03more"s, "packed by gzip"},
           {"{\"detail\": \"Not Found\"}", "JSON"},
           {"\xef\xbb\xbf{}", "JSON"},
           {"ir_version: 8\ngraph {\n", "ONNX as text"},
           {"<\n   ir_version: 8,\n   opset_import: [\"\" : 17]\n>\n", "ONNX as text"},
           {"{\n  \"irVersion\": \"8\",\n", "ONNX as text"},
           {"\x08\x08\x12\x07pytorch", "an ONNX network"},
           {"this is none\nat all", "text, which begins: this is none"},
           {std::string(1000, '\0'), "zeros"},
           {"GGUF\3\0\0\0"s, "GGUF"}}) {
    INFO(says);
    for (const std::string ending : {".safetensors", ".pt", ".npz", ".npy", ".bin"}) {
      const std::string path = directory.write("x" + ending, bytes);
      check_refused({{path + ": no safetensors file: it is " + says, [&] { io::load_safetensors(path); }},
                     {path + ": no file of torch.save: neither a zip archive nor a pickle: it is " + says,
                      [&] { io::load_torch(path); }},
                     {path + ": no .npz archive: it is " + says, [&] { io::load_npz(path); }},
                     {path + ": no array of NumPy's: it is " + says, [&] { io::load_npy(path); }},
                     {path + ": no file of tensors, which are .safetensors, .pt, .npz and .npy: it is " + says,
                      [&] { io::summary(path); }}});
    }
  }
  for (const char* name : {"scalar.npy", "types.pt", "types_old.pt", "arrays.npz"})
    CHECK(has(error_of([&] { io::load_safetensors(golden_file(name)); }), "no safetensors file: it is a"));
  CHECK(has(error_of([&] { io::summary(directory.write("x", "\1\2\3")); }), "no file of tensors"));

  // A header whose length begins as a pickle does.
  const std::string header = R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
  const std::string path = directory.write("x", "\x80\2\0\0\0\0\0\0"s + header + std::string(640 - header.size(), ' '));
  CHECK(io::summary(path).format == "safetensors");

  // Archives of others, and one that was cut.
  const auto archive = [&](const Records& records) {
    write_archive(directory / "y.pt", records);
    return directory / "y.pt";
  };
  const std::string exported = archive({{"net/archive_format", "pt2"}, {"net/models/model.json", "{}"}});
  check_refused(
      {{"no data.pkl in the archive: torch.export.save has written it", [&] { io::load_torch(exported); }},
       {"without arrays of NumPy's: torch.export.save has written it", [&] { io::summary(exported); }},
       {"without arrays of NumPy's: torch.export.save has written it", [&] { io::load_npz(exported); }},
       {"without arrays of NumPy's: torch.save has written it", [] { io::load_npz(golden_file("types.pt")); }}});
  const std::string cut = directory.write("z.pt", contents(golden_file("types.pt")).substr(0, 1000));
  check_refused({{"without the directory at its end: it was cut", [&] { io::load_torch(cut); }},
                 {"without the directory at its end: it was cut", [&] { io::summary(cut); }}});
}
