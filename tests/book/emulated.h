#pragma once
// What the programs of the pages on CUDA share: arrays in the emulated GPU's memory, and what a kernel's accesses come
// to.
#include <iostream>

#include "teeny/graph/context.h"
#include "teeny/schedule/schedule.h"
#include "teeny/teeny.h"
#include "tinyops/cuda/row/program.h"

namespace tinyops::cuda {

/// Floats in the device's memory.
class Floats {
 public:
  explicit Floats(int64_t count, float value = 0) : Floats(std::vector<float>(size_t(count), value)) {}
  explicit Floats(const std::vector<float>& values) : buffer_(values.size() * 4) {
    write(buffer_.data(), values.data(), values.size() * 4);
  }
  operator float*() const { return static_cast<float*>(buffer_.data()); }
  operator const float*() const { return static_cast<float*>(buffer_.data()); }
  std::vector<float> values() const {
    std::vector<float> result(buffer_.bytes() / 4);
    read(result.data(), buffer_.data(), buffer_.bytes());
    return result;
  }

 private:
  mutable Buffer buffer_;
};

/// The sectors and the like that `f` touches.
template <class F>
gpu_emulator::Traffic traffic_of(F&& f) {
  synchronize();
  gpu_emulator::traffic = {.counting = true};
  f();
  synchronize();
  return std::exchange(gpu_emulator::traffic, {});
}

/// The row kernels that `make` runs, the last one last.
template <class F>
std::vector<RowKernel> row_kernels_of(F&& make) {
  std::vector<RowKernel> result;
  const teeny::ExecutionScope scope({.on_step = [&](const teeny::Step& step) {
    if (const auto* rows = std::get_if<RowKernel>(&step.kernel)) result.push_back(*rows);
  }});
  teeny::Tensor(make()).realize();
  return result;
}

/// An instruction in words.
inline std::string text_of(const BytecodeOp& code, const Sections& sections) {
  const auto place = [&](Slot slot) -> std::string {
    if (slot == kAccumulator) return "acc";
    if (slot >= kConstants) return text(std::bit_cast<float>(uint32_t(sections.constants[slot - kConstants])));
    if (slot >= kScalars) return text("scalar ", slot - kScalars);
    if (slot >= kKept) return text("kept ", slot - kKept);
    return text("slot ", int(slot));
  };
  const std::string to = code.result == kAccumulator ? "" : " -> " + place(code.result);
  const std::string total = place(Slot(code.operand));
  switch (code.what) {
    case Opcode::Load: return text("load ", int(code.operand), to);
    case Opcode::Store: return text("store ", place(code.a), " in output ", int(code.operand));
    case Opcode::Constant: return text(place(code.a), to);
    case Opcode::Unary: return text(UnaryOp(code.op), ' ', place(code.a), to);
    case Opcode::Binary: return text(BinaryOp(code.op), ' ', place(code.a), ' ', place(code.b), to);
    case Opcode::Accumulate: return text("accumulate ", ReduceOp(code.op), ' ', place(code.a), " in ", total);
    case Opcode::Finish: return text("finish ", ReduceOp(code.op), ' ', total);
    default: fail("no words for opcode ", int(code.what));
  }
}

/// A row kernel's sections, each with its instructions.
inline void print_sections(const RowKernel& kernel) {
  const Sections sections(kernel, false, true);
  for (size_t s = 0; s < sections.codes.size(); ++s) {
    if (sections.codes[s].empty()) continue;
    std::string line = text(s % 2 ? "elements " : "rows ", s / 2);
    line.resize(12, ' ');
    for (size_t c = 0, width = 0; c < sections.codes[s].size(); ++c) {
      const std::string words = text_of(sections.codes[s][c], sections);
      const bool full = (width += words.size() + 3) > 95;
      line += (c == 0 ? "" : full ? ";\n            " : ";  ") + words;
      if (full) width = words.size();
    }
    std::cout << line << "\n";
  }
}

inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::cout << "not so: " << what << "\n";
  std::exit(1);
}

}  // namespace tinyops::cuda
