#pragma once
// For checks of kernels: they run on the emulated GPU, which stops at an access outside of a buffer, fills memory with
// NaNs before anybody writes there, and counts what the warps ask of memory.
#include <utility>

#include "tests/course/check.h"
#include "tinyops/cuda/runtime/cuda.h"

namespace course {

using tinyops::BinaryOp, tinyops::DType, tinyops::Operand, tinyops::Shape, tinyops::UnaryOp, tinyops::View;

/// An array in the device's memory; without values, memory where nobody has written.
template <class T>
Operand on_device(const Shape& shape, const std::vector<T>& values = {}) {
  const size_t bytes = size_t(tinyops::numel(shape)) * sizeof(T);
  const auto buffer = std::make_shared<tinyops::Buffer>(bytes);
  void* const memory = buffer->data();
  if (!values.empty()) tinyops::write(memory, values.data(), bytes);
  return {buffer, tinyops::dtype_of<T>(), View::contiguous(shape)};
}

template <class T>
std::vector<double> from_device(const Operand& operand) {
  std::vector<T> values(size_t(operand.view.numel()));
  tinyops::read(values.data(), operand.buffer->data(), values.size() * sizeof(T));
  return {values.begin(), values.end()};
}

/// What the warps ask of memory while `f` runs. Whatever the emulated GPU stops at is said with `what` was tried.
template <class F>
gpu_emulator::Traffic traffic_of(const std::string& what, F&& f) {
  gpu_emulator::traffic = {.counting = true};
  try {
    f();
    tinyops::synchronize();
  } catch (const tinyops::Error& e) {
    gpu_emulator::traffic = {};
    expect(false, text(what, "\n    ", e.what()));
  }
  return std::exchange(gpu_emulator::traffic, {});
}

/// Whole numbers, whose sums are exact in any order.
template <class T>
std::vector<T> whole_numbers(int64_t count, int64_t low, int64_t high) {
  std::vector<T> result;
  for (; count > 0; --count) result.push_back(T(pick(low, high)));
  return result;
}

/// Whether warps touched more than 1.05 times the sectors that hold these bytes.
inline void few_sectors(const std::string& what, const gpu_emulator::Traffic& t, int64_t bytes) {
  const double least = double(bytes) / 32, times = double(t.sectors) / least;
  expect(times <= 1.05, text(what, ": ", t.requests, " requests of warps touched ", t.sectors, " sectors; ",
                             int64_t(least), " hold all numbers: ", int64_t(10 * times + .5) / 10., " times as many"));
}

}  // namespace course
