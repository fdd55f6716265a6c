#pragma once
// Any program that follows a product's sums element by element, an activation for instance, while they are in the
// first-level cache: a strip of sums is a tile, over which each operation of the program goes once.
//
//   sums [column][row]     s s s s | s s s s | ..   ──►  s + b  ──►  tanh  ──►  where the views of the outputs say
//                          column 0  column 1
//   a value for each row   b c d e | b c d e | ..        another tensor is read into the same order
#include <array>
#include <vector>

#include "tinyops/base/scalar_ops.h"
#include "tinyops/common/stages.h"
#include "tinyops/cpu/contract/strip.h"
#include "tinyops/cpu/tile.h"

namespace tinyops::cpu {

template <class T>
class Epilogue {
 public:
  explicit Epilogue(const Product& p) : p_(p) { plan(); }

  /// How much memory strips of this width need; the sums are at its beginning.
  int64_t bytes(int64_t width) const { return slots_ * slot_bytes(width); }

  /// Runs over a strip of sums and stores the results.
  void run(const Strip& strip, char* memory) const {
    const auto at = [&](int value) {
      return value < 0 ? nullptr : memory + slot_[size_t(value)] * slot_bytes(strip.width);
    };
    for (const Step& step : steps_)
      if (!step.op) load(step.value, strip, at(step.value));
      else
        step.op(whole_steps(strip.columns * strip.width), at(step.value), at(step.args[0]), at(step.args[1]),
                at(step.args[2]));
    for (size_t o = 0; o < p_.outputs.size(); ++o) {
      const Companion& to = p_.outputs[o];
      int64_t column[kStripRoom];
      column_offsets(p_, to.columns, strip.first_column, strip.columns, column);
      store_spans(strip, reinterpret_cast<T*>(at(p_.epilogue->outputs[o].value)), start_of<T>(p_, to, strip.batch),
                  LaneOffsets<T>(p_, to.rows, strip).at, column, false);
    }
  }

 private:
  struct Step {
    int value;
    TileOp op = nullptr;  ///< of none, the value is loaded
    std::array<int, 3> args{-1, -1, -1};
  };

  int64_t slot_bytes(int64_t width) const { return whole_steps(kStripRoom * width) * value_bytes_; }

  static bool is_constant(const Instruction& i) { return std::holds_alternative<Constant>(i.op); }
  const Companion* loaded(const Instruction& i) const {
    const auto* load = std::get_if<Load>(&i.op);
    return load ? &p_.inputs[size_t(load->input)] : nullptr;
  }
  bool is_sum(const Instruction& i) const {
    const auto* load = std::get_if<Load>(&i.op);
    return load && p_.epilogue->inputs[size_t(load->input)].kind == Input::Kind::Sum;
  }

  void plan() {
    const std::vector<Instruction>& program = p_.epilogue->program;
    const auto bytes = [&](int v) { return itemsize(compute_dtype(program[size_t(v)].dtype)); };
    std::vector<int> reads(program.size(), 0);  // that are still to come
    std::vector<bool> is_single(program.size());
    for (const Instruction& i : program)
      for (int arg : i.args)
        if (arg >= 0) ++reads[size_t(arg)];
    for (const Output& output : p_.epilogue->outputs) ++reads[size_t(output.value)];

    SlotPool pool(1);
    slot_.resize(program.size());
    for (int v = 0; v < int(program.size()); ++v) {
      const Instruction& i = program[size_t(v)];
      const bool where = std::holds_alternative<TernaryOp>(i.op), binary = std::holds_alternative<BinaryOp>(i.op);
      value_bytes_ = std::max(value_bytes_, bytes(v));
      Step step{v, nullptr, i.args};
      if (is_sum(i)) {
        ++reads[size_t(v)];  // it may be loaded once more
        continue;
      }
      const Companion* const tensor = loaded(i);
      is_single[size_t(v)] = tensor ? stays(tensor->rows) && stays(tensor->columns) : is_constant(i);
      std::vector<int> free;
      bool as_wide = true;
      if (!tensor && !is_single[size_t(v)]) {
        unsigned single = 0;
        for (unsigned a = where; a < (where ? 3u : binary ? 2u : 0u); ++a)
          if (is_single[size_t(i.args[a])]) single |= 1u << a;
        step.op = tile_op(i, program[size_t(i.args[where])].dtype, single == 3 ? 2 : single);
        for (int arg : i.args) {
          if (arg < 0) continue;
          as_wide &= bytes(arg) == bytes(v);
          if (--reads[size_t(arg)] == 0) free.push_back(slot_[size_t(arg)]);
        }
      }
      // The result may take the place of an argument that was read for the last time, if their elements are as wide.
      if (!as_wide) slot_[size_t(v)] = pool.take();
      for (int slot : free) pool.give_back(slot);
      if (as_wide) slot_[size_t(v)] = pool.take();
      steps_.push_back(step);
    }
    slots_ = pool.end();
  }

  void load(int value, const Strip& strip, char* to) const {
    const Instruction& i = p_.epilogue->program[size_t(value)];
    if (const auto* constant = std::get_if<Constant>(&i.op))
      return with_compute(i.dtype, [&]<class V>(V) {
        std::fill_n(reinterpret_cast<InTile<V>*>(to), strip.columns * strip.width, InTile<V>(constant->value.as<V>()));
      });
    const Companion& tensor = *loaded(i);
    const T* const from = start_of<T>(p_, tensor, strip.batch);
    T* const tile = reinterpret_cast<T*>(to);
    int64_t column[kStripRoom];
    column_offsets(p_, tensor.columns, strip.first_column, strip.columns, column);
    if (stays(tensor.rows)) {
      for (int64_t j = 0; j < strip.columns; ++j) std::fill_n(tile + j * strip.width, strip.width, from[column[j]]);
      return;
    }
    const bool same = stays(tensor.columns);  // for all columns
    load_spans(strip, tile, from, LaneOffsets<T>(p_, tensor.rows, strip).at, column, same ? 1 : strip.columns);
    for (int64_t j = 1; same && j < strip.columns; ++j) std::copy_n(tile, strip.width, tile + j * strip.width);
  }

  const Product& p_;
  std::vector<Step> steps_;
  std::vector<int> slot_;  // of each value
  int slots_ = 1;
  int64_t value_bytes_ = sizeof(T);
};

}  // namespace tinyops::cpu
