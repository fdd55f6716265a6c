// What a program file may contain: kernels of each kind that may run, and for each rule a change that must be refused.
#include <doctest/doctest.h>

#include <functional>
#include <limits>

#include "teeny/program/contents.h"

using namespace tinyops;
using teeny::Port;
using teeny::program::Call;
using teeny::program::Contents;
using teeny::program::Slot;

namespace {

constexpr auto F32 = DType::Float32;
constexpr int64_t kHuge = std::numeric_limits<int64_t>::max(), kLowest = std::numeric_limits<int64_t>::min();

/// A program of one call, built by hand.
struct Built {
  Contents contents{{}, {Call{}}};
  Call& call() { return contents.calls[0]; }
  Slot& slot(int i) { return call().slots[size_t(i)]; }
  template <class Kind>
  Kind& kernel(size_t i) {
    return std::get<Kind>(call().kernels[i]);
  }
  RowKernel& rows(size_t i) { return kernel<RowKernel>(i); }

  int add(Slot::Kind kind, int number, DType dtype, int64_t elements) {
    call().slots.push_back(
        {kind, number, dtype, elements, std::make_shared<Buffer>(size_t(elements * itemsize(dtype)))});
    return int(call().slots.size()) - 1;
  }
  /// Another number of elements, and memory for them.
  void resize(int i, int64_t elements) {
    slot(i).elements = elements;
    slot(i).buffer = std::make_shared<Buffer>(size_t(elements * itemsize(slot(i).dtype)));
  }
  int input(const Shape& shape, DType dtype = F32) {
    call().inputs.push_back({"in", dtype, shape});
    call().input_slots.push_back(add(Slot::Kind::Input, int(call().inputs.size()) - 1, dtype, numel(shape)));
    return call().input_slots.back();
  }
  int fresh(const Shape& shape, DType dtype = F32) { return add(Slot::Kind::Fresh, 0, dtype, numel(shape)); }
  int output(const Shape& shape, DType dtype = F32) {
    const int s = fresh(shape, dtype);
    leave(s, shape);
    return s;
  }
  void leave(int s, const Shape& shape) {
    call().outputs.push_back({"out", slot(s).dtype, shape});
    call().output_slots.push_back(s);
  }
  int state(const Shape& shape, DType dtype = F32) {
    const size_t bytes = size_t(numel(shape) * itemsize(dtype));
    contents.state.push_back(
        {"w" + std::to_string(contents.state.size()), dtype, shape, std::make_shared<Buffer>(bytes)});
    return add(Slot::Kind::State, int(contents.state.size()) - 1, dtype, numel(shape));
  }
  int temporary(int block, const Shape& shape, DType dtype = F32) {
    const int64_t bytes = numel(shape) * itemsize(dtype);
    if (call().blocks.size() <= size_t(block)) call().blocks.resize(size_t(block) + 1, 0);
    call().blocks[size_t(block)] = std::max(call().blocks[size_t(block)], bytes);
    return add(Slot::Kind::Temporary, block, dtype, numel(shape));
  }
  Operand at(int s, const View& view) { return {slot(s).buffer, slot(s).dtype, view}; }
  Operand at(int s, const Shape& shape) { return at(s, View::contiguous(shape)); }
  Input in(int s, const View& view) { return {Input::Kind::Memory, at(s, view), 0}; }
  Input in(int s, const Shape& shape) { return in(s, View::contiguous(shape)); }
};

Instruction load(int input, DType dtype = F32, bool per_row = false) {
  return {Load{input}, dtype, {-1, -1, -1}, per_row};
}
Instruction unary(UnaryOp op, int x, DType dtype = F32) { return {op, dtype, {x, -1, -1}}; }
Instruction binary(BinaryOp op, int x, int y, DType dtype = F32) { return {op, dtype, {x, y, -1}}; }

/// out = in, element by element.
RowKernel copy_kernel(Built& b, int from, int to, const Shape& shape) {
  return {shape, 0, {b.in(from, shape)}, {load(0, b.slot(from).dtype)}, {{b.at(to, shape), 0}}};
}

// ---- Programs that may run

/// x + w in a temporary, and of its rows the distance from the largest element, and that.
Built rows() {
  Built b;
  const int x = b.input({2, 3}), w = b.state({3}), sum = b.temporary(0, {2, 3}), y = b.output({2, 3}),
            m = b.output({2});
  const View of_row{{2, 3}, {{0, 1}, 0}, {}}, once_a_row{{2, 3}, {{1, 0}, 0}, {}};
  b.call().kernels.push_back(RowKernel{{2, 3},
                                       0,
                                       {b.in(x, {2, 3}), b.in(w, of_row)},
                                       {load(0), load(1), binary(BinaryOp::Add, 0, 1)},
                                       {{b.at(sum, {2, 3}), 2}}});
  b.call().kernels.push_back(
      RowKernel{{2, 3},
                1,
                {b.in(sum, {2, 3})},
                {load(0), {tinyops::Reduce{ReduceOp::Max}, F32, {0, -1, -1}, true}, binary(BinaryOp::Sub, 0, 1)},
                {{b.at(y, {2, 3}), 2}, {b.at(m, once_a_row), 1}}});
  return b;
}

/// A convolution with padding of 1 along an axis of 5: (2, 5) images, 3 filters of 3 taps, a bias and a relu.
Built contraction() {
  Built b;
  const int x = b.input({2, 5}), w = b.state({3, 3}), bias = b.state({3}), y = b.output({2, 3, 5});
  const Shape whole{2, 3, 5, 3}, sums{2, 3, 5};
  const View image{whole, {{5, 0, 1, 1}, -1}, {{{{0, 0, 1, 1}, -1}, 5}}};
  const View filter{whole, {{0, 3, 0, 1}, 0}, {}}, of_filter{sums, {{0, 1, 0}, 0}, {}};
  RowKernel epilogue{sums,
                     0,
                     {{Input::Kind::Sum, {nullptr, F32, View::contiguous(sums)}, 0}, b.in(bias, of_filter)},
                     {load(0), load(1), binary(BinaryOp::Add, 0, 1), {Constant{0}, F32}, binary(BinaryOp::Max, 2, 3)},
                     {{b.at(y, sums), 4}}};
  b.call().kernels.push_back(ContractKernel{whole, 1, b.at(w, filter), b.at(x, image), std::move(epilogue)});
  return b;
}

Built gather() {
  Built b;
  const int index = b.input({4}, DType::Int64), table = b.state({7, 3}), y = b.output({4, 3});
  b.call().kernels.push_back(GatherKernel{b.at(table, View{{4, 3, 7}, {{0, 1, 3}, 0}, {}}),
                                          b.at(index, View{{4, 3}, {{1, 0}, 0}, {}}), b.at(y, {4, 3}), "embedding"});
  return b;
}

Built scatter() {
  Built b;
  const int index = b.input({4}, DType::Int32), source = b.input({4, 3}), y = b.output({7, 3});
  b.call().kernels.push_back(ScatterKernel{ReduceOp::Sum, b.at(source, {4, 3}),
                                           b.at(index, View{{4, 3}, {{1, 0}, 0}, {}}),
                                           b.at(y, View{{4, 3, 7}, {{0, 1, 3}, 0}, {}}), "scatter"});
  return b;
}

Built scan() {
  Built b;
  const int x = b.input({4, 3}), y = b.output({4, 3});
  const View turned = View::contiguous({4, 3}).permute({1, 0});
  b.call().kernels.push_back(ScanKernel{ReduceOp::Sum, b.at(x, turned), b.at(y, turned)});
  return b;
}

Built sort() {
  Built b;
  const int x = b.input({4, 3}), y = b.output({4, 3}, DType::Int64);
  b.call().kernels.push_back(SortKernel{true, b.at(x, {4, 3}), b.at(y, {4, 3})});
  return b;
}

Built random_words() {
  Built b;
  const int x = b.output({4}), y = b.output({3}, DType::Float64);
  b.call().kernels.push_back(RandomKernel{1, 2, b.at(x, {4})});
  b.call().kernels.push_back(RandomKernel{1, 2, b.at(y, {3})});
  b.call().draws = {{0, 0}, {1, 4}};
  b.call().words = 10;
  return b;
}

Built recurrent() {
  Built b;
  const int x = b.input({5, 1, 2, 16}), w = b.state({1, 5, 16}), h = b.input({1, 2, 8}), y = b.output({5, 1, 2, 8});
  b.call().kernels.push_back(RecurrentKernel{RecurrentCell::Lstm, 1, b.at(x, {5, 1, 2, 16}), b.at(w, {1, 5, 16}),
                                             b.at(h, {1, 2, 8}), b.at(y, {5, 1, 2, 8})});
  return b;
}

/// w -= g in place; v = w * g, a fresh one; and a row's mean written over a value of the row.
Built training() {
  Built b;
  const int g = b.input({2, 3}), w = b.state({2, 3}), v = b.state({2, 3}), next = b.fresh({2, 3}), m = b.state({2});
  (void)v;
  b.call().kernels.push_back(RowKernel{
      {6}, 0, {b.in(w, {6}), b.in(g, {6})}, {load(0), load(1), binary(BinaryOp::Mul, 0, 1)}, {{b.at(next, {6}), 2}}});
  b.call().kernels.push_back(RowKernel{
      {6}, 0, {b.in(w, {6}), b.in(g, {6})}, {load(0), load(1), binary(BinaryOp::Sub, 0, 1)}, {{b.at(w, {6}), 2}}});
  const View of_row{{2, 3}, {{1, 0}, 0}, {}};
  b.call().kernels.push_back(RowKernel{{2, 3},
                                       1,
                                       {b.in(g, {2, 3}), b.in(m, of_row)},
                                       {load(0),
                                        {tinyops::Reduce{ReduceOp::Sum}, F32, {0, -1, -1}, true},
                                        load(1, F32, true),
                                        {BinaryOp::Add, F32, {1, 2, -1}, true}},
                                       {{b.at(m, of_row), 3}}});
  b.call().updates = {{0, w}, {1, next}, {2, m}};
  return b;
}

/// Two parts side by side in one buffer, by kernels of their own, and two in turn by one kernel.
Built parts() {
  Built b;
  const int x = b.input({2, 3}), y = b.output({2, 6}), z = b.output({12});
  for (int64_t first : {0, 3})
    b.call().kernels.push_back(
        RowKernel{{2, 3}, 0, {b.in(x, {2, 3})}, {load(0)}, {{b.at(y, View{{2, 3}, {{6, 1}, first}, {}}), 0}}});
  b.call().kernels.push_back(
      RowKernel{{6},
                0,
                {b.in(x, {6})},
                {load(0), unary(UnaryOp::Neg, 0)},
                {{b.at(z, View{{6}, {{2}, 0}, {}}), 0}, {b.at(z, View{{6}, {{-2}, 11}, {}}), 1}}});
  return b;
}

/// Three copies one after the other, by way of two temporaries, each in its own block, and one that follows the first.
Built chain() {
  Built b;
  const int x = b.input({6}), first = b.temporary(0, {6}), second = b.temporary(1, {6}), third = b.temporary(0, {3, 2}),
            y = b.output({6});
  for (const auto& [from, to] : {std::pair(x, first), {first, second}, {second, third}, {third, y}})
    b.call().kernels.push_back(copy_kernel(b, from, to, {6}));
  return b;
}

std::string refusal(const Contents& contents) {
  try {
    teeny::program::verify("net.teeny", contents);
  } catch (const Error& error) { return error.what(); }
  return "";
}

struct Change {
  std::string rule;  ///< a part of the error
  std::function<Built()> make;
  std::function<void(Built&)> change;
};

void check_refused(const std::vector<Change>& changes) {
  for (const Change& c : changes) {
    Built built = c.make();
    REQUIRE(refusal(built.contents) == "");
    c.change(built);
    const std::string got = refusal(built.contents);
    CHECK_MESSAGE(got.find(c.rule) != std::string::npos, "expected: ", c.rule, "   got: ", got);
    CHECK((got.empty() || got.starts_with("net.teeny: ")));
  }
}

}  // namespace

TEST_CASE("a program of kernels of each kind may run") {
  for (const auto& make :
       {rows, contraction, gather, scatter, scan, sort, random_words, recurrent, training, parts, chain})
    CHECK(refusal(make().contents) == "");
  CHECK(refusal({}) == "");
}

TEST_CASE("a program's slots, inputs and outputs have to agree") {
  check_refused({
      {"3 inputs, and slots for 1", rows, [](Built& b) { b.call().inputs.resize(3); }},
      {"is slot 9", rows, [](Built& b) { b.call().output_slots[0] = 9; }},
      {"is slot -1", rows, [](Built& b) { b.call().input_slots[0] = -1; }},
      {"input 0 \"in\" is float32 (2, 4)", rows,
       [](Built& b) {
         b.call().inputs[0].shape = {2, 4};
       }},
      {"input 0 \"in\" is int32", rows, [](Built& b) { b.call().inputs[0].dtype = DType::Int32; }},
      {"input 0 \"in\" may not be slot 1", rows,
       [](Built& b) { b.call().input_slots[0] = 1, b.call().inputs[0].shape = {3}; }},
      {"output 0 \"out\" may not be slot 2", rows, [](Built& b) { b.call().output_slots[0] = 2; }},
      {"negative size", rows,
       [](Built& b) {
         b.call().inputs[0].shape = {-2, -3};
       }},
      {"negative size", rows,
       [](Built& b) {
         b.call().inputs[0].shape = {kHuge, 2};
       }},
      {"negative size", rows, [](Built& b) { b.slot(2).elements = -1; }},
      {"no buffer of 28 bytes", rows, [](Built& b) { b.slot(2).elements = 7; }},
      {"no buffer of 24 bytes", rows, [](Built& b) { b.slot(2).buffer = nullptr; }},
      {"the buffer of another", rows, [](Built& b) { b.slot(3).buffer = b.slot(2).buffer; }},
      {"names number 1 of 1", rows, [](Built& b) { b.slot(1).number = 1; }},
      {"names number -1 of 1", rows, [](Built& b) { b.slot(2).number = -1; }},
      {"names number 5 of 1", rows,
       [](Built& b) { b.slot(0).number = 5, b.call().input_slots = {}, b.call().inputs = {}, b.input({1}); }},
      {"is another one of \"w0\"", rows, [](Built& b) { b.add(Slot::Kind::State, 0, F32, 3); }},
      {"is another one of input 0", rows, [](Built& b) { b.add(Slot::Kind::Input, 0, F32, 6); }},
      {"\"w0\" float32 (4,)", rows,
       [](Built& b) { b.contents.state[0].shape = {4}, b.contents.state[0].buffer = std::make_shared<Buffer>(16); }},
      {"\"w0\" of (4,) has no memory", rows, [](Built& b) { b.contents.state[0].shape = {4}; }},
      {"\"w0\" of (3,) has no memory", rows, [](Built& b) { b.contents.state[0].buffer = nullptr; }},
      {"larger than block 0", rows, [](Built& b) { b.call().blocks[0] = 23; }},
      {"16 GiB", rows, [](Built& b) { b.call().blocks[0] = -1; }},
      {"16 GiB", rows, [](Built& b) { b.call().blocks.assign(2, int64_t(9) << 30); }},
      {"16 GiB", rows, [](Built& b) { b.call().blocks.assign(3, kHuge); }},
      {"16 GiB", rows, [](Built& b) { b.add(Slot::Kind::Fresh, 0, DType::UInt8, (int64_t(16) << 30) - 20); }},
      {"have the same inputs", rows,
       [](Built& b) { b.contents.calls.push_back(Call{}), b.contents.calls.push_back(Call{}); }},
  });
}

TEST_CASE("a program's operands stay inside of their slots") {
  check_refused({
      {"has no slot", rows, [](Built& b) { b.rows(0).inputs[0].operand.buffer = std::make_shared<Buffer>(24); }},
      {"has no slot", rows, [](Built& b) { b.rows(0).inputs[0].operand.buffer = nullptr; }},
      {"is int32, its slot int64", gather, [](Built& b) { b.kernel<GatherKernel>(0).index.dtype = DType::Int32; }},
      {"has the shape (3, 2)", rows,
       [](Built& b) {
         b.rows(0).inputs[0].operand.view.shape = {3, 2};
       }},
      {"coefficients along", rows, [](Built& b) { b.rows(0).inputs[0].operand.view.address.coef.push_back(1); }},
      {"coefficients along", contraction,
       [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards[0].position.coef.push_back(1); }},
      {"from element 1 to 6 of 6", rows, [](Built& b) { b.rows(0).inputs[0].operand.view.address.offset = 1; }},
      {"from element -1 to 4 of 6", rows, [](Built& b) { b.rows(0).inputs[0].operand.view.address.offset = -1; }},
      {"of 3", rows,
       [](Built& b) {
         b.rows(0).inputs[1].operand.view.address.coef = {1, 1};
       }},
      {"of 6", rows,
       [](Built& b) {
         b.rows(0).outputs[0].operand.view.address.coef = {4, 1};
       }},
      {"leads further", rows,
       [](Built& b) {
         b.rows(0).inputs[0].operand.view.address.coef = {kHuge, 1};
       }},
      {"leads further", rows,
       [](Built& b) {
         b.rows(0).inputs[0].operand.view.address = {{kLowest, kLowest}, kLowest};
       }},
      {"leads further", rows,
       [](Built& b) {
         b.rows(0).inputs[0].operand.view.address = {{0, 0}, kLowest};
       }},
      {"leads further", contraction,
       [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards[0].position.offset = kLowest; }},
      {"a guard of size", contraction, [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards[0].size = kHuge; }},
      {"a guard of size -1", contraction, [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards[0].size = -1; }},
      {"31 guards", contraction,
       [](Built& b) {
         auto& guards = b.kernel<ContractKernel>(0).b.view.guards;
         guards.resize(32, guards[0]);
       }},
      {"from element -1 to 10", contraction, [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards.clear(); }},
      {"from element 0 to 10", contraction, [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards[0].size = 6; }},
      {"from element -1 to 8", contraction,
       [](Built& b) { b.kernel<ContractKernel>(0).b.view.guards[0].position.offset = 0; }},
      {"of 10", contraction, [](Built& b) { b.kernel<ContractKernel>(0).b.view.address.coef[0] = 6; }},
  });
  // Between two steps of a window lies what a copy of the image would read: it has to be there, too.
  Built b = contraction();
  auto& k = b.kernel<ContractKernel>(0);
  const auto image = [&](int64_t offset, int64_t size) {
    k.b.view.address = {{0, 0, 2, 0}, offset}, k.b.view.guards = {{{{0, 0, 2, 0}, -1}, size}};
  };
  image(-1, 8);
  CHECK(refusal(b.contents) == "");
  image(-2, 8);  // windows see elements 0, 2, ..
  CHECK(refusal(b.contents).find("from element -1") != std::string::npos);
}

TEST_CASE("a program's row kernels are programs") {
  const auto change = [](auto f) { return [f](Built& b) { f(b.rows(1)); }; };
  check_refused({
      {"2 inner axes of 1", rows, change([](RowKernel& k) { k.shape = {6}, k.inner = 2; })},
      {"-1 inner axes", rows, change([](RowKernel& k) { k.inner = -1; })},
      {"negative size", rows, change([](RowKernel& k) {
         k.shape = {2, -3};
       })},
      {"negative size", rows, change([](RowKernel& k) {
         k.shape = {kHuge, 0, kHuge};
       })},
      {"0 instructions", rows, change([](RowKernel& k) { k.program.clear(); })},
      {"65 instructions", rows, change([](RowKernel& k) { k.program.resize(65, k.program[0]); })},
      {"more than 16", rows, change([](RowKernel& k) { k.inputs.resize(17, k.inputs[0]); })},
      {"0 outputs", rows, change([](RowKernel& k) { k.outputs.clear(); })},
      {"9 outputs", rows, change([](RowKernel& k) { k.outputs.resize(9, k.outputs[0]); })},
      {"loads input 1 of 1", rows, change([](RowKernel& k) { k.program[0].op = Load{1}; })},
      {"loads input -1 of 1", rows, change([](RowKernel& k) { k.program[0].op = Load{-1}; })},
      {"value 2 may not have value 2", rows, change([](RowKernel& k) { k.program[2].args[0] = 2; })},
      {"value 2 may not have value -1", rows, change([](RowKernel& k) { k.program[2].args[1] = -1; })},
      {"value 2 may not have value 1 as argument 2", rows, change([](RowKernel& k) { k.program[2].args[2] = 1; })},
      {"value 0 may not have value 0", rows, change([](RowKernel& k) { k.program[0].args[0] = 0; })},
      {"value 0 may not have value -2", rows, change([](RowKernel& k) { k.program[0].args[0] = -2; })},
      {"value 0 is float64", rows, change([](RowKernel& k) { k.program[0].dtype = DType::Float64; })},
      {"value 1 is float64", rows, change([](RowKernel& k) { k.program[1].dtype = DType::Float64; })},
      {"value 2 is int32", rows, change([](RowKernel& k) { k.program[2].dtype = DType::Int32; })},
      {"value 2 is float32, and should be bool", rows, change([](RowKernel& k) { k.program[2].op = BinaryOp::Lt; })},
      {"value 3 is float32, and should be bool", rows,
       change([](RowKernel& k) { k.program.push_back(unary(UnaryOp::Not, 0)); })},
      {"value 3 is int64, and should be float32", rows,
       change([](RowKernel& k) { k.program.push_back(unary(UnaryOp::Exp, 0, DType::Int64)); })},
      {"no Bitcast from float32 to int64", rows,
       change([](RowKernel& k) { k.program.push_back(unary(UnaryOp::Bitcast, 0, DType::Int64)); })},
      {"no Bitcast from uint8 to bool", rows, change([](RowKernel& k) {
         k.program.push_back(unary(UnaryOp::Cast, 0, DType::UInt8));
         k.program.push_back(unary(UnaryOp::Bitcast, 3, DType::Bool));
       })},
      {"arguments of float32 and int32", rows, change([](RowKernel& k) {
         k.program.push_back(unary(UnaryOp::Cast, 0, DType::Int32));
         k.program.push_back(binary(BinaryOp::Add, 0, 3));
       })},
      {"arguments of float32, float32 and float32", rows, change([](RowKernel& k) {
         k.program.push_back({TernaryOp::Where, F32, {0, 0, 0}});
       })},
      {"and value 0, which it is computed from, an element's", rows,
       change([](RowKernel& k) { k.program[2].per_row = true; })},
      {"is a Reduce, and not a row's", rows, change([](RowKernel& k) { k.program[1].per_row = false; })},
      {"there are no inner axes", rows, [](Built& b) { b.rows(0).program[0].per_row = true; }},
      {"input 0 is a row's, and its view moves", rows, change([](RowKernel& k) { k.program[0].per_row = true; })},
      {"output 0 is a row's, and its view moves", rows,
       change([](RowKernel& k) { std::swap(k.outputs[0].value, k.outputs[1].value); })},
      {"output 0 is value 3 of 3", rows, change([](RowKernel& k) { k.outputs[0].value = 3; })},
      {"output 0 is value -1 of 3", rows, change([](RowKernel& k) { k.outputs[0].value = -1; })},
      {"output 0 is float32, its value int32", rows, change([](RowKernel& k) {
         k.program.push_back(unary(UnaryOp::Cast, 0, DType::Int32)), k.outputs[0].value = 3;
       })},
      {"output 0 has guards", rows, change([](RowKernel& k) {
         k.outputs[0].operand.view.guards.push_back({{{0, 1}, 0}, 2});
       })},
      {"might write twice", rows, change([](RowKernel& k) {
         k.outputs[0].operand.view.address.coef = {1, 1};
       })},
      {"might write twice", rows, change([](RowKernel& k) {
         k.outputs[0].operand.view.address.coef = {0, 1};
       })},
      {"none in memory, and has a buffer", rows,
       change([](RowKernel& k) { k.inputs[0].kind = Input::Kind::Constant; })},
      {"is no sum", rows,
       change([](RowKernel& k) { k.inputs[0].kind = Input::Kind::Sum, k.inputs[0].operand.buffer = nullptr; })},
      {"second walk", rows,
       [](Built& b) {
         b.resize(2, 2 * 16385), b.resize(3, 2 * 16385), b.call().blocks[0] = 8 * 16385;
         b.call().outputs[0].shape = {2, 16385};
         const Shape shape{2, 16385};
         b.call().kernels.erase(b.call().kernels.begin());
         RowKernel& k = b.rows(0);
         k.shape = shape, k.inputs[0] = b.in(2, shape), k.outputs[0].operand = b.at(3, shape);
         k.outputs[1].operand.view.shape = shape;
       }},
  });
}

TEST_CASE("a program's outputs lie over inputs that are in step with them") {
  check_refused({
      {"read in another order", training,
       [](Built& b) {
         b.rows(1).inputs[0].operand.view.address = {{-1}, 5};
       }},
      {"read in another order", training,
       [](Built& b) {
         b.rows(1).inputs[0].operand.view.address = {{0}, 0};
       }},
      {"read in another order", training,
       [](Built& b) {
         b.rows(1).inputs[0].operand.view.guards = {{{{1}, -1}, 4}};
       }},
      {"read in another order", training,
       [](Built& b) {
         b.rows(1).inputs[1] = b.in(1, View{{6}, {{-1}, 5}, {}});
       }},
      {"value 4 reads that, too", training,
       [](Built& b) {
         b.rows(2).program.push_back({UnaryOp::Neg, F32, {2, -1, -1}, true});
       }},
      {"value 4 reads that, too", training, [](Built& b) { b.rows(2).program.push_back(binary(BinaryOp::Add, 0, 2)); }},
      {"over input 1: value 4 reads that, too", training,
       [](Built& b) {  // nothing is reduced, and all elements of a row are computed from what is stored at its begin
         RowKernel& k = b.rows(2);
         k.program = {load(0), load(1, F32, true), {UnaryOp::Neg, F32, {1, -1, -1}, true},
                      {UnaryOp::Exp, F32, {2, -1, -1}, true}, binary(BinaryOp::Add, 0, 2)};
         k.outputs.push_back({b.at(b.fresh({2, 3}), {2, 3}), 4});
       }},
      {"another one stores that, too", training,
       [](Built& b) {
         b.rows(2).outputs.push_back({b.at(b.fresh({2}), View{{2, 3}, {{1, 0}, 0}, {}}), 2});
       }},
      {"over input 0: value 0 reads that, too", training,
       [](Built& b) {  // a row's elements over themselves
         RowKernel& k = b.rows(2);
         k.inputs[0] = b.in(1, {2, 3});
         k.program.push_back(unary(UnaryOp::Neg, 0)), k.outputs.push_back({b.at(1, {2, 3}), 4});
       }},
      {"where another output does", parts, [](Built& b) { b.rows(2).outputs[1].operand.view.address.offset = 10; }},
      {"an output lies over factor b", contraction,
       [](Built& b) {
         b.kernel<ContractKernel>(0).b = b.at(3, View{{2, 3, 5, 3}, {{5, 0, 1, 0}, 0}, {}});
         b.call().kernels.insert(b.call().kernels.begin(),
                                 RowKernel{{30}, 0, {}, {{Constant{0}, F32}}, {{b.at(3, {30}), 0}}});
       }},
      {"the sum is stored over an input", contraction,
       [](Built& b) {
         auto& k = b.kernel<ContractKernel>(0);
         k.epilogue.outputs[0].value = 0;
         b.call().kernels.insert(b.call().kernels.begin(),
                                 RowKernel{{30}, 0, {}, {{Constant{0}, F32}}, {{b.at(3, {30}), 0}}});
         std::get<ContractKernel>(b.call().kernels[1]).epilogue.inputs[1] = b.in(3, {2, 3, 5});
       }},
      {"the result lies over what is read", scan,
       [](Built& b) {
         const int t = b.temporary(0, {4, 3});
         b.call().kernels.insert(b.call().kernels.begin(), copy_kernel(b, 0, t, {4, 3}));
         b.kernel<ScanKernel>(1).in.buffer = b.kernel<ScanKernel>(1).out.buffer = b.slot(t).buffer;
       }},
  });
}

TEST_CASE("a program's contractions and the other kinds") {
  const auto contract = [](auto f) { return [f](Built& b) { f(b.kernel<ContractKernel>(0)); }; };
  check_refused({
      {"5 summed axes of 4", contraction, contract([](auto& k) { k.reduced = 5; })},
      {"-1 summed axes", contraction, contract([](auto& k) { k.reduced = -1; })},
      {"an epilogue of (2, 3, 5)", contraction, contract([](auto& k) { k.reduced = 2; })},
      {"with 1 inner axes", contraction, contract([](auto& k) { k.epilogue.inner = 1; })},
      {"there are no inner axes", contraction, contract([](auto& k) {
         k.epilogue.program.push_back({tinyops::Reduce{ReduceOp::Sum}, F32, {0, -1, -1}, true});
       })},
      {"no input that is the sum", contraction,
       contract([](auto& k) { k.epilogue.inputs[0].kind = Input::Kind::Constant; })},
      {"more than one input that is the sum", contraction,
       contract([](auto& k) { k.epilogue.inputs[1] = k.epilogue.inputs[0]; })},
      {"is no sum", contraction, contract([](auto& k) { k.epilogue.inputs[0].operand.view.address.offset = 1; })},
      {"factors of float32 and int32", contraction,
       [](Built& b) {
         b.call().inputs[0].dtype = b.slot(0).dtype = b.kernel<ContractKernel>(0).b.dtype = DType::Int32;
       }},
      {"terms", contraction,
       [](Built& b) {
         auto& k = b.kernel<ContractKernel>(0);
         k.shape[3] = k.a.view.shape[3] = k.b.view.shape[3] = int64_t(1) << 30;
         k.a.view.address.coef[3] = k.b.view.address.coef[3] = 0;
         k.b.view.address.offset = 0, k.b.view.guards.clear(), k.b.view.address.coef[2] = 1;
       }},
      {"too large a window", contraction,
       [](Built& b) {
         auto& k = b.kernel<ContractKernel>(0);
         k.b.view.guards = {{{{0, 0, int64_t(1) << 30, 0}, 0}, 1}};
         k.b.view.address = {{0, 0, 0, 0}, 0};
       }},

      {"the table of (4, 3)", gather,
       [](Built& b) {
         b.kernel<GatherKernel>(0).table.view = View::contiguous({4, 3});
       }},
      {"the table has the shape", gather, [](Built& b) { b.kernel<GatherKernel>(0).table.view.shape[0] = 3; }},
      {"the table reaches from element 0 to 23 of 21", gather,
       [](Built& b) { b.kernel<GatherKernel>(0).table.view.shape[2] = 8; }},
      {"an index of dtype float32", gather,
       [](Built& b) {
         b.resize(0, 4), b.slot(0).dtype = b.call().inputs[0].dtype = F32, b.resize(0, 4);
         b.kernel<GatherKernel>(0).index.buffer = b.slot(0).buffer, b.kernel<GatherKernel>(0).index.dtype = F32;
       }},
      {"origin has no name", gather, [](Built& b) { b.kernel<GatherKernel>(0).origin.op = nullptr; }},
      {"origin has no name or axis", gather, [](Built& b) { b.kernel<GatherKernel>(0).origin.axis = 2; }},
      {"origin has no name or axis", gather, [](Built& b) { b.kernel<GatherKernel>(0).origin.axis = -2; }},
      {"comes from one of (4, 0)", gather,
       [](Built& b) {
         b.kernel<GatherKernel>(0).origin.given = Shape{4, 0};
       }},
      {"the result has the shape", gather,
       [](Built& b) {
         b.kernel<GatherKernel>(0).out.view = View::contiguous({3, 4});
       }},
      {"a result of int32 from a table of float32", gather,
       [](Built& b) {
         b.slot(2).dtype = b.call().outputs[0].dtype = b.kernel<GatherKernel>(0).out.dtype = DType::Int32;
       }},
      {"after state was written over", training,
       [](Built& b) {
         const int index = b.input({2}, DType::Int64), table = b.input({3}), y = b.output({2});
         b.call().kernels.push_back(
             GatherKernel{b.at(table, View{{2, 3}, {{0, 1}, 0}, {}}), b.at(index, {2}), b.at(y, {2})});
       }},

      {"the result of (4, 3)", scatter,
       [](Built& b) {
         b.kernel<ScatterKernel>(0).out.view = View::contiguous({4, 3});
       }},
      {"the source has the shape", scatter,
       [](Built& b) {
         b.kernel<ScatterKernel>(0).source.view = View::contiguous({3, 4});
       }},
      {"the result reaches from element 0 to 23 of 21", scatter,
       [](Built& b) { b.kernel<ScatterKernel>(0).out.view.shape[2] = 8; }},
      {"the result has guards", scatter,
       [](Built& b) {
         b.kernel<ScatterKernel>(0).out.view.guards = {{{{0, 0, 1}, 0}, 7}};
       }},
      {"a result of int32 from a source", scatter,
       [](Built& b) {
         b.slot(2).dtype = b.call().outputs[0].dtype = b.kernel<ScatterKernel>(0).out.dtype = DType::Int32;
       }},

      {"no axis to walk along", scan,
       [](Built& b) { b.kernel<ScanKernel>(0).in.view = b.kernel<ScanKernel>(0).out.view = View::contiguous({}); }},
      {"the result has the shape", scan,
       [](Built& b) {
         b.kernel<ScanKernel>(0).out.view = View::contiguous({4, 3});
       }},
      {"a result of int32 from float32", scan,
       [](Built& b) {
         b.slot(1).dtype = b.call().outputs[0].dtype = b.kernel<ScanKernel>(0).out.dtype = DType::Int32;
       }},
      {"might write twice", scan,
       [](Built& b) {
         b.kernel<ScanKernel>(0).out.view.address.coef = {1, 1};
       }},
      {"places of dtype float32", sort,
       [](Built& b) {
         b.slot(1).dtype = b.call().outputs[0].dtype = b.kernel<SortKernel>(0).out.dtype = F32, b.resize(1, 12);
         b.kernel<SortKernel>(0).out.buffer = b.slot(1).buffer;
       }},

      {"is not contiguous", random_words,
       [](Built& b) {
         b.kernel<RandomKernel>(0).out.view.address = {{-1}, 3};
       }},
      {"the result is int32", random_words,
       [](Built& b) {
         b.slot(0).dtype = b.call().outputs[0].dtype = b.kernel<RandomKernel>(0).out.dtype = DType::Int32;
       }},
      {"kernel 7 draws no", random_words, [](Built& b) { b.call().draws[0].kernel = 7; }},
      {"kernel -1 draws no", random_words, [](Built& b) { b.call().draws[0].kernel = -1; }},
      {"or draws twice", random_words, [](Built& b) { b.call().draws[0].kernel = 1; }},
      {"nothing says which", random_words, [](Built& b) { b.call().draws.pop_back(); }},
      {"draws no random words", chain,
       [](Built& b) {
         b.call().draws.push_back({0, 0});
       }},
      {"6 words after 4, and the call 9", random_words, [](Built& b) { b.call().words = 9; }},
      {"and the call 10", random_words, [](Built& b) { b.call().draws[1].words_before = ~uint64_t(0); }},

      {"a state of 513 elements", recurrent, [](Built& b) { b.kernel<RecurrentKernel>(0).weight.view.shape[1] = 514; }},
      {"a state of -1 elements", recurrent, [](Built& b) { b.kernel<RecurrentKernel>(0).weight.view.shape[1] = 0; }},
      {"an input of", recurrent,
       [](Built& b) {
         b.kernel<RecurrentKernel>(0).in.view = View::contiguous({5, 2, 16});
       }},
      {"the input has the shape", recurrent, [](Built& b) { b.kernel<RecurrentKernel>(0).cell = RecurrentCell::Gru; }},
      {"the result has the shape", recurrent,
       [](Built& b) {
         b.kernel<RecurrentKernel>(0).out.view.shape = {4, 1, 2, 8};
       }},
      {"the first state has the shape", recurrent,
       [](Built& b) {
         b.kernel<RecurrentKernel>(0).first.view = View::contiguous({1, 2, 4});
       }},
      {"is not contiguous", recurrent, [](Built& b) { b.kernel<RecurrentKernel>(0).in.view.address.coef[0] = 16; }},
      {"2 layers of 1 walk forward", recurrent, [](Built& b) { b.kernel<RecurrentKernel>(0).forward = 2; }},
      {"-1 layers", recurrent, [](Built& b) { b.kernel<RecurrentKernel>(0).forward = -1; }},
      {"the weight is int32", recurrent,
       [](Built& b) {
         b.slot(1).dtype = b.contents.state[0].dtype = b.kernel<RecurrentKernel>(0).weight.dtype = DType::Int32;
       }},
      {"operands of float32 and float64", recurrent,
       [](Built& b) {
         b.contents.state[0] = {"w0", DType::Float64, {1, 5, 16}, std::make_shared<Buffer>(640)};
         b.slot(1).dtype = DType::Float64, b.resize(1, 80);
         b.kernel<RecurrentKernel>(0).weight = b.at(1, {1, 5, 16});
       }},
  });
}

TEST_CASE("a program reads what was written, and writes what it may") {
  check_refused({
      {"not all of it has been written", chain, [](Built& b) { std::swap(b.call().kernels[0], b.call().kernels[1]); }},
      {"not all of it has been written", chain,
       [](Built& b) {  // five of six elements
         RowKernel& k = b.rows(0);
         k.shape = {5}, k.inputs[0].operand.view = k.outputs[0].operand.view = View::contiguous({5});
       }},
      {"slots 1 and 3 are in use at the same time, both in block 0", chain,
       [](Built& b) { b.rows(2).inputs[0].operand.buffer = b.slot(1).buffer; }},
      {"are in use at the same time", chain, [](Built& b) { b.slot(2).number = 0, b.call().blocks.pop_back(); }},
      {"not all of output 0 has been written", parts,
       [](Built& b) { b.call().kernels.erase(b.call().kernels.begin()); }},
      {"not all of output 0 has been written", parts,
       [](Built& b) { b.rows(0).outputs[0].operand.view.address.offset = 3; }},
      {"not all of output 1 has been written", parts, [](Built& b) { b.rows(2).outputs.pop_back(); }},
      {"slot 4 has memory, and no kernel writes there", chain, [](Built& b) { b.call().kernels.pop_back(); }},
      {"not all of the next \"w1\"", training,
       [](Built& b) {
         RowKernel& k = b.rows(0);
         k.shape = {5};
         for (Input& input : k.inputs) input.operand.view = View::contiguous({5});
         k.outputs[0].operand.view = View::contiguous({5});
       }},
      {"writes to an input", chain, [](Built& b) { b.rows(3).outputs[0].operand.buffer = b.slot(0).buffer; }},
      {"writes to \"w0\", which is not updated", training,
       [](Built& b) { b.call().updates.erase(b.call().updates.begin()); }},
      {"writes to \"w0\", which is not updated in place", training,
       [](Built& b) {
         b.call().updates[0].slot = b.fresh({2, 3});
       }},
      {"an update of state tensor 9", training, [](Built& b) { b.call().updates[0].state = 9; }},
      {"is slot 77", training, [](Built& b) { b.call().updates[0].slot = 77; }},
      {"\"w0\" is updated twice", training,
       [](Built& b) {
         b.call().updates.push_back({0, 1});
       }},
      {"becomes two state tensors", training, [](Built& b) { b.call().updates[0].slot = 3; }},
      {"slot 2 may not become \"w0\"", training, [](Built& b) { b.call().updates[0].slot = 2; }},
      {"slot 0 may not become \"w0\"", training, [](Built& b) { b.call().updates[0].slot = 0; }},
      {"\"w0\" is frozen, and updated", training, [](Built& b) { b.contents.state[0].frozen = true; }},
      {"slot 5 has memory, and no kernel writes there", chain, [](Built& b) { b.fresh({2}); }},
      {"block 1 has 25 bytes, and its slots need 24", chain, [](Built& b) { b.call().blocks[1] = 25; }},
      {"block 2 has 8 bytes, and its slots need 0", chain, [](Built& b) { b.call().blocks.push_back(8); }},
      {"slot 5 is float32 of 2 elements", training, [](Built& b) { b.call().updates[1].slot = b.fresh({2}); }},
  });
}

TEST_CASE("of no elements nothing is read, wherever they would be") {
  Built b;
  const int x = b.input({1}), y = b.output({3});
  const View far{{3, 0}, {{0, 0}, int64_t(1) << 39}, {}}, once_a_row{{3, 0}, {{1, 0}, 0}, {}};
  b.call().kernels.push_back(RowKernel{{3, 0},
                                       1,
                                       {b.in(x, far)},
                                       {load(0), {tinyops::Reduce{ReduceOp::Sum}, F32, {0, -1, -1}, true}},
                                       {{b.at(y, once_a_row), 1}}});
  CHECK(refusal(b.contents) == "");
  const float before[] = {1, 2, 3};
  write(b.slot(y).buffer->data(), before, sizeof(before));
  run(b.call().kernels[0]);
  float after[] = {1, 2, 3};
  read(after, b.slot(y).buffer->data(), sizeof(after));
  for (float sum : after) CHECK(sum == 0);
}
