#pragma once
// Contents of program files, built by hand: what the tests of the format and of what runs it share.
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "teeny/program/program.h"

namespace teeny::test {

using namespace tinyops;
using program::Call, program::Contents, program::Slot, program::StateTensor;

template <class T>
std::vector<T> values_of(const Array& x) {
  std::vector<T> values(size_t(numel(x.shape)));
  x.read(values.data());
  return values;
}

template <class T>
Array array_of(const Shape& shape, const std::vector<T>& values) {
  const std::basic_string<T> elements(values.begin(), values.end());  // a vector of bools is none
  return Array::of(dtype_of<T>(), shape, elements.data());
}

template <class T>
StateTensor state_of(const std::string& name, const Shape& shape, const std::vector<T>& values) {
  return {.name = name, .dtype = dtype_of<T>(), .shape = shape, .buffer = array_of(shape, values).buffer};
}

/// A call that grows slot by slot.
class CallBuilder {
 public:
  Call call;

  Operand state(const Contents& contents, int number) {
    const StateTensor& tensor = contents.state.at(size_t(number));
    return slot(Slot::Kind::State, number, tensor.dtype, tensor.shape);
  }
  Operand input(const std::string& name, DType dtype, const Shape& shape) {
    call.inputs.push_back({name, dtype, shape});
    call.input_slots.push_back(int(call.slots.size()));
    return slot(Slot::Kind::Input, int(call.inputs.size()) - 1, dtype, shape);
  }
  Operand fresh(DType dtype, const Shape& shape) { return slot(Slot::Kind::Fresh, 0, dtype, shape); }
  /// In a block of its own.
  Operand temporary(DType dtype, const Shape& shape) {
    call.blocks.push_back(numel(shape) * itemsize(dtype));
    return slot(Slot::Kind::Temporary, int(call.blocks.size()) - 1, dtype, shape);
  }
  void output(const std::string& name, const Operand& x) {
    call.outputs.push_back({name, x.dtype, x.view.shape});
    call.output_slots.push_back(slot_of(x));
  }
  void update(int state, const Operand& x) { call.updates.push_back({state, slot_of(x)}); }
  int slot_of(const Operand& x) const {
    for (size_t s = 0; s < call.slots.size(); ++s)
      if (call.slots[s].buffer == x.buffer) return int(s);
    fail("not a slot of this call");
  }
  void run(Kernel kernel) { call.kernels.push_back(std::move(kernel)); }

 private:
  Operand slot(Slot::Kind kind, int number, DType dtype, const Shape& shape) {
    const auto buffer = std::make_shared<Buffer>(size_t(numel(shape) * itemsize(dtype)));
    call.slots.push_back({.kind = kind, .number = number, .dtype = dtype, .elements = numel(shape), .buffer = buffer});
    return {buffer, dtype, View::contiguous(shape)};
  }
};

inline Operand expanded(Operand x, const Shape& shape) {
  while (x.view.rank() < shape.size()) {
    Shape one = x.view.shape;
    one.insert(0, 1);
    x.view = *x.view.reshape(one);
  }
  x.view = x.view.expand(shape);
  return x;
}

/// out = x op y, elementwise; y is repeated to x's shape.
inline RowKernel binary(BinaryOp op, const Operand& x, const Operand& y, const Operand& out) {
  const DType dtype = x.dtype;
  RowKernel k{.shape = out.view.shape, .inputs = {}, .program = {}, .outputs = {}};
  k.inputs = {{.operand = x}, {.operand = expanded(y, k.shape)}};
  k.program = {
      {.op = Load{0}, .dtype = dtype}, {.op = Load{1}, .dtype = dtype}, {.op = op, .dtype = dtype, .args = {0, 1, -1}}};
  k.outputs = {{.operand = out, .value = 2}};
  return k;
}

/// y = x * w + b for x of `rows` rows, with state tensors w and b of three elements.
inline Call scale_and_shift(const Contents& contents, int64_t rows) {
  CallBuilder b;
  const Operand x = b.input("x", DType::Float32, {rows, 3}), w = b.state(contents, 0), shift = b.state(contents, 1);
  const Operand product = b.temporary(DType::Float32, {rows, 3}), y = b.fresh(DType::Float32, {rows, 3});
  b.run(binary(BinaryOp::Mul, x, w, product));
  b.run(binary(BinaryOp::Add, product, shift, y));
  b.output("y", y);
  return b.call;
}

/// For two and for four rows.
inline Contents scale_and_shift() {
  Contents contents;
  contents.state = {state_of<float>("w", {3}, {1, 2, 3}), state_of<float>("b", {3}, {10, 20, 30})};
  contents.calls = {scale_and_shift(contents, 2), scale_and_shift(contents, 4)};
  return contents;
}

/// A step: count += 1 in place, m = m + x in a fresh buffer, noise of six random values; outputs: count, noise.
inline Contents counting() {
  Contents contents;
  contents.state = {state_of<float>("count", {}, {5}), state_of<float>("m", {2}, {1, 2})};
  contents.seed = 7, contents.counter = 100;
  CallBuilder b;
  const Operand x = b.input("x", DType::Float32, {2}), count = b.state(contents, 0), m = b.state(contents, 1);
  const Operand next = b.fresh(DType::Float32, {2}), noise = b.fresh(DType::Float32, {6});
  b.run(RandomKernel{.seed = 0, .counter = 0, .out = noise});
  b.run(binary(BinaryOp::Add, m, x, next));
  RowKernel add{
      .shape = {}, .inputs = {{.operand = count}}, .program = {}, .outputs = {{.operand = count, .value = 2}}};
  add.program = {{.op = Load{0}, .dtype = DType::Float32},
                 {.op = Constant{1.0}, .dtype = DType::Float32},
                 {.op = BinaryOp::Add, .dtype = DType::Float32, .args = {0, 1, -1}}};
  b.run(add);
  b.output("count", count);
  b.output("noise", noise);
  b.update(0, count);
  b.update(1, next);
  b.call.draws = {{.kernel = 0, .words_before = 0}};
  b.call.words = 6;
  contents.calls = {b.call};
  return contents;
}

}  // namespace teeny::test
