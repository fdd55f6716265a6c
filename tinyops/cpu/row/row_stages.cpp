// Planning a row kernel's program: which instruction runs in which stage, and in which slot its result waits.
//
//   program          stage 0                  stage 1                                 constants, once a thread: c
//   0 load x         tiles  load x            rows   finish m    (from the totals)
//   1 reduce max     tiles  accumulate m      tiles  load x      (again: it is only a pointer)
//   2 c                                       tiles  d = x - m
//   3 x - m                                   tiles  e = d * c   (in the slot of d, which is not read again)
//   4 ... * c                                 tiles  store e
#include <algorithm>

#include "tinyops/cpu/row/row_plan.h"

namespace tinyops::cpu {

/// Whether a buffer that output `o` shares with an input is still read after the output's value is computed: then it is
/// written at the end.
bool RowPlan::reads_later(int o) const {
  const Output& output = kernel.outputs[size_t(o)];
  auto reads = [&](int value) {
    const auto* load = value < 0 ? nullptr : std::get_if<Load>(&kernel.program[size_t(value)].op);
    return load && kernel.inputs[size_t(load->input)].operand.buffer == output.operand.buffer;
  };
  return std::ranges::any_of(kernel.program.begin() + output.value + 1, kernel.program.end(),
                             [&](const Instruction& step) { return std::ranges::any_of(step.args, reads); }) ||
         std::ranges::any_of(kernel.outputs, reads, &Output::value);
}

/// The arguments that an operation takes as one scalar each; the others it finds in every lane. Of packed rows it then
/// takes one at a time, which must be whole steps. An operation on rows has rows in its lanes, so that only the
/// kernel's scalars are alone.
unsigned RowPlan::single_arguments(int v) const {
  const Instruction& instruction = kernel.program[size_t(v)];
  const bool where = std::holds_alternative<TernaryOp>(instruction.op);
  if (!where && !std::holds_alternative<BinaryOp>(instruction.op)) return 0;
  const bool one_a_row = lanes_are_inner && (!packed || row_length % kStep == 0);
  unsigned single = 0;
  for (int i = where; i < (where ? 3 : 2); ++i) {
    const PlannedValue& from = values[size_t(instruction.args[size_t(i)])];
    if (from.is_fixed || (from.is_row && !values[size_t(v)].is_row && one_a_row)) single |= 1u << i;
  }
  return single == 3 ? 2 : single;  // not both of a binary operation
}

/// Of a sum of squares in float64: the float32 value whose squares they are, if nothing else reads the squares. Else -1.
int RowPlan::squared(int sum) const {
  const auto of = [&](int v, auto op) {
    const Instruction& instruction = kernel.program[size_t(v)];
    const auto* found = std::get_if<decltype(op)>(&instruction.op);
    return found && *found == op ? instruction.args[0] : -1;
  };
  const auto read_by_one = [&](int v) {
    const auto reads = [&](const Instruction& i) { return std::ranges::count(i.args, v) > 0; };
    return std::ranges::count_if(kernel.program, reads) == 1 &&
           std::ranges::none_of(kernel.outputs, [&](const Output& o) { return o.value == v; });
  };
  const auto* reduce = std::get_if<Reduce>(&kernel.program[size_t(sum)].op);
  if (!reduce || reduce->op != ReduceOp::Sum) return -1;
  const int square = kernel.program[size_t(sum)].args[0], wide = of(square, BinaryOp::Mul);
  if (wide < 0 || kernel.program[size_t(square)].args[1] != wide || values[size_t(square)].is_row) return -1;
  const int narrow = of(wide, UnaryOp::Cast);
  if (narrow < 0 || values[size_t(wide)].dtype != DType::Float64) return -1;
  if (values[size_t(narrow)].dtype != DType::Float32 || values[size_t(wide)].is_row) return -1;
  return read_by_one(square) && read_by_one(wide) ? narrow : -1;
}

void RowPlan::plan_stages() {
  std::vector<bool> inside(values.size(), false);  // of a step that computes a sum of squares
  std::vector<int> squares_of(values.size(), -1);
  for (int v = 0; v < int(values.size()); ++v)
    if ((squares_of[size_t(v)] = squared(v)) >= 0) {
      const int square = kernel.program[size_t(v)].args[0];
      inside[size_t(square)] = inside[size_t(kernel.program[size_t(square)].args[0])] = true;
    }
  stages.resize(1);
  auto stage = [&](int s) -> Stage& {
    if (size_t(s) >= stages.size()) stages.resize(size_t(s) + 1);
    return stages[size_t(s)];
  };
  std::vector<uint64_t> loaded(values.size(), 0);  // bit s: stage s has a Load of the value
  auto load_step = [&](int v) {
    const int input = std::get<Load>(kernel.program[size_t(v)].op).input;
    const Buffer* buffer = kernel.inputs[size_t(input)].operand.buffer.get();
    bool is_stored = false, is_written = false;
    for (const Output& o : kernel.outputs) is_stored |= o.value == v, is_written |= o.operand.buffer.get() == buffer;
    return Step{.kind = Step::Kind::Load, .value = v, .operand = input, .copied = is_stored && is_written};
  };
  // Makes value `v` readable by the tiles of stage s.
  auto need = [&](int v, int s) {
    PlannedValue& value = values[size_t(v)];
    if (value.is_row || value.is_fixed) value.in_lanes = true;
    else if (is_load(kernel.program[size_t(v)])) {
      if (!(loaded[size_t(v)] >> (s % 64) & 1)) stage(s).tiles.push_back(load_step(v));
      loaded[size_t(v)] |= uint64_t(1) << (s % 64);
    } else if (value.stage != s) value.kept = 0;
  };
  auto store_step = [&](int o) {
    return Step{.kind = Step::Kind::Store, .value = kernel.outputs[size_t(o)].value, .operand = o};
  };
  const std::vector<int> stage_of = stages_of(kernel.program);
  std::vector<int> late;  // outputs written at the end of the last stage

  for (int v = 0; v < int(values.size()); ++v) {
    const Instruction& instruction = kernel.program[size_t(v)];
    PlannedValue& value = values[size_t(v)];
    Step step{.kind = Step::Kind::Op, .value = v, .args = instruction.args};
    if (std::holds_alternative<Constant>(instruction.op)) step.kind = Step::Kind::Constant;
    else if (is_load(instruction)) step = load_step(v);
    else if (!is_reduce(instruction)) {
      const bool where = std::holds_alternative<TernaryOp>(instruction.op);
      step.single = single_arguments(v);
      step.op = tile_op(instruction, kernel.program[size_t(instruction.args[where])].dtype, step.single);
    }
    value.stage = stage_of[size_t(v)];
    if (inside[size_t(v)]) continue;

    std::vector<Step>* home = nullptr;
    if (value.is_fixed) constants.push_back(step);
    else if (is_reduce(instruction)) {
      const int narrow = squares_of[size_t(v)];
      if (narrow >= 0) step.args[0] = narrow;
      need(step.args[0], value.stage - 1);
      step.operand = int(totals.size());
      totals.push_back(narrow >= 0 ? &tile_sum_of_squares()
                                   : &tile_reduction(std::get<Reduce>(instruction.op).op, value.dtype));
      step.kind = Step::Kind::Accumulate;
      stage(value.stage - 1).tiles.push_back(step);
      step.kind = Step::Kind::Finish;
      home = &stage(value.stage).rows;
    } else if (value.is_row || !is_load(instruction)) {
      home = value.is_row ? &stage(value.stage).rows : &stage(value.stage).tiles;
      for (size_t i = 0; i < 3; ++i) {
        const int arg = instruction.args[i];
        if (arg < 0) continue;
        PlannedValue& from = values[size_t(arg)];
        if (step.single >> i & 1) step.row_by_row |= packed && !from.is_fixed;
        else if (!value.is_row) need(arg, value.stage);
        else from.in_lanes |= from.is_fixed;
      }
    }
    if (home) home->push_back(step);

    for (int o = 0; o < int(outputs.size()); ++o) {
      if (kernel.outputs[size_t(o)].value != v) continue;
      if (value.is_row) value.in_lanes |= value.is_fixed, stage(value.stage).rows.push_back(store_step(o));
      else if (reads_later(o)) late.push_back(o);
      else {
        need(v, value.stage);
        std::vector<Step>& steps = stage(value.stage).tiles;
        const bool direct = home && !stream && !outputs[size_t(o)].convert && steps.back().value == v;
        if (direct && steps.back().kind == Step::Kind::Op) steps.back().through = o;
        steps.push_back(store_step(o));
      }
    }
  }
  for (int o : late) need(kernel.outputs[size_t(o)].value, values[size_t(kernel.outputs[size_t(o)].value)].stage);
  for (int o : late) stage(values[size_t(kernel.outputs[size_t(o)].value)].stage).tiles.push_back(store_step(o));

  // Every value of the kernel or of a row has a slot of its own (two, where the row's scalar fills lanes); those of a
  // tile share what is left.
  for (Step& step : constants) step.slot = slots++;
  for (Stage& s : stages)
    for (Step& step : s.rows)
      if (step.kind != Step::Kind::Store) step.slot = slots++;
  if (lanes_are_inner)
    for (PlannedValue& value : values)
      if (value.is_row && !value.is_fixed && value.in_lanes) value.wide_slot = slots++;
  std::vector<Step*> all;
  const int first_free = slots;
  for (Stage& s : stages) {
    std::vector<Step*> steps;
    for (Step& step : s.tiles) steps.push_back(&step), all.push_back(&step);
    SlotPool pool(first_free);
    plan_slots(steps, false, pool);
    slots = std::max(slots, pool.end());
  }
  SlotPool pool;
  plan_slots(all, true, pool);
  kept = pool.end();
}

/// Slots of the values that one stage's tiles need, or those of all stages where what is kept between them lies. A slot
/// is free again when its value was read for the last time. A result may take the slot of an argument whose elements
/// are as wide: no operation looks back.
void RowPlan::plan_slots(const std::vector<Step*>& steps, bool for_kept, SlotPool& pool) {
  std::vector<int> last_use(values.size(), -1), slot(values.size(), -1);
  for (int i = 0; i < int(steps.size()); ++i) {
    const Step& step = *steps[size_t(i)];
    for (int arg : step.args)
      if (arg >= 0) last_use[size_t(arg)] = i;
    if (step.kind == Step::Kind::Store) last_use[size_t(step.value)] = i;
  }
  for (int i = 0; i < int(steps.size()); ++i) {
    Step& step = *steps[size_t(i)];
    auto release = [&](bool same_width) {
      auto one = [&](int v) {
        if (v < 0 || last_use[size_t(v)] != i || slot[size_t(v)] < 0) return;
        const DType d = values[size_t(v)].dtype, result = values[size_t(step.value)].dtype;
        if ((itemsize(d) == itemsize(result)) != same_width) return;
        pool.give_back(slot[size_t(v)]);
        slot[size_t(v)] = -1;
      };
      for (int arg : step.args) one(arg);
      if (step.kind == Step::Kind::Store) one(step.value);
    };
    release(true);
    const bool has_result = step.kind == Step::Kind::Load || step.kind == Step::Kind::Op;
    if (PlannedValue& value = values[size_t(step.value)]; has_result && (value.kept >= 0) == for_kept)
      (for_kept ? value.kept : step.slot) = slot[size_t(step.value)] = pool.take();
    release(false);
  }
}

}  // namespace tinyops::cpu
