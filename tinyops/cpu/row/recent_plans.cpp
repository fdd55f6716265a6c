#include "tinyops/cpu/row/recent_plans.h"

#include <algorithm>
#include <bitset>
#include <type_traits>

namespace tinyops::cpu {
namespace {

/// Which outputs lie in the buffer of which input: a plan depends on it.
using Sharing = std::bitset<kMaxInputs * kMaxOutputs>;

Sharing sharing_of(const RowKernel& k) {
  Sharing result;
  for (size_t o = 0; o < k.outputs.size(); ++o)
    for (size_t i = 0; i < k.inputs.size(); ++i)
      if (k.inputs[i].operand.buffer == k.outputs[o].operand.buffer) result.set(o * kMaxInputs + i);
  return result;
}

bool same_but_for_buffers(const RowKernel& a, const RowKernel& b) {
  const auto same_operand = [](const Operand& x, const Operand& y) { return x.dtype == y.dtype && x.view == y.view; };
  const auto same_input = [&](const Input& x, const Input& y) {
    return x.kind == y.kind && x.constant == y.constant && same_operand(x.operand, y.operand);
  };
  const auto same_output = [&](const Output& x, const Output& y) {
    return x.value == y.value && same_operand(x.operand, y.operand);
  };
  return a.shape == b.shape && a.inner == b.inner && a.program == b.program &&
         std::ranges::equal(a.inputs, b.inputs, same_input) && std::ranges::equal(a.outputs, b.outputs, same_output);
}

/// From 0 to 255: equal where the kernels are the same but for their buffers, mostly different where they are not.
size_t place_of(const RowKernel& k) {
  uint64_t hash = uint64_t(k.inner);
  const auto add = [&](auto value) { hash = (hash ^ uint64_t(value)) * 0x9e3779b97f4a7c15, hash ^= hash >> 29; };
  const auto add_all = [&](const Dims& dims) {
    for (int64_t value : dims) add(value);
  };
  add_all(k.shape);
  for (const Instruction& instruction : k.program) {
    add(instruction.op.index() * 64 + size_t(instruction.dtype));
    std::visit(
        [&]<class Op>(const Op& op) {
          if constexpr (std::is_enum_v<Op>) add(op);
        },
        instruction.op);
    for (int arg : instruction.args) add(arg);
  }
  for (const Input& input : k.inputs) add_all(input.operand.view.address.coef), add(input.operand.view.address.offset);
  for (const Output& output : k.outputs) add_all(output.operand.view.address.coef);
  return hash >> 56;
}

/// `to` gets the buffers of `from`, or none.
void set_buffers(RowKernel& to, const RowKernel* from) {
  for (size_t i = 0; i < to.inputs.size(); ++i)
    to.inputs[i].operand.buffer = from ? from->inputs[i].operand.buffer : nullptr;
  for (size_t o = 0; o < to.outputs.size(); ++o)
    to.outputs[o].operand.buffer = from ? from->outputs[o].operand.buffer : nullptr;
}

}  // namespace

struct RecentPlans::Planned {
  RowKernel kernel;
  const Sharing sharing;
  RowPlan plan;
  Planned(const RowKernel& k, const Sharing& sharing) : kernel(k), sharing(sharing), plan(kernel) {}
};

struct RecentPlans::End {
  RecentPlans& plans;
  ~End() { plans.places_ = {}; }
};

RecentPlans::RecentPlans() : places_() {}
RecentPlans::~RecentPlans() {}

RecentPlans& RecentPlans::of_thread() {
  thread_local RecentPlans plans;
  thread_local const End end{plans};
  return plans;
}

void RecentPlans::run(const RowKernel& kernel, void (*run)(RowPlan&)) {
  const Sharing sharing = sharing_of(kernel);
  std::unique_ptr<Planned>& place = places_[place_of(kernel)];
  if (place && place->sharing == sharing && same_but_for_buffers(place->kernel, kernel))
    set_buffers(place->kernel, &kernel);
  else place = std::make_unique<Planned>(kernel, sharing);
  struct Emptied {  // also where the run throws: a plan holds no memory
    RowKernel& kernel;
    ~Emptied() { set_buffers(kernel, nullptr); }
  } const afterwards{place->kernel};
  run(place->plan);
}

}  // namespace tinyops::cpu
