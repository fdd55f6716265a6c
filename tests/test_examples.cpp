// The examples that take over somebody else's network: its tokens, its logits and what is done to its pictures, against
// transformers, tokenizers, torchvision and PIL. tests/interop/make_examples.py has written the files.
#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "examples/bpe.h"
#include "examples/gpt2.h"
#include "examples/image.h"
#include "examples/resnet.h"
#include "examples/unicode.h"
#include "tests/check_refused.h"
#include "tests/temporary_directory.h"

using namespace teeny;
using namespace examples;

static const std::filesystem::path kFolder = std::filesystem::path(__FILE__).parent_path() / "interop" / "examples";
static std::string of_folder(const std::string& name) { return (kFolder / name).string(); }

/// Unpacks name.safetensors.gz into the directory.
static std::string unpack(const TemporaryDirectory& to, const std::string& name) {
  gzFile packed = gzopen(of_folder(name + ".safetensors.gz").c_str(), "rb");
  REQUIRE_MESSAGE(packed != nullptr, "cannot open " << name << ".safetensors.gz");
  std::string bytes;
  char block[4096];
  for (int n; (n = gzread(packed, block, sizeof block)) > 0;) bytes.append(block, size_t(n));
  gzclose(packed);
  return to.write(name + ".safetensors", bytes);
}

static io::Safetensors expected() {
  const TemporaryDirectory directory;
  return io::load_safetensors(unpack(directory, "expected"), {.map = false});
}

/// All elements within 1e-4 of the largest.
static void check_logits(const Tensor& got, const Tensor& wanted) {
  REQUIRE(got.shape() == wanted.shape());
  const double most = wanted.abs().max().item();
  CHECK(most > 0.5);
  CHECK((got - wanted).abs().max().item() <= 1e-4 * most);
}

// ---- Text -----------------------------------------------------------------------------------------------------------

TEST_CASE("examples: text becomes the tokens of the published tokenizer") {
  const Bpe bpe(of_folder("vocab.json"), of_folder("merges.txt"));
  CHECK(bpe.size() == 400);
  const auto cases = nlohmann::json::parse(contents(of_folder("words.json")));
  CHECK(cases.size() > 60);
  for (const auto& each : cases) {
    const auto text = each["text"].get<std::string>();
    CAPTURE(text);
    const std::vector<int64_t> tokens = bpe.encode(text);
    CHECK(tokens == each["tokens"].get<std::vector<int64_t>>());
    std::string back;
    for (const int64_t token : tokens) back += bpe.decode(token);
    CHECK(back == text);
  }
  CHECK(bpe.find("<|endoftext|>") == 0);
  CHECK(!bpe.find("none"));
  CHECK(bpe.decode(-1).empty());
  CHECK(bpe.decode(400).empty());
}

TEST_CASE("examples: bytes that are no text have tokens, too") {
  const Bpe bpe(of_folder("vocab.json"), of_folder("merges.txt"));
  std::string bytes(256, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  std::string back;
  for (const int64_t token : bpe.encode(bytes)) back += bpe.decode(token);
  CHECK(back == bytes);
}

TEST_CASE("examples: vocabularies that are not whole are Errors") {
  const TemporaryDirectory directory;
  const std::string whole = contents(of_folder("vocab.json")), merges = of_folder("merges.txt");
  const auto merging = [&](const std::string& text) {
    return [&, text] { Bpe(of_folder("vocab.json"), directory.write("merges.txt", text)); };
  };
  for (const auto& [text, says] : std::initializer_list<std::pair<std::string, std::string>>{
           {"", "vocab.json: no vocabulary, which is JSON"},
           {"[1]", "no vocabulary"},
           {whole.substr(0, whole.size() / 2), "no vocabulary"},
           {std::string(100'000, '['), "no vocabulary"},
           {"{\"a\": -1}", "the number of token \"a\" is -1"},
           {"{\"a\": 1.5}", "the number of token \"a\" is 1.5"},
           {"{\"a\": \"b\"}", "the number of token \"a\" is \"b\""},
           {"{\"a\": 99999999999}", "is 99999999999, and must be a whole one below 258"},
           {"{\"a\": 1, \"b\": 1}", "token 1 is there twice"},
           {"{\"\": 1}", "token 1 has no name"},
           {"{\"a\": 1}", "there is no token for byte 0"}}) {
    const std::string error = error_of([&, &text = text] { Bpe(directory.write("vocab.json", text), merges); });
    CHECK_MESSAGE(error.find(says) != error.npos, says << "\n        got: " << error);
  }
  check_refused({{"merges.txt: is empty", merging("")},
                 {"line 2 is not a pair", merging("#version: 0.2\nab\n")},
                 {"line 1 is not a pair", merging("a \n")},
                 {"line 1 is not a pair", merging(" a\n")},
                 {"line 1 is not a pair", merging("a b c\n")},
                 {"line 2 has \"qqq\", which the vocabulary has not", merging("h e\nqqq a\n")},
                 {"line 1 has \"qx\", which the vocabulary has not", merging("q x\n")},
                 {"none: cannot read", [&] { Bpe(directory / "none", merges); }}});
}

TEST_CASE("examples: only whole characters are shown") {
  const std::string text = "a\u00e9\u20ac\U0001F600";
  std::string waiting, shown;
  for (const char byte : text) {
    waiting += byte;
    shown += take_characters(waiting, false);
    CHECK(text.starts_with(shown));
    CHECK(waiting.size() < 4);
  }
  CHECK(shown == text);
  CHECK(waiting.empty());
  const auto all = [](std::string bytes) { return take_characters(bytes, true); };
  CHECK(all("\xE2\x82") == "\uFFFD");                       // the end of it never came
  CHECK(all("\xE2\x82z\xFFz") == "\uFFFDz\uFFFDz");         // nor here
  CHECK(all("\xC0\x80") == "\uFFFD\uFFFD");                 // a zero in two bytes
  CHECK(all("\xE0\x80\x80") == "\uFFFD\uFFFD\uFFFD");       // and in three
  CHECK(all("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");       // a surrogate
  CHECK(all("\xF4\x90\x80\x80").substr(0, 3) == "\uFFFD");  // beyond U+10FFFF
  CHECK(all("\xF4\x8F\xBF\xBF") == "\U0010FFFF");
  std::string cut = "z\xF0\x9F";
  CHECK(take_characters(cut, false) == "z");
  CHECK(cut == "\xF0\x9F");

  CHECK(printable("a\x1b[2J\x7f\tb\n") == "a?[2J?\tb\n");
  CHECK(printable("\u009b31m\xff") == "?31m\uFFFD");
  CHECK(printable("\u00e9\u00e8\u00ea", 2) == "\u00e9\u00e8");
}

// ---- GPT-2 ----------------------------------------------------------------------------------------------------------

static std::vector<int64_t> tokens_of(const Tensor& x) { return x.to_vector<int64_t>(); }

TEST_CASE("examples: GPT-2's logits are those of transformers") {
  const NoGrad guard;
  const TemporaryDirectory directory;
  const io::Safetensors wanted = expected();
  const std::string file = unpack(directory, "gpt2");
  const Gpt2 model = load_gpt2(file, 2);
  CHECK(model.config.layers == 2);
  CHECK(model.config.positions == 32);
  const std::vector<int64_t> tokens = tokens_of(wanted["gpt2.tokens"]);
  const auto every_eighth = [](const Tensor& logits) { return logits[{ellipsis, slice(0, {}, 8)}]; };

  // All at once, behind an empty cache.
  const auto [x, now] = model(wanted["gpt2.tokens"], Tensor(0), model.cache(8));
  check_logits(every_eighth(model.next(x)), wanted["gpt2.logits"]);

  // In pieces, in a cache that grows.
  for (const std::vector<size_t>& pieces : {std::vector<size_t>(12, 1), {5, 1, 1, 1, 1, 3}, {1, 9, 2}}) {
    Gpt2Reader reader(model, 2);
    size_t at = 0;
    for (const size_t count : pieces) {
      const Tensor logits = reader.read({&tokens[at], count});
      at += count;
      check_logits(every_eighth(logits), wanted["gpt2.logits"][int64_t(at) - 1]);
    }
    CHECK(reader.tokens_kept() == 12);
    reader.forget();
    check_logits(every_eighth(reader.read({tokens.data(), 3})), wanted["gpt2.logits"][2]);
  }

  // With a prefix, and with the head that is the table of tokens.
  nn::StateDict others;
  for (const auto& [name, tensor] : io::load_safetensors(file).tensors)
    others.emplace_back("transformer." + name,
                        tensor.cast(tensor.dtype() == DType::Float16 ? DType::Float32 : tensor.dtype()));
  others.emplace_back("lm_head.weight", nn::find(others, "transformer.wte.weight"));
  others.emplace_back("transformer.h.1.attn.masked_bias", Tensor(-1e4));
  io::save_safetensors(directory / "prefixed.safetensors", others);
  io::save_torch(directory / "prefixed.pt", others);
  for (const std::string name : {"prefixed.safetensors", "prefixed.pt"}) {
    const Gpt2 same = load_gpt2(directory / name, 2);
    CHECK((same.next(same(wanted["gpt2.tokens"], Tensor(0), same.cache(1)).first) - model.next(x)).abs().max().item() <
          1e-5);
  }
}

TEST_CASE("examples: GPT-2 writes what transformers writes, and a step is replayed") {
  const TemporaryDirectory directory;
  const Gpt2 model = load_gpt2(unpack(directory, "gpt2"), 2);
  const std::vector<int64_t> wanted = tokens_of(expected()["gpt2.greedy"]);
  std::vector<int64_t> text(wanted.begin(), wanted.begin() + 12);
  Gpt2Reader reader(model, 16);
  Tensor logits = reader.read(text);
  while (text.size() < wanted.size()) {
    text.push_back(logits.argmax().item<int64_t>());
    if (text.size() < wanted.size()) logits = reader.read({&text.back(), 1});
  }
  CHECK(text == wanted);
  CHECK(reader.why() == "");
  CHECK(reader.replays() == 19 - 4);  // of each of two sizes the first calls are not

  // Beyond the positions the last half is read anew, as if the text began there.
  const int64_t token = 7;
  logits = reader.read({&token, 1});  // the 32nd
  CHECK(reader.tokens_kept() == 32);
  logits = reader.read({&token, 1});
  CHECK(reader.tokens_kept() == 16);
  text.back() = token;  // the last one had not been read
  text.push_back(token);
  text.erase(text.begin(), text.end() - 16);
  Gpt2Reader other(model);
  CHECK((other.read(text) - logits).abs().max().item() < 1e-5);
  std::vector<int64_t> longer(100, 3);
  Gpt2Reader third(model);
  third.read(longer);
  CHECK(third.tokens_kept() == 16);
}

TEST_CASE("examples: files that are no GPT-2 are Errors") {
  const TemporaryDirectory directory;
  const nn::StateDict good = io::load_safetensors(unpack(directory, "gpt2")).tensors;
  const auto changed = [&](const std::string& name, const std::optional<Tensor>& tensor) {
    return [&, name, tensor] {
      nn::StateDict dict = good;
      std::erase_if(dict, [&](const auto& entry) { return entry.first == name; });
      if (tensor) dict.emplace_back(name, *tensor);
      io::save_safetensors(directory / "m.safetensors", dict);
      load_gpt2(directory / "m.safetensors", 2);
    };
  };
  check_refused(
      {{"m.safetensors: no weights of GPT-2, which have a table wte.weight", changed("wte.weight", {})},
       {"which have a table wpe.weight", changed("wpe.weight", Tensor::zeros({24}))},
       {"which have a table wte.weight", changed("wte.weight", Tensor::zeros({0, 24}))},
       {"m.safetensors: there is no h.1.attn.c_proj.bias, a tensor of (24,)", changed("h.1.attn.c_proj.bias", {})},
       {"h.1.attn.c_attn.bias has no place in the network", changed("h.1.ln_1.weight", {})},
       {"h.0.attn.c_attn.weight is a tensor of (72, 24), and must be one of (24, 72)",
        changed("h.0.attn.c_attn.weight", Tensor::zeros({72, 24}))},
       {"m.safetensors: lm_head.weight is not wte.weight", changed("lm_head.weight", Tensor::zeros({400, 24}))},
       {"h.9.ln_1.weight has no place in the network", changed("h.9.ln_1.weight", Tensor::zeros({24}))},
       {"5 heads cannot share a width of 24", [&] { load_gpt2(directory / "gpt2.safetensors", 5); }},
       {"none.safetensors: cannot read", [&] { load_gpt2(directory / "none.safetensors"); }},
       {"the ending is .safetensors", [&] { load_gpt2(directory / "none.onnx"); }}});
}

// ---- Pictures -------------------------------------------------------------------------------------------------------

static void check_pixels(const Image& got, const Tensor& wanted) {
  REQUIRE(wanted.shape() == Shape{got.height, got.width, 3});
  CHECK(got.pixels == wanted.to_vector<uint8_t>());
}

TEST_CASE("examples: pictures of all kinds have PIL's pixels") {
  const io::Safetensors wanted = expected();
  int count = 0;
  for (const auto& [name, pixels] : wanted.tensors) {
    if (!name.starts_with("pixels.")) continue;
    CAPTURE(name);
    check_pixels(read_image(of_folder("pictures/" + name.substr(7))), pixels);
    ++count;
  }
  CHECK(count == 11);
}

TEST_CASE("examples: another size has PIL's pixels") {
  const Image scene = read_image(of_folder("pictures/scene.png"));
  int count = 0;
  for (const auto& [name, pixels] : expected().tensors) {
    if (!name.starts_with("resized.")) continue;
    CAPTURE(name);
    check_pixels(resize(scene, pixels.size(1), pixels.size(0)), pixels);
    ++count;
  }
  CHECK(count == 5);
  CHECK(resize(scene, scene.width, scene.height).pixels == scene.pixels);
}

TEST_CASE("examples: pictures that are not whole are Errors") {
  const TemporaryDirectory directory;
  for (const std::string name : {"rgb.png", "palette.png", "deep.png", "colour.ppm", "grey.pgm", "deep.ppm"}) {
    CAPTURE(name);
    const std::string whole = contents(of_folder("pictures/" + name));
    for (size_t size = 0; size < whole.size(); size += 1 + size / 50) {
      const std::string error = error_of([&] { read_image(directory.write(name, whole.substr(0, size))); });
      // Behind the pixels a PNG has only its end, which nobody needs.
      const bool has_all = name.ends_with("png") && size + 16 > whole.size();
      CHECK_MESSAGE((has_all || error.find(name + ": ") != error.npos), size << ": " << error);
    }
  }
  const auto read = [&](const std::string& bytes) { return [&, bytes] { read_image(directory.write("x", bytes)); }; };
  std::string huge = contents(of_folder("pictures/rgb.png"));
  huge.replace(16, 8,
               std::string("\0\x0f\0\0\0\x0f\0\0", 8));  // a million by a million: the checksum is wrong then, too
  check_refused({{"x: neither PNG nor PPM; a program like ImageMagick", read("GIF89a")},
                 {"x: neither PNG nor PPM, but JPEG", read("\xFF\xD8\xFF\xE0")},
                 {"x: no whole PNG: ", read(huge)},
                 {"x: a picture of 100000 x 100000 pixels", read("P6 100000 100000 255\n")},
                 {"x: a picture of 0 x 5 pixels", read("P6 0 5 255\n")},
                 {"x: no PPM: a maximum of 65536", read("P6 1 1 65536\nabc")},
                 {"x: no PPM: a maximum of 0", read("P6 1 1 0\nabc")},
                 {"x: no whole PPM: 2 bytes of pixels, where 3 belong", read("P6 1 1 255\nab")},
                 {"x: no whole PPM: a number is missing at byte 3", read("P6 abc")},
                 {"x: a picture of 100000001 x 1", read("P6 99999999999999999999999999 1 255\n")},
                 {"cannot read", [&] { read_image(directory / "none.png"); }}});
}

// ---- ResNet ---------------------------------------------------------------------------------------------------------

TEST_CASE("examples: ResNet's logits are those of torchvision") {
  const NoGrad guard;
  const TemporaryDirectory directory;
  const io::Safetensors wanted = expected();
  const Tensor x = preprocess(read_image(of_folder("pictures/large.png")), 64, 48);
  const Tensor mean = Tensor::of({0.485, 0.456, 0.406}), deviation = Tensor::of({0.229, 0.224, 0.225});
  const Tensor pixels = (x[0].permute({1, 2, 0}) * deviation + mean) * 255;
  CHECK((pixels - wanted["resnet.pixels"]).abs().max().item() < 1e-3);
  for (const std::string name : {"resnet_basic", "resnet_bottleneck"}) {
    CAPTURE(name);
    ResNet model = load_resnet(unpack(directory, name));
    CHECK(model.layer1[0].conv3.has_value() == (name == "resnet_bottleneck"));
    check_logits(model(x)[0], wanted[name + ".logits"]);
    io::save_torch(directory / "model.pth", nn::state_dict(model));
    ResNet same = load_resnet(directory / "model.pth");
    CHECK((same(x) - model(x)).abs().max().item() == 0);
    nn::StateDict checkpoint = {{"optimizer.state.0.exp_avg", Tensor::zeros({3})}};
    for (const auto& [key, tensor] : nn::state_dict(model)) checkpoint.emplace_back("state_dict.module." + key, tensor);
    io::save_torch(directory / "checkpoint.pth", checkpoint);
    ResNet wrapped = load_resnet(directory / "checkpoint.pth");
    CHECK((wrapped(x) - model(x)).abs().max().item() == 0);
  }
}

TEST_CASE("examples: files that are no ResNet are Errors") {
  const TemporaryDirectory directory;
  const nn::StateDict good = io::load_safetensors(unpack(directory, "resnet_basic")).tensors;
  const auto changed = [&](const std::string& name, const std::optional<Tensor>& tensor) {
    return [&, name, tensor] {
      nn::StateDict dict = good;
      std::erase_if(dict, [&](const auto& entry) { return entry.first == name; });
      if (tensor) dict.emplace_back(name, *tensor);
      io::save_safetensors(directory / "m.safetensors", dict);
      load_resnet(directory / "m.safetensors");
    };
  };
  check_refused(
      {{"m.safetensors: no weights of a ResNet, which have conv1.weight with 4 axes", changed("conv1.weight", {})},
       {"which have fc.weight with 2 axes", changed("fc.weight", Tensor::zeros({10}))},
       {"there is no layer3.0.bn2.running_var, a tensor of (16,)", changed("layer3.0.bn2.running_var", {})},
       {"layer2.0.conv1.weight is a tensor of (8, 8, 3, 3), and must be one of (8, 4, 3, 3)",
        changed("layer2.0.conv1.weight", Tensor::zeros({8, 8, 3, 3}))},
       {"layer5.0.conv1.weight has no place in the network", changed("layer5.0.conv1.weight", Tensor::zeros({1}))}});
  // Oldest files do not say how many batches were seen.
  nn::StateDict old = good;
  std::erase_if(old, [](const auto& entry) { return entry.first.ends_with("num_batches_tracked"); });
  CHECK(old.size() < good.size());
  io::save_safetensors(directory / "old.safetensors", old);
  load_resnet(directory / "old.safetensors");
}

TEST_CASE("examples: the middle of a picture is torchvision's") {
  Image image{5, 3, std::vector<uint8_t>(45)};
  CHECK(preprocess(image, 3, 2).shape() == Shape{1, 3, 2, 2});
  check_refused(
      {{"crop: 4 x 4 pixels", [&] { preprocess(image, 3, 4).realize(); }},
       {"resize: a picture of",
        [&] {
          preprocess(Image{100'000, 1, std::vector<uint8_t>(300'000)}, 224, 224);
        }},
       {"crop: 2 x 2 pixels from (4, 0) on are not in a picture of 5 x 3", [&] { crop(image, 4, 0, 2, 2); }}});
}
