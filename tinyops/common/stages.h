#pragma once
// What the interpreters of the fast backends find out about a row kernel's program.
//
//   softmax     stage 0:  m = max(x)      stage 1:  e = exp(x - m); s = sum(e)      stage 2:  store e / s
//
// A stage walks over the elements of a row once; the values of the row that need its totals belong to the next one.
#include <algorithm>
#include <utility>
#include <vector>

#include "tinyops/kernel.h"

namespace tinyops {

inline bool is_load(const Instruction& i) { return std::holds_alternative<Load>(i.op); }
inline bool is_reduce(const Instruction& i) { return std::holds_alternative<Reduce>(i.op); }

/// The stage in which each value is first known; of a Reduce, the one after the walk that it takes.
inline std::vector<int> stages_of(const std::vector<Instruction>& program) {
  std::vector<int> stages;
  for (const Instruction& i : program) {
    int stage = 0;
    for (int arg : i.args)
      if (arg >= 0) stage = std::max(stage, stages[size_t(arg)]);
    stages.push_back(stage + is_reduce(i));
  }
  return stages;
}

/// Marks the values from which those that are marked are computed; what `new_index` has already is not computed again.
inline void add_arguments(const std::vector<Instruction>& program, const std::vector<int>& new_index,
                          std::vector<bool>& needed) {
  for (size_t v = program.size(); v-- > 0;)
    if (needed[v] && new_index[v] < 0)
      for (int arg : program[v].args)
        if (arg >= 0) needed[size_t(arg)] = true;
}

/// Appends the instructions of needed values to `to`; new_index[v] is where value v is then, or is already.
inline void append(const std::vector<Instruction>& program, const std::vector<bool>& needed,
                   std::vector<int>& new_index, std::vector<Instruction>& to) {
  for (size_t v = 0; v < program.size(); ++v) {
    if (!needed[v] || new_index[v] >= 0) continue;
    new_index[v] = int(to.size());
    Instruction& i = to.emplace_back(program[v]);
    for (int& arg : i.args)
      if (arg >= 0) arg = new_index[size_t(arg)];
  }
}

/// Removes what no output needs.
inline void remove_unneeded(RowKernel& kernel) {
  std::vector<bool> needed(kernel.program.size(), false);
  std::vector<int> new_index(kernel.program.size(), -1);
  std::vector<Instruction> program;
  for (const Output& out : kernel.outputs) needed[size_t(out.value)] = true;
  add_arguments(kernel.program, new_index, needed);
  append(kernel.program, needed, new_index, program);
  kernel.program = std::move(program);
  for (Output& out : kernel.outputs) out.value = new_index[size_t(out.value)];
}

/// Numbers for places of values. One that was given back is taken again before there is one more.
class SlotPool {
 public:
  explicit SlotPool(int first = 0) : end_(first) {}
  int take() {
    if (free_.empty()) return end_++;
    const int slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void give_back(int slot) { free_.push_back(slot); }
  int end() const { return end_; }  ///< all that were ever taken lie below

 private:
  int end_;
  std::vector<int> free_;
};

}  // namespace tinyops
