// The host's half of what tiles do with their sums: the program that follows a contraction, as codes for
// contract_epilogue.h.
#include <algorithm>

#include "tinyops/cuda/contract/contract.h"

namespace tinyops::cuda {
namespace {

/// Whether a tile's kernel has instructions for it; the loads and stores are looked at elsewhere.
bool has_instructions(BytecodeOp code, DType dtype) {
  if (code.what == Opcode::Load || code.what == Opcode::Store) return true;
  if (code.what == Opcode::Cast && code.type != DType::Bool)
    return (code.type == DType::Float32 || is_half(code.type)) && (code.to == DType::Float32 || code.to == dtype);
  if (is_half(code.type)) code.type = DType::Float32;  // in which these are computed
  return can_inline(code);
}

/// The codes of a program in which nothing is reduced. Its outputs may lie over its inputs: all loads come before the
/// stores.
Sections codes_of(RowKernel kernel) {
  for (Instruction& step : kernel.program) step.per_row = false;
  for (Input& input : kernel.inputs) input.operand.buffer = nullptr;
  for (Output& output : kernel.outputs) output.operand.buffer = nullptr;  // the same as theirs
  return Sections(kernel, false, false);
}

}  // namespace

std::optional<EpilogueProgram> epilogue_of(const RowKernel& epilogue, DType dtype) {
  if (dtype != DType::Float32 && !is_half(dtype)) return {};
  const auto fits = [&](const Operand& o) {
    return o.view.guards.empty() && (o.dtype == DType::Float32 || o.dtype == dtype);
  };
  for (const Output& output : epilogue.outputs)
    if (!fits(output.operand) || epilogue.program[size_t(output.value)].dtype == DType::Bool) return {};
  for (const Input& input : epilogue.inputs)
    if (input.kind != Input::Kind::Sum && (input.kind != Input::Kind::Memory || !fits(input.operand))) return {};

  const Sections sections = codes_of(epilogue);
  EpilogueProgram result;
  Epilogue& e = result.epilogue;
  const auto operand = [&](int number) {
    const auto known = std::ranges::find(result.operands, number);
    const auto at = known - result.operands.begin();
    if (known == result.operands.end()) result.operands.push_back(number);
    return uint8_t(at);
  };
  for (const auto& section : sections.codes)
    for (BytecodeOp code : section) {
      if (e.codes == Epilogue::kMostCodes || !has_instructions(code, dtype)) return {};
      if (code.what == Opcode::Store) code.operand = operand(~int(code.operand));
      else if (code.what == Opcode::Load)
        code.operand = epilogue.inputs[code.operand].kind == Input::Kind::Sum ? Epilogue::kSum : operand(code.operand);
      e.code[e.codes++] = code;
    }
  if (sections.constants.size() > Epilogue::kMostConstants || result.operands.size() > Epilogue::kMostOperands)
    return {};
  std::ranges::transform(sections.constants, e.constants, [](uint64_t word) { return uint32_t(word); });
  e.operands = int(result.operands.size());
  if (e.operands + 4 * sections.lane_slots > Epilogue::kRoom) return {};
  for (size_t i = 0; i < result.operands.size(); ++i)
    e.operand[i].as_sums = operand_of(epilogue, result.operands[i]).dtype == dtype;
  return result;
}

}  // namespace tinyops::cuda
