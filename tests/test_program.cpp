// Program files: what is written and read, what runs, and what the calls leave.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "teeny/files/entries.h"
#include "teeny/program/format.h"
#include "tests/check_refused.h"
#include "tests/program_contents.h"
#include "tests/temporary_directory.h"
#include "tinyops/base/philox.h"

using namespace teeny::test;
using teeny::Array, teeny::Program;

namespace {

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// The file of these contents, as bytes.
std::string file_of(const Contents& contents) {
  const TemporaryDirectory directory;
  teeny::program::write(directory / "net.teeny", contents);
  return ::contents(directory / "net.teeny");
}

Program program_of(const Contents& contents) { return Program::from_bytes(bytes(file_of(contents)), "net.teeny"); }

/// The file with JSON that differs in one place, and without checksums, which would not fit.
std::string changed(const std::string& file, const std::string& from, const std::string& to) {
  std::string data = file;
  std::span<std::byte> elements = std::as_writable_bytes(std::span(data));
  teeny::io::Header header = teeny::io::read_header("f", elements);
  teeny::io::take_checksums("f", header);
  std::string& json = header.metadata.at("teeny.program");
  const size_t at = json.find(from);
  REQUIRE_MESSAGE(at != json.npos, from << " in " << json);
  json.replace(at, from.size(), to);
  const std::string text = teeny::io::write_header(header);
  const uint64_t length = text.size();
  std::string result(sizeof length, '\0');
  std::memcpy(result.data(), &length, sizeof length);
  return result + text + std::string(reinterpret_cast<const char*>(elements.data()), elements.size());
}

/// The file with this as its JSON.
std::string whole_text(const std::string& file, const std::string& text) {
  std::string data = file;
  std::span<std::byte> elements = std::as_writable_bytes(std::span(data));
  const std::string json = teeny::io::read_header("f", elements).metadata.at("teeny.program");
  return changed(file, json, text);
}

/// Equal but for the buffers: those are the slots of the same number.
struct Same {
  const Call &a, &b;

  int slot(const Call& call, const Operand& x) const {
    for (size_t s = 0; s < call.slots.size(); ++s)
      if (call.slots[s].buffer == x.buffer) return int(s);
    return -1;
  }
  bool operator()(const Operand& x, const Operand& y) const {
    return slot(a, x) == slot(b, y) && x.dtype == y.dtype && x.view == y.view;
  }
  bool operator()(const RowKernel& x, const RowKernel& y) const {
    bool same = x.shape == y.shape && x.inner == y.inner && x.program == y.program &&
                x.inputs.size() == y.inputs.size() && x.outputs.size() == y.outputs.size();
    for (size_t i = 0; same && i < x.inputs.size(); ++i)
      same = x.inputs[i].kind == y.inputs[i].kind && (*this)(x.inputs[i].operand, y.inputs[i].operand) &&
             x.inputs[i].constant == y.inputs[i].constant;
    for (size_t i = 0; same && i < x.outputs.size(); ++i)
      same = x.outputs[i].value == y.outputs[i].value && (*this)(x.outputs[i].operand, y.outputs[i].operand);
    return same;
  }
  bool operator()(const ContractKernel& x, const ContractKernel& y) const {
    return x.shape == y.shape && x.reduced == y.reduced && (*this)(x.a, y.a) && (*this)(x.b, y.b) &&
           (*this)(x.epilogue, y.epilogue);
  }
  template <class K>
  bool operator()(const K& x, const K& y) const {
    bool same = (*this)(x.out, y.out);
    for (const auto member : K::reads) same = same && (*this)(x.*member, y.*member);
    if constexpr (requires { x.op; }) same = same && x.op == y.op;
    if constexpr (requires { x.origin; }) same = same && x.origin == y.origin;
    if constexpr (requires { x.descending; }) same = same && x.descending == y.descending;
    if constexpr (requires { x.seed; }) same = same && x.seed == y.seed && x.counter == y.counter;
    if constexpr (requires { x.cell; }) same = same && x.cell == y.cell && x.forward == y.forward;
    return same;
  }
  template <class X, class Y>
  bool operator()(const X&, const Y&) const {
    return false;
  }
};

}  // namespace

TEST_CASE("program: every kind of kernel, operation, dtype and constant comes back") {
  Contents contents;
  contents.state = {state_of<float>("w", {4, 5}, std::vector<float>(20, 1.5f)),
                    state_of<bool>("mask \"\\ \xc3\xa4", {2}, {true, false})};
  contents.seed = UINT64_MAX, contents.counter = uint64_t(1) << 63;
  contents.state[0].frozen = true;
  CallBuilder b;
  const Operand w = b.state(contents, 0), mask = b.state(contents, 1);
  const Operand x = b.input("x", DType::Float32, {4, 5}), index = b.input("i", DType::Int64, {4});
  const Operand out = b.fresh(DType::Float32, {4, 5}), sums = b.temporary(DType::Float64, {4});

  RowKernel rows{.shape = {4, 5}, .inner = 1, .inputs = {}, .program = {}, .outputs = {}};
  Operand padded = x;
  padded.view = x.view.pad({1, 0}, {0, 2}).shrink({0, 1}, {4, 6}).flip({1});
  Operand halves = x;
  halves.dtype = DType::Int32;
  rows.inputs = {{.operand = padded}, {.operand = halves}};
  for (const Scalar& value : std::vector<Scalar>{
           true, false, 0, -1, INT64_MIN, INT64_MAX, 0.0, -0.0, 1.0, 0.1, 1e300, -5e-324, 1e17, HUGE_VAL, -HUGE_VAL,
           std::numeric_limits<double>::quiet_NaN(), std::bit_cast<double>(uint64_t(0xfff0'0000'0000'1234))}) {
    rows.inputs.push_back(
        {.kind = Input::Kind::Constant, .operand = {nullptr, DType::Float16, padded.view}, .constant = value});
    rows.program.push_back({.op = Constant{value}, .dtype = DType::BFloat16});
  }
  rows.inputs.push_back({.kind = Input::Kind::Address, .operand = {nullptr, DType::Int64, padded.view}});
  for (int i = 0; i < 3; ++i) rows.program.push_back({.op = Load{i}, .dtype = kDTypes[size_t(i)]});
  for (int i = 0; i < kCount<UnaryOp>; ++i)
    rows.program.push_back(
        {.op = UnaryOp(i), .dtype = kDTypes[size_t(i % 8)], .args = {i, -1, -1}, .per_row = i % 2 > 0});
  for (int i = 0; i < kCount<BinaryOp>; ++i)
    rows.program.push_back({.op = BinaryOp(i), .dtype = DType::UInt8, .args = {i, 1, -1}});
  rows.program.push_back({.op = TernaryOp::Where, .dtype = DType::Bool, .args = {1, 2, 3}});
  for (int i = 0; i < kCount<ReduceOp>; ++i)
    rows.program.push_back({.op = Reduce{ReduceOp(i)}, .dtype = DType::Float64, .args = {i, -1, -1}, .per_row = true});
  rows.outputs = {{.operand = out, .value = 7}, {.operand = expanded(sums, {5, 4}), .value = 8}};
  rows.outputs[1].operand.view = rows.outputs[1].operand.view.permute({1, 0});
  b.run(rows);

  ContractKernel product{
      .shape = {4, 4, 5}, .reduced = 1, .a = expanded(w, {4, 4, 5}), .b = expanded(x, {4, 4, 5}), .epilogue = {}};
  product.a.view = product.a.view.permute({1, 0, 2});
  product.epilogue = {.shape = {4, 4}, .inputs = {}, .program = {}, .outputs = {}};
  product.epilogue.inputs = {
      {.kind = Input::Kind::Sum, .operand = {nullptr, DType::Float32, View::contiguous({4, 4})}}};
  product.epilogue.program = {{.op = Load{0}, .dtype = DType::Float32}};
  product.epilogue.outputs = {{.operand = {out.buffer, DType::Float32, View::contiguous({4, 4})}, .value = 0}};
  b.run(product);

  const auto shaped = [](Operand o, const Shape& shape) { return o.view.shape = shape, o; };
  b.run(GatherKernel{.table = shaped(w, {4, 5}),
                     .index = index,
                     .out = shaped(out, {4}),
                     .origin = IndexOrigin("embedding", Shape{2, 2}, 0)});
  for (int i = 0; i < kCount<ReduceOp>; ++i)
    b.run(ScatterKernel{
        .op = ReduceOp(i), .source = shaped(x, {4}), .index = index, .out = out, .origin = "scatter: not \"so\""});
  for (int i = 0; i < kCount<ReduceOp>; ++i) b.run(ScanKernel{.op = ReduceOp(i), .in = x, .out = out});
  b.run(SortKernel{.descending = true, .in = padded, .out = index});
  b.run(SortKernel{.descending = false, .in = x, .out = index});
  b.run(RandomKernel{.seed = 3, .counter = UINT64_MAX, .out = out});
  for (const RecurrentCell cell : {RecurrentCell::Tanh, RecurrentCell::Relu, RecurrentCell::Gru, RecurrentCell::Lstm})
    b.run(RecurrentKernel{.cell = cell, .forward = 1, .in = x, .weight = w, .first = mask, .out = out});
  b.output("y", out);
  b.update(0, out);
  b.call.draws = {{.kernel = int(b.call.kernels.size()) - 5, .words_before = UINT64_MAX}};
  b.call.words = 12;
  b.call.in_place = false;
  contents.calls = {b.call, Call()};

  const std::string file = file_of(contents);
  const Contents back = teeny::program::read(bytes(file), "f");
  CHECK(back.seed == contents.seed);
  CHECK(back.counter == contents.counter);
  REQUIRE(back.state.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(back.state[i].name == contents.state[i].name);
    CHECK(back.state[i].dtype == contents.state[i].dtype);
    CHECK(back.state[i].shape == contents.state[i].shape);
    CHECK(back.state[i].frozen == contents.state[i].frozen);
  }
  CHECK(values_of<float>({DType::Float32, {20}, back.state[0].buffer}) == std::vector<float>(20, 1.5f));
  REQUIRE(back.calls.size() == 2);
  const Call &a = contents.calls[0], &c = back.calls[0];
  CHECK(a.inputs == c.inputs);
  CHECK(a.outputs == c.outputs);
  CHECK(a.input_slots == c.input_slots);
  CHECK(a.output_slots == c.output_slots);
  CHECK(a.blocks == c.blocks);
  REQUIRE(a.slots.size() == c.slots.size());
  for (size_t i = 0; i < a.slots.size(); ++i) {
    CHECK(a.slots[i].kind == c.slots[i].kind);
    CHECK(a.slots[i].number == c.slots[i].number);
    CHECK(a.slots[i].dtype == c.slots[i].dtype);
    CHECK(a.slots[i].elements == c.slots[i].elements);
    CHECK(a.slots[i].buffer->bytes() == c.slots[i].buffer->bytes());
  }
  REQUIRE(a.kernels.size() == c.kernels.size());
  for (size_t i = 0; i < a.kernels.size(); ++i)
    CHECK_MESSAGE(std::visit(Same{a, c}, a.kernels[i], c.kernels[i]), "kernel " << i);
  REQUIRE(c.updates.size() == 1);
  CHECK(c.updates[0].state == 0);
  CHECK(c.updates[0].slot == a.updates[0].slot);
  CHECK(!c.in_place);
  REQUIRE(c.draws.size() == 1);
  CHECK(c.draws[0].kernel == a.draws[0].kernel);
  CHECK(c.draws[0].words_before == UINT64_MAX);
  CHECK(c.words == 12);
  CHECK(file_of(back) == file);
}

TEST_CASE("program: several shapes share weights, and a call is chosen by its inputs") {
  Program net = program_of(scale_and_shift());
  REQUIRE(net.signatures().size() == 2);
  CHECK(net.signatures()[1].inputs[0].shape == Shape{4, 3});
  const std::vector<Array> two = {array_of<float>({2, 3}, {1, 1, 1, 2, 2, 2})};
  const std::vector<Array> four = {array_of<float>({4, 3}, std::vector<float>(12, 1))};
  const auto y = net(two);
  REQUIRE(y.size() == 1);
  CHECK(y[0].shape == Shape{2, 3});
  CHECK(values_of<float>(y[0]) == std::vector<float>{11, 22, 33, 12, 24, 36});
  CHECK(values_of<float>(net(four)[0]).size() == 12);
  const auto again = net(two);
  CHECK(again[0].buffer != y[0].buffer);
  CHECK(values_of<float>(again[0]) == values_of<float>(y[0]));
}

TEST_CASE("program: inputs that no call has are named, with what the file has") {
  Program net = program_of(scale_and_shift());
  const auto call = [&](std::vector<Array> inputs) { net(inputs); };
  const Array good = array_of<float>({2, 3}, std::vector<float>(6)),
              wide = array_of<float>({2, 4}, std::vector<float>(8));
  Array none = good, small = good;
  none.buffer = nullptr;
  small.buffer = std::make_shared<Buffer>(23);
  check_refused({
      {"net.teeny: input 0 (x) is float32 (2, 4); the file has calls with float32 (2, 3), or float32 (4, 3)",
       [&] { call({wide}); }},
      {"input 0 (x) is int64 (2, 3)",
       [&] {
         call({array_of<int64_t>({2, 3}, std::vector<int64_t>(6))});
       }},
      {"0 inputs; the file has a call with float32 (2, 3)", [&] { call({}); }},
      {"input 1 is float32 (2, 3); the file has calls with 1 inputs",
       [&] {
         call({good, good});
       }},
      {"input 0 (x) has no buffer, and float32 (2, 3) needs 24", [&] { call({none}); }},
      {"input 0 (x) has 23 bytes", [&] { call({small}); }},
      {"a bool of 2 at 1",
       [] {
         const uint8_t wrong[] = {1, 2};
         Array::of(DType::Bool, {2}, wrong);
       }},
  });
}

TEST_CASE("program: a step changes the state, and what was handed out keeps its values") {
  Program net = program_of(counting());
  const std::vector<Array> x = {array_of<float>({2}, {0.5f, 1})};
  const auto before = net.state();
  const auto first = net(x);
  CHECK(values_of<float>(first[0]) == std::vector<float>{6});
  const auto between = net.state();
  const auto second = net(x);
  CHECK(values_of<float>(second[0]) == std::vector<float>{7});
  CHECK(values_of<float>(first[0]) == std::vector<float>{6});
  CHECK(values_of<float>(before[0].second) == std::vector<float>{5});
  CHECK(values_of<float>(before[1].second) == std::vector<float>{1, 2});
  CHECK(values_of<float>(between[0].second) == std::vector<float>{6});
  CHECK(values_of<float>(between[1].second) == std::vector<float>{1.5f, 3});
  CHECK(values_of<float>(net.state()[1].second) == std::vector<float>{2, 4});
  // A stream of words: the second call begins where the first one ended.
  Program other = program_of(counting());
  other.seed(7, 106);
  CHECK(values_of<float>(other(x)[1]) == values_of<float>(second[1]));
  CHECK(values_of<float>(first[1]) != values_of<float>(second[1]));
}

TEST_CASE("program: a state tensor that nobody holds is written in place") {
  Program net = program_of(counting());
  const std::vector<Array> x = {array_of<float>({2}, {0, 0})};
  const Buffer* count = net.state()[0].second.buffer.get();
  net(x);
  CHECK(net.state()[0].second.buffer.get() == count);
  const auto held = net.state();
  net(x);
  CHECK(net.state()[0].second.buffer.get() != count);
}

TEST_CASE("program: a step goes on from the file that it was saved to") {
  const TemporaryDirectory directory;
  const std::vector<Array> x = {array_of<float>({2}, {0.5f, 1})};
  Program whole = program_of(counting());
  whole(x);
  whole.save(directory / "half.teeny");
  Program rest = Program::load(directory / "half.teeny");
  for (int i = 0; i < 3; ++i) {
    const auto a = whole(x), b = rest(x);
    CHECK(values_of<float>(a[0]) == values_of<float>(b[0]));
    CHECK(values_of<float>(a[1]) == values_of<float>(b[1]));
  }
  CHECK(values_of<float>(whole.state()[1].second) == values_of<float>(rest.state()[1].second));
}

/// out = table[index], for a table of three elements, after count += 1.
static Contents looking_up() {
  Contents contents;
  contents.state = {state_of<float>("count", {1}, {0}), state_of<float>("table", {3}, {10, 20, 30})};
  CallBuilder b;
  const Operand index = b.input("index", DType::Int64, {2}), count = b.state(contents, 0), table = b.state(contents, 1);
  const Operand out = b.fresh(DType::Float32, {2}), noise = b.fresh(DType::Float32, {2});
  b.run(RandomKernel{.out = noise});
  b.run(binary(BinaryOp::Add, count, count, count));
  RowKernel& add = std::get<RowKernel>(b.call.kernels.back());
  add.inputs[1] = {
      .kind = Input::Kind::Constant, .operand = {nullptr, DType::Float32, View::contiguous({1})}, .constant = 1.0};
  b.run(GatherKernel{.table = expanded(table, {2, 3}), .index = index, .out = out, .origin = "lookup"});
  b.output("out", out);
  b.output("noise", noise);
  b.update(0, count);
  b.call.draws = {{.kernel = 0, .words_before = 0}};
  b.call.words = 2;
  b.call.in_place = false;
  contents.calls = {b.call};
  return contents;
}

TEST_CASE("program: an index outside leaves the state and the random stream as they were") {
  Program net = program_of(looking_up()), other = program_of(looking_up());
  const std::vector<Array> good = {array_of<int64_t>({2}, {0, 2})}, outside = {array_of<int64_t>({2}, {0, 3})};
  CHECK(error_of([&] { net(outside); }) == "lookup: index 3 at position (1,) is outside 0 <= index < 3");
  CHECK(values_of<float>(net.state()[0].second) == std::vector<float>{0});
  const auto a = net(good), b = other(good);
  CHECK(values_of<float>(a[0]) == std::vector<float>{10, 30});
  CHECK(values_of<float>(a[1]) == values_of<float>(b[1]));
  CHECK(values_of<float>(net.state()[0].second) == std::vector<float>{1});
}

TEST_CASE("program: outputs that are inputs, state or each other are memory of their own") {
  Contents contents;
  contents.state = {state_of<float>("w", {2}, {1, 2})};
  CallBuilder b;
  const Operand x = b.input("x", DType::Float32, {2}), w = b.state(contents, 0), y = b.fresh(DType::Float32, {2});
  b.run(binary(BinaryOp::Add, x, w, y));
  for (const Operand& out : {x, w, y, y}) b.output("o" + std::to_string(b.call.outputs.size()), out);
  contents.calls = {b.call};
  Program net = program_of(contents);
  const std::vector<Array> in = {array_of<float>({2}, {5, 6})};
  const auto out = net(in);
  REQUIRE(out.size() == 4);
  CHECK(values_of<float>(out[0]) == std::vector<float>{5, 6});
  CHECK(values_of<float>(out[1]) == std::vector<float>{1, 2});
  CHECK(values_of<float>(out[2]) == std::vector<float>{6, 8});
  CHECK(values_of<float>(out[3]) == std::vector<float>{6, 8});
  CHECK(out[0].buffer != in[0].buffer);
  CHECK(out[1].buffer != net.state()[0].second.buffer);
  CHECK(out[2].buffer != out[3].buffer);
}

TEST_CASE("program: tensors without elements, calls without kernels, and no calls") {
  Contents contents;
  contents.state = {state_of<float>("none", {0, 3}, {})};
  CallBuilder b;
  const Operand x = b.input("x", DType::Float32, {2, 0}), y = b.fresh(DType::Float32, {2, 0});
  b.run(binary(BinaryOp::Add, x, x, y));
  b.output("y", y);
  b.output("none", b.state(contents, 0));
  CallBuilder nothing;
  nothing.output("x", nothing.input("x", DType::Int64, {1}));
  contents.calls = {b.call, nothing.call};
  Program net = program_of(contents);
  const std::vector<Array> empty = {array_of<float>({2, 0}, {})}, one = {array_of<int64_t>({1}, {5})};
  const auto out = net(empty);
  REQUIRE(out.size() == 2);
  CHECK(out[0].shape == Shape{2, 0});
  CHECK(values_of<float>(out[1]).empty());
  CHECK(values_of<int64_t>(net(one)[0]) == std::vector<int64_t>{5});
  CHECK(error_of([] { program_of(Contents())({}); }) == "net.teeny: it has no calls");
}

TEST_CASE("program: large tensors of a file stay mapped, and a save over it is safe") {
  const TemporaryDirectory directory;
  Contents contents;
  std::vector<float> many(1 << 15);
  for (size_t i = 0; i < many.size(); ++i) many[i] = float(i);
  contents.state = {state_of<float>("w", {1 << 15}, many)};
  CallBuilder b;
  const Operand w = b.state(contents, 0);
  RowKernel twice = binary(BinaryOp::Add, w, w, w);
  b.run(twice);
  b.update(0, w);
  contents.calls = {b.call};
  teeny::program::write(directory / "net.teeny", contents);
  Program net = Program::load(directory / "net.teeny");
  net({});
  net.save(directory / "net.teeny");
  net({});
  CHECK(values_of<float>(net.state()[0].second)[9] == 36);
  CHECK(values_of<float>(Program::load(directory / "net.teeny").state()[0].second)[9] == 18);
}

TEST_CASE("program: what is no program, and what is wrong in one, is said") {
  const std::string good = file_of(scale_and_shift());
  const auto load = [](const std::string& file) { return [file] { Program::from_bytes(bytes(file), "net.teeny"); }; };
  const auto with = [&](const std::string& from, const std::string& to) { return load(changed(good, from, to)); };
  std::string damaged = good, many_keys = "\"version\":1", many_values;
  for (int i = 0; i < 17; ++i) many_keys += ",\"k" + std::to_string(i) + "\":{}";
  for (int i = 0; i < 5 << 20; ++i) many_values += "0,";
  damaged.back() ^= 1;
  check_refused({
      {"net.teeny: no safetensors file: it is an empty file", load("")},
      {"it is an ONNX network", load(std::string("\x08\x07\x12\x04test", 8))},
      {"net.teeny: tensor \"b\" does not fit its checksum: the file is damaged", load(damaged)},
      {"bytes in a file of", load(good.substr(0, 100))},
      {"version: 2; this teeny reads version 1", with("\"version\":1", "\"version\":2")},
      {"teeny.program: unknown entry \"more\"", with("\"version\":1", "\"version\":1,\"more\":2")},
      {"\"version\" is there twice", with("\"version\":1", "\"version\":1,\"version\":1")},
      {"teeny.program: no JSON at byte", with("\"version\":1", "\"version\":")},
      {"more than 12 lists and objects", with("\"version\":1", "\"version\":" + std::string(100, '['))},
      {"teeny.program: calls[0].kernels[0].kind: unknown kind of kernel \"Column\"", with("\"Rows\"", "\"Column\"")},
      {"calls[0].kernels[0].program[2][0]: unknown operation \"Mull\"", with("\"Mul\"", "\"Mull\"")},
      {"calls[0].kernels[0].program[2][3]: not an integer of 32 bits",
       with("[\"Mul\",\"float32\",0,1]", "[\"Mul\",\"float32\",0,4294967296]")},
      {"calls[0].kernels[0].program[2]: it ends too early",
       with("[\"Mul\",\"float32\",0,1]", "[\"Mul\",\"float32\",0]")},
      {"calls[0].kernels[0].program[2][4]: more than",
       with("[\"Mul\",\"float32\",0,1]", "[\"Mul\",\"float32\",0,1,\"rows\"]")},
      {"inputs[0].dtype: unknown: \"float31\"", with("float32", "float31")},
      {"calls[0].inputs[0].shape: a size of -2", with("\"shape\":[2,3]", "\"shape\":[-2,3]")},
      {"shape: (4294967296, 4294967296) is too large", with("\"shape\":[2,3]", "\"shape\":[4294967296,4294967296]")},
      {"more than 16 axes", with("\"shape\":[2,3]", "\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]")},
      {"slot: 99 of 5 slots", with("\"inner\":0,\"inputs\":[{\"slot\":0}", "\"inner\":0,\"inputs\":[{\"slot\":99}")},
      {"the file has no tensor \"v\"", with("{\"state\":\"w\"}", "{\"state\":\"v\"}")},
      {"\"inner\" is missing", with("\"inner\":0,", "")},
      {"input: 1 of 1 inputs", with("{\"input\":0}", "{\"input\":1}")},
      {"block: 1 of 1 blocks", with("\"block\":0", "\"block\":1")},
      {"more memory than the 16 GiB", with("\"blocks\":[24]", "\"blocks\":[17179869185]")},
      {"slots[3].elements: (9223372036854775807,) is too large",
       with("\"elements\":6", "\"elements\":9223372036854775807")},
      {"blocks: one of -1 bytes", with("\"blocks\":[24]", "\"blocks\":[-1]")},
      {"slot 3 of (4294967297,)", with("\"elements\":6", "\"elements\":4294967297")},
      {"slots[4].fresh: less than none", with("\"fresh\":6", "\"fresh\":-6")},
      {"random.seed: not an integer of 64 bits without a sign", with("\"seed\":0", "\"seed\":-1")},
      {"random.seed: not an integer", with("\"seed\":0", "\"seed\":18446744073709551616")},
      {"frozen[0]: the file has no tensor \"v\"", with("\"frozen\":[]", "\"frozen\":[\"v\"]")},
      {"more than 16 entries in an object", with("\"version\":1", many_keys)},
      {"more than 4194304 values", with("\"frozen\":[]", "\"frozen\":[" + many_values + "0]")},
      {"calls: not a list", with("\"calls\":[", "\"calls\":0,\"x\":[")},
      {"teeny.program: not an object", load(whole_text(good, "[]"))},
      {"in_place: not true or false", with("\"in_place\":true", "\"in_place\":1")},
  });
  const TemporaryDirectory directory;
  Contents wrong = scale_and_shift();
  wrong.calls[0].inputs[0].name = "\xff";
  check_refused(
      {{"net.teeny: a name that is not UTF-8", [&] { teeny::program::write(directory / "net.teeny", wrong); }}});
  wrong.calls[0].inputs[0].name = std::string(40 << 20, 'x');
  check_refused({{"a program file has at most", [&] { teeny::program::write(directory / "net.teeny", wrong); }}});
  CHECK(directory.files() == 0);
  teeny::io::write_file(directory / "w.safetensors", {}, [](size_t) { return std::vector<std::byte>(); });
  CHECK(error_of([&] { Program::load(directory / "w.safetensors"); }).find("no program: it has tensors") !=
        std::string::npos);
}

TEST_CASE("program: threads run one program at once") {
  Program net = program_of(scale_and_shift());
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const float value = float(t * 1000 + i);
        const int64_t rows = i % 2 ? 2 : 4;
        const std::vector<Array> x = {array_of<float>({rows, 3}, std::vector<float>(size_t(rows * 3), value))};
        const auto y = values_of<float>(net(x)[0]);
        for (size_t k = 0; k < y.size(); ++k) wrong += y[k] != value * float(k % 3 + 1) + 10 * float(k % 3 + 1);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("program: steps of threads wait for each other, and none is lost") {
  Program net = program_of(counting());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      const std::vector<Array> x = {array_of<float>({2}, {1, 0})};
      for (int i = 0; i < 100; ++i) {
        net(x);
        if (i % 10 == 0) net.state();
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(values_of<float>(net.state()[0].second) == std::vector<float>{405});
  CHECK(values_of<float>(net.state()[1].second) == std::vector<float>{401, 2});
}
