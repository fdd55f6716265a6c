// From recordings to a program file (program/contents.h).
//
//   in a recording                         in the file
//   what an input stands in for            the slot of that input
//   values from before the call            a state tensor, each memory once for all recordings
//   what the call leaves in a variable     the same slot, written in place; or a fresh one, and an update
//   a result                               a fresh slot, row-major; where it is a view, a constant, an input or a
//                                          variable, one more kernel copies it there
//   the rest, gradients too                temporaries, whose blocks are planned anew
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "teeny/jit/blocks.h"
#include "teeny/jit/jit.h"
#include "teeny/jit/recording.h"
#include "teeny/program/format.h"
#include "teeny/schedule/assignments.h"

namespace teeny {

using tinyops::Buffer;
using tinyops::BufferRef;
using tinyops::Kernel;

namespace {

using Data = std::shared_ptr<LazyBuffer>;  ///< a tensor, as a recording knows it

/// "input", or "input_0", "input_1" ..; or the names that are given.
std::vector<std::string> names_of(const std::vector<std::string>& given, const char* kind, size_t count) {
  if (!given.empty() && given.size() != count)
    fail("Jit: save: ", given.size(), " names of ", kind, "s, and there are ", count);
  std::vector<std::string> names = given;
  for (size_t i = names.size(); i < count; ++i) names.push_back(count == 1 ? kind : text(kind, '_', i));
  return names;
}

/// Whether views of a node show its elements, all of them, in row-major order.
bool is_whole(const ShapeTracker& views, const Shape& of_node) {
  return views.is_contiguous() && numel(views.shape()) == numel(of_node);
}

std::vector<std::byte> bytes_of(const Node& node) {
  std::vector<std::byte> bytes(size_t(numel(node.shape()) * itemsize(node.dtype)));
  if (!bytes.empty()) tinyops::read(bytes.data(), node.buffer->data(), bytes.size());
  return bytes;
}

/// The state tensors of a file: what its calls look at and is there before them.
class State {
 public:
  /// A recording that is to be saved assigns to `data`; of all of them, before the rest is asked for.
  void will_assign(const Data& data) { assigned_.insert(data); }
  /// The one with the elements of `node`, at which `tensors` look; none: a constant of the host.
  int of(const std::shared_ptr<Node>& node, std::span<const Data> tensors) {
    const auto stay = [&](const Data& x) { return !assigned_.contains(x); };
    const auto same = [&](const Memory& m) {
      if (std::ranges::any_of(tensors, [&](const Data& x) { return m.has(x); })) return true;
      // What is assigned to has elements of its own, also where those of another are the same now.
      if (m.node == node) return std::ranges::all_of(m.tensors, stay) && std::ranges::all_of(tensors, stay);
      // Recordings for two shapes have each constants of their own.
      return tensors.empty() && m.tensors.empty() && m.node->dtype == node->dtype && m.node->shape() == node->shape() &&
             bytes_of(*m.node) == bytes_of(*node);
    };
    const auto found = std::ranges::find_if(memories_, same);
    Memory& memory = found != memories_.end() ? *found : memories_.emplace_back(node);
    for (const Data& data : tensors)
      if (!memory.has(data)) memory.tensors.push_back(data);
    return int(&memory - memories_.data());
  }
  /// The one of a tensor that a call assigns to, and perhaps none looks at: assigning made it row-major.
  int of_assigned(const Data& data) {
    if (!data->node()->realized() || !is_whole(data->views(), data->node()->shape()))
      fail("Jit: save: a tensor of ", data->shape(), " is a view, and the call assigns to it; call it once more");
    return of(data->node(), {{data}});
  }
  const Node& node(int number) const { return *memories_[size_t(number)].node; }
  void writes(int number) { memories_[size_t(number)].written = true; }  ///< a call does

  std::vector<program::StateTensor> tensors(const SaveOptions& options) const {
    Names names;
    std::map<const Node*, std::pair<std::string, Shape>> whole;  // also where the call looks at a view of the memory
    std::set<std::string> used;
    for (const auto& [name, x] : options.state) {
      const LazyBuffer& data = x.lazy();
      names.try_emplace(&data, name), used.insert(name);
      if (is_whole(data.views(), data.node()->shape())) whole.try_emplace(data.node().get(), name, data.shape());
    }
    std::vector<program::StateTensor> all;
    int constants = 0, variables = 0;
    for (const Memory& memory : memories_) {
      auto [given, shape, is_view] = named(memory, names);
      if (given.empty() || is_view)
        if (const auto found = whole.extract(memory.node.get())) std::tie(given, shape) = found.mapped();
      std::string name = given;
      while (name.empty() || (given.empty() && used.contains(name)))
        name = memory.written ? text("variable.", variables++) : text("constant.", constants++);
      const BufferRef& buffer = memory.node->buffer;
      all.push_back({name, memory.node->dtype, shape, buffer, buffer->derived() && !memory.written});
    }
    std::set<std::string> seen;
    for (const program::StateTensor& x : all)
      if (!seen.insert(x.name).second) fail("Jit: save: two tensors have the name ", x.name, " in SaveOptions::state");
    return all;
  }

 private:
  struct Memory {
    std::shared_ptr<Node> node;
    std::vector<Data> tensors = {};  ///< from before the call, that look at it
    bool written = false;            ///< by a call, in place or by an update
    bool has(const Data& data) const { return std::ranges::count(tensors, data); }
  };

  using Names = std::map<const LazyBuffer*, std::string>;
  /// Its name, if it has one, and its shape: those of a tensor that is all of it, if there is one; or else the name is
  /// that of a view.
  static std::tuple<std::string, Shape, bool> named(const Memory& memory, const Names& names) {
    std::tuple<std::string, Shape, bool> result{"", memory.node->shape(), false};
    for (const Data& data : memory.tensors) {
      const bool whole = is_whole(data->views(), memory.node->shape());
      if (const auto name = names.find(data.get()); name != names.end()) {
        if (whole) return {name->second, data->shape(), false};
        if (std::get<0>(result).empty()) result = {name->second + ".memory", memory.node->shape(), true};
      } else if (whole && std::get<0>(result).empty()) {
        std::get<1>(result) = data->shape();
      }
    }
    return result;
  }

  std::vector<Memory> memories_;
  std::set<Data> assigned_;
};

}  // namespace

class Recording::Saved {
 public:
  Saved(const Recording& recording, State& state) : recording_(recording), state_(state) {
    for (const Origin& origin : recording.origins_)
      if (origin.slot >= 0) origin_of_[stand_in(origin.slot).get()] = &origin;
  }
  static void tell_assigned(const Recording& recording, State& state) {
    for (const auto& [variable, result] : recording.left_)
      if (const auto data = variable.data.lock()) state.will_assign(data);
  }

  program::Call call(std::vector<Port> inputs, const std::vector<std::string>& output_names) {
    const std::vector<std::string> outputs = names_of(output_names, "output", recording_.returned_.size());
    call_.inputs = std::move(inputs);
    for (size_t i = 0; i < call_.inputs.size(); ++i) {
      const Port& port = call_.inputs[i];
      call_.input_slots.push_back(slot_of(stand_in(recording_.inputs_[i].slot), port.dtype));
      Slot& slot = call_.slots.back();
      slot.kind = Slot::Kind::Input, slot.number = int(i), slot.elements = numel(port.shape);
    }
    for (const Kernel* kernel : recording_.kernels_) {
      if (const auto* collective = std::get_if<tinyops::CollectiveKernel>(kernel))
        fail("Jit::save: the call makes an ", name(collective->what), "; one process runs a program file");
      Kernel copy = *kernel;
      if (auto* random = std::get_if<tinyops::RandomKernel>(&copy)) {
        const auto* recorded = std::get_if<tinyops::RandomKernel>(kernel);
        random->seed = 0;
        random->counter = std::ranges::find(recording_.randoms_, recorded, &Random::kernel)->words_before;
      }
      add_kernel(std::move(copy));
    }
    for (size_t i = 0; i < recording_.returned_.size(); ++i) add_output(outputs[i], recording_.returned_[i]);
    for (size_t i = 0; i < call_.inputs.size(); ++i)
      if (const auto& result = recording_.inputs_[i].result) add_output(call_.inputs[i].name + ".assigned", *result);
    for (const auto& [variable, result] : recording_.left_)
      if (const auto data = variable.data.lock()) add_update(data, result);
    order_kernels();
    call_.words = recording_.random_words_;
    return std::move(call_);
  }

 private:
  using Slot = program::Slot;  // and not Recording's

  /// What kernels name the values by that the recording's slot holds in the end.
  const BufferRef& stand_in(int slot) const {
    const BufferRef& buffer = recording_.slots_[size_t(slot)].buffer;
    const auto moved = moved_.find(buffer.get());
    return moved != moved_.end() ? moved->second : buffer;
  }

  /// The number of the slot for what kernels of the recording name; a new one is what it holds before the call.
  int slot_of(const BufferRef& buffer, DType dtype) {
    const auto [known, is_new] = number_of_.try_emplace(buffer.get(), int(call_.slots.size()));
    if (!is_new) return known->second;
    Slot slot{.number = 0, .dtype = dtype, .elements = int64_t(buffer->bytes()) / itemsize(dtype), .buffer = {}};
    if (const auto origin = origin_of_.find(buffer.get()); origin != origin_of_.end()) {
      slot.kind = Slot::Kind::State, slot.number = state_of(*origin->second);
      slot.elements = numel(state_.node(slot.number).shape());
      for (size_t s = 0; s < call_.slots.size(); ++s)  // constants of the host that are equal are one
        if (call_.slots[s].kind == slot.kind && call_.slots[s].number == slot.number) return known->second = int(s);
    }
    call_.slots.push_back(slot);
    stand_ins_.push_back(buffer);
    return known->second;
  }
  int state_of(const Origin& origin) {
    std::shared_ptr<Node> node = origin.held.node();
    std::vector<Data> tensors;
    for (const Holder& holder : origin.holders)
      if (auto data = holder.variable.data.lock()) node = data->node(), tensors.push_back(std::move(data));
    return state_.of(node, tensors);
  }

  void add_kernel(Kernel kernel) {
    tinyops::for_each_operand(kernel, [&](tinyops::Operand& x, bool written) {
      const auto origin = origin_of_.find(x.buffer.get());
      if (written && origin != origin_of_.end() && !is_left_in(*origin->second)) move_away(x);
    });
    tinyops::for_each_operand(kernel, [&](tinyops::Operand& x, bool) {
      if (const auto moved = moved_.find(x.buffer.get()); moved != moved_.end()) x.buffer = moved->second;
    });
    kernels_.push_back(std::move(kernel));
    tinyops::for_each_operand(kernels_.back(), [&](const tinyops::Operand& x, bool written) {
      const Slot& slot = call_.slots[size_t(slot_of(x.buffer, x.dtype))];
      if (slot.dtype != x.dtype) fail("Jit: save: a kernel reads ", slot.dtype, " as ", x.dtype);
      if (written && slot.kind == Slot::Kind::State) state_.writes(slot.number);
    });
  }

  /// Whether the call leaves in the tensor that looks at these values what it has written over them.
  bool is_left_in(const Origin& origin) const {
    return std::ranges::any_of(recording_.left_, [&](const auto& left) {
      const auto data = left.first.data.lock();
      const auto holds = [&](const Holder& h) { return h.variable.data.lock() == data; };
      return left.second.slot == origin.slot && data && std::ranges::any_of(origin.holders, holds);
    });
  }
  /// A kernel is about to write to memory from before the call which the call does not leave changed: it is used up,
  /// and what comes after the old values may lie there. A program keeps it: they get a copy to write over.
  void move_away(const tinyops::Operand& x) {
    if (moved_.contains(x.buffer.get())) return;
    const auto copy = std::make_shared<Buffer>(x.buffer->bytes());
    const tinyops::View all = tinyops::View::contiguous({int64_t(x.buffer->bytes()) / itemsize(x.dtype)});
    tinyops::RowKernel kernel{.shape = all.shape, .inputs = {}, .program = {}, .outputs = {}};
    kernel.inputs.push_back({.operand = {x.buffer, x.dtype, all}});
    kernel.program.push_back({.op = tinyops::Load{0}, .dtype = x.dtype});
    kernel.outputs.push_back({.operand = {copy, x.dtype, all}, .value = 0});
    add_kernel(std::move(kernel));
    moved_.emplace(x.buffer.get(), copy);
  }

  void add_output(const std::string& name, const Result& result) {
    call_.outputs.push_back({name, result.dtype, result.views.shape()});
    call_.output_slots.push_back(fresh_slot(result));
  }
  void add_update(const Data& data, const Result& result) {
    const int number = state_.of_assigned(data);
    const auto is_known = [&](const program::Call::Update& update) { return update.state == number; };
    if (std::ranges::any_of(call_.updates, is_known)) return;  // by another tensor, with which it shares its memory
    int slot = result.slot < 0 ? -1 : slot_of(stand_in(result.slot), result.dtype);
    const auto holds = [&](const Slot& x) { return x.kind == Slot::Kind::State && x.number == number; };
    const bool own = slot >= 0 && holds(call_.slots[size_t(slot)]);
    if (own && !recording_.slots_[size_t(result.slot)].written) return;  // it was assigned to itself
    if (!own) slot = fresh_slot(result);
    call_.updates.push_back({number, slot});
    state_.writes(number);
  }

  /// A slot of its own with the result, row-major.
  int fresh_slot(const Result& result) {
    if (result.slot >= 0 && is_whole(result.views, result.shape)) {
      const int s = slot_of(stand_in(result.slot), result.dtype);
      Slot& slot = call_.slots[size_t(s)];
      if (slot.kind == Slot::Kind::Temporary) return slot.kind = Slot::Kind::Fresh, s;
    }
    const LazyBuffer values =
        result.slot < 0
            ? result.fixed
            : LazyBuffer(LazyBuffer::source(stand_in(result.slot), result.dtype, result.shape).node(), result.views);
    const std::shared_ptr<Node> kept = values.node();  // not to be written over
    const LazyBuffer copy = values.contiguous();
    BufferRef buffer = std::make_shared<Buffer>(0);  // of no elements there is no kernel
    for (const Step& step : schedule({&copy, 1})) {
      add_kernel(step.kernel);
      for (const Step::Result& stored : step.results)
        if (stored.node == copy.node()) buffer = stored.buffer;
    }
    const int s = slot_of(buffer, result.dtype);
    call_.slots[size_t(s)].kind = Slot::Kind::Fresh;
    return s;
  }

  /// As Recording::order_kernels and plan_memory do it.
  void order_kernels() {
    std::vector<Kernel*> kernels;
    std::vector<const Buffer*> old_values;
    for (Kernel& kernel : kernels_) kernels.push_back(&kernel);
    for (size_t s = 0; s < call_.slots.size(); ++s)
      if (call_.slots[s].kind == Slot::Kind::State) old_values.push_back(stand_ins_[s].get());
    const LateWrites late = write_late(kernels, old_values);
    call_.in_place = late.rest == kernels.size();
    for (Slot& slot : call_.slots) slot.buffer = std::make_shared<Buffer>(size_t(slot.elements * itemsize(slot.dtype)));
    std::vector<Temporary> lives(call_.slots.size(), {0, -1, -1});
    for (size_t k : late.order) {
      const int number = int(call_.kernels.size());
      Kernel& kernel = call_.kernels.emplace_back(std::move(kernels_[k]));
      tinyops::for_each_operand(kernel, [&](tinyops::Operand& x, bool) {
        const size_t s = size_t(number_of_.at(x.buffer.get()));
        if (lives[s].first < 0) lives[s].first = number;
        lives[s].last = number;
        x.buffer = call_.slots[s].buffer;
      });
      if (auto* random = std::get_if<tinyops::RandomKernel>(&kernel))
        call_.draws.push_back({number, std::exchange(random->counter, 0)});
    }
    std::vector<Slot*> slots;
    std::vector<Temporary> temporaries;
    for (size_t s = 0; s < lives.size(); ++s)
      if (Slot& slot = call_.slots[s]; slot.kind == Slot::Kind::Temporary)
        slots.push_back(&slot), temporaries.push_back({slot.buffer->bytes(), lives[s].first, lives[s].last});
    const std::vector<size_t> block = share_blocks(temporaries);
    for (size_t t = 0; t < slots.size(); ++t) {
      slots[t]->number = int(block[t]);
      call_.blocks.resize(std::max(call_.blocks.size(), block[t] + 1), 0);
      call_.blocks[block[t]] = std::max(call_.blocks[block[t]], int64_t(temporaries[t].bytes));
    }
  }

  const Recording& recording_;
  State& state_;
  program::Call call_;
  std::vector<Kernel> kernels_;       ///< their operands as in the recording, until they are ordered
  std::vector<BufferRef> stand_ins_;  ///< what they name each slot by
  std::unordered_map<const Buffer*, int> number_of_;
  std::unordered_map<const Buffer*, const Origin*> origin_of_;
  std::unordered_map<const Buffer*, BufferRef> moved_;  ///< values from before the call that are written over
};

namespace {

/// The inputs of the calls with this key of a Replayer: two modes, then for each argument which input it is, its dtype,
/// whether it requires a gradient, its rank and its sizes.
std::vector<Port> inputs_of(const std::vector<int64_t>& key, const std::vector<std::string>& given_names) {
  std::vector<Port> inputs;
  std::vector<size_t> argument;  // the first one that is this input
  size_t arguments = 0;
  for (size_t at = 2; at < key.size(); at += 4 + size_t(key[at + 3]), ++arguments) {
    if (key[at] < int64_t(inputs.size())) continue;
    const int64_t* sizes = &key[at] + 4;
    inputs.push_back({"", DType(key[at + 1]), Shape(sizes, sizes + key[at + 3])});
    argument.push_back(arguments);
  }
  const std::vector<std::string> names = names_of(given_names, "input", arguments);
  for (size_t k = 0; k < inputs.size(); ++k) inputs[k].name = names[argument[k]];
  return inputs;
}

}  // namespace

program::Contents Replayer::contents(const SaveOptions& options) const {
  if (moved_from_) fail("Jit: save: called after it was moved from");
  if (context.recorder) fail("Jit: save: called inside a call that a Jit records; save after it");
  realize(std::span<const LazyBuffer>());  // what was assigned
  struct Chosen {
    std::vector<Port> inputs;
    std::pair<bool, int64_t> rank;  ///< recorded in the GradMode of now; when it was last called
    const Recording* recording;
  };
  std::vector<Chosen> all;
  bool others = false;  // in the other Training mode
  for (const auto& [key, entry] : entries_) {
    if (!entry.recording) continue;
    const bool fits = key[0] == Training::enabled();
    others |= !fits;
    if (!fits) continue;
    Chosen chosen{
        inputs_of(key, options.inputs), {key[1] == GradMode::enabled(), entry.last_call}, entry.recording.get()};
    const auto same = std::ranges::find(all, chosen.inputs, &Chosen::inputs);
    if (same == all.end()) all.push_back(std::move(chosen));
    else if (chosen.rank > same->rank) *same = std::move(chosen);
  }
  const bool training = Training::enabled();
  if (all.empty() && others)
    fail("Jit: save: what is recorded was called with Training ", training ? "off" : "on", ", and it is ",
         training ? "on" : "off", " now; save inside of a `Training mode(", training ? "false" : "true", ")`");
  if (all.empty())
    fail(
        "Jit: save: nothing is recorded; call it twice with each combination of input shapes before (why() of the "
        "last call: ",
        why_.empty() ? "none was made" : why_, ")");
  State state;
  for (const Chosen& chosen : all) {
    Recording::Saved::tell_assigned(*chosen.recording, state);
    if (const std::string reason = chosen.recording->stale_reason(); !reason.empty()) {
      std::string shapes;
      for (const Port& port : chosen.inputs) shapes += text(shapes.empty() ? "" : ", ", port.shape);
      fail("Jit: save: the recording for ", shapes, " is out of date: ", reason, "; call it twice more");
    }
  }
  program::Contents contents;
  for (const Chosen& chosen : all)
    contents.calls.push_back(Recording::Saved(*chosen.recording, state).call(chosen.inputs, options.outputs));
  contents.state = state.tensors(options);
  if (std::ranges::any_of(contents.calls, [](const program::Call& call) { return call.words > 0; }))
    std::tie(contents.seed, contents.counter) = Tensor::random_state();
  return contents;
}

void Replayer::save(const std::string& path, const SaveOptions& options) const {
  program::write(path, contents(options));
}

}  // namespace teeny
