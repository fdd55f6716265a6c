// Whether a program may run. Its file is a stranger's, so it is looked at as an operating system looks at byte code:
// once, before anything runs, and without running it. What holds then holds whatever the inputs' elements are.
//
//   check_slots      each has memory for its elements; those of one block are never needed at the same time
//   check_program    every value of a program is there when it is read, and of the dtype that is expected
//   check_operand    every address that an operand's guards let through lies inside its slot
//   check_outputs    no element is written twice
//   check_over       or while another still reads it
//   read, finish     nothing is read before all of it was written; what leaves the call was written
//
// What the inputs' elements can still do, an index outside of its axis, a backend looks at while it runs: so nothing
// may write to an index while it is read. That a bool is 0 or 1, whoever hands one in sees to: no kernel makes another.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>

#include "teeny/program/contents.h"
#include "teeny/program/touched.h"

namespace teeny::program {

using namespace tinyops;

namespace {

constexpr int64_t kMaxBytes = int64_t(16) << 30;   ///< of memory that a call needs beside the state
constexpr int64_t kMaxSteps = int64_t(1) << 52;    ///< elements that a kernel walks through
constexpr int64_t kMaxProduct = int64_t(1) << 61;  ///< of them with a guard's position: backends count along both
constexpr int64_t kMaxWork = int64_t(1) << 24;     ///< comparisons, to know that what is written in parts is whole
constexpr int kMaxGuards = 31;                     ///< of a view

/// The values that a value is computed from, itself among them: bit v is value v.
using Values = uint64_t;
static_assert(kMaxInstructions <= 64);

class CallVerifier {
 public:
  CallVerifier(const std::string& where, const std::vector<StateTensor>& state, const Call& call, int64_t& work)
      : where_(where), state_(state), call_(call), lives_(call.slots.size()), work_(work) {}

  void run() {
    check_ports(call_.inputs, call_.input_slots, "input");
    check_ports(call_.outputs, call_.output_slots, "output");
    check_slots();
    check_updates();
    for (size_t k = 0; k < call_.kernels.size(); ++k) {
      step_ = int(k);
      std::visit([&](const auto& kernel) { check(kernel); }, call_.kernels[k]);
    }
    step_ = -1;
    finish();
    check_draws();
  }

 private:
  /// What is known of a slot: when kernels first and last touch it, and whether all of it has been written.
  struct Life {
    int first = -1, last = -1;
    bool whole = false, written = false;
    Coverage parts = {};
  };

  // ---- Errors

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    if (step_ < 0) fail(where_, ": ", parts...);
    fail(where_, ", kernel ", step_, " (", label(), "): ", parts...);
  }
  template <class... Parts>
  void require(bool holds, const Parts&... rule) const {
    if (!holds) refuse(rule...);
  }
  std::string label() const {
    return std::visit(
        [](const auto& k) {
          if constexpr (requires { k.shape; }) return text(k.kind, ' ', k.shape);
          else return text(k.kind, ' ', k.out.view.shape);
        },
        call_.kernels[size_t(step_)]);
  }

  /// How many elements, within what memory and time allow.
  int64_t elements(const Shape& shape, const std::string& what, int64_t limit = kMaxSteps) const {
    const std::optional<int64_t> found = count(shape, limit);
    require(found.has_value(), what, " of ", shape, " is of more than ", limit, " elements, or of a negative size");
    return *found;
  }

  // ---- Slots

  const Slot& slot(int number, const std::string& what) const {
    require(number >= 0 && size_t(number) < call_.slots.size(), what, " is slot ", number, ", and there are ",
            call_.slots.size());
    return call_.slots[size_t(number)];
  }

  void check_ports(const std::vector<Port>& ports, const std::vector<int>& slots, const char* kind) const {
    require(slots.size() == ports.size(), ports.size(), ' ', kind, "s, and slots for ", slots.size());
    for (size_t i = 0; i < ports.size(); ++i) {
      const std::string what = text(kind, ' ', i, " \"", ports[i].name, '"');
      const Slot& s = slot(slots[i], what);
      require(s.dtype == ports[i].dtype && s.elements == elements(ports[i].shape, what, kMaxBytes), what, " is ",
              ports[i].dtype, ' ', ports[i].shape, ", its slot ", s.dtype, " of ", s.elements, " elements");
      require(kind[0] == 'o' ? s.kind != Slot::Kind::Temporary : s.kind == Slot::Kind::Input && s.number == int(i),
              what, " may not be slot ", slots[i]);
    }
  }

  void check_slots() {
    int64_t bytes = 0;
    const auto add = [&](int64_t more) {
      require(more >= 0 && more <= kMaxBytes && (bytes += more) <= kMaxBytes, "more memory than the ", kMaxBytes >> 30,
              " GiB that a call may take");
    };
    for (int64_t block : call_.blocks) add(block);
    std::vector<int> state_slots(state_.size(), -1);
    for (size_t i = 0; i < call_.slots.size(); ++i) {
      const Slot& s = call_.slots[i];
      const std::string what = text("slot ", i);
      const int64_t size = elements({s.elements}, what, kMaxBytes / itemsize(s.dtype)) * itemsize(s.dtype);
      require(s.buffer && int64_t(s.buffer->bytes()) == size, what, " has no buffer of ", size, " bytes");
      require(number_.emplace(s.buffer.get(), int(i)).second, what, " has the buffer of another one");
      const auto numbered = [&](size_t of) {
        require(s.number >= 0 && size_t(s.number) < of, what, " names number ", s.number, " of ", of);
        return size_t(s.number);
      };
      switch (s.kind) {
        case Slot::Kind::State: {
          const StateTensor& tensor = state_[numbered(state_.size())];
          require(std::exchange(state_slots[size_t(s.number)], int(i)) < 0, what, " is another one of \"", tensor.name,
                  '"');
          require(s.dtype == tensor.dtype && s.elements == elements(tensor.shape, what), what, " is ", s.dtype, " of ",
                  s.elements, " elements, \"", tensor.name, "\" ", tensor.dtype, ' ', tensor.shape);
          break;
        }
        case Slot::Kind::Input:
          require(call_.input_slots[numbered(call_.inputs.size())] == int(i), what, " is another one of input ",
                  s.number);
          add(size);
          break;
        case Slot::Kind::Fresh: add(size); break;
        case Slot::Kind::Temporary:
          require(size <= call_.blocks[numbered(call_.blocks.size())], what, " of ", size,
                  " bytes is larger than block ", s.number);
      }
      lives_[i].whole = s.elements == 0 || s.kind == Slot::Kind::State || s.kind == Slot::Kind::Input;
    }
  }

  void check_updates() {
    std::set<int> taken;
    for (const Call::Update& u : call_.updates) {
      require(u.state >= 0 && size_t(u.state) < state_.size(), "an update of state tensor ", u.state, " of ",
              state_.size());
      const StateTensor& tensor = state_[size_t(u.state)];
      const Slot& s = slot(u.slot, text("the next \"", tensor.name, '"'));
      require(updated_.emplace(u.state, u.slot).second, '"', tensor.name, "\" is updated twice");
      require(!tensor.frozen, '"', tensor.name, "\" is frozen, and updated");
      require(taken.insert(u.slot).second, "slot ", u.slot, " becomes two state tensors");
      require(s.kind == Slot::Kind::Fresh || (s.kind == Slot::Kind::State && s.number == u.state), "slot ", u.slot,
              " may not become \"", tensor.name, '"');
      require(s.dtype == tensor.dtype && s.elements == elements(tensor.shape, "an update"), "slot ", u.slot, " is ",
              s.dtype, " of ", s.elements, " elements, \"", tensor.name, "\" ", tensor.dtype, ' ', tensor.shape);
    }
  }

  // ---- Views and operands

  void check_form(const Affine& form, const Shape& shape, const std::string& what, int64_t limit) const {
    require(form.coef.size() == shape.size(), what, " has ", form.coef.size(), " coefficients along ", shape.size(),
            " axes");
    require(reach(form, shape) <= limit, what, " leads further than ", limit, " elements from where it begins");
  }

  /// Its shape, and that nothing overflows that is computed of it. `far`: how far its address may lead.
  void check_view(const View& view, const Shape& shape, const std::string& what, int64_t far = kFar) const {
    require(view.shape == shape, what, " has the shape ", view.shape, ", and should have ", shape);
    require(int(view.guards.size()) <= kMaxGuards, what, " has more than ", kMaxGuards, " guards");
    check_form(view.address, shape, what, far);
    for (const Guard& guard : view.guards) {
      check_form(guard.position, shape, what, kFar);
      require(guard.size >= 0 && guard.size <= kFar, what, " has a guard of size ", guard.size);
      int64_t others = 1;  // elements along the axes that it does not look at, which may be counted together with it
      for (int a = 0; a < shape.size(); ++a)
        if (guard.position.coef[a] == 0) others *= std::max<int64_t>(shape[a], 1);
      require(guard.size + reach(guard.position, shape) <= kMaxProduct / others, what,
              " has a guard that leads too far");
    }
  }

  /// An operand in memory: its dtype, its view, and that all it touches lies in its slot. `box` has the axes along
  /// which it is walked, those of `shape` or, of a value of a row, one element of the inner ones. Returns the slot's
  /// number.
  int check_operand(const Operand& x, const Shape& shape, const Shape& box, const std::string& what) const {
    const auto found = number_.find(x.buffer.get());
    require(found != number_.end(), what, " has no slot");
    const Slot& s = call_.slots[size_t(found->second)];
    require(x.dtype == s.dtype, what, " is ", x.dtype, ", its slot ", s.dtype);
    check_view(x.view, shape, what);
    if (box.contains(0)) return found->second;
    if (const auto reached = addresses(x.view, box))
      require(reached->low >= 0 && reached->high < s.elements, what, " reaches from element ", reached->low, " to ",
              reached->high, " of ", s.elements);
    return found->second;
  }
  int check_operand(const Operand& x, const Shape& shape, const std::string& what) const {
    return check_operand(x, shape, shape, what);
  }

  void touch(int number) {
    Life& life = lives_[size_t(number)];
    if (life.first < 0) life.first = step_;
    life.last = step_;
  }

  void read(int number, const std::string& what) {
    touch(number);
    require(lives_[size_t(number)].whole, what, " reads slot ", number, ", and not all of it has been written");
  }

  /// Notes that a kernel writes there. `region`: what; the whole slot where there is none.
  void write(int number, const std::string& what, std::optional<Region> region) {
    touch(number);
    const Slot& s = call_.slots[size_t(number)];
    Life& life = lives_[size_t(number)];
    require(s.kind != Slot::Kind::Input, what, " writes to an input");
    if (s.kind == Slot::Kind::State) {
      const auto update = updated_.find(s.number);
      require(update != updated_.end() && update->second == number, what, " writes to \"",
              state_[size_t(s.number)].name, "\", which is not updated in place");
      wrote_state_ = true;
    }
    life.written = true;
    if (life.whole) return;
    if (region) life.parts.add(std::move(*region), work_);
    require(work_ > 0, what, " writes parts too many to see that they are a whole");
    life.whole = !region || life.parts.is_whole(s.elements);
    if (life.whole) life.parts = {};
  }

  /// What an output writes; nothing where it has no elements.
  std::optional<Region> region_of(const Operand& x, const Shape& box, const std::string& what) const {
    require(x.view.guards.empty(), what, " has guards");
    if (box.contains(0)) return std::nullopt;
    std::optional<Region> region = written_by(x.view, box);
    require(region.has_value(), what, " might write twice to one element: ", x.view);
    return region;
  }

  // ---- Row kernels

  /// The dtype of the result of an operation, by those of its arguments.
  DType result_of(const Instruction& i, const RowKernel& k, const std::string& what) const {
    const auto arg = [&](int a) { return k.program[size_t(i.args[size_t(a)])].dtype; };
    if (const auto* load = std::get_if<Load>(&i.op)) {
      require(load->input >= 0 && size_t(load->input) < k.inputs.size(), what, " loads input ", load->input, " of ",
              k.inputs.size());
      return k.inputs[size_t(load->input)].operand.dtype;
    }
    if (std::holds_alternative<tinyops::Constant>(i.op)) return i.dtype;
    if (std::holds_alternative<tinyops::Reduce>(i.op)) return arg(0);
    if (const auto* op = std::get_if<UnaryOp>(&i.op)) {
      require(*op != UnaryOp::Bitcast ||
                  (itemsize(i.dtype) == itemsize(arg(0)) && i.dtype != DType::Bool && arg(0) != DType::Bool),
              what, ": no Bitcast from ", arg(0), " to ", i.dtype);
      if (*op == UnaryOp::Cast || *op == UnaryOp::Bitcast) return i.dtype;
      return gives_bool(*op) ? DType::Bool : arg(0);
    }
    if (const auto* op = std::get_if<BinaryOp>(&i.op)) {
      require(arg(0) == arg(1), what, ": arguments of ", arg(0), " and ", arg(1));
      return gives_bool(*op) ? DType::Bool : arg(0);
    }
    require(arg(0) == DType::Bool && arg(1) == arg(2), what, ": arguments of ", arg(0), ", ", arg(1), " and ", arg(2));
    return arg(1);
  }

  static int arity(const Instruction& i) {
    if (std::holds_alternative<Load>(i.op) || std::holds_alternative<tinyops::Constant>(i.op)) return 0;
    return std::holds_alternative<TernaryOp>(i.op) ? 3 : std::holds_alternative<BinaryOp>(i.op) ? 2 : 1;
  }

  /// That every value is computed from earlier ones, those of a row from a row's, and of the dtype that it says.
  /// Returns from which values each is computed.
  std::vector<Values> check_program(const RowKernel& k, int64_t row) const {
    std::vector<Values> from;
    std::vector<bool> late;  // only known when a row has been reduced
    require(!k.program.empty() && k.program.size() <= size_t(kMaxInstructions), "a program of ", k.program.size(),
            " instructions, not of 1 to ", kMaxInstructions);
    for (size_t v = 0; v < k.program.size(); ++v) {
      const Instruction& i = k.program[v];
      const std::string what = text("value ", v);
      const bool reduces = std::holds_alternative<tinyops::Reduce>(i.op);
      from.push_back(Values(1) << v), late.push_back(reduces);
      for (int a = 0; a < 3; ++a) {
        const int arg = i.args[size_t(a)];
        require(a < arity(i) ? arg >= 0 && size_t(arg) < v : arg == -1, what, " may not have value ", arg,
                " as argument ", a);
        if (arg < 0) continue;
        from[v] |= from[size_t(arg)], late[v] = late[v] || late[size_t(arg)];
        require(!i.per_row || reduces || k.program[size_t(arg)].per_row, what, " is a row's, and value ", arg,
                ", which it is computed from, an element's");
      }
      require(i.dtype == result_of(i, k, what), what, " is ", i.dtype, ", and should be ", result_of(i, k, what));
      require(i.per_row || !reduces, what, " is a Reduce, and not a row's");
      require(!i.per_row || k.inner > 0, what, " is a row's, and there are no inner axes");
      require(!late[v] || i.per_row || row <= kMaxRow, what, " is computed in a row's second walk, of more than ",
              kMaxRow, " elements");
    }
    return from;
  }

  /// A value of a row is read and written once a row: where the inner axes are at 0.
  void check_row_view(const View& view, int inner, const std::string& what) const {
    const auto stays = [&](const Affine& form) {
      return std::all_of(form.coef.end() - inner, form.coef.end(), [](int64_t step) { return step == 0; });
    };
    require(stays(view.address) && std::ranges::all_of(view.guards, stays, &Guard::position), what,
            " is a row's, and its view moves along the row");
  }

  void check_inputs(const RowKernel& k, const Shape& rows, const std::optional<DType>& sum) {
    require(k.inputs.size() <= size_t(kMaxInputs), k.inputs.size(), " inputs, more than ", kMaxInputs);
    int sums = 0;
    for (size_t i = 0; i < k.inputs.size(); ++i) {
      const Input& input = k.inputs[i];
      const std::string what = text("input ", i);
      bool by_row = false, by_element = false;
      for (const Instruction& step : k.program)
        if (const auto* load = std::get_if<Load>(&step.op); load && load->input == int(i))
          (step.per_row ? by_row : by_element) = true;
      if (input.kind == Input::Kind::Memory) {
        const int number = check_operand(input.operand, k.shape, by_row && !by_element ? rows : k.shape, what);
        if (by_row && by_element) check_operand(input.operand, k.shape, rows, what);
        read(number, what);
      } else {
        require(!input.operand.buffer, what, " is none in memory, and has a buffer");
        check_view(input.operand.view, k.shape, what, input.kind == Input::Kind::Address ? kMaxProduct : kFar);
      }
      if (by_row) check_row_view(input.operand.view, k.inner, what);
      if (input.kind != Input::Kind::Sum) continue;
      require(sum && input.operand.dtype == *sum && (input.operand.view.is_contiguous() || k.shape.contains(0)), what,
              " is no sum");
      require(++sums == 1, "more than one input that is the sum");
    }
    require(!sum || sums == 1, "no input that is the sum");
  }

  /// An output may lie over an input only if the two are in step: each element is read where it is written, and by no
  /// one else. With inner axes only a value of the row may, over one of the row that is read for it alone: it may be
  /// stored before the row is over.
  static bool in_step(const Shape& shape, const View& to, const View& from) {
    bool same = from.guards.empty() && to.address.offset == from.address.offset;
    for (int a = 0; a < shape.size(); ++a) same &= shape[a] == 1 || to.address.coef[a] == from.address.coef[a];
    return same;
  }
  void check_over(const RowKernel& k, const std::vector<Values>& from, const Output& output, const Input& input,
                  const std::string& what) const {
    if (k.inner == 0) return;
    const auto loads = [&](int v) {
      const auto* load = v < 0 ? nullptr : std::get_if<Load>(&k.program[size_t(v)].op);
      return load && &k.inputs[size_t(load->input)] == &input;
    };
    const Values used = from[size_t(output.value)];
    // Where something is reduced, all of a row's values are loaded before that is done. Where nothing is, the elements
    // of a row wait for no one: then none may be computed from what is read there, not even by way of other values.
    const auto reduces = [](const Instruction& i) { return std::holds_alternative<tinyops::Reduce>(i.op); };
    const bool waits = std::ranges::any_of(k.program, reduces);
    Values loaded = 0;
    for (size_t v = 0; v < k.program.size(); ++v) {
      loaded |= Values(loads(int(v))) << v;
      const bool reads = waits ? loads(int(v)) || std::ranges::any_of(k.program[v].args, loads) : (from[v] & loaded) != 0;
      require(!reads || (k.program[v].per_row && (used >> v & 1)), what, ": value ", v, " reads that, too");
    }
    for (const Output& other : k.outputs)
      require(&other == &output || !loads(other.value), what, ": another one stores that, too");
  }

  void check_outputs(const RowKernel& k, const Shape& rows, const std::vector<Values>& from) {
    require(!k.outputs.empty() && k.outputs.size() <= size_t(kMaxOutputs), k.outputs.size(), " outputs, not 1 to ",
            kMaxOutputs);
    std::multimap<int, std::pair<const Output*, std::optional<Region>>> written;  // by slot
    for (size_t o = 0; o < k.outputs.size(); ++o) {
      const Output& output = k.outputs[o];
      const std::string what = text("output ", o);
      require(output.value >= 0 && size_t(output.value) < k.program.size(), what, " is value ", output.value, " of ",
              k.program.size());
      const Instruction& value = k.program[size_t(output.value)];
      require(output.operand.dtype == value.dtype, what, " is ", output.operand.dtype, ", its value ", value.dtype);
      const Shape& box = value.per_row ? rows : k.shape;
      const int number = check_operand(output.operand, k.shape, box, what);
      if (value.per_row) check_row_view(output.operand.view, k.inner, what);
      const std::optional<Region> region = region_of(output.operand, box, what);
      const auto [first, last] = written.equal_range(number);
      for (auto other = first; region && other != last; ++other)
        require(!other->second.second || apart(*region, *other->second.second), what,
                " might write where another output does");
      written.emplace(number, std::pair(&output, region));
    }
    for (size_t i = 0; i < k.inputs.size(); ++i) {
      const Input& input = k.inputs[i];
      if (input.kind != Input::Kind::Memory) continue;
      const auto [first, last] = written.equal_range(number_.at(input.operand.buffer.get()));
      if (first == last) continue;
      const auto over = std::find_if(first, last, [&](const auto& w) {
        return in_step(k.shape, w.second.first->operand.view, input.operand.view);
      });
      require(over != last, "an output lies over input ", i, ", which is read in another order");
      check_over(k, from, *over->second.first, input, text("the output over input ", i));
    }
    for (auto& [number, w] : written)
      if (w.second) write(number, text("output ", w.first - k.outputs.data()), std::move(w.second));
  }

  void check(const RowKernel& k) { check_rows(k, std::nullopt); }
  void check_rows(const RowKernel& k, const std::optional<DType>& sum) {
    elements(k.shape, "a kernel");
    require(k.inner >= 0 && k.inner <= k.shape.size(), k.inner, " inner axes of ", k.shape.size());
    Shape rows = k.shape;
    std::fill_n(rows.end() - k.inner, k.inner, 1);
    const Shape row(k.shape.end() - k.inner, k.shape.end());
    const std::vector<Values> from = check_program(k, elements(row, "a row"));
    check_inputs(k, rows, sum);
    check_outputs(k, rows, from);
  }

  // ---- Contractions

  void check(const ContractKernel& k) {
    const int64_t steps = elements(k.shape, "a kernel");
    require(k.reduced >= 0 && k.reduced <= k.shape.size(), k.reduced, " summed axes of ", k.shape.size());
    require(k.epilogue.shape == Shape(k.shape.begin(), k.shape.end() - k.reduced) && k.epilogue.inner == 0,
            "an epilogue of ", k.epilogue.shape, " with ", k.epilogue.inner, " inner axes");
    require(k.a.dtype == k.b.dtype, "factors of ", k.a.dtype, " and ", k.b.dtype);
    // A backend may hold where each term of a sum is, and a copy of a factor, padding included.
    const int64_t terms = elements(Shape(k.shape.end() - k.reduced, k.shape.end()), "a sum");
    require(terms <= kMaxBytes / 32, "sums of ", terms, " terms");
    for (const Operand* x : {&k.a, &k.b}) {
      const std::string what = x == &k.a ? "factor a" : "factor b";
      const int number = check_operand(*x, k.shape, what);
      require(steps == 0 || places(x->view) <= double(kMaxBytes / 8), what, " is too large a window onto its slot");
      read(number, what);
      for (const Output& output : k.epilogue.outputs)
        require(output.operand.buffer != x->buffer, "an output lies over ", what);
    }
    check_rows(k.epilogue, k.a.dtype);
    for (const Output& output : k.epilogue.outputs) {
      const auto* load = std::get_if<Load>(&k.epilogue.program[size_t(output.value)].op);
      if (!load || k.epilogue.inputs[size_t(load->input)].kind != Input::Kind::Sum) continue;
      for (const Input& input : k.epilogue.inputs)
        require(input.operand.buffer != output.operand.buffer, "the sum is stored over an input");
    }
  }

  // ---- The other kinds

  template <class Kind>
  void check_special(const Kind& k, const std::optional<Region>& region) {
    const int out = number_.at(k.out.buffer.get());
    for (const auto operand : Kind::reads) {
      const int number = number_.at((k.*operand).buffer.get());
      require(number != out, "the result lies over what is read");
      read(number, "an operand");
    }
    if (region || std::is_same_v<Kind, ScatterKernel>) write(out, "the result", region);
  }

  /// A table, or what takes its place: one axis more than the index, along which that picks.
  void check_index(const Operand& index, const Operand& picked, const char* name, const IndexOrigin& origin) {
    require(!wrote_state_ || !call_.in_place, "an index is looked at after state was written over in place");
    const Shape& shape = index.view.shape;
    const int64_t positions = elements(shape, "an index");
    require(shape.size() < kMaxRank && picked.view.shape.size() == shape.size() + 1, name, " of ", picked.view.shape,
            " for an index of ", shape);
    Shape all = shape;
    all.push_back(picked.view.shape.back());
    elements(all, name);
    check_operand(index, shape, "the index");
    check_operand(picked, all, name);
    require(is_int(index.dtype), "an index of dtype ", index.dtype);
    require(origin.op && origin.axis >= -1 && origin.axis < shape.size(), "an index whose origin has no name or axis");
    if (origin.given && positions > 0)
      require(count(*origin.given, kMaxSteps).value_or(0) > 0, "an index that comes from one of ", *origin.given);
  }

  void check(const GatherKernel& k) {
    check_index(k.index, k.table, "the table", k.origin);
    check_operand(k.out, k.index.view.shape, "the result");
    require(k.out.dtype == k.table.dtype, "a result of ", k.out.dtype, " from a table of ", k.table.dtype);
    check_special(k, region_of(k.out, k.out.view.shape, "the result"));
  }

  void check(const ScatterKernel& k) {
    check_index(k.index, k.out, "the result", k.origin);
    check_operand(k.source, k.index.view.shape, "the source");
    require(k.out.dtype == k.source.dtype, "a result of ", k.out.dtype, " from a source of ", k.source.dtype);
    require(k.out.view.guards.empty(), "the result has guards");
    check_special(k, std::nullopt);  // every element starts from nothing
  }

  void check_along(const Operand& in, const Operand& out) const {
    elements(in.view.shape, "a kernel");
    require(in.view.shape.size() > 0, "no axis to walk along");
    check_operand(in, in.view.shape, "the source");
    check_operand(out, in.view.shape, "the result");
  }

  void check(const ScanKernel& k) {
    check_along(k.in, k.out);
    require(k.in.dtype == k.out.dtype, "a result of ", k.out.dtype, " from ", k.in.dtype);
    check_special(k, region_of(k.out, k.out.view.shape, "the result"));
  }

  void check(const SortKernel& k) {
    check_along(k.in, k.out);
    require(k.out.dtype == DType::Int64, "places of dtype ", k.out.dtype);
    check_special(k, region_of(k.out, k.out.view.shape, "the result"));
  }

  /// An operand that is walked as it lies in memory.
  void check_contiguous(const Operand& x, const Shape& shape, const std::string& what) const {
    elements(shape, what);
    check_operand(x, shape, what);
    require(x.view.is_contiguous(), what, " is not contiguous");
    require(x.dtype == DType::Float32 || x.dtype == DType::Float64, what, " is ", x.dtype);
  }

  void check(const RandomKernel& k) {
    check_contiguous(k.out, k.out.view.shape, "the result");
    check_special(k, region_of(k.out, k.out.view.shape, "the result"));
  }

  void check(const RecurrentKernel& k) {
    const Shape &in = k.in.view.shape, &weight = k.weight.view.shape;
    require(in.size() == 4 && weight.size() == 3, "an input of ", in, " and a weight of ", weight);
    const int64_t hidden = weight[1] - 1, gates = gates_of(k.cell), states = states_of(k.cell);
    require(hidden >= 0 && hidden <= kMaxHidden, "a state of ", hidden, " elements");
    check_contiguous(k.in, {in[0], in[1], in[2], gates * hidden}, "the input");
    check_contiguous(k.weight, {in[1], hidden + 1, gates * hidden}, "the weight");
    check_contiguous(k.first, {in[1], in[2], states * hidden}, "the first state");
    check_contiguous(k.out, {in[0], in[1], in[2], states * hidden}, "the result");
    for (const Operand* x : {&k.weight, &k.first, &k.out})
      require(x->dtype == k.in.dtype, "operands of ", k.in.dtype, " and ", x->dtype);
    require(k.forward >= 0 && k.forward <= in[1], k.forward, " layers of ", in[1], " walk forward");
    check_special(k, region_of(k.out, k.out.view.shape, "the result"));
  }

  template <class Kind>
  void check(const Kind&) {
    refuse("no program file has a kernel of this kind");
  }

  // ---- The end of the call

  void finish() const {
    std::map<int, std::vector<size_t>> in_block;
    std::vector<int64_t> needed(call_.blocks.size(), 0);
    for (size_t i = 0; i < call_.slots.size(); ++i) {
      const Slot& s = call_.slots[i];
      if (s.kind != Slot::Kind::Temporary && s.kind != Slot::Kind::Fresh) continue;
      require(s.elements == 0 || lives_[i].first >= 0, "slot ", i, " has memory, and no kernel writes there");
      if (s.kind != Slot::Kind::Temporary) continue;
      in_block[s.number].push_back(i);
      needed[size_t(s.number)] = std::max(needed[size_t(s.number)], int64_t(s.buffer->bytes()));
    }
    for (size_t b = 0; b < needed.size(); ++b)
      require(call_.blocks[b] == needed[b], "block ", b, " has ", call_.blocks[b], " bytes, and its slots need ",
              needed[b]);
    for (auto& [block, slots] : in_block) {
      std::ranges::sort(slots, {}, [&](size_t i) { return lives_[i].first; });
      for (size_t i = 1; i < slots.size(); ++i)
        require(lives_[slots[i - 1]].last < lives_[slots[i]].first, "slots ", slots[i - 1], " and ", slots[i],
                " are in use at the same time, both in block ", block);
    }
    for (size_t i = 0; i < call_.output_slots.size(); ++i)
      require(lives_[size_t(call_.output_slots[i])].whole, "not all of output ", i, " has been written");
    for (const Call::Update& u : call_.updates)
      require(lives_[size_t(u.slot)].whole, "not all of the next \"", state_[size_t(u.state)].name,
              "\" has been written");
  }

  void check_draws() const {
    std::set<int> draws;
    for (const Call::Draw& draw : call_.draws) {
      const bool there = draw.kernel >= 0 && size_t(draw.kernel) < call_.kernels.size();
      const auto* random = there ? std::get_if<RandomKernel>(&call_.kernels[size_t(draw.kernel)]) : nullptr;
      require(random && draws.insert(draw.kernel).second, "kernel ", draw.kernel,
              " draws no random words, or draws twice");
      const uint64_t words = uint64_t(random->out.view.numel()) * (random->out.dtype == DType::Float64 ? 2 : 1);
      require(draw.words_before <= call_.words && words <= call_.words - draw.words_before, "kernel ", draw.kernel,
              " draws ", words, " words after ", draw.words_before, ", and the call ", call_.words);
    }
    for (size_t k = 0; k < call_.kernels.size(); ++k)
      require(draws.contains(int(k)) || !std::holds_alternative<RandomKernel>(call_.kernels[k]), "kernel ", k,
              " draws random words, and nothing says which");
  }

  const std::string where_;
  const std::vector<StateTensor>& state_;
  const Call& call_;
  std::vector<Life> lives_;                        ///< of each slot
  std::unordered_map<const Buffer*, int> number_;  ///< the slot of each buffer
  std::map<int, int> updated_;                     ///< state tensor -> slot
  bool wrote_state_ = false;
  int64_t& work_;  ///< that may still be done
  int step_ = -1;  ///< the kernel that is looked at
};

}  // namespace

void verify(const std::string& file, const Contents& contents) {
  for (const StateTensor& tensor : contents.state) {
    const std::optional<int64_t> elements = count(tensor.shape, INT64_MAX / 8);
    if (!elements || !tensor.buffer || int64_t(tensor.buffer->bytes()) < *elements * itemsize(tensor.dtype))
      fail(file, ": \"", tensor.name, "\" of ", tensor.shape, " has no memory of so many elements");
  }
  std::map<std::string, size_t> calls;  // by their inputs
  int64_t work = kMaxWork;
  for (size_t c = 0; c < contents.calls.size(); ++c) {
    CallVerifier(text(file, ": call ", c), contents.state, contents.calls[c], work).run();
    std::string inputs;
    for (const Port& port : contents.calls[c].inputs) inputs += text(port.dtype, port.shape);
    const auto [other, is_new] = calls.emplace(inputs, c);
    if (!is_new) fail(file, ": calls ", other->second, " and ", c, " have the same inputs");
  }
}

}  // namespace teeny::program
