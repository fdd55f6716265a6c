// State dictionaries, safetensors files, and resuming from a checkpoint.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <cstring>
#include <memory>

#include "teeny/teeny.h"
#include "temporary_directory.h"

using namespace teeny;

namespace {

struct Attention {
  nn::Linear qkv{4, 12}, out{4, 4, false};
  TEENY_STATE(qkv, out)
};
struct Block {
  Attention attn;
  nn::LayerNorm norm{4};
  TEENY_STATE(attn, norm)
};
class Network {
 public:
  nn::Embedding table{3, 4};
  std::vector<Block> blocks{2};
  std::array<Tensor, 2> scale = {Tensor::ones({1}).requires_grad_(), Tensor::zeros({1})};
  std::optional<nn::Linear> head, absent;
  std::unique_ptr<nn::Dropout> drop = std::make_unique<nn::Dropout>();
  TEENY_STATE(table, blocks, scale, head, absent, drop, counter_)
  Network() { head.emplace(4, 2); }

 private:
  Tensor counter_ = Tensor::zeros({}, DType::Int64);
};

std::vector<std::string> names(const nn::StateDict& dict) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : dict) result.push_back(name);
  return result;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

bool same_bits(const nn::StateDict& a, const nn::StateDict& b) {
  if (names(a) != names(b)) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const Tensor &x = a[i].second, &y = b[i].second;
    if (x.dtype() != y.dtype() || x.shape() != y.shape() || x.to_bytes() != y.to_bytes()) return false;
  }
  return true;
}

/// A file: the length of the header, the header, the numbers.
std::string file_of(const std::string& json, const std::string& data) {
  const uint64_t length = json.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + json + data;
}

}  // namespace

TEST_CASE("state: names are PyTorch's") {
  const Network network;
  CHECK(names(nn::state_dict(network)) ==
        std::vector<std::string>{"table.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias",
                                 "blocks.0.attn.out.weight", "blocks.0.norm.weight", "blocks.0.norm.bias",
                                 "blocks.1.attn.qkv.weight", "blocks.1.attn.qkv.bias", "blocks.1.attn.out.weight",
                                 "blocks.1.norm.weight", "blocks.1.norm.bias", "scale.0", "scale.1", "head.weight",
                                 "head.bias", "counter"});
  CHECK(nn::parameters(network).size() == 14);
  const nn::BatchNorm2d norm(2);
  CHECK(names(nn::state_dict(norm)) == std::vector<std::string>{"weight", "bias", "running_mean", "running_var",
                                                                "num_batches_tracked"});
  CHECK(nn::parameters(norm).size() == 2);
  CHECK(nn::state_dict(nn::Dropout()).empty());
}

TEST_CASE("state: a tensor that two layers share is one parameter") {
  Block block;
  block.attn.out.weight = block.norm.weight;
  CHECK(nn::state_dict(block).size() == 5);
  CHECK(nn::parameters(block).size() == 4);
}

TEST_CASE("state: load_state_dict assigns to every handle") {
  nn::Linear a(3, 2), b(3, 2);
  const Tensor handle = a.weight;
  nn::load_state_dict(a, nn::state_dict(b));
  CHECK(same_bits(nn::state_dict(a), nn::state_dict(b)));
  CHECK(handle.same(a.weight));
  CHECK_FALSE(a.weight.same(b.weight));
  CHECK(a.weight.requires_grad());
  // From now on they go their own ways.
  b.weight.assign(Tensor::zeros({2, 3}));
  CHECK(handle.square().sum().item() > 0);
}

TEST_CASE("state: load_state_dict lists everything that does not fit, and changes nothing") {
  nn::Linear a(3, 2);
  const nn::StateDict before = {{"weight", Tensor::from(a.weight.to_vector(), {2, 3})},
                                {"bias", Tensor::from(a.bias.to_vector(), {2})}};
  const auto load = [&a](const nn::StateDict& dict) { return error_of([&] { nn::load_state_dict(a, dict); }); };
  const Tensor weight = Tensor::zeros({2, 3}), bias = Tensor::zeros({2});
  CHECK(has(load({{"weight", weight}}), "1 problem\n  missing: bias (2,) float32"));
  CHECK(has(load({{"weight", weight}, {"bias", bias}, {"extra", bias}}), "unexpected: extra"));
  CHECK(has(load({{"weight", weight}, {"bias", bias}, {"bias", bias}}), "given twice: bias"));
  CHECK(has(load({{"weight", weight.t()}, {"bias", bias}}), "weight: shape (2, 3) wanted, (3, 2) given"));
  CHECK(has(load({{"weight", weight}, {"bias", bias.cast(DType::Float16)}}), "bias: dtype float32 wanted, float16 given"));
  CHECK(has(load({{"weight", weight}, {"bias", Tensor()}}), "bias: the tensor given is undefined"));
  const std::string many = load({{"weight", bias}, {"a", bias}, {"b", bias}});
  CHECK(has(many, "load_state_dict: 4 problems"));
  for (const char* part : {"weight: shape", "missing: bias", "unexpected: a", "unexpected: b"}) CHECK(has(many, part));
  CHECK(same_bits(nn::state_dict(a), before));
  CHECK(load({{"bias", bias}, {"weight", weight}}) == "");  // any order will do
  CHECK(a.weight.square().sum().item() == 0);
}

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

TEST_CASE("safetensors: the bytes of a file are the format's") {
  const TemporaryDirectory directory;
  const std::string path = directory / "golden.safetensors";
  io::save_safetensors(path, {{"flag", Tensor::full({}, true, DType::Bool)}, {"w", Tensor::of<float>({{1, -2}})}}, {{"a", "b"}});
  const std::string json =
      R"({"__metadata__":{"a":"b"},)"
      R"("flag":{"dtype":"BOOL","shape":[],"data_offsets":[8,9]},)"
      R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  const std::string padded = json + std::string((8 - json.size() % 8) % 8, ' ');
  const char numbers[] = "\x00\x00\x80\x3f\x00\x00\x00\xc0\x01";  // 1.0f, -2.0f, true
  CHECK(contents(path) == file_of(padded, std::string(numbers, 9)));

  // What other writers do: white space, fields in another order, escapes, an alignment of their own.
  const auto other = io::load_safetensors(directory.write("other.safetensors", file_of(
      "{ \"\\u0077\" : {\"shape\":[2], \"data_offsets\":[1,5],\"dtype\":\"BF16\"},\n\"u\":{\"dtype\":\"U8\","
      "\"shape\":[1,1],\"data_offsets\":[0,1]} }   ", std::string("\x07\x80\x3f\x00\x40", 5))));
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
  CHECK(has(load("{\"a\":{" + entry("U8", "[3]", "[0,3]") + "},\"b\":{" + entry("U8", "[2]", "[2,4]") + "}}", four), "overlap"));
  CHECK(has(load("{\"a\":{" + entry("U8", "[2]", "[0,2]") + "},\"a\":{" + entry("U8", "[2]", "[2,4]") + "}}", four), "twice"));
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

TEST_CASE("safetensors: a damaged file is an Error or other numbers, never anything else") {
  const TemporaryDirectory directory;
  const std::string path = directory / "small.safetensors";
  io::save_safetensors(path, {{"w", Tensor::of<float>({1, 2})}, {"on", Tensor::of<float>({1, 0, 1}).cast(DType::Bool)},
                              {"n", Tensor::full({}, 5, DType::Int64)}}, {{"k", "v"}});
  const std::string whole = contents(path);
  for (size_t length = 0; length < whole.size(); ++length) {
    directory.write("small.safetensors", whole.substr(0, length));
    INFO("cut to ", length);
    CHECK_THROWS_AS(io::load_safetensors(path), Error);
  }
  directory.write("small.safetensors", whole + '\0');
  CHECK_THROWS_AS(io::load_safetensors(path), Error);

  const auto load = [&path] {
    int64_t numbers = 0;
    for (const auto& [name, tensor] : io::load_safetensors(path).tensors) numbers += tensor.numel();
    CHECK(numbers <= 19);  // one for each byte of the file's data
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
  CHECK(has(save(directory / "taken", good), "directory"));
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

namespace {

struct Mlp {
  nn::Linear in{12, 16}, out{16, 3};
  nn::Dropout drop{0.3};
  Tensor operator()(const Tensor& x) const { return out(drop(in(x.flatten(1)).relu())); }
  TEENY_STATE(in, out, drop)
};

data::Dataset noise() {
  Tensor::manual_seed(11);
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 20; ++i) labels.push_back(i % 3);
  return {Tensor::randint(0, 256, {20, 1, 3, 4}).cast(DType::UInt8).realize(), Tensor::from(labels)};
}

/// Trains until `epochs` are over or `stop(steps)`, from wherever the loader stands.
template <class Optimizer>
void train(const Mlp& model, Optimizer& optimizer, data::DataLoader& loader, int64_t epochs,
           const std::function<bool(int)>& stop = [](int) { return false; }) {
  Training guard;
  int steps = 0;
  for (int64_t epoch = loader.position().epoch; epoch < epochs; ++epoch)
    for (auto [x, y] : loader) {
      optimizer.zero_grad();
      model(x).cross_entropy(y).backward();
      optimizer.step();
      if (stop(++steps)) return;
    }
}

template <class Optimizer>
void check_resumes(const std::function<Optimizer(const Mlp&)>& make, int stop_after) {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  const data::LoaderOptions options{.batch_size = 6, .shuffle = true, .seed = 0xfedcba9876543210};
  const data::Dataset dataset = noise();

  Mlp model;
  Optimizer optimizer = make(model);
  optimizer.set_lr(0.0123456789);
  data::DataLoader loader(dataset, options);
  train(model, optimizer, loader, 3, [&](int steps) {
    if (steps == stop_after) io::save_checkpoint(path, model, optimizer, loader.position());
    return false;
  });

  Tensor::manual_seed(99);
  Mlp again;
  Optimizer resumed = make(again);
  data::DataLoader second(dataset, {.batch_size = 6, .shuffle = true, .seed = 1});
  second.set_position(io::load_checkpoint(path, again, resumed));
  CHECK(second.position().seed == options.seed);
  train(again, resumed, second, 3);
  CHECK(same_bits(io::training_state(again, resumed), io::training_state(model, optimizer)));
}

}  // namespace

TEST_CASE("checkpoint: training goes on bit for bit") {
  for (int stop_after : {1, 4, 6}) {  // within an epoch, at its end (four batches), in the next
    check_resumes<optim::Adam>([](const Mlp& m) { return optim::Adam(nn::parameters(m)); }, stop_after);
    check_resumes<optim::SGD>([](const Mlp& m) { return optim::SGD(nn::parameters(m), {.momentum = 0.9}); }, stop_after);
  }
}

TEST_CASE("checkpoint: what is in it, and what it refuses") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.safetensors";
  Mlp model;
  optim::AdamW adam(nn::parameters(model));
  Tensor::set_random_state(0xffffffffffffff01, 0x8000000000000003);
  io::save_checkpoint(path, model, adam, {.seed = 0xffffffffffffffff, .epoch = int64_t(1) << 60, .index = 3});
  CHECK(names(io::load_safetensors(path).tensors) ==
        std::vector<std::string>{"model.in.weight", "model.in.bias", "model.out.weight", "model.out.bias", "adamw.lr",
                                 "adamw.step", "adamw.m.0", "adamw.m.1", "adamw.m.2", "adamw.m.3", "adamw.v.0",
                                 "adamw.v.1", "adamw.v.2", "adamw.v.3", "random", "position"});
  Tensor::manual_seed(1);
  CHECK(io::load_checkpoint(path, model, adam) == data::Position{0xffffffffffffffff, int64_t(1) << 60, 3});
  CHECK(Tensor::random_state() == std::pair<uint64_t, uint64_t>(0xffffffffffffff01, 0x8000000000000003));

  Tensor::manual_seed(5);
  optim::SGD sgd(nn::parameters(model));
  const auto before = model.in.weight.to_bytes();
  model.in.weight.assign(model.in.weight);
  const std::string error = error_of([&] { io::load_checkpoint(path, model, sgd); });
  CHECK(has(error, "missing: sgd.lr"));
  CHECK(has(error, "unexpected: adamw.m.0"));
  CHECK(model.in.weight.to_bytes() == before);
  CHECK(Tensor::random_state().first == 5);
  Tensor::manual_seed(0);
}
