#pragma once
// The usual epilogue: some values and a tensor are added to the sums, which are then clamped. It is done with packets
// of sums, while they are in registers if they can go to the output from there.
//
//   sum + value of the column or row  ──►  + (tensor + value)  ──►  max(., low)  ──►  min(., high)
#include <limits>
#include <optional>
#include <variant>

#include "tinyops/base/scalar_ops.h"
#include "tinyops/cpu/contract/strip.h"

namespace tinyops::cpu {

/// What is done with the sums of some columns, all that are null left out.
template <class T>
struct Finish {
  using P = Packets<T>;
  static constexpr T infinity = std::numeric_limits<T>::infinity();

  struct Values {
    const T *of_columns = nullptr, *of_lanes = nullptr;
  };
  Values value;
  const T* const* added = nullptr;  ///< where each column's elements are
  Values shift;                     ///< of `added`
  T low = -infinity, high = infinity;

  /// `for_all(f)` calls f(packet of sums, column, lane) with each packet.
  void operator()(auto&& for_all) const {
    if (value.of_columns) for_all([&](auto& x, int64_t j, int64_t) { x = padd(x, P::fill(value.of_columns[j])); });
    if (value.of_lanes) for_all([&](auto& x, int64_t, int64_t lane) { x = padd(x, P::load(value.of_lanes + lane)); });
    const auto add = [&](auto&& shifted) {
      for_all([&](auto& x, int64_t j, int64_t lane) { x = padd(x, shifted(P::load(added[j] + lane), j, lane)); });
    };
    if (added && shift.of_columns)
      add([&](const auto& y, int64_t j, int64_t) { return padd(y, P::fill(shift.of_columns[j])); });
    else if (added && shift.of_lanes)
      add([&](const auto& y, int64_t, int64_t lane) { return padd(y, P::load(shift.of_lanes + lane)); });
    else if (added) add([](const auto& y, int64_t, int64_t) { return y; });
    // As scalar_ops.h has it: a NaN stays, and of two zeros the bound's comes.
    const auto least = P::fill(low), most = P::fill(high);
    if (low != -infinity) for_all([&](auto& x, int64_t, int64_t) { x = pselect(pcmp_lt_or_nan(least, x), x, least); });
    if (high != infinity) for_all([&](auto& x, int64_t, int64_t) { x = pselect(pcmp_lt_or_nan(x, most), x, most); });
  }
};

template <class T>
class UsualEpilogue {
 public:
  /// Of a product whose epilogue is nothing else.
  static std::optional<UsualEpilogue> of(const Product& p) {
    UsualEpilogue usual(p);
    if (!p.epilogue || !usual.find()) return std::nullopt;
    return usual;
  }

  /// What is the same for all rows of some columns, and for all columns of some rows.
  struct Columns {
    int64_t out[kStripRoom], added[kStripRoom];
    T value[kStripRoom], shift[kStripRoom];
  };
  struct Rows {
    bool consecutive;  ///< rows are neighbours in the output and in what is added
    T* out;
    const T* added;
    T value[4 * Packets<T>::lanes], shift[4 * Packets<T>::lanes];
  };
  void find_columns(int64_t batch, int64_t first, int64_t count, Columns& to) const {
    column_offsets(p_, p_.outputs[0].columns, first, count, to.out);
    if (added_) column_offsets(p_, added_->columns, first, count, to.added);
    const auto read = [&](const Companion* tensor, T* values) {
      if (!tensor || !stays(tensor->rows)) return;
      int64_t at[kStripRoom];
      column_offsets(p_, tensor->columns, first, count, at);
      const T* const from = start_of<T>(p_, *tensor, batch);
      for (int64_t j = 0; j < count + kColumns; ++j) values[j] = from[at[j]];
    };
    read(value_, to.value), read(shift_, to.shift);
  }
  void find_rows(const Strip& strip, Rows& to) const {
    const LaneOffsets<T> out(p_, p_.outputs[0].rows, strip), added(p_, (added_ ? added_ : &p_.outputs[0])->rows, strip);
    to.consecutive = strip.is_full() && consecutive(out.at, strip.width) && consecutive(added.at, strip.width);
    if (to.consecutive) to.out = start_of<T>(p_, p_.outputs[0], strip.batch) + out.at[0];
    if (to.consecutive && added_) to.added = start_of<T>(p_, *added_, strip.batch) + added.at[0];
    const auto read = [&](const Companion* tensor, T* values) {
      if (!tensor || stays(tensor->rows)) return;
      const LaneOffsets<T> at(p_, tensor->rows, strip);
      const T* const from = start_of<T>(p_, *tensor, strip.batch);
      for (const Span& s : strip.rows)
        for (int64_t lane = s.lane; lane < s.lane + s.rows; ++lane) values[lane] = from[at.at[lane]];
    };
    read(value_, to.value), read(shift_, to.shift);
  }

  /// For columns from `j` on, whose elements of the tensor that is added are at `added`.
  Finish<T> finish(const Columns& columns, const Rows& rows, int64_t j, const T* const* added) const {
    const auto values = [&](const Companion* tensor, const T* of_columns, const T* of_lanes) ->
        typename Finish<T>::Values {
          if (!tensor) return {};
          return stays(tensor->rows) ? typename Finish<T>::Values{of_columns + j, nullptr}
                                     : typename Finish<T>::Values{nullptr, of_lanes};
        };
    return {values(value_, columns.value, rows.value), added_ ? added : nullptr,
            values(shift_, columns.shift, rows.shift), low_, high_};
  }

  /// Over a strip of sums in memory, behind which is room for another one.
  template <int packets>
  void run(const Strip& strip, const Columns& columns, T* sums) const {
    Rows rows;
    find_rows(strip, rows);
    const T* added[kStrip];
    T* const tile = sums + kStripRoom * strip.width;
    if (added_ && !rows.consecutive)
      load_spans(strip, tile, start_of<T>(p_, *added_, strip.batch), LaneOffsets<T>(p_, added_->rows, strip).at,
                 columns.added, strip.columns);
    for (int64_t j = 0; added_ && j < strip.columns; ++j)
      added[j] = rows.consecutive ? rows.added + columns.added[j] : tile + j * strip.width;
    const Finish<T> finish = this->finish(columns, rows, 0, added);
    for (int64_t j = 0; j < strip.columns; ++j) {
      T* const from = sums + j * strip.width;
      T* const to = rows.consecutive ? rows.out + columns.out[j] : from;
      typename Packets<T>::Type x[packets];
      for (int p = 0; p < packets; ++p) x[p] = Packets<T>::load(from + p * lanes);
      finish([&](auto&& f) {
        for (int p = 0; p < packets; ++p) f(x[p], j, p * lanes);
      });
      for (int p = 0; p < packets; ++p) Packets<T>::store(to + p * lanes, x[p]);
    }
    if (!rows.consecutive)
      store_spans(strip, sums, start_of<T>(p_, p_.outputs[0], strip.batch),
                  LaneOffsets<T>(p_, p_.outputs[0].rows, strip).at, columns.out, false);
  }

 private:
  static constexpr int lanes = Packets<T>::lanes;
  static constexpr T infinity = Finish<T>::infinity;

  explicit UsualEpilogue(const Product& p) : p_(p) {}

  /// Follows the program: the sums and what becomes of them, `chain`, and beside them a tensor that is shifted.
  bool find() {
    const std::vector<Instruction>& program = p_.epilogue->program;
    const std::vector<Input>& inputs = p_.epilogue->inputs;
    int chain = -1, beside = -1;
    const auto loaded = [&](int v) -> const Companion* {
      const auto* load = std::get_if<Load>(&program[size_t(v)].op);
      return load && inputs[size_t(load->input)].kind != Input::Kind::Sum ? &p_.inputs[size_t(load->input)] : nullptr;
    };
    const auto is_value = [](const Companion& tensor) { return stays(tensor.rows) || stays(tensor.columns); };
    for (int v = 0; v < int(program.size()); ++v) {
      const Instruction& i = program[size_t(v)];
      if (const auto* load = std::get_if<Load>(&i.op); load || std::holds_alternative<Constant>(i.op)) {
        if (load && !loaded(v) && chain < 0) chain = v;
        continue;
      }
      const auto* op = std::get_if<BinaryOp>(&i.op);
      if (!op) return false;
      const bool left = i.args[0] == chain, right = i.args[1] == chain,
                 clamped = low_ != -infinity || high_ != infinity;
      if (left && right) return false;
      if (!left && !right) {
        const Companion *x = loaded(i.args[0]), *y = loaded(i.args[1]);
        if (*op != BinaryOp::Add || !x || !y || added_) return false;
        if (is_value(*x)) std::swap(x, y);
        if (is_value(*x) || !is_value(*y)) return false;
        added_ = x, shift_ = y, beside = v;
        continue;
      }
      const int other = i.args[left];
      const Companion* const tensor = loaded(other);
      const auto* constant = std::get_if<Constant>(&program[size_t(other)].op);
      const T bound = constant ? constant->value.template as<T>() : T(0);
      if (*op == BinaryOp::Add && !clamped && other == beside) {
        beside = -1;
      } else if (*op == BinaryOp::Add && !clamped && tensor) {
        const bool value = is_value(*tensor);
        if (value ? value_ || (added_ && beside < 0) : added_ != nullptr) return false;
        (value ? value_ : added_) = tensor;
      } else if (*op == BinaryOp::Max && left && constant && !clamped && bound == bound) {
        low_ = bound;
      } else if (*op == BinaryOp::Min && left && constant && high_ == infinity && bound == bound) {
        high_ = bound;
      } else {
        return false;
      }
      chain = v;
    }
    return chain >= 0 && beside < 0 && p_.outputs.size() == 1 && p_.epilogue->outputs[0].value == chain;
  }

  const Product& p_;
  const Companion *value_ = nullptr, *added_ = nullptr, *shift_ = nullptr;
  T low_ = -infinity, high_ = infinity;
};

}  // namespace tinyops::cpu
