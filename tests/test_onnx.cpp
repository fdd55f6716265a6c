// The importer's own promises: what a file may look like, what is folded, recorded and trained, and what is refused.
// What each operation computes is for ONNX's own cases (`make onnx-test`) and for tests/golden/onnx.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include "teeny/jit/run_program.h"
#include "teeny/onnx/model.h"
#include "teeny/program/format.h"
#include "teeny/teeny.h"
#include "tests/check.h"
#include "tests/mutate.h"
#include "tests/onnx_file.h"
#include "tests/temporary_directory.h"

using namespace teeny;
using onnx_file::attribute;
using test::difference;
using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;

namespace {

struct Files {
  TemporaryDirectory directory;
  int count = 0;
  onnx::Model model(const onnx_file::Graph& graph, const onnx::ModelOptions& options = {}) {
    return onnx::Model(directory.write(std::to_string(count++) + ".onnx", graph.model()), options);
  }
  std::string error(const onnx_file::Graph& graph, const std::vector<Tensor>& inputs,
                    const onnx::ModelOptions& options = {}) {
    return error_of([&] {
      for (const Tensor& x : model(graph, options)(inputs)) x.to_vector();
    });
  }
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("onnx: nodes in any order, optional inputs, values that the file has") {
  Files files;
  onnx_file::Graph graph;
  graph.node("Relu", {"sum"}, {"y"}).node("Add", {"x", "w"}, {"sum"}).initializer<float>("w", {2}, {1, -5});
  graph.input("x", {"N", 2}).input("w", {2}).output("y");
  onnx::Model net = files.model(graph);
  CHECK(difference(net({Tensor::of({{1, 2}})})[0], Tensor::of({{2, 0}})) == "");
  CHECK(difference(net({Tensor::of({{1, 2}}), Tensor::of({1, 1})})[0], Tensor::of({{2, 3}})) == "");
  CHECK(difference(net(nn::StateDict{{"w", Tensor::of({0, 0})}, {"x", Tensor::of({{1, -2}})}})[0],
                   Tensor::of({{1, 0}})) == "");
  CHECK(text(net.inputs()[0]) == "float32 (N, 2)");
  CHECK(net.outputs()[0].name == "y");
}

TEST_CASE("onnx: a graph that is none is refused by the name of what is wrong") {
  Files files;
  const Tensor x = Tensor::of({1, 2});
  onnx_file::Graph twice, circle, nowhere, output, foreign, sequence;
  twice.node("Relu", {"x"}, {"y"}).node("Neg", {"x"}, {"y"}).input("x").output("y");
  circle.node("Add", {"x", "b"}, {"a"}).node("Relu", {"a"}, {"b"}).input("x").output("b");
  nowhere.node("Add", {"x", "other"}, {"y"}).input("x").output("y");
  output.node("Relu", {"x"}, {"y"}).input("x").output("z");
  foreign.node("Relu", {"x"}, {"a"}).node("FusedConv", {"a"}, {"b"}, "", "com.microsoft").node("Nonsense", {"b"}, {"y"});
  foreign.node("Nonsense", {"b"}, {"z"}).input("x").output("y");
  CHECK(contains(files.error(twice, {x}), "two nodes make the value \"y\""));
  CHECK(contains(files.error(circle, {x}), "needs its own result"));
  CHECK(contains(files.error(nowhere, {x}), "needs \"other\", which no node makes"));
  CHECK(contains(files.error(output, {x}), "no node makes the output \"z\""));
  CHECK(contains(files.error(foreign, {x}), "Nonsense (2 times), com.microsoft:FusedConv (1 time); the file is of opset 18"));
  CHECK(contains(error_of([&] { onnx::Model(files.directory.write("a.onnx", "")); }), "empty"));
  CHECK(contains(error_of([&] { onnx::Model(files.directory / "none.onnx"); }), "none.onnx"));
}

TEST_CASE("onnx: inputs are compared with what the file says") {
  Files files;
  onnx_file::Graph graph;
  graph.node("Add", {"x", "y"}, {"z"}).input("x", {"N", 2}).input("y", {"N", 2}).output("z");
  onnx::Model net = files.model(graph);
  const Tensor a = Tensor::ones({3, 2}), b = Tensor::ones({4, 2});
  CHECK(contains(error_of([&] { net({a, b}); }), "input \"y\" is float32 (N, 2), and is given (4, 2): N is 3 in the input \"x\", and 4 here"));
  CHECK(contains(error_of([&] { net({a, Tensor::ones({3, 1})}); }), "and is given (3, 1)"));
  CHECK(contains(error_of([&] { net({a, Tensor::ones({3})}); }), "and is given (3,)"));
  CHECK(contains(error_of([&] { net({a}); }), "input \"y\" is float32 (N, 2), and is not given"));
  CHECK(contains(error_of([&] { net({a, a, a}); }), "3 inputs, and the model has 2"));
  CHECK(contains(error_of([&] { net({a, a.cast(DType::Float64)}); }), "and is given float64"));
  CHECK(contains(error_of([&] { net(nn::StateDict{{"q", a}}); }), "no input \"q\"; there are \"x\", \"y\""));
  CHECK(difference(net({a, a})[0], Tensor::full({3, 2}, 2.0)) == "");
}

TEST_CASE("onnx: what depends on shapes and weights is computed once, and a Jit replays the rest") {
  // x (N, T) is reshaped to (T, N), by a chain of numbers that a Jit could not read.
  Files files;
  onnx_file::Graph graph;
  graph.initializer<int64_t>("0", {1}, {0}).initializer<int64_t>("1", {1}, {1}).initializer<float>("w", {1}, {2});
  graph.node("Shape", {"x"}, {"s"}).node("Gather", {"s", "1"}, {"t"}).node("Gather", {"s", "0"}, {"n"});
  graph.node("Concat", {"t", "n"}, {"to"}, attribute("axis", int64_t(0))).node("Reshape", {"x", "to"}, {"r"});
  graph.node("Mul", {"w", "w"}, {"w2"}).node("Mul", {"r", "w2"}, {"y"}).input("x", {"N", "T"}).output("y");
  onnx::Model net = files.model(graph);
  for (const Shape& shape : {Shape{2, 3}, Shape{4, 1}, Shape{2, 3}})
    for (int call = 0; call < 4; ++call) {
      const Tensor x = Tensor::randn(shape);
      CHECK(difference(net({x})[0], x.reshape({shape[1], shape[0]}) * 4) == "");
    }
  CHECK(net.replays() == 2 + 2 + 4);
  CHECK(net.why() == "");

  // A weight that is assigned to is seen, although what was made of it was kept.
  net.state()[0].second.assign(Tensor::of({3}));
  const Tensor x = Tensor::randn({2, 3});
  for (int call = 0; call < 4; ++call) CHECK(difference(net({x})[0], x.reshape({3, 2}) * 9) == "");
}

TEST_CASE("onnx: a node that looks at data is named, and runs") {
  Files files;
  onnx_file::Graph graph;
  graph.node("NonZero", {"x"}, {"y"}, "").input("x", {2, 2}).output("y", 7);
  onnx::Model net = files.model(graph);
  for (int call = 0; call < 4; ++call)
    CHECK(net({Tensor::of({{0, 1}, {1, 0}})})[0].to_vector<int64_t>() == Ints{0, 1, 1, 0});
  CHECK(net({Tensor::of({{0, 0}, {1, 0}})})[0].to_vector<int64_t>() == Ints{1, 0});
  CHECK(net.replays() == 0);
  CHECK(net.why() == "NonZero of \"y\" looks at the values of \"x\"");
}

TEST_CASE("onnx: calls that are recorded share their weights in a program file, under their names") {
  // y = x wᵀ * w2 + (0, 1, .. N - 1), where wᵀ is a view, and w2 and the numbers are computed when it is recorded.
  Files files;
  onnx_file::Graph graph;
  graph.initializer<float>("w", {2, 3}, {1, 2, 3, 4, 5, 6}).initializer<float>("v", {2}, {1, 2});
  graph.initializer<int64_t>("0", {}, {0}).initializer<int64_t>("1", {}, {1}).initializer<int64_t>("axis", {1}, {1});
  graph.node("Transpose", {"w"}, {"t"}).node("MatMul", {"x", "t"}, {"p"}).node("Mul", {"v", "v"}, {"v2"});
  graph.node("Mul", {"p", "v2"}, {"q"}).node("Shape", {"x"}, {"s"}).node("Gather", {"s", "0"}, {"n"});
  graph.node("Range", {"0", "n", "1"}, {"r"}).node("Cast", {"r"}, {"f"}, attribute("to", int64_t(1)));
  graph.node("Unsqueeze", {"f", "axis"}, {"u"}).node("Add", {"q", "u"}, {"y"}).input("x", {"N", 3}).output("y");
  onnx::Model net = files.model(graph);
  CHECK(contains(error_of([&] { net.save_program(files.directory / "net.teeny"); }), "no call is recorded"));
  for (int64_t n : {2, 4, 2}) net.record({Tensor::ones({n, 3})});
  net.save_program(files.directory / "net.teeny");
  Program program = Program::load(files.directory / "net.teeny");
  CHECK(program.signatures().size() == 2);
  std::vector<std::string> names;
  for (const auto& [name, x] : state_dict(program)) names.push_back(name);
  std::ranges::sort(names);
  CHECK(names == std::vector<std::string>{"u", "u#2", "v2", "w"});
  for (int64_t n : {4, 2}) {
    const Tensor x = Tensor::randn({n, 3});
    CHECK(run(program, {x})[0].to_bytes() == net({x})[0].to_bytes());
  }
  CHECK(contains(error_of([&] { run(program, {Tensor::ones({1, 3})}); }), "(1, 3)"));
  net.state()[0].second.assign(Tensor::ones({2, 3}));
  CHECK(contains(error_of([&] { net.contents(); }), "record the calls again"));
  net.record({Tensor::ones({2, 3})});
  CHECK(net.contents().calls.size() == 1);

  onnx_file::Graph looks;
  looks.node("NonZero", {"x"}, {"a"}).node("NonZero", {"x"}, {"b"}).node("Add", {"a", "b"}, {"y"});
  onnx::Model refused = files.model(looks.input("x", {2, 2}).output("y", 7));
  CHECK(contains(error_of([&] { refused.record({Tensor::ones({2, 2})}); }), "NonZero of \"a\", NonZero of \"b\""));
}

TEST_CASE("onnx: where a small input chooses, there is a plan for each choice") {
  Files files;
  onnx_file::Graph twice, negative, graph;
  twice.node("Add", {"x", "x"}, {"a"}).output("a");
  negative.node("Neg", {"x"}, {"b"}).output("b");
  graph.initializer<int64_t>("rate", {}, {16000}).node("Equal", {"sr", "rate"}, {"c"});
  graph.node("If", {"c"}, {"y"}, onnx_file::graph_attribute("then_branch", twice.message) +
                                     onnx_file::graph_attribute("else_branch", negative.message));
  graph.input("x", {"N"}).input("sr", {}, 7).output("y");
  onnx::Model net = files.model(graph);
  for (int call = 0; call < 4; ++call)
    for (int64_t rate : {16000, 8000}) {
      const Tensor x = Tensor::randn({3});
      CHECK(difference(net({x, Tensor(Scalar(rate))})[0], rate == 16000 ? x * 2 : -x) == "");
    }
  CHECK(net.replays() == 4);
  // This is no choice, but data, and the condition is taken to turn out as it did.
  for (int64_t rate = 0; rate < 200; ++rate) net({Tensor::ones({1}), Tensor(Scalar(rate))});
  CHECK(net.why() == "");
  CHECK(net.replays() > 4 + 100);
}

TEST_CASE("onnx: weights can be trained, and a Jit of the user's may call the model") {
  Files files;
  onnx_file::Graph graph;
  graph.node("MatMul", {"x", "w"}, {"p"}).node("Add", {"p", "b"}, {"y"});
  graph.initializer<float>("w", {2, 1}, {0, 0}).initializer<float>("b", {1}, {0}).input("x", {"N", 2}).output("y");
  onnx::Model net = files.model(graph);
  const Tensor x = Tensor::randn({64, 2}), y = x.matmul(Tensor::of({{2}, {-3}})) + 1;
  {
    NoGrad guard;
    CHECK(net({x})[0].abs().sum().item() == 0);
  }
  for (auto& [name, weight] : net.state()) Tensor(weight).requires_grad_();
  optim::SGD sgd(nn::parameters(net), {.lr = 0.1});
  Jit step([&](const Tensor& input, const Tensor& target) {
    sgd.zero_grad();
    Tensor loss = net({input})[0].mse_loss(target).backward();
    sgd.step();
    return loss;
  });
  for (int i = 0; i < 200; ++i) step(x, y);
  CHECK(step.replays() > 190);
  CHECK(step(x, y).item() < 1e-6);
  NoGrad guard;
  for (int call = 0; call < 4; ++call) CHECK(net({x})[0].allclose(y, 1e-2, 1e-2));
}

TEST_CASE("onnx: weights in Constants, in branches and in functions have names, and can be trained") {
  // y = w0 x of a Constant, + b of the branch that c chooses, both by the name b, + d of a function.
  Files files;
  onnx_file::Graph graph, plus, minus;
  plus.initializer<float>("b", {2}, {1, 2}).node("Add", {"p", "b"}, {"q"}).output("q");
  minus.initializer<float>("b", {2}, {3, 4}).node("Sub", {"p", "b"}, {"r"}).output("r");
  const auto constant = [](const std::string& name, const std::string& t) {
    return onnx_file::node("Constant", {}, {name}, onnx_file::tensor_attribute("value", t));
  };
  graph.function("mine", "Shift", {"a"}, {"z"},
                 {constant("d", onnx_file::tensor<float>("", {2}, {5, 6})), onnx_file::node("Add", {"a", "d"}, {"z"})});
  graph.message += onnx_file::bytes(1, constant("w", onnx_file::tensor<float>("", {2}, {7, 8})));
  graph.message += onnx_file::bytes(1, constant("sizes", onnx_file::tensor<int64_t>("", {2}, {1, 2})));
  graph.message += onnx_file::bytes(1, constant("one", onnx_file::tensor<float>("", {1}, {1})));
  graph.node("Mul", {"x", "w"}, {"m"}).node("Mul", {"m", "one"}, {"n"}).node("Reshape", {"n", "sizes"}, {"p"});
  graph.node("If", {"c"}, {"s"},
             onnx_file::graph_attribute("then_branch", plus.message) + onnx_file::graph_attribute("else_branch", minus.message));
  graph.node("Shift", {"s"}, {"y"}, "", "mine").input("x", {2}).input("c", {}, 9).output("y");
  onnx::Model net = files.model(graph);
  const auto value = [&](bool c) { return net({Tensor::of({1, 1}), Tensor(Scalar(c))})[0]; };
  for (int call = 0; call < 4; ++call) {
    CHECK(value(true).to_vector() == std::vector<float>{13, 16});
    CHECK(value(false).to_vector() == std::vector<float>{9, 10});
  }
  std::map<std::string, Tensor> state;
  for (const auto& [name, x] : net.state()) state[name] = x;
  REQUIRE(state.size() == 4);
  CHECK(state.at("w").to_vector() == std::vector<float>{7, 8});
  CHECK(state.at("b").to_vector() == std::vector<float>{1, 2});
  CHECK(state.at("b_2").to_vector() == std::vector<float>{3, 4});
  CHECK(state.at("d").to_vector() == std::vector<float>{5, 6});
  for (auto& [name, x] : state) x.requires_grad_();
  value(false).sum().backward();
  CHECK(net.why() == "gradients are recorded");
  CHECK(state.at("w").grad().to_vector() == std::vector<float>{1, 1});
  CHECK(state.at("b_2").grad().to_vector() == std::vector<float>{-1, -1});
  CHECK(state.at("d").grad().to_vector() == std::vector<float>{1, 1});
  CHECK(!state.at("b").grad().defined());
  NoGrad guard;
  for (auto& [name, x] : state) x.assign(x * 10);
  for (int call = 0; call < 4; ++call) {
    CHECK(value(true).to_vector() == std::vector<float>{130, 160});
    CHECK(value(false).to_vector() == std::vector<float>{90, 100});
  }
}

TEST_CASE("onnx: an attribute of another kind than the operation's is an error, and so is an opset of tomorrow") {
  Files files;
  const auto error = [&](const std::string& op, const std::string& attributes) {
    onnx_file::Graph graph;
    graph.node(op, {"x"}, {"y"}, attributes).input("x", {2, 2}).output("y");
    return files.error(graph, {Tensor::ones({2, 2})});
  };
  CHECK(contains(error("LeakyRelu", attribute("alpha", int64_t(1))), "the attribute alpha is an integer, and must be a float"));
  CHECK(contains(error("Softmax", attribute("axis", 1.5f)), "the attribute axis is a float, and must be an integer"));
  CHECK(contains(error("Concat", attribute("axis", std::vector<int64_t>{1})), "the attribute axis is integers"));
  CHECK(contains(error("Transpose", attribute("perm", int64_t(1))), "the attribute perm is an integer, and must be integers"));
  CHECK(contains(error("DepthToSpace", attribute("blocksize", std::string("2"))), "the attribute blocksize is a string"));
  onnx_file::Graph graph;
  graph.node("Relu", {"x"}, {"y"}).input("x", {2}).output("y");
  const TemporaryDirectory directory;
  const std::string path = directory.write("new.onnx", graph.model(99));
  const std::string pointer = directory.write("lfs.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  CHECK_THROWS_WITH_AS(onnx::Model{pointer}, doctest::Contains("a pointer of Git LFS"), Error);
  CHECK_THROWS_WITH_AS(onnx::Model{path}, doctest::Contains("opset 99; teeny knows those up to 28"), onnx::Unsupported);
}

TEST_CASE("onnx: functions of a file, with attributes of their call") {
  Files files;
  onnx_file::Graph graph;
  graph.function("mine", "Twice", {"a"}, {"c"},
                 {onnx_file::node("LeakyRelu", {"a"}, {"b"}, onnx_file::reference("alpha", "slope")),
                  onnx_file::node("Add", {"b", "b"}, {"c"})});
  graph.node("Twice", {"x"}, {"h"}, attribute("slope", 0.5f), "mine").node("Twice", {"h"}, {"y"}, "", "mine");
  graph.input("x", {1}).output("y");
  onnx::Model net = files.model(graph);
  for (int call = 0; call < 3; ++call) CHECK(net({Tensor::of({-8})})[0].item() == doctest::Approx(-8 * 0.5 * 2 * 0.01 * 2));
  onnx_file::Graph endless;
  endless.function("mine", "Again", {"a"}, {"b"}, {onnx_file::node("Again", {"a"}, {"b"}, "", "mine")});
  endless.node("Again", {"x"}, {"y"}, "", "mine").input("x", {1}).output("y");
  CHECK(contains(files.error(endless, {Tensor::of({1})}), "nested deeper than"));
}

TEST_CASE("onnx: narrow integers are held wide and cut") {
  Files files;
  onnx_file::Graph graph;
  graph.node("Add", {"x", "w"}, {"y"}).initializer<int8_t>("w", {3}, {100, -100, 1}).input("x", {3}, 3).output("y", 3);
  onnx::Model net = files.model(graph);
  const Tensor y = net({Tensor::of<int32_t>({100, -100, 1})})[0];
  CHECK(y.dtype() == DType::Int32);
  CHECK(y.to_vector<int32_t>() == std::vector<int32_t>{-56, 56, 2});
}

TEST_CASE("onnx: elements in the file are those that the shape says, once") {
  using onnx_file::bytes, onnx_file::number, onnx_file::memory_of;
  Files files;
  const auto error_with = [&](const std::string& tensor) {
    onnx_file::Graph graph;
    graph.node("Add", {"x", "w"}, {"y"}).raw_initializer(tensor).input("x").output("y");
    return files.error(graph, {Tensor::of({1})});
  };
  const std::string name = bytes(8, "w"), f32 = number(2, 1), raw = bytes(9, memory_of<float>({1, 2}));
  CHECK(error_with(number(1, 2) + f32 + name + raw) == "");
  CHECK(error_with(number(1, 2) + f32 + name + bytes(4, memory_of<float>({1, 2}))) == "");  // packed numbers
  CHECK(contains(error_with(number(1, 3) + f32 + name + raw), "\"w\" of (3,) needs 12 bytes, and has 8"));
  CHECK(contains(error_with(number(1, 2) + f32 + name + raw + bytes(4, memory_of<float>({1, 2}))), "twice"));
  CHECK(contains(error_with(number(1, 3) + f32 + name + bytes(4, memory_of<float>({1, 2}))), "has 2 elements in the file, not 3"));
  CHECK(contains(error_with(number(1, -2) + f32 + name + raw), "an axis of -2 elements"));
  CHECK(contains(error_with(number(1, int64_t(1) << 40) + number(1, int64_t(1) << 40) + f32 + name + raw), "more elements than memory"));
  CHECK(contains(error_with(number(1, int64_t(1) << 40) + f32 + name), "in the file, not 1099511627776"));
  CHECK(contains(error_with(number(1, 1) + number(2, 8) + name + bytes(6, "text")), "elements of the type string"));
  CHECK(contains(error_with(number(1, 1) + number(2, 17) + name + bytes(9, "1")), "float8e4m3fn"));
  CHECK(contains(error_with(number(1, 2) + number(2, 9) + name + bytes(9, std::string("\1\2"))), "a bool of 2"));
}

TEST_CASE("onnx: external data lies below the model's folder, and nowhere else") {
  using onnx_file::bytes, onnx_file::number, onnx_file::memory_of;
  Files files;
  const TemporaryDirectory elsewhere;
  elsewhere.write("secret", memory_of<float>({7, 7}));
  std::filesystem::create_directory(files.directory / "sub");
  files.directory.write("sub/w.bin", "four" + memory_of<float>({1, 2, 3}));
  REQUIRE(symlink((elsewhere / "secret").c_str(), (files.directory / "link").c_str()) == 0);
  REQUIRE(symlink((elsewhere / "").c_str(), (files.directory / "folder").c_str()) == 0);
  const auto error_with = [&](const std::string& location, const std::string& offset, const std::string& length) {
    std::string tensor = number(1, 2) + number(2, 1) + bytes(8, "w") + number(14, 1);
    tensor += bytes(13, bytes(1, "location") + bytes(2, location));
    if (!offset.empty()) tensor += bytes(13, bytes(1, "offset") + bytes(2, offset));
    if (!length.empty()) tensor += bytes(13, bytes(1, "length") + bytes(2, length));
    onnx_file::Graph graph;
    graph.node("Add", {"x", "w"}, {"y"}).raw_initializer(tensor).input("x").output("y");
    return files.error(graph, {Tensor::of({1})});
  };
  CHECK(error_with("sub/w.bin", "4", "8") == "");
  CHECK(error_with("sub/w.bin", "8", "") == "");
  CHECK(error_with("./sub/./w.bin", "4", "8") == "");
  const std::string zero("sub/w.bin\0", 10), outside = elsewhere / "secret";
  for (const std::string& bad : std::vector<std::string>{"../secret", "sub/../../secret", "sub/../sub/w.bin", ".", "./", "./..",
                                                         "sub//w.bin", "sub\\w.bin", "", zero, outside}) {
    CAPTURE(bad);
    CHECK(contains(error_with(bad, "0", "8"), "which"));
  }
  CHECK(contains(error_with("link", "0", "8"), "symbolic link"));
  CHECK(contains(error_with("folder/secret", "0", "8"), "symbolic link"));
  CHECK(contains(error_with("sub/none", "0", "8"), "which is not there"));
  CHECK(contains(error_with("sub", "0", "8"), "sub"));
  CHECK(contains(error_with("sub/w.bin", "12", "8"), "bytes 12 to 20"));
  CHECK(contains(error_with("sub/w.bin", "99999999999999999", "8"), "bytes 99999999999999999 to"));
  CHECK(contains(error_with("sub/w.bin", "-4", "8"), "no number of bytes"));
  CHECK(contains(error_with("sub/w.bin", "4", "12"), "needs 8 bytes, and its external data has 12"));
}

TEST_CASE("onnx: what would take more memory, time or depth than there is") {
  Files files;
  const Tensor x = Tensor::of({1});
  const auto of_size = [&](Ints sizes) {
    onnx_file::Graph graph;
    graph.initializer<int64_t>("s", {int64_t(sizes.size())}, sizes).node("ConstantOfShape", {"s"}, {"c"});
    graph.node("Add", {"x", "c"}, {"y"}).input("x").output("y");
    return files.error(graph, {x});
  };
  CHECK(contains(of_size({int64_t(1) << 40}), "ConstantOfShape"));
  CHECK(contains(of_size({int64_t(1) << 40, int64_t(1) << 40}), "ConstantOfShape"));
  CHECK(contains(of_size({-1}), "ConstantOfShape"));
  for (const char* op : {"Expand", "Tile"}) {
    onnx_file::Graph graph;
    graph.initializer<int64_t>("s", {1}, {int64_t(1) << 50}).node(op, {"x", "s"}, {"y"}).input("x").output("y");
    CHECK(contains(files.error(graph, {x}), op));
  }
  {
    onnx_file::Graph graph;
    graph.initializer<int64_t>("from", {}, {0}).initializer<int64_t>("to", {}, {int64_t(1) << 60});
    graph.initializer<int64_t>("by", {}, {1}).node("Range", {"from", "to", "by"}, {"y"}).output("y", 7);
    CHECK(contains(files.error(graph, {}), "Range"));
  }
  {
    onnx_file::Graph graph;
    graph.initializer<int64_t>("p", {2}, {int64_t(1) << 50, 0}).node("Pad", {"x", "p"}, {"y"}).input("x").output("y");
    CHECK(contains(files.error(graph, {x}), "Pad"));
  }
  {
    onnx_file::Graph body, graph;
    body.input("i", {}, 7).input("go", {}, 9).input("v").node("Identity", {"go"}, {"go_on"}).node("Add", {"v", "v"}, {"w"});
    body.output("go_on", 9).output("w");
    graph.initializer<int64_t>("n", {}, {int64_t(1) << 62}).node("Loop", {"n", "", "x"}, {"y"}, onnx_file::graph_attribute("body", body.message));
    graph.input("x").output("y");
    CHECK(contains(files.error(graph, {x}), "nodes in one run"));
  }
  std::string inner;  // graphs in graphs
  for (int depth = 0; depth < 40; ++depth) {
    onnx_file::Graph around;
    around.message = onnx_file::bytes(1, onnx_file::node("If", {"c"}, {"y"}, onnx_file::graph_attribute("then_branch", inner)));
    inner = around.message;
  }
  onnx_file::Graph deep;
  deep.message = inner;
  deep.output("y");
  CHECK(contains(files.error(deep, {}), "nested deeper than 32"));
  CHECK(contains(files.error({}, {}), "no graph"));
}

TEST_CASE("onnx: a damaged file is an Error or another network, never anything else") {
  using onnx_file::bytes, onnx_file::number;
  onnx_file::Graph branch, graph;
  branch.node("Add", {"x", "w"}, {"b"}).output("b");
  graph.initializer<float>("w", {2}, {1, 2}).initializer<int64_t>("s", {2}, {2, 1}).initializer<int8_t>("q", {2}, {1, 2});
  graph.node("Relu", {"x"}, {"r"}).node("If", {"c"}, {"i"}, onnx_file::graph_attribute("then_branch", branch.message) + onnx_file::graph_attribute("else_branch", branch.message));
  graph.node("Reshape", {"i", "s"}, {"m"}).node("Slice", {"m", "s", "s", "s"}, {"y"}, attribute("axes", Ints{0, 1})).node("F", {"r"}, {"z"}, attribute("alpha", 0.5f), "mine");
  graph.node("Constant", {}, {"k"}, onnx_file::tensor_attribute("value", onnx_file::tensor<float>("", {2}, {1, 2})));
  graph.function("mine", "F", {"a"}, {"b"}, {onnx_file::node("LeakyRelu", {"a"}, {"b"}, onnx_file::reference("alpha", "alpha"))});
  graph.input("x", {"N"}).input("c", {}, 9).output("m").output("z").output("k");
  const std::string whole = graph.model();
  const TemporaryDirectory directory;
  int64_t read = 0, refused = 0;
  const auto attempt = [&](const std::string& bytes) {
    try {
      onnx::Model net(directory.write("net.onnx", bytes), {.max_bytes = 1 << 20, .jit = false});
      ++read;
      for (const Tensor& y : net({Tensor::of({1, 2}), Tensor(Scalar(true))})) y.to_vector<double>();
    } catch (const Error&) { ++refused; }
  };
  attempt(whole);
  CHECK(refused == 0);
  test::attempt_mutations(whole, attempt);
  CHECK(refused > 0);
  CHECK(read > 0);
  MESSAGE(refused, " files are refused, ", read, " read");
}
