// The host's half of the interpreter: a row kernel's program becomes sections of bytecode, and every value gets a slot.
//
// A section is written from its results backwards, an expression's arguments right before it, so that most values are
// needed in the accumulator only, and few in a slot:      (x - m) * r + b   =>   load x;  sub m;  mul r;  add b
#include <algorithm>
#include <map>

#include "tinyops/common/stages.h"
#include "tinyops/cuda/row/program.h"

namespace tinyops::cuda {
namespace {

/// Sections are numbered: rows 0 is 0, elements 0 is 1, rows 1 is 2. Where each value is first known.
std::vector<int> times_of(const RowKernel& k) {
  std::vector<int> times = stages_of(k.program);
  for (size_t v = 0; v < times.size(); ++v) times[v] = 2 * times[v] + !k.program[v].per_row;
  return times;
}

/// A code before its arguments have places: values by number.
struct Draft {
  BytecodeOp code;
  int value = -1;  ///< that it computes; of Accumulate and Finish, the Reduce
  std::array<int, 3> args{-1, -1, -1};
};

class BytecodeEmitter {
 public:
  BytecodeEmitter(const RowKernel& kernel, bool columns, bool keeps, Sections& to)
      : k_(kernel), columns_(columns), keeps_(keeps && !columns), to_(to), times_(times_of(kernel)) {}

  void write() {
    int last_elements = 1, last = 1;
    for (size_t v = 0; v < k_.program.size(); ++v)
      if (std::holds_alternative<Reduce>(k_.program[v].op)) last_elements = std::max(last_elements, times_[v] - 1);
    for (const Output& out : k_.outputs)
      if (!k_.program[size_t(out.value)].per_row) last_elements = std::max(last_elements, times_[size_t(out.value)]);
    for (const Output& out : k_.outputs) last = std::max(last, times_[size_t(out.value)]);
    last = std::max(last, last_elements + 1);

    first_known_.assign(k_.program.size(), -1);
    for (int s = 0; s <= last; ++s) {
      drafts_.emplace_back();
      done_.assign(k_.program.size(), false);
      if (s % 2) write_elements(s, s == last_elements);
      else write_rows(s, s == last);
    }
    find_lives();
    for (int s = 0; s <= last; ++s) place_section(s);
  }

 private:
  const Instruction& at(int value) const { return k_.program[size_t(value)]; }
  bool is_row(int value) const { return at(value).per_row; }
  bool is_constant(int value) const { return std::holds_alternative<Constant>(at(value).op); }
  DType type_of(int value) const { return at(value).dtype; }

  // ---- Drafts

  void write_rows(int s, bool is_last) {
    for (size_t v = 0; v < k_.program.size(); ++v) {
      const int value = int(v);
      if (!is_row(value) || times_[v] != s || is_constant(value)) continue;
      if (const auto* reduce = std::get_if<Reduce>(&at(value).op))
        add({.what = Opcode::Finish, .op = uint8_t(reduce->op), .type = type_of(value), .to = type_of(value)}, value);
      else emit(value);
    }
    // What the next section adds up starts from nothing.
    for (size_t v = 0; v < k_.program.size(); ++v)
      if (const auto* reduce = std::get_if<Reduce>(&at(int(v)).op); reduce && times_[v] == s + 2)
        add({.what = Opcode::Constant, .type = type_of(int(v)), .to = type_of(int(v)),
             .a = constant(identity_of(reduce->op, type_of(int(v))))}, -2 - int(v));
    if (is_last) store(true, false);
  }

  void write_elements(int s, bool stores) {
    for (size_t v = 0; v < k_.program.size(); ++v) {
      const auto* reduce = std::get_if<Reduce>(&at(int(v)).op);
      if (!reduce || times_[v] != s + 1) continue;
      const int from = at(int(v)).args[0];
      need(from, s);
      add({.what = Opcode::Accumulate, .op = uint8_t(reduce->op), .type = type_of(int(v)), .to = type_of(int(v)),
           .b = constant(identity_of(reduce->op, type_of(int(v))))},  // for lanes that do not exist
          int(v), from);
    }
    if (!stores) return;
    // Where an output lies over an input, nothing is stored before everything was read.
    bool overlaps = false;
    for (const Output& out : k_.outputs)
      for (const Input& in : k_.inputs)
        overlaps |= in.kind == Input::Kind::Memory && in.operand.buffer == out.operand.buffer;
    if (overlaps)
      for (const Output& out : k_.outputs)
        if (!is_row(out.value)) need(out.value, s);
    store(false, true);
  }

  void store(bool rows, bool elements) {
    for (size_t o = 0; o < k_.outputs.size(); ++o) {
      const int value = k_.outputs[o].value;
      if (is_row(value) ? !rows : !elements) continue;
      if (!is_row(value)) need(value, int(drafts_.size()) - 1);
      const DType stored = k_.outputs[o].operand.dtype;
      add({.what = Opcode::Store, .type = type_of(value), .to = stored, .operand = uint8_t(o)}, -1, value);
    }
  }

  /// Sees to it that an element value is known in section `s`.
  void need(int value, int s) {
    if (is_row(value) || is_constant(value) || done_[size_t(value)]) return;
    done_[size_t(value)] = true;
    int& known = first_known_[size_t(value)];
    if (known >= 0 && known < s && keeps_) {
      kept_[value] = std::max(kept_[value], s);
      return;
    }
    if (known < 0) known = s;
    for (int arg : at(value).args)
      if (arg >= 0) need(arg, s);
    emit(value);
  }

  /// A code that computes `value` (a Reduce, where it adds up or finishes), for the section being written.
  void add(const BytecodeOp& code, int value, int arg = -1) { drafts_.back().push_back({code, value, {arg, -1, -1}}); }

  void emit(int value) {
    const Instruction& i = at(value);
    Draft d{{.what = Opcode::Load, .type = i.dtype, .to = i.dtype}, value, i.args};
    if (i.args[0] >= 0) d.code.type = type_of(i.args[0]);
    if (const auto* load = std::get_if<Load>(&i.op)) d.code.operand = uint8_t(load->input);
    else if (const auto* op = std::get_if<UnaryOp>(&i.op)) {
      d.code.op = uint8_t(*op);
      d.code.what = gives_bool(*op) ? Opcode::Predicate : *op == UnaryOp::Cast ? Opcode::Cast
                    : *op == UnaryOp::Bitcast ? Opcode::Bits : Opcode::Unary;
      if (*op == UnaryOp::Bitcast && i.dtype == d.code.type) d.code.type = DType::Float32;  // nothing to do
    } else if (const auto* op = std::get_if<BinaryOp>(&i.op)) {
      d.code.op = uint8_t(*op);
      d.code.what = gives_bool(*op) ? Opcode::Compare : Opcode::Binary;
    } else d.code.what = Opcode::Where;
    drafts_.back().push_back(d);
  }

  // ---- Places

  Slot constant(uint64_t word) {
    const auto known = std::ranges::find(to_.constants, word);
    if (known != to_.constants.end()) return Slot(kConstants + (known - to_.constants.begin()));
    to_.constants.push_back(word);
    return Slot(kConstants + to_.constants.size() - 1);
  }
  static uint64_t word(const Scalar& value, DType dtype) {
    return with_compute(dtype, [&]<class T>(T) { return word_of<uint64_t>(value.as<T>()); });
  }
  static uint64_t identity_of(ReduceOp op, DType dtype) {
    return with_compute(dtype, [&]<class T>(T) { return word_of<uint64_t>(identity<T>(op)); });
  }

  /// Until which section and code a value of the rows, or a total, is read.
  void find_lives() {
    row_until_.assign(k_.program.size(), {-1, -1});
    for (int s = 0; s < int(drafts_.size()); ++s)
      for (int c = 0; c < int(drafts_[size_t(s)].size()); ++c)
        for (int arg : drafts_[size_t(s)][size_t(c)].args)
          if (arg >= 0 && is_row(arg)) row_until_[size_t(arg)] = {s, c};
  }

  Slot take_row() { return columns_ ? Slot(slots_.take()) : Slot(kScalars + scalars_.take()); }
  void give_back(Slot place) {
    if (place < kKept) slots_.give_back(place);
    else if (place < kScalars) kept_pool_.give_back(place - kKept);
    else if (place < kConstants) scalars_.give_back(place - kScalars);
  }

  void place_section(int s) {
    std::vector<Draft>& drafts = drafts_[size_t(s)];
    const bool elements = s % 2;
    // An element's, or a row value's that lives in this section only: the last code that reads it.
    std::map<int, int> until;
    for (int c = 0; c < int(drafts.size()); ++c)
      for (int arg : drafts[size_t(c)].args)
        if (arg >= 0 && !is_constant(arg)) until[arg] = c;

    to_.codes.emplace_back();
    int in_accumulator = -1;
    for (int c = 0; c < int(drafts.size()); ++c) {
      Draft& d = drafts[size_t(c)];
      // `b` is fetched first, then `a` takes the accumulator over, then the third argument is fetched.
      const auto place_of = [&](int value) -> Slot {
        if (value < 0) return kAccumulator;
        if (const auto* number = std::get_if<Constant>(&at(value).op))
          return constant(word(number->value, type_of(value)));
        return value == in_accumulator ? kAccumulator : places_.at(value);
      };
      if (d.code.what != Opcode::Constant) d.code.a = place_of(d.args[0]);
      if (d.code.what != Opcode::Accumulate) d.code.b = place_of(d.args[1]);
      if (d.code.what == Opcode::Where)
        d.code.operand = places_.contains(d.args[2]) ? places_.at(d.args[2]) : place_of(d.args[2]);
      // Elements that are not read again free their places; a row's value is read for every stretch of the section.
      for (int arg : d.args)
        if (arg >= 0 && places_.contains(arg) && is_finished(arg, s, c, until)) {
          give_back(places_.at(arg));
          places_.erase(arg);
        }
      d.code.result = kAccumulator;
      switch (d.code.what) {
        case Opcode::Store: break;
        case Opcode::Accumulate: d.code.operand = totals_.at(d.value); break;
        case Opcode::Constant: d.code.result = totals_[-2 - d.value] = take_row(); break;
        case Opcode::Finish:
          d.code.operand = d.code.result = totals_.at(d.value);
          places_[d.value] = totals_.at(d.value);
          if (row_until_[size_t(d.value)].first < 0) give_back(totals_.at(d.value)), places_.erase(d.value);
          in_accumulator = d.value;
          break;
        default: {
          in_accumulator = d.value;
          if (const auto kept = kept_.find(d.value); kept != kept_.end() && !is_row(d.value)) {
            d.code.result = places_[d.value] = Slot(kKept + kept_pool_.take());
          } else if (is_row(d.value) ? needs_place(d.value, s, c)
                                     : until.contains(d.value) && !dies_next(drafts, c, until)) {
            d.code.result = places_[d.value] = is_row(d.value) ? take_row() : Slot(slots_.take());
          }
        }
      }
      if (d.code.what == Opcode::Constant) in_accumulator = -1;
      to_.codes.back().push_back(d.code);
    }
    if (elements)  // rows' values that only this section reads
      for (size_t v = 0; v < row_until_.size(); ++v)
        if (row_until_[v].first == s && places_.contains(int(v))) give_back(places_.at(int(v))), places_.erase(int(v));
    to_.lane_slots = slots_.end();
    to_.kept = kept_pool_.end();
    to_.scalars = scalars_.end();
  }

  bool is_finished(int value, int s, int c, const std::map<int, int>& until) const {
    if (is_row(value)) return s % 2 == 0 && row_until_[size_t(value)] == std::pair(s, c);
    if (const auto kept = kept_.find(value); kept != kept_.end() && kept->second > s) return false;
    return until.at(value) == c;
  }
  bool needs_place(int value, int s, int c) const {
    const auto [section, code] = row_until_[size_t(value)];
    return section > s || code > c + 1 ||
           (code == c + 1 && !reads_from_accumulator(drafts_[size_t(s)][size_t(code)], value));
  }
  bool dies_next(const std::vector<Draft>& drafts, int c, const std::map<int, int>& until) const {
    const int value = drafts[size_t(c)].value;
    return until.at(value) == c + 1 && reads_from_accumulator(drafts[size_t(c) + 1], value);
  }
  static bool reads_from_accumulator(const Draft& d, int value) { return d.args[2] != value; }

  const RowKernel& k_;
  bool columns_, keeps_;
  Sections& to_;
  std::vector<int> times_, first_known_;
  std::vector<std::vector<Draft>> drafts_;
  std::vector<bool> done_;
  std::map<int, int> kept_;           ///< values, and the last section that reads them
  std::map<int, Slot> places_, totals_;
  std::vector<std::pair<int, int>> row_until_;
  SlotPool slots_, kept_pool_, scalars_;

  friend struct tinyops::cuda::Sections;
};

}  // namespace

Sections::Sections(const RowKernel& kernel, bool columns, bool keeps) {
  BytecodeEmitter writer(kernel, columns, keeps, *this);
  writer.write();
  for (size_t i = 0; i < kernel.inputs.size(); ++i) {
    DType dtype = DType::Float32;
    for (const Instruction& step : kernel.program)
      if (const auto* load = std::get_if<Load>(&step.op); load && load->input == int(i)) dtype = step.dtype;
    const bool number = kernel.inputs[i].kind == Input::Kind::Constant;
    input_constants.push_back(number ? writer.constant(BytecodeEmitter::word(kernel.inputs[i].constant, dtype))
                                     : Slot(0));
  }
}

}  // namespace tinyops::cuda
