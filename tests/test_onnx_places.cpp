// ONNX operations that show elements in other places, pick and place them by the values of a tensor, or run a graph:
// what ONNX's own cases leave open.
#include <doctest/doctest.h>

#include <cmath>

#include "teeny/graph/context.h"
#include "tests/onnx_single.h"

using namespace teeny;
using namespace onnx_single;
using onnx_file::attribute;
using onnx_file::graph_attribute;
using onnx_file::node;
using test::difference;

namespace {

constexpr int64_t kMost = INT64_MAX, kLeast = INT64_MIN;
const double kNan = std::nan("");

/// The values of the first result, of known and of unknown inputs behind the first alike.
template <class T = float>
std::vector<T> both(const std::string& op, std::vector<Input> inputs, const std::string& attributes = "",
                    int64_t opset = 18) {
  const Tensor y = run(op, inputs, attributes, opset);
  for (size_t k = 1; k < inputs.size(); ++k) inputs[k].in_file = true;
  CHECK(difference(run(op, inputs, attributes, opset), y) == "");
  return y.to_vector<T>();
}

Input int64(const Ints& values) { return {ints(values), kInt64}; }
Input int64(const Ints& values, const Shape& shape) { return {Tensor::from(values, shape), kInt64}; }

using Floats = std::vector<float>;

}  // namespace

// ---- Shapes --------------------------------------------------------------------------------------------------------

TEST_CASE("onnx places: Slice's bounds are cut, in both directions") {
  const Tensor x = Tensor::of({0, 1, 2, 3, 4});
  const auto slice = [&](int64_t start, int64_t end, int64_t step) {
    return both("Slice", {{x}, int64({start}), int64({end}), int64({0}), int64({step})});
  };
  CHECK(slice(1, kMost, 2) == Floats{1, 3});
  CHECK(slice(-1, kLeast, -2) == Floats{4, 2, 0});
  CHECK(slice(kMost, kMost, -1) == Floats{4, 3, 2, 1, 0});  // the largest end is no bound
  CHECK(slice(-100, 100, kMost) == Floats{0});
  CHECK(slice(100, -100, kLeast) == Floats{4});
  CHECK(slice(3, 1, 1) == Floats{});
  CHECK(slice(kLeast, kMost, 1).size() == 5);
  CHECK(contains(error("Slice", {{x}, int64({0}), int64({1}), int64({0}), int64({0})}), "a step of 0"));
  CHECK(contains(error("Slice", {{x}, int64({0, 0}), int64({1, 1}), int64({0, -1})}), "axis 0 is named twice"));
  CHECK(contains(error("Slice", {{x}, int64({0}), int64({1, 2})}), "1 starts, 2 ends, 1 axes and 1 steps"));
}

TEST_CASE("onnx places: parts and slices are views") {
  NoGrad guard;
  const Tensor x = Tensor::randn({4, 6}).realize();
  const auto kernels_of = [&](const std::string& op, const std::vector<Input>& inputs, const std::string& attributes) {
    Single single(op, inputs, attributes);
    const int64_t before = context.kernels;
    single.model(single.given)[0].reshape({-1}).lazy();
    return context.kernels - before;
  };
  const auto known = [](const Ints& values) { return in_file(ints(values), kInt64); };
  CHECK(kernels_of("Slice", {{x}, known({3}), known({-100}), known({1}), known({-2})}, "") == 0);
  CHECK(kernels_of("Split", {{x}, known({6})}, attribute("axis", int64_t(1))) == 0);
  CHECK(kernels_of("Gather", {{x}, known({2})}, "") == 0);
  CHECK(kernels_of("Gather", {{x}, known({-3, -2})}, attribute("axis", int64_t(1))) == 0);
  CHECK(kernels_of("GatherND", {{x}, in_file(Tensor::from(Ints{1, 5}, {1, 2}), kInt64)}, "") == 0);
}

TEST_CASE("onnx places: Pad goes round as often as it must, and shows nothing that it cuts") {
  const Tensor x = Tensor::of({0, 1, 2});
  const auto pad = [&](const char* mode, int64_t before, int64_t after) {
    return both("Pad", {{x}, int64({before, after})}, attribute("mode", mode), 19);
  };
  CHECK(pad("reflect", 5, 4) == Floats{1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2});
  CHECK(pad("wrap", 4, 5) == Floats{2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1});
  CHECK(pad("edge", -1, 3) == Floats{1, 2, 2, 2, 2});
  CHECK(pad("reflect", -1, 1) == Floats{1, 2, 1});
  CHECK(pad("wrap", 2, -1) == Floats{0, 1, 0, 1});
  CHECK(both("Pad", {{x}, int64({1, -1}), {Tensor(-INFINITY)}, int64({-1})}, "", 18) == Floats{-INFINITY, 0, 1});
  CHECK(contains(error("Pad", {{x}, int64({-3, 1})}, attribute("mode", "edge")), "has nothing to show again"));
  CHECK(contains(error("Pad", {{x}, int64({1, 1, 1})}), "3 pads for 1 axes"));
  CHECK(contains(error("Pad", {{x}, int64({kLeast, 0})}), "pads of"));
}

TEST_CASE("onnx places: PyTorch's empty tensors, parts that do not come out even, numbers that run") {
  const Tensor a = Tensor::of({{1, 2}}), empty = Tensor::zeros({0});
  CHECK(both("Concat", {{a}, {empty}, {a}}, attribute("axis", int64_t(0))) == Floats{1, 2, 1, 2});
  CHECK(both("Concat", {{empty}, {empty}}, attribute("axis", int64_t(0))) == Floats{});
  CHECK(contains(error("Concat", {{a}, {a}}), "axis is missing"));

  Single thirds("Split", {{Tensor::arange(7).cast(DType::Float32)}}, attribute("num_outputs", int64_t(3)), 18, 3);
  CHECK(thirds()[2].to_vector() == Floats{6});
  Single old("Split", {{Tensor::arange(7).cast(DType::Float32)}}, "", 13, 3);
  CHECK(contains(error_of([&] { old(); }), "does not split into 3 equal parts"));
  Single many("Split", {{Tensor::arange(40).cast(DType::Float32)}}, "", 13, 40);  // a tensor has no more than 16 axes
  CHECK(many()[39].item() == 39);

  CHECK(both("Range", {{Tensor(1.f)}, {Tensor(1.3f)}, {Tensor(0.1f)}}).size() == 3);  // 1.3f - 1 is less than 3 tenths
  CHECK(contains(error("Range", {{Tensor(0.f)}, {Tensor(kNan).cast(DType::Float32)}, {Tensor(1.f)}}), "to nan"));
  CHECK(contains(error("Range", {int64({0}), int64({1}), int64({0})}), "step is not 0"));
}

TEST_CASE("onnx places: sizes that are asked for are refused before there is anything") {
  const auto refused = [](const std::string& op, const std::vector<Input>& inputs, const std::string& attributes = "") {
    CAPTURE(op);
    const std::string message = error(op, inputs, attributes, 19);
    CHECK((contains(message, "max_bytes") || contains(message, "too large") || contains(message, "too many") ||
           contains(message, "a depth of")));
  };
  const Tensor x = Tensor::ones({2, 3});
  for (const int64_t size : {int64_t(1) << 40, int64_t(1) << 59}) {
    CAPTURE(size);
    refused("ConstantOfShape", {int64({size, 4})});
    refused("Expand", {{x}, int64({size, 2, 3})});
    refused("Tile", {{x}, int64({size, 1})});
    refused("Range", {int64({0}), int64({size}), int64({1})});
    refused("OneHot", {int64({1, 2}), int64({size}), {Tensor::of({0, 1})}});
    refused("CenterCropPad", {{x}, int64({size, 3})});
    for (const char* mode : {"constant", "edge", "reflect", "wrap"})
      refused("Pad", {{x}, int64({size, 0, 0, 0})}, attribute("mode", mode));
    refused("TfIdfVectorizer", {int64({1, 2})},
            attribute("mode", "TF") + attribute("ngram_counts", Ints{0}) + attribute("ngram_indexes", Ints{size}) +
                attribute("pool_int64s", Ints{1}) + attribute("max_gram_length", int64_t(1)));
  }
  CHECK(contains(error("ConstantOfShape", {int64({-1})}), "a size of -1"));
  CHECK(contains(error("Reshape", {{x}, int64({0, 0, 0})}), "stands for a size that is not there"));
  CHECK(contains(error("Reshape", {{x}, int64(Ints(17, 1))}), "at most 16 axes"));
  CHECK(contains(error("Unsqueeze", {{x}, int64({kLeast})}), "axis -9223372036854775808"));
  CHECK(contains(error("Squeeze", {{x}, int64({0})}), "has more than one element"));
  CHECK(contains(error("DepthToSpace", {{Tensor::ones({1, 4, 1, 1})}}, attribute("blocksize", int64_t(1) << 32)),
                 "blocks of 4294967296"));
}

TEST_CASE("onnx places: windows of a cache, each sample's at another place") {
  const Tensor past = Tensor::zeros({2, 1, 4, 1}), update = Tensor::of({1, 2, 3, 4}).reshape({2, 1, 2, 1});
  const std::string circular = attribute("mode", "circular");
  CHECK(both("TensorScatter", {{past}, {update}, int64({2, 0})}, "", 24) == Floats{0, 0, 1, 2, 3, 4, 0, 0});
  CHECK(both("TensorScatter", {{past}, {update}, int64({3, -5})}, circular, 24) == Floats{2, 0, 0, 1, 4, 0, 0, 3});
  CHECK(both("TensorScatter", {{past}, {update}}, "", 24) == Floats{1, 2, 0, 0, 3, 4, 0, 0});
  for (const int64_t begin : {int64_t(3), int64_t(-1), kLeast, kMost})
    CHECK(contains(error("TensorScatter", {{past}, {update}, int64({0, begin})}, "", 24), "outside"));
}

// ---- Indexing ------------------------------------------------------------------------------------------------------

TEST_CASE("onnx places: a position outside is told, when the model is run or when its result is read") {
  const Tensor x = Tensor::of({{1, 2, 3}, {4, 5, 6}});
  CHECK(both("Gather", {{x}, int64({-1, 0, 1})}) == Floats{4, 5, 6, 1, 2, 3, 4, 5, 6});
  for (const int64_t position : {int64_t(2), int64_t(-3), kLeast, kMost}) {
    CAPTURE(position);
    CHECK(contains(error("Gather", {{x}, in_file(ints({position}), kInt64)}),
                   text("position ", position, " of an axis of 2")));
    CHECK(contains(error("Gather", {{x}, int64({position})}), "outside"));
    CHECK(contains(error("ScatterElements", {{x}, int64({position}, {1, 1}), {Tensor::of({{0}})}}), "outside"));
  }
  // In the common axis of both, (0, 3) would be (1, 0).
  for (const int64_t position : {int64_t(3), int64_t(-4), kLeast, kMost}) {
    CAPTURE(position);
    CHECK(contains(error("GatherND", {{x}, int64({0, position}, {1, 2})}), "outside"));
    CHECK(contains(error("ScatterND", {{x}, int64({0, position}, {1, 2}), {Tensor::of({0})}}), "outside"));
  }
  CHECK(contains(error("GatherND", {{x}, int64({0, 0, 0}, {1, 3})}), "positions of 3 axes in (2, 3)"));
  CHECK(contains(error("ScatterND", {{x}, int64({0}, {1, 1}), {Tensor::of({{0, 0}})}}), "must be float32 (1, 3)"));
}

TEST_CASE("onnx places: rows that are replaced, neighbours or not, once or twice") {
  const Tensor x = Tensor::of({{1, 1}, {2, 2}, {3, 3}, {4, 4}}), two = Tensor::of({{7, 8}, {9, 10}});
  const auto scattered = [&](const Ints& rows, const std::string& reduction = "none") {
    return both("ScatterND", {{x}, int64(rows, {2, 1}), {two}}, attribute("reduction", reduction));
  };
  CHECK(scattered({1, 2}) == Floats{1, 1, 7, 8, 9, 10, 4, 4});
  CHECK(scattered({-1, 0}) == Floats{9, 10, 2, 2, 3, 3, 7, 8});
  CHECK(scattered({2, 2}) == Floats{1, 1, 2, 2, 9, 10, 4, 4});
  CHECK(scattered({2, 2}, "add") == Floats{1, 1, 2, 2, 19, 21, 4, 4});
  CHECK(scattered({2, 0}, "mul") == Floats{9, 10, 2, 2, 21, 24, 4, 4});
  CHECK(scattered({3, 3}, "min") == Floats{1, 1, 2, 2, 3, 3, 4, 4});
  const auto none = both("ScatterND", {{x}, int64({}, {0, 1}), {Tensor::zeros({0, 2})}});
  CHECK(none == x.to_vector());

  const Tensor bools = Tensor::of<bool>({true, false, true}), other = Tensor::of<bool>({true, false});
  const auto of_bools = [&](const char* how) {
    return both<bool>("ScatterElements", {{bools, kBool}, int64({1, 2}), {other, kBool}}, attribute("reduction", how));
  };
  CHECK(of_bools("add") == std::vector<bool>{true, true, true});
  CHECK(of_bools("mul") == std::vector<bool>{true, false, false});
}

TEST_CASE("onnx places: gradients go back where elements came from") {
  const auto gradient_of = [](const std::string& op, const std::vector<Input>& inputs, const std::string& attributes) {
    Single single(op, inputs, attributes, 19);
    Tensor x = single.given[0] = single.given[0].detach().clone().requires_grad_();
    const Tensor y = single()[0];
    (y * (Tensor::arange(y.numel()).reshape(y.shape()) + 1)).sum().backward();
    return x.grad().to_vector();
  };
  const Tensor x = Tensor::of({1, 2, 3});
  CHECK(gradient_of("Gather", {{x}, int64({2, 0, 2})}, "") == Floats{2, 0, 4});
  CHECK(gradient_of("Pad", {{x}, int64({1, 2})}, attribute("mode", "reflect")) == Floats{2 + 6, 1 + 3 + 5, 4});
  CHECK(gradient_of("ScatterND", {{x}, int64({1}, {1, 1}), {Tensor::of({9})}}, "") == Floats{1, 0, 3});
  CHECK(gradient_of("Slice", {{x}, int64({-1}), int64({kLeast}), int64({0}), int64({-2})}, "") == Floats{2, 0, 1});
  CHECK(gradient_of("TopK", {{x}, int64({2})}, "") == Floats{0, 2, 1});
  CHECK(gradient_of("ReverseSequence", {{x.reshape({3, 1})}, int64({2})}, "") == Floats{2, 1, 3});
}

TEST_CASE("onnx places: what has an order, and what is equal") {
  const Tensor large = ints({1, kLeast + 5, -1, kMost});  // 1, 2^63 + 5, 2^64 - 1, 2^63 - 1
  CHECK(run("TopK", {{large, kUInt64}, int64({3})}).to_vector<int64_t>() == Ints{-1, kLeast + 5, kMost});
  CHECK(run("Unique", {{large, kUInt64}}).to_vector<int64_t>() == Ints{1, kMost, kLeast + 5, -1});

  const Tensor x = Tensor::of({3, NAN, 1, 3, NAN});
  Single unique("Unique", {{x}}, "", 11, 4);
  const std::vector<Tensor> sorted = unique();
  CHECK(sorted[0].to_vector().size() == 3);
  CHECK(sorted[1].to_vector<int64_t>() == Ints{2, 0, 1});
  CHECK(sorted[2].to_vector<int64_t>() == Ints{1, 2, 0, 1, 2});
  CHECK(sorted[3].to_vector<int64_t>() == Ints{1, 2, 2});
  const Tensor rows = Tensor::of({{2, 1}, {0, 5}, {2, 1}});
  const std::string unsorted = attribute("axis", int64_t(0)) + attribute("sorted", int64_t(0));
  CHECK(run("Unique", {{rows}}, unsorted, 11).to_vector() == Floats{2, 1, 0, 5});
  CHECK(run("Unique", {{rows}}, attribute("axis", int64_t(-2)), 11).to_vector() == Floats{0, 5, 2, 1});
  CHECK(contains(error("TopK", {{x}, int64({6})}), "6 of the 5"));

  CHECK(both("OneHot", {int64({0, -1, 5, -6}), {Tensor(3.f)}, {Tensor::of({0, 1})}}) ==
        Floats{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0});
  CHECK(contains(error("OneHot", {int64({0}), {Tensor(kNan).cast(DType::Float32)}, {Tensor::of({0, 1})}}), "depth"));
}

TEST_CASE("onnx places: boxes of the best scores, and scores that are none") {
  const Tensor boxes = Tensor::of({{0, 0, 2, 2}, {0, 0, 2, 2.2}, {5, 5, 4, 4}}).reshape({1, 3, 4});
  const auto best = [&](const Tensor& scores, const std::vector<Input>& more) {
    std::vector<Input> inputs{{boxes}, {scores.reshape({1, 1, 3})}};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return run("NonMaxSuppression", inputs).to_vector<int64_t>();
  };
  const Tensor scores = Tensor::of({.5, .7, .1}), half = Tensor(.5f);
  CHECK(best(scores, {}) == Ints{});
  CHECK(best(scores, {int64({9}), {half}}) == Ints{0, 0, 1, 0, 0, 2});
  CHECK(best(scores, {int64({1}), {half}}) == Ints{0, 0, 1});
  CHECK(best(scores, {int64({9}), {half}, {half}}) == Ints{0, 0, 1});
  CHECK(best(Tensor::of({.5, NAN, .5}), {int64({9}), {half}}) == Ints{0, 0, 0, 0, 0, 2});
  CHECK(contains(error("NonMaxSuppression", {{boxes}, {scores.reshape({1, 3, 1})}}), "(batch, classes, n)"));
}

// ---- Graphs inside of nodes ----------------------------------------------------------------------------------------

namespace {

struct Files {
  TemporaryDirectory directory;
  int count = 0;
  onnx::Model model(const onnx_file::Graph& graph) {
    return onnx::Model(directory.write(std::to_string(count++) + ".onnx", graph.model()));
  }
};

/// A loop's body: `names` stand for step, condition and states; each of `results` is one of its values.
std::string body(onnx_file::Graph graph, const std::vector<std::string>& names,
                 const std::vector<std::string>& results) {
  for (const std::string& name : names) graph.input(name);
  for (const std::string& result : results) graph.output(result);
  return graph_attribute("body", graph.message);
}

}  // namespace

TEST_CASE("onnx places: a loop whose steps a shape says is unrolled, and another for each shape") {
  // 10 N is computed in a loop of N steps, and is the length of the result.
  Files files;
  onnx_file::Graph step, graph;
  step.node("Add", {"k", "ten"}, {"k10"});
  graph.initializer<int64_t>("0", {}, {0})
      .initializer<int64_t>("none", {1}, {0})
      .initializer<int64_t>("ten", {1}, {10});
  graph.node("Shape", {"x"}, {"s"}).node("Gather", {"s", "0"}, {"n"});
  graph.node("Loop", {"n", "", "none"}, {"k", "all"}, body(step, {"i", "c", "k"}, {"c", "k10", "k10"}));
  graph.node("Add", {"k", "none"}, {"k0"})
      .node("ConstantOfShape", {"k0"}, {"zeros"})
      .node("Add", {"zeros", "x"}, {"y"});
  graph.input("x", {"N", 1}).output("y").output("all", kInt64);
  onnx::Model net = files.model(graph);
  for (const int64_t n : {3, 1, 3, 5, 0})
    for (int call = 0; call < 4; ++call) {
      const std::vector<Tensor> results = net({Tensor::ones({n, 1})});
      CHECK(results[0].shape() == Shape{n, 10 * n});
      CHECK(results[1].shape() == Shape{n, 1});  // of no step, too: the body says what there would be
      CHECK(results[1].sum().item() == 5 * double(n * (n + 1)));
    }
  CHECK(net.why() == "");
  CHECK(net.replays() == 2 + 2 + 4 + 2 + 2);
}

TEST_CASE("onnx places: what a loop of no step would have stacked has the dtype and shape of its body's results") {
  Files files;
  onnx_file::Graph step, graph;
  step.node("Gather", {"x", "i"}, {"row"}).node("ArgMax", {"row"}, {"at"}, attribute("keepdims", int64_t(0)));
  step.node("Identity", {"c"}, {"go"}).input("i").input("c");
  // An output of which nothing is said: a name alone.
  step.message += onnx_file::bytes(12, onnx_file::bytes(1, "go")) + onnx_file::bytes(12, onnx_file::bytes(1, "row")) +
                  onnx_file::bytes(12, onnx_file::bytes(1, "at"));
  graph.node("Loop", {"n", ""}, {"rows", "ats"}, graph_attribute("body", step.message));
  graph.input("x", {"N", 3}).input("n", {}, kInt64).output("rows").output("ats", kInt64);
  onnx::Model net = files.model(graph);
  for (const int64_t n : {0, 2, 0, 1})
    for (int call = 0; call < 3; ++call) {
      const std::vector<Tensor> results = net({Tensor::of({{1, 3, 2}, {7, 5, 6}}), Tensor(Scalar(n))});
      CHECK(results[0].shape() == Shape{n, 3});
      CHECK(results[0].dtype() == DType::Float32);
      CHECK(results[1].shape() == Shape{n});
      CHECK(results[1].dtype() == DType::Int64);
    }
}

TEST_CASE("onnx places: what a loop gives may be known although its neighbour is not") {
  // The counter is a size behind the loop, and a Jit records both.
  Files files;
  onnx_file::Graph step, graph;
  step.node("Add", {"k", "one"}, {"k1"}).node("Gather", {"x", "i"}, {"row"}).node("Add", {"sum", "row"}, {"sum1"});
  graph.initializer<int64_t>("one", {1}, {1})
      .initializer<int64_t>("three", {}, {3})
      .initializer<int64_t>("0", {1}, {0});
  graph.node("Loop", {"three", "", "0", "start"}, {"k", "total"},
             body(step, {"i", "c", "k", "sum"}, {"c", "k1", "sum1"}));
  graph.node("Slice", {"x", "0", "k"}, {"first"}).node("Add", {"first", "total"}, {"y"});
  graph.input("x", {"N", 2}).input("start", {2}).output("y");
  onnx::Model net = files.model(graph);
  for (int call = 0; call < 4; ++call) {
    const Tensor x = Tensor::randn({5, 2}), start = Tensor::randn({2}), first = x[slice(0, 3)];
    CHECK(net({x, start})[0].allclose(first + (first.sum(0) + start), 1e-5, 1e-5));
  }
  CHECK(net.replays() == 2);
}

TEST_CASE("onnx places: a loop that data ends, and a branch that data takes") {
  Files files;
  onnx_file::Graph step, loop, less, more, branch;
  step.node("Add", {"s", "s"}, {"s2"}).node("ReduceMax", {"s2"}, {"most"}, attribute("keepdims", int64_t(0)));
  step.node("Less", {"most", "limit"}, {"on"});
  loop.initializer<int64_t>("m", {}, {50})
      .node("Loop", {"m", "", "x"}, {"y", "all"}, body(step, {"i", "c", "s"}, {"on", "s2", "most"}));
  loop.input("x", {"N"}).input("limit", std::vector<onnx_file::Size>{}).output("y").output("all");
  onnx::Model doubled = files.model(loop);
  for (const float limit : {100.f, 3.f, 1000.f, -1.f}) {
    const std::vector<Tensor> results = doubled({Tensor::of({1, -2}), Tensor(limit)});
    float expected = 2;
    Floats all{2};
    while (expected < limit) all.push_back(expected *= 2);
    CHECK(results[0].to_vector() == Floats{expected, -2 * expected});
    CHECK(results[1].to_vector() == all);
  }
  CHECK(doubled.why() == "a condition that data decides turned out in another way");

  // A name inside stands for the value inside, also where one outside has it: here the node's own result.
  less.initializer<int64_t>("y", {2}, {2, -1}).output("y", kInt64);
  more.initializer<int64_t>("y", {2}, {-1, 2}).output("y", kInt64);
  const std::string both = graph_attribute("then_branch", less.message) + graph_attribute("else_branch", more.message);
  branch.node("ReduceMax", {"x"}, {"most"}, attribute("keepdims", int64_t(0))).node("Less", {"most", "zero"}, {"c"});
  branch.node("If", {"c"}, {"y"}, both).node("Reshape", {"x", "y"}, {"z"}).input("x", {6}).output("z");
  onnx::Model shaped = files.model(branch.initializer<float>("zero", {}, {0}));
  for (const double sign : {1, -1, -1, 1, 1, -1})
    CHECK(shaped({Tensor::full({6}, sign)})[0].shape() == (sign > 0 ? Shape{3, 2} : Shape{2, 3}));
}

TEST_CASE("onnx places: what data decides is taken to be what it was, and the call made again where it is not") {
  // The element of x at the place that its largest says; where there is none, how far it is away.
  Files files;
  onnx_file::Graph inside, outside, graph;
  inside.node("Gather", {"x", "at"}, {"a"}).output("a");
  outside.node("Sub", {"last", "most"}, {"b"}).output("b");
  graph.node("ReduceMax", {"x"}, {"most"}, attribute("keepdims", int64_t(0))).node("Less", {"most", "last"}, {"c"});
  graph.node("Cast", {"most"}, {"at"}, attribute("to", int64_t(kInt64)));
  graph.node("If", {"c"}, {"y"},
             graph_attribute("then_branch", inside.message) + graph_attribute("else_branch", outside.message));
  graph.initializer<float>("last", {}, {3}).input("x", {3}).output("y");
  onnx::Model net = files.model(graph);
  const auto run = [&](float most) { return net({Tensor::of({most - 5, most, most - 1})})[0].item(); };
  CHECK(run(1) == 1);   // the plan is made
  CHECK(run(0) == -5);  // recorded
  CHECK(run(2) == 1);   // replayed
  CHECK(net.replays() == 1);
  CHECK(run(30) == -27);  // the branch that was assumed has no such element
  CHECK(net.replays() == 1);
  CHECK(net.why() == "a condition that data decides turned out in another way");
  CHECK(run(31) == -28);  // the other branch is recorded
  CHECK(run(32) == -29);
  CHECK(net.replays() == 2);
  for (const auto& [most, y] : {std::pair{1.f, 1.f}, {5, -2}, {2, 1}, {0, -5}, {4, -1}, {3, 0}}) CHECK(run(most) == y);
  CHECK(net.replays() == 2 + 4);  // what throws, for 5 and 4, does not say which the condition is
}

TEST_CASE("onnx places: what comes before a node that looks at values is replayed, and so is what does not need it") {
  // Scores s = 2 x + w by way of many nodes; the largest of those above 1, and beside them -s, which needs no look.
  Files files;
  onnx_file::Graph graph, inside;
  graph.initializer<float>("w", {4}, {0, 0, 0, 0}).initializer<float>("one", {}, {1}).node("Add", {"x", "x"}, {"s0"});
  for (int k = 0; k < 10; ++k)
    graph.node(k % 2 ? "Sub" : "Add", {"s" + std::to_string(k), "one"}, {"s" + std::to_string(k + 1)});
  graph.node("Add", {"s10", "w"}, {"s"}).node("Greater", {"s", "one"}, {"above"}).node("NonZero", {"above"}, {"at"});
  graph.node("GatherND", {"s", "places"}, {"kept"});
  graph.node("Transpose", {"at"}, {"places"}).node("Neg", {"s"}, {"negative"});
  inside.node("Mul", {"s10", "kept"}, {"m"}).output("m");  // of a graph inside, what it needs of those around counts
  graph.node("ReduceSum", {"above_number"}, {"any"}, attribute("keepdims", int64_t(0)));
  graph.node("Cast", {"above"}, {"above_number"}, attribute("to", int64_t(1)));
  graph.node("Greater", {"any", "three"}, {"c"}).initializer<float>("three", {}, {3});
  graph.node("If", {"c"}, {"y"}, graph_attribute("then_branch", inside.message) + graph_attribute("else_branch", [] {
                                   onnx_file::Graph other;
                                   other.node("Identity", {"kept"}, {"k"}).output("k");
                                   return other.message;
                                 }()));
  graph.input("x", {4}).output("y").output("negative").output("s");
  onnx::Model net = files.model(graph);
  const auto check = [&](const Floats& x, const Floats& y, float w = 0) {
    const std::vector<Tensor> results = net({Tensor::from(x)});
    Floats s;
    for (float v : x) s.push_back(2 * v + w);
    CHECK(results[0].to_vector() == y);
    CHECK(results[2].to_vector() == s);
    CHECK(difference(results[1], -Tensor::from(s)) == "");
  };
  for (int call = 0; call < 3; ++call) {
    check({0, 1, 2, 3}, {2, 4, 6});
    check({5, 0, 0, 0}, {10});
    check({0, 0, 0, 0}, {});
    check({1, 1, 2, 3}, {4, 4, 16, 36});
  }
  CHECK(contains(net.why(), "looks at the values of \"above\""));

  for (auto& [name, x] : net.state())
    if (name == "w") Tensor(x).assign(Tensor::full({4}, 1));
  for (int call = 0; call < 3; ++call) check({0, 1, 2, 3}, {3, 5, 7}, 1);
  Tensor x = Tensor::of({0, 1, 2, 3}).requires_grad_();
  net({x})[0].sum().backward();
  CHECK(net.why() == "gradients are recorded");
  CHECK(x.grad().to_vector() == Floats{0, 2, 2, 2});
}

TEST_CASE("onnx places: loops without an end, or with the wrong graph") {
  Files files;
  const auto error_in = [&](const std::vector<std::string>& inputs, const std::string& attributes) {
    onnx_file::Graph graph;
    graph.initializer<int64_t>("m", {}, {kMost}).initializer<int64_t>("two", {2}, {1, 1});
    graph.node("Loop", inputs, {"y"}, attributes).input("x", {1}).output("y");
    return error_of([&] { files.model(graph)({Tensor::ones({1})}); });
  };
  const std::string nothing = body({}, {"i", "c", "s"}, {"c", "s"});
  CHECK(contains(error_in({"", "", "x"}, nothing), "more than 4000000 nodes in one run"));
  CHECK(contains(error_in({"m", "", "x"}, nothing), "more than 4000000 nodes in one run"));
  CHECK(contains(error_in({"m", "", "x"}, ""), "the graph body is missing"));
  CHECK(contains(error_in({"m", "", "x", "x"}, nothing), "a body of 3 inputs and 2 outputs for 2 states"));
  CHECK(contains(error_in({"two", "", "x"}, nothing), "must have one element"));
  CHECK(contains(error_in({"m", "two", "x"}, nothing), "a condition must have one element"));
}

TEST_CASE("onnx places: a scan over any axis, in both directions") {
  Files files;
  onnx_file::Graph step, graph;
  step.node("Add", {"h", "a"}, {"h2"}).node("Mul", {"h2", "two"}, {"o"});
  const std::string attributes = body(step, {"h", "a"}, {"h2", "o"}) + attribute("num_scan_inputs", int64_t(1)) +
                                 attribute("scan_input_axes", Ints{-1}) + attribute("scan_input_directions", Ints{1}) +
                                 attribute("scan_output_axes", Ints{1}) + attribute("scan_output_directions", Ints{1});
  graph.initializer<float>("two", {}, {2}).node("Scan", {"h0", "x"}, {"h", "all"}, attributes);
  graph.input("h0", {2}).input("x", {2, "T"}).output("h").output("all");
  onnx::Model net = files.model(graph);
  for (int call = 0; call < 4; ++call) {
    const Tensor x = Tensor::randn({2, 5}), h0 = Tensor::randn({2});
    const std::vector<Tensor> results = net({h0, x});
    const Tensor sums = x.flip(1).cumsum(1).flip(1) + h0.unsqueeze(1);
    CHECK(results[0].allclose(sums[{slice(), 0}], 1e-5, 1e-5));
    CHECK(results[1].allclose(sums * 2, 1e-5, 1e-5));
  }
  CHECK(net.replays() == 2);
}
