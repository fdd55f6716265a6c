// onnx::save: what is written, what is refused, and what comes back.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "teeny/onnx/wire_write.h"
#include "tests/check.h"
#include "tests/check_close.h"
#include "tests/temporary_directory.h"
#include "tests/test_onnx_networks.h"

namespace {

using namespace teeny;
using test::SavedNetwork;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::map<std::string, int64_t> counts_of(const onnx::Model& net) {
  std::map<std::string, int64_t> counts;
  for (const auto& [op, count] : onnx::count_ops(net.proto())) counts[op.substr(op.find(':') + 1)] = count;
  return counts;
}

/// Saves `call` and opens it again: the model of the file.
struct Saved {
  TemporaryDirectory directory;
  std::string path = directory / "net.onnx";
  onnx::Model net;
  Saved(auto&& call, const std::vector<Tensor>& x, const onnx::SaveOptions& options = {})
      : net((onnx::save(path, call, x, options), path)) {}
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) {
    const NoGrad guard;
    return net(x);
  }
};

/// The error of saving `call`, which must leave no file.
std::string refused(auto&& call, const std::vector<Tensor>& x, const onnx::SaveOptions& options = {}) {
  const TemporaryDirectory directory;
  const std::string message = error_of([&] { onnx::save(directory / "net.onnx", call, x, options); });
  CHECK(directory.files() == 0);
  CHECK(!context.tracing);
  return message;
}

TEST_CASE("onnx::save: networks come back equal, with the nodes that a person would write") {
  for (const SavedNetwork& network : test::saved_networks()) {
    CAPTURE(network.name);
    const TemporaryDirectory directory;
    const std::string path = directory / "net.onnx";
    network.save(path, 18);
    onnx::Model net(path);
    if (!network.counts.empty()) CHECK(counts_of(net) == network.counts);
    for (const std::vector<Tensor>& x : network.inputs) {
      const NoGrad guard;
      const std::vector<Tensor> want = network.call(x), got = net(x);
      REQUIRE(got.size() == want.size());
      for (size_t i = 0; i < got.size(); ++i) {
        CHECK(test::difference(got[i], want[i]) == "");
#ifndef TEENY_CHECKED  // under a sanitizer other loops are packets, and the last bit depends on which
        if (network.equal) CHECK(got[i].to_bytes() == want[i].to_bytes());
#endif
      }
    }
  }
}

TEST_CASE("onnx::save: the same model gives the same bytes") {
  for (const SavedNetwork& network : test::saved_networks()) {
    const TemporaryDirectory directory;
    network.save(directory / "a.onnx", 18), network.save(directory / "b.onnx", 18);
    CHECK(contents(directory / "a.onnx") == contents(directory / "b.onnx"));
  }
}

TEST_CASE("onnx::save: parameters keep their names and values, once for tied ones") {
  struct Tied {
    nn::Embedding table{5, 4};
    nn::Linear first{4, 4};
    Tensor unused = Tensor::ones({2});
    Tensor operator()(const Tensor& x) const { return first(table(x)).linear(table.weight.detach()); }
    TEENY_STATE(table, first, unused)
  } model;
  Saved saved(model, {Tensor::of<int64_t>({1, 2})});
  const nn::StateDict state = saved.net.state();
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name);
  CHECK(names == std::vector<std::string>{"table.weight", "first.weight", "first.bias"});
  CHECK(nn::find(state, "first.weight").to_bytes() == model.first.weight.to_bytes());
  CHECK(saved.net.inputs()[0].name == "input");
  CHECK(saved.net.outputs()[0].name == "output");
  CHECK(saved.net.proto().producer == "teeny");
}

TEST_CASE("onnx::save: inputs, parameters, constants and tensors twice as results") {
  const Tensor w = Tensor::of({1, 2, 3});
  const auto call = [&](const Tensor& x, const Tensor& y) {
    const Tensor sum = x + y;
    return std::tuple(x, w, sum, std::vector{sum, sum}, Tensor::arange(4));
  };
  onnx::SaveOptions options;
  options.state = {{"w", w}};
  options.inputs = {"first", "second"};
  const Tensor x = Tensor::of({1, 2, 3}), y = Tensor::of({5, 6, 7});
  Saved saved(call, {x, y}, options);
  const std::vector<Tensor> got = saved({x, y});
  REQUIRE(got.size() == 6);
  CHECK(got[0].to_vector() == x.to_vector());
  CHECK(got[1].to_vector() == w.to_vector());
  for (size_t i : {2, 3, 4}) CHECK(got[i].to_vector() == std::vector<float>{6, 8, 10});
  CHECK(got[5].to_vector<int64_t>() == std::vector<int64_t>{0, 1, 2, 3});
  CHECK(saved.net.inputs()[1].name == "second");
  CHECK(saved.net.outputs()[5].name == "output_5");
}

TEST_CASE("onnx::save: ONNX broadcasts by itself, and nobody's results are dropped") {
  const Tensor x = Tensor::randn({2, 3, 4});
  const auto call = [](const Tensor& x) {
    (void)x.exp();  // nobody needs it
    const Tensor bias = Tensor::of({1, 2, 3, 4}).expand({2, 3, 4});
    return where(x > 0, (x * 2 + bias) / Tensor::full({2, 3, 4}, 3.0f), x.sum(1).unsqueeze(1));
  };
  Saved saved(call, {x});
  CHECK(counts_of(saved.net) ==
        std::map<std::string, int64_t>{
            {"Greater", 1}, {"Mul", 1}, {"Add", 1}, {"Div", 1}, {"ReduceSum", 1}, {"Unsqueeze", 1}, {"Where", 1}});
  CHECK(saved({x})[0].to_bytes() == call(x).to_bytes());
  // Here the shape comes from the Expand alone.
  Saved grown([](const Tensor& x) { return x.expand({4, 3}) + 1; }, {Tensor::of({1, 2, 3})});
  CHECK(grown({Tensor::of({1, 2, 3})})[0].shape() == Shape{4, 3});
}

TEST_CASE("onnx::save: movement has the simplest spelling") {
  const auto counts = [](auto call, const Tensor& x) {
    Saved saved(call, {x});
    CHECK(saved({x})[0].to_bytes() == call(x).to_bytes());
    return counts_of(saved.net);
  };
  using Counts = std::map<std::string, int64_t>;
  const Tensor x = Tensor::randn({2, 1, 3, 4});
  CHECK(counts([](const Tensor& x) { return x.squeeze(1); }, x) == Counts{{"Squeeze", 1}});
  CHECK(counts([](const Tensor& x) { return x.unsqueeze(2); }, x) == Counts{{"Unsqueeze", 1}});
  CHECK(counts([](const Tensor& x) { return x.flatten(1); }, x) == Counts{{"Flatten", 1}});
  CHECK(counts([](const Tensor& x) { return x.reshape({3, 8}); }, x) == Counts{{"Reshape", 1}});
  CHECK(counts([](const Tensor& x) { return x.sum(2); }, x) == Counts{{"ReduceSum", 1}});
  CHECK(counts([](const Tensor& x) { return x.max({0, 2}); }, x) == Counts{{"ReduceMax", 1}});
  CHECK(counts([](const Tensor& x) { return x[1]; }, x) == Counts{{"Gather", 1}});
  CHECK(counts(
            [](const Tensor& x) {
              return x[{1, ellipsis, slice(1, 3)}];
            },
            x) == Counts{{"Gather", 1}, {"Slice", 1}});
  CHECK(counts([](const Tensor& x) { return x.flip({0, 3}); }, x) == Counts{{"Slice", 1}});
  CHECK(counts([](const Tensor& x) { return x.pad({0, 0, 1, 2}, {0, 1, -1, 0}, 3); }, x) == Counts{{"Pad", 1}});
  CHECK(counts([](const Tensor& x) { return x.reshape({0, 2}); }, Tensor::zeros({2, 0})) == Counts{{"Reshape", 1}});
  // The weights lie otherwise in the file than here: on a GPU the product may add its terms in another order.
  const Tensor w = Tensor::randn({5, 4});
  const auto product = [&](const Tensor& x) { return x.reshape({6, 4}).matmul(w.t()); };
  Saved saved(product, {x});
  CHECK(counts_of(saved.net) == Counts{{"Reshape", 1}, {"MatMul", 1}});
  check_close(saved({x})[0], product(x).to_vector<double>(), 1e-6);
}

TEST_CASE("onnx::save: an open axis") {
  onnx::SaveOptions open;
  open.dynamic = {{0, 0, "batch"}};
  const auto check = [&](auto call, std::initializer_list<Shape> shapes, const onnx::SaveOptions& options) {
    Saved saved(call, {Tensor::randn(*shapes.begin())}, options);
    for (const Shape& shape : shapes) {
      const Tensor x = Tensor::randn(shape);
      CHECK(saved({x})[0].to_bytes() == call(x).to_bytes());
    }
    return counts_of(saved.net);
  };
  using Counts = std::map<std::string, int64_t>;
  const auto rows = {Shape{3, 4}, Shape{1, 4}, Shape{7, 4}};
  CHECK(check([](const Tensor& x) { return x.reshape({-1, 2, 2}); }, rows, open) == Counts{{"Reshape", 1}});
  CHECK(check([](const Tensor& x) { return x + Tensor::ones({x.size(0), 4}); }, rows, open) == Counts{{"Add", 1}});
  CHECK(check(
            [](const Tensor& x) {
              return Tensor::cat({Tensor::zeros({x.size(0), 1}), x}, 1);
            },
            rows, open) == Counts{{"Shape", 1}, {"Concat", 2}, {"Expand", 1}});
  CHECK(check([](const Tensor& x) { return x + Tensor::arange(x.size(0)).unsqueeze(1); }, rows, open) ==
        Counts{{"Shape", 1}, {"Squeeze", 1}, {"Range", 1}, {"Unsqueeze", 1}, {"Cast", 1}, {"Add", 1}});
  CHECK(check([](const Tensor& x) { return x.sum(0).expand({2 * x.size(0) + 1, 4}) * 1.5; }, rows, open).count("Mul"));
  CHECK(check([](const Tensor& x) { return x.flip(0)[slice(0, -1)] + x[slice(1)]; }, {Shape{3, 4}, Shape{2, 4}}, open)
            .count("Slice"));

  onnx::SaveOptions two = open;
  two.dynamic.push_back({0, 1, "time"});
  CHECK(check(
            [](const Tensor& x) {
              return x.flatten(0, 1).exp().reshape({x.size(0), x.size(1), 4});
            },
            {Shape{3, 5, 4}, Shape{1, 2, 4}, Shape{4, 1, 4}}, two)
            .at("Reshape") == 2);
  // Two axes, of which one is twice the other, or half of it.
  for (const auto& [batch, time] : {std::pair<int64_t, int64_t>(4, 8), {32, 64}, {2, 2}, {16, 31}}) {
    const auto call = [](const Tensor& x) {
      return Tensor::cat({x[{slice(), slice(0, std::nullopt, 2)}], Tensor::zeros({x.size(0), x.size(1) + 1})}, 1);
    };
    check(call, {Shape{batch, time}, Shape{5, 3}, Shape{1, 10}}, two);
  }
  // Whether the last window hangs over the end depends on the size.
  onnx::SaveOptions height = open;
  height.dynamic = {{0, 2, "height"}};
  CHECK(check([](const Tensor& x) { return x.max_pool2d(2, {.ceil_mode = true}); },
              {Shape{1, 2, 8, 4}, Shape{1, 2, 7, 4}, Shape{1, 2, 3, 4}}, height) == Counts{{"MaxPool", 1}});
  onnx::SaveOptions patches = open;
  patches.dynamic = {{0, 1, "width", 4}};
  check([](const Tensor& x) { return x.unflatten(1, {-1, 4}).sum(1); }, {Shape{2, 8}, Shape{2, 40}}, patches);
  CHECK(contains(refused([](const Tensor& x) { return x; }, {Tensor::zeros({2, 6})}, patches), "no multiple of 4"));
  Saved saved([](const Tensor& x) { return x.unflatten(1, {-1, 2}); }, {Tensor::zeros({3, 4})}, open);
  CHECK(text(saved.net.outputs()[0]) == "float32 (batch, 2, 2)");
}

TEST_CASE("onnx::save: what a graph cannot say is refused, and named") {
  const Tensor x = Tensor::randn({4, 3});
  CHECK(contains(refused([](const Tensor& x) { return x.sum().item() > 0 ? x : -x; }, {x}),
                 "reads values that depend on its inputs"));
  CHECK(contains(refused([](const Tensor& x) { return x.to_vector()[0] > 0 ? x : -x; }, {x}), "reads values"));
  CHECK(contains(refused([](const Tensor& x) { return Tensor(x.lazy().unary(UnaryOp::Exp)) + 1; }, {x}),
                 "float32 (4, 3) (Exp) depends on the input \"input\", and was made past the rules"));
  CHECK(contains(refused([](Tensor x) { return x += 1; }, {x}), "assigns to its input \"input\""));
  CHECK(contains(refused(
                     [](const Tensor& x) {
                       Tensor y = x * 2;
                       return y += x, y;
                     },
                     {x}),
                 "is assigned to"));
  CHECK(contains(refused(
                     [](const Tensor& x) {
                       Tensor y = x * 2;
                       const Tensor z = y.exp();
                       y.assign(Tensor::zeros({4, 3}));
                       return z;
                     },
                     {x}),
                 "Exp reads a tensor of (4, 3) that is assigned to afterwards"));
  CHECK(contains(refused([](const Tensor& x) { return x + Tensor::rand({4, 3}); }, {x}), "draws random values"));
  CHECK(contains(refused([](const Tensor& x) { return x.argsort() + Tensor(); }, {x}), "undefined"));

  CHECK(contains(refused(
                     [](const Tensor& x) {
                       Tensor::manual_seed(5);
                       return x + Tensor::rand({4, 3});
                     },
                     {x}),
                 "draws random values"));
  // A tensor that was drawn before, and is not computed yet, is a constant.
  const Tensor drawn = Tensor::rand({4, 3});
  CHECK(Saved([&](const Tensor& x) { return x + drawn; }, {x})({x})[0].to_bytes() == (x + drawn).to_bytes());

  // A model's variables have their old values again.
  struct Counting {
    Tensor count = Tensor::zeros({3});
    Tensor operator()(const Tensor& x) { return count.assign(count + x.sum(0)), x + count; }
    TEENY_STATE(count)
  } counting;
  CHECK(contains(refused(counting, {x}), "assigns to \"count\""));
  CHECK(counting.count.to_vector() == std::vector<float>{0, 0, 0});
  Tensor hidden = Tensor::zeros({3});
  CHECK(contains(refused([&](const Tensor& x) { return hidden.assign(x.sum(0)), x * 2; }, {x}),
                 "assigns to a tensor of (3"));
  CHECK(hidden.to_vector() == std::vector<float>{0, 0, 0});
  // Dropout does nothing, and batch norm uses its statistics, also while training.
  {
    const Training mode;
    nn::BatchNorm1d norm(3);
    Saved saved([&](const Tensor& x) { return norm(x.dropout(0.5)); }, {x});
    CHECK(counts_of(saved.net) == std::map<std::string, int64_t>{{"BatchNormalization", 1}});
    CHECK(Training::enabled());
  }

  onnx::SaveOptions open;
  open.dynamic = {{0, 0, "batch"}};
  CHECK(contains(refused([](const Tensor& x) { return x.size(0) > 4 ? x.exp() : x.log(); }, {x}, open),
                 "the call depends on the size of an open axis: with batch = 4 it does Log of float32 (4, 3), with "
                 "batch = 5"));
  CHECK(contains(refused([](const Tensor& x) { return x * double(x.size(0)); }, {x}, open), "open axis"));
  CHECK(contains(
      refused([](const Tensor& x) { return x + Tensor::from(std::vector<float>(size_t(x.size(0)))).unsqueeze(1); }, {x},
              open),
      "a constant of float32 depends on the size of an open axis"));
  CHECK(contains(refused(
                     [](const Tensor& x) {
                       return x.reshape({2, 2, -1});
                     },
                     {x}, open),
                 "the call was tried with batch = 5, and throws reshape: (5, 3) to (2, 2, -1)"));
  // Its size would show only in larger pictures.
  open.dynamic = {{0, 2, "height"}};
  const Tensor image = Tensor::randn({1, 2, 20, 20}), kernel = Tensor::randn({3, 2, 8, 8});
  CHECK(contains(refused([&](const Tensor& x) { return x.conv2d(kernel, {}, {.stride = 16}); }, {image}, open),
                 "it makes 1 of each of the sizes 20, 11 and 15 along an open axis; give a larger example"));
  open.dynamic = {{0, 2, "batch"}};
  CHECK(contains(refused([](const Tensor& x) { return x; }, {x}, open), "axis 2 is outside"));
  open.dynamic = {{1, 0, "batch"}};
  CHECK(contains(refused([](const Tensor& x) { return x; }, {x}, open), "there are 1 inputs"));
  onnx::SaveOptions wrong;
  wrong.opset = 17;
  CHECK(contains(refused([](const Tensor& x) { return x; }, {x}, wrong), "opset 17; 18 to 23"));
  wrong = {}, wrong.inputs = {"a", "b"};
  CHECK(contains(refused([](const Tensor& x) { return x; }, {x}, wrong), "2 names of inputs for 1"));
  wrong = {}, wrong.outputs = {"input"};
  CHECK(contains(refused([](const Tensor& x) { return x + 1; }, {x}, wrong), "have the name \"input\""));
  CHECK(contains(refused([](const Tensor& x, const Tensor& y) { return x + y; }, {x}), "cannot be called with 1"));
}

TEST_CASE("onnx::save: weights in a file beside") {
  const TemporaryDirectory directory;
  const std::string path = directory / "net.onnx";
  nn::Sequential model(nn::Linear(40, 300), nn::Linear(300, 3));
  onnx::SaveOptions options;
  options.external_above = 1000;
  const Tensor x = Tensor::randn({2, 40});
  onnx::save(path, model, {x}, options);
  CHECK(directory.files() == 2);
  CHECK(std::filesystem::file_size(path) < 4000);
  CHECK(std::filesystem::file_size(path + ".data") > 300 * 40 * 4);
  {
    const NoGrad guard;
    CHECK(onnx::Model(path)({x})[0].to_bytes() == model(x).to_bytes());
  }
  const std::string before = contents(path), data = contents(path + ".data");
  CHECK(error_of([&] {
          onnx::save(
              path, [](const Tensor& x) { return x + Tensor::rand({1}); }, {x}, options);
        }) != "");
  CHECK(contents(path) == before);
  CHECK(contents(path + ".data") == data);
  CHECK(contains(error_of([&] { onnx::save(directory / "no/net.onnx", model, {x}); }), "no/net.onnx"));
}

TEST_CASE("onnx::save: a message is the mirror of what is read") {
  onnx::Message inner, m;
  inner.text(2, "inside").elements(9, {3, [] { return std::vector<std::byte>(3, std::byte{7}); }});
  m.integer(1, -1).real(3, 1.5f).message(4, std::move(inner)).integer(600, 1ll << 40);
  std::string bytes;
  m.write_to([&](const void* from, size_t n) { bytes.append(static_cast<const char*>(from), n); });
  CHECK(bytes.size() == m.size());
  CHECK(bytes.substr(0, 11) == std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  CHECK(contains(bytes, std::string("\x12\x06inside\x4a\x03\x07\x07\x07")));
  CHECK(error_of([] {
          onnx::Message wrong;
          wrong.elements(1, {4, [] { return std::vector<std::byte>(3); }});
          wrong.write_to([](const void*, size_t) {});
        }) != "");
}

TEST_CASE("interop: saved networks in onnxruntime" * doctest::description("INTEROP=python with onnxruntime")) {
  const char* python = std::getenv("INTEROP");
  if (!python || !*python) return;
  const TemporaryDirectory scratch;
  const char* kept = std::getenv("INTEROP_FOLDER");
  const std::filesystem::path folder = kept && *kept ? kept : scratch / "";
  std::vector<SavedNetwork> networks = test::saved_networks();
  for (SavedNetwork& network : test::large_saved_networks()) networks.push_back(std::move(network));
  for (const SavedNetwork& network : networks) {
    std::vector<std::pair<std::string, int>> files{{network.name, 18}};
    if (!network.name.ends_with("true_size")) files.emplace_back(network.name + "_opset23", 23);
    for (const auto& [name, opset] : files) {
      network.save(folder / (name + ".onnx"), opset);
      onnx::Model net(folder / (name + ".onnx"));
      for (size_t i = 0; i < network.inputs.size(); ++i) {
        const std::vector<Tensor>& x = network.inputs[i];
        nn::StateDict values;
        for (size_t k = 0; k < x.size(); ++k) values.emplace_back(net.inputs()[k].name, x[k]);
        const std::vector<Tensor> results = network.call(x);
        for (size_t k = 0; k < results.size(); ++k) values.emplace_back("out:" + net.outputs()[k].name, results[k]);
        io::save_npz(folder / (name + "." + std::to_string(i) + ".npz"), values);
      }
    }
  }
  const std::string script = std::filesystem::path(__FILE__).parent_path() / "interop/exported.py";
  CHECK(std::system((std::string(python) + " " + script + " " + folder.string()).c_str()) == 0);
}

}  // namespace
