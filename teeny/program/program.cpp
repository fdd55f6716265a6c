#include "teeny/program/program.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "teeny/program/format.h"

namespace teeny {

using program::Call, program::Contents, program::Slot, program::StateTensor;
using tinyops::Buffer, tinyops::BufferRef, tinyops::DType, tinyops::Kernel, tinyops::Shape;
using tinyops::fail, tinyops::itemsize, tinyops::numel, tinyops::text;

namespace {

int64_t bytes_of(DType dtype, const Shape& shape) { return numel(shape) * itemsize(dtype); }

/// With its memory, so that there is some when the kernels run.
BufferRef reserved(int64_t bytes) {
  auto buffer = std::make_shared<Buffer>(size_t(bytes));
  buffer->data();
  return buffer;
}

/// Copies on the device, all bits of them.
void copy(const BufferRef& from, const BufferRef& to, int64_t bytes) {
  const auto operand = [&](const BufferRef& buffer) {
    return tinyops::Operand{buffer, DType::UInt8, tinyops::View::contiguous({bytes})};
  };
  tinyops::RowKernel kernel{.shape = {bytes}, .inputs = {}, .program = {}, .outputs = {}};
  kernel.inputs.push_back({.operand = operand(from)});
  kernel.program.push_back({.op = tinyops::Load{0}, .dtype = DType::UInt8});
  kernel.outputs.push_back({.operand = operand(to), .value = 0});
  if (bytes > 0) tinyops::run(kernel);
}

/// What one caller needs while it runs a call, kept for the next: kernels, which know what the device made of them, and
/// the memory of temporaries.
struct Session {
  std::vector<BufferRef> slots;
  std::vector<BufferRef> blocks;
  std::vector<Kernel> kernels;
  std::vector<const Kernel*> in_order;
  tinyops::PlanCache plan_cache, plan_cache_of_writes;

  explicit Session(const Call& call) : kernels(call.kernels) {
    std::unordered_map<const Buffer*, BufferRef> own;
    for (int64_t bytes : call.blocks) blocks.push_back(reserved(bytes));
    for (const Slot& slot : call.slots) {
      slots.push_back(std::make_shared<Buffer>(slot.buffer->bytes()));
      own.emplace(slot.buffer.get(), slots.back());
      if (slot.kind == Slot::Kind::Temporary) slots.back()->alias_to(blocks.at(size_t(slot.number)));
    }
    for (Kernel& kernel : kernels) {
      tinyops::for_each_operand(kernel, [&](tinyops::Operand& x, bool) { x.buffer = own.at(x.buffer.get()); });
      in_order.push_back(&kernel);
    }
  }
};

/// What is known of a call before it runs.
struct Plan {
  bool changes;                  ///< the state or the random stream
  std::vector<bool> written;     ///< of each slot
  std::vector<bool> handed_out;  ///< of each output: its slot's buffer is the caller's; of another it gets a copy
  size_t writes = 0;             ///< from which kernel on, after others that look up indices, state is written over
  std::vector<std::unique_ptr<Session>> idle = {};
};

Plan plan_of(const Call& call) {
  Plan plan{.changes = !call.updates.empty() || call.words > 0,
            .written = std::vector<bool>(call.slots.size()),
            .handed_out = {}};
  std::unordered_map<const Buffer*, size_t> slot_of;
  for (size_t s = 0; s < call.slots.size(); ++s) slot_of.emplace(call.slots[s].buffer.get(), s);
  bool looks_up = false, writes = false;
  for (size_t k = 0; k < call.kernels.size(); ++k) {
    const Kernel& kernel = call.kernels[k];
    tinyops::for_each_operand(kernel, [&](const tinyops::Operand& x, bool written) {
      const size_t s = slot_of.at(x.buffer.get());
      if (!written) return;
      plan.written[s] = true;
      if (!writes && call.slots[s].kind == Slot::Kind::State) writes = true, plan.writes = looks_up ? k : 0;
    });
    looks_up |= std::holds_alternative<tinyops::GatherKernel>(kernel) ||
                std::holds_alternative<tinyops::ScatterKernel>(kernel);
  }
  std::vector<bool> taken(call.slots.size());
  for (const Call::Update& update : call.updates) taken[size_t(update.slot)] = true;
  for (int slot : call.output_slots) {
    plan.handed_out.push_back(call.slots[size_t(slot)].kind == Slot::Kind::Fresh && !taken[size_t(slot)]);
    taken[size_t(slot)] = true;
  }
  return plan;
}

std::string text_of(DType dtype, const Shape& shape) { return text(dtype, ' ', shape); }

}  // namespace

Array Array::of(DType dtype, const Shape& shape, const void* host) {
  Array result{dtype, shape, reserved(bytes_of(dtype, shape))};
  const auto* bytes = static_cast<const uint8_t*>(host);
  if (dtype == DType::Bool)
    for (int64_t i = 0; i < numel(shape); ++i)
      if (bytes[i] > 1) fail("Array: a bool of ", int(bytes[i]), " at ", i, "; they are 0 and 1");
  if (void* memory = result.buffer->data()) tinyops::write(memory, host, result.buffer->bytes());
  return result;
}

void Array::read(void* host) const {
  if (const int64_t bytes = bytes_of(dtype, shape)) tinyops::read(host, buffer->data(), size_t(bytes));
}

struct Program::State {
  const std::string name;
  Contents contents;  ///< with the state of now
  std::vector<Signature> signatures = {};
  std::vector<Plan> plans = {};
  std::mutex idle_mutex = {};               ///< of the plans' idle sessions
  mutable std::shared_mutex changing = {};  ///< of the contents' state, seed and counter

  State(std::string file, Contents read) : name(std::move(file)), contents(std::move(read)) {
    program::verify(name, contents);
    for (const Call& call : contents.calls) {
      signatures.push_back({call.inputs, call.outputs});
      plans.push_back(plan_of(call));
    }
    for (StateTensor& tensor : contents.state)
      if (tensor.frozen) tensor.buffer->freeze();
  }

  size_t call_for(std::span<const Array> inputs) const;
  std::vector<Array> run(const Call& call, const Plan& plan, Session& session, std::span<const Array> inputs);
};

/// Names the first input that no call has beside those before it, and what would have fitted.
size_t Program::State::call_for(std::span<const Array> inputs) const {
  size_t most = 0;
  const auto fits = [&](const Port& port, const Array& x) { return port.dtype == x.dtype && port.shape == x.shape; };
  const auto fitting = [&](const Signature& s) {
    const auto [port, x] = std::ranges::mismatch(s.inputs, inputs, fits);
    return size_t(x - inputs.begin());
  };
  for (size_t c = 0; c < signatures.size(); ++c) {
    const size_t n = fitting(signatures[c]);
    if (n == inputs.size() && n == signatures[c].inputs.size()) return c;
    most = std::max(most, n);
  }
  std::string wanted, port_name;
  std::vector<std::string> all;
  for (const Signature& s : signatures) {
    if (fitting(s) < most) continue;
    const bool ends = most == s.inputs.size();
    if (!ends) port_name = s.inputs[most].name;
    all.push_back(ends ? text(most, " inputs") : text_of(s.inputs[most].dtype, s.inputs[most].shape));
  }
  std::ranges::sort(all);
  all.erase(std::ranges::unique(all).begin(), all.end());
  for (const std::string& one : all) wanted += (wanted.empty() ? "" : ", or ") + one;
  if (all.empty()) fail(name, ": it has no calls");
  if (most == inputs.size()) fail(name, ": ", most, " inputs; the file has a call with ", wanted, " there");
  fail(name, ": input ", most, port_name.empty() ? "" : " (" + port_name + ")", " is ",
       text_of(inputs[most].dtype, inputs[most].shape), "; the file has calls with ", wanted);
}

std::vector<Array> Program::State::run(const Call& call, const Plan& plan, Session& session,
                                       std::span<const Array> inputs) {
  struct Emptied {  // also of a call that throws
    const Call& call;
    Session& session;
    ~Emptied() {
      for (size_t s = 0; s < call.slots.size(); ++s)
        if (call.slots[s].kind != Slot::Kind::Temporary) session.slots[s]->alias_to(nullptr);
    }
  } const at_the_end{call, session};
  // All memory is there before a kernel runs: the call is done or not done.
  std::vector<BufferRef> now(call.slots.size());
  for (size_t s = 0; s < call.slots.size(); ++s) {
    const Slot& slot = call.slots[s];
    if (slot.kind == Slot::Kind::Temporary) continue;
    if (slot.kind == Slot::Kind::Input) now[s] = inputs[size_t(slot.number)].buffer;
    if (slot.kind == Slot::Kind::Fresh) now[s] = reserved(int64_t(slot.buffer->bytes()));
    if (slot.kind == Slot::Kind::State) {
      const BufferRef& held = contents.state[size_t(slot.number)].buffer;
      const bool stays = !plan.written[s] || (call.in_place && held.use_count() == 1);
      now[s] = stays ? held : reserved(int64_t(slot.buffer->bytes()));
      if (!stays) copy(held, now[s], int64_t(slot.buffer->bytes()));
    }
    session.slots[s]->alias_to(now[s]);
  }
  std::vector<Array> outputs;
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const auto& [_, dtype, shape] = call.outputs[i];
    outputs.push_back(
        {dtype, shape, plan.handed_out[i] ? now[size_t(call.output_slots[i])] : reserved(bytes_of(dtype, shape))});
  }
  for (const Call::Draw& draw : call.draws) {
    auto& random = std::get<tinyops::RandomKernel>(session.kernels[size_t(draw.kernel)]);
    random.seed = contents.seed, random.counter = contents.counter + draw.words_before;
  }
  const std::span<const Kernel* const> kernels = session.in_order;
  if (plan.writes > 0) {  // a GPU may find an index outside only when it is waited for: before anything is written over
    tinyops::run_again(kernels.first(plan.writes), session.plan_cache);
    tinyops::synchronize();
  }
  tinyops::run_again(kernels.subspan(plan.writes), session.plan_cache_of_writes);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (!plan.handed_out[i])
      copy(now[size_t(call.output_slots[i])], outputs[i].buffer, bytes_of(outputs[i].dtype, outputs[i].shape));
  tinyops::synchronize();  // a device may find an index outside only now
  for (const Call::Update& update : call.updates)
    contents.state[size_t(update.state)].buffer = now[size_t(update.slot)];
  if (call.words > 0) contents.counter += call.words;  // a call that changes nothing runs beside others
  return outputs;
}

Program::Program(std::unique_ptr<State> state) : state_(std::move(state)) {}
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;

Program Program::load(const std::string& path) { return Program(std::make_unique<State>(path, program::read(path))); }

Program Program::from_bytes(std::span<const std::byte> bytes, const std::string& name) {
  return Program(std::make_unique<State>(name, program::read(bytes, name)));
}

const std::vector<Signature>& Program::signatures() const { return state_->signatures; }
const Contents& Program::contents() const { return state_->contents; }

const Signature& Program::signature_of(std::span<const Array> inputs) const {
  return state_->signatures[state_->call_for(inputs)];
}

std::vector<Array> Program::operator()(std::span<const Array> inputs) {
  State& state = *state_;
  const size_t c = state.call_for(inputs);
  const Call& call = state.contents.calls[c];
  Plan& plan = state.plans[c];
  for (size_t i = 0; i < inputs.size(); ++i)
    if (const int64_t bytes = bytes_of(inputs[i].dtype, inputs[i].shape);
        !inputs[i].buffer || inputs[i].buffer->bytes() < size_t(bytes))
      fail(state.name, ": input ", i, " (", call.inputs[i].name, ") has ",
           inputs[i].buffer ? text(inputs[i].buffer->bytes(), " bytes") : "no buffer", ", and ",
           text_of(inputs[i].dtype, inputs[i].shape), " needs ", bytes);

  std::shared_lock reading(state.changing, std::defer_lock);
  std::unique_lock writing(state.changing, std::defer_lock);
  plan.changes ? writing.lock() : reading.lock();
  std::unique_ptr<Session> session;
  {
    const std::lock_guard lock(state.idle_mutex);
    if (!plan.idle.empty()) session = std::move(plan.idle.back()), plan.idle.pop_back();
  }
  const auto give_back = [&] {
    const std::lock_guard lock(state.idle_mutex);
    plan.idle.push_back(std::move(session));
  };
  try {
    if (!session) session = std::make_unique<Session>(call);
    std::vector<Array> outputs = state.run(call, plan, *session, inputs);
    give_back();
    return outputs;
  } catch (const tinyops::OutOfMemory& error) {
    fail(state.name, ": ", error.what(), ", in a call of ", call.kernels.size(), " kernels");
  } catch (const tinyops::Error&) {
    give_back();
    throw;
  }
}

std::vector<std::pair<std::string, Array>> Program::state() const {
  const std::shared_lock lock(state_->changing);
  std::vector<std::pair<std::string, Array>> result;
  for (const StateTensor& tensor : state_->contents.state)
    result.emplace_back(tensor.name, Array{tensor.dtype, tensor.shape, tensor.buffer});
  return result;
}

void Program::seed(uint64_t seed, uint64_t counter) {
  const std::unique_lock lock(state_->changing);
  state_->contents.seed = seed, state_->contents.counter = counter;
}

void Program::save(const std::string& path) const {
  const std::shared_lock lock(state_->changing);
  program::write(path, state_->contents);
}

}  // namespace teeny
