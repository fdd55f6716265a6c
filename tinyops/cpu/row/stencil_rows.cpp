#include <algorithm>
#include <utility>

#include "tinyops/common/stages.h"
#include "tinyops/cpu/operand_access.h"
#include "tinyops/cpu/row/row.h"

namespace tinyops::cpu {
namespace {

/// The corners of a view without guards are inside its buffer, and so is everything else.
void check_bounds(const Operand& operand) {
  if (!operand.view.guards.empty()) return;
  const Interval reach = interval(operand.view.address, index_box(operand.view.shape));
  check_inside(reach.low, reach.high, int64_t(operand.buffer->bytes()) / itemsize(operand.dtype));
}

}  // namespace

StencilRows::StencilRows(Stencil stencil, std::optional<Operand> weights, Operand image, Operand out,
                         RowKernel epilogue)
    : stencil_(std::move(stencil)), weights_(std::move(weights)), image_(std::move(image)), out_(std::move(out)),
      epilogue_(std::move(epilogue)) {
  take_steps();
  for (Input& input : epilogue_.inputs)
    if (input.kind == Input::Kind::Sum) input = {Input::Kind::Memory, out_};
}

/// What the epilogue begins with is done in registers, as long as one operation leads to the next, and each needs but a
/// scalar of the batch, or one for all:
///
///   %0 = load sum    %1 = load bias    %2 = Add %0 %1    %3 = 0    %4 = Max %2 %3    ..      then %4 = load sum    ..
void StencilRows::take_steps() {
  std::vector<Instruction>& program = epilogue_.program;
  const auto is_out = [&](const Output& output) { return output.operand == out_; };
  if (std::ranges::none_of(epilogue_.outputs, is_out)) return;
  const auto input_of = [&](const Instruction& i) {
    const auto* load = std::get_if<Load>(&i.op);
    return load ? &epilogue_.inputs[size_t(load->input)] : nullptr;
  };
  const auto is_sum = [&](const Instruction& i) { return input_of(i) && input_of(i)->kind == Input::Kind::Sum; };
  const auto sum = std::ranges::find_if(program, is_sum);
  if (sum == program.end() || std::ranges::count_if(program, is_sum) > 1) return;
  const auto times_read = [&](int v) {
    int64_t count = std::ranges::count(epilogue_.outputs, v, &Output::value);
    for (const Instruction& i : program) count += std::ranges::count(i.args, v);
    return count;
  };

  int last = int(sum - program.begin());
  for (int next = last + 1; next < int(program.size()); ++next) {
    const Instruction& step = program[size_t(next)];
    if (std::ranges::count(step.args, last) == 0) continue;
    const auto* op = std::get_if<BinaryOp>(&step.op);
    if (!op || step.dtype != out_.dtype || times_read(last) > 1) break;
    const bool scalar_first = step.args[1] == last;
    const Instruction& scalar = program[size_t(step.args[scalar_first ? 0 : 1])];
    const Input* input = input_of(scalar);
    if (const auto* constant = std::get_if<Constant>(&scalar.op)) {
      if (!add_step(stencil_, *op, scalar_first, constant->value.as<double>())) break;
    } else if (input && input->kind == Input::Kind::Memory && input->operand.dtype == out_.dtype) {
      if (!add_step(stencil_, *op, scalar_first, input->operand.view)) break;
      scalars_.push_back(input->operand.buffer);
    } else break;
    last = next;
  }

  // What is left begins with the results.
  program[size_t(last)] = {sum->op, out_.dtype};
  std::erase_if(epilogue_.outputs, [&](const Output& output) { return is_out(output) && output.value == last; });
  remove_unneeded(epilogue_);
}

void StencilRows::run() const {
  if (weights_) check_bounds(*weights_);
  check_bounds(image_), check_bounds(out_);
  StencilMemory memory{weights_ ? weights_->buffer->data() : nullptr, image_.buffer->data(), out_.buffer->data(), {}};
  for (const BufferRef& scalar : scalars_) memory.scalars.push_back(scalar->data());
  run_stencil(stencil_, memory);
  if (!epilogue_.outputs.empty()) run_kernel(epilogue_);
}

}  // namespace tinyops::cpu
